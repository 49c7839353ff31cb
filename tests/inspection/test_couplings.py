"""Couplings equal those of the energies that a model was fitted to, with their signs."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.encoders import AngleFields, OneHotFields
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.inspection import couplings
from sk_ednn.tiling import BagTiling

QUADRATIC = make_pipeline(PolynomialFeatures(2), Ridge(1e-8))


def sum_over_pairs(fields, displacement, function, boundary="periodic"):
    """Sum a function of the values at each site and at a displacement from it."""
    axes = tuple(range(1, len(displacement) + 1))
    other = np.roll(fields, [-d for d in displacement], axes)
    terms = function(fields, other)
    if boundary != "periodic":
        for axis, d in zip(axes, displacement, strict=True):
            n = terms.shape[axis]
            terms = terms.take(np.arange(max(0, -d), n - max(0, d)), axis)
    return terms.reshape(len(fields), -1).sum(axis=1)


def found_at(result, name):
    """Return the coefficient of each displacement, of one sign of it."""
    rows = map(tuple, result.displacements.tolist())
    return dict(zip(rows, result.coefficients[name].tolist(), strict=True))


# Name: (tiling, shape of a field, coefficients of products by displacement).
ISING = {
    "chain": (GridTiling(1, 2), (12,), {(1,): -1.0, (2,): 0.4}),
    "square": (GridTiling(1, 1), (6, 6), {(0, 1): -1.0, (1, 0): -0.5, (1, -1): 0.3}),
    "zero": (GridTiling(1, 1, boundary="zero"), (6, 5), {(0, 1): -1.0, (1, 1): 0.3}),
    "focus": (GridTiling(2, 1), (6, 6), {(0, 1): -1.0, (1, 0): -0.7, (1, 1): 0.2}),
    "space": (GridTiling(1, (1, 0, 1)), (4, 3, 4), {(0, 0, 1): -1.0, (1, 0, 0): 0.5}),
    "channel first": (GridTiling(1, 1, channel_axis=0), (1, 6, 6), {(0, 1): -1.0, (1, 1): 0.2}),
    "whole axis": (GridTiling((1, None), (1, 0)), (6, 5), {(1, 0): -1.0, (0, 2): -0.2}),
}  # fmt: skip


@pytest.mark.parametrize("name", ISING)
def test_spins_in_a_field(name):
    tiling, shape, terms = ISING[name]
    X = np.random.default_rng(0).choice([-1, 1], size=(700, *shape))
    grid = X.reshape(len(X), *(shape if tiling.channel_axis is None else shape[1:]))
    y = 0.25 * X.reshape(len(X), -1).sum(axis=1)
    for displacement, coefficient in terms.items():
        y += coefficient * sum_over_pairs(grid, displacement, np.multiply, tiling.boundary)
    model = EDNNRegressor(QUADRATIC, tiling).fit(X, y)
    result = couplings(model, X, n_fields=4, random_state=0)
    found = found_at(result, "product")
    for displacement, coefficient in found.items():
        opposite = tuple(-d for d in displacement)
        expected = terms.get(displacement, terms.get(opposite, 0.0))
        assert coefficient == pytest.approx(expected, abs=1e-3), displacement
    missing = set(terms) - set(found) - {tuple(-d for d in each) for each in found}
    assert not missing
    (field,) = result.site_coefficients.values()
    assert field == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_allclose(result.site_energies, [-0.25, 0.25], atol=1e-3)
    large = np.array([abs(each) > 0.1 for each in found.values()])
    np.testing.assert_allclose(result.explained[large], 1, atol=1e-6)


@pytest.mark.parametrize("period", [2 * np.pi, 360.0])
def test_planar_spins_with_a_handed_term_and_a_field(period):
    turn = 2 * np.pi / period
    X = np.random.default_rng(0).uniform(0, period, size=(400, 6, 6))
    y = 0.2 * np.cos(turn * X).sum((1, 2)) - 0.1 * np.sin(2 * turn * X).sum((1, 2))
    y += sum_over_pairs(X, (0, 1), lambda a, b: -1.3 * np.cos(turn * (a - b)))
    y += sum_over_pairs(X, (1, 0), lambda a, b: 0.4 * np.sin(turn * (b - a)))
    y += sum_over_pairs(X, (1, 1), lambda a, b: 0.3 * np.cos(2 * turn * (a - b)))
    model = make_pipeline(
        AngleFields(period=period, harmonics=2),
        EDNNRegressor(QUADRATIC, GridTiling(1, 1, channel_axis=-1)),
    ).fit(X, y)
    result = couplings(model, X, n_fields=3, random_state=0)
    expected = {
        "cos of difference": {(0, 1): -1.3},
        "sin of difference": {(1, 0): 0.4},
        "cos of 2 difference": {(1, 1): 0.3},
        "sin of 2 difference": {},
    }
    for name, terms in expected.items():
        for displacement, coefficient in found_at(result, name).items():
            assert coefficient == pytest.approx(terms.get(displacement, 0), abs=1e-3)
    assert result.site_coefficients["cos of angle"] == pytest.approx(0.2, abs=1e-3)
    assert result.site_coefficients["sin of 2 angle"] == pytest.approx(-0.1, abs=1e-3)


def test_labels_that_attract_their_like():
    X = np.random.default_rng(0).choice([2, 5, 7], size=(500, 6, 6))
    y = sum_over_pairs(X, (0, 1), lambda a, b: -1.0 * (a == b))
    y += sum_over_pairs(X, (1, 0), lambda a, b: 0.5 * ((a == 2) & (b == 5)))
    y += 0.3 * (X == 7).sum(axis=(1, 2))
    model = make_pipeline(
        OneHotFields(), EDNNRegressor(QUADRATIC, GridTiling(1, 1, channel_axis=-1))
    ).fit(X, y)
    options = {"site_functions": {"seven": lambda a: a == 7}, "n_fields": 3, "random_state": 0}
    with pytest.warns(UserWarning, match=r"equality explains 12.5 % .* displacement \[1, 0\]"):
        result = couplings(model, X, **options)
    found, explained = (
        found_at(result, "equality"),
        dict(zip(map(tuple, result.displacements.tolist()), result.explained, strict=True)),
    )
    assert found[0, 1] == pytest.approx(-1, abs=1e-3)
    assert explained[0, 1] > 1 - 1e-6 and explained[1, 0] < 0.5  # no equality
    one = {"2 before 5": lambda a, b: (a == 2) & (b == 5)}
    with pytest.warns(UserWarning, match=r"2 before 5 explains 12.5 % .* displacement \[0, 1\]"):
        result = couplings(model, X, pair_functions=one, **options)
    assert found_at(result, "2 before 5")[1, 0] == pytest.approx(0.5, abs=1e-3)
    # The mean of a pair over the other label belongs to single sites.
    expected = [1 / 18 - 0.1, 1 / 18 - 0.1, -1 / 9 + 0.2]
    np.testing.assert_allclose(result.site_energies, expected, atol=1e-3)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_terms_add_up_to_the_total(boundary):
    """Of any model in which only pairs interact, for fields of the values that were measured."""
    rng = np.random.default_rng(0)
    values = np.array([0.0, 1.0, 3.0])
    X = rng.choice(values, size=(40, 6, 6))
    y = rng.normal(size=40)
    model = EDNNRegressor(QUADRATIC, GridTiling(1, 1, boundary=boundary)).fit(X, y)
    result = couplings(model, X, n_fields=2, random_state=0)
    assert (result.spread < 1e-6 * np.abs(result.tables).max()).all()
    if boundary != "periodic":
        return  # sites at the boundary have other terms
    states = rng.integers(3, size=(8, 9, 6))
    sums = result.site_energies[states].sum(axis=(1, 2))
    for displacement, table in zip(result.displacements, result.tables, strict=True):
        sums += sum_over_pairs(states, displacement, lambda a, b, table=table: table[a, b])
    totals = model.predict(values[states])
    np.testing.assert_allclose(totals - totals.mean(), sums - sums.mean(), atol=1e-6)


def test_what_is_no_pair_is_spread():
    """A term of three sites has no mean in pairs, and differs from field to field."""
    X = np.random.default_rng(0).choice([-1, 1], size=(600, 8))
    y = sum_over_pairs(X, (1,), lambda a, b: a * b * np.roll(X, -2, 1))
    y = y + 0.5 * sum_over_pairs(X, (1,), np.multiply)
    cubic = make_pipeline(PolynomialFeatures(3, interaction_only=True), Ridge(1e-8))
    model = EDNNRegressor(cubic, GridTiling(1, 1)).fit(X, y)
    result = couplings(model, X, n_fields=200, random_state=0)
    assert (result.spread > 0.5).all()
    for displacement, coefficient, error in zip(
        result.displacements[:, 0], result.coefficients["product"],
        result.std_errors["product"], strict=True,
    ):  # fmt: skip
        assert error < 0.15
        assert abs(coefficient - (0.5 if displacement == 1 else 0)) < 4 * error + 1e-6
    assert np.isnan(couplings(model, X, n_fields=1).std_errors["product"]).all()


def test_searches_and_committees_have_couplings():
    rng = np.random.default_rng(0)
    X = rng.choice([-1, 1], size=(300, 6, 6))
    y = -1.0 * sum_over_pairs(X, (0, 1), np.multiply)
    regressor = EDNNRegressor(QUADRATIC, GridTiling(1, 1))
    committee = EDNNCommittee(regressor, 2, random_state=0)
    for model in (GridSearchCV(regressor, {"tiling__context": [1]}, cv=2), committee):
        result = couplings(model.fit(X, y), X, n_fields=2, max_distance=1, random_state=0)
        assert found_at(result, "product")[0, 1] == pytest.approx(-1, abs=1e-3)
        assert np.abs(result.displacements).max() == 1


def test_many_values_are_quantiles_and_sites_may_be_alone():
    X = np.random.default_rng(0).normal(size=(60, 5, 5))
    model = EDNNRegressor(Ridge(1e-9), GridTiling(1, 0)).fit(X, 2 * X.sum(axis=(1, 2)))
    result = couplings(model, X, random_state=0)
    assert result.site_values.shape == (8,) and result.displacements.shape == (0, 2)
    assert result.site_coefficients["value"] == pytest.approx(2, abs=1e-6)


def test_what_has_no_couplings_is_refused():
    rng = np.random.default_rng(0)
    X = rng.choice([-1, 1], size=(40, 6, 6))
    model = EDNNRegressor(QUADRATIC, GridTiling(1, 1)).fit(X, X.sum(axis=(1, 2)))
    with pytest.raises(ValueError, match="two or more numbers of shape"):
        couplings(model, X, values=[[1, 2]])
    with pytest.raises(ValueError, match="'f' must return one number for each of 4 values"):
        couplings(model, X, pair_functions={"f": lambda a, b: 1.0})
    two = EDNNRegressor(QUADRATIC, GridTiling(1, 1)).fit(X, rng.normal(size=(40, 2)))
    with pytest.raises(TileModelError, match="one total; this one predicts 2"):
        couplings(two, X)
    bags = [rng.normal(size=(5, 2)) for _ in range(20)]
    sums = np.array([bag.sum() for bag in bags])
    with pytest.raises(TilingError, match="couplings needs a model of fields on a grid"):
        couplings(EDNNRegressor(Ridge(), BagTiling()).fit(bags, sums), bags)
    colours = rng.normal(size=(20, 2, 6, 6))
    model = EDNNRegressor(Ridge(), GridTiling(1, 0, channel_axis=0))
    model.fit(colours, colours.sum(axis=(1, 2, 3)))
    with pytest.raises(ValueError, match="set `values` to some of them"):
        couplings(model, colours)
    assert couplings(model, colours, values=np.eye(2)).site_coefficients == pytest.approx(
        {"channel 0": 0, "channel 1": 0}, abs=0.01
    )


def test_terms_of_spins_of_three_values_are_those_of_the_energy_as_written():
    """Functions that are not zero on average over one site add to single sites in expansions."""
    J, D, K, h = 2.4, 1.1, 0.6, 0.3
    rng = np.random.default_rng(0)
    X = rng.integers(-1, 2, (300, 5, 6))
    s = X.astype(float)
    y = (D * s**2 - h * s).sum(axis=(1, 2))
    for axis in (1, 2):
        other = np.roll(s, 1, axis)
        y += (-J * s * other - K * (s * other) ** 2).sum(axis=(1, 2))
    channels = np.stack([s, s**2], axis=-1)
    pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-8))
    model = EDNNRegressor(pairs, GridTiling(1, 1, channel_axis=-1)).fit(channels, y)
    values = np.array([[-1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    found = couplings(
        model, channels, values=values, random_state=0,
        pair_functions={
            "product": lambda a, b: a[:, 0] * b[:, 0], "squares": lambda a, b: a[:, 1] * b[:, 1],
        },
        site_functions={"s": lambda a: a[:, 0], "s2": lambda a: a[:, 1]},
    )  # fmt: skip
    near = np.abs(found.displacements).sum(axis=1) == 1
    for name, expected in (("product", -J), ("squares", -K)):
        np.testing.assert_allclose(found.coefficients[name][near], expected, atol=1e-5)
        np.testing.assert_allclose(found.coefficients[name][~near], 0, atol=1e-5)
    assert found.site_coefficients["s2"] == pytest.approx(D, abs=1e-5)
    assert found.site_coefficients["s"] == pytest.approx(-h, abs=1e-5)


def test_an_occupation_has_the_field_of_the_lattice_gas():
    """E = u n n' + m n of numbers of 0 and 1, of which products are not zero on average."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (200, 6, 6))
    y = 0.7 * X.sum(axis=(1, 2)) - 1.5 * sum(
        (X * np.roll(X, 1, a)).sum(axis=(1, 2)) for a in (1, 2)
    )
    model = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(1e-8)), GridTiling(1, 1))
    found = couplings(model.fit(X, y), X, random_state=0)
    near = np.abs(found.displacements).sum(axis=1) == 1
    np.testing.assert_allclose(found.coefficients["product"][near], -1.5, atol=1e-5)
    assert found.site_coefficients["value"] == pytest.approx(0.7, abs=1e-5)


def test_defaults_serve_labels():
    X = np.random.default_rng(0).integers(0, 3, (200, 6, 6))
    y = -sum((X == np.roll(X, 1, a)).sum(axis=(1, 2)) for a in (1, 2)).astype(float)
    pairs = make_pipeline(PolynomialFeatures(2, interaction_only=True), Ridge(1e-6))
    regressor = EDNNRegressor(pairs, GridTiling(1, 1, channel_axis=-1))
    model = make_pipeline(OneHotFields(), regressor).fit(X, y)
    found = couplings(model, X, random_state=0)
    (name,) = found.coefficients
    near = np.abs(found.displacements).sum(axis=1) == 1
    np.testing.assert_allclose(found.coefficients[name][near], -1, atol=1e-3)
    assert found.site_coefficients == {} and found.site_std_errors == {}


def blume_capel(n=150, shape=(5, 6)):
    """Fields of spins -1, 0 and 1, and their energies -2.4 s s' - 0.6 s² s'² + 1.1 s²."""
    X = np.random.default_rng(0).integers(-1, 2, (n, *shape)).astype(np.int8)
    s = X.astype(float)
    y = 1.1 * (s**2).sum(axis=(1, 2))
    for axis in (1, 2):
        both = s * np.roll(s, 1, axis)
        y += (-2.4 * both - 0.6 * both**2).sum(axis=(1, 2))
    return X, y


ON_CHANNELS = EDNNRegressor(
    make_pipeline(PolynomialFeatures(2), Ridge(1e-9)), GridTiling(1, 1, channel_axis=-1)
)


@pytest.mark.parametrize("encoding", ["one-hot", "squares"])
def test_spins_of_three_values_have_the_couplings_of_the_energy_without_options(encoding):
    X, y = blume_capel(300)
    if encoding == "one-hot":
        model, names = make_pipeline(OneHotFields(), ON_CHANNELS), ("product", "product of squares")
    else:
        X = np.stack([X, X**2], axis=-1)
        model, names = ON_CHANNELS, ("product of channel 0", "product of channel 1")
    found = couplings(model.fit(X, y), X, max_distance=1, n_fields=2, random_state=0)
    near = np.abs(found.displacements).sum(axis=1) == 1
    assert tuple(found.coefficients) == names
    np.testing.assert_allclose(found.coefficients[names[0]][near], -2.4, atol=1e-3)
    np.testing.assert_allclose(found.coefficients[names[1]][near], -0.6, atol=1e-3)
    assert min(found.explained[near]) > 1 - 1e-6
    assert list(found.site_coefficients.values()) == pytest.approx([0, 1.1], abs=2e-3)


def test_functions_follow_what_explains_the_interactions():
    """Of labels that are not signed, equality unless only products explain them."""
    X, y = blume_capel(300)
    model = make_pipeline(OneHotFields(), ON_CHANNELS).fit(X + 1, y)
    found = couplings(model, X + 1, max_distance=1, n_fields=2, random_state=0)
    assert "product of squares" in found.coefficients and "square" in found.site_coefficients
    like = (X == np.roll(X, 1, 2)).sum(axis=(1, 2)).astype(float)
    for shift in (1, 9):
        model = make_pipeline(OneHotFields(), ON_CHANNELS).fit(X + shift, like)
        found = couplings(model, X + shift, max_distance=1, n_fields=2, random_state=0)
        assert tuple(found.coefficients) == ("equality",)


def test_products_of_small_integer_types_do_not_overflow():
    X = np.random.default_rng(0).choice(np.array([0, 20], dtype=np.int8), size=(200, 6, 6))
    far = X.astype(float)
    y = sum((far * np.roll(far, 1, a)).sum(axis=(1, 2)) for a in (1, 2))
    model = EDNNRegressor(QUADRATIC, GridTiling(1, 1)).fit(X, y)
    found = couplings(model, X, max_distance=1, n_fields=1, random_state=0)
    assert found_at(found, "product")[0, 1] == pytest.approx(1, abs=1e-3)


def test_functions_that_do_not_explain_an_interaction_are_named():
    X, y = blume_capel(300)
    model = make_pipeline(OneHotFields(), ON_CHANNELS).fit(X, y)
    options = {"max_distance": 1, "n_fields": 2, "random_state": 0}
    with pytest.warns(UserWarning, match=r"equality explains 58.3 % .* pair_functions=") as caught:
        couplings(model, X, pair_functions={"equality": np.equal}, **options)
    assert len(caught) == 1 and caught[0].filename == __file__
    s = X.astype(float)
    mixed = sum((s * np.roll(s, 1, a) ** 2).sum(axis=(1, 2)) for a in (1, 2))
    model.fit(X, y + 3 * mixed)
    with pytest.warns(UserWarning, match="product, product of squares explain"):
        couplings(model, X, **options)
