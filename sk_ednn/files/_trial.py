"""Test loaded models with one prediction, to reject files whose parts do not fit together.

Types and shapes are checked when parts are read. Whether parts fit each other shows only in use.
The test uses the smallest field that the model accepts, with values in the range of its fit.
"""

from __future__ import annotations

import copy
import sys
import warnings
from contextlib import contextmanager
from dataclasses import fields
from math import lcm, prod

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from .._utils.stored import declared
from .._utils.wording import with_article
from ..estimators._committee import EDNNCommittee
from ..estimators._held_out_errors import HeldOutErrors
from ..estimators._regressor import EDNNRegressor
from ..estimators._shift_averaged import ShiftAveraged
from ..evaluation import AbstractEvaluation, Direct
from ..structures import Structure
from ..tile_models import AbstractTileModel, TileModel
from ..tiling import AbstractTiling, AtomTiling, BagTiling

_N_ELEMENTS = 118
# Wider rows are not tested at their width, and wider Gaussians, in pixels, are rejected.
_MAX_WIDTH = 1 << 12
# Values of the test field if the model has no range of inputs.
_TEST_VALUES = (0.0, 1.0, 0.5)
_MAX_TILES = 16
# Descriptions of bags and atoms that are tried, and the distance of the atoms, in Å.
_MAX_DESCRIBED, _MAX_SPECIES, _APART = 1 << 10, 16, 1.5
# More than one, since arrays of one row broadcast with any other.
_N_SAMPLES = 3


def require_working(model, budget, has_user_code=False, only_as_it_is=False) -> None:
    """Raise if a model cannot predict.

    The test is skipped if it would exceed the budget of the file, and for tilings and transformers
    that are not part of this package.

    Parameters
    ----------
    model : fitted estimator
    budget : Budget
    has_user_code : bool, default=False
        Whether the model contains user-defined code. It is not run: contributions of its tile
        models are replaced by zero.
    only_as_it_is : bool, default=False
        Whether to raise as well if only the values of the test field are outside of the domain of
        the model. If not, functions such as the logarithm are replaced by the identity for a moment
        in this case, so the model must not be in use yet.

    Raises
    ------
    Exception
        Any error of the prediction.
    """
    _check_held_out(model)
    if hasattr(type(model), "_try"):
        model._try()
        for part in _inner(model):
            require_working(part, budget, has_user_code, only_as_it_is)
        return
    regressors = _regressors(model)
    if not regressors and (type(model).__module__.startswith("sk_ednn.") or _inner(model)):
        raise TypeError(f"{with_article(type(model).__name__)} contains no EDNNRegressor")
    for regressor in regressors:
        _require_attributes(regressor)
        _try(regressor, regressor, budget, has_user_code, only_as_it_is)
    top = model
    while isinstance(top, Pipeline):
        for _, step in top.steps[:-1]:
            if not hasattr(step, "transform") and step not in (None, "passthrough"):
                raise TypeError(
                    f"a step of its Pipeline, {with_article(type(step).__name__)}, cannot transform"
                )
            _check_front(step)
        top = _inner(top)[0]
    if type(top) in (EDNNCommittee, ShiftAveraged, TransformedTargetRegressor):
        if not _has_pipeline(top):
            _try(top, _regressors(top)[0], budget, has_user_code, only_as_it_is)
    if hasattr(type(model), "_try_parts") and not has_user_code:
        model._try_parts()


def require_units(model) -> None:
    """Raise ValueError if scales, offsets or baselines of a model are NaN or infinite."""
    for regressor in _regressors(model):
        for tile_model, _ in regressor.fitted_terms():
            constants = {"scale": getattr(tile_model, "scale", 1.0)}
            standardization = getattr(tile_model, "standardization", None)
            if standardization is not None:
                constants["mean of its inputs"] = standardization.mean
                constants["scale of its inputs"] = standardization.scale
            baseline = getattr(tile_model, "baseline", None)
            if baseline is not None:
                constants["coefficients of its baseline"] = baseline.coefficients
            for name, values in constants.items():
                values = np.asarray(values, dtype=np.float64)
                if not np.isfinite(values).all():
                    raise ValueError(f"the {name} is {values.ravel()[:4].tolist()}")
            if standardization is not None and not np.all(standardization.scale > 0):
                raise ValueError("the scale of its inputs is not positive")


def _check_held_out(model):
    """Raise ValueError if errors of systems held out do not suit a model or one inside it."""
    for name in ("held_out_", "held_out_forces_"):
        held_out = vars(model).get(name)
        if held_out is None:
            continue
        if type(held_out) is not HeldOutErrors:
            raise ValueError(f"its {name} is {with_article(type(held_out).__name__)}")
        regressors = _regressors(model) if declared(type(model)) is not None else []
        several = isinstance(model, EDNNCommittee) or hasattr(model, "n_members")
        n_outputs = regressors[0].n_outputs_ if regressors else 1
        held_out.check(n_outputs, has_std=several)
    for inner in _inner(model):
        _check_held_out(inner)


def _require_attributes(regressor):
    """Raise ValueError if attributes of a regressor contradict each other."""
    attributes, terms = vars(regressor), regressor.fitted_terms()
    for name, choices in (("_y_ndim", (1, 2)), ("n_outputs_", range(1, sys.maxsize))):
        value = attributes.get(name)
        if type(value) is not int or value not in choices:
            raise ValueError(f"its {name} is {value!r}")
    names = attributes.get("_term_names", [""] * len(terms))
    listed = type(names) in (tuple, list) and all(type(name) is str for name in names)
    if not listed or len(names) != len(terms):
        raise ValueError(f"its terms are named {names!r}")
    for tile_model, tiling in terms:
        has_channels = tiling.channel_axis is not None if tiling.is_grid else None
        if tile_model.has_channels is not has_channels:
            raise ValueError(f"has_channels of a tile model is {tile_model.has_channels!r}")
        n_outputs = tile_model.n_outputs
        if type(n_outputs) is not int or n_outputs != attributes["n_outputs_"]:
            raise ValueError(f"n_outputs of a tile model is {n_outputs!r}")


def _check_front(step):
    """Raise if a transformer of this package has inconsistent attributes."""
    if hasattr(type(step), "_try_stored"):
        with _silent():
            step._try_stored()
    atoms = sys.modules.get("sk_ednn.atoms._rasterise")
    if atoms is None or not isinstance(step, atoms.GaussianRasterizer):
        return
    n_axes, channels, order = len(step.spacing_), step.channels_, step._order
    valid = n_axes in (2, 3) and all(isinstance(n, float) and n > 0 for n in step.spacing_)
    valid = valid and len(step.periodic_) == n_axes and all(type(p) is bool for p in step.periodic_)
    if channels is None:
        valid = valid and order is None
    else:
        valid = valid and type(channels) is tuple and all(type(n) is int for n in channels)
        valid = valid and sorted(order.tolist()) == list(range(len(channels)))
    # The work per atom grows with its width in pixels.
    valid = valid and step.cutoff * step.width / min(step.spacing_) < _MAX_WIDTH
    for values, shape in (
        (vars(step).get("_cosines"), (n_axes, n_axes)),
        (vars(step).get("_heights"), (_N_ELEMENTS + 1,)),
    ):
        is_array = isinstance(values, np.ndarray) and values.dtype == np.float64
        valid = valid and is_array and values.shape == shape
    if not valid:
        raise ValueError("its GaussianRasterizer has inconsistent attributes")


def _inner(model) -> list:
    """Return the models inside a model. Only exact classes count, since files are not trusted."""
    if isinstance(model, Pipeline):
        return [model.steps[-1][1]]
    if isinstance(model, (EDNNCommittee, MultiOutputRegressor)):
        return list(model.estimators_)
    if isinstance(model, ShiftAveraged):
        return [model.estimator_]
    if isinstance(model, TransformedTargetRegressor):
        return [model.regressor_]
    if hasattr(type(model), "_models"):
        return model._models()
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


def _try(model, regressor, budget, has_user_code, only_as_it_is):
    shape = _field_shape(regressor)
    if shape is None:
        _try_tiles(regressor, budget, has_user_code)
        if not has_user_code:
            _try_systems(model, regressor)
        return
    n_bytes = 64 * _N_SAMPLES * prod(shape)
    if not has_user_code:
        n_bytes += sum(map(_bytes_of, regressor.fitted_terms()))
    if n_bytes > budget.left:
        return
    direct = _directly(model, has_user_code)
    try:
        _require_finite(direct, regressor, shape)
    except Exception:
        if only_as_it_is or has_user_code or not _works_elsewhere(model, regressor, shape):
            raise


def _require_finite(model, regressor, shape):
    """Raise if totals are not finite, or none of the test fields can be predicted."""
    errors = []
    for field in _fields(regressor, shape):
        with _silent():
            try:
                totals = np.asarray(model.predict(_samples(regressor, field)))
            except Exception as error:  # a function in it may not be defined for these values
                errors.append(error)
                continue
        if totals.shape[:1] != (_N_SAMPLES,) or totals.ndim > 2:
            raise ValueError(f"it predicts an array of shape {totals.shape}")
        if not np.isfinite(totals).all():
            raise ValueError("it predicts NaN or infinity for fields like those of its training")
        return
    raise errors[0]


def _works_elsewhere(model, regressor, shape) -> bool:
    """Return whether a model works where its functions are defined, which test fields may not show.

    Functions are replaced by the identity. Other steps, such as that of Box and Cox, may refuse the
    zeros around a field: the tile models and the rest are then tested apart.
    """
    with _without_functions(model):
        try:
            _require_finite(_directly(model, False), regressor, shape)
            return True
        except Exception:
            pass
        try:
            _require_finite(_directly(model, True), regressor, shape)
        except Exception:
            return False
        return all(
            any(_evaluates(tile_model, value) for value in _TEST_VALUES)
            for each in _regressors(model)
            for tile_model, _ in each.fitted_terms()
        )


def _evaluates(tile_model, value) -> bool:
    """Return whether a tile model is finite for tiles of one value."""
    try:
        with _silent():
            tiles = np.full((_N_SAMPLES, *tile_model.tile_shape), value)
            outputs = np.asarray(copy.copy(tile_model).predict(tiles))
    except Exception:
        return False
    fits = outputs.ndim <= 2 and outputs.size == _N_SAMPLES * tile_model.n_outputs
    return fits and bool(np.isfinite(outputs).all())


@contextmanager
def _without_functions(model):
    """Replace the functions in a model by the identity."""
    found = [each for each in _objects(model) if isinstance(each, FunctionTransformer)]
    functions = [each.func for each in found]
    try:
        for each in found:
            each.func = None
        yield
    finally:
        for each, function in zip(found, functions, strict=True):
            each.func = function


def _objects(model):
    """Yield all objects with attributes in a model."""
    seen, waiting = set(), [model]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif hasattr(each, "__dict__") and not isinstance(each, type):
            yield each
            waiting.append(vars(each))


@contextmanager
def _silent():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _try_tiles(regressor, budget, has_user_code):
    """Raise if a tile model cannot evaluate tiles of the shape that it was fitted to."""
    if has_user_code:
        return
    for tile_model, tiling in regressor.fitted_terms():
        if isinstance(tiling, AtomTiling):
            species = vars(regressor).get("_described")
            if type(species) not in (tuple, list) or not all(type(n) is int for n in species):
                raise ValueError(f"it was fitted to the species {species}")
        shape = tile_model.tile_shape
        if not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"it has tiles of shape {shape}")
        if 64 * _N_SAMPLES * prod(shape) > budget.left:
            continue
        with _silent():
            outputs = np.asarray(copy.copy(tile_model).predict(np.zeros((_N_SAMPLES, *shape))))
        if outputs.shape[:1] != (_N_SAMPLES,):
            raise ValueError(f"a tile model returns an array of shape {outputs.shape}")


def _try_systems(model, regressor):
    """Raise if a model of bags or of atoms cannot predict the smallest of these.

    Wide descriptions, whose calculation may take more memory than they do, are not tried.
    """
    terms = regressor.fitted_terms()
    widths = [prod(tile_model.tile_shape) for tile_model, _ in terms]
    tilings = [tiling for _, tiling in terms]
    if max(widths) > _MAX_DESCRIBED:
        return
    if all(type(tiling) is BagTiling for tiling in tilings):
        X = [_smallest_bag(terms)] * _N_SAMPLES
    elif all(type(tiling) is AtomTiling for tiling in tilings):
        species = sorted(set(vars(regressor)["_described"]))
        if len(species) > _MAX_SPECIES:
            return
        line = np.arange(len(species))[:, None] * [_APART, 0.0, 0.0]
        X = [Structure(np.array(species), line, np.zeros(3), False)] * _N_SAMPLES
    else:
        return
    with _silent():
        totals = np.asarray(_directly(model, False).predict(X))
    if totals.shape[:1] != (_N_SAMPLES,) or totals.ndim > 2:
        raise ValueError(f"it predicts an array of shape {totals.shape}")


def _smallest_bag(terms):
    """Return a bag with an instance for each term, of the kind that the term takes."""
    tile_model, tiling = terms[0]
    (width,) = tile_model.tile_shape
    bag = np.zeros((len(terms), width + (tiling.column is not None)))
    for row, (_, of_term) in zip(bag, terms, strict=True):
        if of_term.column is not None:
            row[of_term.column] = of_term.kind
    return bag


def _samples(regressor, field):
    """Return copies of a field, as a 2-D array if the model was fitted to one, else as a list."""
    width = regressor._field_ndim == 1 and vars(regressor).get("n_features_in_")
    return np.stack([field] * _N_SAMPLES) if width == len(field) else [field] * _N_SAMPLES


def _field_shape(regressor):
    """Return the shape of the smallest field, None for models of other systems."""
    width = vars(regressor).get("n_features_in_", 1)
    if type(width) is not int or width < 1:
        raise ValueError(f"it was fitted to {width} columns")
    if not isinstance(regressor.evaluation_, AbstractEvaluation):
        raise TypeError(
            f"{with_article(type(regressor.evaluation_).__name__)} is not an evaluation"
        )
    terms = regressor.fitted_terms()
    lengths = None
    for tile_model, tiling in terms:
        if not isinstance(tile_model, AbstractTileModel):
            raise TypeError(f"{with_article(type(tile_model).__name__)} is not a tile model")
        if not hasattr(tile_model.estimator, "predict"):
            raise TypeError(f"{with_article(type(tile_model.estimator).__name__)} cannot predict")
        if not isinstance(tiling, AbstractTiling):
            raise TypeError(f"{with_article(type(tiling).__name__)} is not a tiling")
        if not tiling.is_grid:
            return None
        if not all(type(n) is int and n > 0 for n in tile_model.tile_shape):
            raise ValueError(f"it has tiles of shape {tile_model.tile_shape}")
        focus = list(tiling.focus_shape(tile_model.tile_shape))
        if min(focus) < 1:
            raise ValueError(f"it has tiles of shape {tile_model.tile_shape} without a focus")
        lengths = focus if lengths is None else list(map(lcm, lengths, focus))
    if len(lengths) == 1 and width % lengths[0] == 0 and width <= _MAX_WIDTH:
        lengths = [width]
    axis = terms[0][1].channel_axis
    if axis is not None:
        axis %= len(lengths) + 1
        lengths.insert(axis, terms[0][0].tile_shape[-1])
    return tuple(lengths)


def _fields(regressor, shape):
    """Yield fields that are constant for each channel, with values in the range of the fit."""
    input_range = vars(regressor).get("input_range_")
    axis = regressor.fitted_terms()[0][1].channel_axis
    if input_range is None:
        yield from (np.full(shape, value) for value in _TEST_VALUES)
        return
    ranges = np.asarray(input_range, dtype=np.float64).reshape(-1, 3)[:, :2]
    if not np.isfinite(ranges).all():
        raise ValueError("the range of its inputs is not finite")
    for values in (ranges[:, 0], ranges[:, 1], ranges.mean(axis=1)):
        if axis is not None:
            values = values.reshape(-1, *[1] * (len(shape) - 1 - axis % len(shape)))
        yield np.broadcast_to(values, shape).copy()


def _bytes_of(term) -> int:
    tile_model, _ = term
    n_bytes = _MAX_TILES * int(tile_model.bytes_per_tile)
    networks = sys.modules.get("sk_ednn.networks._tile_model")
    if networks is not None and isinstance(tile_model, networks.NetworkTileModel):
        from ._networks import bytes_of_forward

        n_bytes += _MAX_TILES * bytes_of_forward(tile_model)
    return n_bytes


def _directly(model, has_user_code):
    """Return a copy of a model that predicts in this process, a few tiles at a time."""
    model = copy.copy(model)
    if isinstance(model, EDNNRegressor):
        model.evaluation_ = Direct(max_tiles=_MAX_TILES)
        # Copies, so that the test leaves no trace.
        copied = _without_estimator if has_user_code else copy.copy
        fitted = model.tile_model_
        several = isinstance(fitted, list)
        model.tile_model_ = list(map(copied, fitted)) if several else copied(fitted)
    elif isinstance(model, EDNNCommittee):
        model.estimators_ = [_directly(member, has_user_code) for member in model.estimators_]
    elif isinstance(model, ShiftAveraged):
        model.estimator_ = _directly(model.estimator_, has_user_code)
    elif isinstance(model, TransformedTargetRegressor):
        model.regressor_ = _directly(model.regressor_, has_user_code)
    return model


def _without_estimator(tile_model) -> TileModel:
    kept = {field.name: getattr(tile_model, field.name) for field in fields(AbstractTileModel)}
    return TileModel(**kept | {"estimator": _Zero(tile_model.n_outputs)})


class _Zero:
    """A tile model whose contributions are zero."""

    def __init__(self, n_outputs):
        self.n_outputs = n_outputs

    def predict(self, tiles):
        return np.zeros((len(tiles), self.n_outputs))
