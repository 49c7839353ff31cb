"""Default parameters for given structures: the plane, the pixels, the focus."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..structures._cells import ROUNDING
from ..structures._structure import gather

PLANES = ("xy", "xz", "yz", "xyz")
# A shorter common length is not the edge of a cell that was repeated.
_SHORTEST = 2.0  # Å
# Bounds of the spacing relative to the requested one, so that cells are whole numbers of foci.
_FINEST, _COARSEST = 0.85, 1.2
# Stretching of pixels with little effect, compared to other errors of models.
_SLIGHT = 0.02


class Pixels(NamedTuple):
    """Parameters of a rasteriser and a focus for cells of given lengths."""

    spacing: tuple[float, ...]  # in Å
    focus: tuple[int, ...]  # in pixels; the rasteriser's `multiple`
    adjust: float


def suited_plane(structures) -> tuple[str, str | None]:
    """Return a plane in which all structures are sheets, or "xyz".

    Returns
    -------
    plane : str
    why_not : str or None
        For "xyz", the error for "xy".
    """
    why_not = None
    for plane in PLANES[:-1]:
        try:
            gather(structures, plane)
            return plane, None
        except ValueError as error:
            why_not = why_not or str(error)
    return "xyz", why_not


def suited_pixels(lengths, requested, largest_focus, focus=None) -> Pixels:
    """Return a spacing near the requested one, and a focus that divides cells.

    Parameters
    ----------
    lengths : ndarray of shape (n_structures, d), in Å
    requested : float, in Å
    largest_focus : int
    focus : tuple of d ints or None
        If None, it is chosen.
    """
    spacing, foci, adjust = [], [], 0.0
    for axis, along in enumerate(lengths.T):
        given = None if focus is None else focus[axis]
        common = _common_length(along)
        if common is not None:
            step, chosen = _divided(common, requested, largest_focus, given)
        else:
            step = requested
            chosen, stretch = _stretched(along, requested, largest_focus, given)
            adjust = max(adjust, stretch)
        spacing.append(float(step))
        foci.append(int(chosen))
    # Larger than the largest stretch here, for cells that are predicted later.
    allowed = 0.0 if adjust == 0 else round(1.25 * float(adjust) + 1e-4, 4)
    return Pixels(tuple(spacing), tuple(foci), allowed)


def _common_length(along) -> float | None:
    """Return the length of which all are integer multiples, as for supercells, or None."""
    shortest = along.min()
    for parts in range(1, max(1, int(shortest / _SHORTEST)) + 1):
        multiples = along * parts / shortest
        if np.all(np.abs(multiples - np.rint(multiples)) <= ROUNDING * multiples):
            # The longest one has the smallest rounding error.
            return along.max() / np.rint(multiples.max())
    return None


def _divided(length, requested, largest_focus, focus):
    """Return a spacing near the requested one, and a focus, that divide a length."""
    ideal = length / requested
    few, many = int(np.ceil(ideal / _COARSEST)), int(np.floor(ideal / _FINEST))
    if focus is not None:
        n = max(1, round(ideal / focus)) * focus
        return length / n, focus
    best = None
    for n in range(max(1, few), max(1, few, many) + 1):
        chosen = max(f for f in range(1, largest_focus + 1) if n % f == 0)
        # Twice the focus is worth a spacing that deviates by a tenth.
        score = 0.14 * np.log(chosen) - abs(np.log(ideal / n))
        if best is None or score > best[0]:
            best = score, n, chosen
    return length / best[1], best[2]


def _stretched(along, requested, largest_focus, focus):
    """Return the largest focus for which pixels are stretched slightly, and the stretch."""
    for chosen in [focus] if focus is not None else range(largest_focus, 0, -1):
        n = np.maximum(1, np.rint(along / requested / chosen)) * chosen
        stretch = np.abs(along / n / requested - 1).max()
        if stretch <= _SLIGHT:
            break
    return chosen, stretch
