"""A surrogate that agrees with the label of one structure, and with the surrogate far from it."""

from __future__ import annotations

import numpy as np

from ._surrogate import Evaluation

# Root mean square displacement, and strain, over which the linear part of the correction fades.
_REACH, _STRAIN_REACH = 0.5, 0.1


class Corrected:
    """Evaluate a surrogate plus what it lacks at a labelled structure.

    Energy, forces and stress equal those of the label at its structure, so that a minimum of the
    reference method is one of the sum, and relaxations end near it after few labels. The linear
    part fades with the distance from the structure: it was seen at one point only.

    Parameters
    ----------
    evaluate : callable
        Takes a structure; returns an `Evaluation`.
    structure : Structure
    label : Label
        With forces. Where it has no stress, that of the surrogate is kept.

    References
    ----------
    Alexandrov, Dennis, Lewis and Torczon, A trust-region framework for managing the use of
    approximation models in optimization, Structural Optimization 15 (1998), 16.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.search import CalculatorLabeller, Evaluation
    >>> from sk_ednn.search._corrected import Corrected
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.rattle(0.1, seed=0)
    >>> label = CalculatorLabeller(EMT).label(atoms)
    >>> nothing = Evaluation(0.0, 0.0, np.zeros((4, 3)), np.zeros((3, 3)))
    >>> corrected = Corrected(lambda structure: nothing, atoms, label)
    >>> bool(np.allclose(corrected(atoms).forces, label.forces))
    True
    """

    def __init__(self, evaluate, structure, label):
        self.evaluate = evaluate
        self.positions = np.array(structure.positions, dtype=float)
        self.cell = np.array(structure.cell, dtype=float)
        here = evaluate(structure)
        self.energy = label.energy - here.energy
        self.forces = np.asarray(label.forces) - here.forces
        self.strain = np.zeros((3, 3))
        if label.stress is not None:
            self.strain = abs(np.linalg.det(self.cell)) * np.asarray(label.stress) - here.strain

    def __call__(self, structure) -> Evaluation:
        """Return the corrected `Evaluation` of a structure of the same atoms in the same order."""
        evaluation = self.evaluate(structure)
        # Rows of cells and positions are vectors: cell = self.cell @ deformation.
        deformation = np.eye(3)
        if not np.array_equal(structure.cell, self.cell):
            deformation = np.linalg.solve(self.cell, structure.cell)
        inverse = np.linalg.inv(deformation)
        moved = structure.positions @ inverse - self.positions
        change = deformation - np.eye(3)
        near = (moved**2).sum() / (len(moved) * _REACH**2) + (change**2).sum() / _STRAIN_REACH**2
        fading = np.exp(-0.5 * near)
        linear = fading * ((self.strain * change).sum() - (self.forces * moved).sum())
        by_position = -fading * self.forces - linear * moved / (len(moved) * _REACH**2)
        by_deformation = fading * self.strain - linear * change / _STRAIN_REACH**2
        strain = deformation.T @ by_deformation
        return Evaluation(
            evaluation.energy + self.energy + float(linear),
            evaluation.std,
            evaluation.forces - by_position @ inverse.T,
            evaluation.strain + 0.5 * (strain + strain.T),
            evaluation.shortest,
        )
