"""HDF5 datasets with holes, which h5py fills in."""

import os

import numpy as np
import pytest

from sk_ednn.fields import ArraySource
from tests.fields._stored import X, Y, accepted, model, refused


@pytest.fixture
def h5(tmp_path):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(tmp_path / "fields.h5", "w")
    yield file
    if file:
        file.close()


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"fletcher32": True}])
def test_chunks_of_hdf5_that_were_never_written(h5, options):
    dataset = h5.create_dataset("X", X.shape, "f8", chunks=(2, 8, 3), **options)
    for first in range(0, 12, 2):
        if first != 6:
            dataset[first : first + 2] = X[first : first + 2]
    refused(ArraySource(dataset), r"chunk at \(6, 0, 0\) of .*'/X' .* never written")
    # Where only what is there is read, nothing is missing.
    np.testing.assert_array_equal(
        ArraySource(dataset).read((slice(0, 6), slice(0, 8), slice(2, 5))), X[:6, :, 2:5]
    )
    filled = ArraySource(dataset, missing_chunks="fill").read_all()
    assert (filled[6:8] == 0).all() and (filled[8:] == X[8:]).all()
    dataset[6:8] = X[6:8]
    accepted(ArraySource(dataset))


def test_hdf5_that_nothing_was_ever_written_to(h5):
    refused(ArraySource(h5.create_dataset("X", X.shape, "f8")), "Nothing was ever written")
    accepted(ArraySource(h5.create_dataset("whole", data=X)))
    zeros = ArraySource(h5.create_dataset("zeros", data=np.zeros((3, 4, 4))))
    assert (zeros.read_all() == 0).all()


def virtual(h5, names, folder):
    import h5py

    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    for k, name in enumerate(names):
        with h5py.File(folder / name, "w") as part:
            part["part"] = X[6 * k : 6 * k + 6]
        layout[6 * k : 6 * k + 6] = h5py.VirtualSource(name, "part", shape=(6, 8, 6))
    return h5.create_virtual_dataset("X", layout)


def test_virtual_datasets(h5, tmp_path):
    dataset = virtual(h5, ["a.h5", "b.h5"], tmp_path)
    with pytest.raises(ValueError, match=r"other files, such as 'a\.h5'.*follow_links=True"):
        ArraySource(dataset)
    accepted(ArraySource(dataset, follow_links=True))
    # In a new name: HDF5 keeps files that it has opened.
    other = virtual(h5["/"].create_group("more"), ["c.h5", "d.h5"], tmp_path)
    os.remove(tmp_path / "d.h5")
    refused(ArraySource(other, follow_links=True), r"d\.h5', a part of .* is not there")


def test_virtual_datasets_with_holes(h5, tmp_path):
    dataset = virtual(h5, ["a.h5"], tmp_path)
    refused(ArraySource(dataset, follow_links=True), "no source is given for 288 of 576")
    import h5py

    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    with h5py.File(tmp_path / "unfinished.h5", "w") as part:
        part.create_dataset("part", X.shape, "f8", chunks=(2, 8, 6))[:4] = X[:4]
    layout[:] = h5py.VirtualSource("unfinished.h5", "part", shape=X.shape)
    dataset = h5.create_virtual_dataset("unfinished", layout)
    refused(ArraySource(dataset, follow_links=True), "never written")
    with h5py.File(tmp_path / "renamed.h5", "w") as part:
        part["other"] = X
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    layout[:] = h5py.VirtualSource("renamed.h5", "part", shape=X.shape)
    dataset = h5.create_virtual_dataset("renamed", layout)
    refused(ArraySource(dataset, follow_links=True), "contains no dataset 'part'")


def test_virtual_datasets_within_one_file(h5):
    import h5py

    h5["part"] = X
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    layout[:] = h5py.VirtualSource(".", "part", shape=X.shape)
    accepted(ArraySource(h5.create_virtual_dataset("X", layout)))


HOLES = "no source is given for"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([np.s_[:6], np.s_[6:]], None),
        ([np.s_[::2], np.s_[1::2]], None),
        ([np.s_[:, :, :3], np.s_[:, 2:]], f"{HOLES} 72 of 576"),
        ([np.s_[:6], np.s_[:6]], f"{HOLES} 288 of 576"),  # as many values as there are
        ([np.s_[:8], np.s_[4:8], np.s_[9:]], f"{HOLES} 48 of 576"),
        ([np.s_[::2], np.s_[3::2]], f"{HOLES} 48 of 576"),
        ([np.s_[[0, 1, 5, 7]], np.s_[2:5], np.s_[[6, 8, 9, 10, 11]]], None),
        ([np.s_[[0, 1, 5, 7]], np.s_[2:5], np.s_[[6, 8, 10, 11, 11]]], f"{HOLES} 48 of 576"),
    ],
    ids=str,
)
def test_every_value_of_a_virtual_dataset_has_a_source(h5, parts, words):
    import h5py

    h5["part"] = X
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    for part in parts:
        part = np.unique(part).tolist() if isinstance(part, list) else part
        layout[part] = h5py.VirtualSource(".", "part", shape=X.shape)[part]
    dataset = h5.create_virtual_dataset("X", layout)
    if words is None:
        accepted(ArraySource(dataset))
    else:
        refused(ArraySource(dataset), words)


def test_where_a_virtual_dataset_is_mapped_it_is_read(h5, tmp_path):
    dataset = virtual(h5, ["a.h5"], tmp_path)
    source = ArraySource(dataset, follow_links=True)
    np.testing.assert_array_equal(
        source.read((slice(1, 6), slice(0, 8), slice(2, 5))), X[1:6, :, 2:5]
    )
    with pytest.raises(FileNotFoundError, match=f"{HOLES} 24 of 120"):
        source.read((slice(2, 7), slice(0, 8), slice(2, 5)))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"scale_factor": 0.5}, r"scale_factor=0\.5"),
        ({"_FillValue": X[3, 2, 1]}, "mark as missing"),
        ({"valid_max": X.max() - 1e-3}, "mark as missing"),
    ],
)
def test_sources_of_virtual_datasets_are_packed_or_marked(h5, attributes, words):
    import h5py

    h5["part"] = X
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8")
    layout[:] = h5py.VirtualSource(".", "part", shape=X.shape)
    inner = h5.create_virtual_dataset("inner", layout)
    accepted(ArraySource(inner))
    layout[:] = h5py.VirtualSource(".", "inner", shape=X.shape)
    outer = h5.create_virtual_dataset("outer", layout)
    h5["part"].attrs.update(attributes)
    for dataset in (inner, outer):
        with pytest.raises(ValueError, match=words):
            ArraySource(dataset).read_all()


@pytest.mark.parametrize("part", [np.s_[:], np.s_[4:12]])
def test_sources_of_virtual_datasets_that_became_smaller(h5, part, tmp_path):
    import h5py

    layout = h5py.VirtualLayout(shape=X[part].shape, dtype="f8")
    layout[:] = h5py.VirtualSource("part.h5", "part", shape=X.shape)[part]
    dataset = h5.create_virtual_dataset("X", layout)
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["part"] = X[:11]
    with pytest.raises(FileNotFoundError, match=r"of shape \(11, 8, 6\), which is smaller"):
        ArraySource(dataset, follow_links=True).read_all()


@pytest.mark.parametrize("several", [False, True])
def test_virtual_datasets_without_a_limit(h5, several):
    import h5py

    h5["part"] = X
    layout = h5py.VirtualLayout(shape=X.shape, dtype="f8", maxshape=(None, 8, 6))
    unlimited, step = h5py.h5s.UNLIMITED, 2 if several else 1
    for first in range(step):
        source = h5py.VirtualSource(".", "part", shape=X.shape, maxshape=(None, 8, 6))
        layout[first:unlimited:step] = source[first:unlimited:step]
    dataset = h5.create_virtual_dataset("X", layout)
    if several:
        with pytest.raises(ValueError, match="several parts without a limit"):
            ArraySource(dataset).read_all()
    else:
        accepted(ArraySource(dataset))


@pytest.mark.parametrize("prefix", [None, "${ORIGIN}", "elsewhere"])
def test_external_storage_is_looked_for_where_hdf5_does(prefix, tmp_path, monkeypatch):
    """By default relative names start from the working folder, and not from that of the file."""
    h5py = pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    for folder in ("files", "elsewhere"):
        (tmp_path / folder).mkdir()
    parts = [("a.bin", 0, 3000), ("b.bin", 8, h5py.h5f.UNLIMITED)]
    options = {} if prefix is None else {"efile_prefix": prefix}
    with h5py.File("files/fields.h5", "w") as file:
        file.create_dataset("X", X.shape, "f8", external=parts, **options)[:] = X
    home = {None: ".", "${ORIGIN}": "files"}.get(prefix, prefix)
    assert os.path.getsize(f"{home}/b.bin") == X.nbytes - 3000 + 8
    for folder in ("files", "elsewhere", "."):
        if folder != home:  # not those that are read
            for name in ("a.bin", "b.bin"):
                (tmp_path / folder / name).write_bytes(bytes(X.nbytes))
    with h5py.File("files/fields.h5") as file:
        dataset = file["/"].get("X") if prefix is None else _opened(file, prefix)
        np.testing.assert_array_equal(ArraySource(dataset, follow_links=True).read_all(), X)
        for name in ("b.bin", "a.bin"):
            os.truncate(f"{home}/{name}", os.path.getsize(f"{home}/{name}") - 1)
            with pytest.raises(FileNotFoundError, match=f"{name}.*is not there or short"):
                ArraySource(dataset, follow_links=True).read_all()


def _opened(file, prefix):
    import h5py

    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_efile_prefix(prefix.encode())
    return h5py.Dataset(h5py.h5d.open(file.id, b"X", access))


def test_external_storage(h5, tmp_path):
    raw = tmp_path / "raw.bin"
    X.tofile(raw)
    dataset = h5.create_dataset("X", X.shape, "f8", external=[(str(raw), 0, X.nbytes)])
    with pytest.raises(ValueError, match=r"other files, such as .*raw\.bin"):
        ArraySource(dataset)
    accepted(ArraySource(dataset, follow_links=True))
    raw.write_bytes(raw.read_bytes()[:-8])
    refused(ArraySource(dataset, follow_links=True), "is not there or short")


def test_closed_and_empty_datasets(h5):
    import h5py

    h5["nothing"] = h5py.Empty("f8")
    h5["X"] = X
    empty, dataset = h5["nothing"], h5["X"]
    for given in (empty, empty[()], [empty]):
        with pytest.raises(ValueError, match=r"no data.*Empty|Empty.*no data"):
            model().predict(given)
    h5.close()
    for given in (dataset, [dataset]):
        with pytest.raises(ValueError, match="file is closed"):
            model().predict(given)
        with pytest.raises(ValueError, match="file is closed"):
            model().fit(given, Y)
