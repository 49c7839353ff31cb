"""Journals read their records, and reject whatever else is in their place."""

import json
import os
import sys
import zlib

import numpy as np
import pytest

pytest.importorskip("dask.array")

from sk_ednn._parallel.journal import Journal
from sk_ednn.evaluation import DaskBlocks, Direct
from tests.evaluation.test_dask import Formula, fit, lines, run

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")

RUN, BLOCK = "0123abcd", (0, 0, 2, 0, 4, 0, 4)
TOTALS = np.array([[1.5], [-2.0]])


def record(*values):
    """Return a line whose checksum is right."""
    text = json.dumps(values[0] if len(values) == 1 else list(values))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


HEX = [[value.hex() for value in row] for row in TOTALS.tolist()]
WHOLE = record(RUN, list(BLOCK), HEX)


def read(folder):
    return Journal.read(folder, RUN, 1)


def test_records_are_read_back(tmp_path):
    journal = Journal(tmp_path / "new" / "journal", RUN, 1)
    journal.write(BLOCK, TOTALS)
    (path,) = (tmp_path / "new" / "journal").iterdir()
    assert path.read_bytes() == WHOLE
    (result,) = read(path.parent).items()
    assert result[0] == BLOCK
    np.testing.assert_array_equal(result[1], TOTALS)
    assert Journal.read(path.parent, "other", 1) == {}


@pytest.mark.parametrize("cut", range(1, len(WHOLE) + 1, 7))
def test_a_torn_last_record_is_skipped(tmp_path, cut):
    other = record(RUN, [0, 2, 3, 0, 4, 0, 4], [["0x1p+0"]])
    (tmp_path / f"{RUN}-a.jsonl").write_bytes(other + WHOLE[:-cut])
    assert list(read(tmp_path)) == [(0, 2, 3, 0, 4, 0, 4)]


BAD = {
    "another run": (record("ffff", list(BLOCK), HEX), "it belongs to the run 'ffff'"),
    "no run": (record(list(BLOCK), HEX), "expected a run, a block and its totals"),
    "a run that is a number": (record(1, list(BLOCK), HEX), "it belongs to the run '1'"),
    "no list": (record({"run": RUN}), "expected a run, a block and its totals"),
    "no JSON": (b"%08x nonsense\n" % zlib.crc32(b"nonsense"), "Expecting value"),
    "no text": (b"%08x \xff\n" % zlib.crc32(b"\xff"), "can't decode|decode"),
    "a block of words": (record(RUN, ["a"] * 7, HEX), "is not a block"),
    "a block of fractions": (record(RUN, [0.0, *BLOCK[1:]], HEX), "is not a block"),
    "a block of truths": (record(RUN, [False, *BLOCK[1:]], HEX), "is not a block"),
    "a block that ends before it begins": (record(RUN, [0, 2, 0, 0, 4, 0, 4], HEX), "not a block"),
    "a block with half a range": (record(RUN, list(BLOCK[:-1]), HEX), "is not a block"),
    "a block below zero": (record(RUN, [0, -2, 0, 0, 4, 0, 4], HEX), "is not a block"),
    "no block": (record(RUN, None, HEX), "None is not a block"),
    "too few totals": (record(RUN, list(BLOCK), HEX[:1]), r"expected totals of shape \(2, 1\)"),
    "too many outputs": (record(RUN, list(BLOCK), [r * 2 for r in HEX]), r"got \(2, 2\)"),
    "ragged totals": (record(RUN, list(BLOCK), [HEX[0], []]), ""),
    "totals that are numbers": (record(RUN, list(BLOCK), [[1.5], [2]]), ""),
    "totals that are words": (record(RUN, list(BLOCK), [["x"], ["y"]]), ""),
    "no totals": (record(RUN, list(BLOCK), None), ""),
    "totals beyond floats": (record(RUN, list(BLOCK), [["0x1p+9999"]] * 2), ""),
    "nested without end": (
        b"%08x %b\n" % (zlib.crc32(b"[" * 200_000), b"[" * 200_000), "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_intact_lines_that_are_no_records_are_rejected(tmp_path, what):
    line, why = BAD[what]
    (tmp_path / f"{RUN}-a.jsonl").write_bytes(WHOLE + line + WHOLE)
    words = rf"{RUN}-a\.jsonl: line 2 is not a record of this run: .*{why}"
    with pytest.raises(ValueError, match=words) as caught:
        read(tmp_path)
    assert "Remove the file" in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(tmp_path))


def predict(folder, X=None):
    model = fit()
    model.evaluation_ = DaskBlocks(Direct(max_tiles=20), journal=folder)
    return model.predict([Formula((40, 40)) if X is None else X])


def test_a_journal_renamed_to_another_run_is_rejected(tmp_path):
    expected = predict(tmp_path).compute()
    (first,) = tmp_path.iterdir()
    first.rename(tmp_path / "kept")
    predict(tmp_path, Formula((40, 44))).compute()
    (second,) = tmp_path.glob("*.jsonl")
    name = first.name.partition("-")[0] + "-" + second.name.partition("-")[2]
    second.rename(tmp_path / name)
    with pytest.raises(
        ValueError, match="line 1 is not a record of this run: it belongs to the run"
    ):
        predict(tmp_path)
    (tmp_path / name).unlink()
    assert predict(tmp_path).compute() == expected


@posix
def test_the_journal_must_be_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"mine")
    os.mkfifo("pipe")
    os.symlink("nowhere", "dangling")
    os.symlink("pipe", "link")
    for name, words in (
        ("file", "must be a folder or not exist yet, but it is a file"),
        ("pipe", "it is a named pipe"),
        ("link", "it is a named pipe"),
        ("/dev/null", "it is a device"),
        ("dangling", "is a link to .*nowhere, which does not exist"),
    ):
        for use in (predict, lambda name: Journal(name, RUN, 1)):
            with pytest.raises(OSError, match=rf"journal='{name}' .*{words}|{words}"):
                use(name)
    assert (tmp_path / "file").read_bytes() == b"mine"


@posix
def test_records_must_be_files(tmp_path):
    path = tmp_path / f"{RUN}-a.jsonl"
    for make, words in (
        (os.mkfifo, "it is a named pipe"),
        (os.mkdir, "it is a folder"),
        (lambda path: os.symlink("nowhere", path), "it is a link to .*nowhere, which does not"),
    ):
        make(path)
        with pytest.raises(OSError, match=rf"a\.jsonl must be a file of the journal, but {words}"):
            read(tmp_path)
        path.rmdir() if path.is_dir() else path.unlink()


@posix
def test_a_full_disk_leaves_intact_records(tmp_path):
    import resource

    journal = Journal(tmp_path, RUN, 1)
    journal.write(BLOCK, TOTALS)
    (path,) = tmp_path.iterdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(WHOLE) + 10, hard))
    try:
        with pytest.raises(OSError, match=rf"{RUN}.*\.jsonl"):
            journal.write(BLOCK, TOTALS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == WHOLE
    journal.write(BLOCK, TOTALS)  # there is room again
    assert path.read_bytes() == 2 * WHOLE


def test_a_removed_file_is_created_again(tmp_path):
    journal = Journal(tmp_path, RUN, 1)
    journal.write(BLOCK, TOTALS)
    (path,) = tmp_path.iterdir()
    path.unlink()
    journal.write(BLOCK, TOTALS)
    journal.sync()
    assert path.read_bytes() == WHOLE


@posix
def test_links_in_the_place_of_a_file_are_not_followed(tmp_path):
    (tmp_path / "victim").write_bytes(b"victim")
    for written in (False, True):
        journal = Journal(tmp_path / "journal", RUN, 1)
        if written:
            journal.write(BLOCK, TOTALS)
            journal._path.unlink()
        journal._path.symlink_to(tmp_path / "victim")
        with pytest.raises(OSError, match=RUN):
            journal.write(BLOCK, TOTALS)
        journal._path.unlink()
    assert (tmp_path / "victim").read_bytes() == b"victim"


def test_two_runs_at_once_share_a_journal(tmp_path):
    """Each process writes a file that no other has, so that neither can spoil the other's."""
    processes = [run(tmp_path, 0.01) for _ in range(2)]
    for process in processes:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        result, expected = out.split()
        assert result == expected
    n_recorded = sum(len(lines(path)) for path in (tmp_path / "journal").iterdir())
    assert 64 <= n_recorded <= 128
