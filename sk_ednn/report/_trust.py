"""Errors of a potential beside what it says of them: intervals and novelty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..atoms._known_structures import digests_of
from . import _figures
from ._page import Value


class Trust(NamedTuple):
    """What a potential says of its errors, of each structure, largest errors of energies first.

    Attributes
    ----------
    errors : ndarray of shape (n_structures,), in meV/atom
        Predicted minus true energies; NaN where these are not known.
    half_width : ndarray of shape (n_structures,) or None, in meV/atom
        Of intervals of 90 %; None if too few errors are known.
    novelty : ndarray of shape (n_structures,) or None
        The largest of the atoms.
    rests_on_them : bool
        Whether the intervals rest on these very errors.
    """

    errors: np.ndarray
    half_width: np.ndarray | None
    novelty: np.ndarray | None
    rests_on_them: bool

    @property
    def titles(self) -> list[str]:
        """Titles of the columns of `cells`."""
        known = {"± 90 % (meV/atom)": self.half_width, "novelty": self.novelty}
        return [title for title, values in known.items() if values is not None]

    @property
    def explained(self) -> str:
        """The columns in words, to end a caption."""
        text = "" if self.half_width is None else "; half the width of the interval of the energy"
        if self.novelty is not None:
            text += "; the largest novelty of the atoms, above 1 unlike the fit"
        return text

    def cells(self) -> list[list]:
        """Return the cells of each structure, in the order of the structures."""
        known = [values for values in (self.half_width, self.novelty) if values is not None]
        return [[Value(values[k]) for values in known] for k in range(len(self.errors))]


def order_of(part) -> list[int]:
    """Return the structures with the largest errors of energies first, unknown ones last.

    Parameters
    ----------
    part : Measured
    """
    sizes = np.nan_to_num(np.abs(part.by_structure()["energy"]))
    return np.argsort(-sizes, kind="stable").tolist()


def of(potential, part) -> Trust:
    """Return what a potential says of the errors of structures.

    Parameters
    ----------
    potential : EDNNPotential
    part : Measured
    """
    order, structures = order_of(part), part.data.structures
    novelty = half_width = None
    if part.novelty is not None:
        novelty = np.array([each.max(initial=0.0) for each in part.novelty])[order]
    held_out = getattr(potential, "held_out_", None)
    # Of structures learned from no novelty is computed, on which intervals may rest.
    needs_novelty = held_out is not None and held_out.novelty is not None
    if (
        held_out is not None
        and held_out.suffices()
        and not (needs_novelty and part.novelty is None)
    ):
        half_width = potential._half_width(structures, part.std, part.novelty)
        half_width = (1e3 * half_width / structures.sizes)[order]
    own = getattr(potential, "held_out_digests_", ())
    return Trust(
        part.by_structure()["energy"][order],
        half_width,
        novelty,
        bool(len(own)) and bool(np.isin(digests_of(structures), own).all()),
    )


def drawn(trust) -> _figures.Drawn:
    """Draw the sizes of errors of energies against half the width of their intervals.

    Parameters
    ----------
    trust : Trust
        With intervals.
    """
    from matplotlib.figure import Figure

    from ..inspection._plot._style import COLOURS, GREY

    axes = Figure(figsize=(9.6, 3.8), layout="constrained").subplots()
    known = ~np.isnan(trust.errors)
    errors, half = np.abs(trust.errors[known]), trust.half_width[known]
    is_novel = np.zeros(len(errors), dtype=bool)
    if trust.novelty is not None:
        is_novel = trust.novelty[known] > 1
    for chosen, name, colour in ((~is_novel, "not novel", 0), (is_novel, "novel", 1)):
        if chosen.any():
            axes.loglog(half[chosen], errors[chosen], "o", ms=4, color=COLOURS[colour], label=name)
    ends = np.array([half.min(), half.max()]) * [0.9, 1.1]
    axes.plot(ends, ends, color=GREY, lw=1, zorder=0)
    axes.set_xlabel("half the width of the interval of 90 % / meV/atom")
    axes.set_ylabel("error / meV/atom")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    inside = int((errors <= half).sum())
    caption = (
        f"Sizes of errors of energies against half the width of their intervals; {inside:,} of "
        f"{len(errors):,} are below the line, which is within."
    )
    if trust.rests_on_them:
        caption += (
            " The intervals rest on these errors, so about nine of ten are within in any case; "
            "errors that grow along the line show that the width tells which are large."
        )
    return _figures.Drawn(axes.figure, caption, caption)
