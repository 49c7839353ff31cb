"""Periodic fields that begin at another site: moved by whole sites, nothing is computed."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ._array_source import ArraySource
from ._fields import Fields
from ._sources import read_box, source_identity
from ._views import OneField, SourceView


class RolledSource(SourceView):
    """A view of a periodic source that begins at another site along some axes.

    Parameters
    ----------
    source : FieldSource
    first : tuple of int, one for each axis
        Which site of the source each axis begins with.
    """

    def __init__(self, source, first):
        super().__init__(source, source.shape)
        self.first = tuple(int(k) % n for k, n in zip(first, self.shape, strict=True))

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices: of the source, the two ends of every axis it wraps."""
        ends = [
            _pieces(part, first, n)
            for part, first, n in zip(slices, self.first, self.shape, strict=True)
        ]
        if all(len(pieces) == 1 for pieces in ends):
            return read_box(self.source, tuple(pieces[0][1] for pieces in ends))
        out = np.empty([part.stop - part.start for part in slices], dtype=self.dtype)
        for box in product(*ends):
            place, there = zip(*box, strict=True)
            out[place] = read_box(self.source, there)
        return out

    def identity(self) -> str:
        """Return a name that changes with the numbers."""
        return f"from {self.first} on of {source_identity(self.source)}"


def rolled(fields: Fields, first, axes):
    """Return fields that begin with another site, ``field[i] -> field[(i + first) % length]``.

    Parameters
    ----------
    fields : Fields
    first : sequence of int
        One for each of some axes.
    axes : sequence of int
        Axes of one field.

    Returns
    -------
    ndarray, FieldSource or list
        As an estimator is given fields: a batch, or a list of fields where `fields` came as one.
    """
    if not fields.ragged:
        return _rolled(fields.stacks[0].values, first, [1 + axis for axis in axes])
    out: list[Any] = [None] * fields.n_samples
    for stack in fields.stacks:
        if isinstance(stack.values, OneField):
            out[stack.samples[0]] = _rolled(stack.values.source, first, axes)
            continue
        moved = _rolled(stack.values, first, [1 + axis for axis in axes])
        for place, field in zip(stack.samples, moved, strict=True):
            out[place] = field
    return out


def _rolled(values, first, axes):
    if isinstance(values, np.ndarray):
        return np.roll(values, [-k for k in first], axes)
    array = getattr(values, "array", None)
    if hasattr(array, "__dask_graph__"):
        # Evaluation asks a dask array for its chunks; numpy leaves rolling to it.
        return ArraySource(np.roll(array, [-k for k in first], axes), values.spacing)
    along = [0] * len(values.shape)
    for axis, k in zip(axes, first, strict=True):
        along[axis] = k
    return RolledSource(values, along)


def _pieces(part, first, length) -> list[tuple[slice, slice]]:
    """Return where the pieces of a slice lie in the box, and where in the source."""
    start, stop = part.start + first, part.stop + first
    if start >= length:
        start, stop = start - length, stop - length
    if stop <= length:
        return [(slice(0, stop - start), slice(start, stop))]
    before = length - start
    return [
        (slice(0, before), slice(start, length)),
        (slice(before, stop - start), slice(0, stop - length)),
    ]
