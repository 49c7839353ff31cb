"""Classes of scikit-learn that files may contain.

Names in files are never imported: only packages listed here are, and only their public classes are
used.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin

# Packages with regressors and transformers. Their classifiers are excluded, since totals have no
# classes.
_PACKAGES = {
    "compose", "cross_decomposition", "decomposition", "dummy", "ensemble", "feature_selection",
    "frozen", "gaussian_process", "impute", "isotonic", "kernel_approximation", "kernel_ridge",
    "linear_model", "multioutput", "neighbors", "neural_network", "pipeline", "preprocessing",
    "random_projection", "svm", "tree",
}  # fmt: skip
_SINGLE = {
    "cluster": {"FeatureAgglomeration", "KMeans", "MiniBatchKMeans"},
    "manifold": {"Isomap", "LocallyLinearEmbedding"},
}
# Classes of attributes of estimators, by module.
_PARTS = {
    "sklearn._loss.link": {
        "HalfLogitLink", "IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit",
    },
    "sklearn._loss.loss": {
        "AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss",
        "HalfMultinomialLoss", "HalfPoissonLoss", "HalfSquaredError", "HalfTweedieLoss",
        "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss",
    },
    "sklearn.ensemble._hist_gradient_boosting.binning": {"_BinMapper"},
    "sklearn.ensemble._hist_gradient_boosting.predictor": {"TreePredictor"},
}  # fmt: skip
_COMPILED_LOSSES = {
    "sklearn._loss._loss": {
        "CyAbsoluteError", "CyExponentialLoss", "CyHalfBinomialLoss", "CyHalfGammaLoss",
        "CyHalfMultinomialLoss", "CyHalfPoissonLoss", "CyHalfSquaredError", "CyHalfTweedieLoss",
        "CyHalfTweedieLossIdentity", "CyHuberLoss", "CyPinballLoss",
    },
    "sklearn.linear_model._sgd_fast": {
        "EpsilonInsensitive", "Hinge", "Huber", "Log", "ModifiedHuber", "SquaredEpsilonInsensitive",
        "SquaredHinge", "SquaredLoss",
    },
}  # fmt: skip
_KERNELS = "sklearn.gaussian_process.kernels"


def estimator_class(module, name) -> type:
    """Return a class of scikit-learn, or of the attributes of its estimators.

    Raises
    ------
    ValueError
        If files may not contain it.
    """
    parts = str(module).split(".")
    if name in _PARTS.get(module, ()):
        return getattr(import_module(module), name)
    kind = None
    if module == _KERNELS:
        kind = _kernel(name)
    elif parts[0] == "sklearn" and len(parts) > 1:
        package = parts[1]
        if package in _PACKAGES or name in _SINGLE.get(package, ()):
            kind = _offered(import_module(f"sklearn.{package}"), name)
    if kind is None:
        raise ValueError(f"it contains {module}.{name}, which is none of the allowed types")
    return kind


def _offered(package, name):
    kind = vars(package).get(name)
    if not isinstance(kind, type) or not issubclass(kind, BaseEstimator) or name.startswith("_"):
        return None
    if not kind.__module__.startswith(package.__name__):  # imported from elsewhere
        return None
    abstract = getattr(kind, "__abstractmethods__", None)
    return None if abstract or issubclass(kind, ClassifierMixin) else kind


def _kernel(name):
    from sklearn.gaussian_process import kernels

    kind = vars(kernels).get(name)
    if not isinstance(kind, type) or not issubclass(kind, kernels.Kernel):
        return None
    return None if kind.__abstractmethods__ else kind


def loss_class(module, name) -> type:
    """Return a compiled loss of scikit-learn.

    Raises
    ------
    ValueError
        If there is no such loss.
    """
    if name not in _COMPILED_LOSSES.get(module, ()):
        raise ValueError(f"it contains {module}.{name}, which is not a loss")
    return getattr(import_module(module), name)


def ufunc(module, name) -> np.ufunc:
    """Return a ufunc of numpy or scipy.special.

    Raises
    ------
    ValueError
        If there is no such ufunc.
    """
    library = {"numpy": np, "scipy": special}.get(str(module).partition(".")[0])
    function = getattr(library, name, None) if library is not None else None
    if not isinstance(function, np.ufunc):
        raise ValueError(f"expected data, got the function {module}.{name}")
    return function


def number_type(module, name) -> type:
    """Return a type of numbers or strings of Python or numpy.

    Raises
    ------
    ValueError
        If there is no such type.
    """
    plain = {"str": str, "int": int, "float": float, "bool": bool}
    if module == "builtins" and name in plain:
        return plain[name]
    kind = getattr(np, name, None) if str(module).partition(".")[0] == "numpy" else None
    if not isinstance(kind, type) or not issubclass(kind, np.generic):
        raise ValueError(f"expected data, got the type {module}.{name}")
    return kind


def require_own_attributes(kind, names, params=()) -> None:
    """Raise ValueError if attributes would hide methods or constants of a class.

    Parameters
    ----------
    kind : type
    names : iterable of str
    params : collection of str, default=()
        Names for which the class may have a default.
    """
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
            raise ValueError(f"{name!r} is not a valid name of an attribute")
        if hasattr(kind, name) and name not in params:
            raise ValueError(f"its attribute {name!r} would hide that of {kind.__name__}")
