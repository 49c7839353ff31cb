"""Fitted potentials with one interface: energies, forces and stresses of structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._utils.stored import stored
from ..exceptions import TileModelError
from ..structures import screened_repulsion
from ..structures._cells import AXES
from ..structures._elements import symbol
from ..structures._stress import stress_of

# Atoms per block of descriptors.
_BLOCK_ATOMS = 1 << 12


class Prediction(NamedTuple):
    """Predictions of a potential; None for what was not requested.

    Attributes
    ----------
    energies : ndarray of shape (n_structures,), in eV
    forces : ndarray of shape (n_atoms, 3) or None, in eV/Å
    stress : ndarray of shape (n_structures, 6) or None, in eV/Å³
        NaN for structures without volume.
    contributions : ndarray of shape (n_atoms,) or None, in eV
    """

    energies: np.ndarray
    forces: np.ndarray | None
    stress: np.ndarray | None
    contributions: np.ndarray | None


@stored("TiledPotential")
@dataclass(eq=False)
class TiledPotential:
    """Wrap a fitted `EDNNRegressor` with an `AtomTiling`.

    Parameters
    ----------
    regressor : EDNNRegressor
    atomic_energies : dict of int to float
        Energies by atomic number, in eV, that were subtracted before the fit; empty for none.
    repulsion : bool, default=False
        Whether the repulsion of nuclei is added, see `screened_repulsion`.
    """

    regressor: Any
    atomic_energies: dict
    repulsion: bool = False

    def predict(self, structures, *, forces=False, stress=False, per_atom=False) -> Prediction:
        """Predict energies and, on request, forces, stresses and energies of atoms.

        Parameters
        ----------
        structures : Structures
        forces, stress, per_atom : bool, default=False
        """
        model = self.regressor
        energies = model.predict(structures) + atomic_totals(self.atomic_energies, structures)
        gradients = model.predict_gradient(structures) if forces or stress else []
        slopes = np.concatenate([each.positions for each in gradients]) if forces else None
        strain = np.array([each.strain for each in gradients]) if stress else None
        contributions = self._contributions(structures) if per_atom else None
        if self.repulsion:
            repulsion = screened_repulsion(structures)
            energies += np.add.reduceat(repulsion.contributions, structures.offsets[:-1])
            if forces:
                slopes += repulsion.positions
            if stress:
                strain += repulsion.strain
            if per_atom:
                contributions += repulsion.contributions
        return Prediction(
            energies,
            None if slopes is None else 0.0 - slopes,
            None if strain is None else stress_of(strain, structures.volumes),
            contributions,
        )

    def features(self, structures):
        """Yield descriptors of atoms by species; see `standardized_features`."""
        kind, descriptor = type(self.tiling), self.tiling.descriptor
        systems = kind(descriptor).check(structures, like=self.regressor._described)
        for number in np.unique(structures.numbers).tolist():
            tiling = kind(descriptor, species=number)
            tiles, _ = systems.tiles(number)
            for block in tiling.plan(systems, _BLOCK_ATOMS):
                values = tiling.read(systems, block.start, block.stop)
                atoms = tiles[block.start : block.stop]
                yield number, atoms, values.reshape(len(atoms), -1)

    @property
    def tiling(self):
        """The tiling of the first term."""
        return self.regressor.fitted_terms()[0][1]

    @property
    def cutoff(self):
        """The cutoff of the descriptor, in Å."""
        return float(self.tiling.descriptor.cutoff)

    def _contributions(self, structures):
        parts = self.regressor.predict_contributions(structures)
        out = _atomic(self.atomic_energies, structures)
        if not isinstance(parts, dict):
            return out + np.concatenate(parts)
        for name, of_term in parts.items():
            tiling = dict(zip(self.regressor._term_names, self.regressor.tiling_, strict=True))[
                name
            ]
            mine = np.ones(structures.n_atoms, dtype=bool)
            if tiling.species is not None:
                mine = structures.numbers == tiling.number
            out[mine] += np.concatenate(of_term)
        return out


@stored("DrawnPotential")
@dataclass(eq=False)
class DrawnPotential:
    """Wrap a fitted Pipeline of a `GaussianRasterizer` and an `EDNNRegressor`.

    Parameters
    ----------
    pipeline : Pipeline
    """

    pipeline: Any

    def predict(self, structures, *, forces=False, stress=False, per_atom=False) -> Prediction:
        """Predict energies and, on request, forces and stresses.

        Parameters
        ----------
        structures : Structures
        forces, stress : bool, default=False
        per_atom : bool, default=False
            Must be False, since images have no energies of atoms.
        """
        draw, regressor = self.pipeline.steps[0][1], self.pipeline.steps[-1][1]
        if per_atom:
            raise TileModelError(
                "A model of images has no energies of atoms. "
                "potential_.pipeline[-1].predict_contributions returns those of tiles."
            )
        if stress and draw.adjust == 0:
            raise TileModelError(
                "The model was fitted with GaussianRasterizer(adjust=0), so it has no stress. Fit "
                "it to cells of many sizes with GaussianRasterizer(adjust=...)."
            )
        listed = list(structures)
        fields = draw.transform(listed)
        energies, axes = regressor.predict(fields), list(AXES[draw.plane])
        gradients = regressor.predict_gradient(fields) if forces or stress else []
        out, strain = None, None
        if forces:
            out = np.zeros((structures.n_atoms, 3))
            out[:, axes] = np.concatenate(draw.forces(listed, gradients))
        if stress:
            strain = np.zeros((len(listed), 3, 3))
            rows, columns = np.ix_(axes, axes)
            strain[:, rows, columns] = draw.strain_gradients(listed, gradients)
            strain = stress_of(strain, structures.volumes)
        return Prediction(energies, out, strain, None)

    @property
    def cutoff(self):
        """None: the range depends on the position of an atom in its tile."""
        return None


def models_of(potential) -> list:
    """Return the models of tiles of a potential; none of a network."""
    if isinstance(potential, TiledPotential):
        return [potential.regressor]
    return [potential.pipeline] if isinstance(potential, DrawnPotential) else []


def atomic_totals(energies, structures) -> np.ndarray:
    """Return the sums of energies by atomic number, (n_structures,)."""
    return np.add.reduceat(_atomic(energies, structures), structures.offsets[:-1])


def _atomic(energies, structures):
    table = np.zeros(int(structures.numbers.max()) + 1)
    for number, energy in energies.items():
        if number < len(table):
            table[number] = energy
    return table[structures.numbers]


def check_species(fitted, structures, places) -> None:
    """Raise if structures contain species to which a potential was not fitted.

    Parameters
    ----------
    fitted : sequence of int
        Atomic numbers.
    structures : Structures
    places : list of str
    """
    unseen = np.flatnonzero(~np.isin(structures.numbers, fitted))
    if unseen.size:
        atom = int(unseen[0])
        k = int(structures.owners[atom])
        raise TileModelError(
            f"{places[k]}, atom {atom - structures.offsets[k]}, is "
            f"{symbol(int(structures.numbers[atom]))}, but the potential was fitted to "
            f"{', '.join(symbol(int(number)) for number in fitted)}. Fit it to structures that "
            "contain this species."
        )
