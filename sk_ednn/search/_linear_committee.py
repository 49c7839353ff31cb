"""A committee of linear models that is fitted to all forces within a fraction of a second."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..descriptors import PowerSpectrum
from ..structures._stress import VOIGT
from ._features import cached_features, summed
from ._surrogate import AbstractSurrogate

# Penalties of scaled coefficients, relative to the weight of all labels.
_PENALTIES = 10.0 ** np.arange(-9, 0)
# Relative penalty of the columns that count atoms; it makes a fixed ratio of species solvable.
_COUNT_PENALTY = 1e-3


class LinearCommittee(AbstractSurrogate):
    """Learn energies, all forces and stress by ridge regression on power spectra.

    The default surrogate of `StructureSearch`; see `AbstractSurrogate` for folds and the spread.
    All members are solved from sums of outer products, one for each fold, so a fit costs as much
    as one member. The penalty is the one with the lowest held-out errors. Gradients of descriptors
    are kept between fits, within this process and 256 MiB.

    Parameters
    ----------
    cutoff : float, default=5.0, in Å
    n_radial : int, default=6
    max_l : int, default=3
    n_members : int, default=5
    force_weight : float, default=0.3, in Å²
        Weight of the mean squared error of the forces of a structure, in (eV/Å)², relative to the
        squared error of its energy per atom, in eV².
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    coef_ : ndarray of shape (n_members, n_species, 1 + n_features)
        For each element of the centre: the energy of an atom, then the coefficients of its power
        spectrum.
    errors_ : ndarray of shape (n_structures,), in eV per atom
        Absolute errors of held-out energies.
    std_scale_ : float
        Factor by which the spread of the members is multiplied.
    penalty_ : float

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.search import CalculatorLabeller, LinearCommittee
    >>> cells = [bulk("Cu", a=3.6, cubic=True) for _ in range(12)]
    >>> for k, cell in enumerate(cells):
    ...     cell.rattle(0.1, seed=k)
    >>> labels = [CalculatorLabeller(EMT).label(cell) for cell in cells]
    >>> surrogate = LinearCommittee(random_state=0).fit(cells, labels)
    >>> energies, std = surrogate.predict(cells)
    >>> bool(abs(energies - [label.energy for label in labels]).max() < 0.02)
    True
    """

    def __init__(
        self, cutoff=5.0, n_radial=6, max_l=3, n_members=5, *, force_weight=0.3, random_state=None
    ):
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.max_l = max_l
        self.n_members = n_members
        self.force_weight = force_weight
        self.random_state = random_state

    def _fit_members(self, structures, labels, weights, folds, rng):
        numbers = np.unique(np.concatenate([np.asarray(s.numbers) for s in structures]))
        descriptor = PowerSpectrum(
            self.cutoff, self.n_radial, self.max_l, species=tuple(numbers.tolist())
        )
        described = [cached_features(descriptor, structure) for structure in structures]
        scale = _scale(described, len(numbers))
        rows = [
            _weighted_rows(
                features, label, len(structure.numbers), weight, scale, self.force_weight
            )
            for features, label, structure, weight in zip(
                described, labels, structures, weights, strict=True
            )
        ]
        parts = []
        for fold in range(self.n_members):
            x = np.concatenate([rows[k][0] for k in np.flatnonzero(folds == fold)])
            y = np.concatenate([rows[k][1] for k in np.flatnonzero(folds == fold)])
            parts.append((x, y, x.T @ x, x.T @ y))
        penalised = np.ones((len(numbers), len(scale) // len(numbers)))
        penalised[:, 0] = _COUNT_PENALTY
        penalty, solutions = _solve(parts, weights.sum(), penalised.reshape(-1))
        coef = solutions / scale
        fitted = {
            "descriptor_": descriptor,
            "penalty_": float(penalty),
            "coef_": coef.reshape(self.n_members, len(numbers), -1),
        }
        return fitted, coef @ np.array([features.sums for features in described]).T

    def _predict_members(self, structures):
        coef = self.coef_.reshape(self.n_members, -1)
        return np.array([coef @ summed(self.descriptor_, s)[0] for s in structures]).T

    def _evaluate_members(self, structure):
        sums, environments, kinds = summed(self.descriptor_, structure)
        energies = self.coef_.reshape(self.n_members, -1) @ sums
        gradients = self.coef_.mean(axis=0)[kinds, 1:]
        by_positions, by_strain = environments.gradient(
            self.descriptor_.pull(environments, gradients)
        )
        vectors = environments.vectors
        shortest = np.sqrt(np.einsum("pd,pd->p", vectors, vectors).min(initial=np.inf))
        return energies, -by_positions, by_strain[0], float(shortest)


def _solve(parts, weight, penalised):
    """Return the penalty of the lowest held-out errors, and the solution without each part."""
    gram, moments = sum(part[2] for part in parts), sum(part[3] for part in parts)
    best = None
    for penalty in _PENALTIES:
        ridge = np.diag(penalty * weight * penalised)
        solutions, loss = [], 0.0
        try:
            for x, y, held_gram, held_moments in parts:
                factor = cho_factor(gram - held_gram + ridge, check_finite=False)
                solution = cho_solve(factor, moments - held_moments, check_finite=False)
                solutions.append(solution)
                loss += float(np.sum((x @ solution - y) ** 2))
        except np.linalg.LinAlgError:  # too small a penalty for the rounding of these sums
            continue
        if best is None or loss < best[0]:
            best = loss, penalty, np.array(solutions)
    if best is None:
        raise ValueError("No penalty makes the fit solvable. Are energies or forces huge?")
    return best[1:]


def _scale(seen, n_kinds) -> np.ndarray:
    """Return the standard deviation over atoms of each feature, for each element; 1 for counts."""
    sums = sum(one.sums for one in seen).reshape(n_kinds, -1)
    squares = sum(one.squares for one in seen).reshape(n_kinds, -1)
    counts = sums[:, :1]
    mean_squares = squares / counts
    scale = np.sqrt(np.maximum(mean_squares - (sums / counts) ** 2, 1e-6 * mean_squares))
    scale[:, 0] = 1.0
    # What is absent in all structures has no coefficient.
    scale[scale == 0.0] = np.inf
    return scale.reshape(-1)


def _weighted_rows(one, label, n_atoms, weight, scale, force_weight):
    """Return the rows of a structure and their targets: energy per atom, forces, virial."""
    rows, targets, weights = [one.sums[None]], [[label.energy]], [[weight**0.5 / n_atoms]]
    if label.forces is not None:
        rows.append(one.by_positions)
        targets.append(-np.asarray(label.forces).reshape(-1))
        weights.append(np.full(3 * n_atoms, (weight * force_weight / (3 * n_atoms)) ** 0.5))
    if label.stress is not None:
        rows.append(one.by_strain)
        targets.append(one.volume * np.asarray(label.stress)[VOIGT])
        weights.append(np.full(6, (weight / 6) ** 0.5 / n_atoms))
    weights = np.concatenate(weights)
    rows = np.concatenate(rows) / scale
    return rows * weights[:, None], np.concatenate(targets) * weights
