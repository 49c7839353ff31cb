"""scikit-learn's estimators in a file, in the format of skops: no pickle, and of listed types.

skops writes them, since it knows how some two hundred classes are put together. They are read here
(`_skops`), so that nothing is made without a look, and what compiled code would follow is checked
by type (`_checks`). What most models consist of does not come here at all; see `_known`.
"""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile

import numpy as np

from .._utils.optional import needing
from ..exceptions import ModelFileError
from . import _skops
from ._budget import Unlimited
from ._checks import inner_values, is_estimator, require_safe
from ._container import reason
from ._running import running_defaults

PART = "estimators.skops"


def library():
    """Return skops.io, or say what to install."""
    with needing("A file with these estimators of scikit-learn"):
        import skops.io
    return skops.io


def dump(estimators: list, places: list[str]) -> bytes:
    """Return estimators as the content of a part.

    Raises
    ------
    ModelFileError
        Naming the place in the model of one that would not be loaded.
    """
    skops = library()
    stored = [_Stored()(each) for each in estimators]
    try:
        return _readable(skops, stored)
    except Exception:  # skops raises what it meets: one by one, to say which of them it is
        for estimator, place in zip(stored, places, strict=True):
            try:
                _readable(skops, estimator)
            except Exception as error:
                raise ModelFileError(
                    f"{place}, a {type(estimator).__name__}, cannot be stored: {error}. Give it "
                    "something that is data (a class of scikit-learn, arrays, numbers), or pickle "
                    "the model for yourself alone: opening a pickle runs what is in it."
                ) from error
        raise


def _readable(skops, stored) -> bytes:
    """Return what skops makes of something, or raise where it would not be read."""
    content = _compact(skops.dumps(stored))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _skops.read(io.BytesIO(content), Unlimited(), len(content))
    return content


def _compact(content) -> bytes:
    """Return a skops file without the white space of its description, half of its length."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        # Named by numbers of their order: skops takes addresses in memory, never the same again.
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
        return [_renamed(each, names, ids) for each in node]
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
    """Estimators as they are stored: without settings of running, and what is made again."""

    def __init__(self):
        self._known: dict = {}

    def __call__(self, value):
        """Return a value, or a copy of it where anything within it is stored otherwise."""
        if isinstance(value, (str, bytes, int, float, type(None), type)):
            return value
        if id(value) not in self._known:
            # With the value itself, so that no other gets its number meanwhile.
            self._known[id(value)] = (value, self._changed(value))
        return self._known[id(value)][1]

    def _changed(self, value):
        old = inner_values(value)
        new = [self(each) for each in old]
        same = all(one is other for one, other in zip(old, new, strict=True))
        if is_estimator(value):
            changes = {
                name: default
                for name, default in running_defaults(type(value)).items()
                if name in vars(value) and vars(value)[name] is not default
            }
            # The search tree of neighbours is made of their places.
            if getattr(value, "_tree", None) is not None and hasattr(value, "_fit_X"):
                changes["_tree"] = None
            if same and not changes:
                return value
            made = copy.copy(value)
            made.__dict__.update(dict(zip(vars(value), new, strict=True)) | changes)
            return made
        if same:
            return value
        if isinstance(value, dict):
            n = len(value)
            return type(value)(zip(new[:n], new[n:], strict=True))
        if isinstance(value, np.ndarray):
            made = np.empty(len(new), dtype=object)
            for k, each in enumerate(new):
                made[k] = each
            return made.reshape(value.shape)
        if type(value) in (list, tuple):
            return type(value)(new)
        return value


def load(container) -> list:
    """Return the estimators of a file.

    Raises
    ------
    ModelFileError
        Where it holds anything but data of the types that are listed.
    """
    budget = container.budget
    with container.part(PART) as part, warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            estimators = _skops.read(part, budget, container.parts[PART]["size"])
            if type(estimators) is not list:
                raise ValueError("it holds no list of estimators")
            require_safe(estimators, budget)
        except (ModelFileError, ImportError, Warning):
            raise
        except Exception as error:  # whatever is wrong in it
            raise ModelFileError(
                f"{container.path} cannot be read: {PART}: {reason(error)}."
            ) from error
    return estimators
