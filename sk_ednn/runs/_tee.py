"""Copy what is printed to the log of a run."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress


class Tee:
    """A text stream that also writes to a log; anything else is that of the stream.

    Parameters
    ----------
    stream : text stream
    log : text stream
    """

    def __init__(self, stream, log):
        self._stream = stream
        self._log = log

    def write(self, text):
        if not isinstance(text, str):  # click asks streams in this way whether they are binary
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with suppress(OSError, ValueError):  # a full disk must not end the run
            self._log.write(text)
        return self._stream.write(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        with suppress(OSError, ValueError):
            self._log.flush()
        self._stream.flush()

    def __getattr__(self, name):
        return getattr(self._stream, name)


@contextmanager
def copied_to(path):
    """Copy standard output and error of Python to the end of a file, unless they go there already.

    Yields
    ------
    text stream
        The log.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    file = os.open(path, flags, 0o666)
    with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace", buffering=1) as log:
        streams = sys.stdout, sys.stderr
        in_place = [_goes_to(stream, log) for stream in streams]
        tees = [s if here else Tee(s, log) for s, here in zip(streams, in_place, strict=True)]
        sys.stdout, sys.stderr = tees
        try:
            yield log
        finally:
            # Others may have put streams in their place meanwhile.
            if sys.stdout is tees[0]:
                sys.stdout = streams[0]
            if sys.stderr is tees[1]:
                sys.stderr = streams[1]
            for stream in streams:
                with suppress(OSError, ValueError, AttributeError):
                    stream.flush()


def _goes_to(stream, log) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.fstat(log.fileno()))
    except (OSError, ValueError, AttributeError):
        return stream is None
