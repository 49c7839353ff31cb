"""Verdicts on models of pictures."""

from types import SimpleNamespace

import numpy as np
import pytest

from sk_ednn.cli._count_fit import _fitted
from sk_ednn.cli._count_verdict import how_learned, note_on_totals, trend_of, verdict_of


def column(share, size=48.0):
    return {"mean": 174.0, "error": share * size, "error_of_mean": size, "half_width": 9.0}


NO_BETTER = "no better than by the mean"


@pytest.mark.parametrize(
    ("share", "how", "stopped"),
    [
        (0.0, "is learned", "is learned"),
        (0.29, "is learned", "is learned"),
        (0.31, "is learned roughly", "the training was stopped before it had learned more"),
        (0.49, "is learned roughly", "the training was stopped before it had learned more"),
        (0.51, "is learned badly", "the training was stopped before it had learned"),
        (0.89, "is learned badly", "the training was stopped before it had learned"),
        (0.91, f"is not learned, {NO_BETTER}", f"stopped before it had learned, {NO_BETTER}"),
        (3.0, f"is not learned, {NO_BETTER}", f"stopped before it had learned, {NO_BETTER}"),
    ],
)
@pytest.mark.parametrize("size", [1e-6, 48.0, 1e9])
def test_errors_are_judged_by_those_of_the_mean(share, how, stopped, size):
    """What a training had not learned when it was stopped is not called learned."""
    assert how_learned(column(share, size)).endswith(how)
    assert how_learned(column(share, size), stopped=True).endswith(stopped)


def test_totals_that_are_all_equal_are_learned_if_they_are_met():
    assert how_learned(column(0.0, 0.0)) == " is learned"


def test_each_total_has_its_verdict():
    verdict = verdict_of({"live": column(0.1), "dead\n\x1b cells": column(1.0)}, 1)
    live, dead = verdict["words"].split("; ")
    assert live.startswith(
        "live is learned: off by 4.8 on average on 1 picture not seen, of a mean of 174, where"
    )
    assert dead.startswith("dead") and "is not learned" in dead
    assert verdict["held_back"] == 1 and list(verdict["totals"]) == ["live", "dead\n\x1b cells"]
    assert "half_width" not in verdict["totals"]["live"]


def test_a_fit_that_holds_nothing_back_is_not_measured():
    verdict = verdict_of({"cells": column(0.0)}, 0)
    assert verdict["words"].startswith("not measured")


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_predicts_the_mean_is_as_far_off_as_the_mean(seed):
    """Whichever pictures were held back, which may vary more or less than all."""
    rng = np.random.default_rng(seed)
    totals = rng.integers(50, 250, 30).astype(float)
    index = rng.choice(30, rng.integers(1, 8), replace=False)
    mean = np.full((len(index), 1), totals.mean())
    model = SimpleNamespace(
        held_back_={"index": index, "true": totals[index, None], "predicted": mean},
        geometry_=(1,), history_=[[{"epoch": 3}]], minutes_=1.0, minutes_needed_=1.0,
        endings_=["time"],
        error_=1.0, confidence=0.9,
        interval_=SimpleNamespace(half_width=lambda at, confidence: np.ones_like(at)),
    )  # fmt: skip
    matched = SimpleNamespace(
        totals=totals, columns=["cells"], counts=False,
        pictures=[SimpleNamespace(name=f"{k}.png") for k in range(30)],
    )  # fmt: skip
    cells = _fitted(model, matched)["totals"]["cells"]
    assert cells["error"] == pytest.approx(cells["error_of_mean"])


def test_errors_that_depend_on_the_total_are_said_with_their_sign():
    rng, chance = np.random.default_rng(0), []
    true = np.arange(10.0, 110.0, 10.0)
    for _ in range(40):
        noise = rng.normal(size=len(true))
        chance.append(trend_of(true, true + noise) is not None)
        few, many = trend_of(true, 0.85 * true + 8 + noise)
        assert few > 0 > many
        few, many = trend_of(true, 1.15 * true - 8 + noise)
        assert few < 0 < many
    # One of fifty by chance.
    assert np.mean(chance) < 0.15
    said = note_on_totals("cells", 30.0, 28.0, [2.0, -1.5], 10)
    assert "few cells come out 2 too high, those with many 1.5 too low" in said
    assert "too small" in note_on_totals("cells", 30.0, 12.0, [2.0, -1.5], 10)
    assert note_on_totals("cells", 30.0, 28.0, None, 10) == ""


def test_few_or_equal_totals_show_no_trend():
    true = np.arange(7.0)
    assert trend_of(true, 0.5 * true) is None
    assert trend_of(np.full(9, 5.0), np.arange(9.0)) is None
    assert trend_of(np.zeros(0), np.zeros(0)) is None
    assert trend_of(np.arange(9.0), np.arange(9.0) + 3) is None
    # All too high, the large ones more: a bias, and not differences alone.
    assert trend_of(np.arange(9.0), 1.1 * np.arange(9.0) + 3) is None
