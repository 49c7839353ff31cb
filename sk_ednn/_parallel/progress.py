"""Progress of a task graph, shown in the process that created it."""

from __future__ import annotations

import threading

from tqdm.auto import tqdm

# A progress bar appears after this many seconds.
_DELAY_SECONDS = 2.0
_bars: dict[str, ProgressBar] = {}


class ProgressBar:
    """A progress bar over the blocks of a run, each counted once.

    It appears when the first block is reported.

    Parameters
    ----------
    run : str
    n_blocks, n_done : int
        Number of all blocks, and of those finished before.
    """

    def __init__(self, run, n_blocks, n_done=0):
        self.n_blocks = n_blocks
        self.n_done = n_done
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
                    delay=_DELAY_SECONDS,
                )  # fmt: skip
            self._seen.add(block)
            self._bar.update()
            if self.n_done + len(self._seen) >= self.n_blocks:
                self._bar.close()
                self._bar = None
                self._seen.clear()
