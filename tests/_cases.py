"""Small systems with known totals, and the tables that the laws are tested over."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from functools import cache

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import AutoEvaluation, Direct, Unique
from sk_ednn.solvers import BoostingSolver

BOUNDARIES = ("periodic", "zero", "reflect", "nearest")


# --- systems --------------------------------------------------------------------------------


def make_spins(n_samples, shape, seed=0, dtype=np.int8):
    """Return spins of -1 and 1, (n_samples, *shape)."""
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([-1, 1], dtype=dtype), size=(n_samples, *shape))


def ising_energy(spins):
    """Return minus the sum over nearest neighbours of a periodic grid of ±1."""
    spins = np.asarray(spins, dtype=float)
    axes = range(1, spins.ndim)
    bonds = sum(spins * np.roll(spins, 1, axis=axis) for axis in axes)
    return -bonds.sum(axis=tuple(axes))


def make_ising(n_samples, shape, seed=0):
    """Return spins and their energies, from all up to all random, so that energies spread."""
    rng = np.random.default_rng(seed)
    up = rng.uniform(size=(n_samples, *[1] * len(shape)))
    spins = np.where(rng.uniform(size=(n_samples, *shape)) < up, 1, -1).astype(np.int8)
    return spins, ising_energy(spins)


def make_field(kind, n_samples, shape, seed=0):
    """Return a batch of fields of one kind."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_samples, *shape))
    if kind == "spins":
        return make_spins(n_samples, shape, seed)
    if kind == "levels":  # whole numbers, as floats
        return rng.integers(-2, 3, size=noise.shape).astype(float)
    return noise.astype({"bool": bool, "float32": np.float32, "float64": float}[kind])


# --- the tables -----------------------------------------------------------------------------

# Name: (tiling, shape of a field, another shape it allows).
TILINGS = {
    "1-D": (GridTiling(2, 1), (8,), (12,)),
    "2-D": (GridTiling(1, 1), (4, 3), (3, 5)),
    "2-D, zero": (GridTiling((2, 1), (1, 2), boundary="zero"), (4, 3), (2, 5)),
    "3-D, reflect": (GridTiling(2, 1, boundary="reflect"), (4, 2, 4), (2, 4, 6)),
    "4-D, nearest": (GridTiling(1, (1, 0, 1, 0), boundary="nearest"), (2, 3, 1, 2), (3, 2, 2, 1)),
    "channels last": (GridTiling(2, 1, channel_axis=-1), (4, 4, 3), (6, 2, 3)),
    "channels first": (GridTiling((1, 2), 0, channel_axis=0), (2, 3, 4), (2, 4, 2)),
    "padded": (GridTiling(3, 1, boundary="zero", remainder="pad"), (5, 4), (7, 3)),
    "wider than the grid": (GridTiling(1, 3), (2, 3), (4, 2)),
    "whole axis": (GridTiling((None, 2), (0, 1)), (3, 6), (3, 10)),
}
PERIODIC = ("1-D", "2-D", "channels last", "channels first", "wider than the grid")

TILE_MODELS = {
    "linear": make_pipeline(PolynomialFeatures(2), Ridge()),
    "kernel": KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3),
    "process": GaussianProcessRegressor(RBF(2.0) + WhiteKernel(1e-2), optimizer=None),
    "tree": DecisionTreeRegressor(max_depth=3, random_state=0),
}

EVALUATIONS = {
    "direct": Direct(),
    "direct, blocks": Direct(max_tiles=11),
    "direct, 2 workers": Direct(n_jobs=2, max_tiles=11),
    "unique": Unique(),
    "unique, blocks": Unique(max_tiles=11),
    "unique, no table": Unique(table_size=0, max_tiles=11),
    "unique, 2 workers": Unique(n_jobs=2, max_tiles=11),
    "auto": AutoEvaluation(),
}

KINDS = ("spins", "bool", "levels", "float32", "float64")


def regressor(tile_model, tiling, **params):
    """Return an unfitted regressor for a row of `TILE_MODELS`; few stages where it is boosted."""
    solver = BoostingSolver(n_stages=4) if tile_model == "tree" else None
    return EDNNRegressor(
        clone(TILE_MODELS[tile_model]), clone(tiling), solver=solver, random_state=0, **params
    )


def fitted(tile_model, tiling, kind="float64", n_outputs=1, baseline="size"):
    """Return a regressor fitted to a case of the tables, which a test may change.

    It is a copy of one that is fitted once: tests share its arrays, but neither its attributes
    nor the parameters and tables of its evaluation.
    """
    model = copy.copy(_fitted(tile_model, tiling, kind, n_outputs, baseline))
    model.evaluation_ = clone(model.evaluation_)
    model.tile_model_ = copy.copy(model.tile_model_)
    model.tiling_ = clone(model.tiling_)
    return model


@cache
def _fitted(tile_model, tiling, kind, n_outputs, baseline):
    X = make_field(kind, 12, TILINGS[tiling][1])
    flat = X.reshape(len(X), -1).astype(float)
    y = np.stack([np.sin(flat + k).sum(axis=1) for k in range(n_outputs)], axis=1)
    model = regressor(tile_model, TILINGS[tiling][0], baseline=baseline)
    model.fit(X, y[:, 0] if n_outputs == 1 else y)
    for array in _arrays_of(model.tile_model_):
        array.flags.writeable = False
    return model


def _arrays_of(obj, seen=None):
    """Yield the arrays in the attributes of an object, at any depth."""
    seen = set() if seen is None else seen
    if id(obj) in seen:
        return
    seen.add(id(obj))
    if isinstance(obj, np.ndarray):
        if obj.dtype != object:
            yield obj
        return
    if isinstance(obj, (list, tuple)):
        parts = obj
    elif isinstance(obj, dict):
        parts = list(obj.values())
    else:
        parts = list(vars(obj).values()) if hasattr(obj, "__dict__") else []
    for part in parts:
        yield from _arrays_of(part, seen)


# --- what tests have in common --------------------------------------------------------------


@contextmanager
def left_as_it_was(estimator):
    """Fail if what is in the block changes the estimator in any way."""
    before, contents = dict(vars(estimator)), joblib.hash(vars(estimator))
    yield
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())
    assert joblib.hash(vars(estimator)) == contents


class CountsCalls(KernelRidge):
    """Kernel ridge that counts the tiles that it predicts."""

    n_tiles = 0

    def predict(self, X):
        type(self).n_tiles += len(X)
        return super().predict(X)


def as_nan(outputs):
    return outputs * np.nan


def all_but_one(outputs):
    return outputs[:-1]


class Returns(Ridge):
    """A tile model whose predictions have been tampered with by `tamper`."""

    def __init__(self, tamper=None, fit_intercept=True):
        super().__init__(fit_intercept=fit_intercept)
        self.tamper = tamper

    def predict(self, X):
        return self.tamper(super().predict(X))
