"""One prediction of what was read: a file whose parts do not fit together is no model.

Types and shapes are checked part by part; whether the parts suit one another shows when they are
used. The field that is tried is the smallest there is, with values that the model has seen.
"""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import fields
from math import lcm, prod

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline

from .._utils.stored import declared
from ..estimators._committee import EDNNCommittee
from ..estimators._regressor import EDNNRegressor
from ..estimators._shift_averaged import ShiftAveraged
from ..evaluation import AbstractEvaluation, Direct
from ..tile_models import AbstractTileModel, TileModel
from ..tiling import AbstractTiling

_N_ELEMENTS = 118
# Rows of more numbers are not tried at their width, and Gaussians are not so many pixels wide.
_WIDEST = 1 << 12
# Of models that do not know the range of their inputs.
_TRIED = (0.0, 1.0, 0.5)
_MOST_TILES = 16
# More than one, since arrays of one row go with any other.
_SAMPLES = 3


def require_working(model, budget, asked=False) -> None:
    """Raise where a model does not predict.

    A trial that would take more memory than is left for the file is left out, and so is that of a
    model whose tiling or whose surroundings are not this package's.

    Parameters
    ----------
    model : fitted estimator
    budget : Budget
    asked : bool, default=False
        Whether anything in it is the user's code, which only the user runs: contributions of zero
        stand for those of its tile models.

    Raises
    ------
    Exception
        What the prediction raised.
    """
    if hasattr(type(model), "_try"):
        model._try()
        return
    regressors = _regressors(model)
    if not regressors and (type(model).__module__.startswith("sk_ednn.") or _inner(model)):
        raise TypeError(f"a {type(model).__name__} is no model of fields")
    for regressor in regressors:
        _try(regressor, regressor, budget, asked)
    top = model
    while isinstance(top, Pipeline):
        for _, step in top.steps[:-1]:
            if not hasattr(step, "transform") and step not in (None, "passthrough"):
                raise TypeError(f"a {type(step).__name__} stands where a transformer should be")
            _check_front(step)
        top = _inner(top)[0]
    if type(top) in (EDNNCommittee, ShiftAveraged, TransformedTargetRegressor):
        if not _has_pipeline(top):
            _try(top, _regressors(top)[0], budget, asked)


def require_units(model) -> None:
    """Raise where units, offsets or baselines of a model are no numbers, whatever it predicts.

    Raises
    ------
    ValueError
    """
    for regressor in _regressors(model):
        for tile_model, _ in regressor.fitted_terms():
            known = {"scale": getattr(tile_model, "scale", 1.0)}
            standardization = getattr(tile_model, "standardization", None)
            if standardization is not None:
                known["mean of its inputs"] = standardization.mean
                known["scale of its inputs"] = standardization.scale
            baseline = getattr(tile_model, "baseline", None)
            if baseline is not None:
                known["coefficients of its baseline"] = baseline.coefficients
            for name, values in known.items():
                values = np.asarray(values, dtype=np.float64)
                if not np.isfinite(values).all():
                    raise ValueError(f"the {name} is {values.ravel()[:4].tolist()}")
            if standardization is not None and not np.all(standardization.scale > 0):
                raise ValueError("the scale of its inputs is not positive")


def _check_front(step):
    """Raise where what draws structures has attributes that do not fit together."""
    atoms = sys.modules.get("sk_ednn.atoms._rasterise")
    if atoms is None or not isinstance(step, atoms.GaussianRasterizer):
        return
    n_axes, channels, order = len(step.spacing_), step.channels_, step._order
    fine = n_axes in (2, 3) and all(isinstance(n, float) and n > 0 for n in step.spacing_)
    fine = fine and len(step.periodic_) == n_axes and all(type(p) is bool for p in step.periodic_)
    if channels is None:
        fine = fine and order is None
    else:
        fine = fine and type(channels) is tuple and all(type(n) is int for n in channels)
        fine = fine and sorted(order.tolist()) == list(range(len(channels)))
    # Atoms are drawn pixel by pixel, as far as this.
    fine = fine and step.cutoff * step.width / min(step.spacing_) < _WIDEST
    heights = step._heights
    fine = fine and heights.dtype == np.float64 and heights.shape == (_N_ELEMENTS + 1,)
    if not fine:
        raise ValueError("what draws its fields is not what a fit leaves")


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
    if declared(type(model)) is not None:  # made of members, such as that of pictures
        members = vars(model).get("estimators_")
        return members if isinstance(members, list) else []
    return []


def _regressors(model) -> list:
    if isinstance(model, EDNNRegressor):
        return [model]
    return [regressor for each in _inner(model) for regressor in _regressors(each)]


def _has_pipeline(model) -> bool:
    return isinstance(model, Pipeline) or any(map(_has_pipeline, _inner(model)))


def _try(model, regressor, budget, asked):
    shape = _field_shape(regressor)
    if shape is None:
        _try_tiles(regressor, budget, asked)
        return
    n_bytes = 64 * _SAMPLES * prod(shape)
    if not asked:
        n_bytes += sum(map(_bytes_of, regressor.fitted_terms()))
    if n_bytes > budget.left:
        return
    quick, errors = _directly(model, asked), []
    for field in _fields(regressor, shape):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                totals = np.asarray(quick.predict(_samples(regressor, field)))
            except Exception as error:  # a function in it may not be defined for these values
                errors.append(error)
                continue
        if totals.shape[:1] != (_SAMPLES,) or totals.ndim > 2:
            raise ValueError(f"it predicts an array of shape {totals.shape}")
        if not np.isfinite(totals).all():
            raise ValueError("it predicts NaN or infinity for fields like those of its training")
        return
    raise errors[0]


def _try_tiles(regressor, budget, asked):
    """Raise where a tile model cannot evaluate tiles of the shape that it was fitted to."""
    if asked:
        return
    for tile_model, _ in regressor.fitted_terms():
        shape = tile_model.tile_shape
        if not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"it has tiles of shape {shape}")
        if 64 * _SAMPLES * prod(shape) > budget.left:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outputs = np.asarray(copy.copy(tile_model).predict(np.zeros((_SAMPLES, *shape))))
        if outputs.shape[:1] != (_SAMPLES,):
            raise ValueError(f"a tile model returns an array of shape {outputs.shape}")


def _samples(regressor, field):
    """Return fields as the model was fitted to: of one axis, in rows of one width."""
    width = regressor._field_ndim == 1 and vars(regressor).get("n_features_in_")
    return np.stack([field] * _SAMPLES) if width == len(field) else [field] * _SAMPLES


def _field_shape(regressor):
    """Return the shape of the smallest field, None where the tiling does not tell."""
    width = vars(regressor).get("n_features_in_", 1)
    if type(width) is not int or width < 1:
        raise ValueError(f"it was fitted to {width} columns")
    if not isinstance(regressor.evaluation_, AbstractEvaluation):
        raise TypeError(f"a {type(regressor.evaluation_).__name__} evaluates nothing")
    terms = regressor.fitted_terms()
    lengths = None
    for tile_model, tiling in terms:
        if not isinstance(tile_model, AbstractTileModel):
            raise TypeError(f"a {type(tile_model).__name__} stands where a tile model should be")
        if not hasattr(tile_model.estimator, "predict"):
            raise TypeError(f"a {type(tile_model.estimator).__name__} predicts nothing")
        if not isinstance(tiling, AbstractTiling):
            raise TypeError(f"a {type(tiling).__name__} stands where a tiling should be")
        if not tiling.is_grid:
            return None
        if not all(type(n) is int and n > 0 for n in tile_model.tile_shape):
            raise ValueError(f"it has tiles of shape {tile_model.tile_shape}")
        focus = list(tiling.focus_shape(tile_model.tile_shape))
        if min(focus) < 1:
            raise ValueError(f"it has tiles of shape {tile_model.tile_shape} without a focus")
        lengths = focus if lengths is None else list(map(lcm, lengths, focus))
    if len(lengths) == 1 and width % lengths[0] == 0 and width <= _WIDEST:
        lengths = [width]
    axis = terms[0][1].channel_axis
    if axis is not None:
        axis %= len(lengths) + 1
        lengths.insert(axis, terms[0][0].tile_shape[-1])
    return tuple(lengths)


def _fields(regressor, shape):
    """Yield fields of one value for each channel, such as the model has seen."""
    known = vars(regressor).get("input_range_")
    axis = regressor.fitted_terms()[0][1].channel_axis
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


def _directly(model, asked):
    """Return a copy of a model that predicts in this process, a few tiles at a time."""
    model = copy.copy(model)
    if isinstance(model, EDNNRegressor):
        model.evaluation_ = Direct(max_tiles=_MOST_TILES)
        # Copies, so that nothing is kept of the trial.
        copied = _without_estimator if asked else copy.copy
        fitted = model.tile_model_
        several = isinstance(fitted, list)
        model.tile_model_ = list(map(copied, fitted)) if several else copied(fitted)
    elif isinstance(model, EDNNCommittee):
        model.estimators_ = [_directly(each, asked) for each in model.estimators_]
    elif isinstance(model, ShiftAveraged):
        model.estimator_ = _directly(model.estimator_, asked)
    elif isinstance(model, TransformedTargetRegressor):
        model.regressor_ = _directly(model.regressor_, asked)
    return model


def _without_estimator(tile_model) -> TileModel:
    kept = {field.name: getattr(tile_model, field.name) for field in fields(TileModel)}
    return TileModel(**kept | {"estimator": _Zero(tile_model.n_outputs)})


class _Zero:
    """A tile model of which every contribution is zero."""

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs

    def predict(self, tiles):
        return np.zeros((len(tiles), self.n_outputs))
