"""A source made of the chunks of an array that were sent to a task."""

from __future__ import annotations

from itertools import product

import numpy as np

from .._utils.masks import unmasked
from ..fields._sources import as_declared


class Layout:
    """Positions of some chunks in an array."""

    def __init__(self, shape, dtype, bounds, indices):
        self.shape = shape
        self.dtype = dtype
        self.bounds = bounds
        self.indices = indices

    def of(self, chunks) -> Chunks:
        """Return a source that reads from these chunks."""
        return Chunks(self, chunks)


class Chunks:
    """A source that reads boxes of an array from some of its chunks."""

    spacing = None

    def __init__(self, layout, chunks):
        self.shape = layout.shape
        self.dtype = layout.dtype
        self.bounds = layout.bounds
        self.chunks = dict(zip(layout.indices, chunks, strict=True))

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices."""
        out = np.empty([part.stop - part.start for part in slices], dtype=self.dtype)
        ranges = [
            range(
                int(np.searchsorted(ends, part.start, side="right")) - 1,
                int(np.searchsorted(ends, part.stop, side="left")),
            )
            for ends, part in zip(self.bounds, slices, strict=True)
        ]
        for index in product(*ranges):
            shape = [ends[k + 1] - ends[k] for ends, k in zip(self.bounds, index, strict=True)]
            chunk = as_declared(unmasked(self.chunks[index], "X"), shape, self.dtype)
            if len(index) == sum(len(r) == 1 for r in ranges):
                offsets = [ends[k] for ends, k in zip(self.bounds, index, strict=True)]
                box = (slice(p.start - o, p.stop - o) for p, o in zip(slices, offsets, strict=True))
                return chunk[tuple(box)]
            source, target = [], []
            for ends, k, part in zip(self.bounds, index, slices, strict=True):
                start, stop = max(part.start, ends[k]), min(part.stop, ends[k + 1])
                source.append(slice(start - ends[k], stop - ends[k]))
                target.append(slice(start - part.start, stop - part.start))
            out[tuple(target)] = chunk[tuple(source)]
        return out
