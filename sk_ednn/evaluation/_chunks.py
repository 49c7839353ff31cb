"""Chunks of an array that a task has been sent, read as if they were all of it."""

from __future__ import annotations

from itertools import product

import numpy as np

from .._utils.masks import unmasked


class Layout:
    """How some chunks lie in an array."""

    def __init__(self, shape, dtype, bounds, indices):
        self.shape = shape
        self.dtype = dtype
        self.bounds = bounds
        self.indices = indices

    def of(self, chunks) -> Chunks:
        """Return the source that these chunks make."""
        return Chunks(self, chunks)


class Chunks:
    """Some chunks of an array that are at hand, read by the places of the array."""

    spacing = None

    def __init__(self, layout, chunks):
        self.shape = layout.shape
        self.dtype = layout.dtype
        self.bounds = layout.bounds
        self.held = dict(zip(layout.indices, chunks, strict=True))

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
            chunk = unmasked(self.held[index], "X")
            if len(index) == sum(len(r) == 1 for r in ranges):
                offsets = [ends[k] for ends, k in zip(self.bounds, index, strict=True)]
                box = (slice(p.start - o, p.stop - o) for p, o in zip(slices, offsets, strict=True))
                return chunk[tuple(box)]
            here, there = [], []
            for ends, k, part in zip(self.bounds, index, slices, strict=True):
                start, stop = max(part.start, ends[k]), min(part.stop, ends[k + 1])
                here.append(slice(start - ends[k], stop - ends[k]))
                there.append(slice(start - part.start, stop - part.start))
            out[tuple(there)] = chunk[tuple(here)]
        return out
