"""Read a run from its folder."""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import _environment
from ._breaks import seconds_idle
from ._files import (
    COMMANDS,
    JsonFile,
    JsonLines,
    append,
    open_regular,
    signature_of,
    write_json,
)
from ._ids import now, require_id, seconds_of

# Readings of the clock of a training with a time limit.
CLOCK = "clock.npz"
_FINAL = ("finished", "failed", "stopped")
# A run on another machine is gone after this time without a sign of life. Samples of resources
# are at most an hour apart after 25 days.
_SILENT_SECONDS = 900.0
# What the user wrote, and what belongs to the run.
_OWN = (
    "run.json", "launch.json", "status.jsonl", "metrics.jsonl", "resources.jsonl",
    "commands.jsonl", "tags.json", "result.json", "log.txt",
)  # fmt: skip
# Between the files of a run that is launched and its process.
_STARTING_SECONDS = 60.0
_LOG_BYTES = 8 * 2**20
_LONGEST_TAG = 200
_LONGEST_NOTE = 10_000
# Colours and movements of the cursor, as terminals take them.
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|.)")


class Run:
    """A run, read from its folder.

    It may be running, on this or another machine. Every access reads the current state, and parses
    only files that have changed.

    Parameters
    ----------
    path : str or Path
        Folder of the run.

    Attributes
    ----------
    id : str
    path : Path
    """

    def __init__(self, path):
        self.path = Path(path)
        self.id = require_id(self.path.name)
        if not _is_folder(self.path):
            raise FileNotFoundError(f"There is no run in {self.path}.")
        self._described = JsonFile(self.path / "run.json")
        self._launched = JsonFile(self.path / "launch.json")
        self._result = JsonFile(self.path / "result.json")
        self._tags = JsonFile(self.path / "tags.json")
        self._status = JsonLines(self.path / "status.jsonl")
        self._metrics = JsonLines(self.path / "metrics.jsonl")
        self._resources = JsonLines(self.path / "resources.jsonl")
        self._commands = JsonLines(self.path / "commands.jsonl")

    def __repr__(self):
        return f"<Run {self.id}: {self.kind}, {self.status}>"

    # --- what was asked for -------------------------------------------------------------------

    @property
    def info(self) -> dict[str, Any]:
        """Contents of ``run.json``; for a run that has not started yet, those of its launch."""
        return self._described.read() or self._launched.read() or {}

    @property
    def kind(self) -> str:
        """Such as "fit"; "unknown" if the run cannot be read."""
        return _text(self.info.get("kind"), "unknown")

    @property
    def argv(self) -> list[str] | None:
        """Arguments of ``sk-ednn`` that produce this run, or None."""
        argv = self.info.get("argv")
        return [str(word) for word in argv] if isinstance(argv, list) else None

    @property
    def repeat_argv(self) -> list[str] | None:
        """The same without output files, which are then written into the folder of a new run.

        The same applies to the store of a search, which would otherwise be continued. A training
        with a time limit replays the clock of the run.
        """
        argv = self.info.get("repeat")
        argv = [str(word) for word in argv] if isinstance(argv, list) else self.argv
        if argv and argv[:2] == ["search", "run"] and "--fresh" not in argv:
            argv = [*argv[:2], "--fresh", *argv[2:]]
        if argv and "--clock" not in argv and CLOCK in self.files():
            n = 2 if argv[0] == "count" else 1
            argv = [*argv[:n], "--clock", os.path.abspath(self.file(CLOCK)), *argv[n:]]
        return argv

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters of the run."""
        return _dict(self.info.get("settings"))

    @property
    def data(self) -> dict[str, Any]:
        """Identity of the data, by name: path, bytes, sha256, shapes."""
        return _dict(self.info.get("data"))

    @property
    def started(self) -> str:
        """Time at which it began, in UTC."""
        return _text(self.info.get("started"), "")

    @property
    def resumed_after(self) -> float:
        """Seconds from the start until it was last resumed; 0 if it never was."""
        resumed = (self._launched.read() or {}).get("resumed")
        after = seconds_of(_text(resumed, "")) - seconds_of(self.started)
        return max(after, 0.0) if after == after else 0.0

    # --- how it went --------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """One of running, finished, failed, stopped and killed.

        Killed: there is no final state, and the process no longer exists. A run on another machine
        counts as killed if it has written nothing for a quarter of an hour.
        """
        return self._state()[0]

    @property
    def message(self) -> str:
        """Message on the status, such as the error that ended the run."""
        return self._state()[1]

    @property
    def process(self) -> dict[str, Any]:
        """Number, time of creation and host of the process of the run."""
        last = self._last_state()
        if "pid" in last:
            return last
        return _dict((self._described.read() or self._launched.read() or {}).get("process"))

    def _last_state(self) -> dict[str, Any]:
        rows = [row for row in self._status.read() if isinstance(row.get("state"), str)]
        return rows[-1] if rows else {}

    def _state(self) -> tuple[str, str]:
        last = self._last_state()
        if last.get("state") in _FINAL:
            return last["state"], _text(last.get("message"), "")
        described, process = self._described.read(), self.process
        if described is None and self._launched.read() is None:
            return "failed", "run.json is missing or cannot be read"
        if not process and time.time() - _mtime(self.path / "launch.json") < _STARTING_SECONDS:
            return "running", "starting"
        if not _environment.is_here(process):
            return self._state_elsewhere(process)
        if _environment.is_alive(process):
            return "running", "paused" if self.paused else _text(last.get("message"), "")
        if described is None:
            return "failed", self._last_words() or "the process ended before the run began"
        return "killed", "the process is gone, and left no final state"

    def _last_words(self) -> str:
        """Return the last line of the log with a word in it, without the frame around it."""
        for line in reversed(self.log(tail=20).splitlines()):
            words = line.strip(" │|")
            if any(character.isalpha() for character in words):
                return words[:_LONGEST_TAG]
        return ""

    def _state_elsewhere(self, process):
        names = ("resources.jsonl", "metrics.jsonl", "status.jsonl", "run.json", "launch.json")
        silent = time.time() - max(_mtime(self.path / name) for name in names)
        host = _text(process.get("host"), "an unknown host")
        began = seconds_of(self.started)
        bound = max(_SILENT_SECONDS, (time.time() - began) / 100 if began == began else 0.0)
        if silent < bound:
            return "running", f"on {host}"
        return "killed", f"no sign of life from {host} for {silent / 60:.0f} minutes"

    @property
    def paused(self) -> bool:
        """True if the last of the commands "pause" and "resume" was "pause"."""
        rows = self._obeyed("pause", "resume")
        return bool(rows) and rows[-1].get("command") == "pause"

    @property
    def stopping(self) -> bool:
        """True if the run was asked to stop since it began or was resumed, and has not ended."""
        return self.status == "running" and bool(self._obeyed("stop"))

    def _obeyed(self, *names) -> list[dict[str, Any]]:
        """Return the commands of some names that count.

        A resumed run does not obey earlier ones; without that time, any counts.
        """
        since = seconds_of((self._launched.read() or {}).get("resumed"))
        rows = [row for row in self._commands.read() if row.get("command") in names]
        return [row for row in rows if not seconds_of(row.get("time")) < since]

    @property
    def duration(self) -> float:
        """Seconds of `elapsed` in which it worked: no pauses, and none before it was resumed."""
        began, elapsed = seconds_of(self.started), self.elapsed
        if not elapsed > 0:
            return 0.0
        records = [*self._resources.read(), *self._metrics.read()]
        idle = seconds_idle(
            began, began + elapsed, self._status.read(), self._commands.read(), records
        )
        return max(elapsed - idle, 0.0)

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the end, to now, or to the last record."""
        began = seconds_of(self.started)
        if self.status == "running":
            end = time.time()
        else:
            files = [self._status]
            if not (self.status in _FINAL and self._status.read()):
                files += [self._resources, self._metrics]
            last = [rows[-1] for rows in (file.read() for file in files) if rows]
            end = max((seconds_of(row.get("time")) for row in last), default=began)
        return max(end - began, 0.0) if end == end and began == began else 0.0

    @property
    def progress(self) -> float | None:
        """Completed part, from 0 to 1; None if the run does not report it."""
        if self.status == "finished":
            return 1.0
        for row in reversed(self._metrics.read()):
            value = row.get("progress")
            if isinstance(value, (int, float)):
                return min(max(float(value), 0.0), 1.0)
        return None

    @property
    def result(self) -> dict[str, Any] | None:
        """Final metrics, None before the end."""
        return self._result.read()

    def fingerprint(self) -> tuple | None:
        """Return a value that changes if anything but the log of a finished run changes.

        Compare it instead of reading the run again. None while the status may change without a
        change of the files, such as when the process is killed.
        """
        if self._last_state().get("state") not in _FINAL:
            return None
        files = (
            self._described, self._launched, self._result, self._tags, self._status, self._metrics,
        )  # fmt: skip
        return tuple(signature_of(file.path) for file in files)

    def metrics(self) -> dict[str, np.ndarray]:
        """Return the numbers that were logged.

        Returns
        -------
        dict of str to ndarray of shape (n_rows,)
            "step", "time" (s after the start) and a column for each name, float64, with NaN where a
            row lacks it. Columns of text are of dtype object.
        """
        rows: list[dict[str, Any]] = []
        marks = []
        for row in self._metrics.read():
            if row.get("resumed") is True:
                marks.append(len(rows))
            else:
                rows.append(row)
        for mark in reversed(marks):  # epochs that a killed run had logged, and were done again
            later = [float(row["step"]) for row in rows[mark:] if _is_number(row.get("step"))]
            if later:
                first = min(later)
                kept = [row for row in rows[:mark] if not _at_least(row.get("step"), first)]
                rows = kept + rows[mark:]
        return self._columns(rows)

    def resources(self) -> dict[str, np.ndarray]:
        """Return samples of processor and memory.

        Returns
        -------
        dict of str to ndarray of shape (n_samples,)
            "time" (s after the start), "cpu_s", "rss_bytes", "cpu_percent", and "gpu_bytes" if a
            GPU was used.
        """
        return self._columns(self._resources.read())

    def _columns(self, rows) -> dict[str, np.ndarray]:
        began = seconds_of(self.started)
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {}
        for name in names:
            values = [row.get(name) for row in rows]
            if name == "time":
                columns[name] = np.array([seconds_of(value) - began for value in values])
            elif any(isinstance(value, (str, list, dict)) for value in values):
                columns[name] = np.array(
                    [value if isinstance(value, str) else "" for value in values], dtype=object
                )
            else:
                columns[name] = np.array(
                    [float(value) if _is_number(value) else np.nan for value in values]
                )
        return columns

    def log(self, tail=None) -> str:
        """Return what the run printed, without colours; of progress bars the last state.

        Parameters
        ----------
        tail : int, default=None
            Number of lines from the end; None for all, of at most the last 8 MiB.
        """
        try:
            with open_regular(self.path / "log.txt") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - _LOG_BYTES, 0))
                content = file.read()
        except OSError:
            return ""
        text = _ESCAPES.sub("", content.decode("utf-8", "replace"))
        lines = [
            next((part for part in reversed(line.split("\r")) if part.strip()), "").rstrip()
            for line in text.split("\n")
        ]
        if lines and not lines[-1]:
            lines.pop()
        if tail is not None:
            lines = lines[-tail:] if tail > 0 else []
        return "".join(f"{line}\n" for line in lines)

    # --- files --------------------------------------------------------------------------------

    def files(self) -> dict[str, int]:
        """Return the files that the run has written besides its records, and their sizes in bytes.

        Returns
        -------
        dict of str to int
            Names relative to the folder, with ``/``. Symbolic links are left out.
        """
        sizes = {}
        for folder, names, files in os.walk(self.path, followlinks=False):
            names[:] = sorted(name for name in names if not os.path.islink(Path(folder, name)))
            for name in sorted(files):
                path = Path(folder, name)
                relative = path.relative_to(self.path).as_posix()
                status = os.lstat(path)
                if relative in _OWN or name.startswith(".") or not stat.S_ISREG(status.st_mode):
                    continue
                sizes[relative] = status.st_size
        return sizes

    def file(self, name) -> Path:
        """Return the path of a file of the run.

        Parameters
        ----------
        name : str
            As in `files`, or one of the records, such as "log.txt".

        Raises
        ------
        FileNotFoundError
            If there is no such file, if it is outside the folder, or is a symbolic link.
        """
        parts = str(name).split("/")
        path = self.path.joinpath(*parts)
        is_safe = not any(
            part in ("", ".", "..") or "\\" in part or "\0" in part or ":" in part for part in parts
        )
        links = [self.path.joinpath(*parts[: k + 1]) for k in range(len(parts))] if is_safe else []
        if not is_safe or any(os.path.islink(link) for link in links) or not path.is_file():
            raise FileNotFoundError(f"Run {self.id} has no file {str(name)[:200]!r}.")
        return path

    # --- what others write --------------------------------------------------------------------

    @property
    def tags(self) -> list[str]:
        """Tags set by the user."""
        tags = (self._tags.read() or {}).get("tags")
        return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []

    @property
    def note(self) -> str:
        """Note written by the user."""
        return _text((self._tags.read() or {}).get("note"), "")

    def tag(self, *tags, note=None, remove=()) -> None:
        """Add tags, remove some, or replace the note.

        Parameters
        ----------
        *tags : str
        note : str, default=None
            None keeps the present note.
        remove : sequence of str, default=()
        """
        for tag in tags:
            if not isinstance(tag, str) or not tag.strip() or len(tag) > _LONGEST_TAG:
                raise ValueError(f"A tag must be text of 1 to {_LONGEST_TAG} characters: {tag!r}.")
        if note is not None and len(note) > _LONGEST_NOTE:
            raise ValueError(f"A note may have {_LONGEST_NOTE:,} characters, got {len(note):,}.")
        kept = list(dict.fromkeys([*self.tags, *(tag.strip() for tag in tags)]))
        kept = [tag for tag in kept if tag not in set(remove)]
        write_json(
            self.path / "tags.json", {"tags": kept, "note": self.note if note is None else note}
        )

    def command(self, command) -> None:
        """Append a command for the run.

        Parameters
        ----------
        command : {"stop", "pause", "resume"}
        """
        if command not in COMMANDS:
            raise ValueError(f"command must be one of {', '.join(COMMANDS)}; got {command!r}.")
        if self.status != "running":
            raise ValueError(f"Run {self.id} is {self.status}: only a running one takes commands.")
        append(self.path / "commands.jsonl", {"time": now(), "command": command})

    def stop(self) -> None:
        """Stop the run and keep its results so far, such as the best epoch of a training."""
        self.command("stop")


def _is_folder(path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _mtime(path) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _text(value, default) -> str:
    return value if isinstance(value, str) else default


def _dict(value) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and value is not None


def _at_least(value, bound) -> bool:
    return _is_number(value) and value >= bound
