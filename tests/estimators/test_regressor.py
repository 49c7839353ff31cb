"""EDNNRegressor: what it takes, returns and refuses, and that it is left alone where it refuses."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import AutoEvaluation, Direct, Unique
from sk_ednn.exceptions import (
    EDNNError,
    ExtensivityWarning,
    TileMemoryError,
    TileModelError,
    TilingError,
)
from sk_ednn.solvers import BoostingSolver, KernelSolver
from tests._cases import (
    TILINGS,
    Returns,
    all_but_one,
    as_nan,
    fitted,
    ising_energy,
    left_as_it_was,
    make_field,
    make_spins,
    regressor,
)


def data(shape=(4, 4), n=20, seed=0):
    X = make_field("float64", n, shape, seed)
    return X, np.sin(X).reshape(n, -1).sum(axis=1)


# --- shapes in, shapes out ----------------------------------------------------------------------


@pytest.mark.parametrize("n_outputs", [None, 1, 3])
@pytest.mark.parametrize("name", TILINGS)
def test_predictions_have_the_shape_of_y(name, n_outputs):
    tiling, shape, other = TILINGS[name]
    X = make_field("float64", 10, shape)
    y = np.sin(X).reshape(10, -1).sum(axis=1)
    if n_outputs is not None:
        y = np.stack([y * k for k in range(n_outputs)], axis=1)
    model = EDNNRegressor(Ridge(), tiling).fit(X, y)
    trailing = y.shape[1:]
    grid = tiling.tile_grid(shape)
    assert model.predict(X).shape == y.shape
    assert model.predict(X).dtype == np.float64
    assert model.predict_contributions(X).shape == (10, *grid, *trailing)
    assert model.n_outputs_ == (n_outputs or 1)

    ragged = list(X[:2]) if name == "whole axis" else [X[0], make_field("float64", 1, other)[0]]
    assert model.predict(ragged).shape == (2, *trailing)
    maps = model.predict_contributions(ragged)
    assert isinstance(maps, list)
    assert [m.shape for m in maps] == [
        (*tiling.tile_grid(field.shape), *trailing) for field in ragged
    ]


def test_models_of_small_systems_predict_large_ones():
    spins = make_spins(60, (8,))
    products = make_pipeline(PolynomialFeatures(2), LinearRegression())
    for tile_model in (products, KernelRidge(kernel="rbf", alpha=1e-8)):
        model = EDNNRegressor(tile_model, GridTiling(1, 1)).fit(spins, ising_energy(spins))
        large = make_spins(3, (500,), 1)
        np.testing.assert_allclose(model.predict(list(large)), ising_energy(large), atol=1e-4)


def test_a_plain_call_uses_kernel_ridge_and_the_nearest_neighbours():
    X, y = data()
    model = EDNNRegressor().fit(X, y)
    estimator = model.tile_model_.estimator
    assert isinstance(estimator, KernelRidge)
    assert (estimator.kernel, estimator.alpha) == ("rbf", 1e-6)
    assert model.tile_model_.tile_shape == (3, 3)
    assert isinstance(model.solver_, KernelSolver)
    assert isinstance(model.evaluation_, AutoEvaluation)


def test_the_tile_model_predicts_contributions_of_tiles():
    X, y = data()
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, y)
    tiles = model.tiling_.tiles(X)
    contributions = model.tile_model_.predict(tiles.array())
    np.testing.assert_allclose(tiles.total(contributions)[:, 0], model.predict(X))


# --- weights ----------------------------------------------------------------------------------


def test_weighting_by_site_counts_sizes_alike(rng):
    X = [*make_field("float64", 20, (4, 4)), *make_field("float64", 20, (12, 12), 1)]
    y = np.array([np.abs(x).sum() for x in X]) * (1 + 0.1 * rng.normal(size=40))
    sizes = np.array([x.size for x in X])
    by_site = EDNNRegressor(Ridge(), weighting="site").fit(X, y)
    weight = (sizes.mean() / sizes) ** 2
    np.testing.assert_allclose(
        by_site.predict(X), EDNNRegressor(Ridge()).fit(X, y, sample_weight=weight).predict(X)
    )
    weights = rng.uniform(size=40)
    np.testing.assert_allclose(
        by_site.fit(X, y, sample_weight=weights).predict(X),
        EDNNRegressor(Ridge()).fit(X, y, sample_weight=weight * weights).predict(X),
    )
    # The small systems are then described better, per site.
    by_total = EDNNRegressor(Ridge()).fit(X, y)
    error = [np.abs((m.predict(X) - y) / sizes)[:20].mean() for m in (by_site, by_total)]
    assert error[0] < error[1]


def test_samples_of_no_weight_do_not_scale_the_weights_by_site(rng):
    X = [rng.normal(size=n) for n in rng.integers(4, 9, 20)]
    y = np.array([np.sin(x).sum() for x in X])
    model = EDNNRegressor(Ridge(10.0), weighting="site")
    expected = model.fit(X, y).predict(X)
    more = model.fit([*X, rng.normal(size=300)], [*y, 1e3], [*np.ones(20), 0.0])
    np.testing.assert_allclose(more.predict(X), expected, rtol=1e-9)


def test_with_equal_sizes_the_weighting_makes_no_difference():
    X, y = data()
    one, other = (EDNNRegressor(Ridge(), weighting=w).fit(X, y) for w in ("site", "total"))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


@pytest.mark.parametrize("tile_model", ["linear", "kernel", "process", "tree"])
def test_samples_of_weight_zero_are_ignored(tile_model):
    X, y = data()
    weight = np.where(np.arange(20) < 5, 0.0, 1.0)
    y[:5] = 1e6
    model = regressor(tile_model, GridTiling(2, 1))
    without = clone(model).fit(X[5:], y[5:]).predict(X)
    np.testing.assert_allclose(model.fit(X, y, sample_weight=weight).predict(X), without)


def test_a_single_number_is_a_weight_for_all():
    X, y = data()
    expected = EDNNRegressor(Ridge()).fit(X, y, sample_weight=np.full(20, 2.0)).predict(X)
    result = EDNNRegressor(Ridge()).fit(X, y, sample_weight=2.0).predict(X)
    np.testing.assert_array_equal(result, expected)


# --- terms and their parameters -----------------------------------------------------------------


def two_terms():
    return EDNNRegressor(
        [
            ("near", make_pipeline(PolynomialFeatures(2), Ridge(0.5)), GridTiling(1, 1)),
            ("far", KernelRidge(gamma=0.1), GridTiling(2, 2)),
        ]
    )


def test_parameters_of_terms_have_their_names():
    model = two_terms()
    params = model.get_params()
    name, tile_model, tiling = model.tile_model[0]
    assert params[name] == (tile_model, tiling)
    assert params["near__tile_model"] is tile_model
    assert params["near__tiling"] is tiling
    assert params["near__tiling__focus"] == 1
    assert params["near__tile_model__ridge__alpha"] == 0.5
    assert params["far__tile_model__gamma"] == 0.1
    assert "near" not in model.get_params(deep=False)
    assert set(EDNNRegressor(Ridge()).get_params()) >= {"tile_model__alpha", "tiling"}


def test_parameters_of_terms_can_be_set():
    model = two_terms()
    given = model.tile_model
    assert model.set_params(near__tiling__focus=3, far__tile_model__gamma=7.0, verbose=1) is model
    assert model.get_params()["near__tiling__focus"] == 3
    assert model.get_params()["far__tile_model__gamma"] == 7.0
    assert model.verbose == 1
    model.set_params(far__tile_model=Ridge(), far__tile_model__alpha=3.0)
    assert model.tile_model[1][1].alpha == 3.0
    assert isinstance(given[1][1], KernelRidge)  # the list that was given is not changed
    model.set_params(near=(Ridge(9.0), GridTiling(5)), near__tiling__context=0)
    assert model.tile_model[0][1].alpha == 9.0
    assert model.tile_model[0][2].get_params()["context"] == 0
    assert [name for name, _, _ in model.tile_model] == ["near", "far"]


def test_a_new_list_and_its_parameters_can_be_set_at_once():
    model = EDNNRegressor().set_params(
        new__tiling__focus=4, tile_model=[("new", Ridge(), GridTiling())]
    )
    assert model.tile_model[0][2].focus == 4
    model.set_params(**two_terms().get_params(deep=False))
    assert [name for name, _, _ in model.tile_model] == ["near", "far"]


def test_all_parameters_can_be_set_to_what_they_are():
    model = two_terms()
    params = model.get_params()
    assert model.set_params(**params).get_params() == params


@pytest.mark.parametrize(
    "name", ["near__focus", "near__tiling__fokus", "middle__tiling__focus", "fokus"]
)
def test_unknown_parameters_are_rejected(name):
    with pytest.raises(ValueError, match="Invalid parameter"):
        two_terms().set_params(**{name: 1})


@pytest.mark.parametrize("part", ["tile_model", "tiling", "solver", "evaluation"])
def test_parameters_of_a_part_that_is_none_are_rejected(part):
    model = EDNNRegressor()
    before = model.get_params()
    with pytest.raises(ValueError, match=f"{part} is None"):
        model.set_params(**{f"{part}__some": 1})
    assert model.get_params() == before
    if part == "tiling":
        model.set_params(tiling=GridTiling(2), tiling__focus=4)
        assert model.tiling.focus == 4


def test_terms_are_cloned_deeply():
    model = two_terms().set_params(near__tiling__focus=2)
    copy = clone(model)
    assert copy.get_params()["near__tiling__focus"] == 2
    assert copy.tile_model[0][1] is not model.tile_model[0][1]
    copy.set_params(near__tiling__focus=1)
    assert model.get_params()["near__tiling__focus"] == 2


def test_contributions_have_the_names_fitted():
    X, y = data()
    model = EDNNRegressor([("a", Ridge(), GridTiling(1, 0)), ("b", Ridge(), GridTiling(2, 0))])
    model.fit(X, y).set_params(tile_model=None)
    maps = model.predict_contributions(X)
    assert {name: values.shape for name, values in maps.items()} == {
        "a": (20, 4, 4),
        "b": (20, 2, 2),
    }
    total = sum(values.sum(axis=(1, 2)) for values in maps.values())
    np.testing.assert_allclose(total, model.predict(X))


@pytest.mark.parametrize(
    ("tile_model", "tiling", "words"),
    [
        ([], None, "at least one term, .* got"),
        ([("a", Ridge())], None, r"terms \(name, tile_model, tiling\), such as.* got \[\('a'"),
        ([Ridge()], None, r"terms \(name, tile_model, tiling\), such as.* got \[Ridge"),
        ([(1, Ridge(), GridTiling())], None, r"terms \(name, tile_model, tiling\)"),
        ([("a", Ridge(), GridTiling())], GridTiling(), "`tiling` must be None; got GridTiling"),
        ([("a", Ridge(), GridTiling())] * 2, None, r"unique names; got \['a', 'a'\]"),
        ([("a__b", Ridge(), GridTiling())], None, r"cannot be named \['a__b'\]"),
        ([("tiling", Ridge(), GridTiling())], None, r"cannot be named \['tiling'\]"),
        ([("a", Ridge(), 3)], None, r"'a' needs a tiling such as GridTiling\(\), got 3"),
        ([("a", Ridge(), None)], None, "'a' needs a tiling"),
    ],
)
def test_lists_that_are_no_terms_are_rejected(tile_model, tiling, words):
    X, y = data()
    model = EDNNRegressor(tile_model, tiling)
    with left_as_it_was(model), pytest.raises(EDNNError, match=words):
        model.fit(X, y)


# --- what is filled in, what stays as it was given ------------------------------------------------


def test_n_jobs_verbose_and_random_state_fill_parameters_that_are_none():
    X, y = data()
    model = EDNNRegressor(
        RandomForestRegressor(2, max_depth=2), solver=BoostingSolver(n_stages=2),
        n_jobs=2, random_state=0,
    ).fit(X, y)  # fmt: skip
    forest = model.tile_model_.estimator.estimators_[0]
    assert forest.n_jobs == 2
    assert forest.random_state is not None
    assert model.solver_.random_state is not None
    assert model.evaluation_.n_jobs == 2
    assert model.tile_model.random_state is None
    assert model.tile_model.n_jobs is None
    assert model.solver.random_state is None


def test_parameters_that_are_set_are_kept():
    X, y = data()
    forest = RandomForestRegressor(2, max_depth=2, random_state=5, n_jobs=1)
    model = EDNNRegressor(
        forest, solver=BoostingSolver(n_stages=2, random_state=7), n_jobs=2, random_state=0
    ).fit(X, y)
    fitted_forest = model.tile_model_.estimator.estimators_[0]
    assert (fitted_forest.random_state, fitted_forest.n_jobs) == (5, 1)
    assert model.solver_.random_state == 7


def test_parts_are_cloned():
    X, y = data()
    parts = {
        "tile_model": Ridge(), "tiling": GridTiling(2, 0), "solver": None, "evaluation": Unique()
    }  # fmt: skip
    model = EDNNRegressor(**parts).fit(X, y)
    for name, part in parts.items():
        assert getattr(model, name) is part
        assert getattr(model, f"{name}_") is not part
    assert not hasattr(parts["tile_model"], "coef_")


# --- refused, and left as it was ------------------------------------------------------------------


X8, Y8 = data((8, 8), 6)
LIST8 = list(X8)

BAD_FIELDS = {
    "nan": (np.where(X8 > 1, np.nan, X8), "NaN"),
    "inf": (np.where(X8 > 1, np.inf, X8), "infinity"),
    "nan in a list": ([*LIST8[:5], np.full((8, 8), np.nan)], r"X\[5\].* NaN"),
    "size": (X8[:, :7], r"axis 0 has length 7, not a multiple of focus=2; use 6 or 8 sites"),
    "size in a list": ([*LIST8[:5], np.ones((8, 9))], r"X\[5\]: axis 1 has length 9"),
    "one field": (X8[0, 0], "X must be fields.* Reshape your data.*swap X and y"),
    "dimension in a list": ([*LIST8[:5], np.ones(8)], "must have one dimension"),
    "no fields": (X8[:0], r"0 sample\(s\)"),
    "empty list": ([], r"0 sample\(s\)"),
    "empty axis": (X8[:, :0], "axis 0 of the field is empty"),
    "words": (np.full((6, 8, 8), "up"), "numeric|convert|dtype"),
    "complex": (X8 * 1j, "[Cc]omplex"),
    "not arrays": ([*LIST8[:5], "up"], r"X\[5\] is .up"),
}


@pytest.mark.parametrize("already_fitted", [False, True])
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_bad_fields(name, already_fitted):
    X, words = BAD_FIELDS[name]
    model = EDNNRegressor(Ridge(), GridTiling(2, 1))
    if already_fitted:
        model.fit(X8, Y8)
    with left_as_it_was(model), pytest.raises(ValueError, match=words):
        model.fit(X, Y8)
    if already_fitted:
        for method in (model.predict, model.predict_contributions):
            with left_as_it_was(model), pytest.raises(ValueError, match=words):
                method(X)


BAD_TARGETS = {
    "nan": (np.where(Y8 > 0, np.nan, Y8), {}, "NaN"),
    "inf": (np.where(Y8 > 0, np.inf, Y8), {}, "infinity"),
    "none": (None, {}, "requires y to be passed, but the target y is None"),
    "length": (Y8[:5], {}, "inconsistent numbers of samples: X has 6, y has 5"),
    "dimension": (np.ones((6, 2, 2)), {}, "Sum values per site over each field"),
    "words": (np.full(6, "high"), {}, "numeric|convert|dtype"),
    "negative weight": (Y8, {"sample_weight": [-1, 1, 1, 1, 1, 1]}, "not negative"),
    "no weight": (Y8, {"sample_weight": np.zeros(6)}, "not all zero"),
    "nan weight": (Y8, {"sample_weight": np.full(6, np.nan)}, "NaN"),
    "few weights": (Y8, {"sample_weight": np.ones(5)}, "X has 6, sample_weight has 5"),
    "weights of tiles": (Y8, {"sample_weight": np.ones((6, 2))}, "1D array or scalar"),
    "few groups": (Y8, {"groups": np.ones(5)}, "X has 6, groups has 5"),
}


@pytest.mark.parametrize("already_fitted", [False, True])
@pytest.mark.parametrize("name", BAD_TARGETS)
def test_bad_targets(name, already_fitted):
    y, params, words = BAD_TARGETS[name]
    model = EDNNRegressor(Ridge(), GridTiling(2, 1))
    if already_fitted:
        model.fit(X8, Y8)
    with left_as_it_was(model), pytest.raises(ValueError, match=words):
        model.fit(X8, y, **params)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"focus": 3},
            "axis 0 has length 8, not a multiple of focus=3; use 6 or 9 sites, or a focus",
        ),
        ({"focus": -1}, "focus must be None or an integer of at least 1"),
        ({"focus": 1.5}, "focus must be None or an integer"),
        ({"focus": True}, "focus must be None or an integer"),
        ({"context": -1}, "context must be an integer of at least 0"),
        ({"focus": (1, 2, 3)}, "3 entries, but the fields have 2"),
        ({"boundary": "open"}, "boundary must be one of"),
        ({"channel_axis": 5}, "channel_axis=5 needs"),
    ],
)
def test_bad_tilings(params, words):
    model = EDNNRegressor(Ridge(), GridTiling()).fit(X8, Y8)
    model.tiling.set_params(**params)
    with left_as_it_was(model), pytest.raises(TilingError, match=words):
        model.fit(X8, Y8)


def test_other_dimensions_channels_and_sizes_than_fitted():
    model = EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X8, Y8)
    with pytest.raises(TilingError, match=r"fields of 2 dimension\(s\), X has .* field\[None\]"):
        model.predict(X8[0])
    with pytest.raises(TilingError, match="fitted to fields of 2 dimension"):
        model.predict(X8[None])
    channels = EDNNRegressor(Ridge(), GridTiling(1, 0, channel_axis=-1)).fit(X8, Y8)
    with pytest.raises(
        TileModelError, match=r"fitted to fields with 8 channel\(s\), but these have 7"
    ):
        channels.predict(X8[:, :, :7])
    with pytest.raises(TilingError, match="All fields must have the same channels"):
        channels.predict([np.ones((8, 8)), np.ones((8, 7))])
    whole = EDNNRegressor(Ridge(), GridTiling(None, 0)).fit(X8, Y8)
    with pytest.raises(TileModelError, match=r"fitted to tiles of shape .8, 8., .* focus=None"):
        whole.predict(X8[:, :4])


@pytest.mark.parametrize("tamper", [as_nan, all_but_one])
@pytest.mark.parametrize("evaluation", [None, Direct(), Unique()])
def test_invalid_contributions_are_rejected(tamper, evaluation):
    """Noticed at fit where predictions are needed to fit, at predict where they are not."""
    model = EDNNRegressor(Returns(tamper), evaluation=evaluation).fit(X8, Y8)
    with left_as_it_was(model), pytest.raises(TileModelError, match="The tile model Returns"):
        model.predict(X8)
    model.set_params(solver=BoostingSolver(n_stages=2))
    with left_as_it_was(model), pytest.raises(TileModelError, match="The tile model Returns"):
        model.fit(X8, Y8)


@pytest.mark.parametrize(
    ("tile_model", "solver", "words"),
    [
        (
            KernelRidge(),
            KernelSolver(max_bytes=10),
            "distinct tiles.*needs .* GiB.*available. Fit fewer",
        ),
        (
            DecisionTreeRegressor(),
            BoostingSolver(max_bytes=10),
            "Boosting on 384 distinct tiles needs",
        ),
    ],
)
def test_too_large_for_memory(tile_model, solver, words):
    model = EDNNRegressor(tile_model, solver=solver)
    with left_as_it_was(model), pytest.raises(TileMemoryError, match=words):
        model.fit(X8, Y8)


@pytest.mark.parametrize("already_fitted", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tiling", 3),
        ("solver", "linear"),
        ("evaluation", "direct"),
        ("baseline", "mean"),
        ("weighting", "sites"),
        ("n_jobs", 1.5),
        ("warm_start", "yes"),
        ("random_state", "seed"),
        ("verbose", -1),
    ],
)
def test_parameters_are_validated(name, value, already_fitted):
    model = EDNNRegressor(Ridge())
    if already_fitted:
        model.fit(X8, Y8)
    model.set_params(**{name: value})
    with (
        left_as_it_was(model),
        pytest.raises(ValueError, match=f"'{name}' parameter of EDNNRegressor"),
    ):
        model.fit(X8, Y8)


def test_return_std_needs_a_tile_model_with_a_standard_deviation():
    model = EDNNRegressor(Ridge()).fit(X8, Y8)
    with left_as_it_was(model), pytest.raises(TileModelError, match="no standard deviation"):
        model.predict(X8, return_std=True)
    process = EDNNRegressor(GaussianProcessRegressor(alpha=0.1)).fit(X8, Y8)
    totals, std = process.predict(X8, return_std=True)
    assert totals.shape == std.shape == (6,)


# --- what is warned of ----------------------------------------------------------------------------


def test_standardised_targets_warn():
    X, y = data((4, 4), 40)
    for targets in (StandardScaler().fit_transform(y[:, None])[:, 0], ((y - y.mean()) / y.std())):
        with pytest.warns(ExtensivityWarning, match="Pass the raw totals"):
            EDNNRegressor(Ridge()).fit(X, targets)


def test_a_part_of_standardised_targets_warns():
    X, y = data((4, 4), 400)
    part = ((y - y.mean()) / y.std())[:320]
    assert abs(part.mean()) > 1e-9 and abs(part.std() - 1) > 1e-9
    with pytest.warns(ExtensivityWarning, match="or nearly so"):
        EDNNRegressor(Ridge()).fit(X[:320], part)


@pytest.mark.parametrize(
    ("X", "y", "named"),
    [
        (np.zeros((4, 4)), np.float64(1.0), r"y must contain a total.*X\[None\] and \[y\]"),
        (np.zeros((5, 4, 4)), np.zeros((5, 4, 4)), "Sum values per site over each field"),
        (np.zeros((4, 4)), np.zeros(1), r"X has 4, y has 1. Pass a single field as X\[None\]"),
        (
            np.zeros((2, 4, 4), "M8[s]"),
            np.zeros(2),
            r"X must be real numbers, got dtype datetime",
        ),
        (np.zeros((2, 4, 4), "m8[s]"), np.zeros(2), r"X must be real numbers, got dtype timedel"),
        (
            np.zeros((2, 4, 4)),
            np.zeros(2, "M8[s]"),
            r"y must be real numbers, got dtype datetime",
        ),
        (np.zeros((2, 4, 4)), np.array(["1", "2"]), r"y must be real numbers, got dtype <U1"),
    ],
)
def test_common_mistakes_are_rejected_with_a_remedy(X, y, named):
    with pytest.raises(ValueError, match=named):
        EDNNRegressor(Ridge()).fit(X, y)


def test_only_a_field_without_sample_axis_is_advised_to_add_one():
    X, y = data((4, 4), 20)
    model = EDNNRegressor(Ridge()).fit(X, y)
    with pytest.raises(ValueError, match=r"Give a single field as field\[None\]"):
        model.predict(X[0])
    with pytest.raises(ValueError, match=r"\*field_shape\)\.$"):
        model.predict(X[None])


@pytest.mark.parametrize("change", [lambda y: y, lambda y: y / y.std(), lambda y: y - y.mean()])
def test_other_targets_do_not_warn(change, recwarn):
    X, y = data((4, 4), 40)
    EDNNRegressor(Ridge()).fit(X, change(y) + 0.1 * (change(y).std() == 1))
    assert not [w for w in recwarn if issubclass(w.category, ExtensivityWarning)]


def fields_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((n, n)) for n in lengths]


INTENSIVE = {
    "means": (lambda field: field.mean(), True),
    "largest values": (lambda field: field.max(), True),
    "totals": (lambda field: field.sum(), False),
    "totals about zero": (lambda field: (field - 0.5).sum(), False),
    "perimeters": (lambda field: 4 * len(field), False),
}


@pytest.mark.parametrize("what", INTENSIVE)
def test_targets_that_do_not_grow_with_the_fields_warn(what, recwarn):
    of, warned = INTENSIVE[what]
    X = fields_of([4, 6, 8, 12] * 8)
    y = np.array([of(field) for field in X])
    EDNNRegressor(Ridge()).fit(X, np.stack([y, 2 * y], axis=1))
    warnings_raised = [w for w in recwarn if issubclass(w.category, ExtensivityWarning)]
    assert bool(warnings_raised) == warned
    if warned:
        assert "does not grow with the size" in str(warnings_raised[0].message)
        assert warnings_raised[0].filename == __file__


def test_targets_of_fields_of_one_size_do_not_warn(recwarn):
    X = fields_of([8] * 32 + [9] * 8)
    EDNNRegressor(Ridge()).fit(X, [field.mean() for field in X])
    assert not [w for w in recwarn if issubclass(w.category, ExtensivityWarning)]


@pytest.mark.parametrize(
    ("tiling", "warned"),
    [
        (GridTiling(1, 3), True),
        (GridTiling(2, (0, 3)), True),
        (GridTiling(1, 2), False),
        (GridTiling(None, 0), False),
        (GridTiling(1, 3, boundary="zero"), False),
    ],
)
def test_context_beyond_half_of_a_field_warns(tiling, warned, recwarn):
    X, y = data((4, 4), 40)
    EDNNRegressor(Ridge(), tiling).fit(X, y)
    warnings_raised = [w for w in recwarn if issubclass(w.category, ExtensivityWarning)]
    assert bool(warnings_raised) == warned
    if warned:
        message = str(warnings_raised[0].message)
        assert "context=3 exceeds half of a field of shape (4, 4)" in message
        assert "Use context <= 2, or" in message
        assert warnings_raised[0].filename == __file__


def test_errors_derive_from_builtin_ones():
    for error, builtin in [
        (TilingError, ValueError), (TileModelError, ValueError), (TileMemoryError, MemoryError)
    ]:  # fmt: skip
        assert issubclass(error, builtin)
        assert issubclass(error, EDNNError)


@pytest.mark.parametrize("tile_model", ["linear", "kernel", "process", "tree"])
def test_a_constant_total_per_site_is_all_baseline(tile_model):
    """Nothing is left to fit once the baseline is taken off, and nothing goes wrong."""
    X = [*make_field("float64", 6, (4, 4)), *make_field("float64", 6, (8, 4), 1)]
    y = np.array([-13.6 * x.size for x in X])
    model = regressor(tile_model, GridTiling(2, 1)).fit(X, y)
    np.testing.assert_allclose(model.predict([np.ones((16, 16))]), -13.6 * 256, rtol=1e-12)


def test_the_order_of_the_samples_does_not_matter():
    X, y = data((4, 4), 15)
    order = np.random.default_rng(0).permutation(15)
    for tile_model in ("linear", "kernel", "process"):
        one = regressor(tile_model, GridTiling(2, 1)).fit(X, y).predict(X)
        other = regressor(tile_model, GridTiling(2, 1)).fit(X[order], y[order]).predict(X)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)


def test_changes_of_a_shared_case_do_not_reach_other_tests():
    """`fitted` fits once, and hands out copies whose arrays cannot be written."""
    X = make_field("float64", 3, TILINGS["2-D"][1])
    model = fitted("linear", "2-D")
    expected = model.predict(X)
    model.evaluation_.set_params(max_tiles=1)
    model.tiling_.set_params(context=0)
    model.input_range_ = None
    ridge = model.tile_model_.estimator[-1]
    with pytest.raises(ValueError, match="read-only"):
        ridge.coef_ += 1.0
    other = fitted("linear", "2-D")
    assert other.tile_model_.estimator[-1] is ridge  # not fitted again
    assert other.evaluation_.get_params()["max_tiles"] is None and other.tiling_.context == 1
    np.testing.assert_array_equal(other.predict(X), expected)


@pytest.mark.parametrize("shape", [(6, 8), (6, 4, 4)])
def test_checked_systems_stand_in_for_the_data(shape, rng):
    X = rng.normal(size=shape)
    model = EDNNRegressor(Ridge()).fit(X, X.reshape(6, -1).sum(axis=1))
    systems = model.check_systems(X[:2])
    for method in (model.predict, model.predict_contributions, model.predict_gradient):
        np.testing.assert_array_equal(method(systems), method(X[:2]))
    other = np.zeros((2, *(n + 1 for n in shape[1:])))
    wider = EDNNRegressor(Ridge()).fit(other, np.ones(2)).check_systems(other)
    if len(shape) == 2:  # rows of a table keep their width, checked or not
        with pytest.raises(ValueError, match="X has 9 features"):
            model.predict(wider)
    else:
        assert model.predict(wider).shape == (2,)
