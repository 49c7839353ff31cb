"""A safe reader of the skops format, for data of listed types only.

skops creates objects without running code in the file, but it trusts the sizes in arrays and trees
and allocates as much memory as a file asks for. Compiled code of scikit-learn then trusts their
indices. This reader checks each node of the schema before it creates its object.
"""

from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from math import prod

import numpy as np
from sklearn.utils import Bunch

from .._utils.wording import with_article
from ._classes import estimator_class, loss_class, number_type, require_own_attributes, ufunc
from ._container import read_json
from ._fitted_attributes import require_tree
from ._random import random_state
from ._runtime_parameters import completed, defaults, is_runtime_parameter, runtime_defaults

SCHEMA = "schema.json"
_MIN_PROTOCOL = 2
_MAX_AXES = 32
# The other axes of an empty array must not be longer: estimators create arrays of the same shape.
_MAX_EMPTY_LENGTH = 1 << 24
_BYTES_PER_OBJECT = 600  # of an estimator without its attributes
_BYTES_PER_ARRAY = 200


def read(part, budget, size):
    """Return the objects in a part in the skops format.

    Parameters
    ----------
    part : binary file
    budget : Budget
    size : int
        Size of the part, in bytes.

    Raises
    ------
    Exception
        An exception of any class, if the part is not as skops would write it.
    """
    with zipfile.ZipFile(part) as archive:
        infos = archive.infolist()
        budget.take(1000 * len(infos), "the directory of its estimators")
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise ValueError("it has two parts with one name")
        if any(info.compress_type or info.file_size != info.compress_size for info in infos):
            raise ValueError("it is compressed")
        if sum(info.file_size for info in infos) > size:
            raise ValueError("its parts are larger than the file")
        with budget.reserved(archive.getinfo(SCHEMA).file_size, SCHEMA):
            schema = read_json(archive.read(SCHEMA), SCHEMA, budget)
        protocol = schema["protocol"]
        if type(protocol) is not int or protocol < _MIN_PROTOCOL:
            raise ValueError(f"it has the skops protocol {protocol!r}, which is not supported")
        return _Reader(archive, budget)(schema)


class _Reader:
    """Create the objects of nodes, each once."""

    def __init__(self, archive, budget):
        self.archive, self.budget = archive, budget
        self._objects: dict = {}
        self._arrays: dict = {}

    def __call__(self, node):
        """Return the object of a node."""
        number = node.get("__id__")
        if number is not None and type(number) is not int:
            raise ValueError("the id of a node is not an integer")
        if number in self._objects:
            return self._objects[number]
        kind = node["__loader__"]
        if kind not in _NODES:
            name = f"{node.get('__module__')}.{node.get('__class__')}"
            raise ValueError(f"{name} needs the loader {kind}, which is not allowed")
        obj = _NODES[kind](self, node)
        if number:
            self._objects[number] = obj
        return obj

    def array(self, name) -> np.ndarray:
        """Return an array, which is read only once."""
        if name not in self._arrays:
            info = self.archive.getinfo(name)
            with self.archive.open(info) as file:
                n_bytes = _size_of_array(file, info)
            self.budget.take(n_bytes + _BYTES_PER_ARRAY, f"the array {name}")
            with self.archive.open(info) as file:
                self._arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
        return self._arrays[name]


def _size_of_array(file, info) -> int:
    """Return the size of an array; raise if its header and its bytes do not agree."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"{info.filename} has the unsupported npy version {version}")
    shape, _, dtype = readers[version](file)
    if len(shape) > _MAX_AXES or min(shape, default=1) < 0:
        raise ValueError(f"{info.filename} has an invalid shape")
    n_bytes = dtype.itemsize * prod(shape)
    if dtype.hasobject or dtype.itemsize == 0 or n_bytes != info.file_size - file.tell():
        raise ValueError(f"the size of {info.filename} does not match its header")
    if n_bytes == 0 and max(shape, default=0) > _MAX_EMPTY_LENGTH:
        raise ValueError(f"{info.filename} is empty, but has an axis that is too long")
    return n_bytes


# --- values -----------------------------------------------------------------------------------


def _json(reader, node):
    content = node["content"]
    if not isinstance(content, str):
        raise ValueError("a value is not text")
    if content[:1] in "[{":
        raise ValueError("a value is not a scalar")
    reader.budget.take(4 * len(content), "a text")
    value = json.loads(content)
    if value is not None and type(value) not in (bool, int, float, str):
        raise ValueError("a value is not a scalar")
    return value


def _list(reader, node):
    _require_class(node, "list")
    return [reader(item) for item in _items(node["content"])]


def _tuple(reader, node):
    _require_class(node, "tuple")
    return tuple(reader(item) for item in _items(node["content"]))


def _items(content):
    if not isinstance(content, list):
        raise ValueError("items are not in a list")
    return content


def _dict(reader, node):
    _require_class(node, "dict", "OrderedDict", "Bunch")
    kinds = node["key_types"]["content"]
    content = node["content"]
    if len(kinds) != len(content):
        raise ValueError("keys of a mapping and their types do not agree")
    mapping = {"OrderedDict": OrderedDict, "Bunch": Bunch}.get(node["__class__"], dict)()
    for kind, (key, value) in zip(kinds, content.items(), strict=True):
        mapping[_key(kind, key)] = reader(value)
    return mapping


def _key(node, key):
    kind = number_type(node["__module__"], node["__class__"])
    if kind is bool:
        return {"true": True, "false": False}[key.lower()]
    if issubclass(kind, np.generic) and not issubclass(kind, (np.number, np.bool_, np.str_)):
        raise ValueError(f"a mapping has keys of the type {kind.__name__}")
    return kind(key)


def _slice(reader, node):
    limits = [node["content"][name] for name in ("start", "stop", "step")]
    if not all(limit is None or type(limit) is int for limit in limits):
        raise ValueError("the limits of a slice are not integers")
    return slice(*limits)


def _type(reader, node):
    return number_type(node["__module__"], node["__class__"])


def _function(reader, node):
    return ufunc(node["__module__"], node["__class__"])


def _require_class(node, *names):
    if node["__class__"] not in names:
        raise ValueError(f"it contains {node.get('__module__')}.{node['__class__']}")


# --- arrays -----------------------------------------------------------------------------------


def _array(reader, node):
    if node["type"] == "json":
        return _object_array(reader, node)
    if node["type"] != "numpy":
        raise ValueError(f"an array has the type {node['type']!r}")
    array = reader.array(node["file"])
    name = node["__class__"]
    if name == "ndarray":
        return array
    kind = number_type(node["__module__"], name)
    if array.shape != () or array.dtype.type is not kind:
        raise ValueError(f"a scalar is no {name}")
    return array[()]


def _object_array(reader, node):
    _require_class(node, "ndarray")
    shape = reader(node["shape"])
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array of objects has no shape")
    items = [{"__loader__": "ListNode", "content": node["content"]}]
    for length in shape:
        nested = []
        for item in items:
            if item.get("__loader__") != "ListNode" or len(item["content"]) != length:
                raise ValueError("an array of objects does not match its shape")
            nested.extend(item["content"])
        items = nested
    reader.budget.take(8 * len(items) + _BYTES_PER_ARRAY, "an array of objects")
    flat = np.empty(len(items), dtype=object)
    for k, item in enumerate(items):
        flat[k] = reader(item)
    return flat.reshape(shape)


# --- random numbers ---------------------------------------------------------------------------


def _random_state(reader, node):
    return random_state(reader(node["content"]))


def _generator(reader, node):
    state = reader(node["content"]["bit_generator"])
    seeds = reader(node["content"]["seed_seq"])
    if state["bit_generator"] != "PCG64" or seeds["pool_size"] != 4:
        raise ValueError("a random generator is of an unsupported kind")
    sequence = np.random.SeedSequence(
        seeds["entropy"],
        spawn_key=tuple(seeds["spawn_key"]),
        n_children_spawned=seeds["n_children_spawned"],
    )
    bits = np.random.PCG64(sequence)
    bits.state = state
    return np.random.Generator(bits)


# --- objects ----------------------------------------------------------------------------------


def _object(reader, node):
    kind = estimator_class(node["__module__"], node["__class__"])
    reader.budget.take(_BYTES_PER_OBJECT, with_article(kind.__name__))
    obj = object.__new__(kind)
    content = node.get("content")
    if content is None or (content["__loader__"] == "JsonNode" and reader(content) is None):
        return obj
    _require_class(content, "dict")
    running = runtime_defaults(kind)
    # In the original order, so that equal models give equal files.
    attributes = {
        key: running[key] if key in running else reader(value)
        for key, value in content["content"].items()
        if key in running or not is_runtime_parameter(key)
    }
    version = attributes.pop("_sklearn_version", None)
    if not isinstance(version, (str, type(None))):
        raise ValueError(f"{version!r:.20} is not a version of scikit-learn")
    require_own_attributes(kind, attributes, defaults(kind))
    attributes = completed(attributes, running)
    if hasattr(kind, "__setstate__"):
        versions = {} if version is None else {"_sklearn_version": version}
        obj.__setstate__(attributes | versions)
    else:
        obj.__dict__.update(attributes)
    return obj


def _loss(reader, node):
    kind = loss_class(node["__module__"], node["__class__"])
    args = reader(node["__reduce__"]["args"])
    if reader(node["content"]) or not all(type(arg) in (int, float) for arg in args):
        raise ValueError(f"the parameters of {with_article(kind.__name__)} are not all numbers")
    return kind(*args)


def _tree(reader, node):
    from sklearn.tree._tree import Tree

    if (node["__module__"], node["__class__"]) != ("sklearn.tree._tree", "Tree"):
        raise ValueError(
            f"it contains {node['__module__']}.{node['__class__']}, which is not a tree"
        )
    args, state = reader(node["__reduce__"]["args"]), reader(node["content"])
    n_bytes = require_tree(*args, state)
    reader.budget.take(n_bytes + _BYTES_PER_OBJECT, "a tree")
    tree = Tree(*args)
    tree.__setstate__(state)
    return tree


_NODES = {
    "DictNode": _dict,
    "FunctionNode": _function,
    "JsonNode": _json,
    "ListNode": _list,
    "LossNode": _loss,
    "NdArrayNode": _array,
    "ObjectNode": _object,
    "RandomGeneratorNode": _generator,
    "RandomStateNode": _random_state,
    "SliceNode": _slice,
    "TreeNode": _tree,
    "TupleNode": _tuple,
    "TypeNode": _type,
}
