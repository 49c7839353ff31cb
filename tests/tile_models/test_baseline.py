"""Baselines, compared with least squares on features of the fields."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.tile_models._baseline import fit_baselines, focus_features
from tests._cases import make_field

# (tiling, shape of a field, shape of another) for all kinds of channels, contexts and boundaries.
CASES = {
    "1-D": (GridTiling(2, 1), (4,), (8,)),
    "2-D": (GridTiling((2, 1), (0, 2)), (4, 3), (2, 6)),
    "channels": (GridTiling(2, 1, channel_axis=0), (3, 4, 2), (3, 6, 4)),
    "zero": (GridTiling(1, 2, boundary="zero"), (4, 3), (2, 2)),
}


def mixed(name, kind="float64"):
    tiling, shape, other = CASES[name]
    return tiling, [*make_field(kind, 8, shape), *make_field(kind, 6, other, 1)]


def contents(tiling, X):
    """Return the features of the baseline, computed from the fields themselves."""
    rows = []
    for field in X:
        if tiling.channel_axis is None:
            rows.append([field.size, field.sum(dtype=float)])
        else:
            rows.append([field[0].size, *field.sum(axis=(1, 2), dtype=float)])
    return np.array(rows)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["float64", "spins", "bool"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("baseline", ["size", "content"])
def test_baseline_is_least_squares_on_extensive_features(name, kind, weighted, baseline, rng):
    tiling, X = mixed(name, kind)
    fields = tiling.check(X)
    y = rng.normal(size=(len(X), 2))
    weight = rng.uniform(0.1, 2, size=len(X)) if weighted else None
    (fitted,), totals = fit_baselines(baseline, [tiling], fields, y, weight)

    features = contents(tiling, X)[:, : 1 if baseline == "size" else None]
    root = np.sqrt(np.ones(len(X)) if weight is None else weight)[:, None]
    coefficients = np.linalg.lstsq(root * features, root * y, rcond=None)[0]
    np.testing.assert_allclose(fitted.coefficients, coefficients, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(totals, features @ coefficients, rtol=1e-10, atol=1e-12)

    # What the tiles give adds up to the totals: contexts are not counted.
    tiles = tiling.tiles(fields)
    np.testing.assert_allclose(tiles.total(fitted.predict(tiles.array())), totals, atol=1e-10)


def test_no_baseline():
    tiling, X = mixed("1-D")
    y = np.ones((len(X), 1))
    (fitted,), totals = fit_baselines(None, [tiling], tiling.check(X), y, None)
    assert fitted is None
    np.testing.assert_array_equal(totals, np.zeros_like(y))


def test_focus_features_of_a_tile():
    tile = np.arange(2 * 4 * 3 * 2.0).reshape(2, 4, 3, 2)  # windows 4 x 3, two channels
    focus = (slice(1, 3), slice(1, 2))
    np.testing.assert_array_equal(focus_features(tile, focus, "size", 3), [[2.0], [2.0]])
    content = tile[:, 1:3, 1].sum(axis=1)
    np.testing.assert_array_equal(
        focus_features(tile, focus, "content", 3), np.hstack([[[2.0], [2.0]], content])
    )


@pytest.mark.parametrize("baseline", [None, "size", "content"])
def test_constant_fields_are_extensive_for_all_baselines(baseline):
    """A constant per sample would show at other sizes."""
    X = make_field("float64", 40, (4, 4))
    y = 7.0 * 16 + X.sum(axis=(1, 2))
    model = EDNNRegressor(Ridge(1e-8), GridTiling(1, 0), baseline=baseline).fit(X, y)
    big = make_field("float64", 5, (8, 12), 1)
    np.testing.assert_allclose(model.predict(big), 7.0 * 96 + big.sum(axis=(1, 2)), rtol=1e-7)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-7])
def test_features_collinear_up_to_round_off(noise, rng):
    """All samples have equal channel sums, as rasterised structures of one formula do."""
    tiling = GridTiling(1, 0, channel_axis=-1)
    X = rng.random((20, 4, 4, 2))
    X *= 5 / X.sum(axis=(1, 2), keepdims=True) * (1 + noise * rng.normal(size=(20, 1, 1, 2)))
    y = -40.0 + 0.1 * rng.normal(size=(20, 1))
    (baseline,), totals = fit_baselines("content", [tiling], tiling.check(X), y, None)
    assert np.abs(totals + 40.0).max() < 0.2
    other = rng.random((1, 8, 8, 2))
    predicted = baseline.predict(tiling.tiles(other).values).sum()
    assert abs(predicted) < 1000  # of some 200: no huge coefficients that cancel


def test_contents_of_integers_do_not_overflow():
    tiling = GridTiling(16, 0)
    X = np.full((3, 16, 16), 127, dtype=np.int8)
    tiles = tiling.tiles(X).array()
    features = focus_features(tiles, tiling.focus_sites((16, 16)), "content", 2)
    np.testing.assert_array_equal(features, [[256.0, 127.0 * 256]] * 3)
