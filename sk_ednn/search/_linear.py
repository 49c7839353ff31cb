"""A committee of linear models that is fitted to all forces within a fraction of a second."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..descriptors import PowerSpectrum
from ..structures import Structures, neighbor_pairs
from ._surrogate import Evaluation, checked_labels, spread_scale

# Penalties of scaled coefficients, relative to the weight of all labels.
_PENALTIES = 10.0 ** np.arange(-9, 0)
# Of the columns that count atoms, relative to it: what makes a fixed ratio of species solvable.
_COUNT_PENALTY = 1e-3
# The six components of a symmetric strain.
_VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
# What is kept of structures that were seen, so that a new fit computes only the new ones.
_CACHE_BYTES = 256 << 20


class LinearCommittee(BaseEstimator):
    """Learn energies, all forces and stress by ridge regression on power spectra.

    The default surrogate of `StructureSearch`. Members and held-out errors are those of
    `CommitteeSurrogate`: labels are dealt into as many folds as there are members, and a member is
    fitted to all but its fold. All members are solved from sums of outer products, one for each
    fold, so a fit costs as much as one member. The penalty is the one with the lowest held-out
    errors. Derivatives of descriptors are kept between fits, within this process and 256 MiB.

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
        For each element of the centre: the energy of an atom, then those of its power spectrum.
    errors_ : ndarray of shape (n_structures,), in eV per atom
        Absolute errors of the energies that were held out.
    std_scale_ : float
        The spread of the members is multiplied by it.
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

    def fit(self, structures, labels, sample_weight=None):
        """Fit the members; see `CommitteeSurrogate.fit`."""
        weights = checked_labels(structures, labels, sample_weight, self.n_members)
        numbers = np.unique(np.concatenate([np.asarray(s.numbers) for s in structures]))
        descriptor = PowerSpectrum(
            self.cutoff, self.n_radial, self.max_l, species=tuple(numbers.tolist())
        )
        seen = [_described(descriptor, structure) for structure in structures]
        n = len(seen)
        sizes = np.array([len(s.numbers) for s in structures])
        scale = _scale(seen, len(numbers))
        penalised = np.ones((len(numbers), len(scale) // len(numbers)))
        penalised[:, 0] = _COUNT_PENALTY
        penalised = penalised.reshape(-1)
        energies = np.array([label.energy for label in labels])
        rng = check_random_state(self.random_state)
        folds = rng.permutation(n) % self.n_members
        rows = [
            _weighted_rows(one, label, size, weight, scale, self.force_weight)
            for one, label, size, weight in zip(seen, labels, sizes, weights, strict=True)
        ]
        parts = []
        for fold in range(self.n_members):
            x = np.concatenate([rows[k][0] for k in np.flatnonzero(folds == fold)])
            y = np.concatenate([rows[k][1] for k in np.flatnonzero(folds == fold)])
            parts.append((x, y, x.T @ x, x.T @ y))
        gram, moments = sum(p[2] for p in parts), sum(p[3] for p in parts)
        best = None
        for penalty in _PENALTIES:
            ridge = np.diag(penalty * weights.sum() * penalised)
            solutions, loss = [], 0.0
            try:
                for x, y, own, own_moments in parts:
                    factor = cho_factor(gram - own + ridge, check_finite=False)
                    solution = cho_solve(factor, moments - own_moments, check_finite=False)
                    solutions.append(solution)
                    loss += float(np.sum((x @ solution - y) ** 2))
            except np.linalg.LinAlgError:  # too small a penalty for the rounding of these sums
                continue
            if best is None or loss < best[0]:
                best = loss, penalty, np.array(solutions)
        if best is None:
            raise ValueError("No penalty makes the fit solvable. Are energies or forces huge?")
        _, penalty, solutions = best
        coef = solutions / scale
        predictions = coef @ np.array([one.sums for one in seen]).T
        errors = np.abs(predictions[folds, np.arange(n)] - energies) / sizes
        # Nothing above has touched the estimator: a call that failed leaves it as it was.
        self.descriptor_, self.penalty_, self.errors_ = descriptor, float(penalty), errors
        self.coef_ = coef.reshape(self.n_members, len(numbers), -1)
        self.std_scale_ = spread_scale(predictions / sizes, errors)
        return self

    def predict(self, structures):
        """Predict energies and their standard deviations.

        Returns
        -------
        energies, std : ndarray of shape (n_structures,), in eV
        """
        check_is_fitted(self)
        coef = self.coef_.reshape(self.n_members, -1)
        each = np.array([coef @ _sums(self.descriptor_, s)[0] for s in structures]).T
        return each.mean(axis=0), self.std_scale_ * each.std(axis=0, ddof=1)

    def evaluate(self, structure) -> Evaluation:
        """Return the mean energy of the members, its gradient, and their spread.

        Parameters
        ----------
        structure : Structure
        """
        check_is_fitted(self)
        sums, environments, kinds = _sums(self.descriptor_, structure)
        energies = self.coef_.reshape(self.n_members, -1) @ sums
        slopes = self.coef_.mean(axis=0)[kinds, 1:]
        by_positions, by_strain = environments.gradient(self.descriptor_.pull(environments, slopes))
        std = self.std_scale_ * float(np.std(energies, ddof=1))
        vectors = environments.vectors
        shortest = np.sqrt(np.einsum("pd,pd->p", vectors, vectors).min(initial=np.inf))
        return Evaluation(float(energies.mean()), std, -by_positions, by_strain[0], float(shortest))


@dataclass(frozen=True, eq=False)
class _Described:
    """Features of a structure, summed by the element of the centre, and their derivatives."""

    sums: np.ndarray  # (n_species * (1 + n_features),)
    squares: np.ndarray  # sums of squares
    by_positions: np.ndarray  # (3 n_atoms, n_species * (1 + n_features))
    by_strain: np.ndarray  # (6, ...), along xx, yy, zz, yz, xz, xy
    volume: float


def _sums(descriptor, structure):
    environments = neighbor_pairs(Structures.of([structure]), float(descriptor.cutoff))
    kinds = np.searchsorted(descriptor.species_numbers, np.asarray(structure.numbers))
    return (
        _by_kind(descriptor.values(environments), kinds, len(descriptor.species_numbers), True),
        environments,
        kinds,
    )


def _by_kind(values, kinds, n_kinds, counted=False) -> np.ndarray:
    out = np.zeros((n_kinds, 1 + values.shape[1]))
    np.add.at(out[:, 1:], kinds, values)
    if counted:
        out[:, 0] = np.bincount(kinds, minlength=n_kinds)
    return out.reshape(-1)


class _Cache:
    """The least recently used ones are dropped; safe in threads."""

    def __init__(self, n_bytes):
        self.n_bytes, self.used = n_bytes, 0
        self._known: OrderedDict = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key):
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key, value):
        with self._lock:
            if key in self._known:
                return
            self._known[key] = value
            self.used += value.by_positions.nbytes
            while self.used > self.n_bytes and len(self._known) > 1:
                _, old = self._known.popitem(last=False)
                self.used -= old.by_positions.nbytes


_CACHE = _Cache(_CACHE_BYTES)


def _described(descriptor, structure) -> _Described:
    parts = (np.asarray(v) for v in (structure.numbers, structure.positions, structure.cell))
    key = (
        repr(descriptor), *(part.tobytes() for part in parts),
        np.asarray(structure.pbc).tobytes(),
    )  # fmt: skip
    known = _CACHE.get(key)
    if known is None:
        known = _differentiated(descriptor, structure)
        _CACHE.put(key, known)
    return known


def _differentiated(descriptor, structure) -> _Described:
    environments = neighbor_pairs(Structures.of([structure]), float(descriptor.cutoff))
    kinds = np.searchsorted(descriptor.species_numbers, np.asarray(structure.numbers))
    n_kinds, n_atoms = len(descriptor.species_numbers), len(kinds)
    values = descriptor.values(environments)
    still, unstrained = np.zeros((n_atoms, 3)), np.zeros((1, 3, 3))

    def pushed(positions, strain):
        tangents = environments.displace(positions, strain)
        return _by_kind(descriptor.push(environments, tangents), kinds, n_kinds)

    by_positions = np.empty((3 * n_atoms, n_kinds * (1 + values.shape[1])))
    for k in range(3 * n_atoms):
        move = still.copy()
        move.reshape(-1)[k] = 1.0
        by_positions[k] = pushed(move, unstrained)
    by_strain = np.empty((6, by_positions.shape[1]))
    for k, (i, j) in enumerate(zip(*_VOIGT, strict=True)):
        strain = unstrained.copy()
        strain[0, i, j] = strain[0, j, i] = 1.0 if i == j else 0.5
        by_strain[k] = pushed(still, strain)
    return _Described(
        _by_kind(values, kinds, n_kinds, True), _by_kind(values**2, kinds, n_kinds, True),
        by_positions, by_strain, float(environments.volumes[0]),
    )  # fmt: skip


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
        targets.append(one.volume * np.asarray(label.stress)[_VOIGT])
        weights.append(np.full(6, (weight / 6) ** 0.5 / n_atoms))
    weights = np.concatenate(weights)
    rows = np.concatenate(rows) / scale
    return rows * weights[:, None], np.concatenate(targets) * weights
