"""Values that no field of the fit had are named, where the fields of the fit had few."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged, files
from sk_ednn.exceptions import ModelFileError, NoveltyWarning
from sk_ednn.fields._levels import joined

RNG = np.random.default_rng(0)
SPINS = RNG.choice([-1, 1], (30, 6, 6))
LABELS = RNG.integers(0, 3, (30, 6, 6))
TOTALS = SPINS.sum(axis=(1, 2)).astype(float)


def model(**params):
    return EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge()), GridTiling(1, 1), **params)


def said(fitted, X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted.predict(X)
    return [str(each.message) for each in caught if "those of the fit were only" in str(each)]


@pytest.mark.parametrize(
    ("fitted", "other", "words"),
    [
        (SPINS, (SPINS + 1) // 2, "are 0, but those of the fit were only -1, 1"),
        ((SPINS + 1) // 2, SPINS, "are -1, but those of the fit were only 0, 1"),
        (SPINS / 2, SPINS / 4, "are -0.25, 0.25, but"),
        (LABELS, LABELS + 1, "are 3, but those of the fit were only 0, 1, 2"),
        (SPINS, SPINS * 0.9, "are -0.9, 0.9, but"),
        (SPINS > 0, SPINS, "are -1, but"),
    ],
    ids=["0 and 1", "-1 and 1", "half", "from 1", "soft", "booleans"],
)
@pytest.mark.parametrize("kind", ["array", "list"])
def test_other_values_are_named(fitted, other, words, kind):
    made = model().fit(fitted, TOTALS)
    X = list(other) if kind == "list" else other
    assert words in said(made, X)[0]
    with pytest.warns(NoveltyWarning, match="those of the fit"):
        made.predict_contributions(X)


@pytest.mark.parametrize(
    ("fitted", "other"),
    [
        (SPINS, SPINS.astype("f4")),
        (SPINS, -SPINS),
        (SPINS, SPINS + 1e-7 * RNG.normal(size=SPINS.shape)),
        (SPINS > 0, (SPINS + 1) // 2),
        (LABELS, np.where(RNG.random(LABELS.shape) < 0.01, 3, LABELS)),  # rare, as of amounts
        (RNG.integers(0, 14, SPINS.shape), RNG.integers(0, 16, SPINS.shape)),
        (RNG.normal(size=SPINS.shape), SPINS),
        (np.ones_like(SPINS), SPINS),
    ],
)
def test_values_that_are_expected_are_not(fitted, other):
    assert said(model().fit(fitted, TOTALS), other) == []


def test_few_numbers_are_not_few_values():
    few = RNG.normal(size=(2, 2, 2))
    assert not hasattr(model().fit(few, few.sum(axis=(1, 2))), "input_levels_")


def test_channels_have_values_of_their_own():
    stacked = np.stack([SPINS, 5 * SPINS], axis=-1)
    fitted = EDNNRegressor(Ridge(), GridTiling(1, channel_axis=-1)).fit(stacked, TOTALS)
    assert not hasattr(fitted, "input_levels_")


@pytest.mark.parametrize(
    "around",
    [
        lambda each: EDNNCommittee(each, n_members=2, random_state=0),
        lambda each: ShiftAveraged(each, 2, selection="random", random_state=0),
    ],
)
def test_models_of_models_say_it_too(around):
    assert said(around(model()).fit(SPINS, TOTALS), (SPINS + 1) // 2)


def test_files_and_further_fits_keep_the_values(tmp_path):
    made = model().fit(SPINS, TOTALS)
    files.save(made, tmp_path / "model.ednn")
    assert said(files.load(tmp_path / "model.ednn"), (SPINS + 1) // 2)
    made.fit(RNG.normal(size=SPINS.shape), TOTALS)
    assert not hasattr(made, "input_levels_")


@pytest.mark.parametrize(
    ("before", "levels", "both"),
    [
        ([-1, 1], [0, 1], [-1, 0, 1]), (None, [0, 1], None), ([0, 1], None, None),
        (np.arange(8), np.arange(8, 16), None),
    ],
)  # fmt: skip
def test_values_of_a_fit_that_continues_another(before, levels, both):
    together = joined(before, levels)
    assert both is None if together is None else together.tolist() == both


@pytest.mark.parametrize("wrong", ["x", [np.nan, 1], np.zeros(1000), 3.0, [1.0], [[1, 2]]])
def test_files_whose_values_are_damaged_are_refused(wrong, tmp_path):
    made = model().fit(SPINS, TOTALS)
    made.input_levels_ = wrong
    files.save(made, tmp_path / "model.ednn")
    with pytest.raises(ModelFileError):
        files.load(tmp_path / "model.ednn")
