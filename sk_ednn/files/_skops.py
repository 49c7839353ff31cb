"""A reader of what skops writes: data of types that are listed, and nothing without a look.

skops makes objects without running code of the file, but believes what arrays and trees say of
themselves, and takes as much memory as a file asks for. Compiled code of scikit-learn then follows
their numbers. Here each node of the description is checked before anything is made of it.
"""

from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from math import prod

import numpy as np
from sklearn.utils import Bunch

from ._checks import require_tree
from ._classes import estimator_class, loss_class, number_type, require_own_attributes, ufunc
from ._container import read_json
from ._random import random_state
from ._running import completed, defaults, is_running, running_defaults

SCHEMA = "schema.json"
_LEAST_PROTOCOL = 2
_MOST_AXES = 32
# An array without elements may not be long along its other axes either: others are made like it.
_LONGEST_EMPTY = 1 << 24
_BYTES_PER_OBJECT = 600  # of an estimator, besides the values it holds
_BYTES_PER_ARRAY = 200


def read(part, budget, size):
    """Return what a part holds, in the format of skops.

    Parameters
    ----------
    part : binary file
    budget : Budget
    size : int
        Of the part, in bytes.

    Raises
    ------
    Exception
        Of any kind, where it is not what skops writes of data.
    """
    with zipfile.ZipFile(part) as archive:
        infos = archive.infolist()
        budget.take(1000 * len(infos), "the directory of its estimators")
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise ValueError("it has two parts of one name")
        if any(info.compress_type or info.file_size != info.compress_size for info in infos):
            raise ValueError("it is compressed")
        if sum(info.file_size for info in infos) > size:
            raise ValueError("its parts are larger than it is")
        with budget.held(archive.getinfo(SCHEMA).file_size, SCHEMA):
            schema = read_json(archive.read(SCHEMA), SCHEMA, budget)
        protocol = schema["protocol"]
        if type(protocol) is not int or protocol < _LEAST_PROTOCOL:
            raise ValueError(f"it is of skops' protocol {protocol!r}, which is not known")
        return _Reader(archive, budget)(schema)


class _Reader:
    """Make what nodes stand for, each once."""

    def __init__(self, archive, budget):
        self.archive, self.budget = archive, budget
        self._made: dict = {}
        self._arrays: dict = {}

    def __call__(self, node):
        """Return what a node stands for."""
        number = node.get("__id__")
        if number is not None and type(number) is not int:
            raise ValueError("a node has no number")
        if number in self._made:
            return self._made[number]
        kind = node["__loader__"]
        if kind not in _NODES:
            where = f"{node.get('__module__')}.{node.get('__class__')}"
            raise ValueError(f"{where} would be made by {kind}")
        made = _NODES[kind](self, node)
        if number:
            self._made[number] = made
        return made

    def array(self, name) -> np.ndarray:
        """Return an array, which is read once however often it is named."""
        if name not in self._arrays:
            info = self.archive.getinfo(name)
            with self.archive.open(info) as file:
                n_bytes = _size_of_array(file, info)
            self.budget.take(n_bytes + _BYTES_PER_ARRAY, f"the array {name}")
            with self.archive.open(info) as file:
                self._arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
        return self._arrays[name]


def _size_of_array(file, info) -> int:
    """Raise where an array, which is made before it is read, would not be as large as its bytes."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"{info.filename} is of numpy's format {version}")
    shape, _, dtype = read[version](file)
    if len(shape) > _MOST_AXES or min(shape, default=1) < 0:
        raise ValueError(f"{info.filename} is not of a shape that arrays have")
    n_bytes = dtype.itemsize * prod(shape)
    if dtype.hasobject or dtype.itemsize == 0 or n_bytes != info.file_size - file.tell():
        raise ValueError(f"{info.filename} is not as large as it says")
    if n_bytes == 0 and max(shape, default=0) > _LONGEST_EMPTY:
        raise ValueError(f"{info.filename} is empty, and longer than there are arrays")
    return n_bytes


# --- values -----------------------------------------------------------------------------------


def _json(reader, node):
    content = node["content"]
    if not isinstance(content, str):
        raise ValueError("a value is not written as text")
    if content[:1] in "[{":
        raise ValueError("a value is not a single one")
    reader.budget.take(4 * len(content), "a text")
    value = json.loads(content)
    if value is not None and type(value) not in (bool, int, float, str):
        raise ValueError("a value is not a single one")
    return value


def _list(reader, node):
    _require_class(node, "list")
    return [reader(each) for each in _items(node["content"])]


def _tuple(reader, node):
    _require_class(node, "tuple")
    return tuple(reader(each) for each in _items(node["content"]))


def _items(content):
    if not isinstance(content, list):
        raise ValueError("items are not in a list")
    return content


def _dict(reader, node):
    _require_class(node, "dict", "OrderedDict", "Bunch")
    kinds = node["key_types"]["content"]
    content = node["content"]
    if len(kinds) != len(content):
        raise ValueError("names of a mapping and their types do not agree")
    made = {"OrderedDict": OrderedDict, "Bunch": Bunch}.get(node["__class__"], dict)()
    for kind, (key, value) in zip(kinds, content.items(), strict=True):
        made[_key(kind, key)] = reader(value)
    return made


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
        raise ValueError("a slice is not between whole numbers")
    return slice(*limits)


def _type(reader, node):
    return number_type(node["__module__"], node["__class__"])


def _function(reader, node):
    return ufunc(node["__module__"], node["__class__"])


def _require_class(node, *names):
    if node["__class__"] not in names:
        raise ValueError(f"it holds {node.get('__module__')}.{node['__class__']}")


# --- arrays -----------------------------------------------------------------------------------


def _array(reader, node):
    if node["type"] == "json":
        return _object_array(reader, node)
    if node["type"] != "numpy":
        raise ValueError(f"an array is written as {node['type']!r}")
    array = reader.array(node["file"])
    name = node["__class__"]
    if name == "ndarray":
        return array
    kind = number_type(node["__module__"], name)
    if array.shape != () or array.dtype.type is not kind:
        raise ValueError(f"a number is no {name}")
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
                raise ValueError("an array of objects is not of its shape")
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
        raise ValueError("a source of random numbers is not of the kind that is known")
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
    reader.budget.take(_BYTES_PER_OBJECT, f"a {kind.__name__}")
    made = object.__new__(kind)
    content = node.get("content")
    if content is None or (content["__loader__"] == "JsonNode" and reader(content) is None):
        return made
    _require_class(content, "dict")
    running = running_defaults(kind)
    # In their place, so that equal models give equal files.
    attributes = {
        key: running[key] if key in running else reader(value)
        for key, value in content["content"].items()
        if key in running or not is_running(key)
    }
    version = attributes.pop("_sklearn_version", None)
    if not isinstance(version, (str, type(None))):
        raise ValueError(f"it is of the version {version!r:.20} of scikit-learn")
    require_own_attributes(kind, attributes, defaults(kind))
    attributes = completed(attributes, running)
    if hasattr(kind, "__setstate__"):
        known = {} if version is None else {"_sklearn_version": version}
        made.__setstate__(attributes | known)
    else:
        made.__dict__.update(attributes)
    return made


def _loss(reader, node):
    kind = loss_class(node["__module__"], node["__class__"])
    args = reader(node["__reduce__"]["args"])
    if reader(node["content"]) or not all(type(arg) in (int, float) for arg in args):
        raise ValueError(f"a {kind.__name__} is made of more than numbers")
    return kind(*args)


def _tree(reader, node):
    from sklearn.tree._tree import Tree

    if (node["__module__"], node["__class__"]) != ("sklearn.tree._tree", "Tree"):
        raise ValueError(f"it holds {node['__module__']}.{node['__class__']}, which is no tree")
    args, state = reader(node["__reduce__"]["args"]), reader(node["content"])
    n_bytes = require_tree(*args, state)
    reader.budget.take(n_bytes + _BYTES_PER_OBJECT, "a tree")
    made = Tree(*args)
    made.__setstate__(state)
    return made


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
