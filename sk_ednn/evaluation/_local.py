"""The change of a total when a few sites change, at a cost that does not grow with the field."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..exceptions import NoveltyWarning, TileModelError, TilingError
from ..fields._fields import check_fields, require_finite
from ..fields._range import InputRange, extremes
from ..fields._sources import as_array
from ._ledger import Ledger, flat_sites


class LocalUpdates:
    """The total of one field, kept up to date while its sites change.

    Only the tiles that see a changed site are evaluated again, so a change costs the same in a
    field of any size. That is what Monte Carlo needs: propose a move, look at what it costs,
    accept it or propose another.

    Parameters
    ----------
    model : EDNNRegressor
        Fitted, with a `GridTiling` (each, where it has several terms).
    field : array-like of shape field_shape
        One field, its channel axis included. It is copied, and keeps its type.

    Raises
    ------
    TilingError, TileModelError, ValueError
        Where the field does not suit the model, as `EDNNRegressor.predict` says.

    Notes
    -----
    Contributions are looked up or evaluated as ``model.evaluation_`` does it: where tiles repeat,
    `Unique` remembers those it has seen, and soon nothing is evaluated at all. The total is summed
    with compensation, and what a tile holds is replaced, never added to: rounding errors do not
    grow with the number of moves.

    Memory is one float64 for each tile and output, besides the field.

    References
    ----------
    The tiles that see a site are those of K. Mills et al., Chem. Sci. 2019, 10, 4129, Fig. 2. For
    the summation: A. Neumaier, Z. Angew. Math. Mech. 1974, 54, 39.

    Examples
    --------
    What it costs to turn one spin, in a field 256 times larger than those of the training:

    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.evaluation import LocalUpdates
    >>> small = make_ising(500, (8, 8), random_state=0)
    >>> model = EDNNRegressor().fit(small.fields, small.energies)
    >>> local = LocalUpdates(model, np.ones((128, 128), dtype=np.int8))
    >>> print(f"{local.propose([[5, 7]], [-1]):.4f}")  # four bonds, each by 2 J
    8.0000
    >>> local.accept()
    >>> print(f"{local.propose([[5, 8]], [-1]):.4f}")  # its neighbour: two domain walls more
    4.0000
    >>> costs = local.propose([[[5, 7]], [[0, 0]]], [[1], [-1]])  # two moves, each on its own
    >>> print(np.round(costs, 4))
    [-8.  8.]
    >>> local.accept(costs < 0)
    >>> print(f"{local.total:.2f}")
    -32768.00
    """

    def __init__(self, model, field):
        terms = checked_terms(model)
        for _, tiling in terms:
            if not tiling.is_grid:
                raise TilingError(
                    "Local updates change sites of a field on a grid; the model's tiling is "
                    f"{tiling!r}. Predict the changed system anew."
                )
        fields = model._check_predicted([as_array(field, "field", expected="one field")])
        self._ledger = Ledger(running(model, terms, fields), fields.stacks[0].values)
        self._single = model._y_ndim == 1
        self._total = self._ledger.totals[0]
        self._lost = np.zeros_like(self._total)
        self._changes = self._n_moves = None
        values = getattr(model, "input_range_", None)  # of no file that was written without
        self._known = None if values is None else InputRange.from_array(values)

    def __copy__(self):
        """Return an independent copy: a shared field and totals apart would not match."""
        return copy.deepcopy(self)

    @property
    def field(self) -> np.ndarray:
        """A copy of the field as it is now."""
        return self._ledger.fields[0]

    @property
    def total(self):
        """The total of the field as it is now: a float, or an ndarray of shape (n_outputs,)."""
        total = self._total + self._lost
        return float(total[0]) if self._single else total

    def propose(self, sites, values):
        """Return what moves would add to the total; nothing is changed.

        Parameters
        ----------
        sites : array-like of int of shape (n_sites, n_grid_axes), or \
                (n_moves, n_sites, n_grid_axes)
            Grid indices of the sites of one move, or of each of several moves.
        values : array-like of shape sites.shape[:-1], with a last axis of n_channels if there are
            What the sites would become.

        Returns
        -------
        float, or ndarray of shape (n_moves,)
            For each move, the change of the total if it alone were made. With a last axis of
            n_outputs for models of several totals.

        Raises
        ------
        ValueError
            Where a site is outside of the field or comes twice in a move, where a value is NaN,
            infinite, or not one that the type of the field can hold. There is then no proposal:
            the one before cannot be accepted any more.

        Warns
        -----
        NoveltyWarning
            The first time that values lie far outside those that the model was fitted to.
        """
        self._n_moves = None  # until it has succeeded there is no proposal
        sites, values, several = self._checked(sites, values)
        self._warn_of_range(values)
        owners = np.zeros(len(sites), dtype=np.intp)
        changes = self._ledger.propose(owners, sites, values)
        self._changes, self._n_moves = changes, len(sites)
        if self._single:
            changes = changes[:, 0]
            return changes.copy() if several else float(changes[0])
        return changes.copy() if several else changes[0].copy()

    def accept(self, mask=None) -> None:
        """Carry out the last proposal.

        Parameters
        ----------
        mask : array-like of bool of shape (n_moves,), default=None
            Which of its moves. None for all.

        Raises
        ------
        ValueError
            Where there is no proposal, or where a tile sees sites of two of the moves: what both
            cost together is then not the sum of what they cost alone. Nothing is changed.
        """
        if self._n_moves is None:
            raise ValueError(
                "There is nothing to accept: call propose first. A proposal can be accepted once."
            )
        mask = np.ones(self._n_moves, dtype=bool) if mask is None else as_array(mask, "mask")
        if mask.dtype != bool or mask.shape not in ((self._n_moves,), ()):
            raise ValueError(
                f"mask must be booleans of shape ({self._n_moves},), one for each move proposed; "
                f"got shape {mask.shape} of type {mask.dtype}."
            )
        if mask.ndim == 0:
            mask = np.full(self._n_moves, mask)
        clash = self._ledger.clash(mask)
        if clash is not None:
            raise ValueError(
                f"Moves {clash[0]} and {clash[1]} cannot be accepted together: a tile sees sites "
                "of both. Propose them as one move of several sites, or one after the other."
            )
        self._ledger.accept(mask)
        change = np.array([math.fsum(column) for column in self._changes[mask].T])
        total = self._total + change
        large = np.abs(self._total) >= np.abs(change)
        self._lost += np.where(
            large, (self._total - total) + change, (change - total) + self._total
        )
        self._total = total
        self._n_moves = None

    def _warn_of_range(self, values):
        """Warn of values far outside those of the fit, once: moves are many, and much alike."""
        if self._known is None:
            return
        channels = -1 if values.ndim > 2 else None
        least, largest = extremes(values, channels)
        doubt = self._known.doubt(least.min(axis=0), largest.max(axis=0))
        if doubt is not None:
            self._known = None
            warnings.warn(doubt, NoveltyWarning, stacklevel=3)

    def _checked(self, sites, values):
        """Return sites (n_moves, n_sites, n_axes), values to match, and whether there are moves."""
        grid, field = self._ledger.grid, self._ledger.values
        sites, values = as_array(sites, "sites"), as_array(values, "values")
        if sites.ndim not in (2, 3) or sites.shape[-1] != len(grid) or sites.dtype.kind not in "iu":
            raise TilingError(
                f"sites must be integers of shape (n_sites, {len(grid)}) for one move, or "
                f"(n_moves, n_sites, {len(grid)}); got shape {sites.shape} of type {sites.dtype}."
            )
        if sites.size == 0:
            raise TilingError(f"A move changes at least one site; got sites of {sites.shape}.")
        if np.any((sites < 0) | (sites >= grid)):
            wrong = sites[np.any((sites < 0) | (sites >= grid), axis=-1)][0]
            raise TilingError(f"sites must lie within the grid {grid}; got {wrong.tolist()}.")
        expected = (*sites.shape[:-1], *field.shape[2:])
        if values.shape != expected:
            raise TilingError(
                f"values must have shape {expected}, one for each site"
                f"{' and channel' if field.ndim > 2 else ''}; got {values.shape}."
            )
        several = sites.ndim == 3
        if not several:
            sites, values = sites[None], values[None]
        return sites.astype(np.intp), self._cast(values), self._no_site_twice(sites, several)

    def _cast(self, values):
        """Return a copy of values in the type of the field: the caller may go on with theirs."""
        dtype = self._ledger.values.dtype
        if values.dtype == dtype and dtype.kind != "f":
            return values.copy()
        if values.dtype.kind not in "biuf":
            raise ValueError(f"values must be numbers; got {values.dtype}.")
        require_finite(values, "values")
        with np.errstate(all="ignore"):
            cast = values.astype(dtype)
        # A float is rounded to a narrower one as the whole field was; anything else must fit.
        wrong = cast != values if dtype.kind != "f" else ~np.isfinite(cast)
        if np.any(wrong):
            raise ValueError(
                f"The field is of type {dtype}, which cannot hold {values[wrong].flat[0]}. Start "
                "with a field of a type that holds every value it may take."
            )
        return cast

    def _no_site_twice(self, sites, several):
        if sites.shape[1] > 1:
            flat = np.sort(flat_sites(sites, self._ledger.grid), axis=1)
            twice = np.flatnonzero((flat[:, 1:] == flat[:, :-1]).any(axis=1))
            if len(twice):
                raise TilingError(
                    f"Move {twice[0]} changes a site twice: {sites[twice[0]].tolist()}. Give each "
                    "site of a move once, with the value it is to have in the end."
                )
        return several


def checked_terms(model):
    """Return the (tile_model, tiling) of a fitted EDNNRegressor, or say what came instead.

    Raises
    ------
    TileModelError, NotFittedError
    """
    if not hasattr(model, "fitted_terms"):
        raise TileModelError(
            f"Local updates need a fitted EDNNRegressor, got {type(model).__name__}. Of a "
            "committee or a search take one fitted model."
        )
    check_is_fitted(model)
    return model.fitted_terms()


def running(model, terms, fields):
    """Return terms with the evaluation that would run for these fields."""
    fields = check_fields(fields)
    chosen = []
    for tile_model, tiling in terms:
        evaluation = model.evaluation_
        if hasattr(evaluation, "select"):
            evaluation = evaluation.select(tile_model, tiling, fields)
        chosen.append((tile_model, tiling, evaluation))
    return chosen
