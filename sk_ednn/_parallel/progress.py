"""Progress of a task graph, shown in the process that created it."""

from __future__ import annotations

import threading

from tqdm.auto import tqdm

_bars: dict[str, ProgressBar] = {}


class ProgressBar:
    """A progress bar over the blocks of a run, each counted once.

    It appears when the first block is reported.

    Parameters
    ----------
    run : str
    n_blocks, n_done : int
        Number of all blocks, and of those finished before.
    delay_seconds : float, default=2.0
        The bar appears after this time.
    """

    def __init__(self, run, n_blocks, n_done=0, delay_seconds=2.0):
        self.n_blocks = n_blocks
        self.n_done = n_done
        self.delay_seconds = delay_seconds
        self._seen: set = set()
        self._bar: tqdm | None = None
        self._lock = threading.Lock()
        _bars[run] = self

    @staticmethod
    def of(run) -> ProgressBar | None:
        """Return the bar of a run, None in other processes."""
        return _bars.get(run)

    def report(self, block) -> None:
        """Count a block, if it was not counted before."""
        with self._lock:
            if block in self._seen:
                return  # computed again after a worker was lost
            if self._bar is None:
                self._bar = tqdm(
                    total=self.n_blocks, initial=self.n_done, desc="tiles", unit="block",
                    delay=self.delay_seconds,
                )  # fmt: skip
            self._seen.add(block)
            self._bar.update()
            if self.n_done + len(self._seen) >= self.n_blocks:
                self._bar.close()
                self._bar = None
                self._seen.clear()
