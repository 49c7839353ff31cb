"""Classes of scikit-learn that files may hold, by the names that files know them by.

No name of a file is imported: packages are those listed here, and classes those which they offer.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin

# Of what they offer, what can be a tile model or stand before one. Classifiers cannot: there are
# no classes to fit to.
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
# What estimators are made of, by module.
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
    """Return a class of scikit-learn, or of what its estimators are made of.

    Raises
    ------
    ValueError
        Where it is none of those that files may hold.
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
        raise ValueError(f"it holds {module}.{name}, which is none of the types that are read")
    return kind


def _offered(package, name):
    kind = vars(package).get(name)
    if not isinstance(kind, type) or not issubclass(kind, BaseEstimator) or name.startswith("_"):
        return None
    if not kind.__module__.startswith(package.__name__):  # it was only imported there
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
        Where it is none.
    """
    if name not in _COMPILED_LOSSES.get(module, ()):
        raise ValueError(f"it holds {module}.{name}, which is no loss")
    return getattr(import_module(module), name)


def ufunc(module, name) -> np.ufunc:
    """Return a function of numpy or scipy.special that acts on each number.

    Raises
    ------
    ValueError
        Where it is none.
    """
    library = {"numpy": np, "scipy": special}.get(str(module).partition(".")[0])
    found = getattr(library, name, None) if library is not None else None
    if not isinstance(found, np.ufunc):
        raise ValueError(f"the function {module}.{name} stands where data should be")
    return found


def number_type(module, name) -> type:
    """Return a type of numbers or texts, Python's or numpy's.

    Raises
    ------
    ValueError
        Where it is none.
    """
    plain = {"str": str, "int": int, "float": float, "bool": bool}
    if module == "builtins" and name in plain:
        return plain[name]
    kind = getattr(np, name, None) if str(module).partition(".")[0] == "numpy" else None
    if not isinstance(kind, type) or not issubclass(kind, np.generic):
        raise ValueError(f"the type {module}.{name} stands where data should be")
    return kind


def require_own_attributes(kind, names, params=()) -> None:
    """Raise where attributes would hide what a class does: its methods, or constants of it.

    Parameters
    ----------
    kind : type
    names : iterable of str
    params : collection of str, default=()
        Those that a class may have a default for.

    Raises
    ------
    ValueError
    """
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
            raise ValueError(f"it names an attribute {name!r}, which no object has")
        if hasattr(kind, name) and name not in params:
            raise ValueError(f"its attribute {name!r} would hide that of {kind.__name__}")
