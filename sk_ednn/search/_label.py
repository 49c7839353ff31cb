"""Labels: energy, forces and stress by a reference method; checks of structures and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._utils.masks import unknown_as_nan
from ..structures import Structure, Structures, neighbor_pairs

# Å: how far neighbours are looked for when the shortest distance is asked for.
_REACH = 3.0


@dataclass(frozen=True)
class Label:
    """Energy, forces and stress of a structure by the reference method.

    Parameters
    ----------
    energy : float, in eV
        Energy of the whole cell.
    forces : ndarray of shape (n_atoms, 3), default=None, in eV/Å
    stress : ndarray of shape (3, 3), default=None, in eV/Å³
        Positive under tension. None for structures without a volume.
    converged : bool, default=True
        As the reference method reports it.
    """

    energy: float
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    converged: bool = True


def as_structure(structure) -> Structure:
    """Return a checked copy of a structure, whatever carries it.

    Parameters
    ----------
    structure : ase.Atoms, Structure or whatever has numbers, positions, cell and pbc

    Returns
    -------
    Structure
        With numbers (n_atoms,), positions (n_atoms, 3), cell (3, 3) and pbc (3,) as arrays.
    """
    (packed,) = Structures.of([structure])
    return Structure(*(np.array(part) for part in packed))


def volume_per_atom(structure) -> float:
    """Return the volume of a cell divided by the number of atoms, in Å³; NaN where it is open."""
    if not np.all(structure.pbc):
        return float("nan")
    return abs(float(np.linalg.det(structure.cell))) / len(structure.numbers)


def shortest_distance(structure) -> float:
    """Return the smallest distance of two atoms, periodic images included, in Å; at most 3."""
    pairs = neighbor_pairs(Structures.of([structure]), _REACH)
    vectors = np.asarray(pairs.vectors)
    return float(np.sqrt((vectors**2).sum(axis=1).min())) if len(vectors) else _REACH


@dataclass(frozen=True)
class Sanity:
    """Limits of plausible structures and labels.

    Parameters
    ----------
    min_distance : float, default=0.5, in Å
        Minimum distance of two atoms.
    volume_range : pair of float, default=(1.0, 1000.0), in Å³ per atom
        Volumes of cells that repeat along all axes.
    max_force : float, default=100.0, in eV/Å
        Maximum force on an atom. Labels with larger forces are wrong, or useless for a fit.
    """

    min_distance: float = 0.5
    volume_range: tuple = (1.0, 1000.0)
    max_force: float = 100.0

    def fault_of_structure(self, structure, shortest=None) -> str | None:
        """Return the fault of an implausible structure as a sentence, or None.

        Parameters
        ----------
        structure : Structure
        shortest : float, default=None, in Å
            Distance of the two closest atoms, if known.
        """
        if not np.isfinite(structure.positions).all() or not np.isfinite(structure.cell).all():
            return "positions or cell are not finite"
        volume = volume_per_atom(structure)
        if volume < self.volume_range[0] or volume > self.volume_range[1]:
            return f"{volume:.3g} Å³ per atom, outside of {self.volume_range}"
        try:
            distance = shortest_distance(structure) if shortest is None else shortest
        except ValueError as error:
            return str(error)
        if distance < self.min_distance:
            return f"two atoms are {distance:.3g} Å apart, less than {self.min_distance:g}"
        return None

    def fault_of_label(self, structure, label) -> str | None:
        """Return the fault of an implausible label as a sentence, or None."""
        if not label.converged:
            return "the reference method did not converge"
        if not np.isfinite(unknown_as_nan([label.energy], "energy")).all():
            return f"the energy is {label.energy}"
        for name, shape in (("forces", (len(structure.numbers), 3)), ("stress", (3, 3))):
            values = getattr(label, name)
            if values is None:
                continue
            if np.shape(values) != shape:
                return f"the {name} have shape {np.shape(values)}, expected {shape}"
            # Reductions skip masked entries, but their values would be learned.
            if not np.isfinite(unknown_as_nan(values, name)).all():
                return f"the {name} are not finite, or masked"
        if label.forces is not None:
            largest = float(np.linalg.norm(label.forces, axis=1).max())
            if largest > self.max_force:
                return f"a force of {largest:.4g} eV/Å, more than {self.max_force:g}"
        return None
