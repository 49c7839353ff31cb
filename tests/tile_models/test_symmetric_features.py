"""Features that a point group leaves unchanged: laws over dimensions, channels and groups."""

from itertools import permutations, product

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.simulation import Metropolis
from sk_ednn.tile_models import SymmetricFeatures
from sk_ednn.tile_models._degree import polynomial_degree
from sk_ednn.tiling import ChannelScaler

GROUPS = [
    ("reflect",),
    ("rotate",),
    ("reflect", "rotate"),
    ("rotate", "flip"),
    ("reflect", "reverse"),
]
# Grid, focus, context and channels.
KINDS = {
    "chain": ((8,), 1, 1, None),
    "chain of two channels": ((8,), 2, 1, 2),
    "square": ((4, 4), 1, 1, None),
    "square of wide tiles": ((4, 4), 2, 1, None),
    "square of two channels": ((4, 4), 1, 1, 2),
    "cube": ((4, 4, 4), 1, 1, None),
}


def images(fields, n_axes, symmetries):
    """Return fields after each operation of a group, by numpy's own rotations."""
    found = []
    for order, flips in product(permutations(range(n_axes)), product((1, -1), repeat=n_axes)):
        matrix = np.eye(n_axes)[list(order)] * flips
        turned = np.linalg.det(matrix) > 0
        kept = order == tuple(range(n_axes))
        if "reflect" not in symmetries and not turned:
            continue
        if "rotate" not in symmetries and not kept:
            continue
        moved = fields.transpose(0, *(1 + axis for axis in order), *range(1 + n_axes, fields.ndim))
        moved = np.flip(moved, [1 + axis for axis, sign in enumerate(flips) if sign < 0])
        kinds = [moved, -moved] if "flip" in symmetries else [moved]
        # Without channels there is nothing to reverse.
        if "reverse" in symmetries and fields.ndim > 1 + n_axes:
            kinds += [each[..., ::-1] for each in kinds]
        found += kinds
    return found


def problem(kind, n=12):
    grid, focus, context, n_channels = KINDS[kind]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, *grid, *([n_channels] if n_channels else [])))
    tiling = GridTiling(focus, context, channel_axis=-1 if n_channels else None)
    return X, rng.normal(size=n), tiling, len(grid)


def fitted(features, kind, alpha=0.1):
    X, y, tiling, _ = problem(kind)
    return EDNNRegressor(make_pipeline(features, Ridge(alpha)), tiling).fit(X, y)


@pytest.mark.parametrize("symmetries", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_do_not_change_under_the_group(kind, symmetries):
    X, _, _, n_axes = problem(kind)
    model = fitted(SymmetricFeatures(symmetries=symmetries), kind)
    expected = model.predict(X)
    assert np.ptp(expected) > 0.1
    for moved in images(X, n_axes, symmetries):
        np.testing.assert_allclose(model.predict(moved), expected, atol=1e-10)


def test_without_the_features_predictions_change():
    X, _, _, n_axes = problem("square")
    model = fitted(PolynomialFeatures(2), "square")
    changes = [model.predict(m) - model.predict(X) for m in images(X, n_axes, ("rotate",))]
    assert np.abs(changes).max() > 0.1


@pytest.mark.parametrize("symmetries", GROUPS)
@pytest.mark.parametrize("kind", ["chain of two channels", "square", "square of wide tiles"])
def test_ridge_is_that_of_all_images_of_the_samples(kind, symmetries):
    X, y, tiling, n_axes = problem(kind)
    moved = images(X, n_axes, symmetries)
    augmented = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(0.1)), tiling).fit(
        np.concatenate(moved),
        np.tile(y, len(moved)),
        sample_weight=np.full(len(moved) * len(y), 1 / len(moved)),
    )
    model = fitted(SymmetricFeatures(symmetries=symmetries), kind)
    np.testing.assert_allclose(model.predict(X), augmented.predict(X), atol=1e-8)


@pytest.mark.parametrize("symmetries", GROUPS)
@pytest.mark.parametrize("kind", ["chain of two channels", "square", "cube"])
def test_orbits_of_products_give_the_ridge_of_means_over_the_group(kind, symmetries):
    X = problem(kind)[0]
    orbits = fitted(SymmetricFeatures(PolynomialFeatures(2), symmetries), kind)
    means = fitted(SymmetricFeatures(make_pipeline(PolynomialFeatures(2)), symmetries), kind)
    np.testing.assert_allclose(orbits.predict(X), means.predict(X), atol=1e-8)


def test_any_transformer_is_averaged():
    features = SymmetricFeatures(FunctionTransformer(np.sin), window=(3, 3))
    rows = np.random.default_rng(0).normal(size=(4, 9))
    turned = np.rot90(rows.reshape(-1, 3, 3), axes=(1, 2)).reshape(-1, 9)
    features.fit(rows)
    np.testing.assert_allclose(features.transform(turned), features.transform(rows), atol=1e-12)


@pytest.mark.parametrize("wrapped", [False, True], ids=["orbits", "means"])
def test_gradients_are_those_of_finite_differences(wrapped):
    X = problem("square of two channels")[0]
    features = ChannelScaler(2) if wrapped else PolynomialFeatures(3)
    model = fitted(SymmetricFeatures(features), "square of two channels")
    direction = np.random.default_rng(1).normal(size=X.shape)
    along = (model.predict_gradient(X) * direction).sum(axis=(1, 2, 3))
    h = 1e-5
    change = model.predict(X + h * direction) - model.predict(X - h * direction)
    np.testing.assert_allclose(along, change / (2 * h), rtol=1e-5, atol=1e-7)


def test_more_products_than_fit_into_memory_are_the_same(monkeypatch):
    X = problem("square")[0]
    model = fitted(SymmetricFeatures(), "square")
    expected = model.predict(X)
    monkeypatch.setattr("sk_ednn.tile_models._symmetric_features._PRODUCTS", 200)
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-12)


def test_models_of_second_degree_are_known_as_such():
    model = fitted(SymmetricFeatures(), "square")
    assert polynomial_degree(model.tile_model_.estimator) == 2
    means = fitted(SymmetricFeatures(ChannelScaler()), "square")
    assert polynomial_degree(means.tile_model_.estimator) is None
    spins = np.random.default_rng(0).choice([-1, 0, 1], size=(8, 8))
    chain = Metropolis(model, 2.0, random_state=0).run(spins, 2)
    np.testing.assert_allclose(chain.energies[-1, 0], model.predict(chain.fields[0]))


@pytest.mark.parametrize("features", [SymmetricFeatures(), SymmetricFeatures(ChannelScaler())])
def test_files_keep_the_symmetries(features, tmp_path):
    pytest.importorskip("skops")
    from sk_ednn.files import load, save

    X = problem("square")[0]
    model = fitted(features, "square")
    expected = model.predict(X)
    save(model, tmp_path / "model.ednn")
    np.testing.assert_array_equal(load(tmp_path / "model.ednn").predict(X), expected)


def test_parameters_stay_as_they_were():
    features = SymmetricFeatures(PolynomialFeatures(2), "reflect")
    before = str(features.get_params())
    fitted(features, "square")
    assert str(features.get_params()) == before and not hasattr(features, "transformer_")
    assert str(clone(features).get_params()) == before


@pytest.mark.parametrize(
    ("features", "tiling", "words"),
    [
        (SymmetricFeatures(symmetries="turn"), GridTiling(1, 1), "must be some of"),
        (SymmetricFeatures(symmetries=()), GridTiling(1, 1), "must be some of"),
        (SymmetricFeatures(), GridTiling((1, 2), 1), "change their shape when they are rotated"),
        (SymmetricFeatures(), GridTiling(1, (0, 1)), "Leave out 'rotate'"),
        (SymmetricFeatures(window=(2, 2)), GridTiling(1, 1), "Leave out window"),
    ],
)
def test_tiles_without_the_symmetry_are_named(features, tiling, words):
    model = EDNNRegressor(make_pipeline(features, Ridge()), tiling)
    with pytest.raises(TileModelError, match=words):
        model.fit(np.zeros((3, 4, 4)), np.zeros(3))


def test_reflections_do_not_need_equal_lengths():
    X, y, _, n_axes = problem("square")
    pairs = make_pipeline(SymmetricFeatures(symmetries="reflect"), Ridge(0.1))
    model = EDNNRegressor(pairs, GridTiling((1, 2), (1, 0))).fit(X, y)
    for moved in images(X, n_axes, ("reflect",)):
        np.testing.assert_allclose(model.predict(moved), model.predict(X), atol=1e-10)


def test_the_window_must_be_known_and_that_of_the_tiles():
    with pytest.raises(TileModelError, match="does not know the shape of the window"):
        SymmetricFeatures().fit(np.zeros((2, 9)))
    with pytest.raises(TileModelError, match="do not have a window"):
        SymmetricFeatures(window=(3, 3)).fit(np.zeros((2, 8)))
