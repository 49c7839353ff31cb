"""An append-only log of finished blocks, which survives a killed worker."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from .._utils.writing import kind_of, naming_errors

_files: dict[tuple[str, str], Journal] = {}
_lock = threading.Lock()


class Journal:
    """The file of one process in the folder of a journal.

    A record is one line: a checksum, the run, the block, and the totals of its samples as
    hexadecimal floats. Each process creates a file with a unique name and never appends to existing
    files, so that a kill damages at most the last line, which `read` skips. Several runs, and
    several computations of one run, may share a folder.

    Parameters
    ----------
    folder : path
        Created if it does not exist. All workers must have access.
    run : str
        Hash of model, tiling, blocks and source.
    n_outputs : int
        Number of outputs of a total.
    """

    def __init__(self, folder, run, n_outputs):
        self.process = os.getpid()
        folder = Path(folder)
        require_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{run}-{socket.gethostname()}-{self.process}-{uuid.uuid4().hex[:8]}.jsonl"
        self._path, self._run = folder / name, run
        self._created = False
        self._lock = threading.Lock()
        # Blocks that other processes finished before this one started, maybe to replace a lost one.
        self.found = self.read(folder, run, n_outputs)

    @classmethod
    def of_process(cls, folder, run, n_outputs) -> Journal:
        """Return the file of this process for a run."""
        with _lock:
            journal = _files.get((str(folder), run))
            if journal is None or journal.process != os.getpid():
                journal = _files[str(folder), run] = cls(folder, run, n_outputs)
            return journal

    def write(self, block, totals) -> None:
        """Record a block.

        Parameters
        ----------
        block : tuple of int
        totals : ndarray of shape (n_samples, n_outputs)
        """
        rows = [[value.hex() for value in row] for row in totals.tolist()]
        text = json.dumps([self._run, list(block), rows])
        line = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        # Unbuffered, so that records survive the process.
        with self._lock, naming_errors(self._path), self._open() as file:
            size = file.seek(0, os.SEEK_END)
            try:
                while line:  # a nearly full disk accepts only a part
                    line = line[file.write(line) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise

    def sync(self) -> None:
        """Sync all records to disk."""
        with self._lock, naming_errors(self._path), self._open() as file:
            os.fsync(file.fileno())

    def _open(self):
        """Open the file for appending, create it first, and never follow a link."""
        if self._created:
            with suppress(FileNotFoundError):  # removed in the meantime: create it again
                return open(self._path, "ab", buffering=0, opener=_append)
        file = open(self._path, "xb", buffering=0)
        self._created = True
        return file

    @staticmethod
    def read(folder, run, n_outputs) -> dict[tuple[int, ...], np.ndarray]:
        """Return the recorded blocks of a run, with their totals.

        Damaged lines are skipped, so that their blocks are computed again.

        Raises
        ------
        OSError
            If the folder or one of its files is something else.
        ValueError
            If an intact record does not belong to this run.
        """
        folder = Path(folder)
        require_folder(folder)
        done = {}
        for path in sorted(folder.glob(f"{run}-*.jsonl")):
            _require_file(path)
            for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
                text = _whole(line)
                if text is not None:
                    try:
                        block, totals = _parsed(text, run, n_outputs)
                    except (ValueError, TypeError, OverflowError, RecursionError) as error:
                        raise ValueError(
                            f"{path}: line {number} is not a record of this run: {error}. Remove "
                            "the "
                            "file to compute its blocks again, or use another journal."
                        ) from None
                    done[block] = totals
        return done


def require_folder(folder) -> None:
    """Raise OSError if the path of a journal exists and is not a folder."""
    if not os.path.lexists(folder):
        return
    try:
        kind = kind_of(os.stat(folder).st_mode)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"journal={str(folder)!r} is a link to {os.path.realpath(folder)}, which does not "
            "exist. Create that folder, or use another."
        ) from None
    if kind != "a folder":
        raise NotADirectoryError(
            f"journal={str(folder)!r} must be a folder or not exist yet, but it is {kind}. Use "
            "another name."
        )


def _require_file(path) -> None:
    try:
        kind = kind_of(os.stat(path).st_mode)
    except FileNotFoundError:
        kind = f"a link to {os.path.realpath(path)}, which does not exist"
    if kind != "a file":
        raise FileExistsError(f"{path} must be a file of the journal, but it is {kind}. Remove it.")


def _append(name, flags) -> int:
    return os.open(name, (flags & ~os.O_CREAT) | getattr(os, "O_NOFOLLOW", 0))


def _whole(line) -> bytes | None:
    """Return the text of a line, None if its checksum is wrong."""
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return text


def _parsed(text, run, n_outputs) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the block and the totals of a record; raise if it is invalid."""
    record = json.loads(text)
    if not isinstance(record, list) or len(record) != 3:
        raise ValueError("expected a run, a block and its totals")
    if record[0] != run:
        raise ValueError(f"it belongs to the run {str(record[0])[:70]!r}")
    block, rows = record[1:]
    if not _is_block(block):
        raise ValueError(f"{str(block)[:70]} is not a block")
    totals = np.array([[float.fromhex(value) for value in row] for row in rows], dtype=float)
    expected = block[2] - block[1], n_outputs
    if totals.shape != expected:
        raise ValueError(f"expected totals of shape {expected}, got {totals.shape}")
    return tuple(block), totals


def _is_block(block) -> bool:
    """Return whether a list contains the integers of a block: a stack, then ranges in pairs."""
    return (
        isinstance(block, list)
        and len(block) >= 3
        and len(block) % 2 == 1
        and all(type(number) is int and number >= 0 for number in block)
        and all(start < stop for start, stop in zip(block[1::2], block[2::2], strict=True))
    )
