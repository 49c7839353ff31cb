"""Arrays from files of every kind, and what is said where there are none."""

import re

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from sk_ednn.cli._files import read_array
from sk_ednn.exceptions import MissingExtraError

ARRAYS = {"first": np.arange(6.0).reshape(2, 3), "second": np.arange(4)}


def write(path, arrays):
    """Write named arrays, or one array, in the format that the name says."""
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
        ValueError, match=r"arrays first, second, none of them called X, y: .*::NAME"
    ):
        read_array(name, ("X", "y"))


def test_hdf5_groups_are_entered(tmp_path):
    name = write(tmp_path / "a.h5", {"run/1/energies": np.arange(3.0)})
    np.testing.assert_array_equal(read_array(f"{name}::run/1/energies", ()), np.arange(3.0))


def test_zarr_may_hold_one_array(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.save_array(tmp_path / "a.zarr", np.arange(3.0))
    np.testing.assert_array_equal(read_array(f"{tmp_path}/a.zarr", ()), np.arange(3.0))
    with pytest.raises(ValueError, match="leave out ::x"):
        read_array(f"{tmp_path}/a.zarr::x", ())


def test_npy_is_mapped_and_not_read(tmp_path):
    name = write(tmp_path / "a.npy", ARRAYS["first"])
    array = read_array(name, ())
    assert isinstance(array, np.memmap)
    np.testing.assert_array_equal(array, ARRAYS["first"])
    with pytest.raises(ValueError, match="single array, without a name: leave out ::first"):
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
    with pytest.raises(ValueError, match=r"is not an \.npz file"):
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
