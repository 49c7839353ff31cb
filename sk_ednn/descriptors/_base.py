"""The contract of descriptors: values, and products with their Jacobian from either side."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, clone

from ..structures._elements import atomic_number, symbol


class AbstractDescriptor(BaseEstimator, ABC):
    """Describe the environment of an atom by numbers, and differentiate them.

    A subclass has at least the parameters ``cutoff``, in Å, and ``species``, and its ``__init__``
    only stores them. `values` must not depend on the order of centres and of atoms, `push` must be
    the derivative of `values` by the pair vectors, and `pull` its adjoint:
    ``(push(e, t) * s).sum() == (t * pull(e, s)).sum()``.

    `species` are the elements that neighbours may be: a tuple of symbols or atomic numbers, in any
    order, or None, to be set by `with_species`.
    """

    cutoff: float
    species: tuple | None

    @property
    @abstractmethod
    def tile_shape(self):
        """Shape of the values of one atom."""

    @abstractmethod
    def values(self, environments):
        """Describe each centre.

        Parameters
        ----------
        environments : Environments
            Environments with a cutoff at least as large as that of the descriptor.

        Returns
        -------
        ndarray of float64 of shape (n_centers, *tile_shape)

        Raises
        ------
        ValueError
            If parameters are invalid, neighbours are of unknown species, or the cutoff of the
            environments is too small.
        """

    @abstractmethod
    def pull(self, environments, gradients):
        """Turn derivatives by values into derivatives by pair vectors (vector-Jacobian product).

        Parameters
        ----------
        environments : Environments
        gradients : ndarray of shape (n_centers, *tile_shape)
            dE/dvalues.

        Returns
        -------
        ndarray of float64 of shape (n_pairs, 3)
            dE/dvectors, for `Environments.gradient`.
        """

    @abstractmethod
    def push(self, environments, tangents):
        """Return the change of values with that of pair vectors (Jacobian-vector product).

        Parameters
        ----------
        environments : Environments
        tangents : ndarray of shape (n_pairs, 3)
            As returned by `Environments.displace`.

        Returns
        -------
        ndarray of float64 of shape (n_centers, *tile_shape)
        """

    @property
    def species_numbers(self):
        """Atomic numbers of the species, ascending.

        Raises
        ------
        ValueError
            If `species` is None, or contains an element twice or an unknown element.
        """
        if self.species is None:
            raise ValueError(
                f"The species of {type(self).__name__} are unknown. Set species=('Si', 'O'), "
                "or call with_species(numbers) with the atomic numbers of the structures."
            )
        one = isinstance(self.species, str) or not isinstance(self.species, Iterable)
        species = (self.species,) if one else tuple(self.species)
        numbers = sorted(atomic_number(each) for each in species)
        if not numbers or len(set(numbers)) < len(numbers):
            raise ValueError(
                f"species must be a tuple of one or more different elements. Got {self.species!r}."
            )
        return np.array(numbers)

    def with_species(self, numbers):
        """Return a copy with the species of these atoms.

        Parameters
        ----------
        numbers : array-like of int
            Atomic numbers, repetitions allowed.

        Returns
        -------
        AbstractDescriptor
            If `species` are already set, they are kept.

        Raises
        ------
        ValueError
            If `species` are set and the numbers contain others, or if a parameter is invalid.
        """
        copied = clone(self)
        if self.species is not None:
            self._check_known(np.asarray(numbers))
        else:
            copied.set_params(species=tuple(np.unique(numbers).tolist()))
        copied._check_parameters()
        return copied

    def _check_parameters(self):
        """Raise ValueError for invalid parameters; the species are known."""
        if not (isinstance(self.cutoff, Real) and np.isfinite(self.cutoff) and self.cutoff > 0):
            raise ValueError(f"cutoff must be a positive number of Å. Got {self.cutoff!r}.")

    def _check_environments(self, environments):
        """Raise ValueError unless these environments can be described."""
        self._check_parameters()
        if environments.cutoff < self.cutoff:
            raise ValueError(
                f"The cutoff of {type(self).__name__} is {self.cutoff:g} Å, but that of the "
                f"environments {environments.cutoff:g} Å. Use neighbor_pairs(structures, "
                f"{self.cutoff:g})."
            )
        self._check_known(environments.neighbor_numbers)

    def _check_known(self, numbers):
        species = self.species_numbers
        unknown = np.flatnonzero(~np.isin(np.arange(numbers.max(initial=0) + 1), species))
        present = np.bincount(numbers, minlength=1)
        unknown = unknown[present[unknown] > 0]
        if unknown.size:
            raise ValueError(
                f"{type(self).__name__} has the species "
                f"{', '.join(symbol(number) for number in species)}, but the structures "
                f"contain {', '.join(symbol(number) for number in unknown)}. Add these to "
                "species and fit to structures that contain them."
            )


def checked_array(values, shape, name):
    """Return an array of float64, or raise ValueError where it is of another shape.

    Parameters
    ----------
    values : array-like
    shape : tuple of int
    name : str
        For the message.

    Returns
    -------
    ndarray of float64
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"{name} must be of shape {shape}. Got {values.shape}.")
    return values
