"""What was finished of a long run: a record for each block, which survives whoever wrote it."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
import zlib
from pathlib import Path

import numpy as np

_files: dict[tuple[str, str], Journal] = {}
_lock = threading.Lock()


class Journal:
    """A file of one process in the folder of a journal.

    A record is one line: the block, the totals of its samples as hexadecimal floats, and a
    checksum. Each process writes a file of its own and never goes on with one that it found, so
    that a torn last line is the worst that a kill can leave; `read` passes over it.

    Parameters
    ----------
    folder : path
        Made where it does not exist. All workers must see it.
    run : str
        What is computed from what: a digest of model, tiling, blocks and source.
    """

    def __init__(self, folder, run):
        self.process = os.getpid()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{run}-{socket.gethostname()}-{self.process}-{uuid.uuid4().hex[:8]}.jsonl"
        self._path = folder / name
        self._lock = threading.Lock()
        # What others had finished when this process began, perhaps in place of one that was lost.
        self.found = self.read(folder, run)

    @classmethod
    def of_process(cls, folder, run) -> Journal:
        """Return this process's file of a run."""
        with _lock:
            journal = _files.get((str(folder), run))
            if journal is None or journal.process != os.getpid():
                journal = _files[str(folder), run] = cls(folder, run)
            return journal

    def write(self, block, totals) -> None:
        """Record a block.

        Parameters
        ----------
        block : tuple of int
        totals : ndarray of shape (n_samples, n_outputs)
        """
        text = json.dumps(
            [list(block), [[value.hex() for value in row] for row in totals.tolist()]]
        )
        line = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        # One unbuffered write: what was written outlives the process.
        with self._lock, open(self._path, "ab", buffering=0) as file:
            file.write(line)

    def sync(self) -> None:
        """Have the system put what was written on the disk."""
        with open(self._path, "ab") as file:
            os.fsync(file.fileno())

    @staticmethod
    def read(folder, run) -> dict[tuple[int, ...], np.ndarray]:
        """Return the blocks that are recorded of a run, with their totals.

        Lines that are torn or damaged are passed over: their blocks are computed again.
        """
        done = {}
        for path in sorted(Path(folder).glob(f"{run}-*.jsonl")):
            for line in path.read_bytes().splitlines(keepends=True):
                record = _parsed(line)
                if record is not None:
                    block, totals = record
                    done[tuple(block)] = np.array(
                        [[float.fromhex(value) for value in row] for row in totals]
                    )
        return done


def _parsed(line):
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return json.loads(text)
