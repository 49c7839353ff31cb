"""Lines on the progress of a fit of a `CountRegressor`, and the time that is left."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

from .._utils.wording import about, pictures_not_seen, plain

# Minutes after which a first verdict is due.
_EARLY = 3.0
# Between lines on the progress.
_STEP = 0.1
# The time of all passes is known from this part of a training on, to within this factor.
_KNOWN, _ROUGHLY = 0.05, 1.1


def write_line(verbose, line) -> None:
    """Print a line to standard error, or pass it to the function that `verbose` is."""
    if callable(verbose):
        verbose(line)
    elif verbose:
        print(line, file=sys.stderr, flush=True)


def heading(k, n_members, n_jobs) -> str:
    """Return the first line on the training of a network; empty if it has none.

    Examples
    --------
    >>> from sk_ednn.images._progress import heading
    >>> heading(0, 2, 2)
    '2 networks are trained side by side; each holds back its own pictures; the lines are of the
    first'
    >>> heading(0, 5, 2)
    '5 networks are trained, 2 at a time; each holds back its own pictures; the lines are of the
    first of those at a time'
    >>> heading(1, 2, 1)
    'network 2 of 2, which holds back its own pictures'
    """
    if n_members == 1:
        return ""
    if n_jobs == 1:
        return f"network {k + 1} of {n_members}, which holds back its own pictures"
    if k:
        return ""
    own = "each holds back its own pictures"
    if n_jobs >= n_members:
        return f"{n_members} networks are trained side by side; {own}; the lines are of the first"
    how = f"{n_members} networks are trained, {n_jobs} at a time"
    return f"{how}; {own}; the lines are of the first of those at a time"


def expected_in_words(n_passes, minutes) -> str:
    """Return how long a fit should take.

    Examples
    --------
    >>> from sk_ednn.images._progress import expected_in_words
    >>> expected_in_words(90, 4.4)
    'all 90 passes over the pictures, and measuring errors, should take about 4.4 min, as busy as
    this machine is now'
    """
    passes = "the only pass" if n_passes == 1 else f"all {n_passes} passes"
    when = "as busy as this machine is now"
    what = f"{passes} over the pictures, and measuring errors,"
    return f"{what} should take {about(60 * minutes)}, {when}"


class Remaining:
    """The minutes that trainings still take: one estimate for lines, callbacks and pages.

    Parameters
    ----------
    n_members : int
        Trainings.
    n_jobs : int
        Trainings at a time.
    read : function, default=None
        Clock, in s. None for `time.monotonic`.
    after : (float, float), default=(0.0, 0.0)
        Passes over the pictures that take as long as what follows each training, and what follows
        all of them.

    Examples
    --------
    >>> from sk_ednn.images._progress import Remaining
    >>> left = Remaining(3, 2, read=lambda: 0.0)
    >>> left.begin(0), left.begin(1)
    (None, None)
    >>> left(0, 2.0, 0.5), left(1, 3.0, 0.5)  # of 4 and 6 minutes; the third takes as long as one
    (6.0, 9.0)
    >>> left.begin(2), left.end(0), left.end(1)
    (None, None, None)
    >>> left(2, 3.0, 0.75), left(2, 4.0, 1.0)
    (1.0, 0.0)
    """

    def __init__(self, n_members, n_jobs, read=None, after=(0.0, 0.0)):
        self.n_members, self.n_jobs, self.after = n_members, n_jobs, after
        self.read = time.monotonic if read is None else read
        self._begun: set[int] = set()
        self._ends: dict[int, float] = {}
        self._lock = threading.Lock()

    def begin(self, member) -> None:
        """Count a training as one that has begun."""
        with self._lock:
            self._begun.add(member)

    def end(self, member) -> None:
        """Count a training as one that has ended."""
        with self._lock:
            self._ends.pop(member, None)

    def __call__(self, member, minutes, progress, passes=None) -> float | None:
        """Return the minutes until a fit ends; None before any progress.

        Parameters
        ----------
        member : int
        minutes : float
            That its training took so far.
        progress : float
            Of it, from 0 to 1.
        passes : int, default=None
            Over the pictures, so far. None if nothing follows the trainings.
        """
        if not progress > 0:
            return None
        own, joint = (each * minutes / passes if passes else 0.0 for each in self.after)
        whole = minutes / progress + own
        with self._lock:
            now = self.read() / 60
            self._ends[member] = now + whole - minutes
            running = max(end - now for end in self._ends.values())
            rounds = -(-(self.n_members - len(self._begun | {member})) // self.n_jobs)
        return max(0.0, running) + rounds * whole + joint


class Progress:
    """Print how a training goes; end it if the callback or an interrupt ended the fit."""

    def __init__(self, verbose, stop, typical, head, n_held, member, callback, ended, recipe,
                 remaining, rounds=1, guess=None, n_members=1):  # fmt: skip
        self.verbose, self.stop = verbose, stop
        self.typical, self.head, self.n_held, self.member = typical, head, n_held, member
        self.guess, self.callback, self.ended = guess, callback, ended
        # Trainings after each other.
        self.recipe, self.rounds, self.remaining, self.first = recipe, rounds, remaining, None
        self.early, self.next, self.judged = False, _STEP, False
        self.name = f"network {member + 1} of {n_members}: " if n_members > 1 else ""

    def __call__(self, progress, row) -> bool:
        if self.stop.is_set():
            raise KeyboardInterrupt
        if row is not None:
            left = self.remaining(self.member, row["minutes"], progress, row["epoch"])
            if self.callback is not None and self.callback(
                {**row, "member": self.member, "progress": progress, "minutes_left": left}
            ):
                self.ended.set()
            if self.verbose:
                self._say(progress, row, left)
        return self.ended.is_set()

    def begin(self):
        """Say which networks are trained."""
        self.remaining.begin(self.member)
        if self.verbose and self.head:
            self._print(self.head)

    def _say(self, progress, row, left):
        self.first = self.first or row
        if not self.judged and progress >= _KNOWN and row["epoch"] > self.first["epoch"]:
            self.judged = True
            self._judge_time(row)
        early = not self.early and row["minutes"] >= _EARLY
        if early or progress >= self.next:
            left = f", {about(60 * left)} left" if left else ""
            line = (
                f"{100 * progress:.0f} % of the training ({_shown(row['minutes'])} minutes{left})"
            )
            if "error" in row:
                off = f"off by {plain(row['error'], 3)} of {plain(self.typical)}"
                line += f": {off} on {pictures_not_seen(self.n_held)}"
                if self.guess is not None:
                    line += f" (their mean as a guess: {plain(self.guess, 3)})"
            self.write(line)
            if progress >= 1 and "error" in row:
                self.write("last step: the pictures are counted once more, in all orientations")
        self.early |= early
        while self.next <= progress:
            self.next += _STEP

    def _judge_time(self, row):
        """Say that the time does not suffice for all passes."""
        limit, most = self.recipe.minutes, self.recipe.max_epochs
        needed = minutes_of_all(self.first, row, self.recipe)
        if limit is not None and needed > _ROUGHLY * limit:
            pace = (needed - row["minutes"]) / (most - row["epoch"])
            done = row["epoch"] + max(0, round((limit - row["minutes"]) / pace))
            self.write(
                f"all {most} passes over the pictures need about "
                f"{whole_minutes(self.rounds * needed)} minutes: the limit of "
                f"{_shown(self.rounds * limit)} ends the training after about {done}; if its "
                "error is then too large, allow more"
            )

    def end(self, trained):
        """Say why a training ended before its time."""
        self.remaining.end(self.member)
        row = trained.history[-1]
        if not self.verbose or self.stop.is_set():
            return
        done, limit = f"ended after {_shown(row['minutes'])}", self.recipe.minutes
        if trained.ending == "error":
            best = min(trained.history, key=lambda each: each["error"])
            self.write(
                f"{done} minutes: the error was least, {plain(best['error'], 3)}, after "
                f"{_shown(best['minutes'])} minutes; the weights of then are kept"
            )
        elif trained.ending == "epochs" and limit is not None:
            times = "once" if row["epoch"] == 1 else f"{row['epoch']} times"
            self.write(f"{done} of {_shown(limit)} minutes: every picture was seen {times}")

    def write(self, line):
        """Pass a line on, or print it, after the name of the network if there are several."""
        self._print(self.name + line)

    def _print(self, line):
        write_line(self.verbose, line)


def minutes_of_all(first, row, recipe) -> float:
    """Return the minutes that all passes of a member take, from two rows of its history.

    The first pass is slower, since libraries are loaded and memory is taken in it.
    """
    if row["epoch"] == first["epoch"]:
        return row["minutes"] * recipe.max_epochs / row["epoch"]
    pace = (row["minutes"] - first["minutes"]) / (row["epoch"] - first["epoch"])
    return row["minutes"] + pace * (recipe.max_epochs - row["epoch"])


def whole_minutes(minutes) -> int:
    """Return minutes that suffice, as a whole number of two digits or fewer.

    Examples
    --------
    >>> from sk_ednn.images._progress import whole_minutes
    >>> whole_minutes(0.02), whole_minutes(6.1), whole_minutes(112.0), whole_minutes(120.0)
    (1, 7, 120, 120)
    """
    unit = 10 ** max(0, int(np.log10(max(minutes, 1.0))) - 1)
    return unit * int(np.ceil(minutes / unit))


def _shown(minutes) -> str:
    """Return minutes to a tenth, or to two digits if they are fewer than one.

    Examples
    --------
    >>> from sk_ednn.images._progress import _shown
    >>> _shown(11.94), _shown(6.0), _shown(0.0314)
    ('11.9', '6', '0.031')
    """
    return f"{round(minutes, 1):g}" if minutes >= 1 else f"{minutes:.2g}"
