"""Check, by their types, that compiled code may follow what estimators hold.

scikit-learn checks what `fit` is given, and believes what a fitted estimator holds: trees walk to
whatever node or feature a number names, support vectors are read as far as another number says.
Every object that was read is looked at, wherever it stands and whatever attributes led to it.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

_LEAF = -1
# What estimators make arrays of while they predict, with a number at least for each in the file.
_LENGTHS = {
    "_n_components", "_n_features_out", "_n_out_full", "n_components", "n_components_",
    "n_features_in_", "n_output_features_", "n_outputs_", "n_trees_per_iteration_",
}  # fmt: skip
_LONGEST_BYTES = 1 << 20


def require_safe(value, budget) -> None:
    """Raise where something that was read would lead compiled code astray.

    Parameters
    ----------
    value : object
        Its attributes and items are looked at too, to any depth.
    budget : Budget
        Search trees that are made again are taken from it.

    Raises
    ------
    ValueError
        Where anything does not fit the rest, and other errors where it is of another type.
    """
    objects = list(_all_objects(value))
    checks, longest = _checks(), max(budget.size, _LONGEST_BYTES)
    for each in objects:
        for name in _LENGTHS & getattr(each, "__dict__", {}).keys():
            length = vars(each)[name]
            if isinstance(length, (int, np.integer)) and length > longest:
                raise ValueError(f"{name}={length} is more than there can be")
        for kind, check in checks:
            if isinstance(each, kind):
                check(each, budget)
    # What predicts a start for others is asked once, when nothing can go wrong any more.
    for each in objects:
        _check_start(each)


def _all_objects(value):
    """Yield everything that a value leads to, each once, what lies within it first."""
    seen, stack = set(), [(value, False)]
    while stack:
        each, entered = stack.pop()
        if entered:
            yield each
            continue
        if isinstance(each, (str, bytes, int, float, type(None), type)) or id(each) in seen:
            continue
        seen.add(id(each))
        stack.append((each, True))
        stack.extend((inner, False) for inner in inner_values(each))


def inner_values(value) -> list:
    """Return what a container or an object holds."""
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
    from sklearn.preprocessing import OneHotEncoder
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
    )


def _require(fine, what):
    if not fine:
        raise ValueError(what)


def _is_array(value, kinds, ndim) -> bool:
    return type(value) is np.ndarray and value.dtype.kind in kinds and value.ndim == ndim


def _width(estimator) -> int:
    """Return how many features an estimator is given, as it says and compares."""
    width = vars(estimator).get("n_features_in_")
    _require(
        type(width) is int and width > 0,
        f"a {type(estimator).__name__} does not say how many features it is given",
    )
    return width


def _is_fitted(estimator, *names) -> bool:
    """Tell whether an estimator has any of the attributes that are followed."""
    return any(name in vars(estimator) for name in names)


# --- trees ------------------------------------------------------------------------------------


def require_tree(n_features, n_classes, n_outputs, state) -> int:
    """Raise where a tree of scikit-learn, which is not made yet, points outside of itself.

    Parameters
    ----------
    n_features : int
    n_classes : ndarray of shape (n_outputs,)
    n_outputs : int
    state : dict
        As `sklearn.tree._tree.Tree` returns it.

    Returns
    -------
    int
        Bytes that it takes.
    """
    _require(
        type(n_features) is int and type(n_outputs) is int and n_features > 0 and n_outputs > 0,
        "a tree has no features or no outputs",
    )
    _require(
        _is_array(n_classes, "iu", 1) and len(n_classes) == n_outputs and n_classes.min() > 0,
        "a tree has other outputs than it says",
    )
    nodes, values = state["nodes"], state["values"]
    n_nodes = state["node_count"]
    _require(
        type(nodes) is np.ndarray and nodes.ndim == 1 and len(nodes) == n_nodes > 0
        and type(n_nodes) is int and nodes.dtype.names is not None,
        "a tree has other nodes than it says",
    )  # fmt: skip
    shape = (n_nodes, n_outputs, int(n_classes.max()))
    _require(
        _is_array(values, "f", 3) and values.shape == shape,
        "a tree has other values than nodes and outputs",
    )
    left, right = (nodes[name].astype(np.int64) for name in ("left_child", "right_child"))
    leaf = left == _LEAF
    depth = _depth(left, right, leaf)
    _require(
        type(state["max_depth"]) is int and depth <= state["max_depth"] <= n_nodes,
        "a tree is deeper than it says",
    )
    _require_features(nodes["feature"][~leaf], n_features)
    return nodes.nbytes + values.nbytes


def _depth(left, right, leaf) -> int:
    """Return the depth of a tree, of which children that are none of its nodes are refused."""
    n = len(leaf)
    own = np.arange(n)
    for children in (left, right):
        # Behind their parent, as scikit-learn numbers them, so that there is no way round.
        fine = ((children > own) & (children < n))[~leaf].all()
        _require(fine, "a tree has children that are none of its nodes")
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
    _require(fine, "a tree asks for a feature that there is not")


def _check_decision_tree(estimator, budget):
    from sklearn.tree._tree import Tree

    if not _is_fitted(estimator, "tree_"):
        return
    tree = estimator.tree_
    _require(type(tree) is Tree, "a decision tree has no tree")
    _require(tree.n_features == _width(estimator), "a tree sees other features than its estimator")


def _check_gradient_boosting(estimator, budget):
    from sklearn.tree import DecisionTreeRegressor

    if not _is_fitted(estimator, "estimators_"):
        return
    members, width = estimator.estimators_, _width(estimator)
    # Of a regressor: each stage is one tree, and writes one column.
    _require(
        _is_array(members, "O", 2) and members.shape[1] == 1 and len(members) > 0
        and estimator.n_trees_per_iteration_ == 1,
        "a boosted ensemble has other trees than stages",
    )  # fmt: skip
    for member in members[:, 0]:
        _require(
            type(member) is DecisionTreeRegressor and _is_fitted(member, "tree_")
            and _width(member) == width and member.tree_.value.shape[1:] == (1, 1),
            "a stage of a boosted ensemble is no tree of its features",
        )  # fmt: skip


def _check_isolation(estimator, budget):
    if not _is_fitted(estimator, "estimators_"):
        return
    for known in (estimator._decision_path_lengths, estimator._average_path_length_per_tree):
        for member, lengths in zip(estimator.estimators_, known, strict=True):
            fine = _is_array(lengths, "fi", 1) and len(lengths) == member.tree_.node_count
            _require(fine, "depths are not those of the trees")


def _check_start(estimator):
    """Raise where what boosting starts from has not one number a row, into which trees write."""
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting

    if isinstance(estimator, BaseGradientBoosting) and _is_fitted(estimator, "estimators_"):
        if isinstance(estimator.init_, str) and estimator.init_ == "zero":
            return
        start = estimator.init_.predict(np.zeros((3, _width(estimator)), np.float32))
        _require(np.shape(start) in ((3,), (3, 1)), "what boosting starts from is no number a row")
    if isinstance(estimator, BaseHistGradientBoosting) and _is_fitted(estimator, "_predictors"):
        if estimator._preprocessor is not None:
            width = _width(estimator)
            rows = estimator._preprocessor.transform(np.zeros((2, width)))
            _require(rows.shape == (2, width), "trees see other features than their estimator")


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
        fine = _is_array(bits, "u", 2) and bits.dtype.itemsize == 4 and bits.shape[1] == 8
        _require(
            fine and (len(chosen) == 0 or chosen.max() < len(bits)),
            "a tree asks for categories that there are not",
        )


def _check_histogram_boosting(estimator, budget):
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    _require(not _is_fitted(estimator, "_in_fit"), "it is in the middle of a fit")
    if not _is_fitted(estimator, "_predictors"):
        return
    width, mapper = _width(estimator), estimator._bin_mapper
    _require(type(mapper) is _BinMapper, "its bins are none")
    categorical = mapper.is_categorical_
    _require(
        _is_array(categorical, "bui", 1) and len(categorical) == width,
        "its bins are those of other features",
    )
    front = estimator._preprocessor
    _require(
        front is None or (type(front) is ColumnTransformer and _width(front) == width),
        "what encodes its categories is given other features",
    )
    for stage in estimator._predictors:
        for predictor in stage:
            _require(type(predictor) is TreePredictor, "a stage has something that is no tree")
            split = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            _require_features(split["feature_idx"], width)
            chosen = split["feature_idx"][split["is_categorical"] != 0]
            _require((categorical[chosen] != 0).all(), "a tree asks for categories of a number")


# --- other estimators that compiled code reads ------------------------------------------------


def _check_support_vectors(estimator, budget):
    if not _is_fitted(estimator, "support_vectors_", "_dual_coef_", "_n_support", "support_"):
        return
    vectors, rows = estimator.support_vectors_, estimator.support_
    fine = estimator._sparse is False and estimator.kernel in ("linear", "poly", "rbf", "sigmoid")
    fine = fine and _is_array(vectors, "f", 2) and vectors.shape[1] == _width(estimator)
    fine = fine and _is_array(rows, "i", 1) and len(rows) == len(vectors)
    counts = estimator._n_support
    # Regression and novelty have no classes, which libsvm writes as two.
    fine = fine and _is_array(counts, "i", 1) and len(counts) == 2 and counts.min() >= 0
    coefficients = estimator._dual_coef_
    fine = fine and _is_array(coefficients, "f", 2) and coefficients.shape == (1, len(vectors))
    fine = fine and _is_array(estimator._intercept_, "f", 1) and len(estimator._intercept_) == 1
    for odds in (estimator._probA, estimator._probB):
        fine = fine and _is_array(odds, "f", 1) and len(odds) <= 1
    _require(fine, "the support vectors and what is known of them do not fit together")


def _check_centers(estimator, budget):
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    if not _is_fitted(estimator, "cluster_centers_"):
        return
    centers = estimator.cluster_centers_
    fine = _is_array(centers, "f", 2) and len(centers) > 0
    _require(
        fine and centers.shape[1] == _width(estimator), "centers are not those of its features"
    )
    estimator._n_threads = _openmp_effective_n_threads()


def _check_neighbors(estimator, budget):
    """Check what neighbours are looked for in, and make their search tree again."""
    from sklearn.neighbors import BallTree, KDTree

    if not _is_fitted(estimator, "_fit_X", "_fit_method", "_tree"):
        return
    rows, method = estimator._fit_X, estimator._fit_method
    _require(
        # Rows keep the type that they were fitted in, such as that of spins.
        _is_array(rows, "biuf", 2) and rows.dtype.itemsize <= 8 and len(rows) > 0
        and rows.shape[1] == _width(estimator) and estimator.n_samples_fit_ == len(rows)
        and vars(estimator).get("_tree") is None and method in ("brute", "kd_tree", "ball_tree"),
        "neighbours are not those of its features",
    )  # fmt: skip
    known = vars(estimator).get("_y")
    _require(
        known is None
        or (isinstance(known, np.ndarray) and known.ndim in (1, 2) and len(known) == len(rows)),
        "values of neighbours are not one for each",
    )
    kind = {"kd_tree": KDTree, "ball_tree": BallTree}.get(method)
    if kind is None:
        return
    leaf_size = estimator.leaf_size
    _require(type(leaf_size) is int and leaf_size > 0, "leaves of a search tree have no size")
    # Bounds and places of each node, an index of each row, and the rows where they are converted.
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
    """Check what columns of a sparse matrix are numbered by: products follow the numbers."""
    if not _is_fitted(estimator, "categories_", "_n_features_outs"):
        return
    sizes = [len(each) for each in estimator.categories_]
    _require(len(sizes) == _width(estimator), "categories are not those of its features")
    n_outs = list(estimator._n_features_outs)
    _require(n_outs == list(estimator._compute_n_features_outs()), "categories are miscounted")
    _require(not estimator._infrequent_enabled, "rare categories of an encoder are not read")
    for name in ("drop_idx_", "_drop_idx_after_grouping"):
        dropped = getattr(estimator, name)
        fine = dropped is None or len(dropped) == len(sizes)
        for index, size in zip(() if dropped is None else dropped, sizes, strict=False):
            fine = fine and (index is None or 0 <= int(index) < size)
        _require(fine, "a category is dropped that there is not")


def is_estimator(value) -> bool:
    """Tell whether something is an estimator of scikit-learn's own."""
    return isinstance(value, BaseEstimator) and type(value).__module__.startswith("sklearn.")
