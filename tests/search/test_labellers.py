"""Labellers that fail in all ways known end in a reason, never in a label."""

import os
import signal
import time

import numpy as np
import pytest

from sk_ednn.search import (
    CalculatorLabeller,
    CommandLabeller,
    FunctionLabeller,
    GuardedLabeller,
    Label,
    Sanity,
)
from sk_ednn.structures import Structure

PAIR = Structure(
    np.array([18, 18]), np.array([[0.0, 0, 0], [0, 0, 3.8]]), 9 * np.eye(3), np.array([True] * 3)
)


@pytest.mark.parametrize("limit", [0, -3, "1h", True, np.nan, np.inf])
def test_a_time_limit_is_a_time(limit):
    with pytest.raises(ValueError, match="time_limit must be a number of seconds above 0"):
        GuardedLabeller(FunctionLabeller(good), time_limit=limit)


def good(structure):
    return Label(-1.0, np.zeros((2, 3)), np.zeros((3, 3)))


def raising(structure):
    raise ZeroDivisionError("no SCF")


def hanging(structure):
    time.sleep(600)


def dying(structure):
    os._exit(3)


FAULTS = [
    (raising, "ZeroDivisionError: no SCF"),
    (lambda s: Label(np.nan), "energy is nan"),
    (lambda s: Label(-1.0, np.full((2, 3), np.nan)), "forces are not finite"),
    (lambda s: Label(-1.0, np.full((2, 3), 1000.0)), "a force of 1732 eV/Å"),
    (lambda s: Label(-1.0, np.zeros((3, 3))), r"forces have shape \(3, 3\)"),
    (lambda s: Label(-1.0, converged=False), "did not converge"),
    (lambda s: None, "AttributeError"),
]


@pytest.mark.parametrize(("function", "why"), FAULTS)
def test_faults_end_in_a_reason(function, why):
    outcome = GuardedLabeller(FunctionLabeller(function)).outcome(PAIR)
    assert outcome.label is None
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(outcome.why)


def test_the_fallback_is_asked_once():
    guarded = GuardedLabeller(FunctionLabeller(raising), FunctionLabeller(good))
    assert guarded.outcome(PAIR).label.energy == -1.0
    both = GuardedLabeller(FunctionLabeller(raising), FunctionLabeller(raising))
    assert both.outcome(PAIR).why == "ZeroDivisionError: no SCF; then ZeroDivisionError: no SCF"


def test_hanging_and_dying_functions_are_killed_and_the_next_one_runs():
    start = time.perf_counter()
    outcome = GuardedLabeller(FunctionLabeller(hanging), time_limit=0.2).outcome(PAIR)
    assert outcome.label is None and "time limit" in outcome.why
    assert time.perf_counter() - start < 60
    outcome = GuardedLabeller(FunctionLabeller(dying), time_limit=30.0).outcome(PAIR)
    assert "ended with 3" in outcome.why
    guarded = GuardedLabeller(FunctionLabeller(good), time_limit=30.0)
    assert guarded.outcome(PAIR).label.energy == -1.0


def test_a_command_over_its_time_is_killed_with_what_it_started(tmp_path):
    command = f"(sleep 1.5; touch {tmp_path}/late) & wait"
    labeller = CommandLabeller(command, "in", "out", template="$n_atoms")
    outcome = GuardedLabeller(labeller, time_limit=0.3).outcome(PAIR)
    assert "time limit" in outcome.why
    time.sleep(1.6)
    assert not (tmp_path / "late").exists()


def test_a_command_writes_and_reads_by_ase():
    pytest.importorskip("ase")
    labeller = CommandLabeller("cp in.extxyz out.extxyz", "in.extxyz", "out.extxyz")
    outcome = GuardedLabeller(labeller).outcome(PAIR)  # without a calculator's results in it
    assert outcome.label is None and "calculator" in outcome.why


def test_a_command_that_fails_says_its_last_words():
    labeller = CommandLabeller("echo first >&2; echo last >&2; exit 7", "in", "out", template="x")
    assert GuardedLabeller(labeller).outcome(PAIR).why.endswith("ended with 7: last")


def test_a_command_without_the_flag_did_not_converge():
    labeller = CommandLabeller(
        "echo energy -1 > out", "in", "out", template="$positions$cell", converged="JOB DONE"
    )
    assert "did not converge" in GuardedLabeller(labeller).outcome(PAIR).why


def test_structures_are_checked_before():
    called = []
    guarded = GuardedLabeller(
        FunctionLabeller(lambda s: called.append(s)), sanity=Sanity(min_distance=1.0)
    )
    close = Structure(PAIR.numbers, PAIR.positions * 0.2, PAIR.cell, PAIR.pbc)
    assert "0.76 Å apart" in guarded.outcome(close).why
    flat = Structure(PAIR.numbers, PAIR.positions * 1e-3, PAIR.cell * 0.1, PAIR.pbc)
    assert "Å³ per atom" in guarded.outcome(flat).why
    assert called == []


def test_calculator_labels_have_units_and_signs_of_ase():
    build = pytest.importorskip("ase.build")
    from ase.calculators.emt import EMT

    cell = build.bulk("Cu", a=3.7, cubic=True)
    cell.rattle(0.1, seed=0)
    label = GuardedLabeller(CalculatorLabeller(EMT)).outcome(cell).label
    cell.calc = EMT()
    np.testing.assert_allclose(label.forces, cell.get_forces())
    np.testing.assert_allclose(label.stress, cell.get_stress(voigt=False))


def test_a_label_whose_process_is_killed_is_asked_for_once_more(tmp_path):
    def killed_once(structure):
        flag = tmp_path / "killed"
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Label(-1.0)

    def always_killed(structure):
        os.kill(os.getpid(), signal.SIGKILL)

    once = GuardedLabeller(FunctionLabeller(killed_once), time_limit=60.0).outcome(PAIR)
    assert once.label == Label(-1.0) and once.why is None
    always = GuardedLabeller(FunctionLabeller(always_killed), time_limit=60.0).outcome(PAIR)
    assert always.label is None and "ended with -9" in always.why
