"""Arrays from files of every kind, and the errors where there are none."""

import os
import re
import socket
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from sk_ednn.cli._files import read_array
from sk_ednn.cli._inputs import read_targets
from sk_ednn.cli._structure_names import are_structures
from sk_ednn.exceptions import MissingExtraError, TileMemoryError

ARRAYS = {"first": np.arange(6.0).reshape(2, 3), "second": np.arange(4)}


def write(path, arrays):
    """Write named arrays, or one array, in the format of the suffix."""
    if path.suffix == ".npy":
        np.save(path, arrays)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    else:
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(path, mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=array)
    return str(path)


NAMED = pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])


@NAMED
def test_reads_the_array_that_is_named(suffix, tmp_path):
    name = write(tmp_path / f"a{suffix}", ARRAYS)
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(read_array(f"{name}::{key}", ("x",)), array)


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
@pytest.mark.parametrize("attribute", ["units", "unit"])
def test_another_unit_than_that_of_the_totals_is_refused(suffix, attribute, tmp_path):
    name = write(tmp_path / f"a{suffix}", ARRAYS)
    if suffix == ".h5":
        import h5py

        with h5py.File(name, "a") as file:
            file["second"].attrs[attribute] = "kcal/mol"
    else:
        import zarr

        zarr.open_group(name, mode="a")["second"].attrs[attribute] = "kcal/mol"
    for unit in (None, "kcal/mol"):
        np.testing.assert_array_equal(read_targets(f"{name}::second", unit), ARRAYS["second"])
    np.testing.assert_array_equal(read_targets(f"{name}::first", "eV"), ARRAYS["first"])
    with pytest.raises(ValueError, match=r"second is in 'kcal/mol' by its .* the totals is 'eV'"):
        read_targets(f"{name}::second", "eV")


@NAMED
def test_looks_for_the_usual_names_in_their_order(suffix, tmp_path):
    name = write(tmp_path / f"a{suffix}", ARRAYS)
    np.testing.assert_array_equal(read_array(name, ("x", "second", "first")), ARRAYS["second"])


@NAMED
def test_says_what_a_file_holds(suffix, tmp_path):
    name = write(tmp_path / f"a{suffix}", ARRAYS)
    with pytest.raises(ValueError, match=r"has no array 'third'; it has first, second"):
        read_array(f"{name}::third", ())
    with pytest.raises(
        ValueError, match=r"has the arrays first, second, but none with the name X or y. .*::NAME"
    ):
        read_array(name, ("X", "y"))


def test_hdf5_groups_are_entered(tmp_path):
    name = write(tmp_path / "a.h5", {"run/1/energies": np.arange(3.0)})
    np.testing.assert_array_equal(read_array(f"{name}::run/1/energies", ()), np.arange(3.0))


def test_zarr_may_hold_one_array(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.save_array(tmp_path / "a.zarr", np.arange(3.0))
    np.testing.assert_array_equal(read_array(f"{tmp_path}/a.zarr", ()), np.arange(3.0))
    with pytest.raises(ValueError, match="Leave out ::x"):
        read_array(f"{tmp_path}/a.zarr::x", ())


def test_npy_is_mapped_and_not_read(tmp_path):
    name = write(tmp_path / "a.npy", ARRAYS["first"])
    array = read_array(name, ())
    assert isinstance(array, np.memmap)
    np.testing.assert_array_equal(array, ARRAYS["first"])
    with pytest.raises(ValueError, match=r"single array without a name\. Leave out ::first"):
        read_array(f"{name}::first", ())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", b"nonsense", "a.npy is not an .npy file"),
        ("a.npy", b"\x93NUMPY\x01\x00", "a.npy cannot be read: "),
        ("a.npz", b"nonsense", "a.npz cannot be read: "),
        ("a.npz", b"", "a.npz cannot be read: "),
        ("a.dat", b"1 2", "a.dat: expected a name that ends in .npy, .* got '.dat'"),
        ("a", b"1 2", "got 'no ending'"),
    ],
)
def test_broken_files_are_named(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_array(str(tmp_path / name), ("X",))


def test_a_broken_array_within_an_archive_is_named(tmp_path):
    path = tmp_path / "a.npz"
    write(path, {"X": np.zeros(1000)})
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz cannot be read: Bad CRC"):
        read_array(str(path), ("X",))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_nothing_is_unpickled(suffix, tmp_path):
    objects = np.array([{}, None], dtype=object)
    name = write(tmp_path / f"a{suffix}", objects if suffix == ".npy" else {"X": objects})
    with pytest.raises(ValueError, match="cannot be read"):
        read_array(name, ("X",))


def test_one_array_called_npz_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"is an \.npy file, despite its name"):
        read_array(f"{tmp_path}/a.npz", ("X",))


def test_missing_files_and_libraries_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"a\.npz does not exist"):
        read_array(str(tmp_path / "a.npz"), ())
    for suffix, module, extra in ((".h5", "h5py", "hdf5"), (".zarr", "zarr", "zarr")):
        (tmp_path / f"a{suffix}").touch()
        monkeypatch.setitem(__import__("sys").modules, module, None)
        words = (
            f"Reading {tmp_path}/a{suffix} needs {module}, which is not installed: pip install "
            f"'sk-ednn[{extra}]'."
        )
        with pytest.raises(MissingExtraError, match=re.escape(words)):
            read_array(f"{tmp_path}/a{suffix}", ())


# --- stores: lookups, links and holes ---------------------------------------------------------


def hdf5(path, **arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return h5py


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
@pytest.mark.parametrize("key", ["run/1/y", "/run/1/y", "//run/./1//y", "run/1", "/run/1/"])
def test_names_of_stores_are_looked_up(key, suffix, tmp_path):
    """A group is enough if one array in it is suitable."""
    arrays = {"run/1/y": np.arange(3.0), "run/2/y": np.arange(4.0), "run/1/X": np.zeros((3, 2))}
    name = write(tmp_path / f"a{suffix}", arrays)
    np.testing.assert_array_equal(read_array(f"{name}::{key}", ("y",)), np.arange(3.0))
    for wrong in ("run/1/z", "run/1/y/z", "../y", "run/../y"):
        with pytest.raises(ValueError, match=r"has no array .*; it has run/1/X, run/1/y, run/2/y"):
            read_array(f"{name}::{wrong}", ("y",))


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_the_only_array_that_may_be_meant_is_taken_with_a_note(suffix, tmp_path, capsys):
    arrays = {"spins": np.zeros((3, 2, 2)), "work": np.arange(3.0), "X": np.ones((3, 1))}
    name = write(tmp_path / f"a{suffix}", arrays)
    read = read_array(name, ("y", "totals"), range(1, 3), ("X",))
    np.testing.assert_array_equal(read, np.arange(3.0))
    assert f"note: {name}::work is used" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"has the arrays .*, but none with the name y. .*::NAME"):
        read_array(name, ("y",), range(1, 3))  # X is of two axes


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_the_last_part_of_a_name_counts_where_it_is_unique(suffix, tmp_path, capsys):
    arrays = {"c/y": np.arange(3.0), "c/T": np.ones(3), "o/z": np.zeros(3)}
    name = write(tmp_path / f"a{suffix}", arrays)
    for key, usual in (("", ("X", "y")), ("::y", ()), ("::c/y", ())):
        np.testing.assert_array_equal(read_array(f"{name}{key}", usual), np.arange(3.0))
        assert (f"note: {name}::c/y is used" in capsys.readouterr().err) == (key != "::c/y")
    for usual in (("y", "T"), ("z", "T")):
        with pytest.raises(ValueError, match=r"has the arrays .*, but several with the name"):
            read_array(name, usual)
    with pytest.raises(ValueError, match="has no array 'x/y'"):
        read_array(f"{name}::x/y", ())
    # One that may not be meant does not count.
    np.testing.assert_array_equal(
        read_array(write(tmp_path / f"b{suffix}", {"a/y": np.zeros((3, 2)), "b/y": np.ones(3)}),
                   ("y",), range(1, 2)),
        np.ones(3),
    )  # fmt: skip


def test_the_printed_command_names_the_arrays(run, tmp_path):
    """Whoever follows it ends with a fit; a command without ambiguity prints none."""
    rng = np.random.default_rng(0)
    groups = {f"{group}/{name}": values for group in "ab" for name, values in (
        ("theta", rng.uniform(0, 6.28, (20, 4, 4))), ("energy", rng.normal(size=20)))}  # fmt: skip
    name = write(tmp_path / "two.npz", groups)
    line, tried = f"fit {name} --angles 2pi -m quadratic -o {tmp_path}/m.ednn", []
    for _ in range(2):
        error = run(line, 1).stderr
        line = error.rpartition(": sk-ednn ")[2].strip().removesuffix(" --quiet")
        tried.append(line)
    run(line)
    assert tried[-1].startswith(f"fit {name}::a/theta {name}::a/energy ")
    assert "sk-ednn" not in run(f"fit {name}::a/none {name}", 1).stderr
    # Named fields without totals: these are looked for in the same file.
    error = run(f"fit {name}::a/theta --angles 2pi", 1).stderr
    assert error.rpartition(": sk-ednn ")[2].startswith(f"fit {name}::a/theta {name} --angles")
    error = run(f"evaluate {tmp_path}/m.ednn {name}", 1).stderr
    run(error.rpartition(": sk-ednn ")[2].strip() + "::b/energy")


def test_many_names_are_cut_short(tmp_path):
    name = write(tmp_path / "a.npz", {f"a{k:03}": np.zeros(2) for k in range(30)})
    with pytest.raises(ValueError, match=r"a000, a001, .* and 10 more, but none with the name y"):
        read_array(name, ("y",))


def test_links_within_an_hdf5_file_are_followed(tmp_path):
    path = tmp_path / "a.h5"
    h5py = hdf5(path, runs__1__y=np.arange(3.0))
    with h5py.File(path, "a") as file:
        file["last"] = h5py.SoftLink("/runs/1")
        file["y"] = h5py.SoftLink("last/y")
        file["runs/2"] = h5py.SoftLink("1")
        file["gone"] = h5py.SoftLink("/runs/9/y")
        file["circle"] = h5py.SoftLink("/circle")
        file["elsewhere"] = h5py.ExternalLink("b.h5", "/y")
        file["through"] = h5py.SoftLink("/elsewhere")
    for key in ("", "::y", "::last/y", "::runs/2/y", "::/last"):
        np.testing.assert_array_equal(read_array(f"{path}{key}", ("y",)), np.arange(3.0))
    hdf5(tmp_path / "b.h5", y=np.ones(3))
    for key, words in {
        "gone": "has no array 'gone'; it has runs/1/y",
        "circle": "is a circular link",
        "elsewhere": r"is a link to another file, b\.h5, which is not followed",
        "through": r"is a link to another file, b\.h5, which is not followed",
    }.items():
        with pytest.raises(ValueError, match=words):
            read_array(f"{path}::{key}", ("y",))


def test_holes_in_stores_are_named(tmp_path):
    """Chunks that were never written, or are lost, are not read as zeros."""
    h5py = pytest.importorskip("h5py")
    zarr = pytest.importorskip("zarr")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("half", (4, 4), float, chunks=(2, 4))[:2] = 1.0
        file.create_dataset("never", (4, 4), float)
        layout = h5py.VirtualLayout((4, 4), float)
        layout[:] = h5py.VirtualSource("gone.h5", "x", (4, 4))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", (4, 4), float, external=[("raw.bin", 0, 128)])
        file.create_dataset("packed", data=np.arange(4)).attrs["scale_factor"] = 0.5
        file["nothing"] = h5py.Empty("f8")
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(4, 4), chunks=(2, 4), dtype=float, fill_value=0.0
    )
    array[:] = 1.0
    (tmp_path / "a.zarr/c/1/0").unlink()
    for name, words in {
        "a.h5::half": "was never written",
        "a.h5::never": "Nothing was ever written",
        "a.h5::virtual": r"reads from other files, such as 'gone\.h5'",
        "a.h5::outside": "reads from other files",
        "a.h5::packed": "is packed",
        "a.h5::nothing": "has no data",
        "a.zarr": "chunk 'c/1/0' is not in the store",
    }.items():
        with pytest.raises(ValueError, match=words) as raised:
            read_array(f"{tmp_path}/{name}", ("y",))
        assert str(raised.value).startswith(f"{tmp_path}/a.")


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("scale_factor", 0.5, "is packed: .*scale_factor=0.5"),
        ("add_offset", 273, "is packed: .*add_offset=273"),
        ("X_scale_factor", 0.5, "is packed"),
        ("_FillValue", 3, "contains 3 at .* mark as missing"),
        ("nodata", 3, "contains 3 at"),
        ("scale_factor", 1.0, None),
        ("_FillValue", -9999, None),
        ("temperature", 2.5, None),
        ("y_scale_factor", 0.5, None),
    ],
)
def test_numbers_beside_packed_integers_of_an_archive_are_heeded(
    name, value, words, shape, tmp_path
):
    """An archive has no attributes; its numbers are what writers have in their place."""
    X = np.arange(8, dtype=np.int16).reshape(2, 4)
    beside = {name: np.full(shape, value), "label": np.array("spins"), "sizes": np.arange(3)}
    np.savez(tmp_path / "a.npz", X=X, real=X / 2.0, **beside)
    np.testing.assert_array_equal(read_array(f"{tmp_path}/a.npz::real", ()), X / 2.0)
    if words is None:
        np.testing.assert_array_equal(read_array(f"{tmp_path}/a.npz::X", ()), X)
        return
    with pytest.raises(ValueError, match=f"a.npz::X {words}"):
        read_array(f"{tmp_path}/a.npz::X", ())


# --- invalid files, and arrays that do not fit ---------------------------------------------------


def test_what_cannot_be_read_to_its_end_is_refused_by_name(tmp_path):
    """Nothing waits for ever, and nothing is read from a device without an end."""
    os.mkfifo(tmp_path / "pipe.npy")
    os.symlink("/dev/zero", tmp_path / "zero.csv")
    os.symlink("gone.npy", tmp_path / "dangling.npy")
    os.symlink("circle.npy", tmp_path / "circle.npy")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file.npy").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.h5"))
        for name, words in {
            "pipe.npy": "is a named pipe. Expected the name of a file",
            "zero.csv": "is a device",
            "s.h5": "is a socket",
            "folder.npz": "is a folder",
            "dangling.npy": r"does not exist \(it is a broken link\)",
            "circle.npy": "cannot be read: Too many levels of symbolic links",
            "file.npy/x.npy": "does not exist",
            "long" * 100 + ".npy": "cannot be read: File name too long",
            "nul\0.npy": "does not exist",
        }.items():
            with pytest.raises(OSError, match=words) as raised:
                read_array(f"{tmp_path}/{name}", ("y",))
            assert str(raised.value).startswith(f"{tmp_path}/{name}")


def test_pipes_within_a_store_are_refused_by_name(tmp_path):
    name = write(tmp_path / "a.zarr", {"y": np.ones(3)})
    (tmp_path / "a.zarr/y/c/0").unlink()
    os.mkfifo(tmp_path / "a.zarr/y/c/0")
    with pytest.raises(ValueError, match=r"a\.zarr/y/c/0 in the store is a named pipe"):
        read_array(name, ("y",))
    (tmp_path / "b.zarr").touch()
    with pytest.raises(ValueError, match=r"b\.zarr is a file, but a zarr store is a folder"):
        read_array(f"{tmp_path}/b.zarr", ("y",))


@pytest.mark.parametrize("of", ["chunk", "folder"])
def test_links_that_lead_out_of_a_store_are_not_followed(of, tmp_path):
    name = write(tmp_path / "a.zarr", {"y": np.ones(3)})
    part = tmp_path / ("a.zarr/y/c/0" if of == "chunk" else "a.zarr/y")
    part.rename(tmp_path / "elsewhere")
    part.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"is a link to .*elsewhere, outside of the store"):
        read_array(name, ("y",))
    part.unlink()
    (tmp_path / "elsewhere").rename(part)
    (tmp_path / "link.zarr").symlink_to("a.zarr")  # the store itself may lie elsewhere
    np.testing.assert_array_equal(read_array(f"{tmp_path}/link.zarr", ("y",)), np.ones(3))


def test_what_libraries_quote_is_cut(tmp_path):
    path = with_header(tmp_path / "long.npy", "(" * 5000)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        read_array(str(path), ())
    assert len(str(raised.value)) < 700


def test_files_without_permission_are_named(tmp_path, monkeypatch):
    name = write(tmp_path / "a.npy", ARRAYS["first"])
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(PermissionError, match=r"a\.npy cannot be read: permission denied"):
        read_array(name, ())


def with_header(path, header, content=b""):
    """Write an .npy file with a header as text."""
    encoded = header.encode("latin-1")
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(encoded).to_bytes(2, "little") + encoded + content)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2",  # TokenError
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1e999,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-2,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f9', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }",
        "(" * 3000,
        "\\",
        "0777L",
        "",
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_wrong_headers_are_named(header, suffix, tmp_path):
    path = with_header(tmp_path / "a.npy", header, np.ones(2).tobytes())
    if suffix == ".npz":
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.write(path, "y.npy")
    with pytest.raises(ValueError, match=rf"/a\{suffix}") as raised:
        read_array(f"{tmp_path}/a{suffix}", ("y",))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".zarr"])
def test_what_does_not_fit_is_not_read(suffix, tmp_path):
    """A few hundred bytes that tell of a pebibyte."""
    path, shape = tmp_path / f"a{suffix}", (1 << 24, 1 << 23)
    if suffix == ".npz":
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
        content = with_header(tmp_path / "y.npy", header).read_bytes()
        info = zipfile.ZipInfo("y.npy")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, content)
            info.file_size = len(content) + (1 << 50)
    elif suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file.create_dataset("y", shape, float, chunks=(1 << 10, 1 << 10))
    else:
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(path, mode="w")
        group.create_array("y", shape=shape, dtype=float, chunks=(1 << 10, 1 << 10))
    with pytest.raises(TileMemoryError, match=rf"Reading .*a\{suffix}::y needs 1\.05e\+06 GiB"):
        read_array(str(path), ("y",))


def test_chunks_that_do_not_fit_are_not_read(tmp_path):
    """They are read in full, however small the array is."""
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("y", shape=(3,), dtype=float, chunks=(1 << 47,))
    with pytest.raises(TileMemoryError, match=r"a\.zarr::y needs 1\.05e\+06 GiB"):
        read_array(f"{tmp_path}/a.zarr", ("y",))


def test_a_bomb_is_not_read(tmp_path, monkeypatch):
    name = write(tmp_path / "a.npz", {"y": np.zeros(3)})
    np.savez_compressed(name, y=np.zeros(1 << 20))  # 8 MiB in 9 kB
    memory = SimpleNamespace(available=1 << 20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(TileMemoryError, match=r"needs 0\.00781 GiB of memory"):
        read_array(name, ("y",))


def test_archives_with_two_arrays_of_a_name_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, y=np.zeros(3))
    content = zipfile.ZipFile(path).read("y.npy")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("y.npy", content)
    with pytest.raises(ValueError, match="has 2 arrays called 'y'"):
        read_array(str(path), ("y",))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".zarr"])
def test_arrays_of_no_real_numbers_are_refused_before_they_are_read(suffix, tmp_path):
    for values in (np.array(["a", "b"]), np.array([1j, 2])):
        if suffix == ".h5" and values.dtype.kind == "U":
            values = values.astype("S")
        arrays = values if suffix == ".npy" else {"y": values}
        name = write(tmp_path / f"{values.dtype.kind}{suffix}", arrays)
        with pytest.raises(
            ValueError, match=rf"\{suffix}.* must contain real numbers; got an array"
        ):
            read_array(name, ("y",))


def test_arrays_without_numbers_and_numbers_without_axes_are_read(tmp_path):
    for values in (np.zeros((0, 3)), np.array(2.5)):
        name = write(tmp_path / "a.npy", values)
        np.testing.assert_array_equal(read_array(name, ()), values)
        name = write(tmp_path / "a.npz", {"y": values})
        np.testing.assert_array_equal(read_array(name, ("y",)), values)


@pytest.mark.parametrize("suffix", [".nc", ".nc4", ".cdf"])
@pytest.mark.parametrize("content", [b"CDF\x01 ", b"\x89HDF\r\n\x1a\n "])
def test_netcdf_has_to_be_decoded(suffix, content, tmp_path):
    path = tmp_path / f"rain{suffix}"
    path.write_bytes(content)
    assert not are_structures(str(path))
    with pytest.raises(ValueError, match=r"netCDF is not read, .*xarray\.open_dataset\('rain"):
        read_array(str(path), ("X",))
    path.write_bytes(content + b"Conventions AMBER")  # a trajectory
    assert are_structures(str(path))


@pytest.mark.parametrize("names", [("X", "mask"), ("data", "mask"), ("X", "X_mask")])
@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_masks_beside_arrays_are_named(names, ending, tmp_path, capsys):
    """Neither format has masked arrays, which are stored as two arrays."""
    arrays = dict(zip(names, (np.ones((3, 4)), np.eye(3, 4, dtype=bool)), strict=True))
    path = tmp_path / f"a.{ending}"
    if ending == "npz":
        np.savez(path, **arrays)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    read_array(str(path), ("X", "data"))
    assert f"::{names[1]} is not used" in capsys.readouterr().err
    read_array(f"{path}::{names[1]}", ())
    assert capsys.readouterr().err == ""
