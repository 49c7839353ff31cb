"""Store estimators of scikit-learn in the skops format: without pickle, of listed types only.

skops writes them, since it knows the attributes of some two hundred classes. They are read by
`_skops`, which checks each value before it creates it, and by `_fitted_attributes`, which checks
what compiled code would trust. The estimators of most models do not need skops; see `_known`.
"""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile

import numpy as np

from .._utils.optional import needing
from .._utils.wording import with_article
from ..exceptions import ModelFileError
from . import _skops
from ._budget import Unlimited
from ._container import reason
from ._fitted_attributes import inner_values, is_estimator, require_safe
from ._runtime_parameters import runtime_defaults

PART = "estimators.skops"


def library():
    """Return skops.io, or raise MissingExtraError."""
    with needing("A file with these estimators of scikit-learn"):
        import skops.io
    return skops.io


def dump(estimators: list, places: list[str]) -> bytes:
    """Return the content of a part with estimators.

    Raises
    ------
    ModelFileError
        If one of them could not be loaded; the message gives its path in the model.
    """
    skops = library()
    stored = [_Stored()(estimator) for estimator in estimators]
    try:
        return _readable(skops, stored)
    except Exception:  # of any class. Try one by one, to name the estimator.
        for estimator, place in zip(stored, places, strict=True):
            try:
                _readable(skops, estimator)
            except Exception as error:
                raise ModelFileError(
                    f"{place}, {with_article(type(estimator).__name__)}, cannot be stored: "
                    f"{error}. Use only data in it (estimators of scikit-learn, arrays, numbers), "
                    "or pickle the model for your own use; opening a pickle runs code in it."
                ) from error
        raise


def _readable(skops, stored) -> bytes:
    """Return objects in the skops format; raise if they could not be read back."""
    content = _compact(skops.dumps(stored))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _skops.read(io.BytesIO(content), Unlimited(), len(content))
    return content


def _compact(content) -> bytes:
    """Return a skops file without the white space of its schema, half of its length."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        # Numbered in order: the names of skops are memory addresses, which are not reproducible.
        arrays = [name for name in old.namelist() if name != _skops.SCHEMA]
        names = {name: f"{k}.npy" for k, name in enumerate(arrays)}
        schema = _renamed(json.loads(old.read(_skops.SCHEMA)), names, {})
        entry = zipfile.ZipInfo(_skops.SCHEMA, (1980, 1, 1, 0, 0, 0))
        new.writestr(entry, json.dumps(schema, separators=(",", ":")))
        for name, number in names.items():
            entry = zipfile.ZipInfo(number, (1980, 1, 1, 0, 0, 0))
            new.writestr(entry, old.read(name))
    return out.getvalue()


def _renamed(node, names, ids):
    if isinstance(node, list):
        return [_renamed(item, names, ids) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _renamed(value, names, ids) for key, value in node.items()}
    if "__loader__" in node:
        if "__id__" in node:
            node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
        if node.get("file") in names:
            node["file"] = names[node["file"]]
    return node


class _Stored:
    """Prepare estimators for storage: reset runtime parameters, and drop derived attributes."""

    def __init__(self):
        self._prepared: dict = {}

    def __call__(self, value):
        """Return a value, or a changed copy of it."""
        if isinstance(value, (str, bytes, int, float, type(None), type)):
            return value
        if id(value) not in self._prepared:
            # Keep a reference to the value, so that its id is not reused.
            self._prepared[id(value)] = (value, self._changed(value))
        return self._prepared[id(value)][1]

    def _changed(self, value):
        old = inner_values(value)
        new = [self(item) for item in old]
        same = all(before is after for before, after in zip(old, new, strict=True))
        if is_estimator(value):
            changes = {
                name: default
                for name, default in runtime_defaults(type(value)).items()
                if name in vars(value) and vars(value)[name] is not default
            }
            # The search tree of neighbours is rebuilt from their samples.
            if getattr(value, "_tree", None) is not None and hasattr(value, "_fit_X"):
                changes["_tree"] = None
            if same and not changes:
                return value
            changed = copy.copy(value)
            changed.__dict__.update(dict(zip(vars(value), new, strict=True)) | changes)
            return changed
        if same:
            return value
        if isinstance(value, dict):
            n = len(value)
            return type(value)(zip(new[:n], new[n:], strict=True))
        if isinstance(value, np.ndarray):
            items = np.empty(len(new), dtype=object)
            for k, item in enumerate(new):
                items[k] = item
            return items.reshape(value.shape)
        if type(value) in (list, tuple):
            return type(value)(new)
        return value


def load(container) -> list:
    """Return the estimators of a file.

    Raises
    ------
    ModelFileError
        If it contains anything but data of the listed types.
    """
    budget = container.budget
    with container.part(PART) as part, warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            estimators = _skops.read(part, budget, container.parts[PART]["size"])
            if type(estimators) is not list:
                raise ValueError("it contains no list of estimators")
            require_safe(estimators, budget)
        except (ModelFileError, ImportError, Warning):
            raise
        except Exception as error:  # of any class, for a damaged part
            raise ModelFileError(
                f"{container.path} cannot be read: {PART}: {reason(error)}."
            ) from error
    return estimators
