"""Validated inputs of the commands: fields, targets, models, tilings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from .._utils.wording import FIELD_NAMES, TOTAL_NAMES
from ._files import read_array, split_name
from ._wanted import Unreadable, note

if TYPE_CHECKING:
    from ..tiling import GridTiling


def chosen(option: str, value: str, choices: dict[str, Any]):
    """Return the choice that a word of the command line names."""
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(choices)}; got {value!r}.")
    return choices[value]


def _sizes(option: str, text: str):
    """Convert '2', 'none' or '2,2,1' to a parameter of GridTiling."""
    try:
        values = [None if part.strip().lower() == "none" else int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"{option} must be an integer, or one per axis separated by commas; got {text!r}."
        ) from None
    return values[0] if len(values) == 1 else tuple(values)


def read_fields(name: str, field_ndim: int | str | None = None, named=None) -> np.ndarray:
    """Read fields of shape (n_samples, *field_shape).

    Parameters
    ----------
    name : str
    field_ndim : int, "all" or None, default=None
        Number of axes of one field, if known. An array with this number of axes is one field, and
        an axis of samples is added. "all" for the number of axes of the array.
    named : list of str, default=None
        Receives the unit that the file names.
    """
    least = min(2, field_ndim) if isinstance(field_ndim, int) else 2
    X = read_array(name, FIELD_NAMES, range(least, 65), TOTAL_NAMES, named=named, argument="fields")
    if X.ndim == field_ndim:
        note(f"{name} is read as one field of shape {X.shape}, as the model expects.")
    if X.ndim == field_ndim or (field_ndim == "all" and X.ndim):
        X = X[None]
    if X.ndim < 2:
        raise ValueError(
            f"{name} must contain fields, an array of shape (n_samples, *field_shape); got shape "
            f"{X.shape}."
        )
    return _numbers(name, X)


def read_fields_for(model, name: str, field_ndim: int | None = None) -> np.ndarray:
    """Read fields for a fitted model, and warn if their file names another unit than that of fit.

    Parameters
    ----------
    model : fitted model
    name : str
    field_ndim : int, default=None
        As for `read_fields`.
    """
    from .._utils.steps import first_step
    from ..fields._units import warn_of_unit

    named: list[str] = []
    X = read_fields(name, field_ndim, named)
    warn_of_unit(first_step(model), named[0] if named else None, name)
    return X


def read_targets(name: str, unit: str | None = None, named=None) -> np.ndarray:
    """Read targets of shape (n_samples,) or (n_samples, n_outputs).

    Parameters
    ----------
    name : str
    unit : str, default=None
        Their unit. A file that names another is rejected.
    named : list of str, default=None
        Receives the unit that the file names.
    """
    y = read_array(name, TOTAL_NAMES, range(1, 3), FIELD_NAMES, unit, named, argument="targets")
    if y.ndim == 0:
        raise ValueError(
            f"{name} must contain targets, one per field; got a single number. Write a single "
            "field as X=field[None], y=[total]."
        )
    if y.ndim not in (1, 2):
        error = Unreadable(
            f"{name} must contain targets, an array of shape (n_samples,) or (n_samples, "
            f"n_outputs); got shape {y.shape}. Pass their file after that of the fields."
        )
        path, key = split_name(name)
        if key is not None:  # the fields alone were named, and totals may be beside them
            error.arguments = {"targets": str(path)}
        raise error
    return _numbers(name, y)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return values unchanged; raise with the index if they are not real and finite."""
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must contain real numbers; got an array of type {values.dtype}.")
    if values.dtype.kind == "f":
        for k, value in enumerate(values):
            if not np.isfinite(value).all():
                place = [k, *np.argwhere(~np.isfinite(value))[0].tolist()]
                raise ValueError(f"{name} contains NaN or infinity, first at {place}.")
    return values


def data_line(X, y) -> str:
    """Return a summary of the data, which shows mistakes in reading them."""
    # 0.0 is added since -0.0 would be printed as -0.
    totals = f"{y.min() + 0.0:.4g} to {y.max() + 0.0:.4g}"
    return f"data: {len(X)} fields of shape {X.shape[1:]}, totals from {totals}"


def channels_line(X, tiling) -> tuple[str, str] | None:
    """Return a warning and an option if an axis that is cut into tiles looks like channels."""
    from ..estimators._data_warnings import looks_like_channels

    axis = looks_like_channels(X)
    if axis is None or tiling.channel_axis is not None:
        return None
    return (
        f"fields of shape {X.shape[1:]} have {X.shape[1:][axis]} site(s) along the "
        f"{'first' if axis == 0 else 'last'} axis. If these are channels, such as colours or "
        "the components of a vector",
        f"--channel-axis {axis}",
    )


def load_model(path: Path, max_bytes: int | None):
    """Read a fitted model."""
    from .. import files as model_files

    return model_files.load(path, max_bytes=max_bytes)


def require_model_name(path: Path) -> None:
    """Raise if a model file has an extension of pickles."""
    if path.suffix.lower() in {".joblib", ".pkl", ".pickle"}:
        raise ValueError(
            f"Model files are not pickles: use the extension .ednn, such as "
            f"{path.with_suffix('.ednn')}; got {path}."
        )


def require_text(option: str, text: str | None) -> None:
    """Raise if a text cannot be written to a model file, before the work whose result it ends."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:  # bytes that Python could not decode
        raise ValueError(
            f"{option} {text!a}: this is no text in the encoding of the terminal. Set "
            "LC_ALL=C.UTF-8, or write it in ASCII, such as ueV."
        ) from None


def tiling_of(focus, context, boundary, channel_axis, remainder="error") -> GridTiling:
    """Return the tiling of the options of the command line."""
    from ..tiling import GridTiling

    return GridTiling(
        _sizes("--focus", focus),
        _sizes("--context", context),
        boundary=boundary,
        channel_axis=channel_axis,
        remainder=remainder,
    )


def say(options, text) -> None:
    """Print a line on progress, unless the command is quiet."""
    if not (options.quiet or options.as_json):
        typer.echo(text, err=True)
