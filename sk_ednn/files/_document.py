"""Convert fitted models to JSON and separate arrays, and back.

Values of JSON represent themselves. All others are mappings with their kind under the key ``"$"``.
Objects are created without calling their methods, and only of the classes listed here or passed to
`load`; names in files are never imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from .._utils.stacklevel import outside_package
from .._utils.stored import Stored, declared, stored_class
from .._utils.wording import with_article
from ..exceptions import ModelFileError
from . import _known
from ._arrays import storable
from ._classes import require_own_attributes, ufunc
from ._random import random_state
from ._runtime_parameters import completed, defaults, is_runtime_parameter, runtime_defaults

# Estimators of scikit-learn whose attributes are encoded here, since they contain ours.
_OF_SKLEARN = {
    "Pipeline": "sklearn.pipeline",
    "TransformedTargetRegressor": "sklearn.compose._target",
    "MultiOutputRegressor": "sklearn.multioutput",
    "GaussianProcessRegressor": "sklearn.gaussian_process._gpr",
}
_PLAIN = (type(None), bool, str)


class Encoder:
    """Convert a model to JSON values, arrays, and estimators of scikit-learn.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Arrays by their path in the model.
    estimators, places : list
        Estimators of scikit-learn, and their paths.
    has_user_code : bool
        Whether the model contains user-defined classes.
    """

    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}
        self.estimators: list[Any] = []
        self.places: list[str] = []
        self.has_user_code = False
        self._encoded: dict[int, tuple[Any, dict]] = {}

    def __call__(self, value, place="model"):
        """Return a value of the model as JSON values."""
        if isinstance(value, _PLAIN) or type(value) is int:
            return value
        if type(value) is float:
            return value if isfinite(value) else {"$": "float", "value": repr(value)}
        if type(value) is list:
            return [self(item, f"{place}.{k}") for k, item in enumerate(value)]
        # Encode shared objects once, above all large arrays.
        if id(value) not in self._encoded:
            self._encoded[id(value)] = (value, self._tagged(value, place))
        return self._encoded[id(value)][1]

    def _tagged(self, value, place) -> dict:
        if type(value) is tuple:
            return {"$": "tuple", "values": self(list(value), place)}
        if isinstance(value, dict) and type(value) is dict:
            pairs = [[self(k, place), self(v, f"{place}.{k}")] for k, v in value.items()]
            return {"$": "dict", "pairs": pairs}
        if isinstance(value, slice):
            return {"$": "slice", "values": self([value.start, value.stop, value.step], place)}
        if isinstance(value, Path):
            return {"$": "path", "value": str(value)}
        if isinstance(value, np.generic) and storable(np.asarray(value)):
            return {**self._array(np.asarray(value), place), "$": "scalar"}
        if type(value) is np.ndarray:
            return self._array(value, place)
        if sparse.issparse(value) and value.format == "csr":
            return {
                "$": "csr",
                "matrix": isinstance(value, sparse.spmatrix),
                "parts": self([value.data, value.indices, value.indptr], place),
                "shape": [int(n) for n in value.shape],
            }
        if _declaration(type(value)) is not None:
            state = value.__getstate__() if hasattr(value, "__getstate__") else vars(value)
            return self._object("object", value, state, place)
        if _of_torch(value):
            from ._networks import encode

            return encode(value, self, place)
        if isinstance(value, np.random.RandomState):
            return {"$": "random", "state": self(value.get_state(legacy=False), place)}
        if isinstance(value, np.ufunc):
            return {"$": "ufunc", "name": _name_of(value)}
        if _known.suits(value):
            stored = _known.stored(value)
            return self._object("sklearn", value, stored, place) | {"shown": repr(value)}
        if _of(value, "sklearn") and not isinstance(value, type):
            self.estimators.append(value)
            self.places.append(place)
            shown = {} if not hasattr(value, "get_params") else {"shown": repr(value)}
            return {"$": "estimator", "number": len(self.estimators) - 1, **shown}
        if isinstance(value, BaseEstimator):
            self.has_user_code = True
            return self._object("yours", value, vars(value), place)
        raise ModelFileError(
            f"{place} is {with_article(type(value).__name__)}, {value!r:.80}, which is not data "
            "and "
            "cannot be stored. Set it with set_params to a number, an array, an estimator, or to "
            "None if only fitting needs it; or pickle the model for your own use."
        )

    def _object(self, tag, value, state, place) -> dict:
        declaration = _declaration(type(value)) or Stored(type(value).__name__)
        derived = declaration.derived
        kept = {k: v for k, v in state.items() if k not in derived and not is_runtime_parameter(k)}
        kept.pop("_sklearn_version", None)
        for key in declaration.functions:
            if callable(kept.get(key)):
                del kept[key]
                warnings.warn(
                    f"{place}.{key} is a function, which cannot be stored. The loaded model makes "
                    "the same predictions, but refitting it would use the default.",
                    UserWarning,
                    stacklevel=outside_package(),
                )
        shown = place.removeprefix("model.")
        prefix = "" if place == "model" else f"{shown}."
        return {
            "$": tag,
            "class": declaration.name,
            "vars": {k: self(v, f"{prefix}{k}") for k, v in kept.items()},
        }

    def _array(self, array, place) -> dict:
        if array.dtype == object or array.dtype.kind == "U":
            return {
                "$": "strings" if array.dtype.kind == "U" else "objects",
                "shape": list(array.shape),
                "values": self(array.ravel().tolist(), place),
            }
        if not storable(array):
            raise ModelFileError(
                f"{place} is an array of type {array.dtype}, which cannot be stored. Convert it to "
                "numbers or strings."
            )
        name, k = place, 1
        while name in self.arrays:
            k += 1
            name = f"{place}.{k}"
        # The memory order affects the round-off of matrix products.
        by_columns = array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous
        self.arrays[name] = array.T if by_columns else array
        return {"$": "array", "name": name, **({"by_columns": True} if by_columns else {})}


class Decoder:
    """Convert JSON values back to a model.

    Parameters
    ----------
    arrays : dict of str to ndarray
    estimators : list
    modules : mapping of str to class or function
        User-defined classes, or functions that create their objects.
    device : str
        Device of networks.
    budget : Budget
        Memory for values that are larger than their text.
    """

    def __init__(self, arrays, estimators, modules, device, budget):
        self.arrays, self.estimators = arrays, estimators
        self.modules, self.device, self.budget = modules, device, budget
        self.by_columns: dict[str, np.ndarray] = {}
        # Whether user-defined code was used.
        self.has_user_code = False

    def __call__(self, node):
        """Return the value of a node."""
        if isinstance(node, list):
            return [self(item) for item in node]
        if not isinstance(node, dict):
            return node
        make = _MAKERS.get(node.get("$"))
        if make is None:
            raise ModelFileError(
                f"it contains a {node.get('$')!r}, which this version does not know"
            )
        return make(self, node)

    def vars(self, node, kind) -> dict:
        """Return the attributes in the node of an object of some class."""
        declaration = declared(kind)
        renamed = declaration.renamed if declaration is not None else {}
        nodes = {renamed.get(name, name): value for name, value in node["vars"].items()}
        names = [name for name in nodes if not is_runtime_parameter(name)]
        params = {*defaults(kind), *getattr(kind, "__dataclass_fields__", ())}
        require_own_attributes(kind, names, params)
        return {name: self(nodes[name]) for name in names}

    def own(self, name):
        """Return a user-defined class or function by its name."""
        if name not in self.modules:
            raise ModelFileError(
                f"it contains {with_article(name)}, which is not part of sk_ednn. Pass the class, "
                f"as load(path, modules=[{name}]), or a function, as modules={{{name!r}: function}}"
            )
        self.has_user_code = True
        return self.modules[name]


def _float(decoder, node):
    return {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[node["value"]]


def _array(decoder, node):
    name = node["name"]
    if not node.get("by_columns"):
        return decoder.arrays[name]
    # Attributes that shared an array share it again.
    return decoder.by_columns.setdefault(name, decoder.arrays[name].T)


def _strings(decoder, node):
    values = decoder(node["values"])
    if not all(isinstance(value, str) for value in values):
        raise ModelFileError("an array of strings contains something else")
    # All strings take the width of the longest, at four bytes per character.
    n_bytes = 4 * len(values) * max(map(len, values), default=0)
    decoder.budget.take(n_bytes, "an array of strings")
    return np.array(values, dtype=str).reshape(node["shape"])


def _objects(decoder, node):
    values = decoder(node["values"])
    decoder.budget.take(8 * len(values), "an array of objects")
    out = np.empty(len(values), dtype=object)
    for k, value in enumerate(values):
        out[k] = value
    return out.reshape(node["shape"])


def _csr(decoder, node):
    parts = decoder(node["parts"])
    # scipy may convert the indices to a narrower type.
    decoder.budget.take(sum(part.nbytes for part in parts), "a sparse matrix")
    kind = sparse.csr_matrix if node["matrix"] else sparse.csr_array
    matrix = kind(tuple(parts), shape=tuple(node["shape"]))
    matrix.check_format(full_check=True)  # compiled code trusts its indices
    return matrix


def _object(decoder, node):
    name = node["class"]
    kind = _class(name)
    if kind is None:
        raise ModelFileError(f"it contains {with_article(name)}, which this version does not know")
    obj = object.__new__(kind)
    # Defaults of runtime parameters, and of parameters newer than the file.
    obj.__dict__.update(completed(decoder.vars(node, kind), defaults(kind)))
    required = getattr(kind, "__dataclass_fields__", None)
    required = signature(kind).parameters if issubclass(kind, BaseEstimator) else required
    missing = set(required or ()) - set(vars(obj))
    if missing:
        raise ModelFileError(f"its {name} has no {min(missing)!r}")
    for name in _declaration(kind).derived:
        obj.__dict__[name] = None
    if hasattr(kind, "_parameter_constraints"):
        obj._validate_params()
    return obj


def _sklearn(decoder, node):
    kind = _known.kind(node["class"])
    return _known.made(kind, decoder.vars(node, kind))


def _yours(decoder, node):
    kind = decoder.own(node["class"])
    if not isinstance(kind, type):
        raise ModelFileError(f"modules[{node['class']!r}] must be the class itself, got {kind!r}")
    obj = object.__new__(kind)
    obj.__dict__.update(completed(decoder.vars(node, kind), runtime_defaults(kind)))
    return obj


def _of_networks(decoder, node):
    from ._networks import decode

    return decode(node, decoder)


_MAKERS = {
    "float": _float,
    "tuple": lambda decoder, node: tuple(decoder(node["values"])),
    "dict": lambda decoder, node: {decoder(k): decoder(v) for k, v in node["pairs"]},
    "slice": lambda decoder, node: slice(*decoder(node["values"])),
    "path": lambda decoder, node: Path(node["value"]),
    "scalar": lambda decoder, node: decoder.arrays[node["name"]][()],
    "array": _array,
    "strings": _strings,
    "objects": _objects,
    "csr": _csr,
    "random": lambda decoder, node: random_state(decoder(node["state"])),
    "ufunc": lambda decoder, node: ufunc(*node["name"].split(".")),
    "sklearn": _sklearn,
    "estimator": lambda decoder, node: decoder.estimators[node["number"]],
    "object": _object,
    "yours": _yours,
    "module": _of_networks,
    "layers": _of_networks,
    "atomic network": _of_networks,
    "your module": _of_networks,
    "net": _of_networks,
    "part": _of_networks,
    "class": _of_networks,
}


def _name_of(function) -> str:
    """Return the name of a ufunc of numpy or scipy.special."""
    for library in ("numpy", "scipy"):
        try:
            if ufunc(library, function.__name__) is function:
                return f"{library}.{function.__name__}"
        except ValueError:
            continue
    raise ModelFileError(
        f"{function!r} cannot be stored, since it is not a function of numpy or scipy.special."
    )


def named(modules) -> dict:
    """Return user-defined classes and functions by their names in files.

    Raises
    ------
    TypeError
        If they are neither a mapping nor classes.
    """
    if modules is None:
        return {}
    if isinstance(modules, Mapping):
        return dict(modules)
    modules = [modules] if isinstance(modules, type) else list(modules)
    if not all(isinstance(module, type) for module in modules):
        raise TypeError(
            "modules must be classes, or a mapping from names of classes to classes or functions; "
            f"got {modules!r}."
        )
    return {module.__name__: module for module in modules}


def _class(name) -> type | None:
    if name in _OF_SKLEARN:
        return getattr(import_module(_OF_SKLEARN[name]), name)
    return stored_class(name)


def _declaration(kind) -> Stored | None:
    """Return how objects of a class are written, None if their attributes are not encoded here."""
    name = kind.__name__
    if name in _OF_SKLEARN and kind.__module__ == _OF_SKLEARN[name]:
        return Stored(name)
    return declared(kind)


def _of(value, library) -> bool:
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__.partition(".")[0] == library


def _of_torch(value) -> bool:
    import sys

    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if isinstance(value, type):
        return issubclass(value, torch.nn.Module) or _of(value, "torch") or _of(value, "skorch")
    return (
        isinstance(value, torch.nn.Module)
        or _of(value, "skorch")
        or ("skorch" in sys.modules and isinstance(value, sys.modules["skorch"].NeuralNet))
    )
