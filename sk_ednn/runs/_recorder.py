"""Write a run into its folder while it runs."""

from __future__ import annotations

import _thread
import os
import secrets
import shutil
import signal
import sys
import threading
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from . import _data
from ._environment import machine, process, versions
from ._files import COMMANDS, Appender, JsonFile, JsonLines, plain, write_json
from ._ids import is_id, new_id, now, require_id, require_kind
from ._resources import Resources
from ._tee import copied_to

# s between two checks of the commands.
_LOOK_SECONDS = 0.25
_LONGEST_MESSAGE = 500


def record(
    folder,
    kind,
    *,
    settings=None,
    data=None,
    argv=None,
    about=None,
    interrupt=False,
    on_command=None,
) -> Recorder:
    """Record what happens in a ``with`` block as a run.

    Parameters
    ----------
    folder : str or Path
        Folder of runs, created if it does not exist. Or the folder of one run that was killed,
        stopped or failed, which then continues.
    kind : str
        Such as "fit", "predict" or "evaluate".
    settings : dict, default=None
        Parameters of the run.
    data : dict, default=None
        Paths, arrays or other objects by name. Their sizes and hashes are recorded, not their
        content.
    argv : list of str, default=None
        Equivalent arguments of ``sk-ednn``, with which `repeat` and `resume` start the command.
    about : dict, default=None
        More entries of ``run.json``.
    interrupt : bool, default=False
        Whether the command "stop" raises KeyboardInterrupt in the main thread, as Ctrl-C does.
        False sets `Recorder.stop_requested`, which callbacks check.
    on_command : callable, default=None
        Called with each command, in another thread.

    Returns
    -------
    Recorder
        A context manager. An exception ends the run as failed, KeyboardInterrupt as stopped.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sk_ednn.runs import RunFolder, record
    >>> with TemporaryDirectory() as folder:
    ...     with record(folder, "fit", settings={"alpha": 0.1}) as recorder:
    ...         for epoch in range(3):
    ...             recorder.log(epoch, train_loss=1 / (1 + epoch))
    ...         recorder.finish({"error": 0.25})
    ...     (run,) = RunFolder(folder).runs()
    ...     run.status, run.result, run.metrics()["train_loss"].round(2).tolist()
    ('finished', {'error': 0.25}, [1.0, 0.5, 0.33])
    """
    return Recorder(
        folder, kind, settings=settings, data=data, argv=argv, about=about, interrupt=interrupt,
        on_command=on_command,
    )  # fmt: skip


class Recorder:
    """Write settings, log, metrics and resources of a run into its folder; see `record`.

    Attributes
    ----------
    id : str
    folder : Path
        Folder of the run.
    stop_requested : bool
        Whether the run received the command "stop".
    paused : bool
        Whether the run received the command "pause", and no "resume" since.
    resumed : bool
        Whether this continues an earlier run.
    """

    def __init__(
        self, folder, kind, *, settings=None, data=None, argv=None, about=None, interrupt=False,
        on_command=None,
    ):  # fmt: skip
        self._kind = require_kind(kind)
        self._settings = plain(dict(settings or {}))
        self._data, self._argv, self._about = dict(data or {}), argv, dict(about or {})
        self._interrupt, self._on_command = interrupt, on_command
        self._root, given = _root_and_id(Path(folder))
        self.resumed = given is not None and (self._root / given / "run.json").exists()
        self.id = given or new_id()
        self.stop_requested = self.paused = False
        self._was_ended = False  # a training, by the callback
        self._given = given
        self._end: tuple[str, str] | None = None
        self._result: dict[str, Any] | None = None
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._step = -1

    @property
    def folder(self) -> Path:
        return self._root / self.id

    def path(self, name) -> Path:
        """Return the path of a file of the run.

        Parameters
        ----------
        name : str
            Such as "model.ednn"; without folders.
        """
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"Expected the name of a file without folders, got {name!r}.")
        return self.folder / name

    # --- what is recorded ---------------------------------------------------------------------

    def log(self, step=None, **metrics) -> None:
        """Append numbers of an epoch or stage.

        Parameters
        ----------
        step : int, default=None
            None for the step after the last one.
        **metrics : float, or str for the name of a stage
        """
        with self._lock:
            self._step = self._step + 1 if step is None else int(step)
            step = self._step
        self._metrics.write({"time": now(), "step": step, **plain(metrics)})

    def callback(self, *, max_epochs=None, max_seconds=None, n_members=1):
        """Return a callback for trainings, which logs each epoch.

        It takes a dict with the numbers of an epoch, as `GradientSolver`, `PotentialTrainer` and
        `CountRegressor` pass to their `callback`. It waits while the run is paused, and returns
        True if the run should stop.

        Parameters
        ----------
        max_epochs, max_seconds : float, default=None
            Limits of the training, from which the progress is computed; those of each member, if
            there are several.
        n_members : int, default=1
            Number of successive trainings. Their records have a ``"member"``, from 1, which is
            added to the names of the metrics of all members but the first.
        """

        def callback(row) -> bool:
            row = {name: value for name, value in row.items() if _is_number(value)}
            step, member = row.pop("epoch", None), row.pop("member", 1)
            parts = [
                done / end
                for done, end in ((step, max_epochs), (row.get("seconds"), max_seconds))
                if done is not None and end
            ]
            progress = row.pop("progress", min(1.0, max(parts)) if parts else None)
            if member > 1:
                row = {f"{name}_{member}": value for name, value in row.items()}
            if progress is not None:
                row["progress"] = (member - 1 + progress) / n_members
            self.log(step, **row)
            self.wait_while_paused()
            self._was_ended = self.stop_requested
            return self._was_ended

        return callback

    def wait_while_paused(self) -> None:
        """Return at once, or when a paused run is resumed or stopped."""
        while self.paused and not self.stop_requested:
            time.sleep(_LOOK_SECONDS)

    def finishing(self) -> None:
        """Ignore "stop" from now on: the fit is complete, and its model is being written."""
        with self._lock:
            self._interrupt = False

    def finish(self, result=None, *, state=None, message="") -> None:
        """Set the result and the final state, which are written when the ``with`` block ends.

        Parameters
        ----------
        result : dict, default=None
            Final metrics, written to ``result.json``.
        state : {"finished", "stopped", "failed"}, default=None
            None for "stopped" if a training was ended by `callback`, else "finished".
        message : str, default=""
        """
        if state is None:
            state = "stopped" if self._was_ended else "finished"
        if state not in ("finished", "stopped", "failed"):
            raise ValueError(f"state must be finished, stopped or failed; got {state!r}.")
        self._result = self._result if result is None else plain(dict(result))
        self._end = state, message

    def keep(self, path, name=None) -> None:
        """Copy a file that was written elsewhere into the folder of the run."""
        source = Path(path)
        goal = self.path(source.name if name is None else name)
        if goal.is_symlink():
            goal.unlink()
        if not (goal.exists() and os.path.samefile(source, goal)):
            shutil.copyfile(source, goal)

    # --- begin and end ------------------------------------------------------------------------

    def __enter__(self):
        self._make_folder()
        try:
            self._metrics = Appender(self.folder / "metrics.jsonl")
            self._step = _last_step(self.folder / "metrics.jsonl")
            self._log = self._stack.enter_context(copied_to(self.folder / "log.txt"))
            self._stack.callback(self._metrics.close)
            self._commands = JsonLines(self.folder / "commands.jsonl")
            # A resumed run does not obey earlier commands.
            self._n_obeyed = self._n_old_commands() if self.resumed else 0
            if self.resumed:
                self._metrics.write({"time": now(), "resumed": True})
            if self._interrupt:
                _heed_interrupts()
            self._over = threading.Event()
            self._thread = threading.Thread(target=self._attend, name="sk_ednn run", daemon=True)
            self._thread.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind, error, trace):
        self.finishing()
        self._over.set()
        self._thread.join(timeout=5.0)
        try:
            state, message = self._state_of(kind, error)
            if state == "failed" and error is not None:
                with suppress(OSError, ValueError):
                    self._log.write("".join(traceback.format_exception(kind, error, trace)))
            if self._result is not None:
                write_json(self.folder / "result.json", self._result)
            self._say(state, message)
        finally:
            self._stack.close()
        return False

    def _state_of(self, kind, error):
        if self._end is not None and self._end[0] != "finished":
            return self._end
        if kind is None:
            return self._end or ("stopped" if self.stop_requested else "finished", "")
        if issubclass(kind, KeyboardInterrupt):
            return "stopped", "interrupted"
        text = str(error).partition("\n")[0] or kind.__name__
        return "failed", text[:_LONGEST_MESSAGE]

    def _make_folder(self):
        started = {"state": "started", "message": "", **process()}
        if self._given is not None and self.resumed:
            self._require_resumable()
            self._say(**{**started, "message": "resumed"})
            return
        data = {name: _data.describe(value) for name, value in self._data.items()}
        described = {
            "id": self.id, "kind": self._kind, "argv": plain(self._argv),
            "settings": self._settings, "data": data, "versions": versions(),
            "machine": machine(), "process": process(), "cwd": os.getcwd(),
            "python": sys.executable, "started": now(), **plain(self._about),
        }  # fmt: skip
        if self._given is not None:  # its folder waits for it
            write_json(self.folder / "run.json", described)
            self._say(**started)
            return
        self._root.mkdir(parents=True, exist_ok=True)
        # The folder appears with its description in it, or not at all.
        temporary = self._root / f".{secrets.token_hex(8)}.tmp"
        temporary.mkdir()
        try:
            while True:
                described["id"] = self.id
                write_json(temporary / "run.json", described)
                try:
                    if self.folder.exists():
                        raise FileExistsError(self.folder)
                    os.rename(temporary, self.folder)  # fails where another run was faster
                    break
                except OSError:
                    if not self.folder.exists():
                        raise
                    self.id = new_id()
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._say(**started)

    def _require_resumable(self):
        from ._run import Run

        run = Run(self.folder)
        links = [each.name for each in os.scandir(self.folder) if each.is_symlink()]
        if links:
            raise ValueError(
                f"{self.folder} has symbolic links ({', '.join(sorted(links))}), through which "
                "files elsewhere would be replaced: remove them first."
            )
        last = run.process
        is_own = (last.get("pid"), last.get("host")) == (os.getpid(), process()["host"])
        if run.status == "finished" or (run.status == "running" and not is_own):
            raise ValueError(
                f"Run {self.folder} is {run.status}. Only runs that were killed, stopped or failed "
                f"continue: give the folder {self._root} for a new run."
            )
        if run.kind != self._kind:
            raise ValueError(
                f"{self.folder} is a run of {run.kind}, this is {self._kind}: give the folder "
                f"{self._root} for a new run."
            )
        if run.settings != self._settings:
            names = sorted(
                name for name in {*run.settings, *self._settings}
                if run.settings.get(name) != self._settings.get(name)
            )  # fmt: skip
            raise ValueError(
                f"{self.folder} was started with other settings ({', '.join(names)}), so it "
                f"cannot continue: give the folder {self._root} for a new run."
            )

    def _say(self, state, message="", **more):
        status = Appender(self.folder / "status.jsonl")
        try:
            status.write({"time": now(), "state": state, "message": message, **more})
        finally:
            status.close()

    # --- beside the run -----------------------------------------------------------------------

    def _attend(self):
        resources = Resources(self.folder / "resources.jsonl")
        while True:
            with suppress(Exception):  # a full disk or a vanished folder must not end the run
                resources.sample()
            with suppress(OSError):
                self._obey()
            if self._over.wait(_LOOK_SECONDS):
                break
        with suppress(Exception):
            resources.sample(last=True)
        resources.close()

    def _n_old_commands(self) -> int:
        """Return how many commands were for the run before this one continued it.

        Those that came since it was asked to continue are for this one, though it had not begun.
        """
        rows = self._commands.read()
        resumed_at = (JsonFile(self.folder / "launch.json").read() or {}).get("resumed")
        if not isinstance(resumed_at, str):
            return len(rows)
        return sum(str(row.get("time", "")) < resumed_at for row in rows)

    def _obey(self):
        rows = self._commands.read()
        for row in rows[self._n_obeyed :]:
            self._n_obeyed += 1
            command = row.get("command")
            if command not in COMMANDS:
                continue
            self.paused = command == "pause" if command in ("pause", "resume") else self.paused
            if self._on_command is not None:
                with suppress(Exception):
                    self._on_command(command)
            if command == "stop":
                with self._lock:
                    first, self.stop_requested = not self.stop_requested, True
                    if first and self._interrupt:
                        _interrupt_main()


def _interrupt_main():
    """Send SIGINT to the main thread, so that waiting ends, too."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:  # Windows
        _thread.interrupt_main()


def _heed_interrupts():
    """Handle SIGINT where it is ignored, as in the background of a shell script."""
    here = threading.current_thread() is threading.main_thread()
    if here and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _root_and_id(folder):
    """Return the folder of runs, and the id if `folder` is that of a run or waits for one."""
    if not is_id(folder.name):
        if (folder / "run.json").exists():
            raise ValueError(f"{folder} is not a folder of runs: it contains a run.json.")
        return folder, None
    if (folder / "run.json").exists() or (folder / "launch.json").exists():
        return folder.parent, require_id(folder.name)
    return folder, None


def _last_step(path) -> int:
    steps = [row["step"] for row in JsonLines(path).read() if isinstance(row.get("step"), int)]
    return steps[-1] if steps else -1


def _is_number(value) -> bool:
    return isinstance(value, (bool, int, float)) or (
        hasattr(value, "dtype") and getattr(value, "size", 0) == 1
    )
