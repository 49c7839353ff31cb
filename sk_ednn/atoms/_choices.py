"""Settings to begin with, from the structures: the plane, the pixels, the focus."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..structures._cells import ROUNDING
from ..structures._structure import gather

PLANES = ("xy", "xz", "yz", "xyz")
# Steps of a common length below this are no cells of one kind, repeated.
_SHORTEST = 2.0  # Å
# How far a pixel may be from the wished one, so that a cell is a whole number of foci.
_FINEST, _COARSEST = 0.85, 1.2
# Stretching of pixels that is small beside what else a model errs by.
_SLIGHT = 0.02


class Pixels(NamedTuple):
    """The parameters of a rasteriser, and a focus, that suit cells of given lengths."""

    spacing: tuple[float, ...]  # in Å
    focus: tuple[int, ...]  # in pixels; the rasteriser's `multiple`
    adjust: float


def suited_plane(structures) -> tuple[str, str | None]:
    """Return a plane of which all structures are sheets, or "xyz".

    Returns
    -------
    plane : str
    why_not : str or None
        For "xyz", why it is not "xy".
    """
    why_not = None
    for plane in PLANES[:-1]:
        try:
            gather(structures, plane)
            return plane, None
        except ValueError as error:
            why_not = why_not or str(error)
    return "xyz", why_not


def suited_pixels(lengths, wished, largest_focus, focus=None) -> Pixels:
    """Return pixels near a wished spacing, of which cells are whole numbers of foci.

    Parameters
    ----------
    lengths : ndarray of shape (n_structures, d), in Å
    wished : float, in Å
    largest_focus : int
    focus : tuple of d ints or None
        Where it is given.
    """
    spacing, foci, adjust = [], [], 0.0
    for axis, along in enumerate(lengths.T):
        given = None if focus is None else focus[axis]
        common = _common_length(along)
        if common is not None:
            step, chosen = _divided(common, wished, largest_focus, given)
        else:
            step = wished
            chosen, stretch = _stretched(along, wished, largest_focus, given)
            adjust = max(adjust, stretch)
        spacing.append(float(step))
        foci.append(int(chosen))
    # A quarter more than the largest stretch that was found: cells to be predicted differ, too.
    allowed = 0.0 if adjust == 0 else round(1.25 * float(adjust) + 1e-4, 4)
    return Pixels(tuple(spacing), tuple(foci), allowed)


def _common_length(along) -> float | None:
    """Length of which all others are whole multiples, such as that of a cell that was repeated."""
    shortest = along.min()
    for parts in range(1, max(1, int(shortest / _SHORTEST)) + 1):
        multiples = along * parts / shortest
        if np.all(np.abs(multiples - np.rint(multiples)) <= ROUNDING * multiples):
            # Of the longest one, which rounding of a file hurts least.
            return along.max() / np.rint(multiples.max())
    return None


def _divided(length, wished, largest_focus, focus):
    """Spacing and focus of which a length is a whole number, the spacing near the wished one."""
    ideal = length / wished
    few, many = int(np.ceil(ideal / _COARSEST)), int(np.floor(ideal / _FINEST))
    if focus is not None:
        n = max(1, round(ideal / focus)) * focus
        return length / n, focus
    best = None
    for n in range(max(1, few), max(1, few, many) + 1):
        chosen = max(f for f in range(1, largest_focus + 1) if n % f == 0)
        # A focus twice as large is worth a pixel that is a tenth off.
        score = 0.14 * np.log(chosen) - abs(np.log(ideal / n))
        if best is None or score > best[0]:
            best = score, n, chosen
    return length / best[1], best[2]


def _stretched(along, wished, largest_focus, focus):
    """The largest focus for which pixels are stretched slightly, and by how much they are."""
    for chosen in [focus] if focus is not None else range(largest_focus, 0, -1):
        n = np.maximum(1, np.rint(along / wished / chosen)) * chosen
        stretch = np.abs(along / n / wished - 1).max()
        if stretch <= _SLIGHT:
            break
    return chosen, stretch
