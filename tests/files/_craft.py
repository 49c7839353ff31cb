"""Files that someone made: whole by their hashes, and with something in them that does not fit.

Run as a program, with a folder of such files: each is loaded, and asked for predictions where that
is possible. Compiled code that follows a wrong number may end the process.
"""

import copy
import io
import json
import sys
import warnings
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _container, load

ESTIMATORS = "estimators.skops"
NUMBERS = (0, -1, 7, 10**6, 2.5, "text", None, True)
INDICES = (-7, 0, 3, 10**6)


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def crafted(parts):
    """Yield what is changed, and what makes the parts, of a file with estimators of skops."""
    members = members_of(parts[ESTIMATORS])
    for what, make in changed_members(members):
        yield what, lambda make=make: parts | {ESTIMATORS: zipped(members | make())}


def changed_members(members):
    for name in members:
        if name.endswith(".npy"):
            for what, array in changed_arrays(np.load(io.BytesIO(members[name]))):
                yield f"{name} {what}", lambda name=name, array=array: {name: saved(array)}
    schema = json.loads(members["schema.json"])
    for what, change in changed_schemas(schema):

        def make(change=change):
            changed = copy.deepcopy(schema)
            change(changed)
            return {"schema.json": json.dumps(unmemoised(changed)).encode()}

        yield what, make


def saved(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def changed_arrays(array):
    if array.dtype.names:
        for field in array.dtype.names:
            for value in (*INDICES, 1):
                changed = array.copy()
                with np.errstate(all="ignore"):
                    changed[field][:1] = np.array(value).astype(array.dtype[field])
                yield f"{field}={value}", changed
    elif array.dtype.kind in "iu" and array.size:
        for value in INDICES:
            changed = array.copy()
            changed.flat[0] = np.array(value).astype(array.dtype)
            yield f"first={value}", changed
    if array.ndim:
        yield "half", array[: len(array) // 2]
        yield "empty", array[:0]
        yield "twice", np.concatenate([array, array])
        yield "one column", array.reshape(len(array), -1)[:, :1] if array.size else array
    if array.dtype.kind == "f":
        yield "float32", array.astype(np.float32)
        yield "whole", array.astype(np.int64)
        yield "nothing", np.full_like(array, np.nan)


def changed_schemas(schema):
    """Leave out, add, nest and retype each attribute of each object that is described."""
    for path in objects_of(schema):
        attributes = at(schema, path)["content"]["content"]
        where = at(schema, path)["__class__"]
        for key, node in list(attributes.items()):
            yield f"{where}.{key} left out", partial(leave_out, path, key)
            yield f"{where}.{key} nested", partial(put, path, key, listed(node))
            values = NUMBERS if node["__loader__"] == "JsonNode" else (None, 0)
            for value in values:
                yield f"{where}.{key}={value!r}", partial(put, path, key, plain(value))
            for other, its in attributes.items():
                if other != key and its["__loader__"] == node["__loader__"] != "JsonNode":
                    yield f"{where}.{key} is {other}", partial(put, path, key, its)
        for key in ("predict", "_impl", "_in_fit", "tree_", "_tree", "_validate_X_predict"):
            yield f"{where}.{key} added", partial(put, path, key, plain(1))
    for path in trees_of(schema):
        arguments = (*path, "__reduce__", "args", "content")
        for k, value in ((0, 1), (0, 10**6), (2, 2), (2, 10**6), (2, 0)):
            yield f"Tree argument {k}={value}", partial(set_at, arguments, k, plain(value))
        for key in ("max_depth", "node_count"):
            for value in (0, -1, 10**6, "text"):
                place = (*path, "content", "content")
                yield f"Tree {key}={value}", partial(set_at, place, key, plain(value))


def set_at(path, key, value, schema):
    at(schema, path)[key] = value


def leave_out(path, key, schema):
    node = at(schema, path)["content"]
    number = list(node["content"]).index(key)
    del node["content"][key]
    del node["key_types"]["content"][number]


def put(path, key, value, schema):
    node = at(schema, path)["content"]
    if key not in node["content"]:
        node["key_types"]["content"].append(copy.deepcopy(node["key_types"]["content"][0]))
    node["content"][key] = copy.deepcopy(value)


def plain(value):
    return {
        "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
        "content": json.dumps(value), "is_json": True,
    }  # fmt: skip


def listed(node):
    return {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": [node],
    }


def at(node, path):
    for key in path:
        node = node[key]
    return node


def places(node, wanted, path=()):
    if isinstance(node, dict):
        if wanted(node):
            yield path
        for key, value in node.items():
            yield from places(value, wanted, (*path, key))
    elif isinstance(node, list):
        for key, value in enumerate(node):
            yield from places(value, wanted, (*path, key))


def objects_of(schema):
    def wanted(node):
        content = node.get("content")
        return node.get("__loader__") == "ObjectNode" and "content" in (content or {})

    result = places(schema, wanted)
    return [path for path in result if isinstance(at(schema, path)["content"]["content"], dict)]


def trees_of(schema):
    return list(places(schema, lambda node: node.get("__loader__") == "TreeNode"))


def unmemoised(schema):
    """Leave out numbers of nodes, so that nothing is taken for what was read before."""
    for path in list(places(schema, lambda node: "__id__" in node)):
        at(schema, path).pop("__id__", None)
    return schema


def main(folder):
    """Load each file and predict with it; print its name before and the outcome after."""
    warnings.simplefilter("ignore")
    fields = np.load(Path(folder) / "fields.npy")
    for path in sorted(Path(folder).glob("*.ednn")):
        print(path.name, end=" ", flush=True)
        try:
            model = load(path)
        except ModelFileError:
            print("refused", flush=True)
            continue
        try:
            model.predict(fields)
            print("works", flush=True)
        except (ValueError, TypeError, AttributeError) as error:
            print(f"fails with {error!r:.200}".replace("\n", " "), flush=True)


def write(path, parts):
    _container.write(path, parts)


if __name__ == "__main__":
    main(sys.argv[1])
