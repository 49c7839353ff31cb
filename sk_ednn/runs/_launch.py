"""Start runs in their own processes; repeat and resume them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .._utils.locking import Lock
from . import _data
from ._environment import machine, versions
from ._files import append, write_json
from ._ids import new_id, now
from ._run import CLOCK, Run

# Commands that are recorded, by their first words, and the kinds of their runs.
KINDS = {
    ("fit",): "fit",
    ("predict",): "predict",
    ("evaluate",): "evaluate",
    ("count", "fit"): "count-fit",
    ("count", "predict"): "count-predict",
    ("search", "run"): "search",
}
# Entries of model files with durations and paths.
_TIMES = ("dur", "seconds", "minutes", "checkpoint")
_POLL_SECONDS = 0.1
# Files with times in them. The labels of a search are in a table, too.
_NOT_COMPARED = (".html", ".ckpt", ".lock", ".db", ".db-wal", ".db-shm", CLOCK)
_ROOT = str(Path(__file__).parents[2])


def launch(folder, argv, *, cwd=None, env=None) -> Run:
    """Start a command of ``sk-ednn`` as a run, in a separate process.

    The process has a separate session: it continues when this process ends.

    Parameters
    ----------
    folder : str or Path
        Folder of runs.
    argv : sequence of str
        Such as ``["fit", "spins.npz", "--model", "kernel"]``, without ``--run``. No shell is
        involved.
    cwd : str or Path, default=None
        Folder for relative paths in `argv`; None for the current one.
    env : dict of str to str, default=None
        Environment variables to set besides those of this process.

    Returns
    -------
    Run
        It may still be starting.

    Raises
    ------
    ValueError
        If the command cannot be recorded.
    """
    argv, kind = _checked(argv)
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    while True:
        path = root / new_id()
        try:
            path.mkdir()
            break
        except FileExistsError:
            continue
    cwd = os.path.abspath(os.getcwd() if cwd is None else cwd)
    launched = {"id": path.name, "kind": kind, "argv": argv, "cwd": cwd, "started": now()}
    write_json(path / "launch.json", launched)
    _start(path, argv, cwd, env, launched)
    return Run(path)


def resume(run) -> Run:
    """Continue a run that was killed, stopped or failed, in its folder.

    The same command runs again. Trainings of networks continue from their checkpoint, and end with
    the same weights as if they had not been killed; with a limit of time, they train for the rest
    of it. Searches continue with their store. All other commands start again from the beginning.

    Parameters
    ----------
    run : Run or path

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If the run is still running, is finished and not a search, or was not started by a command.
    """
    run = run if isinstance(run, Run) else Run(run)
    argv, _ = _checked(_argv_of(run))
    cwd = _cwd_of(run)
    try:
        lock = Lock(run.path / "resume")
    except BlockingIOError as error:
        raise ValueError(f"Run {run.id} is being resumed, by {error}.") from None
    try:
        if run.status == "running" or (run.status == "finished" and run.kind != "search"):
            raise ValueError(f"Run {run.id} is {run.status}: there is nothing to resume.")
        names = ("id", "kind", "argv", "cwd", "started")
        launched = {name: run.info[name] for name in names if name in run.info}
        process = _start(run.path, argv, cwd, None, {**launched, "resumed": now()})
        status = {"time": now(), "state": "started", "message": "resumed", **process}
        append(run.path / "status.jsonl", status)
    finally:
        lock.release()
    return run


@dataclass(frozen=True)
class Repetition:
    """A run that repeats another.

    Attributes
    ----------
    run : Run
    same : bool
        Whether the model (or predictions, or numbers) is the same to the last bit.
    differences : list of str
        Differences of data, libraries, threads and machine, and of the results.
    """

    run: Run
    same: bool
    differences: list[str] = field(default_factory=list)


def repeat(run, folder=None) -> Repetition:
    """Run the command of a run again, and compare the results.

    Parameters
    ----------
    run : Run or path
    folder : str or Path, default=None
        Folder of runs for the new one; None for that of `run`.

    Returns
    -------
    Repetition

    Raises
    ------
    ValueError
        If the run was not started by a command or has not finished, or if its data are missing.
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.status != "finished":
        raise ValueError(f"Run {run.id} is {run.status}: only a finished run is repeated.")
    _argv_of(run)
    argv, cwd = run.repeat_argv, _cwd_of(run)
    differences = conditions(run)
    gone = [each for each in differences if each.endswith("does not exist any more")]
    if gone:
        raise ValueError(f"Run {run.id} cannot be repeated: {gone[0]}.")
    threads = _dict(_dict(run.info.get("machine")).get("threads"))
    env = {str(name): str(value) for name, value in threads.items() if _is_variable(name)}
    new = launch(run.path.parent if folder is None else folder, argv, cwd=cwd, env=env)
    try:
        while new.status == "running":
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        if new.status == "running":
            new.stop()
        raise
    if new.status != "finished":
        return Repetition(new, False, [*differences, f"the new run is {new.status}: {new.message}"])
    differences += [each for each in conditions(run, new) if each not in differences]
    results = compare_results(run, new)
    if results and _is_bounded_by_time(run) and CLOCK not in run.files():
        differences.append(
            "the training has a time limit, and its clock was not recorded: the number of steps "
            "depends on the speed of the machine"
        )
    return Repetition(new, not results, differences + results)


def conditions(run, new=None) -> list[str]:
    """Return in words what is different now, or was for a new run: data, versions, machine.

    Parameters
    ----------
    run : Run
    new : Run, default=None
        None compares with this process and the present files.
    """
    if new is None:
        cwd = _cwd_of(run)
        data = {}
        for name, old in run.data.items():
            path, paths = old.get("path"), old.get("paths")
            if isinstance(paths, list):
                data[name] = _data.describe([os.path.join(cwd, each) for each in paths])
            else:
                data[name] = {} if path is None else _data.describe(os.path.join(cwd, path))
        now_versions, now_machine = versions(), machine()
    else:
        data, now_versions = new.data, _dict(new.info.get("versions"))
        now_machine = _dict(new.info.get("machine"))
    changes = _data.differences(run.data, data)
    before = _dict(run.info.get("versions"))
    for name in {**before, **now_versions}:
        old, recent = before.get(name, "none"), now_versions.get(name, "none")
        if old != recent:
            changes.append(f"versions: {name} {old} then, {recent} now")
    before = _dict(run.info.get("machine"))
    names = ("processor", "platform", "cores") if new is None else (
        "processor", "platform", "cores", "threads")  # fmt: skip
    for name in names:
        if before.get(name) != now_machine.get(name):
            changes.append(f"machine: {name} {before.get(name)} then, {now_machine.get(name)} now")
    return changes


def compare_results(run, new) -> list[str]:
    """Return in words how the files and numbers of two runs differ; empty if they are the same."""
    differences = []
    old_files, new_files = run.files(), new.files()
    for name in sorted({*old_files, *new_files}):
        if name.endswith(_NOT_COMPARED):
            continue
        if name not in old_files and run.argv != run.info.get("repeat", run.argv):
            continue  # the run wrote it elsewhere
        if name not in new_files or name not in old_files:
            differences.append(f"{name} is missing in {(new if name in old_files else run).id}")
        elif name.endswith(".ednn"):
            differences += [
                f"{name}: {each}" for each in _models_differ(run.file(name), new.file(name))
            ]
        elif _digest(run.file(name)) != _digest(new.file(name)):
            differences.append(f"{name} has other content")
    if not differences:
        old, recent = (_without_paths(each.result or {}) for each in (run, new))
        differences += [
            f"result: {name} {old.get(name)} then, {recent.get(name)} now"
            for name in {**old, **recent}
            if old.get(name) != recent.get(name)
        ]
    return differences


# --- parts ------------------------------------------------------------------------------------


def _checked(argv) -> tuple[list[str], str]:
    if isinstance(argv, (str, bytes)) or not all(isinstance(word, str) for word in argv):
        raise ValueError("argv must be a list of words, such as ['fit', 'spins.npz'].")
    argv = list(argv)
    kind = next((k for words, k in KINDS.items() if tuple(argv[: len(words)]) == words), None)
    if kind is None:
        names = ", ".join(" ".join(words) for words in KINDS)
        raise ValueError(f"Commands that can be recorded are {names}; got {' '.join(argv[:2])!r}.")
    if any(word == "--run" or word.startswith("--run=") for word in argv):
        raise ValueError("Leave --run out of argv: the folder is the first argument.")
    if any("\0" in word for word in argv):
        raise ValueError("Words of argv must not contain null characters.")
    return argv, kind


def _start(path, argv, cwd, env, launched) -> dict[str, Any]:
    variables = {
        **os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "100",
        "TQDM_MININTERVAL": "2", **(env or {}),
    }  # fmt: skip
    if "site-packages" not in _ROOT and "dist-packages" not in _ROOT:  # a checkout
        path_before = variables.get("PYTHONPATH", "")
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [_ROOT, path_before]))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    log = os.open(path / "log.txt", flags, 0o666)
    # -P: modules in the folder where the command runs, maybe somebody else's, are not imported.
    command = [sys.executable, "-P", "-m", "sk_ednn", *_with_run(argv, path)]
    try:
        child = subprocess.Popen(
            command, cwd=cwd, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, close_fds=True,
        )  # fmt: skip
    finally:
        os.close(log)
    try:
        created = psutil.Process(child.pid).create_time()
    except psutil.Error:
        created = 0.0
    process = {"pid": child.pid, "created": created, "host": socket.gethostname()}
    write_json(path / "launch.json", {**launched, "process": process})
    # Nobody else asks for its end, without which it would stay as a zombie.
    threading.Thread(target=child.wait, name="sk_ednn launch", daemon=True).start()
    return process


def _with_run(argv, path) -> list[str]:
    """Return the words with ``--run`` behind the command, before a ``--`` among them."""
    n_words = next(len(words) for words in KINDS if tuple(argv[: len(words)]) == words)
    return [*argv[:n_words], "--run", os.path.abspath(path), *argv[n_words:]]


def _argv_of(run) -> list[str]:
    argv = run.argv
    if argv is None:
        raise ValueError(
            f"Run {run.id} was recorded in Python, so there is no command to run again: use its "
            "settings."
        )
    return argv


def _cwd_of(run) -> str:
    cwd = run.info.get("cwd")
    if not isinstance(cwd, str) or not os.path.isdir(cwd):
        raise ValueError(f"The folder {cwd} in which run {run.id} was started does not exist.")
    return cwd


def _models_differ(path, other) -> list[str]:
    """Return which parts of two model files differ, apart from times."""
    if _digest(path) == _digest(other):
        return []
    try:
        with zipfile.ZipFile(path) as one, zipfile.ZipFile(other) as two:
            names = sorted({*one.namelist(), *two.namelist()} - {"manifest.json"})
            differences = []
            for name in names:
                if name not in one.namelist() or name not in two.namelist():
                    differences.append(f"{name} is in one of them only")
                elif name == "config.json":
                    first, second = (_timeless(json.loads(a.read(name))) for a in (one, two))
                    _keep_shared_versions(first, second)
                    differences += [] if first == second else _paths_that_differ(first, second)
                elif one.read(name) != two.read(name):
                    differences.append(f"{name} differs")
            return differences
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile) as error:
        return [f"cannot be compared: {error}"]


def _timeless(value) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in _TIMES}
    if isinstance(value, list):  # dicts of networks are lists of pairs
        return [_timeless(inner) for inner in value if not _is_time(inner)]
    return value


def _keep_shared_versions(one, two) -> None:
    """Drop versions of libraries that only one of two processes had loaded."""
    if not all(isinstance(each, dict) for each in (one, two)):
        return
    first, second = one.get("versions"), two.get("versions")
    if isinstance(first, dict) and isinstance(second, dict):
        for name in set(first) ^ set(second):
            first.pop(name, None)
            second.pop(name, None)


def _is_time(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] in _TIMES


def _paths_that_differ(one, two, path="") -> list[str]:
    """Return the names of the entries that differ, the first few of them."""
    if isinstance(one, dict) and isinstance(two, dict):
        pairs = [(f"{path}.{key}", one.get(key), two.get(key)) for key in {**one, **two}]
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        pairs = [(f"{path}[{k}]", *both) for k, both in enumerate(zip(one, two, strict=True))]
    else:
        return [] if one == two else [f"{path.lstrip('.')} differs"]
    paths: list[str] = []
    for name, first, second in pairs:
        paths += _paths_that_differ(first, second, name)
        if len(paths) >= 5:
            return paths[:5]
    return paths


def _digest(path) -> str:
    return _data.describe(path)["sha256"]


def _without_paths(result) -> dict[str, Any]:
    names = (
        "output", "report", "seconds", "processor_seconds", "minutes", "minutes_needed",
        "replaced", "sha256", "maps", *_TIMES,
    )  # fmt: skip
    return {key: value for key, value in result.items() if key not in names}


def _is_bounded_by_time(run) -> bool:
    if any(run.settings.get(name) is not None for name in ("max_seconds", "minutes")):
        return True
    if run.kind == "count-fit":
        return run.settings.get("epochs") is None
    # Potentials are, unless their epochs are given.
    is_potential = (run.result or {}).get("strategy") == "PotentialTrainer"
    return is_potential and run.settings.get("epochs") is None


def _is_variable(name) -> bool:
    from ._environment import _VARIABLES

    return name in _VARIABLES


def _dict(value) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
