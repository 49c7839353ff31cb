"""Write fitted models to files, and read them: nothing in a file is ever run."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sklearn.utils.validation import check_is_fitted

from .._utils.optional import needing
from ..estimators._fit_summary import spacing_of, training_of
from ..exceptions import ModelFileError
from . import _arrays, _container, _estimators
from ._budget import Unlimited
from ._document import Decoder, Encoder, named
from ._trial import require_units, require_working

# 2: estimators of scikit-learn that are known are described in config.json itself.
SCHEMA = 3
WEIGHTS = "weights.safetensors"
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "skops")


def save(model, path, *, unit=None, about=None) -> str:
    """Write a fitted model to one file, to keep it and to hand it on.

    The file is a zip: ``config.json`` says what the model is made of, ``weights.safetensors``
    holds its arrays, ``estimators.skops`` those estimators of scikit-learn that are not described
    in ``config.json``, and ``manifest.json`` the sha256 of each of them; its last bytes are the
    sha256 of all the others. It is written beside its place and then moved there: there is never
    half a file.

    Parameters
    ----------
    model : fitted estimator
        An `EDNNRegressor` or `EDNNCommittee`, or one within a Pipeline (behind a
        `GaussianRasterizer`, for one) or a `TransformedTargetRegressor`.
    path : str or Path
        An ending of one's own choice; this package writes ``.ednn``.
    unit : str, default=None
        Of what the model predicts, such as ``"eV"``; for those who read the file.
    about : dict, default=None
        Anything else that they should know, as JSON has it.

    Returns
    -------
    str
        The sha256 that the file ends with: a name for this model and no other.

    Raises
    ------
    ModelFileError
        Naming the part of the model that is no data, such as a function.
    MissingExtraError
        Where the model holds estimators of scikit-learn that skops has to write (other than linear
        models, kernel ridge, Gaussian processes, scalers, PCA, Nystroem and polynomial features)
        and it is not installed.

    See Also
    --------
    load : The way back.
    describe : What a file holds.

    Notes
    -----
    Stored is what pickling would keep, but for settings of running (paths, processes, devices,
    limits of memory), and for what follows from the rest: search trees of nearest neighbours,
    dense forms of networks, tables of tiles that were evaluated. Of a network the
    weights are kept, and neither the state of its optimizer nor its history: a loaded one
    predicts, and can be fitted anew.

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
        raise ModelFileError(f"A fitted model is saved, got {model!r:.80}.")
    check_is_fitted(model)
    if hasattr(model, "best_estimator_"):
        raise ModelFileError(
            f"A {type(model).__name__} is a search with all its results, which are not stored. "
            "Save what it found: its best_estimator_."
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
        "tried": _works(model, encode.asked),
        "model": description,
    }
    parts: dict[str, Any] = {_container.CONFIG: _as_json(config)}
    parts[WEIGHTS] = _arrays.writer(encode.arrays)
    if encode.estimators:
        parts[_estimators.PART] = _estimators.dump(encode.estimators, encode.places)
    return _container.write(path, parts)


def load(path, *, modules=None, device="cpu", max_bytes=None):
    """Read a model that `save` wrote.

    Every byte of the file is compared with its sha256 before any of it is looked at. Then objects
    are made of classes that this package names; nothing is unpickled, and no name in the file is
    imported. Settings of running have their defaults, whatever the file says. At last the model is
    tried on a small field.

    Parameters
    ----------
    path : str or Path
    modules : class, sequence of classes, or mapping of names to classes or functions, default=None
        What the model has of one's own: torch modules, nets and estimators, by the names of their
        classes. A function is called to build a network, where the file does not know with which
        settings that was done. They are code of yours, and are run.
    device : str, default="cpu"
        Where networks are put.
    max_bytes : int or None, default=None
        Most memory that reading may take besides the arrays, which are no larger than the file.
        None for the size of the file and 64 MiB.

    Returns
    -------
    estimator
        With the same predictions, to the last bit, with the same libraries on the same machine.

    Raises
    ------
    ModelFileError
        Where a byte differs from what was written, where the file was written by a later version,
        is a pickle, holds what `modules` should name, or does not describe a model that works; and
        where the path is that of a folder, a pipe, a device or a broken link.
    FileNotFoundError
    MissingExtraError
        Where a library is not installed that the model needs.

    Examples
    --------
    A damaged file is not read:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.files import load, save
    >>> fields = np.random.default_rng(0).normal(size=(20, 8))
    >>> path = Path(tempfile.mkdtemp()) / "sum.ednn"
    >>> digest = save(EDNNRegressor(Ridge()).fit(fields, fields.sum(axis=1)), path)
    >>> content = bytearray(path.read_bytes())
    >>> content[2000] ^= 1
    >>> size = path.write_bytes(content)
    >>> load(path)
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.ModelFileError: ... its digest is not that of its bytes; it is damaged...
    """
    modules = named(modules)
    with _container.opened(path, max_bytes) as container:
        config = _config(container)
        arrays = _arrays.read(container, WEIGHTS)
        estimators = []
        if _estimators.PART in container:
            estimators = _estimators.load(container)
        decode = Decoder(arrays, estimators, modules, device, container.budget)
        with needing(f"The model in {path}"):
            model = decode(config["model"])
        if not hasattr(model, "predict"):
            raise ModelFileError(f"it holds a {type(model).__name__}, which is no model")
        require_units(model)
        if config.get("tried", True):
            require_working(model, container.budget, decode.asked)
    return model


def describe(path, *, max_bytes=None) -> dict:
    """Return what a file holds; nothing of it is made or run.

    Parameters
    ----------
    path : str or Path
    max_bytes : int or None, default=None
        As in `load`.

    Returns
    -------
    dict
        ``schema``, ``digest`` and ``size`` of the file, its ``parts`` with their sizes and sha256,
        ``versions`` of the libraries that wrote it, ``units``, ``spacing`` of the pixels, a summary
        of the ``training``, ``about``, and the ``parameters`` of the model as text.

    Raises
    ------
    ModelFileError
        Where a byte differs from what was written, as in `load`.
    """
    from ._summary import parameters

    with _container.opened(path, max_bytes) as container:
        config = _config(container)
        found = {key: config.get(key) for key in ("schema", "versions", "units", "spacing")}
        found |= {"training": config.get("training"), "about": config.get("about")}
        found |= {"digest": container.digest, "size": container.size, "parts": container.parts}
        return {**found, "parameters": parameters(config["model"], container.budget)}


def _config(container) -> dict:
    config = container.json(_container.CONFIG)
    schema = config.get("schema") if isinstance(config, dict) else None
    if type(schema) is not int or schema < 1 or "model" not in config:
        raise ModelFileError(f"{container.path} cannot be read: {_container.CONFIG} is no model's.")
    if schema > SCHEMA:
        raise ModelFileError(
            f"{container.path} has schema {schema}, and this version of sk_ednn knows those up to "
            f"{SCHEMA}: install a newer one (pip install --upgrade sk-ednn)."
        )
    if WEIGHTS not in container:
        raise ModelFileError(f"{container.path} cannot be read: it has no part {WEIGHTS}.")
    return config


def _works(model, asked) -> bool:
    """Tell whether the trial that `load` makes of a model succeeds: if not, it is left out."""
    try:
        require_working(model, Unlimited(), asked)
    except Exception:  # a function in it may not be defined where it is tried
        return False
    return True


def _as_json(config) -> bytes:
    import json

    try:
        return json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"unit and about must be what JSON can hold: {error}.") from error


def _versions() -> dict:
    versions = {"python": platform.python_version(), "sk-ednn": _own_version()}
    for name in _LIBRARIES:
        if name in ("torch", "skorch") and name not in sys.modules:
            continue  # not used by this model
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            pass
    return versions


def _own_version() -> str:
    try:
        return version("sk-ednn")
    except PackageNotFoundError:
        return "unknown"
