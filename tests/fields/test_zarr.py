"""Zarr arrays with holes, which zarr fills in, and links out of their store."""

import os

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.fields import ArraySource
from sk_ednn.fields._in_memory import in_memory
from tests.fields._stored import X, Y, accepted, model, refused


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("in_group", [False, True])
def test_chunks_of_zarr_that_are_lost(tmp_path, zarr_format, in_group):
    zarr = pytest.importorskip("zarr")
    store = zarr.open_group(tmp_path / "z", mode="w", zarr_format=zarr_format)
    make = store.require_group("inner").create_array if in_group else store.create_array
    array = make("X", data=X, chunks=(2, 8, 3))
    accepted(ArraySource(array))
    chunks = [p for p in (tmp_path / "z").rglob("*") if p.is_file() and p.name[0] not in ".z"]
    os.remove(sorted(p for p in chunks if p.suffix != ".json")[3])
    refused(ArraySource(array), "is not in the store")
    filled = ArraySource(array, missing_chunks="fill").read_all()
    assert (filled != X).sum() == 2 * 8 * 3


@pytest.mark.parametrize("location", ["start", "end"])
def test_chunks_that_are_lost_within_a_shard(tmp_path, location):
    zarr = pytest.importorskip("zarr")
    from zarr.codecs import ShardingCodec

    def make(name, **options):
        codec = ShardingCodec(chunk_shape=(2, 4, 3), index_location=location)
        return zarr.create_array(
            tmp_path / name, shape=X.shape, dtype="f8", chunks=(4, 8, 6), serializer=codec,
            compressors=None, filters=None, **options,
        )  # fmt: skip

    array = make("whole")
    array[:] = X
    accepted(ArraySource(array))
    array = make("holes")
    array[:6] = X[:6]
    array[8:] = X[8:]
    box = (slice(0, 6), slice(1, 8), slice(0, 6))
    np.testing.assert_array_equal(ArraySource(array).read(box), X[box])
    refused(ArraySource(array), r"chunk \(1, 0, 0\) is not in the shard")
    for k in range(2, 12, 4):
        array[k : k + 2] = X[k : k + 2]
    array[6:8] = X[6:8]
    accepted(ArraySource(array))


def test_shards_that_are_lost_or_cut_short(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "X", data=X, chunks=(2, 4, 3), shards=(4, 8, 6))
    accepted(ArraySource(array))
    (path,) = (p for p in (tmp_path / "X").rglob("1/0/0"))
    content = path.read_bytes()
    path.write_bytes(content[:20])
    refused(ArraySource(array), "is cut short")
    os.remove(path)
    refused(ArraySource(array), "is not in the store")


# --- links and pipes ------------------------------------------------------------------------------


def in_folder(folder, **options):
    """Return an array in a group of a store, and the folder of its chunks."""
    zarr = pytest.importorskip("zarr")
    array = zarr.open_group(folder, mode="w").create_array(
        "inner/X", data=X, chunks=(6, 8, 6), **options
    )
    return array, folder / "inner/X/c"


def refused_in_all_ways(array, words):
    ways = {
        "source": lambda: ArraySource(array),
        "filling source": lambda: ArraySource(array, missing_chunks="fill"),
        "predict": lambda: model().predict(array),
        "fit": lambda: EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(array, Y),
        "totals": lambda: in_memory(array, "y"),
    }
    for name, use in ways.items():
        with pytest.raises(ValueError, match=words):
            use()
            pytest.fail(name)


@pytest.mark.parametrize("what", ["chunk", "chunks", "array", "group"])
def test_links_out_of_a_store_are_followed_only_where_that_is_asked_for(what, tmp_path):
    array, chunks = in_folder(tmp_path / "z")
    part = {"chunk": chunks / "1/0/0", "chunks": chunks, "array": chunks.parent,
            "group": tmp_path / "z/inner"}[what]  # fmt: skip
    part.rename(tmp_path / "elsewhere")
    part.symlink_to(tmp_path / "elsewhere")
    refused_in_all_ways(array, r"is a link to .*elsewhere, outside of the store")
    accepted(ArraySource(array, follow_links=True))


def test_links_within_a_store_are_followed(tmp_path):
    array, chunks = in_folder(tmp_path / "z")
    (chunks / "1").rename(tmp_path / "z/moved")
    (chunks / "1").symlink_to(tmp_path / "z/moved")
    (tmp_path / "z/moved/circle").symlink_to(chunks)
    (chunks / "2").symlink_to("gone")  # of which nothing is read
    accepted(ArraySource(array))
    (tmp_path / "z/moved/0/0").rename(tmp_path / "elsewhere")
    (tmp_path / "z/moved/0/0").symlink_to(tmp_path / "elsewhere")
    refused_in_all_ways(array, r"c/1/0/0 is a link to .*elsewhere, outside")


def test_a_store_may_be_a_link_itself(tmp_path):
    zarr = pytest.importorskip("zarr")
    in_folder(tmp_path / "z")
    (tmp_path / "link").symlink_to("z")
    accepted(ArraySource(zarr.open(tmp_path / "link", mode="r")["inner/X"]))


def test_pipes_among_chunks_are_named(tmp_path):
    array, chunks = in_folder(tmp_path / "z")
    (chunks / "1/0/0").unlink()
    os.mkfifo(chunks / "1/0/0")
    refused_in_all_ways(array, r"c/1/0/0 in the store is a named pipe")


def test_other_arrays_of_a_store_do_not_matter(tmp_path):
    zarr = pytest.importorskip("zarr")
    array, _ = in_folder(tmp_path / "z")
    zarr.open_group(tmp_path / "z", mode="a").create_array("other", data=X)
    (tmp_path / "z/other/elsewhere").symlink_to(tmp_path)
    accepted(ArraySource(array))


def test_chunks_without_sites_are_named():
    zarr = pytest.importorskip("zarr")
    try:
        array = zarr.create_array({}, shape=X.shape, dtype="f8", chunks=(0, 8, 6))
    except ValueError:
        pytest.skip("this version of zarr creates no such array")
    words = r"of shape \(12, 8, 6\) has chunks of shape \(0, 8, 6\), which have no sites"
    refused_in_all_ways(array, words)
