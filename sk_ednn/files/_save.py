"""Save fitted models, as files that contain no code."""

from __future__ import annotations

import sys
from typing import Any

from sklearn.utils.validation import check_is_fitted

from .._utils.versions import versions_of
from .._utils.wording import with_article
from ..estimators._fit_summary import spacing_of, training_of
from ..exceptions import ModelFileError
from . import _arrays, _container, _estimators
from ._budget import Unlimited
from ._document import Encoder
from ._parts import WEIGHTS
from ._schema import SCHEMA
from ._trial import require_working

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "skops")


def save(model, path, *, unit=None, about=None) -> str:
    """Write a fitted model to a file.

    The file is a zip. ``config.json`` describes the model, ``weights.safetensors`` contains its
    arrays, ``estimators.skops`` estimators of scikit-learn that are not encoded in
    ``config.json``, and ``manifest.json`` the sha256 of each part. The last bytes are the sha256 of
    all others. The file is written under a temporary name and renamed, so that it is never
    incomplete.

    Parameters
    ----------
    model : fitted estimator
        An `EDNNRegressor` or `EDNNCommittee`, also inside a Pipeline, such as after a
        `GaussianRasterizer`, or inside a `TransformedTargetRegressor`.
    path : str or Path
        With any extension; the convention is ``.ednn``.
    unit : str, default=None
        Unit of the predictions, such as ``"eV"``, for readers of the file.
    about : dict, default=None
        Further information for readers, as JSON values.

    Returns
    -------
    str
        The sha256 of the file, which identifies the model.

    Raises
    ------
    ModelFileError
        If part of the model is not data, such as a function; the message names it.
    MissingExtraError
        If skops is not installed and the model contains estimators of scikit-learn that need it:
        any but linear models, kernel ridge, Gaussian processes, scalers, PCA, Nystroem and
        polynomial features.

    See Also
    --------
    load : Read a model.
    describe : Summarise a file.

    Notes
    -----
    The file contains what a pickle would, without runtime parameters (paths, processes, devices,
    limits of memory) and without attributes that can be recomputed: search trees of nearest
    neighbours, dense forms of networks, tables of evaluated tiles. Networks are stored with their
    weights and without the state of the optimizer, so that a loaded network predicts but starts
    a new training.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.files import load, save
    >>> fields = np.random.default_rng(0).normal(size=(20, 8))
    >>> model = EDNNRegressor(Ridge()).fit(fields, fields.sum(axis=1))
    >>> path = Path(tempfile.mkdtemp()) / "sum.ednn"
    >>> digest = save(model, path, unit="eV")
    >>> bool((load(path).predict(fields) == model.predict(fields)).all())
    True
    """
    if not hasattr(model, "predict"):
        raise ModelFileError(f"Expected a fitted model, got {model!r:.80}.")
    check_is_fitted(model)
    if hasattr(model, "best_estimator_"):
        raise ModelFileError(
            f"The results of a search cannot be stored, and the model is "
            f"{with_article(type(model).__name__)}. Save its best_estimator_."
        )
    encode = Encoder()
    description = encode(model)
    config = {
        "schema": SCHEMA,
        "versions": _versions(),
        "units": unit,
        "spacing": spacing_of(model),
        "training": training_of(model),
        "about": about or {},
        "tried": _works(model, encode.has_user_code),
        "model": description,
    }
    parts: dict[str, Any] = {_container.CONFIG: _as_json(config)}
    parts[WEIGHTS] = _arrays.writer(encode.arrays)
    if encode.estimators:
        parts[_estimators.PART] = _estimators.dump(encode.estimators, encode.places)
    return _container.write(path, parts)


def _works(model, has_user_code) -> bool:
    """Return whether the model predicts a test field, which earlier versions read from the file."""
    try:
        require_working(model, Unlimited(), has_user_code, only_as_it_is=True)
    except Exception:  # a function in the model may not be defined for the test values
        return False
    return True


def _as_json(config) -> bytes:
    import json

    try:
        return json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"unit and about must be JSON values: {error}.") from error


def _versions() -> dict:
    # torch and skorch only where they are imported, since the model uses them then.
    unused = {name for name in ("torch", "skorch") if name not in sys.modules}
    return versions_of(name for name in _LIBRARIES if name not in unused)
