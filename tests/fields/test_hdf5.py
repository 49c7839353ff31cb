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
    refused(ArraySource(dataset, follow_links=True), "no source is given for 288 of its 576")
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
