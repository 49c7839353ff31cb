"""The file of a search survives whoever writes it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from sk_ednn.search import Label, SearchStore
from sk_ednn.structures import Structure

PAIR = Structure(
    np.array([18, 18]), np.array([[0.0, 0, 0], [0, 0, 3.8]]), 9 * np.eye(3), np.array([True] * 3)
)


def test_what_is_written_is_read(tmp_path):
    label = Label(-0.25, np.arange(6.0).reshape(2, 3), np.eye(3))
    with SearchStore(tmp_path / "s.db") as store:
        first = store.add_structure(PAIR, "rattle", [3, 4], predicted=-0.2, std=0.1, model=2)
        second = store.add_structure(PAIR, "start")
        store.finish_label(first, label, seconds=2.0)
        store.fail_label(second, "exploded", seconds=1.0)
        store.set("composition", {"Ar": 2})
    with SearchStore(tmp_path / "s.db") as store:
        one, two = store.structures()
        assert store.get("composition") == {"Ar": 2}
        assert store.counts() == {"queued": 0, "labelled": 1, "failed": 1}
    np.testing.assert_array_equal(one["structure"].positions, PAIR.positions)
    np.testing.assert_array_equal(one["label"].forces, label.forces)
    assert (one["origin"], one["parents"], one["std"]) == ("rattle", [3, 4], 0.1)
    assert two["label"] is None and two["why"] == "exploded"


def test_no_label_is_kept_twice(tmp_path):
    with SearchStore(tmp_path / "s.db") as store:
        k = store.add_structure(PAIR, "start")
        store.finish_label(k, Label(-1.0), seconds=0.0)
        with pytest.raises(ValueError, match="does not wait for a label"):
            store.finish_label(k, Label(-2.0), seconds=0.0)
        assert store.structures()[0]["label"].energy == -1.0


def test_commands_are_taken_once(tmp_path):
    with SearchStore(tmp_path / "s.db") as store:
        with SearchStore(tmp_path / "s.db") as other:
            other.command("pause")
        assert store.take_commands() == ["pause"]
        assert store.take_commands() == []


@pytest.mark.parametrize("content", [b"no database at all, only text " * 40])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "s.db").write_bytes(content)
    with pytest.raises(ValueError, match="not the file of a search"):
        SearchStore(tmp_path / "s.db")
    assert (tmp_path / "s.db").read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to("pipe.db")
    (tmp_path / "lost.db").symlink_to(tmp_path / "nowhere" / "a.db")
    for name, words in (
        ("pipe.db", "is a named pipe"), ("link.db", "is a named pipe"), (".", "is a folder"),
        ("lost.db", r"is a link to .*nowhere.a\.db, whose folder does not exist"),
        ("none/a.db", "has no folder to be in"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf"{words}.*Expected the file of a search"):
            SearchStore(tmp_path / name)
    (tmp_path / "goal.db").symlink_to("real.db")
    with SearchStore(tmp_path / "goal.db") as store:
        store.set("a", 1)
    assert (tmp_path / "real.db").is_file() and (tmp_path / "goal.db").is_symlink()


def test_other_databases_and_schemas_are_refused(tmp_path):
    other = sqlite3.connect(tmp_path / "o.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(ValueError, match="not that of a search"):
        SearchStore(tmp_path / "o.db")
    with SearchStore(tmp_path / "s.db") as store:
        store.set("schema", 99)
    with pytest.raises(ValueError, match="schema version 99"):
        SearchStore(tmp_path / "s.db")


WRITER = """
import sys
import numpy as np
from sk_ednn.search import Label, SearchStore
from sk_ednn.structures import Structure
pair = Structure(np.array([18, 18]), np.array([[0.0, 0, 0], [0, 0, 3.8]]), 9 * np.eye(3),
                 np.array([True] * 3))
store = SearchStore(sys.argv[1])
while True:
    k = store.add_structure(pair, "start")
    store.finish_label(k, Label(-float(k), np.zeros((2, 3))), seconds=0.0)
    print(k, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_finished(tmp_path):
    path = tmp_path / "s.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        for _ in range(3):
            for _ in range(10):
                finished = int(writer.stdout.readline())
            # A copy mid-write: pages that belong together may not be.
            copy = tmp_path / f"copy{finished}"
            copy.mkdir()
            for name in ("s.db-wal", "s.db"):
                if (tmp_path / name).exists():
                    shutil.copy(tmp_path / name, copy / name)
            os.truncate(copy / "s.db-wal", (copy / "s.db-wal").stat().st_size - 100)
        writer.send_signal(signal.SIGKILL)
        finished = max([finished, *(int(line) for line in writer.stdout.read().split())])
    with SearchStore(path) as store:
        labelled = store.structures("labelled")
    assert [row["id"] for row in labelled][:finished] == list(range(1, finished + 1))
    assert all(row["label"].energy == -row["id"] for row in labelled)
    for copy in tmp_path.glob("copy*"):
        with SearchStore(copy / "s.db") as store:
            rows = store.structures("labelled")
        # A torn end of the log: a prefix of the history, no mixture.
        assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
        assert all(row["label"].energy == -row["id"] for row in rows)


@pytest.mark.parametrize("name", ["out.extxyz", "out.db"])
def test_export(tmp_path, name):
    pytest.importorskip("ase")
    import ase.io

    from sk_ednn.search import export

    with SearchStore(tmp_path / "s.db") as store:
        k = store.add_structure(PAIR, "start")
        store.finish_label(k, Label(-0.5, np.ones((2, 3)), np.diag([1.0, 2, 3])), seconds=0.0)
        store.add_structure(PAIR, "start")
        assert export(store, tmp_path / name) == 1
        with pytest.raises(FileExistsError, match="exists"):
            export(store, tmp_path / name)
    (atoms,) = ase.io.read(tmp_path / name, ":")
    assert atoms.get_potential_energy() == -0.5
    np.testing.assert_allclose(atoms.get_stress(), [1, 2, 3, 0, 0, 0])
