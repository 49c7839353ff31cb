"""Known energies, forces and stresses of structures, each of which may be missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...exceptions import TileModelError

_NAMES = {"energies": "energy", "forces": "force", "stress": "stress"}


@dataclass(frozen=True, eq=False)
class PotentialLabels:
    """Labels of a batch of structures; NaN for unknown ones.

    Use `PotentialLabels.of`, which checks its arguments, to create one.

    Attributes
    ----------
    energies : ndarray of shape (n_structures,)
        In eV, of whole cells.
    forces : ndarray of shape (n_atoms, 3)
        In eV/Å, of all structures, concatenated.
    stress : ndarray of shape (n_structures, 6)
        In eV/Å³, xx, yy, zz, yz, xz, xy, positive under tension, as in ASE.
    """

    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray

    @classmethod
    def of(cls, structures, energies=None, forces=None, stress=None):
        """Check labels, and fill missing ones with NaN.

        Parameters
        ----------
        structures : Structures
        energies : array-like of shape (n_structures,), default=None
        forces : array-like of shape (n_atoms, 3), default=None
        stress : array-like of shape (n_structures, 6), default=None

        Returns
        -------
        PotentialLabels

        Raises
        ------
        TileModelError
            If a label is infinite or has the wrong shape, or a structure without a volume has a
            stress (the message names the structure); or if there are no labels.

        Examples
        --------
        >>> from sk_ednn.solvers._potential import PotentialLabels
        >>> from sk_ednn.structures import Structures
        >>> dimer = dict(numbers=[7, 7], positions=[[0, 0, 0], [0, 0, 1.1]], pbc=False)
        >>> PotentialLabels.of(Structures.of([dimer]), energies=[-9.8]).forces
        array([[nan, nan, nan],
               [nan, nan, nan]])
        """
        n, n_atoms = len(structures), structures.n_atoms
        labels = cls(
            _checked(structures, "energies", energies, (n,)),
            _checked(structures, "forces", forces, (n_atoms, 3)),
            _checked(structures, "stress", stress, (n, 6)),
        )
        has_stress = ~np.isnan(labels.stress).all(axis=1)
        flat = np.flatnonzero(has_stress & (structures.volumes <= 0))
        if flat.size:
            raise TileModelError(
                f"Structure {flat[0]} has a stress and no volume: give its cell, or leave the "
                "stress out (NaN)."
            )
        if all(np.isnan(part).all() for part in (labels.energies, labels.forces, labels.stress)):
            raise TileModelError(
                "The structures have no energies, forces or stresses to learn from: every label "
                "is missing."
            )
        return labels

    def take(self, structures, indices):
        """Return the labels of some structures.

        Parameters
        ----------
        structures : Structures
            Structures of the labels.
        indices : array-like of int

        Returns
        -------
        PotentialLabels
        """
        atoms = [
            np.arange(structures.offsets[k], structures.offsets[k + 1]) for k in np.asarray(indices)
        ]
        rows = np.concatenate(atoms) if atoms else np.arange(0)
        return PotentialLabels(self.energies[indices], self.forces[rows], self.stress[indices])


def _checked(structures, name, values, shape):
    if values is None:
        return np.full(shape, np.nan)
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise TileModelError(
            f"{name} must be of shape {shape} for {len(structures)} structures with "
            f"{structures.n_atoms} atoms; got {array.shape}."
        )
    infinite = np.flatnonzero(np.isinf(array.reshape(len(array), -1)).any(axis=1))
    if infinite.size:
        row = infinite[0]
        where = structures.place(row) if name == "forces" else f"structure {row}"
        raise TileModelError(
            f"The {_NAMES[name]} of {where} is infinite. Mark missing labels by NaN."
        )
    return array
