"""The laws of a sum over tiles, over the product of tilings, tile models and evaluations."""

import math

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import Direct, Unique
from tests._cases import (
    EVALUATIONS,
    KINDS,
    PERIODIC,
    TILE_MODELS,
    TILINGS,
    fitted,
    make_field,
    regressor,
)

# Not every kind of field with every tile model: those make no difference to each other.
CASES = [
    *((tile_model, tiling, "float64") for tile_model in TILE_MODELS for tiling in TILINGS),
    *(
        ("kernel", tiling, kind)
        for tiling in ("2-D", "channels last", "padded")
        for kind in KINDS
        if kind != "float64"
    ),
]
cases = pytest.mark.parametrize(("tile_model", "tiling", "kind"), CASES)


def unseen(tiling, kind="float64"):
    """Return fields of the size fitted and of another, where that is allowed."""
    _, shape, other = TILINGS[tiling]
    if tiling == "whole axis":  # its first axis has to stay as it is
        return list(make_field(kind, 3, other, 5))
    return [*make_field(kind, 2, shape, 5), *make_field(kind, 3, other, 6)]


def grid_axes(tiling):
    """Return the axes of a batch that are not its samples nor its channels."""
    tiling, shape, _ = TILINGS[tiling]
    channel = None if tiling.channel_axis is None else tiling.channel_axis % len(shape)
    return [1 + axis for axis in range(len(shape)) if axis != channel]


# --- law 3: all evaluations agree -----------------------------------------------------------


@cases
def test_evaluations_agree(tile_model, tiling, kind):
    model = fitted(tile_model, tiling, kind)
    fields = model.tiling_.check(unseen(tiling, kind))
    arguments = (model.tile_model_, model.tiling_, fields)
    expected = Direct().totals(*arguments)
    maps = Direct().contributions(*arguments)
    for name, evaluation in EVALUATIONS.items():
        totals = evaluation.totals(*arguments)
        assert totals.dtype == np.float64
        np.testing.assert_allclose(totals, expected, rtol=1e-12, atol=1e-12, err_msg=name)
        # Where there is a table of contributions, these are now read from it.
        for one, other in zip(evaluation.contributions(*arguments), maps, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("max_tiles", [1, 2, 5])
@pytest.mark.parametrize("tiling", TILINGS)
def test_blocks_of_any_size_give_the_same_totals(tiling, max_tiles):
    model = fitted("linear", tiling)
    fields = model.tiling_.check(unseen(tiling)[-2:])
    arguments = (model.tile_model_, model.tiling_, fields)
    expected = Direct().totals(*arguments)
    for evaluation in (Direct(max_tiles=max_tiles), Unique(max_tiles=max_tiles)):
        np.testing.assert_allclose(evaluation.totals(*arguments), expected, rtol=1e-12, atol=1e-12)


@cases
def test_any_number_of_workers_gives_the_same_bits(tile_model, tiling, kind):
    model = fitted(tile_model, tiling, kind)
    fields = model.tiling_.check(unseen(tiling, kind))
    for name in ("direct, 2 workers", "unique, 2 workers"):
        several = clone(EVALUATIONS[name])
        one = clone(several).set_params(n_jobs=1)
        arguments = (model.tile_model_, model.tiling_, fields)
        np.testing.assert_array_equal(several.totals(*arguments), one.totals(*arguments))


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("tile_model", ["linear", "kernel", "tree"])
def test_several_outputs_are_evaluated_together(tile_model, n_outputs):
    model = fitted(tile_model, "2-D", n_outputs=n_outputs)
    fields = model.tiling_.check(unseen("2-D"))
    arguments = (model.tile_model_, model.tiling_, fields)
    expected = Direct().totals(*arguments)
    assert expected.shape == (5, n_outputs)
    for evaluation in EVALUATIONS.values():
        np.testing.assert_allclose(evaluation.totals(*arguments), expected, rtol=1e-12)


# --- a total is the sum of what its tiles contain ------------------------------------------------


@cases
@pytest.mark.parametrize("baseline", [None, "size", "content"])
def test_contributions_add_up_to_predictions(tile_model, tiling, kind, baseline):
    model = fitted(tile_model, tiling, kind, baseline=baseline)
    X = unseen(tiling, kind)
    totals, maps = model.predict(X), model.predict_contributions(X)
    for field, total, contributions in zip(X, totals, maps, strict=True):
        assert contributions.shape == model.tiling_.tile_grid(field.shape)
        np.testing.assert_allclose(contributions.sum(), total, rtol=1e-11, atol=1e-11)


@cases
def test_one_field_at_a_time_or_all_together(tile_model, tiling, kind):
    model = fitted(tile_model, tiling, kind)
    X = unseen(tiling, kind)
    together = model.predict(X)
    alone = np.concatenate([model.predict([field]) for field in X])
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-12)
    order = [2, 0, 1]
    np.testing.assert_allclose(
        model.predict([X[i] for i in order]), together[order], rtol=1e-12, atol=1e-12
    )


# --- laws 4 and 5: extensive, and the same after a shift ----------------------------------------


@pytest.mark.parametrize("baseline", [None, "size", "content"])
@pytest.mark.parametrize("tiling", PERIODIC)
@pytest.mark.parametrize("tile_model", TILE_MODELS)
def test_doubling_a_periodic_axis_doubles_the_total(tile_model, tiling, baseline):
    model = fitted(tile_model, tiling, baseline=baseline)
    X = make_field("float64", 3, TILINGS[tiling][2], 7)
    for max_tiles in (None, 5):
        model.evaluation_.set_params(max_tiles=max_tiles)
        total = model.predict(list(X))  # a list: 2-D arrays keep the width they were fitted to
        for axis in grid_axes(tiling):
            doubled = list(np.concatenate([X, X], axis=axis))
            np.testing.assert_allclose(model.predict(doubled), 2 * total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tiling", PERIODIC)
@pytest.mark.parametrize("tile_model", TILE_MODELS)
def test_a_shift_by_a_focus_changes_nothing(tile_model, tiling):
    model = fitted(tile_model, tiling)
    X = make_field("float64", 3, TILINGS[tiling][1], 7)
    total = model.predict(X)
    focus = np.broadcast_to(TILINGS[tiling][0].focus, len(grid_axes(tiling)))
    for axis, step in zip(grid_axes(tiling), focus, strict=True):
        for times in (-1, 1, 2):
            shifted = np.roll(X, times * step, axis=axis)
            np.testing.assert_allclose(model.predict(shifted), total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tile_model", TILE_MODELS)
def test_a_focus_over_the_whole_axis_is_no_longer_extensive(tile_model):
    model = regressor(tile_model, GridTiling(None, 0))
    X = make_field("float64", 12, (4, 4))
    model.fit(X, X.sum(axis=(1, 2)))
    with pytest.raises(ValueError, match="With focus=None the model applies to one size of fields"):
        model.predict(np.concatenate([X, X], axis=1))


# --- law 6, in the limit of one tile ------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tile_model", ["linear", "kernel", "process"])
def test_one_tile_is_the_plain_estimator(tile_model, weighted, rng):
    X = make_field("float64", 20, (3, 2))
    flat = X.reshape(20, -1)
    y = np.sin(flat).sum(axis=1)
    weight = rng.uniform(0.5, 2.0, size=20) if weighted else None
    model = regressor(tile_model, GridTiling(None, 0), baseline=None).fit(X, y, weight)
    plain = clone(TILE_MODELS[tile_model])
    if weight is None:
        plain.fit(flat, y)
    elif tile_model == "process":  # scikit-learn's takes no weights, but a noise for each sample
        noise = plain.kernel.k2.noise_level
        plain = GaussianProcessRegressor(plain.kernel.k1, alpha=noise / weight, optimizer=None)
        plain.fit(flat, y)
    elif hasattr(plain, "steps"):
        plain.fit(flat, y, **{f"{plain.steps[-1][0]}__sample_weight": weight})
    else:
        plain.fit(flat, y, sample_weight=weight)
    unseen_fields = make_field("float64", 5, (3, 2), 1)
    expected = plain.predict(unseen_fields.reshape(5, -1))
    np.testing.assert_allclose(model.predict(unseen_fields), expected, rtol=1e-7, atol=1e-8)
    if weight is not None:  # the weights matter
        unweighted = regressor(tile_model, GridTiling(None, 0), baseline=None).fit(X, y)
        assert np.abs(unweighted.predict(unseen_fields) - expected).max() > 1e-4


# --- law 8: float64, whatever the number of tiles -----------------------------------------------


@pytest.mark.parametrize("max_tiles", [None, 100_000])
def test_three_million_tiles_lose_no_digits(max_tiles):
    train = make_field("float64", 20, (4, 4))
    y = -110.0 * 16 + 0.1 * train.sum(axis=(1, 2))
    model = EDNNRegressor(
        LinearRegression(), GridTiling(1, 0), evaluation=Direct(max_tiles=max_tiles)
    ).fit(train, y)
    X = make_field("float64", 1, (1733, 1733)).astype(np.float32)
    exact = math.fsum(model.predict_contributions(X).ravel())
    assert abs(exact / (1733**2) + 110) < 1e-2
    np.testing.assert_allclose(model.predict(X), exact, rtol=1e-12)
    naive = np.cumsum(model.predict_contributions(X).ravel(), dtype=np.float32)[-1]
    assert abs(naive - exact) > 1e4  # what adding up in float32 would have cost
