"""One SQLite file with the state of a search, written by its driver alone."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import numpy as np

from .._utils.writing import kind_of
from ..structures import Structure
from ._label import Label

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE structures (
    id INTEGER PRIMARY KEY,
    numbers BLOB NOT NULL, positions BLOB NOT NULL, cell BLOB NOT NULL, pbc BLOB NOT NULL,
    origin TEXT NOT NULL, parents TEXT NOT NULL,
    predicted REAL, std REAL, model INTEGER,
    state TEXT NOT NULL CHECK (state IN ('queued', 'labelled', 'failed')),
    energy REAL, forces BLOB, stress BLOB, why TEXT, seconds REAL);
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, started REAL NOT NULL, finished REAL,
    seconds REAL, result TEXT);
CREATE TABLE models (
    id INTEGER PRIMARY KEY, n_labels INTEGER NOT NULL, errors TEXT NOT NULL, made REAL NOT NULL);
CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE TABLE commands (id INTEGER PRIMARY KEY, name TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0);
"""


class SearchStore:
    """Structures, tasks, models, events and commands of a search, in one SQLite file.

    Each method is one transaction, which is on disk when it returns: after a kill, the file is in
    the state after the last transaction. The write-ahead log is beside the file until it is closed.

    Parameters
    ----------
    path : path-like
        Created if it does not exist. Use a local disk, since SQLite's locks do not work on all
        network file systems.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sk_ednn.search import Label, SearchStore
    >>> from sk_ednn.structures import Structure
    >>> pair = Structure([18, 18], [[0, 0, 0], [0, 0, 3.8]], [[9, 0, 0], [0, 9, 0], [0, 0, 9]])
    >>> with TemporaryDirectory() as folder, SearchStore(Path(folder) / "argon.db") as store:
    ...     k = store.add_structure(pair, origin="start")
    ...     store.finish_label(k, Label(-0.0104), seconds=1.5)
    ...     store.counts()
    {'queued': 0, 'labelled': 1, 'failed': 0}
    """

    def __init__(self, path):
        self.path = Path(path)
        _require_place(self.path)
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} cannot be opened: {error}.") from error
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            # On the disk at each commit, power failures included.
            self._db.execute("PRAGMA synchronous=FULL")
            self._open()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(
                f"{self.path} is not the file of a search, or is damaged: {error}. Give another "
                "path, or a copy from a backup."
            ) from error
        except BaseException:
            self._db.close()
            raise

    def _open(self):
        # In one transaction: another process may open the new file at the same time.
        with self._transaction() as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if not tables:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
                return
        if "meta" not in tables:
            raise ValueError(f"{self.path} is an SQLite file, but not that of a search.")
        version = self.get("schema")
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"{self.path} has schema version {version}; this release reads {SCHEMA_VERSION}. "
                "Open it with the release that wrote it."
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the file; the write-ahead log is merged into it."""
        self._db.close()

    # --- settings ---------------------------------------------------------------------------

    def get(self, name, default=None):
        """Return a setting of the search; `default` if it is not set."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set(self, name, value):
        """Store a setting of the search: any JSON value."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    # --- structures -------------------------------------------------------------------------

    def add_structure(
        self, structure, origin, parents=(), *, predicted=None, std=None, model=None
    ) -> int:
        """Add a structure that waits for a label; return its number.

        Parameters
        ----------
        structure : Structure
        origin : str
            Operator that made it.
        parents : sequence of int
        predicted, std : float, default=None, in eV
            Energy and its standard deviation by the surrogate.
        model : int, default=None
            Number of the surrogate.
        """
        with self._transaction() as db:
            return db.execute(
                "INSERT INTO structures (numbers, positions, cell, pbc, origin, parents, "
                "predicted, std, model, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued')",
                (
                    *_packed(structure), origin, json.dumps(list(parents)),
                    predicted, std, model,
                ),
            ).lastrowid  # fmt: skip

    def finish_label(self, number, label, *, seconds):
        """Store the label of a structure.

        Raises
        ------
        ValueError
            If the structure has a label, or the number is unknown.
        """
        forces = None if label.forces is None else np.asarray(label.forces, np.float64).tobytes()
        stress = None if label.stress is None else np.asarray(label.stress, np.float64).tobytes()
        self._finish(
            number, "state = 'labelled', energy = ?, forces = ?, stress = ?, seconds = ?",
            (float(label.energy), forces, stress, seconds),
        )  # fmt: skip

    def fail_label(self, number, why, *, seconds):
        """Store the reason why a structure has no label."""
        self._finish(number, "state = 'failed', why = ?, seconds = ?", (str(why), seconds))

    def retry_failed(self) -> list:
        """Queue structures with failed labels again; return their numbers."""
        with self._transaction() as db:
            rows = db.execute("SELECT id FROM structures WHERE state = 'failed' ORDER BY id")
            numbers = [number for (number,) in rows]
            db.execute(
                "UPDATE structures SET state = 'queued', why = NULL, seconds = NULL "
                "WHERE state = 'failed'"
            )
        return numbers

    def _finish(self, number, changes, values):
        with self._transaction() as db:
            done = db.execute(
                f"UPDATE structures SET {changes} WHERE id = ? AND state = 'queued'",
                (*values, number),
            )
            if done.rowcount != 1:
                raise ValueError(f"Structure {number} does not wait for a label.")

    def structures(self, state=None) -> list:
        """Return all structures, or those of one state, in the order in which they were added.

        Parameters
        ----------
        state : {"queued", "labelled", "failed"}, default=None

        Returns
        -------
        list of dict
            With ``id``, ``structure``, ``label`` (None if there is none), ``origin``,
            ``parents``, ``predicted``, ``std``, ``model``, ``state``, ``why`` and ``seconds``.
        """
        rows = self._db.execute(
            "SELECT id, numbers, positions, cell, pbc, energy, forces, stress, origin, parents, "
            "predicted, std, model, state, why, seconds FROM structures "
            "WHERE ? IS NULL OR state = ? ORDER BY id",
            (state, state),
        )
        found = []
        for row in rows:
            try:
                found.append(_unpacked(row))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{self.path}: structure {row[0]} is damaged: {error}.") from error
        return found

    def counts(self) -> dict:
        """Return the number of structures in each state."""
        counts = {"queued": 0, "labelled": 0, "failed": 0}
        counts.update(self._db.execute("SELECT state, COUNT(*) FROM structures GROUP BY state"))
        return counts

    def failures(self) -> dict:
        """Return the reasons why labels failed, with their numbers, the most frequent first."""
        return dict(
            self._db.execute(
                "SELECT COALESCE(why, ''), COUNT(*) FROM structures WHERE state = 'failed' "
                "GROUP BY 1 ORDER BY COUNT(*) DESC, MIN(id)"
            )
        )

    # --- tasks, models, events, commands ----------------------------------------------------

    def start_task(self, kind) -> int:
        """Record that a task begins; return its number, which seeds it."""
        with self._transaction() as db:
            return db.execute(
                "INSERT INTO tasks (kind, started) VALUES (?, ?)", (kind, time.time())
            ).lastrowid

    def finish_task(self, number, result, seconds=None):
        """Record the result of a task, and its seconds."""
        with self._transaction() as db:
            db.execute(
                "UPDATE tasks SET finished = ?, seconds = ?, result = ? WHERE id = ?",
                (time.time(), seconds, str(result), number),
            )

    def tasks(self, kind=None) -> list:
        """Return tasks, or those of one kind: (kind, started, finished, seconds, result)."""
        return self._db.execute(
            "SELECT kind, started, finished, seconds, result FROM tasks "
            "WHERE ? IS NULL OR kind = ? "
            "ORDER BY id",
            (kind, kind),
        ).fetchall()

    def add_model(self, n_labels, errors) -> int:
        """Record that a surrogate was fitted; return its number."""
        with self._transaction() as db:
            return db.execute(
                "INSERT INTO models (n_labels, errors, made) VALUES (?, ?, ?)",
                (n_labels, json.dumps(errors), time.time()),
            ).lastrowid

    def models(self) -> list:
        """Return (number, number of labels, errors) of all surrogates."""
        rows = self._db.execute("SELECT id, n_labels, errors FROM models ORDER BY id")
        return [(k, n, json.loads(errors)) for k, n, errors in rows]

    def add_event(self, kind, text):
        """Record an event."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO events (at, kind, text) VALUES (?, ?, ?)", (time.time(), kind, text)
            )

    def events(self) -> list:
        """Return (time, kind, text) of all events."""
        return self._db.execute("SELECT at, kind, text FROM events ORDER BY id").fetchall()

    def command(self, name):
        """Send a command to the driver: "pause", "resume", "stop" or "retry"."""
        with self._transaction() as db:
            db.execute("INSERT INTO commands (name) VALUES (?)", (name,))

    def take_commands(self) -> list:
        """Return the names of new commands, and mark them as taken."""
        with self._transaction() as db:
            names = [n for (n,) in db.execute("SELECT name FROM commands WHERE done = 0")]
            db.execute("UPDATE commands SET done = 1 WHERE done = 0")
        return names

    def _transaction(self):
        return _Transaction(self._db)


def _require_place(path):
    """Raise ValueError if no file can be at a path; links are followed."""
    goal = Path(os.path.realpath(path))
    if not goal.parent.is_dir():
        what = f"is a link to {goal}, whose folder does not exist" if path.is_symlink() else None
        raise ValueError(
            f"{path} {what or 'has no folder to be in'}. Expected the file of a search."
        )
    if goal.exists() and not goal.is_file():
        kind = kind_of(goal.stat().st_mode)
        raise ValueError(f"{path} is {kind}. Expected the file of a search.")


class _Transaction:
    """All statements of a block, or none."""

    def __init__(self, db):
        self._db = db

    def __enter__(self):
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind, *_):
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _packed(structure):
    return (
        np.asarray(structure.numbers, np.int64).tobytes(),
        np.asarray(structure.positions, np.float64).tobytes(),
        np.asarray(structure.cell, np.float64).tobytes(),
        np.asarray(structure.pbc, bool).tobytes(),
    )


def _unpacked(row) -> dict:
    k, numbers, positions, cell, pbc, energy, forces, stress, *rest = row
    structure = Structure(
        np.frombuffer(numbers, np.int64).copy(),
        np.frombuffer(positions).reshape(-1, 3).copy(),
        np.frombuffer(cell).reshape(3, 3).copy(),
        np.frombuffer(pbc, bool).copy(),
    )
    label = None
    if energy is not None:
        label = Label(
            energy,
            None if forces is None else np.frombuffer(forces).reshape(-1, 3).copy(),
            None if stress is None else np.frombuffer(stress).reshape(3, 3).copy(),
        )
    names = ("origin", "parents", "predicted", "std", "model", "state", "why", "seconds")
    columns = dict(zip(names, rest, strict=True))
    columns["parents"] = json.loads(columns["parents"])
    return {"id": k, "structure": structure, "label": label, **columns}
