"""A progress bar, where one is asked for."""

from __future__ import annotations

from tqdm.auto import tqdm

# Below this many seconds a bar is only noise.
_DELAY = 2.0


def progress(total, verbose):
    """Return a function that wraps an iterable of `total` items in a progress bar, or does not."""
    if not verbose:
        return lambda items: items

    def bar(items):
        return tqdm(items, total=total, desc="tiles", unit="block", delay=_DELAY)

    return bar
