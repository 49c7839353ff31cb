"""Verdicts on models: good ones, bad ones, and totals that do not vary."""

import json

import numpy as np
import pytest
from sklearn.metrics import r2_score

from sk_ednn.metrics import extensive_errors, judge

TRUE = np.array([9.0, 21.0, 39.0, 81.0, 60.0])
SIZES = np.array([1.0, 2.0, 4.0, 8.0, 6.0])


def off_by(share):
    """Predictions whose error is this share of the spread of the totals."""
    signs = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    return TRUE + share * TRUE.std() * signs


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 1.5])
def test_numbers_equal_those_of_scikit_learn(share):
    verdict = judge(TRUE, off_by(share))
    assert verdict.r2 == pytest.approx(r2_score(TRUE, off_by(share)))
    assert verdict.over_spread == pytest.approx(share)
    assert verdict.over_size is None and verdict.n_systems == 5


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.49, ""),
        (0.51, "better by less than a factor of two than predicting the mean"),
        (0.91, "hardly better than predicting the mean"),
        (1.01, "no better than predicting the mean"),
        (50.0, "no better than predicting the mean"),
    ],
)
def test_doubts_name_a_model_that_is_not_twice_as_good_as_the_mean(share, said):
    verdict = judge(TRUE, off_by(share))
    assert verdict.doubts == (f"The model is {said} of the totals." if said else "")
    assert verdict.doubts in verdict.words


def test_the_mean_is_no_better_than_the_mean():
    assert "no better" in judge(TRUE, np.full(5, TRUE.mean())).doubts
    # The mean of other systems is worse still.
    assert "no better" in judge(TRUE, np.full(5, TRUE.mean() + 3)).doubts


def test_a_constant_per_site_explains_systems_of_several_sizes():
    per_site = SIZES * (SIZES @ TRUE / (SIZES @ SIZES))
    verdict = judge(TRUE, per_site, SIZES)
    assert verdict.r2 > 0.99 and verdict.over_size == pytest.approx(1.0)
    assert verdict.doubts == "The model is no better than a constant times the size of the system."
    better = TRUE + 0.1 * (per_site - TRUE)
    assert judge(TRUE, better, SIZES).doubts == ""
    assert judge(TRUE, better, SIZES).over_size == pytest.approx(0.1)


def test_equal_sizes_add_nothing_to_the_mean():
    assert judge(TRUE, off_by(0.2), np.full(5, 64)) == judge(TRUE, off_by(0.2))


def test_totals_in_proportion_to_the_size_need_no_model():
    verdict = judge(10 * SIZES, 10 * SIZES + 0.1, SIZES)
    assert "no better than a constant times the size of the system" in verdict.doubts
    assert verdict.as_dict()["over_size"] is None  # there is no error to compare with


@pytest.mark.parametrize(("totals", "why"), [([7.0], "There is one"), ([0.1] * 9, "All totals")])
def test_doubts_if_totals_do_not_vary(totals, why):
    verdict = judge(totals, np.add(totals, 1.0))
    assert verdict.doubts.startswith(why)
    numbers = verdict.as_dict()
    assert numbers["r2"] is None and numbers["over_spread"] is None
    json.loads(json.dumps(numbers, allow_nan=False))


def test_doubts_about_training_systems():
    good = judge(TRUE, TRUE, held_back=False)
    assert "none were held back" in good.doubts and "no better" not in good.doubts
    assert "5 systems fitted to" in good.words
    assert "no better" in judge(TRUE, off_by(1.2), held_back=False).doubts


def test_round_off_has_no_digits():
    words = {judge(TRUE, TRUE + eps, SIZES).words for eps in (0.0, 1e-13, -3e-12)}
    assert len(words) == 1 and "less than 0.000001" in words.pop()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_totals_must_be_finite(bad):
    with pytest.raises(ValueError, match="finite"):
        judge([1.0, 2.0], [1.0, bad])


@pytest.mark.parametrize("measure", [extensive_errors, judge])
@pytest.mark.parametrize(
    "sizes", [-1, [1, -1, 2], [1, np.nan, 2], [1, 2], np.ones((3, 1)), []], ids=str
)
def test_sizes_are_positive_numbers(measure, sizes):
    with pytest.raises(ValueError, match=r"sizes must be 3 numbers (above|not below) 0"):
        measure([1.0, 2.0, 3.0], [1.5, 2.0, 3.0], sizes)


@pytest.mark.parametrize("measure", [extensive_errors, judge])
def test_dates_and_no_systems_have_no_errors(measure):
    days = np.array(["2020-01-01", "2020-01-02"], "M8[D]")
    with pytest.raises(ValueError, match="y_true must be real numbers, got dtype datetime64"):
        measure(days, [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one system"):
        measure([], [])


def test_errors_per_site_need_sites():
    with pytest.raises(ValueError, match="sizes must be 2 numbers above 0"):
        extensive_errors([1.0, 2.0], [1.0, 2.0], [1, 0])
    assert extensive_errors([1.0, 2.0], [1.0, 4.0], 4).mean == 0.25  # one size for all
    assert judge([0.0, 2.0], [0.0, 2.0], [0, 1]).n_systems == 2  # a bag may be empty


@pytest.mark.parametrize("held_back", [True, False])
@pytest.mark.parametrize(
    ("share", "says"),
    [(0.002, ""), (0.05, "noise of the totals, too few systems"), (0.4, "a term is missing")],
)
def test_advice_is_for_errors_that_exact_totals_do_not_have(share, says, held_back):
    verdict = judge(TRUE, off_by(share), held_back=held_back)
    assert verdict.over_spread == pytest.approx(share)
    assert (says in verdict.advice) if held_back and says else verdict.advice == ""
    assert str(verdict).startswith(verdict.words) and str(verdict).endswith(verdict.advice)


def test_advice_tells_too_few_systems_from_other_causes():
    """From errors of the systems of the fit, which a model with many unknowns reproduces."""
    few = judge(TRUE, off_by(0.05), fitted=(TRUE, off_by(0.001)))
    assert "more unknowns than the systems" in few.advice and "noise" not in few.advice
    alike = judge(TRUE, off_by(0.05), fitted=(TRUE, off_by(0.04)))
    assert "unknowns" not in alike.advice and "noise of the totals, or a term" in alike.advice
    assert alike.fit_share == pytest.approx(0.8)
    assert judge(TRUE, off_by(0.002), fitted=(TRUE, TRUE)).advice == ""  # good enough


@pytest.mark.parametrize(
    ("values", "named"), [([-1, 1], False), ([-1, 0, 1], True), (np.linspace(0, 1, 90), False)]
)
def test_advice_names_the_encoding_of_few_values(values, named):
    fields = np.resize(values, (len(TRUE), 30))
    for share in (0.05, 0.4):
        assert ("OneHotFields" in judge(TRUE, off_by(share), fields=list(fields)).advice) == named


def test_results_are_printed_in_words():
    verdict = judge(TRUE, off_by(0.1))
    assert f"{verdict}".startswith("on 5 systems held back: R²")
    assert str(verdict) == f"{verdict.words} {verdict.advice}"
    errors = extensive_errors(TRUE, off_by(0.1))
    assert str(errors).startswith("errors: median ") and f"bias {errors.bias:.4g}" in str(errors)
