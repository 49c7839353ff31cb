"""The verdict on a potential: ratios of errors and spreads, and their words."""

import pytest

from sk_ednn.atoms._potential_verdict import next_step, verdict_of

SPREADS = {"energy": 100.0, "force": 1000.0, "stress": 10.0}


def errors_of(energy, force, stress):
    """Return root mean square errors that are these shares of the spreads."""
    ratios = {"energy": energy, "force": force, "stress": stress}
    return {f"{kind}_rmse": ratio * SPREADS[kind] for kind, ratio in ratios.items()}


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ((0.02, 0.09, 0.05), "The potential is good: all are below 0.1."),
        (
            (0.02, 0.3, 0.05),
            "Forces miss 0.1, below which a potential is good; energies and stresses are below it.",
        ),
        ((0.2, 0.3, 0.05), "Energies and forces miss 0.1, below which a potential is good; str"),
        ((0.2, 0.3, 0.1), "Energies, forces and stresses miss 0.1, below which a potential is go"),
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
    verdict = verdict_of(errors, {"energy": 1e-9, "force": 1000.0}, 2, held_back=True)
    assert verdict["over_spread"] == {"force": 0.2} and "energies" not in verdict["words"]
    verdict = verdict_of(errors, {}, 1, held_back=True)
    assert verdict["over_spread"] == {} and "too few, or too similar" in verdict["words"]


@pytest.mark.parametrize("ratio", [1e-6, 0.05, 0.3, 0.6, 0.95, 2.0])
def test_errors_of_structures_that_were_learned_from_are_never_praised(ratio):
    verdict = verdict_of(errors_of(ratio, ratio, ratio), SPREADS, 12, held_back=False)
    words = verdict["words"]
    assert words.startswith("not measured, because no structures were held back")
    assert "good" not in words and not any(character.isdigit() for character in words)
    # What is not even learned is said.
    assert ("Even for these" in words) == (ratio > 0.5)
    assert "too few" not in verdict_of({}, {}, 1, held_back=False)["words"]
    step = next_step({"train": errors_of(ratio, ratio, ratio)}, verdict["over_spread"])
    assert "--test-fraction" in step and "evaluate" in step


@pytest.mark.parametrize(
    ("test", "train", "expected"),
    [
        ((0.05, 0.09, 0.09), (0.05, 0.05, 0.05), None),
        ((0.05, 0.09, 0.09), (0.005, 0.05, 0.05), "it is good; for more accuracy: errors of energ"),
        ((0.05, 0.4, 0.1), (0.05, 0.04, 0.1), "errors of forces are 10 times smaller for the str"),
        ((0.05, 0.4, 0.1), (0.05, 0.3, 0.08), "forces are of similar size for the structures lear"),
        (
            (0.05, 0.4, 0.1),
            (0.05, 0.16, 0.05),
            "errors of forces are 2.5 times smaller for the str",
        ),
        ((0.05, 0.4, 0.1), (0.005, 0.3, 0.1), "; those of energies are 10 times smaller (overfit"),
    ],
)
def test_the_next_step_follows_from_both_parts(test, train, expected):
    errors = {"test": errors_of(*test), "train": errors_of(*train)}
    over_spread = verdict_of(errors["test"], SPREADS, 12, held_back=True)["over_spread"]
    step = next_step(errors, over_spread)
    assert (step is None) if expected is None else (expected in step)
    several = next_step(errors, over_spread, n_members=4) or ""
    assert "--members" not in several
    assert ("--members 4" in (step or "")) == ("add structures like those" in several)
    # A kind that was not learned has no error of the training.
    del errors["train"]["force_rmse"]
    assert expected is None or next_step(errors, over_spread)
