"""The verdict on a potential: ratios of errors and spreads, and their words."""

import pytest

from sk_ednn.atoms._potential_verdict import verdict_of
from sk_ednn.cli._fit_results import next_step_of_potential

SPREADS = {"energy": 100.0, "force": 1000.0, "stress": 10.0}


def errors_of(energy, force, stress):
    """Return root mean square errors that are these shares of the spreads."""
    ratios = {"energy": energy, "force": force, "stress": stress}
    return {f"{kind}_rmse": ratio * SPREADS[kind] for kind, ratio in ratios.items()}


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ((0.02, 0.09, 0.05), "The potential is good: all are below 0.1."),
        ((0.02, 0.3, 0.05), "Those of a good potential are below 0.1."),
        ((0.6, 0.3, 0.05), "For energies the potential is better by less than a factor of two"),
        ((0.1, 0.95, 0.05), "For forces the potential is hardly better than the composition alone"),
        ((0.1, 0.3, 1.2), "For stresses the potential is no better than the composition alone."),
    ],
)
def test_the_worst_quantity_decides(ratios, words):
    verdict = verdict_of(errors_of(*ratios), SPREADS, 12, held_back=True)
    assert tuple(verdict["over_spread"].values()) == pytest.approx(ratios)
    assert f"RMSE of energies {ratios[0]}, of forces {ratios[1]}, of str" in verdict["words"]
    assert words in verdict["words"]


def test_only_what_varies_and_is_known_is_compared():
    errors = {"energy_rmse": 3.0, "force_rmse": 200.0}
    verdict = verdict_of(errors, {"energy": 1e-9, "force": 1000.0}, 2, held_back=False)
    assert verdict["over_spread"] == {"force": 0.2}
    assert "energies" not in verdict["words"] and "none were held back" in verdict["words"]
    verdict = verdict_of(errors, {}, 1, held_back=True)
    assert verdict["over_spread"] == {} and "too few, or too similar" in verdict["words"]


@pytest.mark.parametrize(
    ("test", "train", "expected"),
    [
        ((0.05, 0.19, 0.1), (0.01, 0.01, 0.01), None),
        ((0.05, 0.4, 0.1), (0.05, 0.1, 0.1), "far smaller: add structures"),
        ((0.05, 0.4, 0.1), (0.01, 0.3, 0.01), "of similar size: train longer"),
    ],
)
def test_the_next_step_follows_from_both_parts(test, train, expected):
    result = {"test": errors_of(*test), "train": errors_of(*train)}
    result["verdict"] = verdict_of(result["test"], SPREADS, 12, held_back=True)
    step = next_step_of_potential(result)
    assert (step is None) if expected is None else (expected in step)
    del result["test"]
    assert next_step_of_potential(result) is None
