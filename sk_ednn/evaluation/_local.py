"""Changes of a total under local changes, at a cost independent of the size of the field."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.stacklevel import outside_package
from .._utils.steps import front_and_last
from ..exceptions import NoveltyWarning, TileModelError, TilingError
from ..fields._axis_labels import compare_labels_and_unit
from ..fields._fields import check_fields, require_finite
from ..fields._in_memory import as_array
from ..fields._range import InputRange, extremes
from ._incremental import IncrementalTotals, flat_sites


class LocalUpdates:
    """The total of one field, updated incrementally as sites change.

    Only tiles that see a changed site are evaluated again, so that the cost of a change does not
    depend on the size of the field. This is what Monte Carlo simulations need: propose a move,
    read the change of the total, and accept the move or propose another.

    Parameters
    ----------
    model : EDNNRegressor, or Pipeline that ends in one
        A fitted model; all its terms must have a `GridTiling`. In a Pipeline, the first step may
        be an encoder of single sites, `OneHotFields` or `AngleFields`: then the field and the
        values of moves are labels or angles.
    field : array-like of shape field_shape
        One field, channel axis included. It is copied and keeps its dtype.

    Raises
    ------
    TilingError, TileModelError, ValueError
        If the field does not suit the model; see `EDNNRegressor.predict`.

    Notes
    -----
    Contributions are computed by ``model.evaluation_``. If tiles repeat, `Unique` caches their
    contributions, and soon no tiles are evaluated at all. The total is a compensated sum, and
    contributions of tiles are replaced rather than incremented, so that round-off does not grow
    with the number of moves.

    Besides the field, memory is one float64 for each tile and output.

    References
    ----------
    The tiles that see a site are those of K. Mills et al., Chem. Sci. 2019, 10, 4129, Fig. 2. For
    the summation: A. Neumaier, Z. Angew. Math. Mech. 1974, 54, 39.

    Examples
    --------
    Flip spins in a field 256 times larger than the training fields:

    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.evaluation import LocalUpdates
    >>> small = make_ising(500, (8, 8), random_state=0)
    >>> model = EDNNRegressor().fit(small.fields, small.energies)
    >>> local = LocalUpdates(model, np.ones((128, 128), dtype=np.int8))
    >>> print(f"{local.propose([[5, 7]], [-1]):.4f}")  # four bonds of 2 J
    8.0000
    >>> local.accept()
    >>> print(f"{local.propose([[5, 8]], [-1]):.4f}")  # its neighbour
    4.0000
    >>> costs = local.propose([[[5, 7]], [[0, 0]]], [[1], [-1]])  # two separate moves
    >>> print(np.round(costs, 4))
    [-8.  8.]
    >>> local.accept(costs < 0)
    >>> print(f"{local.total:.2f}")
    -32768.00
    """

    def __init__(self, model, field):
        self._encoder, model = _parted(model)
        terms = checked_terms(model)
        for _, tiling in terms:
            if not tiling.is_grid:
                raise TilingError(
                    "Local updates change sites of a field on a grid, but the tiling of the model "
                    f"is {tiling!r}. Call predict for the changed system."
                )
        compare_labels_and_unit(model if self._encoder is None else self._encoder, [field])
        field = as_array(field, "field", expected="one field")
        self._plain = None  # the field before it is encoded
        if self._encoder is not None:
            self._plain = np.array(field)
            field = self._encoder.transform([field])[0]
        fields = model.check_systems([field])
        evaluated = running(model, terms, fields)
        self._incremental = IncrementalTotals(evaluated, fields.stacks[0].values)
        self._single = model._y_ndim == 1
        self._total = self._incremental.totals[0]
        self._compensation = np.zeros_like(self._total)
        self._changes = self._n_moves = None
        values = getattr(model, "input_range_", None)  # of no file that was written without
        self._known = None if values is None else InputRange.from_array(values)

    def __copy__(self):
        """Return a deep copy, because field and total must not be shared separately."""
        return copy.deepcopy(self)

    @property
    def field(self) -> np.ndarray:
        """A copy of the current field."""
        return self._incremental.fields[0] if self._plain is None else self._plain.copy()

    @property
    def total(self):
        """The current total: a float, or an ndarray of shape (n_outputs,)."""
        total = self._total + self._compensation
        return float(total[0]) if self._single else total

    def propose(self, sites, values):
        """Return the changes of the total that moves would cause, without making them.

        Parameters
        ----------
        sites : array-like of int of shape (n_sites, n_grid_axes), or \
                (n_moves, n_sites, n_grid_axes)
            Grid indices of the sites of one move, or of each of several moves.
        values : array-like of shape (*sites.shape[:-1][, n_channels])
            New values of the sites.

        Returns
        -------
        float, or ndarray of shape (n_moves,)
            For each move, the change of the total if only this move is made. With a last axis of
            n_outputs for models of several totals.

        Raises
        ------
        ValueError
            If a site is outside of the field or occurs twice in a move, or if a value is NaN,
            infinite, or cannot be represented in the dtype of the field. The previous proposal is
            then discarded, too.

        Warns
        -----
        NoveltyWarning
            The first time that values lie far outside those of the fit.
        """
        self._n_moves = None  # discards the previous proposal
        sites, values, several = self._checked(sites, values)
        self._moves = sites, values
        if self._encoder is not None:
            values = self._encoder._channels(values)
        self._warn_of_range(values)
        owners = np.zeros(len(sites), dtype=np.intp)
        changes = self._incremental.propose(owners, sites, values)
        self._changes, self._n_moves = changes, len(sites)
        if self._single:
            changes = changes[:, 0]
            return changes.copy() if several else float(changes[0])
        return changes.copy() if several else changes[0].copy()

    def accept(self, mask=None) -> None:
        """Make the moves of the last proposal.

        Parameters
        ----------
        mask : array-like of bool of shape (n_moves,), default=None
            The moves to make. None for all.

        Raises
        ------
        ValueError
            If there is no proposal, or if a tile sees sites of two of the moves, so that their
            changes do not add up. No move is then made.
        """
        if self._n_moves is None:
            raise ValueError(
                "There is no proposal to accept. Call propose first; each proposal can be accepted "
                "once."
            )
        mask = np.ones(self._n_moves, dtype=bool) if mask is None else as_array(mask, "mask")
        if mask.dtype != bool or mask.shape not in ((self._n_moves,), ()):
            raise ValueError(
                f"mask must be booleans of shape ({self._n_moves},), one for each proposed move; "
                f"got shape {mask.shape} and dtype {mask.dtype}."
            )
        if mask.ndim == 0:
            mask = np.full(self._n_moves, mask)
        clash = self._incremental.clash(mask)
        if clash is not None:
            raise ValueError(
                f"Moves {clash[0]} and {clash[1]} cannot be accepted together, because a tile sees "
                "sites of both. Propose them as one move of several sites, or one after the other."
            )
        self._incremental.accept(mask)
        if self._plain is not None:
            sites, values = (moves[mask] for moves in self._moves)
            self._plain[tuple(np.moveaxis(sites, -1, 0))] = values
        change = np.array([math.fsum(column) for column in self._changes[mask].T])
        total = self._total + change
        large = np.abs(self._total) >= np.abs(change)
        self._compensation += np.where(
            large, (self._total - total) + change, (change - total) + self._total
        )
        self._total = total
        self._n_moves = None

    def _warn_of_range(self, values):
        """Warn of values far outside those of the fit, once."""
        fitted = self._known
        if fitted is None:
            return
        # For one channel, as most moves have it, a shorter test decides.
        if (
            values.ndim == 2
            and values.min() >= fitted.least[0]
            and values.max() <= fitted.largest[0]
        ):
            return
        channels = -1 if values.ndim > 2 else None
        least, largest = extremes(values, channels)
        doubt = fitted.doubt(least.min(axis=0), largest.max(axis=0))
        if doubt is not None:
            self._known = None
            warnings.warn(doubt, NoveltyWarning, stacklevel=outside_package())

    def _checked(self, sites, values):
        """Return sites (n_moves, n_sites, n_axes), their values, and whether an axis was moves."""
        grid = self._incremental.grid
        channels = () if self._plain is not None else self._incremental.values.shape[2:]
        sites, values = as_array(sites, "sites"), as_array(values, "values")
        if sites.ndim not in (2, 3) or sites.shape[-1] != len(grid) or sites.dtype.kind not in "iu":
            raise TilingError(
                f"sites must be integers of shape (n_sites, {len(grid)}) for one move, or "
                f"(n_moves, n_sites, {len(grid)}); got shape {sites.shape} and dtype {sites.dtype}."
            )
        if sites.size == 0:
            raise TilingError(
                f"A move must change at least one site; got sites of shape {sites.shape}."
            )
        if np.any((sites < 0) | (sites >= grid)):
            outside = sites[np.any((sites < 0) | (sites >= grid), axis=-1)][0]
            raise TilingError(f"sites must be within the grid {grid}; got {outside.tolist()}.")
        expected = (*sites.shape[:-1], *channels)
        if values.shape != expected:
            raise TilingError(
                f"values must have shape {expected}, one for each site"
                f"{' and channel' if channels else ''}; got {values.shape}."
            )
        several = sites.ndim == 3
        if not several:
            sites, values = sites[None], values[None]
        return sites.astype(np.intp), self._cast(values), self._no_site_twice(sites, several)

    def _cast(self, values):
        """Return a copy of values in the dtype of the field."""
        dtype = (self._incremental.values if self._plain is None else self._plain).dtype
        if values.dtype == dtype and dtype.kind != "f":
            return values.copy()
        if values.dtype.kind not in "biuf":
            raise ValueError(f"values must be numbers; got {values.dtype}.")
        require_finite(values, "values")
        with np.errstate(all="ignore"):
            cast = values.astype(dtype)
        # Floats may be rounded to a narrower dtype, as the field was. Others must not change.
        changed = cast != values if dtype.kind != "f" else ~np.isfinite(cast)
        if np.any(changed):
            raise ValueError(
                f"The dtype of the field, {dtype}, cannot represent {values[changed].flat[0]}. "
                "Start with a field of a dtype that can represent all its future values."
            )
        return cast

    def _no_site_twice(self, sites, several):
        if sites.shape[1] > 1:
            flat = np.sort(flat_sites(sites, self._incremental.grid), axis=1)
            twice = np.flatnonzero((flat[:, 1:] == flat[:, :-1]).any(axis=1))
            if len(twice):
                raise TilingError(
                    f"Move {twice[0]} changes a site twice: {sites[twice[0]].tolist()}. Pass each "
                    "site of a move once, with its final value."
                )
        return several


def _parted(model):
    """Return the encoder of single sites in front of a model, or None, and the model."""
    if not hasattr(model, "steps"):
        return None, model
    front, last = front_and_last(model)
    if len(front) > 1 or not all(getattr(step, "encodes_sites", False) for step in front):
        return None, model  # which `checked_terms` rejects
    return (front[0] if front else None), last


def checked_terms(model):
    """Return the (tile_model, tiling) of each term of a fitted EDNNRegressor.

    Raises
    ------
    TileModelError, NotFittedError
        If the model is not a fitted EDNNRegressor.
    """
    if not hasattr(model, "fitted_terms"):
        raise TileModelError(
            "Local updates need a fitted EDNNRegressor, or a Pipeline of OneHotFields or "
            f"AngleFields and one; got {type(model).__name__}. For a committee or a search, pass "
            "one of its fitted models; for another Pipeline its last step, model[-1], and fields "
            "and values as that sees them, model[:-1].transform(fields)."
        )
    check_is_fitted(model)
    return model.fitted_terms()


def running(model, terms, fields):
    """Return (tile_model, tiling, evaluation) with the evaluation selected for these fields."""
    fields = check_fields(fields)
    evaluated = []
    for tile_model, tiling in terms:
        evaluation = model.evaluation_
        if hasattr(evaluation, "select"):
            evaluation = evaluation.select(tile_model, tiling, fields)
        evaluated.append((tile_model, tiling, evaluation))
    return evaluated
