"""A committee that is fitted to labels, and says how far its members disagree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..descriptors import PowerSpectrum
from ..estimators import EDNNRegressor
from ..tiling import AtomTiling
from ._label import Label

# Numbers of slopes at once.
_SLOPE_NUMBERS = 1 << 22


@dataclass(frozen=True)
class Evaluation:
    """Energy of one structure with its gradient, and its standard deviation.

    Attributes
    ----------
    energy, std : float, in eV
    forces : ndarray of shape (n_atoms, 3), in eV/Å
    strain : ndarray of shape (3, 3), in eV
        Gradient by strain: the stress times the volume.
    shortest : float, default=None, in Å
        Distance of the two closest atoms, where it is known.
    """

    energy: float
    std: float
    forces: np.ndarray
    strain: np.ndarray
    shortest: float | None = None


class CommitteeSurrogate(BaseEstimator):
    """Learn energies, forces and stress by several models, each without a part of the labels.

    Labels are dealt into as many folds as there are members, and a member is fitted to all but its
    fold. So each label is held out once: `errors_` are errors of predictions that did not see it,
    and the spread of the members is scaled to them.

    Parameters
    ----------
    member : EDNNRegressor, EDNNPotential or None, default=None
        Cloned. An `EDNNRegressor` with an `AtomTiling` whose tile model has gradients, or whatever
        has ``fit(structures, y, forces=, stress=)`` and ``predict_all(structures)``. None for ridge
        regression on power spectra within `cutoff`.
    n_members : int, default=5
    cutoff : float, default=5.0, in Å
        For ``member=None``.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    members_ : list
    errors_ : ndarray of shape (n_structures,), in eV per atom
        Absolute errors of the energies that were held out.
    std_scale_ : float
        The spread of the members is multiplied by it.

    References
    ----------
    Krogh and Vedelsby, Neural network ensembles, cross validation, and active learning, NIPS 1994.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.search import CalculatorLabeller, CommitteeSurrogate
    >>> cells = [bulk("Cu", a=3.6, cubic=True) for _ in range(12)]
    >>> for k, cell in enumerate(cells):
    ...     cell.rattle(0.1, seed=k)
    >>> labels = [CalculatorLabeller(EMT).label(cell) for cell in cells]
    >>> surrogate = CommitteeSurrogate(random_state=0).fit(cells, labels)
    >>> energies, std = surrogate.predict(cells)
    >>> bool(abs(energies - [label.energy for label in labels]).max() < 0.02)
    True
    """

    def __init__(self, member=None, n_members=5, *, cutoff=5.0, random_state=None):
        self.member = member
        self.n_members = n_members
        self.cutoff = cutoff
        self.random_state = random_state

    def fit(self, structures, labels, sample_weight=None):
        """Fit the members.

        Parameters
        ----------
        structures : sequence of structures
        labels : sequence of Label
        sample_weight : array-like of shape (n_structures,), default=None

        Returns
        -------
        self
        """
        n = len(structures)
        weights = checked_labels(structures, labels, sample_weight, self.n_members)
        rng = check_random_state(self.random_state)
        kind = _kind_of(self.member)
        folds = rng.permutation(n) % self.n_members
        members = []
        for fold in range(self.n_members):
            seen = np.flatnonzero(folds != fold)
            member = self._member()
            if "random_state" in member.get_params(deep=False):
                member.set_params(random_state=rng.randint(np.iinfo(np.int32).max))
            members.append(
                kind.fit(
                    member,
                    [structures[k] for k in seen],
                    [labels[k] for k in seen],
                    weights[seen],
                )
            )
        predictions = kind.predict(members, structures)
        sizes = np.array([len(s.numbers) for s in structures])
        truth = np.array([label.energy for label in labels])
        errors = np.abs(predictions[folds, np.arange(n)] - truth) / sizes
        # Nothing above has touched the estimator: a call that failed leaves it as it was.
        self.members_, self.errors_ = members, errors
        self.std_scale_ = spread_scale(predictions / sizes, errors)
        return self

    def predict(self, structures):
        """Predict energies and their standard deviations.

        Returns
        -------
        energies, std : ndarray of shape (n_structures,), in eV
        """
        check_is_fitted(self)
        predictions = _kind_of(self.member).predict(self.members_, structures)
        return predictions.mean(axis=0), self.std_scale_ * predictions.std(axis=0, ddof=1)

    def evaluate(self, structure) -> Evaluation:
        """Return the mean energy of the members, its gradient, and their spread.

        Parameters
        ----------
        structure : Structure
        """
        check_is_fitted(self)
        energies, forces, strain = _kind_of(self.member).evaluate(self.members_, structure)
        std = self.std_scale_ * float(np.std(energies, ddof=1))
        return Evaluation(float(np.mean(energies)), std, forces, strain)

    def _member(self):
        if self.member is not None:
            return clone(self.member)
        return EDNNRegressor(
            make_pipeline(StandardScaler(), Ridge(1e-4)),
            AtomTiling(PowerSpectrum(self.cutoff, n_radial=6, max_l=3)),
            baseline="content",
        )


class _Tiled:
    """Members that are an `EDNNRegressor` on atoms; they share neighbours and descriptors."""

    @staticmethod
    def fit(member, structures, labels, weights):
        gradient = [
            Bunch(
                positions=None if label.forces is None else -label.forces,
                strain=None if label.stress is None else _volume(structure) * label.stress,
            )
            for structure, label in zip(structures, labels, strict=True)
        ]
        known = any(each.positions is not None or each.strain is not None for each in gradient)
        energies = np.array([label.energy for label in labels])
        return member.fit(structures, energies, weights, gradient=gradient if known else None)

    @staticmethod
    def predict(members, structures):
        systems = members[0]._check_predicted(structures)
        return np.stack([member.predict(systems) for member in members])

    @staticmethod
    def evaluate(members, structure):
        systems = members[0]._check_predicted([structure])
        energies = np.zeros(len(members))
        terms = [member.fitted_terms() for member in members]
        forces, strain = 0.0, 0.0
        for of_members in zip(*terms, strict=True):
            tile_models = [tile_model for tile_model, _ in of_members]
            tiling = of_members[0][1]
            tiles = tiling.read(systems, 0, int(tiling.tile_offsets(systems)[-1]))
            energies += [math.fsum(model.predict(tiles)[:, 0]) for model in tile_models]

            # The descriptor is differentiated once, for the mean of all members.
            def slopes(tiles, tile_models=tile_models):
                each = [_slopes(tile_model, tiles) for tile_model in tile_models]
                return np.mean(each, axis=0)

            most = max(1, _SLOPE_NUMBERS // int(np.prod(tile_models[0].tile_shape)))
            positions, by_strain = tiling.gradient_of(systems, slopes, most)
            forces, strain = forces - positions, strain + by_strain[0]
        return energies, forces, strain


class _Potential:
    """Members that take labels apart and predict all at once, as `EDNNPotential` does."""

    @staticmethod
    def fit(member, structures, labels, weights):
        known = {"sample_weight": weights}
        known["forces"] = (
            [label.forces for label in labels]
            if all(label.forces is not None for label in labels)
            else False
        )
        known["stress"] = (
            np.stack([_voigt(label.stress) for label in labels])
            if all(label.stress is not None for label in labels)
            else False
        )
        return member.fit(structures, np.array([label.energy for label in labels]), **known)

    @staticmethod
    def predict(members, structures):
        return np.stack([member.predict(structures) for member in members])

    @staticmethod
    def evaluate(members, structure):
        each = [member.predict_all([structure]) for member in members]
        forces = np.mean([one.forces for one in each], axis=0)
        stress = np.mean([one.stress[0] for one in each], axis=0)
        strain = np.zeros((3, 3))
        if np.all(structure.pbc):
            strain = _volume(structure) * stress[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        return [float(one.energies[0]) for one in each], forces, strain


def checked_labels(structures, labels, sample_weight, n_members) -> np.ndarray:
    """Check what a committee is fitted to; return the weights of samples."""
    n = len(structures)
    if len(labels) != n:
        raise ValueError(f"Expected a label for each structure, got {len(labels)} for {n}.")
    if n < n_members:
        raise ValueError(
            f"Expected at least {n_members} labels, one held out by each member; got {n}."
        )
    if not all(isinstance(label, Label) for label in labels):
        raise TypeError("Expected labels as sk_ednn.search.Label.")
    return np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=float)


def spread_scale(per_atom, errors) -> float:
    """Return what brings the median spread of members, (n_members, n), to that of the errors."""
    middle = float(np.median(per_atom.std(axis=0, ddof=1)))
    return max(1.0, float(np.median(errors)) / middle) if middle > 0 else 1.0


def _kind_of(member):
    return _Potential if hasattr(member, "predict_all") else _Tiled


def _slopes(tile_model, tiles):
    own = tile_model._input_gradients(tiles)
    baseline = tile_model.baseline
    return own if baseline is None else own + baseline.tile_gradients(tiles)


def _volume(structure) -> float:
    return abs(float(np.linalg.det(np.asarray(structure.cell))))


def _voigt(stress):
    return np.array(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
