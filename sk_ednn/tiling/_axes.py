"""Length, focus and context of each grid axis, from the parameters of a tiling."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np

from ..exceptions import TilingError
from ._windows import BOUNDARIES, legal_focuses, legal_sizes

REMAINDERS = ("error", "pad")


class Axis(NamedTuple):
    """A grid axis, in sites."""

    length: int
    focus: int
    context: int

    @property
    def window(self) -> int:
        """Sites of a tile."""
        return self.focus + 2 * self.context


def check_boundary(boundary, remainder) -> None:
    """Raise TilingError if the boundary or the treatment of a remainder is invalid."""
    if boundary not in BOUNDARIES:
        raise TilingError(f"boundary must be one of {BOUNDARIES}, got {boundary!r}.")
    if remainder not in REMAINDERS:
        raise TilingError(f"remainder must be one of {REMAINDERS}, got {remainder!r}.")
    if remainder == "pad" and boundary == "periodic":
        raise TilingError(
            "remainder='pad' has no effect on a periodic field, which has no ends. Choose another "
            "boundary, or a focus that divides every axis."
        )


def grid_axes(grid_shape, focus, context, boundary, remainder) -> list[Axis]:
    """Return the axes of a grid.

    Raises
    ------
    TilingError
        If the parameters do not suit the grid.
    """
    check_boundary(boundary, remainder)
    focuses = per_axis("focus", focus, len(grid_shape), least=1, none_allowed=True)
    contexts = per_axis("context", context, len(grid_shape), least=0)
    axes = [
        Axis(length, length if focus is None else focus, context)
        for length, focus, context in zip(grid_shape, focuses, contexts, strict=True)
    ]
    for number, axis in enumerate(axes):
        if axis.length % axis.focus and remainder == "error":
            hint = "" if boundary == "periodic" else " Or set remainder='pad'."
            problem = (
                f"axis {number} has length {axis.length}, not a multiple of focus={axis.focus}; "
                f"{legal_sizes(axis.length, axis.focus)}"
            )
            raise TilingError(
                f"{problem}, or a focus of {legal_focuses(axis.length)}.{hint}",
                fitted=f"{problem}.",
            )
    return axes


def per_axis(name, value, n_axes, *, least, none_allowed=False) -> tuple:
    """Return a parameter as a tuple with one entry per axis.

    Raises
    ------
    TilingError
        If it is neither an integer of at least `least` nor a sequence of `n_axes` of these.
    """
    values = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,) * n_axes
    if len(values) != n_axes:
        raise TilingError(
            f"{name}={value!r} has {len(values)} entries, but the fields have {n_axes} grid "
            "dimension(s). Give one number, or one per axis."
        )
    for entry in values:
        integral = isinstance(entry, Integral) and not isinstance(entry, (bool, np.bool_))
        if not (integral and entry >= least) and not (none_allowed and entry is None):
            raise TilingError(
                f"{name} must be {'None or ' if none_allowed else ''}an integer of at least "
                f"{least}, or one such per axis, got {value!r}."
            )
    return tuple(None if entry is None else int(entry) for entry in values)
