"""Errors of a potential by structure, and by groups of structures."""

from __future__ import annotations

import csv
from typing import NamedTuple

import numpy as np

from .._utils.writing import replacing
from ..structures._files import naming
from ._held_out import scaled, std_factors
from ._potential_data import LabelledStructures, labelled
from ._potential_errors import Errors, averages, differences
from ._potentials import Prediction, check_species
from ._structure_groups import composition

_COLUMNS = {
    "energy": "predicted minus true energy (meV/atom)",
    "force_mae": "forces mean error (meV/Å)",
    "force_rmse": "forces rmse (meV/Å)",
    "stress_mae": "stress mean error (GPa)",
}


# What titles of `parts_by_novelty` mean.
NOVEL = "novel: structures with atoms whose surroundings are unlike those of the fit"


class Measured(NamedTuple):
    """Labelled structures, and the predictions and errors of a potential for them.

    Attributes
    ----------
    data : LabelledStructures
    predicted : Prediction
    errors : Errors
    std : Prediction or None
        Standard deviations over the members of a committee.
    novelty : list of ndarray of shape (n_atoms,), or None
        None if it was not requested, and for models of images.
    """

    data: LabelledStructures
    predicted: Prediction
    errors: Errors
    std: Prediction | None = None
    novelty: list[np.ndarray] | None = None

    def of(self, chosen) -> dict[str, float]:
        """Return the errors of some structures, as `averages` in `_potential_errors`.

        Parameters
        ----------
        chosen : ndarray of bool of shape (n_structures,)
        """
        atoms = chosen[self.data.structures.owners]
        energies, forces, stress = self.errors
        return averages(Errors(energies[chosen], forces[atoms], stress[chosen]))

    def by_group(self, groups, among=None) -> list[tuple]:
        """Return the errors of groups of structures, the largest errors of energies first.

        Parameters
        ----------
        groups : array-like of shape (n_structures,)
        among : ndarray of bool of shape (n_structures,), default=None
            Structures that count; None for all.

        Returns
        -------
        list of (group, number of structures, dict of errors)
            Beside the means, ``energy_worst`` is the largest error of an energy, and ``unlike``,
            if novelty is known, the number of structures with atoms unlike those of the fit.
        """
        groups = np.asarray(groups)
        rows = []
        for group in np.unique(groups):
            chosen = groups == group
            if among is not None:
                chosen &= among
                if not chosen.any():
                    continue
            rows.append((group.item(), int(chosen.sum()), self._worst_of(chosen)))
        return sorted(rows, key=lambda row: -row[2].get("energy_mae", 0.0))

    def _worst_of(self, chosen) -> dict[str, float]:
        """Return the errors of some structures, the largest, and how many are novel."""
        found = self.of(chosen)
        energies = np.abs(self.errors.energies[chosen])
        if not np.isnan(energies).all():
            found["energy_worst"] = float(np.nanmax(energies))
        if self.novelty is not None:
            found["unlike"] = int(self._is_unlike()[chosen].sum())
        return found

    def _is_unlike(self, above=1.0) -> np.ndarray:
        """Return which structures have atoms unlike those of the fit, (n_structures,)."""
        return np.array([each.max(initial=0.0) > above for each in self.novelty or ()], dtype=bool)

    def by_novelty(self, above=1.0, among=None) -> dict[str, dict]:
        """Return errors of structures with atoms unlike those of the fit, and of all others.

        Parameters
        ----------
        above : float, default=1.0
            Novelty above which the surroundings of an atom are unlike those of the fit.
        among : ndarray of bool of shape (n_structures,), default=None
            Structures that count; None for all.

        Returns
        -------
        dict of str to dict
            ``"unlike"`` and ``"alike"``: number of ``"structures"`` and their ``"errors"``. Empty
            if novelty is not known, or all structures are of one kind.
        """
        if self.novelty is None:
            return {}
        unlike = self._is_unlike(above)
        among = np.ones(len(unlike), dtype=bool) if among is None else among
        kinds = {"unlike": unlike & among, "alike": ~unlike & among}
        if not all(chosen.any() for chosen in kinds.values()):
            return {}
        return {
            kind: {"structures": int(chosen.sum()), "errors": self.of(chosen)}
            for kind, chosen in kinds.items()
        }

    def by_structure(self) -> dict[str, np.ndarray]:
        """Return errors of each structure, NaN where a label is not known.

        Returns
        -------
        dict of str to ndarray of shape (n_structures,)
            ``energy``, predicted minus true, in meV/atom; ``force_mae`` and ``force_rmse`` over
            components, in meV/Å; ``stress_mae`` in GPa.
        """
        # One structure is a group; its means are those of `averages`.
        known = ~np.isnan(self.errors.forces)
        sizes = np.where(known, np.abs(self.errors.forces), 0.0)
        owners, n = self.data.structures.owners, len(self.data.structures)
        with np.errstate(invalid="ignore"):
            counts = np.bincount(owners, known.sum(axis=1), n)
            mae = np.bincount(owners, sizes.sum(axis=1), n) / counts
            rmse = np.sqrt(np.bincount(owners, (sizes**2).sum(axis=1), n) / counts)
            is_known = ~np.isnan(self.errors.stress)
            stress = np.where(is_known, np.abs(self.errors.stress), 0.0).sum(axis=1)
            stress = stress / is_known.sum(axis=1)
        return {
            "energy": self.errors.energies, "force_mae": mae, "force_rmse": rmse,
            "stress_mae": stress,
        }  # fmt: skip

    def formulas(self) -> np.ndarray:
        """Return the composition of each structure, such as SiAu2."""
        return np.array([composition(structure.numbers) for structure in self.data.structures])


def measured(potential, structures, y=None, *, places=None, novelty=False) -> Measured:
    """Predict labelled structures, and compare.

    Parameters
    ----------
    potential : EDNNPotential
    structures, y
        As in `EDNNPotential.fit`.
    places : sequence of str, default=None
        Name of each structure; None for those of the files that are read, or its index.
    novelty : bool, default=False
        Whether to compute the novelty of atoms, too.
    """
    with naming(places):
        data = labelled(structures, y, names=potential.labels)
    if places is not None:
        if len(places) != len(data.places):
            raise ValueError(
                f"Names of structures must be one for each of {len(data.places)}; got "
                f"{len(places)}."
            )
        data.places[:] = list(places)
    return compared(potential, data, novelty=novelty)


def compared(potential, data, *, novelty=False) -> Measured:
    """Compare the predictions of a potential with labels.

    Parameters
    ----------
    potential : EDNNPotential
    data : LabelledStructures
    novelty : bool, default=False
        Whether to compute the novelty of atoms, too.
    """
    check_species(potential.species_, data.structures, data.places)
    found = Measured(data, *differences(potential.potential_, data))
    if not novelty or getattr(potential, "novelty_", None) is None:
        return found
    atoms = potential._novelty_of(data.structures)
    return found._replace(novelty=np.split(atoms, data.structures.offsets[1:-1]))


def parts_by_novelty(found, which="") -> dict[str, dict]:
    """Return the errors of novel structures and of others, by the titles of tables.

    Parameters
    ----------
    found : dict
        Result of `Measured.by_novelty`.
    which : str, default=""
        Name of the part of the data, with which titles begin.

    Examples
    --------
    >>> from sk_ednn.atoms._structure_errors import parts_by_novelty
    >>> parts_by_novelty({"unlike": {"structures": 5, "errors": {"energy_mae": 2.0}}}, "test")
    {'test, 5 novel': {'energy_mae': 2.0}}
    """
    titles = {"unlike": "novel", "alike": "not novel"}
    return {
        f"{which}{', ' if which else ''}{part['structures']} {titles[kind]}": part["errors"]
        for kind, part in found.items()
    }


def trust_in(potential, part) -> dict[str, np.ndarray]:
    """Return what a potential says of its errors for each structure, by the title of a column.

    Parameters
    ----------
    potential : EDNNPotential
    part : Measured
        With its novelty, if the potential has one.
    """
    sizes, found = part.data.structures.sizes, {}
    held_out = getattr(potential, "held_out_", None)
    if held_out is not None and held_out.suffices():
        half = potential._half_width(part.data.structures, part.std, part.novelty)
        found["energy plus or minus 90 % (meV/atom)"] = 1e3 * half / sizes
    if part.std is not None:
        factors = std_factors(potential)
        to_errors = " scaled to errors held out" if "energy" in factors else ""
        std = scaled(part.std, factors)
        found[f"energy std over the networks{to_errors} (meV/atom)"] = 1e3 * std.energies / sizes
    if part.novelty is not None:
        found["largest novelty"] = np.array([each.max(initial=0.0) for each in part.novelty])
    return found


def write_structure_errors(path, potential, parts, groups=None, key="group") -> None:
    """Write the errors of each structure as CSV, beside what the potential says of them.

    Parameters
    ----------
    path : Path
    potential : EDNNPotential
    parts : dict of str to Measured
    groups : dict of str to sequence, default=None
        The group of each structure, by part.
    key : str
        Name of the column of groups.
    """
    trust = {which: trust_in(potential, part) for which, part in parts.items()}
    titles = list(next(iter(trust.values()), {}))
    with replacing(path, "w", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        header = ["composition", "atoms", *_COLUMNS.values(), *titles]
        more = [] if groups is None else [key if key not in header else f"group by {key}"]
        table.writerow(["part", "structure", *more, *header])
        for which, part in parts.items():
            columns = part.by_structure()
            formulas, sizes = part.formulas(), part.data.structures.sizes
            for k, place in enumerate(part.data.places):
                group = [] if groups is None else [groups[which][k]]
                numbers = [columns[name][k] for name in _COLUMNS]
                numbers += [trust[which][title][k] for title in titles]
                table.writerow([
                    which, place, *group, formulas[k], int(sizes[k]),
                    *("" if np.isnan(value) else repr(float(value)) for value in numbers),
                ])  # fmt: skip
