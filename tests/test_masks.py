"""Masked entries are refused wherever data is handed over; a mask that hides nothing is fine."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged, metrics
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.encoders import AngleFields, OneHotFields
from sk_ednn.evaluation import LocalUpdates
from sk_ednn.fields import ArraySource
from sk_ednn.images import boxes_of_dots, peaks
from sk_ednn.inspection import size_transfer
from sk_ednn.search import ConvexHull, FunctionLabeller, GuardedLabeller, Label
from sk_ednn.simulation import Metropolis
from sk_ednn.structures import Structure
from sk_ednn.uncertainty import NoveltyGuard, error_ranking
from tests._cases import left_as_it_was, make_field

FIELDS = make_field("float64", 20, (6,))
FIELDS_2D = make_field("float64", 20, (4, 4))
TOTALS = FIELDS.sum(axis=1)
MISSING = -9999.0
REFUSED = "contains masked entries"


def masked(values, *places):
    """Return values with the mark of a missing one at some places, under a mask."""
    values = np.array(values, dtype=float)
    for place in places or [(1,) * values.ndim]:
        values[place] = MISSING
    return np.ma.masked_equal(values, MISSING)


def unhidden(values):
    return np.ma.array(values, mask=np.zeros(np.shape(values), dtype=bool))


def model(**params):
    return EDNNRegressor(Ridge(), GridTiling(1, 1), **params)


def fitted():
    return model().fit(FIELDS_2D, FIELDS_2D.sum(axis=(1, 2)))


AROUND = {
    "regressor": lambda: model(),
    "committee": lambda: EDNNCommittee(model(), n_members=2, random_state=0),
    "shifts": lambda: ShiftAveraged(model(), 1),
    "pipeline": lambda: make_pipeline(FunctionTransformer(), model()),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(
    ("X", "y", "params"),
    [
        (masked(FIELDS), TOTALS, {}),
        ([*FIELDS[:-1], masked(FIELDS[-1], 2)], TOTALS, {}),
        (FIELDS, masked(TOTALS), {}),
        (FIELDS, masked(np.stack([TOTALS, TOTALS], axis=1)), {}),
        (FIELDS, TOTALS, {"sample_weight": masked(np.ones(20))}),
        (FIELDS, TOTALS, {"gradient": masked(FIELDS)}),
        (FIELDS, TOTALS, {"gradient": [*FIELDS[:-1], masked(FIELDS[-1], 2)]}),
    ],
)
def test_fits_refuse_masked_entries(around, X, y, params):
    if around == "pipeline":
        params = {f"ednnregressor__{name}": value for name, value in params.items()}
        if isinstance(X, list):
            pytest.skip("FunctionTransformer hands lists on as they are")
    estimator = AROUND[around]()
    regressor = estimator[-1] if around == "pipeline" else estimator
    with left_as_it_was(regressor), pytest.raises(ValueError, match=REFUSED):
        estimator.fit(X, y, **params)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("method", ["predict", "predict_contributions", "predict_gradient"])
def test_predictions_refuse_masked_entries(around, method):
    estimator = AROUND[around]().fit(FIELDS_2D, FIELDS_2D.sum(axis=(1, 2)))
    if not hasattr(estimator, method):
        pytest.skip(f"{around} has no {method}")
    for X in (masked(FIELDS_2D), [masked(FIELDS_2D[0]), FIELDS_2D[1]]):
        with pytest.raises(ValueError, match=REFUSED):
            getattr(estimator, method)(X)


@pytest.mark.parametrize("around", AROUND)
def test_a_mask_that_masks_nothing_changes_nothing(around):
    expected = AROUND[around]().fit(FIELDS, TOTALS)
    estimator = AROUND[around]().fit(unhidden(FIELDS), unhidden(TOTALS))
    np.testing.assert_array_equal(
        estimator.predict(unhidden(FIELDS)), expected.predict(np.array(FIELDS))
    )
    np.testing.assert_array_equal(
        estimator.predict([unhidden(x) for x in FIELDS]), expected.predict(list(FIELDS))
    )


def test_the_message_gives_the_position():
    with pytest.raises(ValueError, match=r"Input X .* first of 2 at \[3, 1\]\. .*numpy\.ma\.fill"):
        model().fit(masked(FIELDS, (3, 1), (5, 0)), TOTALS)
    with pytest.raises(ValueError, match=r"Input X\[19\] .* first of 1 at \[2\]"):
        model().fit([*FIELDS[:-1], masked(FIELDS[-1], 2)], TOTALS)


def test_blocks_of_a_dask_array():
    da = pytest.importorskip("dask.array")
    values = masked(FIELDS_2D, (2, 1, 1))
    estimator = fitted()
    lazy_array = da.from_array(values, chunks=(1, 4, 4))
    # A masked block in an array whose metadata does not mention masks.
    undeclared = da.from_array(np.asarray(values), chunks=(1, 4, 4)).map_blocks(
        lambda block: np.ma.masked_equal(block, MISSING), meta=np.empty((0, 0, 0))
    )
    for lazy in (lazy_array, undeclared):
        for predict in (estimator.predict, estimator.predict_contributions):
            with pytest.raises((ValueError, RuntimeError), match=REFUSED):
                predict(lazy).compute(scheduler="synchronous")
        with pytest.raises((ValueError, RuntimeError), match=REFUSED):
            model().fit(lazy, FIELDS_2D.sum(axis=(1, 2)))
    with pytest.raises(ValueError, match="Input y " + REFUSED):
        model().fit(FIELDS, da.from_array(masked(TOTALS)))
    fine = da.from_array(unhidden(FIELDS_2D), chunks=(1, 4, 4))
    np.testing.assert_array_equal(estimator.predict(fine).compute(), estimator.predict(FIELDS_2D))


def test_sources():
    with pytest.raises(ValueError, match=REFUSED):
        ArraySource(masked(FIELDS)).read((slice(0, 3), slice(0, 6)))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: LocalUpdates(m, masked(FIELDS_2D[0])),
        lambda m: LocalUpdates(m, FIELDS_2D[0]).propose([[0, 0], [1, 1]], masked([1.0, 2.0], 1)),
        lambda m: LocalUpdates(m, FIELDS_2D[0]).propose(
            np.ma.masked_equal([[0, 0], [1, 3]], 3), [1.0, 2.0]
        ),
        lambda m: Metropolis(m, temperature=1.0).run(masked(FIELDS_2D[0]), 1),
        lambda m: m.tile_model_.predict(masked(np.ones((2, 3, 3)))),
    ],
)
def test_local_updates_and_samplers(call):
    with pytest.raises(ValueError, match=REFUSED):
        call(fitted())


@pytest.mark.parametrize("part", ["numbers", "positions", "cell"])
def test_structures(part):
    parts = {
        "numbers": np.array([6, 6]),
        "positions": np.array([[0.0, 0.0, 0.0], [1.4, 0.0, 0.0]]),
        "cell": np.array([4.0, 4.0, 10.0]),
    }
    parts[part] = np.ma.masked_equal(parts[part], parts[part].flat[-1])
    with pytest.raises(ValueError, match=rf"Input X\[0\].{part} {REFUSED}"):
        GaussianRasterizer(0.5, 0.5, channels=("C",)).fit([Structure(**parts)])


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.extensive_errors(masked(TOTALS), TOTALS),
        lambda: metrics.extensive_errors(TOTALS, masked(TOTALS)),
        lambda: metrics.extensive_errors(TOTALS, TOTALS, masked(np.ones(20))),
        lambda: size_transfer(TOTALS, masked(TOTALS), np.ones(20)),
        lambda: error_ranking(masked(TOTALS), TOTALS),
    ],
)
def test_errors_of_totals(call):
    with pytest.raises(ValueError, match=REFUSED):
        call()


@pytest.mark.parametrize(
    "kind", ["EDNNRegressor", "EDNNCommittee", "ShiftAveraged", "NoveltyGuard"]
)
@pytest.mark.parametrize("what", ["y", "sample_weight"])
@pytest.mark.parametrize("lazy", [False, True])
def test_scores_refuse_masked_totals_and_weights(kind, what, lazy):
    X = np.random.default_rng(0).normal(size=(40, 4))
    y = X.sum(axis=1)
    base = EDNNRegressor(Ridge(), GridTiling(2, 0))
    model = {
        "EDNNRegressor": base,
        "EDNNCommittee": EDNNCommittee(base, n_members=2),
        "ShiftAveraged": ShiftAveraged(base),
        "NoveltyGuard": NoveltyGuard(base, alarm_rate=0.2),
    }[kind].fit(X, y)
    hidden = np.ma.masked_array(y if what == "y" else np.ones(40), mask=np.arange(40) == 3)
    hidden.data[3] = 1e6
    given = hidden
    if lazy:
        given = pytest.importorskip("dask.array").from_array(hidden, chunks=10)
    totals, weights = (given, None) if what == "y" else (y, given)
    with pytest.raises(ValueError, match=f"Input {what} contains masked entries"):
        model.score(X, totals, sample_weight=weights)
    assert model.score(X, unhidden(y)) == model.score(X, y)


@pytest.mark.parametrize("what", ["y", "sample_weight"])
def test_scores_of_potentials_and_counters(what):
    pytest.importorskip("vesin")
    pytest.importorskip("torch")
    from sk_ednn.atoms import EDNNPotential
    from sk_ednn.images import CountRegressor

    given = {"y": np.arange(3.0), "sample_weight": np.ones(3)}
    given[what] = masked(given[what])
    for estimator, X in (
        (EDNNPotential(), [Structure([6, 6], [[0, 0, 0], [0, 0, d]], None) for d in (1, 2, 3)]),
        (CountRegressor(), np.zeros((3, 32, 32))),
    ):
        # Rejected before the estimator is asked, which is not fitted.
        with pytest.raises(ValueError, match=f"Input {what} {REFUSED}"):
            estimator.score(X, **given)


@pytest.mark.parametrize(
    "label",
    [
        Label(np.ma.masked, np.zeros((2, 3))),
        Label(None),
        Label(1.0, masked(np.zeros((2, 3)))),
        Label(1.0, np.zeros((2, 3)), masked(np.zeros((3, 3)))),
    ],
)
def test_masked_labels_are_not_learned(label):
    dimer = Structure([18, 18], [[0, 0, 0], [0, 0, 3.8]], [9, 9, 9])
    outcome = GuardedLabeller(FunctionLabeller(lambda structure: label)).outcome(dimer)
    assert outcome.why is not None and "Error" not in outcome.why


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: peaks(bad(np.ones((4, 4))), (4, 4)),
        lambda bad: boxes_of_dots(0, bad([[3.0, 4.0], [5.0, 6.0]]), (40, 40)),
        lambda bad: ConvexHull([[1, 0], [0, 1]], bad([0.0, -1.0])),
        lambda bad: ConvexHull(bad([[1.0, 0.0], [0.0, 1.0]]), [0.0, -1.0]),
    ],
)
def test_peaks_boxes_and_hulls_reject_masks_and_nan(call):
    with pytest.raises(ValueError, match=REFUSED):
        call(masked)
    with pytest.raises(ValueError, match="contains NaN"):
        call(lambda values: masked(values).filled(np.nan))


@pytest.mark.parametrize("encoder", [AngleFields(), OneHotFields(categories=[-9999, 0, 1])])
def test_encoders_refuse_masked_chunks_of_dask_arrays(encoder):
    da = pytest.importorskip("dask.array")
    values = np.ma.masked_equal([[0, 1, -9999, 1]] * 4, -9999)
    encoder = encoder.fit(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="masked entries"):
        encoder.transform(da.from_array(values, chunks=(2, 4))).compute()
    kept = da.from_array(values.filled(1), chunks=(2, 4))
    assert encoder.transform(kept).compute().shape[:2] == (4, 4)


def test_angles_refuse_masked_gradients():
    X = np.zeros((2, 3))
    encoder = AngleFields().fit(X)
    gradients = np.ma.masked_equal([[1.0, 2.0, 3.0], [1.0, -9999.0, 3.0]], -9999)
    with pytest.raises(ValueError, match=r"gradients\[1\] contains masked"):
        encoder.angle_gradients(X, gradients)
    with pytest.raises(ValueError, match=r"gradients\[1\] contains masked"):
        encoder.pull(X, np.ma.stack([gradients, gradients], axis=-1))
