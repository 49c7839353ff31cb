"""The numbers of a report: what was fitted, to what, and how well."""

from __future__ import annotations

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from ..estimators._data_warnings import hint_of_kind
from ..estimators._fit_summary import spacing_of, training_of
from ..estimators._regressor import EDNNRegressor
from ..estimators._unwrap import regressors_in
from ..inspection._grids import grid_axes
from ..metrics import Verdict, extensive_errors, judge
from ..solvers._base import last_step

_ALWAYS = ("numpy", "scipy", "scikit-learn")
_IF_USED = {"torch": "torch", "skorch": "skorch", "dask": "dask", "ase": "ase", "zarr": "zarr"}
_LONGEST = 2000
_DRAWN = r"random_state=(\d+|RandomState\([^)]*\) at 0x\w+)"
_SEED = re.compile(rf"(?<=\(){_DRAWN},?\s*|,\s*{_DRAWN}")


def data_of(fields, y, tiling) -> dict[str, Any]:
    """Return what a batch of fields and its totals are.

    Parameters
    ----------
    fields : Fields
    y : ndarray of shape (n_samples, n_outputs)
    tiling : AbstractTiling
    """
    axes = grid_axes(tiling, fields.ndim)
    shapes = [stack.values.shape[1:] for stack in fields.stacks]
    grids = sorted(
        {tuple(shape[a] for a in axes) for shape in shapes}, key=lambda s: (np.prod(s), s)
    )
    channels = fields.ndim - len(axes)
    found: dict[str, Any] = {
        "systems": fields.n_samples,
        "shapes": [list(map(int, grid)) for grid in grids],
        "channels": int(shapes[0][tiling.channel_axis]) if channels else None,
        "dtype": str(fields.dtype),
        "values": None,
        "hint": None,
        "totals": [
            {"least": float(column.min()), "greatest": float(column.max()),
             "mean": float(column.mean()), "std": float(column.std())}
            for column in y.T
        ],
    }  # fmt: skip
    if not fields.lazy:
        if not channels:
            found["hint"] = hint_of_kind(fields.stacks[0].values)
        found["values"] = {
            "least": float(min(stack.values.min() for stack in fields.stacks)),
            "greatest": float(max(stack.values.max() for stack in fields.stacks)),
        }
    return found


def sites_of(fields, tiling) -> np.ndarray:
    """Return the number of sites of each field, float of shape (n_samples,)."""
    axes = grid_axes(tiling, fields.ndim)
    sites = np.empty(fields.n_samples)
    for stack in fields.stacks:
        sites[stack.samples] = np.prod([stack.values.shape[1:][axis] for axis in axes])
    return sites


def errors_of(y_true, y_pred, sites) -> list[dict[str, float]]:
    """Return the errors of each column of totals, as `extensive_errors` has them, and more.

    ``per_site`` is the root mean square of errors that are divided by the number of sites, ``r2``
    the share of the variance that is explained (NaN for one system).
    """
    found = []
    for true, predicted in zip(y_true.T, y_pred.T, strict=True):
        errors = extensive_errors(true, predicted).as_dict()
        errors["per_site"] = extensive_errors(true, predicted, sites).rmse
        errors["r2"] = float(r2_score(true, predicted)) if len(true) > 1 else float("nan")
        found.append(errors)
    return found


def verdicts_of(y_true, y_pred, sites, held_back) -> list[Verdict]:
    """Return what is to be thought of the model, from each column of totals."""
    columns = zip(y_true.T, y_pred.T, strict=True)
    return [judge(*column, sites, held_back=held_back) for column in columns]


def first_member(regressor) -> EDNNRegressor:
    """Return the first member of a committee, or the regressor that is given."""
    return regressors_in(regressor)[0]


def terms_of(regressor) -> list[tuple[str, Any, Any]]:
    """Return (name, tile model, tiling) of each term; no name where there is one."""
    member = first_member(regressor)
    terms = member.fitted_terms()
    names = member._term_names if len(terms) > 1 else [""]
    return [(name, *term) for name, term in zip(names, terms, strict=True)]


def model_of(estimator, regressor) -> dict[str, str]:
    """Return what a fitted estimator is made of, as text by name."""
    found: dict[str, str] = {}
    if estimator is not regressor:
        found["estimator"] = _text(estimator)
    members = getattr(regressor, "estimators_", ())
    if len(members):
        found["members"] = f"{len(members)}; what follows is the first of them"
    for name, tile_model, tiling in terms_of(regressor):
        prefix = f"{name}: " if name else ""
        found[f"{prefix}tile model"] = _text(tile_model.estimator)
        weights = _n_weights(last_step(tile_model.estimator))
        if weights is not None:
            found[f"{prefix}weights"] = f"{weights:,}"
        found[f"{prefix}tiling"] = _text(tiling)
    member = first_member(regressor)
    found["baseline"] = _text(member.baseline)
    found["fitted by"] = _text(getattr(member, "solver_", "unknown"))
    found["evaluated by"] = _text(member.evaluation_)
    spacing = spacing_of(estimator)
    if spacing is not None:
        found["spacing of pixels"] = " × ".join(f"{s:.6g}" for s in spacing) + " Å"
    return found


def fit_of(estimator) -> dict[str, Any]:
    """Return how the fit went, from what its parts remember."""
    found: dict[str, Any] = {}
    for name, value in training_of(estimator).items():
        if isinstance(value, dict):
            name = {"train_loss": "training loss", "valid_loss": "validation loss"}.get(name, name)
            value = ", ".join(f"{key} {number:.4g}" for key, number in value.items())
        if name not in ("strategy", "tile_model", "n_outputs", "members"):
            found[name] = value
    return found


def parameters_of(estimator) -> dict[str, str]:
    """Return all parameters by their names in `set_params`; parts by the name of their class."""
    return {
        name: type(value).__name__ if hasattr(value, "get_params") else _text(value)
        for name, value in sorted(estimator.get_params(deep=True).items())
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and the libraries that are in use."""
    used = [name for module, name in _IF_USED.items() if module in sys.modules]
    found = {"Python": platform.python_version()}
    for name in ("sk-ednn", *_ALWAYS, *used):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _n_weights(estimator) -> int | None:
    """Return how many numbers were learnt, where that is easily told."""
    if hasattr(estimator, "module_"):
        return sum(weights.numel() for weights in estimator.module_.parameters())
    arrays = [*getattr(estimator, "coefs_", ()), *getattr(estimator, "intercepts_", ())]
    return sum(np.size(array) for array in arrays) if arrays else None


def _text(value) -> str:
    # Seeds that a fit has drawn for its parts are many digits that say nothing.
    text = _SEED.sub("", repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
