"""Warnings of data that can be used, and may not be what was meant."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import DataWarning, ExtensivityWarning
from tests._cases import make_field


def fit(shape, channel_axis=None, kind=np.asarray):
    X = make_field("float32", 6, shape)
    tiling = GridTiling(1, 0, channel_axis=channel_axis)
    return EDNNRegressor(Ridge(), tiling).fit(kind(X), X.reshape(6, -1).sum(axis=1))


def lazy(X):
    return pytest.importorskip("dask.array").from_array(X)


@pytest.mark.parametrize("kind", [np.asarray, list, lazy])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((12, 16, 3), -1),
        ((3, 12, 16), 0),
        ((8, 8, 1), -1),
        ((4, 16, 16), 0),
        ((40, 2), -1),
        ((8, 9, 10, 2), -1),
    ],
)
def test_axes_that_look_like_channels_are_named(shape, axis, kind):
    with pytest.warns(DataWarning, match=rf"shape .* have \d site.* set channel_axis={axis} of"):
        fit(shape, kind=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        fit(shape, channel_axis=axis, kind=kind)


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (3, 3, 3), (6, 2), (16, 16, 5), (12, 4), (30,)])
def test_other_fields_do_not_warn(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        fit(shape)


def test_the_warning_points_at_the_caller():
    with pytest.warns(DataWarning) as caught:
        EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(make_field("bool", 6, (9, 9, 2)), np.arange(6))
    assert caught[0].filename == __file__


def test_a_context_that_nobody_set_is_not_remarked_upon():
    X = np.random.default_rng(0).normal(size=(20, 1, 6))
    y = X.sum(axis=(1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExtensivityWarning)
        EDNNRegressor(Ridge()).fit(X, y)
    with pytest.warns(ExtensivityWarning, match="exceeds half"):
        EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, y)


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("kind", [np.asarray, list])
@pytest.mark.parametrize("shape", [(5, 5, 5, 3), (6, 6, 2)])
def test_vectors_on_small_lattices_look_like_channels(shape, kind, axis):
    X = np.random.default_rng(0).normal(size=(6, *shape))
    X /= np.linalg.norm(X, axis=-1, keepdims=True)
    X = X if axis == -1 else np.moveaxis(X, -1, 1)
    regressor = EDNNRegressor(Ridge(), GridTiling(1, 0))
    with pytest.warns(DataWarning, match=rf"components of a vector, set channel_axis={axis} of"):
        regressor.fit(kind(X), np.arange(6))


@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).choice([-1.0, 1.0], size=(6, 6, 6, 2)),  # layers of spins
        np.random.default_rng(0).normal(size=(6, 6, 6, 2)),
        np.zeros((6, 6, 6, 2)),
        np.ones((6, 6, 6, 2), dtype=np.int8),
    ],
    ids=["spins", "amounts", "zeros", "integers"],
)
def test_slabs_do_not_look_like_channels(X):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X, np.arange(6))
