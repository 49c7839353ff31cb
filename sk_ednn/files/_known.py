"""Store common estimators of scikit-learn, whose attributes are listed here.

They are encoded in ``config.json``, with their arrays among those of the model, so that a ridge is
written and read without skops, which imports torch and dask and takes ten seconds. The table gives
the type and shape of each attribute, with letters for lengths that must agree. Estimators with any
other attribute are stored by skops.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from inspect import signature
from numbers import Real

import numpy as np

from .._utils.wording import with_article
from ..exceptions import ModelFileError
from ._fitted_attributes import require_counted
from ._runtime_parameters import completed, defaults, is_runtime_parameter

# Types are "f" for floats, "i" for integers, "b" for booleans. Letters of a shape are F for input
# features, o for outputs, n for samples, k for components. A fitted estimator may lack attributes
# whose names end in "?".
_LINEAR = {"coef_": "f:F f:oF", "intercept_": "num f: f:o", "n_iter_?": "none int nums i:o"}
_DESCENT = {**_LINEAR, "dual_gap_?": "num f:o"}
_MULTI_TASK = {**_DESCENT, "eps_?": "num"}
_FOLDS = {
    **_LINEAR, "alpha_": "num f:o", "alphas_?": "f:a", "mse_path_?": "f:al f:bal",
    "l1_ratio_?": "num", "dual_gap_?": "num f:o",
}  # fmt: skip
_BAYES = {
    **_LINEAR, "alpha_": "num", "lambda_": "num f:F", "sigma_": "f:ss", "scores_": "nums f:t",
    "X_offset_?": "num f:F", "X_scale_?": "num f:F",
}  # fmt: skip
_SAMPLES = {"n_samples_seen_?": "num i:F f:F"}
_VARIANCES = {
    "components_": "f:kF", "explained_variance_": "f:k", "explained_variance_ratio_": "f:k",
    "singular_values_": "f:k",
}  # fmt: skip
_KERNEL = None  # kernels have only parameters
# Attributes that are neither parameters nor fitted: constants set by `__init__`, and the
# configuration of `set_output`.
_CONSTANTS = {"l1_ratio": "num", "_sklearn_output_config": "output"}
_ESTIMATORS: dict[str, tuple[str, dict[str, str] | None]] = {
    "LinearRegression": ("linear_model", {**_LINEAR, "rank_?": "int i:o", "singular_?": "f:r"}),
    "Ridge": ("linear_model", {**_LINEAR, "solver_?": "str"}),
    "RidgeCV": ("linear_model", {
        **_LINEAR, "alpha_": "num f:o", "best_score_?": "num f:o", "cv_results_?": "f:nv f:nov",
    }),
    "Lasso": ("linear_model", _DESCENT),
    "ElasticNet": ("linear_model", _DESCENT),
    "LassoCV": ("linear_model", _FOLDS),
    "ElasticNetCV": ("linear_model", _FOLDS),
    "MultiTaskLasso": ("linear_model", _MULTI_TASK),
    "MultiTaskElasticNet": ("linear_model", _MULTI_TASK),
    "BayesianRidge": ("linear_model", _BAYES),
    "ARDRegression": ("linear_model", _BAYES),
    "HuberRegressor": ("linear_model", {**_LINEAR, "scale_": "num", "outliers_": "b:n"}),
    "OrthogonalMatchingPursuit": ("linear_model", {**_LINEAR, "n_nonzero_coefs_?": "int none"}),
    "KernelRidge": ("kernel_ridge", {"X_fit_": "f:nF i:nF b:nF", "dual_coef_": "f:n f:no"}),
    "GaussianProcessRegressor": ("gaussian_process", {
        "X_train_": "f:nF", "y_train_": "f:n f:no", "alpha_": "f:n f:no", "L_": "f:nn",
        "_y_train_mean": "f:m num", "_y_train_std": "f:m num", "kernel_": "kernel",
        "log_marginal_likelihood_value_?": "num", "_rng?": "random", "K_inv_?": "f:nn",
    }),
    "StandardScaler": ("preprocessing", {
        "mean_": "none f:F", "var_": "none f:F", "scale_": "none f:F", **_SAMPLES,
    }),
    "MinMaxScaler": ("preprocessing", {
        "min_": "f:F", "scale_": "f:F", "data_min_": "f:F", "data_max_": "f:F",
        "data_range_": "f:F", **_SAMPLES,
    }),
    "MaxAbsScaler": ("preprocessing", {"max_abs_": "f:F", "scale_": "f:F", **_SAMPLES}),
    "RobustScaler": ("preprocessing", {"center_": "none f:F", "scale_": "none f:F"}),
    "Normalizer": ("preprocessing", {}),
    "FunctionTransformer": ("preprocessing", {}),
    "PolynomialFeatures": ("preprocessing", {
        "_min_degree": "int", "_max_degree": "int", "n_output_features_": "int",
        "_n_out_full": "int",
    }),
    "PCA": ("decomposition", {
        **_VARIANCES, "mean_": "f:F", "noise_variance_": "num", "n_samples_": "int",
        "n_components_": "int:k", "_fit_svd_solver?": "str", "_n_features_out?": "int:k",
    }),
    "TruncatedSVD": ("decomposition", _VARIANCES),
    "Nystroem": ("kernel_approximation", {
        "components_": "f:kF", "normalization_": "f:kk", "component_indices_": "i:k",
        "_n_features_out?": "int:k",
    }),
    "RBFSampler": ("kernel_approximation", {
        "random_weights_": "f:Fk", "random_offset_": "f:k", "_gamma?": "num",
        "_n_features_out?": "int:k",
    }),
    **dict.fromkeys((
        "CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation",
        "Matern", "PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel",
    ), ("gaussian_process.kernels", _KERNEL)),
}  # fmt: skip


def kind(name) -> type:
    """Return the class of a listed estimator by its name.

    Raises
    ------
    ModelFileError
        If it is not listed.
    """
    if name not in _ESTIMATORS:
        raise ModelFileError(f"it contains {with_article(name)}, which this version does not know")
    return getattr(import_module(f"sklearn.{_ESTIMATORS[name][0]}"), name)


def suits(value) -> bool:
    """Return whether a value is a listed estimator, with listed attributes only."""
    name = type(value).__name__
    if name not in _ESTIMATORS or not type(value).__module__.startswith("sklearn."):
        return False
    if kind(name) is not type(value):
        return False
    try:
        made(type(value), stored(value))
    except Exception:  # unusual attributes, which skops may support
        return False
    return True


def stored(value) -> dict:
    """Return the attributes of an estimator that are written."""
    return {
        name: attribute
        for name, attribute in vars(value).items()
        if not is_runtime_parameter(name) and name != "_sklearn_version"
    }


def made(kind, attributes):
    """Return an estimator with these attributes.

    Parameters
    ----------
    kind : type
        A listed class.
    attributes : dict
        Without runtime parameters, which get their defaults.

    Raises
    ------
    ValueError
        If an attribute is missing, or has a wrong type or shape.
    """
    names, fitted = _params(kind), _ESTIMATORS[kind.__name__][1]
    params = {name: value for name, value in attributes.items() if name in names}
    for name, value in params.items():
        _require(_is_plain(value), kind, name)
    rest = {name: value for name, value in attributes.items() if name not in names}
    estimator = object.__new__(kind)
    estimator.__dict__.update(completed(attributes, defaults(kind)))
    if fitted is _KERNEL:
        _check_kernel(estimator, params)
        fitted = {}
    else:
        estimator._validate_params()
    for name in _CONSTANTS.keys() & rest.keys():
        _require(_fits(rest[name], _CONSTANTS[name], {}), kind, name)
    if rest.keys() - _CONSTANTS.keys():
        _check_fitted(kind, fitted, rest)
        if kind.__name__ == "PolynomialFeatures":
            require_counted(estimator)
    return estimator


def _require(condition, kind, name):
    if not condition:
        raise ValueError(f"{name} of {with_article(kind.__name__)} is invalid or missing")


def _check_fitted(kind, fitted, rest):
    lengths: dict[str, int] = {}
    listed = {"n_features_in_": "int:F", **{f"{name}?": form for name, form in _CONSTANTS.items()}}
    listed |= {name: forms for name, forms in fitted.items() if name not in _params(kind)}
    for label, forms in listed.items():
        name = label.removesuffix("?")
        if name not in rest:
            _require(label != name, kind, name)
            continue
        _require(any(_fits(rest[name], form, lengths) for form in forms.split()), kind, name)
    unknown = rest.keys() - {label.removesuffix("?") for label in listed}
    if unknown:
        raise ValueError(f"{with_article(kind.__name__)} has no attribute {min(unknown)!r}")


def _fits(value, form, lengths) -> bool:
    """Return whether a value has a form; record the lengths of its letters if it has."""
    what, _, shape = form.partition(":")
    if what in ("f", "i", "b"):
        kinds = {"f": "f", "i": "iu", "b": "b"}[what]
        if type(value) is not np.ndarray or value.dtype.kind not in kinds:
            return False
        return value.ndim == len(shape) and _agree(shape, value.shape, lengths)
    if what == "int":
        fine = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return fine and value >= 0 and (not shape or _agree(shape, (int(value),), lengths))
    if what == "num":
        return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if what == "nums":
        return type(value) is list and all(_fits(item, "num", lengths) for item in value)
    if what == "kernel":
        return _is_kernel(value)
    if what == "output":
        return value in [{"transform": library} for library in ("default", "pandas", "polars")]
    kinds = {"none": type(None), "str": str, "random": np.random.RandomState}
    return type(value) is kinds[what]


def _agree(letters, shape, lengths) -> bool:
    new = dict(lengths)
    for letter, length in zip(letters, shape, strict=True):
        if new.setdefault(letter, length) != length:
            return False
    lengths.update(new)
    return True


def _is_plain(value) -> bool:
    """Return whether a value is data that a parameter may have."""
    if value is None or isinstance(value, (bool, int, float, str, np.ufunc)):
        return True
    if isinstance(value, np.generic):
        return value.dtype.kind in "biuf"
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if type(value) is np.ndarray:
        return value.dtype.kind in "biuf"
    return type(value) is np.random.RandomState or _is_kernel(value)


def _is_kernel(value) -> bool:
    name = type(value).__name__
    return _ESTIMATORS.get(name, ("", {}))[1] is _KERNEL and kind(name) is type(value)


def _check_kernel(kernel, params):
    """Raise ValueError if a kernel has invalid or missing parameters."""
    for name, value in params.items():
        if name in ("k1", "k2", "kernel"):
            valid = _is_kernel(value)
        elif name == "kernels":
            valid = type(value) is list and len(value) > 0 and all(map(_is_kernel, value))
        elif name.endswith("_bounds"):
            valid = value == "fixed" if isinstance(value, str) else np.shape(value)[-1:] == (2,)
        elif name in ("metric", "pairwise_kernels_kwargs"):
            valid = isinstance(value, (str, dict, type(None)))
        else:
            valid = np.ndim(value) <= 1 and np.asarray(value).dtype.kind in "iuf"
        _require(valid, type(kernel), name)
    missing = _params(type(kernel)) - set(vars(kernel))
    if missing:
        raise ValueError(f"{with_article(type(kernel).__name__)} has no {min(missing)}")


@lru_cache(maxsize=128)
def _params(kind) -> frozenset[str]:
    return frozenset(signature(kind).parameters)
