"""Check that compiled code of scikit-learn can safely use the attributes of loaded estimators.

scikit-learn validates the arguments of `fit`, but trusts the attributes of fitted estimators:
indices of nodes and features in trees, lengths of arrays of support vectors. All loaded objects are
therefore checked by their type, at any depth.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.wording import with_article

_LEAF = -1
# Attributes that determine the size of arrays in `predict`. The file contains at least one number
# for each of their elements.
_LENGTHS = {
    "_n_components", "_n_features_out", "_n_out_full", "n_components", "n_components_",
    "n_features_in_", "n_output_features_", "n_outputs_", "n_trees_per_iteration_",
}  # fmt: skip
# What a model may have without such numbers. On loading, a model is tried on 16 tiles, whose
# outputs of this length take 8 MiB.
_MIN_LIMIT = 1 << 16
# Features or powers in a product, whose combinations are counted.
_MAX_FACTORS = 64


def require_safe(value, budget) -> None:
    """Raise if loaded objects could make compiled code read or write out of bounds.

    Parameters
    ----------
    value : object
        Checked with its attributes and items, at any depth.
    budget : Budget
        Rebuilt search trees are subtracted from it.

    Raises
    ------
    ValueError
        If attributes are inconsistent; other errors if they have other types.
    """
    objects = list(_all_objects(value))
    checks, limit = _checks(), max(budget.size, _MIN_LIMIT)
    for obj in objects:
        for name in _LENGTHS & getattr(obj, "__dict__", {}).keys():
            length = vars(obj)[name]
            if isinstance(length, (int, np.integer)) and length > limit:
                raise ValueError(f"{name}={length} exceeds the size of the file")
        for kind, check in checks:
            if isinstance(obj, kind):
                check(obj, budget)
    # Last, since it calls initial estimators, which must have passed all other checks.
    for obj in objects:
        _check_start(obj)


def _all_objects(value):
    """Yield a value and everything inside it, each object once, inner objects first."""
    seen, stack = set(), [(value, False)]
    while stack:
        obj, entered = stack.pop()
        if entered:
            yield obj
            continue
        if isinstance(obj, (str, bytes, int, float, type(None), type)) or id(obj) in seen:
            continue
        seen.add(id(obj))
        stack.append((obj, True))
        stack.extend((inner, False) for inner in inner_values(obj))


def inner_values(value) -> list:
    """Return the items of a container, or the attributes of an object."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype == object else []
    return list(getattr(value, "__dict__", {}).values())


def _checks():
    from sklearn.cluster._kmeans import _BaseKMeans
    from sklearn.ensemble import IsolationForest
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.neighbors._base import NeighborsBase
    from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures
    from sklearn.svm._base import BaseLibSVM
    from sklearn.tree import BaseDecisionTree

    return (
        (BaseDecisionTree, _check_decision_tree),
        (BaseGradientBoosting, _check_gradient_boosting),
        (IsolationForest, _check_isolation),
        (TreePredictor, _check_predictor),
        (BaseHistGradientBoosting, _check_histogram_boosting),
        (BaseLibSVM, _check_support_vectors),
        (_BaseKMeans, _check_centers),
        (NeighborsBase, _check_neighbors),
        (OneHotEncoder, _check_encoder),
        (PolynomialFeatures, _check_products),
    )


def _check_products(features, budget):
    if hasattr(features, "n_output_features_"):  # fitted
        require_counted(features)


def require_counted(features):
    """Raise ValueError if polynomial features have a wrong number of columns."""
    n_features, low, high = features.n_features_in_, features._min_degree, features._max_degree
    if min(n_features, high) > _MAX_FACTORS:
        raise ValueError("polynomial features are too many to count")
    params = {
        "n_features": n_features,
        "max_degree": high,
        "interaction_only": features.interaction_only,
        "include_bias": features.include_bias,
    }
    n_outputs = features._num_combinations(min_degree=low, **params)
    n_full = features._num_combinations(min_degree=0, **params)
    if (features.n_output_features_, features._n_out_full) != (n_outputs, n_full):
        raise ValueError("polynomial features are miscounted")


def _require(condition, message):
    if not condition:
        raise ValueError(message)


def _is_array(value, kinds, ndim) -> bool:
    return type(value) is np.ndarray and value.dtype.kind in kinds and value.ndim == ndim


def _width(estimator) -> int:
    """Return the number of features of an estimator, which `predict` compares with its input."""
    width = vars(estimator).get("n_features_in_")
    _require(
        type(width) is int and width > 0,
        f"{with_article(type(estimator).__name__)} has no number of features",
    )
    return width


def _is_fitted(estimator, *names) -> bool:
    """Return whether an estimator has any of these attributes."""
    return any(name in vars(estimator) for name in names)


# --- trees ------------------------------------------------------------------------------------


def require_tree(n_features, n_classes, n_outputs, state) -> int:
    """Raise if the state of a scikit-learn tree contains indices out of bounds.

    Called before the tree is created.

    Parameters
    ----------
    n_features : int
    n_classes : ndarray of shape (n_outputs,)
    n_outputs : int
    state : dict
        State of a `sklearn.tree._tree.Tree`.

    Returns
    -------
    int
        Size of the tree, in bytes.
    """
    _require(
        type(n_features) is int and type(n_outputs) is int and n_features > 0 and n_outputs > 0,
        "a tree has no features or no outputs",
    )
    _require(
        _is_array(n_classes, "iu", 1) and len(n_classes) == n_outputs and n_classes.min() > 0,
        "a tree has a wrong number of outputs",
    )
    nodes, values = state["nodes"], state["values"]
    n_nodes = state["node_count"]
    _require(
        type(nodes) is np.ndarray and nodes.ndim == 1 and len(nodes) == n_nodes > 0
        and type(n_nodes) is int and nodes.dtype.names is not None,
        "a tree has a wrong number of nodes",
    )  # fmt: skip
    shape = (n_nodes, n_outputs, int(n_classes.max()))
    _require(
        _is_array(values, "f", 3) and values.shape == shape,
        "a tree has values of a wrong shape",
    )
    left, right = (nodes[name].astype(np.int64) for name in ("left_child", "right_child"))
    leaf = left == _LEAF
    depth = _depth(left, right, leaf)
    _require(
        type(state["max_depth"]) is int and depth <= state["max_depth"] <= n_nodes,
        "a tree has a wrong depth",
    )
    _require_features(nodes["feature"][~leaf], n_features)
    return nodes.nbytes + values.nbytes


def _depth(left, right, leaf) -> int:
    """Return the depth of a tree; raise if a child is not a node of it."""
    n = len(leaf)
    parents = np.arange(n)
    for children in (left, right):
        # scikit-learn numbers children after their parents, so there are no cycles.
        valid = ((children > parents) & (children < n))[~leaf].all()
        _require(valid, "a tree has children that are not nodes")
    children = np.concatenate([left[~leaf], right[~leaf]])
    _require(len(np.unique(children)) == len(children), "a tree has nodes with two parents")
    level, depth = np.zeros(1, np.int64), 0
    while True:
        level = level[~leaf[level]]
        if len(level) == 0:
            return depth
        level = np.concatenate([left[level], right[level]])
        depth += 1


def _require_features(features, n_features):
    features = np.asarray(features).astype(np.int64)
    fine = ((features >= 0) & (features < n_features)).all()
    _require(fine, "a tree uses a feature that does not exist")


def _check_decision_tree(estimator, budget):
    from sklearn.tree._tree import Tree

    if not _is_fitted(estimator, "tree_"):
        return
    tree = estimator.tree_
    _require(type(tree) is Tree, "a decision tree has no tree")
    _require(tree.n_features == _width(estimator), "a tree has other features than its estimator")


def _check_gradient_boosting(estimator, budget):
    from sklearn.tree import DecisionTreeRegressor

    if not _is_fitted(estimator, "estimators_"):
        return
    members, width = estimator.estimators_, _width(estimator)
    # For a regressor: each stage is one tree, and writes one column.
    _require(
        _is_array(members, "O", 2) and members.shape[1] == 1 and len(members) > 0
        and estimator.n_trees_per_iteration_ == 1,
        "a boosted ensemble has a wrong number of trees",
    )  # fmt: skip
    for member in members[:, 0]:
        _require(
            type(member) is DecisionTreeRegressor and _is_fitted(member, "tree_")
            and _width(member) == width and member.tree_.value.shape[1:] == (1, 1),
            "a stage of a boosted ensemble has a tree of other features",
        )  # fmt: skip


def _check_isolation(estimator, budget):
    if not _is_fitted(estimator, "estimators_"):
        return
    for per_tree in (estimator._decision_path_lengths, estimator._average_path_length_per_tree):
        for member, lengths in zip(estimator.estimators_, per_tree, strict=True):
            valid = _is_array(lengths, "fi", 1) and len(lengths) == member.tree_.node_count
            _require(valid, "path lengths do not match the trees")


def _check_start(estimator):
    """Raise unless the initial prediction of boosting, into which trees write, has one column."""
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting

    if isinstance(estimator, BaseGradientBoosting) and _is_fitted(estimator, "estimators_"):
        if isinstance(estimator.init_, str) and estimator.init_ == "zero":
            return
        start = estimator.init_.predict(np.zeros((3, _width(estimator)), np.float32))
        _require(np.shape(start) in ((3,), (3, 1)), "boosting starts from a wrong shape")
    if isinstance(estimator, BaseHistGradientBoosting) and _is_fitted(estimator, "_predictors"):
        if estimator._preprocessor is not None:
            width = _width(estimator)
            rows = estimator._preprocessor.transform(np.zeros((2, width)))
            _require(rows.shape == (2, width), "trees have other features than their estimator")


# --- trees on histograms ----------------------------------------------------------------------


def _check_predictor(predictor, budget):
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = predictor.nodes
    _require(
        type(nodes) is np.ndarray and nodes.dtype == PREDICTOR_RECORD_DTYPE
        and nodes.ndim == 1 and len(nodes) > 0,
        "a tree has no nodes",
    )  # fmt: skip
    leaf = nodes["is_leaf"] != 0
    _depth(nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), leaf)
    chosen = nodes["bitset_idx"][~leaf & (nodes["is_categorical"] != 0)]
    for bits in (predictor.binned_left_cat_bitsets, predictor.raw_left_cat_bitsets):
        valid = _is_array(bits, "u", 2) and bits.dtype.itemsize == 4 and bits.shape[1] == 8
        _require(
            valid and (len(chosen) == 0 or chosen.max() < len(bits)),
            "a tree uses categories that do not exist",
        )


def _check_histogram_boosting(estimator, budget):
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    _require(not _is_fitted(estimator, "_in_fit"), "a boosted ensemble is in the middle of a fit")
    if not _is_fitted(estimator, "_predictors"):
        return
    width, mapper = _width(estimator), estimator._bin_mapper
    _require(type(mapper) is _BinMapper, "a boosted ensemble has no bins")
    categorical = mapper.is_categorical_
    _require(
        _is_array(categorical, "bui", 1) and len(categorical) == width,
        "bins have other features than their estimator",
    )
    front = estimator._preprocessor
    _require(
        front is None or (type(front) is ColumnTransformer and _width(front) == width),
        "the encoder of categories has other features than its estimator",
    )
    # For a regressor: each iteration is one tree, and adds to one column.
    start = np.asarray(estimator._baseline_prediction)
    _require(
        estimator.n_trees_per_iteration_ == 1 and start.size == 1 and start.dtype.kind == "f",
        "a boosted ensemble has a wrong number of trees",
    )
    for stage in estimator._predictors:
        _require(len(stage) == 1, "a boosted ensemble has a wrong number of trees")
        for predictor in stage:
            _require(type(predictor) is TreePredictor, "a stage contains something else than trees")
            split = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            _require_features(split["feature_idx"], width)
            chosen = split["feature_idx"][split["is_categorical"] != 0]
            _require((categorical[chosen] != 0).all(), "a tree uses categories of a number")


# --- other estimators that compiled code reads ------------------------------------------------


def _check_support_vectors(estimator, budget):
    if not _is_fitted(estimator, "support_vectors_", "_dual_coef_", "_n_support", "support_"):
        return
    vectors, rows = estimator.support_vectors_, estimator.support_
    valid = estimator._sparse is False and estimator.kernel in ("linear", "poly", "rbf", "sigmoid")
    valid = valid and _is_array(vectors, "f", 2) and vectors.shape[1] == _width(estimator)
    valid = valid and _is_array(rows, "i", 1) and len(rows) == len(vectors)
    counts = estimator._n_support
    # Without classes, as in regression, libsvm uses two.
    valid = valid and _is_array(counts, "i", 1) and len(counts) == 2 and counts.min() >= 0
    coefficients = estimator._dual_coef_
    valid = valid and _is_array(coefficients, "f", 2) and coefficients.shape == (1, len(vectors))
    valid = valid and _is_array(estimator._intercept_, "f", 1) and len(estimator._intercept_) == 1
    for probabilities in (estimator._probA, estimator._probB):
        valid = valid and _is_array(probabilities, "f", 1) and len(probabilities) <= 1
    _require(valid, "the attributes of support vectors are inconsistent")


def _check_centers(estimator, budget):
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    if not _is_fitted(estimator, "cluster_centers_"):
        return
    centers = estimator.cluster_centers_
    valid = _is_array(centers, "f", 2) and len(centers) > 0
    _require(valid and centers.shape[1] == _width(estimator), "cluster centers have other features")
    estimator._n_threads = _openmp_effective_n_threads()


def _check_neighbors(estimator, budget):
    """Check the training samples of nearest neighbours, and rebuild the search tree."""
    from sklearn.neighbors import BallTree, KDTree

    if not _is_fitted(estimator, "_fit_X", "_fit_method", "_tree"):
        return
    rows, method = estimator._fit_X, estimator._fit_method
    _require(
        # Rows keep their type, such as the integers of spins.
        _is_array(rows, "biuf", 2) and rows.dtype.itemsize <= 8 and len(rows) > 0
        and rows.shape[1] == _width(estimator) and estimator.n_samples_fit_ == len(rows)
        and vars(estimator).get("_tree") is None and method in ("brute", "kd_tree", "ball_tree"),
        "neighbours have other features than their estimator",
    )  # fmt: skip
    y = vars(estimator).get("_y")
    _require(
        y is None or (isinstance(y, np.ndarray) and y.ndim in (1, 2) and len(y) == len(rows)),
        "neighbours have a wrong number of targets",
    )
    kind = {"kd_tree": KDTree, "ball_tree": BallTree}.get(method)
    if kind is None:
        return
    leaf_size = estimator.leaf_size
    _require(type(leaf_size) is int and leaf_size > 0, "leaves of a search tree have no size")
    # Bounds and offsets of nodes, an index for each row, and a converted copy of the rows.
    n_nodes = 2 ** (int(np.log2(max(1, (len(rows) - 1) / leaf_size))) + 1)
    n_bytes = n_nodes * (16 * rows.shape[1] + 32) + 8 * len(rows) + 8 * rows.size
    budget.take(n_bytes, "the search tree of its neighbours")
    estimator._tree = kind(
        rows,
        leaf_size,
        metric=estimator.effective_metric_,
        **estimator.effective_metric_params_,
    )


def _check_encoder(estimator, budget):
    """Check the columns of the sparse matrices that an encoder returns."""
    if not _is_fitted(estimator, "categories_", "_n_features_outs"):
        return
    sizes = [len(categories) for categories in estimator.categories_]
    _require(len(sizes) == _width(estimator), "categories have other features than their encoder")
    n_outs = list(estimator._n_features_outs)
    _require(n_outs == list(estimator._compute_n_features_outs()), "categories are miscounted")
    _require(not estimator._infrequent_enabled, "infrequent categories are not supported")
    for name in ("drop_idx_", "_drop_idx_after_grouping"):
        dropped = getattr(estimator, name)
        valid = dropped is None or len(dropped) == len(sizes)
        for index, size in zip(() if dropped is None else dropped, sizes, strict=False):
            valid = valid and (index is None or 0 <= int(index) < size)
        _require(valid, "an encoder drops a category that does not exist")


def is_estimator(value) -> bool:
    """Return whether an object is an estimator of scikit-learn."""
    return isinstance(value, BaseEstimator) and type(value).__module__.startswith("sklearn.")
