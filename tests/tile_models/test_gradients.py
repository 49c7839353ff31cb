"""Gradients of totals with respect to fields, compared with finite differences."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.fields._fields import check_fields
from sk_ednn.tiling._grid_gradient import add_tiles
from tests._cases import BOUNDARIES, make_field

MODELS = {
    "linear kernel": KernelRidge(kernel="linear", alpha=1.0),
    "polynomial kernel": KernelRidge(kernel="poly", gamma=0.1, degree=3, coef0=0.7, alpha=1e-3),
    "rbf kernel": KernelRidge(kernel="rbf", alpha=1e-3),
    "sigmoid kernel": KernelRidge(kernel="sigmoid", gamma=0.05, alpha=1.0),
    "ridge": Ridge(),
    "lasso": Lasso(alpha=0.1),
    "perceptron": MLPRegressor(
        hidden_layer_sizes=(5, 4), activation="tanh", max_iter=5, random_state=0
    ),
    "logistic": MLPRegressor(
        hidden_layer_sizes=(5,), activation="logistic", max_iter=5, random_state=0
    ),
    "scaled": make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3)),
    "reduced": make_pipeline(
        MinMaxScaler(), "passthrough", PCA(4, whiten=True), KernelRidge(kernel="rbf", alpha=1e-3)
    ),
    "process": GaussianProcessRegressor(ConstantKernel(2.0) * RBF(1.3) + WhiteKernel(0.1)),
    "process, one length a feature": make_pipeline(
        StandardScaler(), PCA(3), GaussianProcessRegressor(RBF([0.7, 1.0, 2.0]), optimizer=None)
    ),
    "rough process": GaussianProcessRegressor(Matern(2.0, nu=2.5), alpha=1e-2, optimizer=None),
    "rougher process": GaussianProcessRegressor(Matern(2.0, nu=1.5), alpha=1e-2, optimizer=None),
    "process of many lengths": GaussianProcessRegressor(
        RationalQuadratic(2.0, alpha=0.8), alpha=1e-2, normalize_y=True, optimizer=None
    ),
    "product and power of kernels": GaussianProcessRegressor(
        DotProduct(0.5) ** 2 * RBF(2.0) + ExpSineSquared(1.2, 7.0) * Matern(3.0, nu=np.inf),
        alpha=1e-2,
        optimizer=None,
    ),
    "products": make_pipeline(
        StandardScaler(), PolynomialFeatures(3), PCA(9), PolynomialFeatures((2, 2)), Ridge()
    ),
    "products of different inputs": make_pipeline(
        PolynomialFeatures(2, interaction_only=True, include_bias=False), Ridge()
    ),
    "nystroem": make_pipeline(Nystroem(gamma=0.1, n_components=8, random_state=0), Ridge()),
}


def squares(X):
    return (X**2 + 0.3 * X * np.roll(X, 1, axis=1)).sum(axis=tuple(range(1, X.ndim)))


def finite_difference(model, field, direction, step=1e-4):
    """Return a central difference of fourth order."""
    ends = np.stack([field + k * step * direction for k in (-2, -1, 1, 2)])
    return model.predict(ends) @ np.array([1, -8, 8, -1]) / (12 * step)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_gradient_equals_finite_differences(name, rng):
    if isinstance(MODELS[name], MLPRegressor):
        pytest.importorskip("torch")  # which trains it
    X = make_field("float64", 12, (6, 4))
    tiling = GridTiling((2, 1), 1)
    model = EDNNRegressor(MODELS[name], tiling, baseline="content").fit(X, squares(X))
    gradient = model.predict_gradient(X[:2])
    assert gradient.shape == (2, 6, 4) and gradient.dtype == np.float64
    for field, of_field in zip(X[:2], gradient, strict=True):
        direction = rng.normal(size=field.shape)
        expected = finite_difference(model, field, direction)
        assert np.sum(of_field * direction) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_add_tiles_is_the_adjoint_of_read(boundary, channel_axis, rng):
    shape = {None: (6, 4), 0: (3, 6, 4), -1: (6, 4, 3)}[channel_axis]
    tiling = GridTiling((2, 1), (1, 5), boundary=boundary, channel_axis=channel_axis)
    x = rng.normal(size=(2, *shape))
    fields = check_fields(x)
    for max_tiles in (100, 5):
        out, expected = np.zeros_like(x), 0.0
        for block in tiling.plan(fields, max_tiles):
            tiles = tiling.read(fields, block)
            values = rng.normal(size=tiles.shape)
            expected += np.sum(values * tiles)
            add_tiles(out[block.samples], tiling, block.region, values)
        assert np.sum(out * x) == pytest.approx(expected, rel=1e-12)


def test_gradient_of_several_terms_and_sizes(rng):
    X = make_field("float64", 12, (6, 4))
    terms = [
        ("near", Ridge(), GridTiling(1, 0)),
        ("far", Ridge(), GridTiling(2, 1)),
    ]
    model = EDNNRegressor(terms).fit(X, squares(X))
    fields = [rng.normal(size=(4, 4)), rng.normal(size=(8, 6))]
    for field, gradient in zip(fields, model.predict_gradient(fields), strict=True):
        direction = rng.normal(size=field.shape)
        expected = finite_difference(model, field, direction)
        assert gradient.shape == field.shape
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("tile_model", "words"),
    [
        (DecisionTreeRegressor(max_depth=2), "BoostedSum is not implemented"),
        (make_pipeline(SplineTransformer(), Ridge()), "SplineTransformer is not implemented"),
        (KernelRidge(kernel="laplacian"), "got kernel='laplacian'"),
        (GaussianProcessRegressor(Matern(nu=0.5), optimizer=None), "got nu=0.5. With nu=0.5"),
        (
            GaussianProcessRegressor(PairwiseKernel(), optimizer=None),
            "PairwiseKernel.* not implemented",
        ),
        (make_pipeline(MinMaxScaler(clip=True), Ridge()), "not differentiable where it clips"),
    ],
)
def test_error_names_the_step_without_gradient(tile_model, words):
    X = make_field("float64", 12, (4, 4))
    model = EDNNRegressor(tile_model, GridTiling(1, 1)).fit(X, squares(X))
    with pytest.raises(TileModelError, match=words):
        model.predict_gradient(X[:1])
