"""Verdicts on models of pictures."""

import pytest

from sk_ednn.cli._count_verdict import how_learned, verdict_of


def column(share, size=48.0):
    return {"mean": 174.0, "error": share * size, "error_of_mean": size, "half_width": 9.0}


@pytest.mark.parametrize(
    ("share", "how"),
    [
        (0.0, "is learned"),
        (0.49, "is learned"),
        (0.51, "is learned badly"),
        (0.89, "is learned badly"),
        (0.91, "is not learned, no better than by the mean"),
        (3.0, "is not learned, no better than by the mean"),
    ],
)
@pytest.mark.parametrize("size", [1e-6, 48.0, 1e9])
def test_errors_are_judged_by_those_of_the_mean(share, how, size):
    assert how_learned(column(share, size)) == how


def test_totals_that_are_all_equal_are_learned_if_they_are_met():
    assert how_learned(column(0.0, 0.0)) == "is learned"


def test_each_total_has_its_verdict():
    verdict = verdict_of({"live": column(0.1), "dead\n\x1b cells": column(1.0)}, 1)
    live, dead = verdict["words"].split("; ")
    assert live.startswith("live is learned: off by 4.8 of 174 on 1 picture not seen, where")
    assert dead.startswith("dead") and "is not learned" in dead
    assert verdict["held_back"] == 1 and list(verdict["totals"]) == ["live", "dead\n\x1b cells"]
    assert "half_width" not in verdict["totals"]["live"]


def test_a_fit_that_holds_nothing_back_is_not_measured():
    verdict = verdict_of({"cells": column(0.0)}, 0)
    assert verdict["words"].startswith("not measured")
