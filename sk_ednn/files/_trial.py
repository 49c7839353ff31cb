"""One prediction of what was read: a file whose parts do not fit together is no model.

Types and shapes are checked part by part; whether the parts suit one another shows when they are
used. The field that is tried is the smallest there is, with values that the model has seen.
"""

from __future__ import annotations

import copy
import sys
import warnings
from math import lcm, prod

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline

from .._committee import EDNNCommittee
from .._regressor import EDNNRegressor
from .._shift_averaged import ShiftAveraged
from .._tile_model import TileModel
from ..evaluation import Direct
from ..tiling import GridTiling

# Of models that do not know the range of their inputs.
_TRIED = (0.0, 1.0, 0.5)
_MOST_TILES = 16


def require_working(model, budget) -> None:
    """Raise where a model does not predict.

    A trial that would take more memory than is left for the file is left out, and so is that of a
    model whose tiling or whose surroundings are not this package's.

    Parameters
    ----------
    model : fitted estimator
    budget : Budget

    Raises
    ------
    Exception
        What the prediction raised.
    """
    regressors = _regressors(model)
    if not regressors and (type(model).__module__.startswith("sk_ednn.") or _inner(model)):
        raise TypeError(f"a {type(model).__name__} is no model of fields")
    for regressor in regressors:
        _try(regressor, regressor, budget)
    top = model
    while isinstance(top, Pipeline):
        top = _inner(top)[0]
    if type(top) in (EDNNCommittee, ShiftAveraged, TransformedTargetRegressor):
        if not _has_pipeline(top):
            _try(top, _regressors(top)[0], budget)


def _inner(model) -> list:
    """Return the models that a model around them predicts with."""
    if isinstance(model, Pipeline):
        return [model.steps[-1][1]]
    if isinstance(model, (EDNNCommittee, MultiOutputRegressor)):
        return list(model.estimators_)
    if isinstance(model, ShiftAveraged):
        return [model.estimator_]
    if isinstance(model, TransformedTargetRegressor):
        return [model.regressor_]
    return []


def _regressors(model) -> list:
    if isinstance(model, EDNNRegressor):
        return [model]
    return [regressor for each in _inner(model) for regressor in _regressors(each)]


def _has_pipeline(model) -> bool:
    return isinstance(model, Pipeline) or any(map(_has_pipeline, _inner(model)))


def _try(model, regressor, budget):
    shape = _field_shape(regressor)
    if shape is None:
        return
    n_bytes = 64 * prod(shape) + sum(map(_bytes_of, regressor._fitted_terms()))
    if n_bytes > budget.left:
        return
    quick, errors = _directly(model), []
    for field in _fields(regressor, shape):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                totals = np.asarray(quick.predict([field]))
            except Exception as error:  # a function in it may not be defined for these values
                errors.append(error)
                continue
        if totals.shape[:1] != (1,) or totals.ndim > 2 or not np.isfinite(totals).all():
            raise ValueError(f"it predicts an array of shape {totals.shape}")
        return
    raise errors[0]


def _field_shape(regressor):
    """Return the shape of the smallest field, None where the tiling does not tell."""
    terms = regressor._fitted_terms()
    lengths = None
    for tile_model, tiling in terms:
        if not isinstance(tile_model, TileModel):
            raise TypeError(f"a {type(tile_model).__name__} stands where a tile model should be")
        if not isinstance(tiling, GridTiling):
            return None
        if not all(type(n) is int and n > 0 for n in tile_model.tile_shape):
            raise ValueError(f"it has tiles of shape {tile_model.tile_shape}")
        focus = [part.stop - part.start for part in tiling.focus_sites(tile_model.tile_shape)]
        if min(focus) < 1:
            raise ValueError(f"it has tiles of shape {tile_model.tile_shape} without a focus")
        lengths = focus if lengths is None else list(map(lcm, lengths, focus))
    axis = terms[0][1].channel_axis
    if axis is not None:
        axis %= len(lengths) + 1
        lengths.insert(axis, terms[0][0].tile_shape[-1])
    return tuple(lengths)


def _fields(regressor, shape):
    """Yield fields of one value for each channel, such as the model has seen."""
    known = vars(regressor).get("input_range_")
    axis = regressor._fitted_terms()[0][1].channel_axis
    if known is None:
        yield from (np.full(shape, value) for value in _TRIED)
        return
    ranges = np.asarray(known, dtype=np.float64).reshape(-1, 3)[:, :2]
    if not np.isfinite(ranges).all():
        raise ValueError("it was fitted to fields without a range")
    for values in (ranges[:, 0], ranges[:, 1], ranges.mean(axis=1)):
        if axis is not None:
            values = values.reshape(-1, *[1] * (len(shape) - 1 - axis % len(shape)))
        yield np.broadcast_to(values, shape).copy()


def _bytes_of(term) -> int:
    tile_model, _ = term
    n_bytes = _MOST_TILES * int(tile_model.bytes_per_tile)
    networks = sys.modules.get("sk_ednn.networks._tile_model")
    if networks is not None and isinstance(tile_model, networks.NetworkTileModel):
        from ._networks import bytes_of_forward

        n_bytes += _MOST_TILES * bytes_of_forward(tile_model)
    return n_bytes


def _directly(model):
    """Return a copy of a model that predicts in this process, a few tiles at a time."""
    model = copy.copy(model)
    if isinstance(model, EDNNRegressor):
        model.evaluation_ = Direct(max_tiles=_MOST_TILES)
    elif isinstance(model, EDNNCommittee):
        model.estimators_ = [_directly(each) for each in model.estimators_]
    elif isinstance(model, ShiftAveraged):
        model.estimator_ = _directly(model.estimator_)
    elif isinstance(model, TransformedTargetRegressor):
        model.regressor_ = _directly(model.regressor_)
    return model
