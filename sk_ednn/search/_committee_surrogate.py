"""A committee of any models of this package, fitted to energies, forces and stress."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from ..descriptors import PowerSpectrum
from ..estimators import EDNNRegressor
from ..tiling import AtomTiling
from ._surrogate import AbstractSurrogate

# Numbers of gradients at once.
_GRADIENT_NUMBERS = 1 << 22


class CommitteeSurrogate(AbstractSurrogate):
    """Learn energies, forces and stress with several models, each without a part of the labels.

    Any model of this package can be a member; see `AbstractSurrogate` for folds and the spread.

    Parameters
    ----------
    member : EDNNRegressor, EDNNPotential or None, default=None
        Cloned. An `EDNNRegressor` with an `AtomTiling` whose tile model has gradients, or any
        object with ``fit(structures, y, forces=, stress=)`` and ``predict_all(structures)``. None
        for ridge regression on power spectra within `cutoff`.
    n_members : int, default=5
    cutoff : float, default=5.0, in Å
        For ``member=None``.
    retrain : dict, default=None
        For networks: each fit after the first continues from the members of the one before, with
        these parameters of theirs, such as ``{"max_epochs": 10}``. It needs the `ids` of
        structures, so that no member ever sees what it is tested on, and begins anew if structures
        contain other elements. None: each fit begins anew.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    members_ : list
    species_ : tuple of int
        Atomic numbers that the members were fitted to.
    errors_ : ndarray of shape (n_structures,), in eV per atom
        Absolute errors of held-out energies.
    std_scale_ : float
        Factor by which the spread of the members is multiplied.

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

    def __init__(self, member=None, n_members=5, *, cutoff=5.0, retrain=None, random_state=None):
        self.member = member
        self.n_members = n_members
        self.cutoff = cutoff
        self.retrain = retrain
        self.random_state = random_state

    def fit(self, structures, labels, sample_weight=None, *, ids=None):
        """Fit the members, or continue their training; see `AbstractSurrogate.fit`."""
        if self.retrain is not None and ids is None:
            raise ValueError("Expected the ids of structures for a surrogate with retrain=.")
        return super().fit(structures, labels, sample_weight, ids=ids)

    def _fit_members(self, structures, labels, weights, folds, rng):
        kind = _kind_of(self.member)
        species = tuple(sorted({int(z) for s in structures for z in np.unique(s.numbers)}))
        is_first = self.retrain is None or species != getattr(self, "species_", None)
        is_first = is_first or len(self.members_) != self.n_members
        members = []
        for fold in range(self.n_members):
            seen = np.flatnonzero(folds != fold)
            if is_first:
                member = self._member()
            else:
                # A copy: a fit that fails leaves the surrogate as it was.
                member = deepcopy(self.members_[fold])
                member.set_params(warm_start=True, **self.retrain)
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
        fitted = {"members_": members, "species_": species}
        return fitted, kind.predict(members, structures)

    def _predict_members(self, structures):
        return _kind_of(self.member).predict(self.members_, structures)

    def _evaluate_members(self, structure):
        return *_kind_of(self.member).evaluate(self.members_, structure), None

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
        has_gradient = any(
            each.positions is not None or each.strain is not None for each in gradient
        )
        energies = np.array([label.energy for label in labels])
        return member.fit(
            structures, energies, weights, gradient=gradient if has_gradient else None
        )

    @staticmethod
    def predict(members, structures):
        systems = members[0].check_systems(structures)
        return np.stack([member.predict(systems) for member in members])

    @staticmethod
    def evaluate(members, structure):
        systems = members[0].check_systems([structure])
        energies = np.zeros(len(members))
        terms = [member.fitted_terms() for member in members]
        forces, strain = 0.0, 0.0
        for of_members in zip(*terms, strict=True):
            tile_models = [tile_model for tile_model, _ in of_members]
            tiling = of_members[0][1]
            tiles = tiling.read(systems, 0, int(tiling.tile_offsets(systems)[-1]))
            energies += [math.fsum(model.predict(tiles)[:, 0]) for model in tile_models]

            # The descriptor is differentiated once, for the mean of all members.
            def gradients(tiles, tile_models=tile_models):
                each = [_gradients(tile_model, tiles) for tile_model in tile_models]
                return np.mean(each, axis=0)

            most = max(1, _GRADIENT_NUMBERS // int(np.prod(tile_models[0].tile_shape)))
            positions, by_strain = tiling.gradient_of(systems, gradients, most)
            forces, strain = forces - positions, strain + by_strain[0]
        return energies, forces, strain


class _Potential:
    """Members that take labels apart and predict all at once, as `EDNNPotential` does."""

    @staticmethod
    def fit(member, structures, labels, weights):
        targets = {"sample_weight": weights}
        targets["forces"] = (
            [label.forces for label in labels]
            if all(label.forces is not None for label in labels)
            else False
        )
        targets["stress"] = (
            np.stack([_voigt(label.stress) for label in labels])
            if all(label.stress is not None for label in labels)
            else False
        )
        return member.fit(structures, np.array([label.energy for label in labels]), **targets)

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


def _kind_of(member):
    return _Potential if hasattr(member, "predict_all") else _Tiled


def _gradients(tile_model, tiles):
    gradients = tile_model._input_gradients(tiles)
    baseline = tile_model.baseline
    return gradients if baseline is None else gradients + baseline.tile_gradients(tiles)


def _volume(structure) -> float:
    return abs(float(np.linalg.det(np.asarray(structure.cell))))


def _voigt(stress):
    return np.array(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
