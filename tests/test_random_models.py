"""Models drawn at random: whatever is combined, each is consistent with itself.

The laws are those of the other tests; here they meet in combinations that nobody thought of.
"""

import os
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import Direct, Unique
from sk_ednn.solvers import BoostingSolver
from tests._cases import BOUNDARIES, make_field

N_MODELS = 500
# Where the tests are not slow, some of the same draws.
N_FAST = 12

SMOOTH = ("linear", "polynomial", "kernel", "process")


def tile_model(kind, rng):
    if kind == "linear":
        return make_pipeline(StandardScaler(), Ridge(10 ** rng.uniform(-6, 0)))
    if kind == "polynomial":
        return make_pipeline(PolynomialFeatures(2), Ridge(10 ** rng.uniform(-3, 0)))
    if kind == "kernel":
        return KernelRidge(kernel="rbf", gamma=rng.uniform(0.02, 0.2), alpha=1e-2)
    if kind == "process":
        return GaussianProcessRegressor(RBF(3.0) + WhiteKernel(1e-1), optimizer=None)
    if kind == "tree":
        return DecisionTreeRegressor(max_depth=3, random_state=0)
    if kind == "forest":
        return make_pipeline(StandardScaler(), ExtraTreesRegressor(3, max_depth=3))
    if kind == "neighbours":
        return KNeighborsRegressor(1)
    return LinearRegression(fit_intercept=bool(rng.integers(2)))


class Drawn:
    """One model and the fields it is fitted to and applied to, drawn from a seed."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        ndim = int(rng.choice([1, 2, 2, 3]))
        focus = rng.integers(1, 3, ndim)
        context = rng.integers(0, 3 if ndim < 3 else 2, ndim)
        self.boundary = str(rng.choice(BOUNDARIES, p=[0.4, 0.2, 0.2, 0.2]))
        remainder = "pad" if self.boundary == "zero" and rng.integers(2) else "error"
        self.channels = [None, 0, -1][int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
        self.tiling = GridTiling(
            tuple(focus.tolist()), tuple(context.tolist()), boundary=self.boundary,
            channel_axis=self.channels, **({} if remainder == "error" else {"remainder": "pad"}),
        )  # fmt: skip
        self.focus, self.n_channels = focus, int(rng.integers(1, 4))
        self.field_kind = str(rng.choice(["spins", "levels", "float32", "float64", "bool"]))
        self.ragged = bool(rng.integers(2))
        self.pads = remainder == "pad"
        most = {1: 12, 2: 6, 3: 4}[ndim]

        def shape():
            sizes = focus * rng.integers(1, max(2, most // focus.max() + 1), ndim)
            sizes = np.maximum(sizes, focus * -(-2 // focus))
            if self.pads:
                sizes = sizes + rng.integers(0, 2, ndim)
            return self.with_channels(sizes)

        first = shape()
        n = int(rng.integers(12, 30))
        if self.ragged:
            shapes = [first, shape(), shape()]
            self.X = [make_field(self.field_kind, 1, shapes[k % 3], 7 * k)[0] for k in range(n)]
            self.unseen = [make_field(self.field_kind, 1, shape(), 900 + k)[0] for k in range(4)]
        else:
            self.X = make_field(self.field_kind, n, first, seed)
            self.unseen = make_field(self.field_kind, 4, first if ndim == 1 else shape(), seed + 1)
        self.n_outputs = int(rng.choice([1, 1, 2]))
        flat = [x.astype(float).ravel() for x in self.X]
        y = np.array([[np.cos(x + k).sum() for k in range(self.n_outputs)] for x in flat])
        self.y = y[:, 0] if self.n_outputs == 1 else y
        kinds = ("linear", "polynomial", "kernel", "process", "tree", "forest", "neighbours", "ols")
        self.kind = str(rng.choice(kinds))
        self.weights = (
            rng.uniform(0.2, 2, n) if self.kind != "process" and rng.integers(2) else None
        )
        self.model = EDNNRegressor(
            tile_model(self.kind, rng),
            self.tiling,
            solver=BoostingSolver(n_stages=4) if self.kind in BOOSTED else None,
            baseline=[None, "size", "content"][int(rng.integers(3))],
            weighting=str(rng.choice(["total", "site"])),
            random_state=0,
        )

    def with_channels(self, sizes):
        sizes = tuple(int(n) for n in sizes)
        if self.channels is None:
            return sizes
        return (self.n_channels, *sizes) if self.channels == 0 else (*sizes, self.n_channels)

    def grid_axes(self):
        """Return the axes of one field that are not channels."""
        ndim = len(self.focus) + (self.channels is not None)
        return [
            axis for axis in range(ndim) if self.channels is None or axis != self.channels % ndim
        ]


BOOSTED = ("tree", "forest", "neighbours")


def check(drawn, tmp_path):
    model, unseen = drawn.model, drawn.unseen
    as_list = list(unseen)
    model.fit(drawn.X, drawn.y, drawn.weights)
    total = model.predict(unseen)
    scale = np.abs(total).max() + 1
    close = {"rtol": 1e-10, "atol": 1e-10 * scale}

    maps = model.predict_contributions(unseen)
    axes = tuple(range(len(drawn.focus)))
    summed = np.array([np.sum(each, axis=axes) for each in maps])
    np.testing.assert_allclose(summed, total, **close)
    one_by_one = np.concatenate([model.predict([field]) for field in as_list])
    np.testing.assert_allclose(one_by_one, total, **close)
    np.testing.assert_allclose(model.predict(as_list[::-1])[::-1], total, **close)

    terms = (model.tile_model_, model.tiling_, model.tiling_.check(unseen))
    for evaluation in (Direct(max_tiles=7), Unique(max_tiles=5), Unique(table_size=0)):
        values = evaluation.totals(*terms)
        np.testing.assert_allclose(values.reshape(total.shape), total, **close)

    for other in (
        pickle.loads(pickle.dumps(model)),
        clone(model).fit(drawn.X, drawn.y, drawn.weights),
    ):
        np.testing.assert_array_equal(other.predict(unseen), total)
    layouts = [np.asfortranarray, lambda x: np.repeat(x, 2, -1)[..., ::2]]
    if drawn.field_kind != "float32":  # in which some of scikit-learn's estimators compute
        layouts.append(lambda x: x.astype(float))
    for layout in layouts:
        np.testing.assert_allclose(model.predict([layout(x) for x in as_list]), total, **close)
    for x in as_list:
        x.flags.writeable = False
    np.testing.assert_array_equal(model.predict(as_list), model.predict(as_list))

    order = np.random.default_rng(0).permutation(len(drawn.y))
    weights = None if drawn.weights is None else drawn.weights[order]
    if drawn.kind in SMOOTH:
        again = clone(model).fit([drawn.X[k] for k in order], drawn.y[order], weights)
        np.testing.assert_allclose(again.predict(as_list), total, rtol=1e-5, atol=1e-5 * scale)
    if drawn.weights is not None and drawn.kind in SMOOTH:
        # A weight of zero is not a sample.
        more = [*drawn.X, drawn.X[0]]
        y = np.concatenate([drawn.y, drawn.y[:1] + 1e3])
        zero = clone(model).fit(more, y, np.append(drawn.weights, 0.0))
        np.testing.assert_allclose(zero.predict(as_list), total, rtol=1e-6, atol=1e-6 * scale)

    if drawn.boundary == "periodic":
        for axis, focus in zip(drawn.grid_axes(), drawn.focus, strict=True):
            doubled = [np.concatenate([x, x], axis=axis) for x in as_list]
            np.testing.assert_allclose(model.predict(doubled), 2 * total, **close)
            shifted = [np.roll(x, int(focus), axis=axis) for x in as_list]
            np.testing.assert_allclose(model.predict(shifted), total, **close)
    if drawn.kind in SMOOTH and drawn.n_outputs == 1:
        check_gradient(model, as_list)
    check_lazy(model, as_list, total)
    check_file(model, as_list, total, tmp_path)


def check_gradient(model, fields):
    field = fields[0].astype(float)
    gradients = model.predict_gradient([field])[0]
    direction = np.random.default_rng(0).normal(size=field.shape)
    step = 1e-5
    ahead, behind = model.predict([field + step * direction, field - step * direction])
    expected = (ahead - behind) / (2 * step)
    scale = np.abs(gradients).max() * np.sqrt(field.size)
    assert abs((gradients * direction).sum() - expected) < 1e-4 * scale + 1e-6


def check_lazy(model, fields, total):
    da = pytest.importorskip("dask.array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", da.PerformanceWarning)  # chunks narrower than the context
        lazy = model.predict([da.from_array(x, chunks=2) for x in fields])
    np.testing.assert_allclose(lazy.compute(scheduler="synchronous"), total, rtol=1e-9, atol=1e-9)


def check_file(model, fields, total, tmp_path):
    pytest.importorskip("skops")
    from sk_ednn import files

    files.save(model, tmp_path / "model.ednn")
    np.testing.assert_array_equal(files.load(tmp_path / "model.ednn").predict(fields), total)


@pytest.mark.parametrize("seed", range(N_FAST))
@pytest.mark.filterwarnings("ignore::sk_ednn.exceptions.ExtensivityWarning")
def test_some_models(seed, tmp_path):
    check(Drawn(seed), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::sk_ednn.exceptions.ExtensivityWarning")
def test_many_models(tmp_path):
    """Other seeds, and more of them: ``SK_EDNN_SEED=1000 SK_EDNN_MODELS=5000``."""
    start = int(os.environ.get("SK_EDNN_SEED", N_FAST))
    n_models = int(os.environ.get("SK_EDNN_MODELS", N_MODELS))
    failures = {}
    for seed in range(start, start + n_models):
        try:
            check(Drawn(seed), tmp_path)
        except Exception as error:  # all of them are reported together
            failures[seed] = f"{type(error).__name__}: {str(error).strip()[:300]}"
    assert not failures, f"{len(failures)} of {n_models} seeds: {failures}"
