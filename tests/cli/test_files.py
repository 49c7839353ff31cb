"""Arrays from files of every kind, and what is said where there are none."""

import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    with pytest.raises(ValueError, match=r"holds no array 'third'; it holds first, second"):
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


TABLES = {
    "one column": ("1.5\n-2\n\n# end\n3e2\n", None, [1.5, -2.0, 300.0]),
    "a name of several words": ("energy (eV), relaxed\n1\n2\n", None, [1.0, 2.0]),
    "a name above": ("energy\n1\n2\n", None, [1.0, 2.0]),
    "a usual name": ("file,y,note\na.png,1,ok\nb.png,2,\n", None, [1.0, 2.0]),
    "the name that is given": ('"file";"a, b";y\nx;1;5\nz;2;6\n', "a, b", [1.0, 2.0]),
    "tabs": ("n\ttotals\n1\t7\n2\t8\n", None, [7.0, 8.0]),
    "blanks, no names": ("1 2\n3 4\n", None, [[1.0, 2.0], [3.0, 4.0]]),
    "a byte order mark": ("\ufeffy\n1\n", None, [1.0]),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("suffix", [".csv", ".txt", ".tsv"])
def test_reads_columns_of_text(case, suffix, tmp_path):
    text, key, expected = TABLES[case]
    path = tmp_path / f"totals{suffix}"
    path.write_text(text, encoding="utf-8")
    name = str(path) if key is None else f"{path}::{key}"
    read = read_array(name, ("y", "totals"))
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == np.float64


NO_TABLES = {
    "": "holds no numbers.",
    "# nothing\n": "holds no numbers.",
    "y\n": "holds names of columns and no numbers.",
    "a,b\n1,2\n": "holds the arrays a, b, none of them called y, totals",
    "y\n1\ntwo\n": "line 3 holds 'two', which is no number.",
    "y,z\n1,2\n3\n": "line 3 has 1 columns, the first one has 2.",
    "y,y\n1,2\n": "has 2 columns called 'y'.",
    f'y,z\n"{"1" * 200_000}",2\n': "line 2 holds '\"1111",
}


@pytest.mark.parametrize("text", NO_TABLES)
def test_says_which_line_is_wrong(text, tmp_path):
    path = tmp_path / "totals.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(NO_TABLES[text])) as raised:
        read_array(str(path), ("y", "totals"))
    assert str(raised.value).startswith(str(path))


def test_says_what_text_is_not(tmp_path):
    path = tmp_path / "totals.csv"
    path.write_text("1\n2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="have no names: leave out ::y"):
        read_array(f"{path}::y", ())
    path.write_bytes(b"\xff\xfe1\n")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_array(str(path), ())


@given(text=st.text(st.sampled_from("y,;\t\n\r\x00\"'# 1.e-\u2028\u0660"), max_size=40))
@settings(max_examples=300)
def test_any_text_is_read_or_answered(text):
    path = Path(tempfile.gettempdir()) / f"any-text-{os.getpid()}.csv"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        values = read_array(str(path), ("y",))
    except ValueError as error:
        assert str(error).startswith(str(path))
    else:
        assert values.dtype == np.float64 and values.ndim in (1, 2) and len(values)
    finally:
        path.unlink()
