"""Load and describe model files, without running any code in them."""

from __future__ import annotations

from .._utils.optional import needing
from .._utils.wording import with_article
from ..exceptions import ModelFileError
from . import _arrays, _container, _estimators
from ._document import Decoder, named
from ._parts import WEIGHTS
from ._schema import require_known_schema
from ._trial import require_units, require_working


def load(path, *, modules=None, device="cpu", max_bytes=None):
    """Read a model written by `save`.

    First, all bytes of the file are verified against its sha256. Then objects are created, only of
    classes that this package lists; nothing is unpickled, and no name in the file is imported.
    Runtime parameters get their defaults, whatever the file contains. Finally, the model predicts a
    small field as a test.

    Parameters
    ----------
    path : str or Path
    modules : class, sequence of classes, or mapping of names to classes or functions, default=None
        User-defined classes in the model: torch modules, nets and estimators. Use a mapping from
        the name of a class to a function that builds the network if the file lacks its parameters.
        This is your code, and it is run.
    device : str, default="cpu"
        Device of networks.
    max_bytes : int or None, default=None
        Limit of the memory for reading, besides the arrays, which are not larger than the file.
        None for the size of the file plus 64 MiB.

    Returns
    -------
    estimator
        The predictions are identical, bit by bit, with the same libraries on the same machine.

    Raises
    ------
    ModelFileError
        If the file is damaged, was written by a later version, is a pickle, contains classes that
        are not passed in `modules`, or does not describe a working model; or if the path is a
        folder, a pipe, a device or a broken link.
    FileNotFoundError
    MissingExtraError
        If a library that the model needs is not installed.

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
    sk_ednn.exceptions.ModelFileError: ... its sha256 does not match its bytes; it is damaged...
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
            raise ModelFileError(
                f"it contains {with_article(type(model).__name__)}, which is not a model"
            )
        require_units(model)
        require_working(model, container.budget, decode.has_user_code)
    return model


def describe(path, *, max_bytes=None) -> dict:
    """Summarise a model file, without creating or running anything in it.

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
        If the file is damaged, as in `load`.
    """
    from ._summary import parameters

    with _container.opened(path, max_bytes) as container:
        config = _config(container)
        keys = ("schema", "versions", "units", "spacing", "training", "about")
        summary = {key: config.get(key) for key in keys}
        summary |= {"digest": container.digest, "size": container.size, "parts": container.parts}
        return {**summary, "parameters": parameters(config["model"], container.budget)}


def _config(container) -> dict:
    config = container.json(_container.CONFIG)
    schema = config.get("schema") if isinstance(config, dict) else None
    if type(schema) is not int or schema < 1 or "model" not in config:
        raise ModelFileError(
            f"{container.path} cannot be read: {_container.CONFIG} describes no model."
        )
    require_known_schema(container.path, schema)
    if WEIGHTS not in container:
        raise ModelFileError(f"{container.path} cannot be read: it has no part {WEIGHTS}.")
    return config
