"""Inputs of the commands, checked: fields, targets, models, tilings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._files import read_array
from ._wanted import note

if TYPE_CHECKING:
    from ..tiling import GridTiling

FIELD_KEYS = ("X", "fields", "x", "data")
TARGET_KEYS = ("y", "targets", "energies", "energy", "totals")


def chosen(option: str, value: str, choices: dict[str, Any]):
    """Return what a word on the command line stands for."""
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(choices)}; got {value!r}.")
    return choices[value]


def _sizes(option: str, text: str):
    """Read '2', 'none' or '2,2,1' as GridTiling takes it."""
    try:
        values = [None if part.strip().lower() == "none" else int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"{option} must be a whole number, or one per axis with commas; got {text!r}."
        ) from None
    return values[0] if len(values) == 1 else tuple(values)


def read_fields(name: str, field_ndim: int | str | None = None) -> np.ndarray:
    """Read fields of shape (n_samples, *field_shape).

    Parameters
    ----------
    name : str
    field_ndim : int, "all" or None, default=None
        Axes of one field, where they are known: an array of as many is one field, without an axis
        of samples, and gets that. "all" for those of the array.
    """
    least = min(2, field_ndim) if isinstance(field_ndim, int) else 2
    X = read_array(name, FIELD_KEYS, range(least, 65), TARGET_KEYS)
    if X.ndim == field_ndim:
        note(f"{name} is taken for one field of shape {X.shape}, as the model is for such.")
    if X.ndim == field_ndim or (field_ndim == "all" and X.ndim):
        X = X[None]
    if X.ndim < 2:
        raise ValueError(
            f"{name} must hold fields, an array of shape (n_samples, *field_shape); got {X.shape}."
        )
    return _numbers(name, X)


def read_targets(name: str) -> np.ndarray:
    """Read targets of shape (n_samples,) or (n_samples, n_outputs)."""
    y = read_array(name, TARGET_KEYS, range(1, 3), FIELD_KEYS)
    if y.ndim == 0:
        raise ValueError(
            f"{name} must hold targets, one for each field; got a single number. A single field is "
            "written as X=field[None], y=[total]."
        )
    if y.ndim not in (1, 2):
        raise ValueError(
            f"{name} must hold targets, an array of shape (n_samples,) or (n_samples, n_outputs); "
            f"got {y.shape}. Name their file behind that of the fields."
        )
    return _numbers(name, y)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return values as they are, or say which is no number, counted as in the file."""
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers; got an array of type {values.dtype}.")
    if values.dtype.kind == "f":
        for k, value in enumerate(values):
            if not np.isfinite(value).all():
                place = [k, *np.argwhere(~np.isfinite(value))[0].tolist()]
                raise ValueError(f"{name} holds NaN or infinity, first at {place}.")
    return values


def data_line(X, y) -> str:
    """Return a line on what is fitted, in which a mistake can be seen."""
    # No -0, which sums of nothing but products with 0 are.
    totals = f"{y.min() + 0.0:.4g} to {y.max() + 0.0:.4g}"
    return f"data: {len(X)} fields of shape {X.shape[1:]}, totals from {totals}"


def channels_line(X, tiling) -> str | None:
    """Return what to do where an axis that is cut into tiles looks like channels."""
    from ..estimators._data_warnings import looks_like_channels

    axis = looks_like_channels(X.shape[1:])
    if axis is None or tiling.channel_axis is not None:
        return None
    return (
        f"fields of shape {X.shape[1:]} have {X.shape[1:][axis]} site(s) along the "
        f"{'first' if axis == 0 else 'last'} axis: if these are channels, --channel-axis {axis}"
    )


def load_model(path: Path, max_bytes: int | None):
    """Read a fitted model."""
    from .. import files as model_files

    return model_files.load(path, max_bytes=max_bytes)


def require_model_name(path: Path) -> None:
    """Raise where a model file would be taken for something else."""
    if path.suffix.lower() in {".joblib", ".pkl", ".pickle"}:
        raise ValueError(
            f"{path} would be taken for a pickle, which it will not be: call it "
            f"{path.with_suffix('.ednn')}."
        )


def tiling_of(focus, context, boundary, channel_axis, remainder="error") -> GridTiling:
    """Return the tiling of the words on the command line."""
    from ..tiling import GridTiling

    return GridTiling(
        _sizes("--focus", focus),
        _sizes("--context", context),
        boundary=boundary,
        channel_axis=channel_axis,
        remainder=remainder,
    )
