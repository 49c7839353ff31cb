"""Predictions for structures: energies of whole cells and per atom, deviations, and novelty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.wording import digits_of
from ._inspect import printable

# Novelty above which the surroundings of an atom are unlike those of the fit.
UNLIKE = 1.0
# Novelty up to which they are just beyond it, and from which on calculators warn.
_JUST, _FAR = 1.5, 3.0
# Structures that are named, at most.
_NAMED = 3


class PredictedStructures(NamedTuple):
    """Predictions for structures, and how far they are from the training data.

    Attributes
    ----------
    energies : ndarray of shape (n_structures,)
        In eV; of models of images in the unit of their totals.
    sizes : ndarray of shape (n_structures,)
        Numbers of atoms.
    std : ndarray of shape (n_structures,) or None, in eV
        Standard deviation over the networks of a potential, times how much larger errors of
        structures held out are, if that is known; None for a single one.
    novelty : list of ndarray of shape (n_atoms,), or None
        None for models of images.
    half_width : ndarray of shape (n_structures,) or None, in eV
        Of intervals from errors of structures held out of the fit.
    widths : ndarray of shape (n_structures,) or None
        Widths of cells in units of the cutoff; None for models of images.
    std_factor : float or None
        By what `std` was multiplied; None if it is the deviation as it is.
    widening : dict of str to ndarray of shape (n_structures,), or None
        By how much intervals are wider; see `HeldOutErrors.widening`.
    """

    energies: np.ndarray
    sizes: np.ndarray
    std: np.ndarray | None = None
    novelty: list[np.ndarray] | None = None
    half_width: np.ndarray | None = None
    widths: np.ndarray | None = None
    std_factor: float | None = None
    widening: dict[str, np.ndarray] | None = None

    def columns(self) -> dict[str, np.ndarray]:
        """Return what is known of each structure besides the energy, by name."""
        columns = {"atoms": self.sizes, "per_atom": self.energies / self.sizes}
        if self.std is not None:
            columns["std"] = self.std
        if self.novelty is not None:
            columns["unlike"] = np.array([int((each > UNLIKE).sum()) for each in self.novelty])
            columns["novelty"] = np.array([each.max(initial=0.0) for each in self.novelty])
            columns["mean_novelty"] = self.mean_novelty
        return columns

    @property
    def mean_novelty(self) -> np.ndarray | None:
        """Mean novelty of the atoms of each structure, (n_structures,); by it errors rank best."""
        if self.novelty is None:
            return None
        return np.array([each.mean() if len(each) else 0.0 for each in self.novelty])

    def line(self, k, unit, width=None) -> str:
        """Return a structure's number of atoms, energy per atom, deviation and unlike atoms.

        Parameters
        ----------
        k : int
        unit : str
        width : float, default=None
            Half the width of the interval of its energy.
        """
        n = int(self.sizes[k])
        per_atom = f"{unit}/atom" if unit else "per atom"
        energy = digits_of(self.energies[k] / n, width and width / n, self.energies[k] / n)
        text = f"{n:,} atom{'s' * (n != 1)}, {energy} {per_atom}"
        if self.std is not None and self.half_width is None:  # else the interval says more
            text += f", networks differ by {self.std[k] / n:.2g} {per_atom}"
        if self.novelty is not None:
            unlike = int((self.novelty[k] > UNLIKE).sum())
            if unlike:
                largest = float(self.novelty[k].max())
                text += f"; {unlike:,} unlike the fit, novelty up to {largest:.3g}"
                text += f", {degree(largest)}"
        return text


def title_of(column, unit, *, is_scaled=False) -> str:
    """Return the title of a column of `PredictedStructures.columns` in a table.

    Parameters
    ----------
    column : str
    unit : str or None
    is_scaled : bool, default=False
        Whether deviations were multiplied by how much larger errors held out are.

    Examples
    --------
    >>> from sk_ednn.cli._predicted_structures import title_of
    >>> title_of("std", "eV"), title_of("std", "eV", is_scaled=True)
    ('std over the networks (eV)', 'std over the networks scaled to errors held out (eV)')
    """
    of_unit = f" ({unit})" if unit else ""
    scaled = " scaled to errors held out" if is_scaled else ""
    return {
        "atoms": "atoms", "per_atom": f"per atom{of_unit}",
        "std": f"std over the networks{scaled}{of_unit}", "unlike": "atoms with a novelty above 1",
        "novelty": "largest novelty", "mean_novelty": "mean novelty",
    }[column]  # fmt: skip


def sized(energies, structures) -> PredictedStructures:
    """Return energies that a model of images predicts for structures, with their sizes."""
    return PredictedStructures(energies, np.array([len(structure) for structure in structures]))


def predicted_by(potential, structures, *, path=None) -> PredictedStructures:
    """Predict structures, and write them with forces and stresses on request.

    Parameters
    ----------
    potential : EDNNPotential
    structures : list of ase.Atoms
    path : Path, default=None
        File for the structures. None to predict energies alone.
    """
    from ..atoms._dynamics import write_predicted
    from ..atoms._held_out import scaled
    from ..atoms._potential_committee import members_of
    from ..structures import Structures

    potential.warn_if_far(structures)
    several, full = len(members_of(potential.potential_)) > 1, path is not None
    mean = potential.predict_all(
        structures, forces=full, stress=full and potential.knows_stress, return_std=several
    )
    mean, std = mean if several else (mean, None)
    novelty = None if potential.novelty_ is None else potential.novelty(structures)
    sizes = np.array([len(structure) for structure in structures])
    half_width, widening, batch = None, None, Structures.of(structures)
    held_out = getattr(potential, "held_out_", None)
    if held_out is not None and held_out.suffices():
        half_width = potential._half_width(batch, std, novelty)
        widening = potential._widening(batch, std, novelty)
    if std is not None:
        std = scaled(std, potential.std_factors)
    if path is not None:
        write_predicted(path, structures, mean, std=std, novelty=novelty, half_width=half_width)
    return PredictedStructures(
        mean.energies,
        sizes,
        None if std is None else std.energies,
        novelty,
        half_width,
        potential._widths(batch),
        None if std is None else potential.std_factors.get("energy"),
        widening,
    )


def counted(novelty) -> dict[str, Any]:
    """Return how many atoms are unlike those of the fit.

    Parameters
    ----------
    novelty : sequence of ndarray
        Result of `EDNNPotential.novelty`.
    """
    of_atoms = np.concatenate(novelty)
    return {
        "atoms": len(of_atoms),
        "unlike": int((of_atoms > UNLIKE).sum()),
        "largest": float(of_atoms.max(initial=0.0)),
    }


def least_alike(means, places) -> str | None:
    """Return a line that names the structures that are least like those of the fit.

    Parameters
    ----------
    means : ndarray of shape (n_structures,)
        Mean novelty of their atoms.
    places : list of str

    Returns
    -------
    str or None
        None for a single structure.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.cli._predicted_structures import least_alike
    >>> print(least_alike(np.array([0.3, 0.75, 0.4, 0.5]), ["a.cif", "b.cif", "c.cif", "d.cif"]))
    least like the fit, by the mean novelty of their atoms: b.cif (0.75), d.cif (0.5). Errors are
    largest in such structures most often, so check these first
    """
    if len(means) < 2:
        return None
    order = np.argsort(-np.round(means, 6), kind="stable")[: min(_NAMED, len(means) // 2)]
    named = ", ".join(f"{printable(places[k])} ({means[k]:.3g})" for k in order)
    return (
        f"least like the fit, by the mean novelty of their atoms: {named}. Errors are largest in "
        "such structures most often, so check these first"
    )


def degree(novelty) -> str:
    """Return in words how far an atom with a novelty above 1 is from those of the fit.

    Examples
    --------
    >>> from sk_ednn.cli._predicted_structures import degree
    >>> degree(1.02), degree(2.0), degree(4.0)
    ('just beyond', 'clearly beyond', 'far beyond')
    """
    kind = "just" if novelty <= _JUST else "clearly" if novelty <= _FAR else "far"
    return f"{kind} beyond"


def novelty_line(count) -> str:
    """Return the result of `counted` in words.

    Examples
    --------
    >>> from sk_ednn.cli._predicted_structures import novelty_line
    >>> print(novelty_line({"unlike": 8, "atoms": 32, "largest": 1.02}).partition(". ")[0])
    8 of 32 atoms are unlike those of the fit (novelty above 1); the largest novelty is 1.02, just
    beyond
    """
    beyond = f", {degree(count['largest'])}" if count["largest"] > UNLIKE else ""
    return (
        f"{count['unlike']:,} of {count['atoms']:,} atoms are unlike those of the fit (novelty "
        f"above 1); the largest novelty is {count['largest']:.3g}{beyond}. Novelty: how far the "
        "surroundings of an atom are from the nearest in the fit; up to 1 for 99 % of its own atoms"
    )
