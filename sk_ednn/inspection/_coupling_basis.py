"""Functions of one and of two sites, and the projection of measured interactions onto them."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from .._utils.pair_functions import PairFunctions, of_channels, of_numbers
from .._utils.steps import first_step
from ..estimators._unwrap import unwrap_search
from ..fields._in_memory import as_array

# Different values of sites of which all are used, and the number of quantiles in place of more.
_MOST_VALUES, _QUANTILES = 16, 8
# Samples from which values are taken.
_MOST_FIELDS = 100
# Tables below this part of the largest one are errors of the fit, of which nothing is explained.
_NOTHING = 1e-6
# Functions whose centred values are below this part of the largest ones are constant.
_ROUND_OFF = 1e-9
# Share of the variance of an interaction that functions explain if they are those of the energy;
# interactions below a part of the largest one are not judged, since errors of the fit are of this
# size, nor are rests that may be the scatter between few fields.
_ENOUGH, _WEAK, _SCATTER = 0.99, 0.1, 4.0


class Basis(NamedTuple):
    """Values of a site, and functions of one and of two of them."""

    values: np.ndarray
    pair_functions: dict
    site_functions: dict

    @classmethod
    def candidates(
        cls, estimator, X, channel, values, pair_functions, site_functions
    ) -> list[Basis]:
        """Return what was given, or what suits the encoder or the numbers of the fields.

        The first that explains the interactions is to be used; if none does, the first one.
        """
        encoder = first_step(unwrap_search(estimator))
        usual = encoder._pair_basis() if hasattr(encoder, "_pair_basis") else None
        if values is not None:
            values = as_array(values, "values")
        elif usual is not None:
            values = usual[0]
        else:
            values = _values_of(X, channel)
        ndim = 1 if channel is None else 2
        if values.ndim != ndim or len(values) < 2 or values.dtype.kind not in "biuf":
            raise ValueError(
                f"values must be two or more numbers of shape {('n_values', 'n_channels')[:ndim]}; "
                f"got shape {values.shape} of type {values.dtype}."
            )
        if usual is not None:
            functions = usual[1]
        else:
            functions = [of_numbers(values)] if ndim == 1 else of_channels(values.shape[1])
        if pair_functions is not None:
            functions = [PairFunctions(pair_functions, functions[0].sites)]
        return [
            cls(values, pairs, sites if site_functions is None else site_functions)
            for pairs, sites in functions
        ]

    def unexplained(self, tables) -> tuple[int, float] | None:
        """Return a displacement, by number, and the explained share of its interaction.

        Of the interactions of which the least is explained, apart from the scatter of few fields
        and from weak ones, which may be errors of the model. None if all are explained.

        Parameters
        ----------
        tables : ndarray of shape (n_fields, n_displacements, n_values, n_values)
        """
        mean, n = tables.mean(axis=0), len(tables)
        if not mean.size:
            return None
        scatter = tables.var(axis=0).mean(axis=(1, 2)) / max(n - 1, 1)
        whole = np.mean(mean**2, axis=(1, 2))
        share = self.projections()[0].explained(mean)
        matters = whole >= _WEAK**2 * whole.max()
        matters &= (1 - share) * whole > _SCATTER * scatter
        lacking = np.where(matters & (share < _ENOUGH), share, 1.0)
        least = int(lacking.argmin())
        return (least, float(share[least])) if lacking[least] < 1 else None

    def of_single_sites(self, around) -> np.ndarray:
        """Return what one pair of each displacement and function adds to a single site.

        If all values are equally likely at the other end; for each value, less the mean over them.

        Parameters
        ----------
        around : list of (int, int or None)
            Of each displacement, whether a site has two such neighbours or one.

        Returns
        -------
        ndarray of shape (n_displacements, n_functions, n_values)
        """
        n = len(self.values)
        first, second = np.repeat(self.values, n, axis=0), np.concatenate([self.values] * n)
        out = np.zeros((len(around), len(self.pair_functions), n))
        for f, (name, function) in enumerate(self.pair_functions.items()):
            table = _called(name, function, (first, second)).reshape(n, n)
            after, before = table.mean(axis=1), table.mean(axis=0)
            for d, (_, other) in enumerate(around):
                both = after if other is None else after + before
                out[d, f] = both - both.mean()
        return out

    def projections(self) -> tuple[Projection, Projection]:
        """Return the projections of tables of pairs, and of energies of sites."""
        n = len(self.values)
        first, second = np.repeat(self.values, n, axis=0), np.concatenate([self.values] * n)
        return (
            Projection.onto(self.pair_functions, (first, second), (n, n)),
            Projection.onto(self.site_functions, (self.values,), (n,)),
        )


def _values_of(X, channel) -> np.ndarray:
    """Return the different values of sites, or quantiles of many."""
    sites = []
    for field in itertools.islice(X, _MOST_FIELDS):
        moved = np.asarray(field) if channel is None else np.moveaxis(field, channel, -1)
        sites.append(moved.reshape(-1, *moved.shape[len(moved.shape) - (channel is not None) :]))
    sites = np.concatenate(sites)
    values = np.unique(sites, axis=0)
    if len(values) <= _MOST_VALUES:
        return values
    if channel is None:
        return np.quantile(sites, (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    raise ValueError(
        f"Sites have {len(values)} different sets of channels; set `values` to some of them, of "
        f"shape {('n_values', sites.shape[1])}."
    )


class Projection:
    """Least squares of centred tables onto centred functions."""

    def __init__(self, design):
        self._design = design
        self._inverse = np.linalg.pinv(design, rcond=_ROUND_OFF)

    @classmethod
    def onto(cls, functions, arguments, shape) -> Projection:
        """Project tables of a shape onto functions of the values of their entries."""
        columns = [
            centred(_called(name, function, arguments).reshape(1, *shape)).ravel()
            for name, function in functions.items()
        ]
        return cls(np.array(columns, dtype=float).reshape(len(columns), math.prod(shape)).T)

    def coefficients(self, tables) -> np.ndarray:
        """Return the coefficient of each function in each table, (n_functions, n_tables)."""
        return self._inverse @ tables.reshape(len(tables), len(self._design)).T

    def explained(self, tables) -> np.ndarray:
        """Return the share of the variance of each table that the functions explain."""
        rest = tables.reshape(len(tables), len(self._design)).T - self._design @ self.coefficients(
            tables
        )
        whole, rest = np.mean(tables**2, axis=(1, 2)), np.mean(rest**2, axis=0)
        some = whole > _NOTHING**2 * whole.max(initial=0)
        return np.where(some, 1 - rest / np.where(some, whole, 1), np.nan)


def _called(name, function, arguments) -> np.ndarray:
    result = np.asarray(function(*arguments), dtype=float)
    if result.shape != (len(arguments[0]),):
        raise ValueError(
            f"The function {name!r} must return one number for each of {len(arguments[0])} values; "
            f"it returned shape {result.shape}."
        )
    return result


def centred(tables) -> np.ndarray:
    """Return tables less their means along each axis but the first."""
    for axis in range(1, tables.ndim):
        tables = tables - tables.mean(axis=axis, keepdims=True)
    return tables
