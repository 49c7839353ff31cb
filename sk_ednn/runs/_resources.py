"""Sample processor time and memory of a run, less often the longer it runs."""

from __future__ import annotations

import time

import psutil

from ._environment import gpu_bytes
from ._files import Appender
from ._ids import now

_SHORTEST_SECONDS = 1.0
_LEAST_SECONDS = 0.2
# Samples are this part of the elapsed time apart: a day has some 3,500 of them.
_SHARE = 1 / 600


class Resources:
    """Append samples to a file.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        self._file = Appender(path)
        self._process = psutil.Process()
        self._began = self._last = time.monotonic()
        self._cpu = self._cpu_seconds()
        self._next = self._began

    def sample(self, last=False) -> None:
        """Write a sample if it is time for one, or the last."""
        time_now = time.monotonic()
        if time_now < self._next and not last:
            return
        cpu, elapsed = self._cpu_seconds(), time_now - self._last
        # The clock of the processor advances in steps of 10 ms: over less than some of them, its
        # share means nothing.
        percent = 100 * (cpu - self._cpu) / elapsed if elapsed > _LEAST_SECONDS else None
        row = {
            "time": now(),
            "cpu_s": round(cpu, 3),
            "rss_bytes": self._rss(),
            "cpu_percent": None if percent is None else round(percent, 1),
        }
        gpu = gpu_bytes()
        self._file.write(row if gpu is None else {**row, "gpu_bytes": gpu})
        self._cpu, self._last = cpu, time_now
        self._next = time_now + max(_SHORTEST_SECONDS, _SHARE * (time_now - self._began))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _processes(self):
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return [self._process]

    def _cpu_seconds(self) -> float:
        total = 0.0
        for each in self._processes():
            try:
                times = each.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
            if each is self._process:  # those that have ended
                total += getattr(times, "children_user", 0.0)
                total += getattr(times, "children_system", 0.0)
        return total

    def _rss(self) -> int:
        total = 0
        for each in self._processes():
            try:
                total += each.memory_info().rss
            except psutil.Error:
                continue
        return total
