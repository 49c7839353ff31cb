"""scikit-learn's estimators, by skops: no pickle, and of the types named here alone.

skops makes objects without running code of the file, but trusts whole modules and believes
arrays. Here the file is looked at before: which types and which kinds of node it has, and how large
its arrays say they are. Trees are looked at afterwards, since scikit-learn walks along their
children without a look at where they point.
"""

from __future__ import annotations

import copy
import io
import warnings
import zipfile

import numpy as np

from .._optional import needing
from ..exceptions import ModelFileError
from ._container import read_json

PART = "estimators.skops"
_SCHEMA = "schema.json"
# What skops takes for each value of its description: 127 to 176 were measured, for forests,
# histogram trees and linear models.
_BYTES_PER_VALUE = 180
_NODES = {
    "DictNode", "FunctionNode", "JsonNode", "ListNode", "LossNode", "NdArrayNode", "ObjectNode",
    "RandomGeneratorNode", "RandomStateNode", "SliceNode", "TreeNode", "TupleNode", "TypeNode",
}  # fmt: skip
_KEY_TYPES = {"builtins.str", "builtins.int", "builtins.float", "builtins.bool"}
# Ours that may stand among scikit-learn's: in the tile model of a boosted sum, for one.
_TRUSTED = [
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]


def library():
    """Return skops.io, or say what to install."""
    with needing("A file with scikit-learn's estimators"):
        import skops.io
    return skops.io


def trusted() -> list[str]:
    """Return the types that are made besides those that skops trusts itself."""
    from sklearn.gaussian_process import kernels

    found = [
        f"{kind.__module__}.{name}"
        for name, kind in vars(kernels).items()
        if isinstance(kind, type) and issubclass(kind, kernels.Kernel)
        and not getattr(kind, "__abstractmethods__", None)
    ]  # fmt: skip
    return [*_TRUSTED, *found]


def dump(estimators: list, places: list[str]) -> bytes:
    """Return estimators as the content of a part.

    Raises
    ------
    ModelFileError
        Naming the place in the model of one that would not be loaded.
    """
    skops = library()
    stored = [_without_derived(each) for each in estimators]
    try:
        return _compact(_loadable(skops, stored))
    except Exception:  # skops raises what it meets: one by one, to say which of them it is
        for estimator, place in zip(stored, places, strict=True):
            try:
                _loadable(skops, estimator)
            except Exception as error:
                raise ModelFileError(
                    f"{place}, a {type(estimator).__name__}, cannot be stored: {error}. Give it "
                    "something that is data (a class of scikit-learn, arrays, numbers), or pickle "
                    "the model for yourself alone: opening a pickle runs what is in it."
                ) from error
        raise


def _loadable(skops, stored) -> bytes:
    """Return what skops makes of something, or raise where it would not be loaded."""
    content = skops.dumps(stored)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = read_json(archive.read(_SCHEMA), _SCHEMA, _Unlimited)
    _require_plain(schema, "it")
    unknown = set(skops.get_untrusted_types(data=content)) - set(trusted())
    if unknown:
        raise ModelFileError(f"it holds {', '.join(sorted(unknown))}")
    return content


class _Unlimited:
    path = "a model"

    @staticmethod
    def text_budget(max_bytes=None):
        return 1 << 62


def _compact(content) -> bytes:
    """Return a skops file without the white space of its description, half of its length."""
    import json

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        # Named by numbers of their order: skops takes addresses in memory, never the same again.
        names = {name: f"{k}.npy" for k, name in enumerate(_arrays_of(old))}
        schema = _renamed(json.loads(old.read(_SCHEMA)), names, {})
        entry = zipfile.ZipInfo(_SCHEMA, (1980, 1, 1, 0, 0, 0))
        new.writestr(entry, json.dumps(schema, separators=(",", ":")))
        for name, number in names.items():
            entry = zipfile.ZipInfo(number, (1980, 1, 1, 0, 0, 0))
            new.writestr(entry, old.read(name))
    return out.getvalue()


def _arrays_of(archive):
    return [name for name in archive.namelist() if name != _SCHEMA]


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


# --- loading ----------------------------------------------------------------------------------


def load(container, max_bytes=None) -> list:
    """Return the estimators of a file.

    Raises
    ------
    ModelFileError
        Where it holds anything but data of the types that are trusted.
    """
    skops = library()
    with container.part(PART) as part:
        _look_over(container, part, max_bytes)
        part.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                estimators = skops.load(part, trusted=trusted())
        except Exception as error:  # skops and scikit-learn raise what they meet
            raise _wrong(container, error) from error
    if not isinstance(estimators, list):
        raise _wrong(container, "it holds no list of estimators")
    for estimator in estimators:
        try:
            _check_trees(estimator, set())
        except (ValueError, AttributeError, TypeError, IndexError) as error:
            raise _wrong(container, error) from error
        _derive(estimator)
    return estimators


def _look_over(container, part, max_bytes):
    try:
        with zipfile.ZipFile(part) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if len(set(names)) < len(names):
                raise ValueError("it has two parts of one name")
            for info in infos:
                if info.compress_type or info.file_size != info.compress_size:
                    raise ValueError("it is compressed")
            if sum(info.file_size for info in infos) > container.parts[PART]["size"]:
                raise ValueError("its parts are larger than it is")
            content = archive.read(_SCHEMA)
            schema = read_json(content, _SCHEMA, container, max_bytes, _BYTES_PER_VALUE)
            _require_plain(schema, "it")
            for info in infos:
                if info.filename != _SCHEMA:
                    with archive.open(info) as file:
                        _check_array(file, info)
    except (zipfile.BadZipFile, ValueError, KeyError, NotImplementedError, TypeError) as error:
        raise _wrong(container, error) from error


def _check_array(file, info):
    """Raise where an array, which is made before it is read, would not be as large as its bytes."""
    if not info.filename.endswith(".npy"):
        raise ValueError(f"{info.filename} is no array")
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"{info.filename} is of numpy's format {version}")
    shape, _, dtype = read[version](file)
    n_bytes = dtype.itemsize
    for length in shape:
        n_bytes *= length
    if dtype.hasobject or n_bytes != info.file_size - file.tell():
        raise ValueError(f"{info.filename} is not as large as it says")


def _require_plain(node, where):
    """Raise where a description has nodes of kinds that are not needed for data."""
    if isinstance(node, list):
        for each in node:
            _require_plain(each, where)
        return
    if not isinstance(node, dict):
        return
    kind = node.get("__loader__")
    if kind is not None:
        where = f"{node.get('__module__')}.{node.get('__class__')}"
        if kind not in _NODES:
            raise ValueError(f"{where} would be made by {kind}")
        if kind == "TypeNode" and where not in _KEY_TYPES and not where.startswith("numpy."):
            raise ValueError(f"the type {where} stands where data should be")
    for each in node.values():
        _require_plain(each, where)


def _wrong(container, why):
    return ModelFileError(f"{container.path} cannot be read: {PART}: {why}.")


# --- trees ------------------------------------------------------------------------------------


def _check_trees(value, seen):
    """Raise where a tree points outside of itself."""
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.tree._tree import Tree

    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tree):
        leaf = value.children_left == -1
        _check_children(value.children_left, value.children_right, leaf)
        _check_features(value.feature[~leaf], value.n_features)
        return
    if isinstance(value, TreePredictor):
        _check_histogram_tree(value)
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, (list, tuple)):
        inner = list(value)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        inner = value.ravel().tolist()
    else:
        inner = list(getattr(value, "__dict__", {}).values())
        _check_widths(value)
    for each in inner:
        _check_trees(each, seen)


def _check_children(left, right, leaf):
    n = len(leaf)
    if n == 0:
        raise ValueError("a tree has no nodes")
    own = np.arange(n)
    for children in (np.asarray(left, np.int64), np.asarray(right, np.int64)):
        # Behind their parent, as scikit-learn numbers them, so that there is no way round.
        if not ((children > own) & (children < n))[~leaf].all():
            raise ValueError("a tree has children that are none of its nodes")


def _check_features(features, n_features):
    features = np.asarray(features, np.int64)
    if not ((features >= 0) & (features < n_features)).all():
        raise ValueError("a tree asks for a feature that there is not")


def _check_histogram_tree(predictor):
    nodes = predictor.nodes
    leaf = nodes["is_leaf"] != 0
    _check_children(nodes["left"], nodes["right"], leaf)
    split = nodes[~leaf]
    if split["is_categorical"].any():
        chosen = split["bitset_idx"][split["is_categorical"] != 0]
        for bits in (predictor.binned_left_cat_bitsets, predictor.raw_left_cat_bitsets):
            if bits.ndim != 2 or bits.shape[1] != 8 or chosen.max() >= len(bits):
                raise ValueError("a tree asks for categories that there are not")
    _check_features(split["feature_idx"], np.iinfo(np.int64).max)


def _check_widths(estimator):
    """Raise where the trees of an estimator see more features than it is given."""
    n_features = getattr(estimator, "n_features_in_", None)
    tree = getattr(estimator, "tree_", None)
    if tree is not None and hasattr(tree, "n_features") and tree.n_features != n_features:
        raise ValueError("a tree sees other features than its estimator")
    for stage in getattr(estimator, "_predictors", None) or ():
        for predictor in stage:
            split = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            _check_features(split["feature_idx"], n_features)
    members = getattr(estimator, "estimators_", None)
    if isinstance(members, (list, np.ndarray)) and n_features is not None:
        chosen = getattr(estimator, "estimators_features_", None)
        for member in np.ravel(np.asarray(members, dtype=object)):
            width = getattr(member, "n_features_in_", n_features)
            if chosen is None and width != n_features:
                raise ValueError("a member of an ensemble sees other features than it is given")


# --- what follows from the rest ---------------------------------------------------------------


def _without_derived(estimator):
    """Return an estimator without the search tree of neighbours, which is made of their places."""
    if getattr(estimator, "_tree", None) is None or not hasattr(estimator, "_fit_X"):
        return estimator
    estimator = copy.copy(estimator)
    estimator._tree = None
    return estimator


def _derive(estimator):
    from sklearn.neighbors import BallTree, KDTree

    method = getattr(estimator, "_fit_method", None)
    kind = {"kd_tree": KDTree, "ball_tree": BallTree}.get(method)
    if kind is not None and hasattr(estimator, "_fit_X"):
        estimator._tree = kind(
            estimator._fit_X,
            estimator.leaf_size,
            metric=estimator.effective_metric_,
            **estimator.effective_metric_params_,
        )
