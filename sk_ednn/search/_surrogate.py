"""The interface of surrogates, and the folds and errors of all committees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._label import Label


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


class AbstractSurrogate(ABC, BaseEstimator):
    """A committee of models of energies, forces and stress.

    Labels are divided into as many folds as there are members, and each member is fitted to all
    folds but one. Each label is thus held out once: `errors_` are errors of held-out predictions,
    and the spread of the members is scaled to them. A subclass fits the members (`_fit_members`)
    and evaluates them (`_predict_members`, `_evaluate_members`).

    Parameters
    ----------
    n_members : int, default=5
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    errors_ : ndarray of shape (n_structures,), in eV per atom
        Absolute errors of held-out energies.
    std_scale_ : float
        Factor by which the spread of the members is multiplied.

    References
    ----------
    Krogh and Vedelsby, Neural network ensembles, cross validation, and active learning, NIPS 1994.
    """

    n_members: int
    random_state: object

    def fit(self, structures, labels, sample_weight=None, *, ids=None):
        """Fit the members.

        Parameters
        ----------
        structures : sequence of structures
        labels : sequence of Label
        sample_weight : array-like of shape (n_structures,), default=None
        ids : array-like of int of shape (n_structures,), default=None
            Numbers by which structures keep their fold in every fit. None: folds are drawn anew.

        Returns
        -------
        self
        """
        weights = _checked_labels(structures, labels, sample_weight, self.n_members)
        n = len(structures)
        rng = check_random_state(self.random_state)
        folds = (rng.permutation(n) if ids is None else np.asarray(ids)) % self.n_members
        fitted, predictions = self._fit_members(structures, labels, weights, folds, rng)
        sizes = np.array([len(s.numbers) for s in structures])
        energies = np.array([label.energy for label in labels])
        errors = np.abs(predictions[folds, np.arange(n)] - energies) / sizes
        # Nothing above has touched the estimator: a call that failed leaves it as it was.
        for name, value in fitted.items():
            setattr(self, name, value)
        self.errors_ = errors
        self.std_scale_ = _spread_scale(predictions / sizes, errors)
        return self

    def predict(self, structures):
        """Predict energies and their standard deviations.

        Parameters
        ----------
        structures : sequence of structures

        Returns
        -------
        energies, std : ndarray of shape (n_structures,), in eV
        """
        check_is_fitted(self)
        each = self._predict_members(structures)
        return each.mean(axis=0), self.std_scale_ * each.std(axis=0, ddof=1)

    def evaluate(self, structure) -> Evaluation:
        """Return the mean energy of the members, its gradient, and their spread.

        Parameters
        ----------
        structure : Structure
        """
        check_is_fitted(self)
        energies, forces, strain, shortest = self._evaluate_members(structure)
        std = self.std_scale_ * float(np.std(energies, ddof=1))
        return Evaluation(float(np.mean(energies)), std, forces, strain, shortest)

    @abstractmethod
    def _fit_members(self, structures, labels, weights, folds, rng):
        """Fit each member to the structures outside its fold.

        Parameters
        ----------
        structures, labels : sequences
        weights : ndarray of shape (n_structures,)
        folds : ndarray of shape (n_structures,)
            The member that does not see a structure.
        rng : RandomState

        Returns
        -------
        fitted : dict
            Attributes of the fitted surrogate, whose names end in an underscore.
        predictions : ndarray of shape (n_members, n_structures), in eV
            Energies by all members for all structures.
        """

    @abstractmethod
    def _predict_members(self, structures) -> np.ndarray:
        """Return the energies by each member, of shape (n_members, n_structures), in eV."""

    @abstractmethod
    def _evaluate_members(self, structure):
        """Return the energies by all members, their mean forces and gradient by strain.

        Returns
        -------
        energies : sequence of n_members floats, in eV
        forces : ndarray of shape (n_atoms, 3), in eV/Å
        strain : ndarray of shape (3, 3), in eV
        shortest : float or None, in Å
            Distance of the two closest atoms, where it is known.
        """


def _checked_labels(structures, labels, sample_weight, n_members) -> np.ndarray:
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


def _spread_scale(per_atom, errors) -> float:
    """Return the factor that scales the median spread of members to the median error."""
    middle = float(np.median(per_atom.std(axis=0, ddof=1)))
    return max(1.0, float(np.median(errors)) / middle) if middle > 0 else 1.0
