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
    """A file of one process in the folder of a journal.

    A record is one line: a checksum, the run, the block, and the totals of its samples as
    hexadecimal floats. Each process makes a file under a name that no other has, and never goes on
    with one that it found, so that a torn last line is the worst that a kill can leave; `read`
    passes over it. Several runs, and several computations of one run, may share a folder.

    Parameters
    ----------
    folder : path
        Made where it does not exist. All workers must see it.
    run : str
        What is computed from what: a digest of model, tiling, blocks and source.
    n_outputs : int
        Numbers of a total.
    """

    def __init__(self, folder, run, n_outputs):
        self.process = os.getpid()
        folder = Path(folder)
        require_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{run}-{socket.gethostname()}-{self.process}-{uuid.uuid4().hex[:8]}.jsonl"
        self._path, self._run = folder / name, run
        self._begun = False
        self._lock = threading.Lock()
        # What others had finished when this process began, perhaps in place of one that was lost.
        self.found = self.read(folder, run, n_outputs)

    @classmethod
    def of_process(cls, folder, run, n_outputs) -> Journal:
        """Return this process's file of a run."""
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
        # Unbuffered: what was written outlives the process.
        with self._lock, naming_errors(self._path), self._open() as file:
            size = file.seek(0, os.SEEK_END)
            try:
                while line:  # a disk that is nearly full takes a part
                    line = line[file.write(line) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise

    def sync(self) -> None:
        """Have the system put what was written on the disk."""
        with self._lock, naming_errors(self._path), self._open() as file:
            os.fsync(file.fileno())

    def _open(self):
        """Open the file to append to it: a new one at first, never one through a link."""
        if self._begun:
            with suppress(FileNotFoundError):  # somebody removed it: begin anew
                return open(self._path, "ab", buffering=0, opener=_append)
        opened = open(self._path, "xb", buffering=0)
        self._begun = True
        return opened

    @staticmethod
    def read(folder, run, n_outputs) -> dict[tuple[int, ...], np.ndarray]:
        """Return the blocks that are recorded of a run, with their totals.

        Lines that are torn or damaged are passed over: their blocks are computed again.

        Raises
        ------
        OSError
            Where something else than files is in the place of the folder or its files.
        ValueError
            Where a record is whole, and not one of this run.
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
                            f"{path}: line {number} is no record of this run: {error}. Remove the "
                            "file, so that its blocks are computed again, or give another journal."
                        ) from None
                    done[block] = totals
        return done


def require_folder(folder) -> None:
    """Raise where something else than a folder is in the place of a journal.

    Raises
    ------
    OSError
    """
    if not os.path.lexists(folder):
        return
    try:
        kind = kind_of(os.stat(folder).st_mode)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"journal={str(folder)!r} is a link to {os.path.realpath(folder)}, which does not "
            "exist: make that folder, or give another."
        ) from None
    if kind != "a folder":
        raise NotADirectoryError(
            f"journal={str(folder)!r} must be a folder, or not exist yet; it is {kind}."
        )


def _require_file(path) -> None:
    try:
        kind = kind_of(os.stat(path).st_mode)
    except FileNotFoundError:
        kind = f"a link to {os.path.realpath(path)}, which does not exist"
    if kind != "a file":
        raise FileExistsError(f"{path} must be a file of the journal; it is {kind}. Remove it.")


def _append(name, flags) -> int:
    return os.open(name, (flags & ~os.O_CREAT) | getattr(os, "O_NOFOLLOW", 0))


def _whole(line) -> bytes | None:
    """Return the text of a line whose checksum is right."""
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return text


def _parsed(text, run, n_outputs) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the block of a record and its totals, or raise where it has none."""
    record = json.loads(text)
    if not isinstance(record, list) or len(record) != 3:
        raise ValueError("expected a run, a block and its totals")
    if record[0] != run:
        raise ValueError(f"it belongs to the run {str(record[0])[:70]!r}")
    block, rows = record[1:]
    if not _is_block(block):
        raise ValueError(f"{str(block)[:70]} is no block")
    totals = np.array([[float.fromhex(value) for value in row] for row in rows], dtype=float)
    expected = block[2] - block[1], n_outputs
    if totals.shape != expected:
        raise ValueError(f"expected totals of shape {expected}, got {totals.shape}")
    return tuple(block), totals


def _is_block(block) -> bool:
    """Tell whether these are the integers of a block: a stack, then ends of ranges in pairs."""
    return (
        isinstance(block, list)
        and len(block) >= 3
        and len(block) % 2 == 1
        and all(type(each) is int and each >= 0 for each in block)
        and all(start < stop for start, stop in zip(block[1::2], block[2::2], strict=True))
    )
