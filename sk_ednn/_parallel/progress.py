"""Show the progress of a graph of tasks, where it was made."""

from __future__ import annotations

import threading

from tqdm.auto import tqdm

# A progress bar appears after this many seconds; before, it is only noise.
_DELAY = 2.0
_bars: dict[str, ProgressBar] = {}


class ProgressBar:
    """A bar that counts the blocks of a run, each once, whoever reports them.

    It is made when the first is reported.

    Parameters
    ----------
    run : str
    n_blocks, n_done : int
        Blocks in all, and those that were known before.
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
        """Return the bar of a run if it is in this process."""
        return _bars.get(run)

    def report(self, block) -> None:
        """Count a block, unless it has been counted."""
        with self._lock:
            if block in self._seen:
                return  # computed again, by a worker that took over from a lost one
            if self._bar is None:
                self._bar = tqdm(
                    total=self.n_blocks, initial=self.n_done, desc="tiles", unit="block",
                    delay=_DELAY,
                )  # fmt: skip
            self._seen.add(block)
            self._bar.update()
            if self.n_done + len(self._seen) >= self.n_blocks:
                self._bar.close()
                self._bar = None
                self._seen.clear()
