"""Numbers of a report: the data, the model, the fit and its errors."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from .._utils.versions import versions_of
from ..estimators._data_warnings import hint_of_kind
from ..estimators._fit_summary import spacing_of, training_of
from ..estimators._regressor import EDNNRegressor
from ..estimators._unwrap import regressors_in
from ..inspection._grids import grid_axes
from ..metrics import Verdict, extensive_errors, judge
from ..solvers._base import last_step
from ..structures._elements import symbol

_ALWAYS = ("numpy", "scipy", "scikit-learn")
_IF_USED = {"torch": "torch", "skorch": "skorch", "dask": "dask", "ase": "ase", "zarr": "zarr"}
_MAX_LENGTH = 2000
_DRAWN = r"random_state=(\d+|RandomState\([^)]*\) at 0x\w+)"
_SEED = re.compile(rf"(?<=\(){_DRAWN},?\s*|,\s*{_DRAWN}")


def data_of(systems, y, tiling) -> dict[str, Any]:
    """Return a summary of systems and their totals.

    Parameters
    ----------
    systems : Systems
    y : ndarray of shape (n_samples, n_outputs)
    tiling : AbstractTiling

    Returns
    -------
    dict
        Always with ``systems`` (their number), ``per`` (see `size_unit`), ``sizes``, ``dtype``,
        ``values``, ``hint`` and ``totals``. Fields have ``shapes`` and ``channels``, bags
        ``features`` and structures ``composition``, the number of atoms of each element.
    """
    summary: dict[str, Any] = {
        "systems": systems.n_samples,
        "per": size_unit(systems, tiling),
        "sizes": _statistics(sizes_of(systems, tiling)),
        "dtype": str(systems.dtype),
        "values": None,
        "hint": None,
        "totals": [_statistics(column) for column in y.T],
    }
    if tiling.is_grid:
        summary |= _fields_of(systems, tiling)
    elif hasattr(systems, "structures"):
        numbers, counts = np.unique(systems.structures.numbers, return_counts=True)
        elements = zip(map(symbol, numbers.tolist()), counts.tolist(), strict=True)
        summary["composition"] = dict(elements)
    else:
        summary["features"] = int(np.prod(tiling.shape_of_tiles(systems)))
    arrays = [values for values in systems.arrays if values.size]
    if arrays and not systems.lazy:
        summary["values"] = {
            "least": float(min(values.min() for values in arrays)),
            "greatest": float(max(values.max() for values in arrays)),
        }
    return summary


def _fields_of(fields, tiling) -> dict[str, Any]:
    axes = grid_axes(tiling, fields.ndim)
    shapes = [stack.values.shape[1:] for stack in fields.stacks]
    grids = {tuple(int(shape[axis]) for axis in axes) for shape in shapes}
    channels = fields.ndim - len(axes)
    summary: dict[str, Any] = {
        "shapes": [list(grid) for grid in sorted(grids, key=lambda grid: (np.prod(grid), grid))],
        "channels": int(shapes[0][tiling.channel_axis]) if channels else None,
    }
    if not fields.lazy and not channels:
        summary["hint"] = hint_of_kind(fields.stacks[0].values)
    return summary


def _statistics(values) -> dict[str, float]:
    return {
        "least": float(values.min()),
        "greatest": float(values.max()),
        "mean": float(values.mean()),
        "std": float(values.std()),
    }


def size_unit(systems, tiling) -> str:
    """Return the unit of sizes: "site", "atom" or, of a bag, "instance"."""
    if tiling.is_grid:
        return "site"
    return "atom" if hasattr(systems, "structures") else "instance"


def sizes_of(systems, tiling) -> np.ndarray:
    """Return the number of sites, atoms or instances of each system, shape (n_samples,)."""
    if not tiling.is_grid:
        return systems.sizes
    axes = grid_axes(tiling, systems.ndim)
    sites = np.empty(systems.n_samples)
    for stack in systems.stacks:
        sites[stack.samples] = np.prod([stack.values.shape[1:][axis] for axis in axes])
    return sites


def errors_of(y_true, y_pred, sizes) -> list[dict[str, float]]:
    """Return the errors of each column of totals.

    They are those of `extensive_errors`, with ``per_site``, the root mean square of errors divided
    by sizes, without empty systems, and ``r2``, the coefficient of determination (NaN for one
    system).
    """
    columns = []
    some = sizes > 0
    for true, predicted in zip(y_true.T, y_pred.T, strict=True):
        errors = extensive_errors(true, predicted).as_dict()
        errors["per_site"] = float("nan")
        if some.any():
            errors["per_site"] = extensive_errors(true[some], predicted[some], sizes[some]).rmse
        errors["r2"] = float(r2_score(true, predicted)) if len(true) > 1 else float("nan")
        columns.append(errors)
    return columns


def verdicts_of(y_true, y_pred, sizes, held_back) -> list[Verdict]:
    """Return the verdict on each column of totals."""
    columns = zip(y_true.T, y_pred.T, strict=True)
    return [judge(*column, sizes, held_back=held_back) for column in columns]


def first_member(model) -> EDNNRegressor:
    """Return the first regressor of a committee or average, or the regressor itself."""
    return regressors_in(model)[0]


def terms_of(model) -> list[tuple[str, Any, Any]]:
    """Return (name, tile model, tiling) of each term; the name of a single term is empty."""
    terms = first_member(model)._terms_by_name()
    return [(name if len(terms) > 1 else "", *term) for name, term in terms.items()]


def model_of(estimator, model) -> dict[str, str]:
    """Return a description of the parts of a fitted estimator, text by name."""
    parts: dict[str, str] = {}
    member = first_member(model)
    if estimator is not model or not (model is member or hasattr(model, "estimators_")):
        parts["estimator"] = _text(estimator)
    members = getattr(model, "estimators_", ())
    if len(members):
        parts["members"] = f"{len(members)}, of which the first is described below"
    for name, tile_model, tiling in terms_of(model):
        prefix = f"{name}: " if name else ""
        parts[f"{prefix}tile model"] = _text(tile_model.estimator)
        weights = _n_weights(last_step(tile_model.estimator))
        if weights is not None:
            parts[f"{prefix}weights"] = f"{weights:,}"
        parts[f"{prefix}tiling"] = _text(tiling)
    parts["baseline"] = _text(member.baseline)
    parts["solver"] = _text(getattr(member, "solver_", "unknown"))
    parts["evaluation"] = _text(member.evaluation_)
    spacing = spacing_of(estimator)
    if spacing is not None:
        parts["pixel spacing"] = " × ".join(f"{s:.6g}" for s in spacing) + " Å"
    return parts


def fit_of(estimator) -> dict[str, Any]:
    """Return losses, iterations and numbers of fitted parts by name."""
    rows: dict[str, Any] = {}
    for name, value in training_of(estimator).items():
        if isinstance(value, dict):
            name = {"train_loss": "training loss", "valid_loss": "validation loss"}.get(name, name)
            value = ", ".join(f"{key} {number:.4g}" for key, number in value.items())
        if name not in ("strategy", "tile_model", "n_outputs", "members"):
            rows[name] = value
    return rows


def parameters_of(estimator) -> dict[str, str]:
    """Return all parameters by their names in `set_params`; parts by the name of their class."""
    return {
        name: type(value).__name__ if hasattr(value, "get_params") else _text(value)
        for name, value in sorted(estimator.get_params(deep=True).items())
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and the imported libraries."""
    used = [name for module, name in _IF_USED.items() if module in sys.modules]
    by_library = versions_of((*_ALWAYS, *used))
    return {"Python": by_library.pop("python"), **by_library}


def _n_weights(estimator) -> int | None:
    """Return the number of weights of a network, None for other estimators."""
    if hasattr(estimator, "module_"):
        return sum(weights.numel() for weights in estimator.module_.parameters())
    arrays = [*getattr(estimator, "coefs_", ()), *getattr(estimator, "intercepts_", ())]
    return sum(np.size(array) for array in arrays) if arrays else None


def _text(value) -> str:
    # Without the seeds that a fit draws for its parts, which are long and mean nothing.
    text = _SEED.sub("", repr(value))
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
