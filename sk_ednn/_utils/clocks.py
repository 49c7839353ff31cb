"""Record the clocks of trainings, and replay them.

A training that is bounded by time follows a clock, which is the only input that differs when the
same fit is run again. Readings that are recorded make it repeatable: replayed in order, they give
the same learning rates and the same number of steps.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np


class TrainingClock:
    """Seconds since a training began.

    Parameters
    ----------
    read : function
        Returns seconds since any moment.
    replayed : ndarray of shape (n_readings,), default=()
        Readings to return instead, in order. The clock continues where they end.
    keep : bool, default=False
        Whether to keep all readings.

    Attributes
    ----------
    readings : array of float or None
        None if they are not kept, or if those before a resume are unknown.

    Examples
    --------
    >>> from itertools import count
    >>> from sk_ednn._utils.clocks import TrainingClock
    >>> clock = TrainingClock(count(100, 3).__next__, keep=True).start()
    >>> clock.seconds(), clock.seconds(), clock.readings.tolist()
    (3.0, 6.0, [3.0, 6.0])
    >>> again = TrainingClock(count(0, 1).__next__, replayed=clock.readings).start()
    >>> again.seconds(), again.seconds(), again.seconds()
    (3.0, 6.0, 7.0)
    """

    def __init__(self, read: Callable[[], float], replayed=(), keep=False):
        self._read, self._replayed, self._n = read, replayed, 0
        self.readings: array[float] | None = array("d") if keep else None

    def start(self, before=0.0, readings=None) -> TrainingClock:
        """Start the clock, or continue it after a resume.

        Parameters
        ----------
        before : float, default=0.0
            Seconds of the training before the resume.
        readings : ndarray of shape (n_readings,), default=None
            Those before the resume; None if they are unknown.
        """
        self._before, self._began = before, self._read()
        if readings is not None:
            self._n = len(readings)
        if self.readings is not None and (before > 0 or readings is not None):
            self.readings = None if readings is None else array("d", readings)
        return self

    def seconds(self) -> float:
        """Return the seconds since the training began."""
        if self._n < len(self._replayed):
            value = float(self._replayed[self._n])
            self._before, self._began = value, self._read()
        else:
            value = float(self._before + self._read() - self._began)
        self._n += 1
        if self.readings is not None:
            self.readings.append(value)
        return value

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let no time of the block count, such as that of a pause.

        Examples
        --------
        >>> from itertools import count
        >>> from sk_ednn._utils.clocks import TrainingClock
        >>> clock = TrainingClock(count(100, 3).__next__).start()
        >>> with clock.stopped():
        ...     pass
        >>> clock.seconds()  # of 9
        6.0
        """
        since = self._read()
        try:
            yield
        finally:
            self._began += self._read() - since

    def kept(self) -> np.ndarray | None:
        """Return a copy of the readings; None if they are not kept."""
        return None if self.readings is None else np.array(self.readings, dtype=np.float64)


@dataclass
class Clocks:
    """The clocks of the trainings of a fit, by name.

    Attributes
    ----------
    replayed : dict of str to ndarray
        Readings to replay.
    read : function or None
        Returns seconds; read instead of the clock of the machine.
    clocks : dict of str to TrainingClock
    """

    replayed: Mapping[str, np.ndarray] = field(default_factory=dict)
    read: Callable[[], float] | None = None
    clocks: dict[str, TrainingClock] = field(default_factory=dict)

    def readings(self) -> dict[str, np.ndarray]:
        """Return the readings of all clocks; empty if those of one are not complete."""
        kept = {name: clock.kept() for name, clock in self.clocks.items()}
        complete = {name: readings for name, readings in kept.items() if readings is not None}
        return complete if len(complete) == len(kept) else {}


_KEPT: ContextVar[Clocks | None] = ContextVar("clocks of trainings", default=None)


@contextmanager
def kept_clocks(replayed=None, read=None) -> Iterator[Clocks]:
    """Keep the readings of all clocks that are made within the block.

    Parameters
    ----------
    replayed : dict of str to ndarray, default=None
        Readings of an earlier fit, to replay.
    read : function, default=None
        Returns seconds; read instead of the clock of the machine.
    """
    clocks = Clocks(dict(replayed or {}), read)
    token = _KEPT.set(clocks)
    try:
        yield clocks
    finally:
        _KEPT.reset(token)


def training_clock(name, read) -> TrainingClock:
    """Return the clock of a training, to be started when it begins.

    Parameters
    ----------
    name : str
        The same each time that the fit is run.
    read : function
        Returns seconds since any moment.
    """
    kept = _KEPT.get()
    if kept is None:
        return TrainingClock(read)
    if name in kept.clocks:
        name = f"{name}-{len(kept.clocks)}"
    clock = TrainingClock(kept.read or read, kept.replayed.get(name, ()), keep=True)
    kept.clocks[name] = clock
    return clock
