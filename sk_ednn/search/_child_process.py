"""Calls in a process that can be killed, with all that it started."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import cloudpickle

# s between two checks whether the parent is still there.
_WATCH = 1.0

_local = threading.local()


class TimeLimitError(Exception):
    """A call exceeded its time limit."""


class LostProcessError(RuntimeError):
    """The process of a call was killed, or crashed."""


def call_in_child(function, argument, time_limit):
    """Return ``function(argument)``, called in another process.

    The process is kept for the next call of this thread: importing takes longer than cheap labels.

    Raises
    ------
    TimeLimitError
        After the process, and all that it started, were killed.
    LostProcessError
        If the process was killed by others, or crashed.
    Exception
        The exception of the function, or, where it cannot be pickled, a RuntimeError with its text.
    """
    child = getattr(_local, "child", None)
    if child is None or child.process.poll() is not None:
        child = _local.child = _Child()
    try:
        return child.call(function, argument, time_limit)
    except _FailedError as failed:
        raise failed.error from None
    except BaseException:
        _local.child = None
        child.kill()
        raise


def kill_group(process):
    """Kill a process that began a session, and all processes of it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class _FailedError(Exception):
    def __init__(self, error):
        self.error = error


class _Child:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from sk_ednn.search._child_process import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip
        self._answers = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        # The time of imports is not counted.
        self._answers.get()

    def call(self, function, argument, time_limit):
        try:
            self.process.stdin.write(_framed(cloudpickle.dumps((function, argument))))
            self.process.stdin.flush()
            good, value = pickle.loads(self._answers.get(timeout=time_limit))
        except queue.Empty:
            raise TimeLimitError(f"more than {time_limit:g} s") from None
        except (EOFError, OSError):
            code = self.process.wait()
            raise LostProcessError(f"the process of the labeller ended with {code}") from None
        if not good:
            raise _FailedError(value)
        return value

    def kill(self):
        kill_group(self.process)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()

    def _listen(self):
        while True:
            answer = _read_frame(self.process.stdout)
            # An empty answer ends in EOFError where it is opened.
            self._answers.put(answer or b"")
            if answer is None:
                return


def serve():
    """Run the calls on the standard input until it ends, in the child process."""
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # Whatever the function prints goes to the standard error, not among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _answer(answers, (True, None))
    while (call := _read_frame(sys.stdin.buffer)) is not None:
        try:
            function, argument = pickle.loads(call)
            answer = True, function(argument)
        except Exception as error:  # the caller's, to be raised there
            answer = False, error
        _answer(answers, answer)


def _answer(answers, answer):
    try:
        frame = cloudpickle.dumps(answer)
        pickle.loads(frame)
    except Exception:  # errors with their own arguments cannot be opened
        kind, text = type(answer[1]).__name__, str(answer[1])
        frame = pickle.dumps((False, RuntimeError(f"{kind}: {text}")))
    answers.write(_framed(frame))
    answers.flush()


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(_WATCH)
    os.killpg(0, signal.SIGKILL)


def _framed(content) -> bytes:
    return len(content).to_bytes(8, "little") + content


def _read_frame(pipe):
    try:
        head = pipe.read(8)
        if len(head) < 8:
            return None
        content = pipe.read(int.from_bytes(head, "little"))
    except (OSError, ValueError):
        return None
    return content if len(content) == int.from_bytes(head, "little") else None
