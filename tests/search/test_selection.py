"""Selection of structures, choice of operators, and weights by errors."""

import numpy as np
import pytest

from sk_ednn.search import Candidate, OperatorRecord, Thresholds, select
from sk_ednn.solvers import LossWeights
from sk_ednn.structures import Structure

PAIR = Structure(np.array([18, 18]), np.array([[0.0, 0, 0], [0, 0, 3.8]]), 9 * np.eye(3))


def candidate(energy, std, angle):
    print_ = np.array([np.cos(angle), np.sin(angle)])
    return Candidate(PAIR, energy, std, "rattle", (), print_)


def test_low_energies_and_large_spreads_in_turn():
    low, lower_at_best, unsure = (
        candidate(-2.0, 0.0, 0.0), candidate(-1.8, 0.2, 1.0), candidate(5.0, 3.0, 2.0)
    )  # fmt: skip
    chosen = select([low, unsure, lower_at_best], 3, Thresholds(0.01, 1.0), [])
    assert chosen == [lower_at_best, low, unsure]


def test_shares_hold_over_calls_of_one():
    pool = [candidate(10.0 * k, 1.0 + k, 0.3 * k) for k in range(12)]
    counts, fingerprints = 0, []
    for number in range(9):
        (one,) = select(pool, 1, Thresholds(0.0, 9.0), fingerprints, start=number)
        counts += one.spread == max(c.spread for c in pool)
        pool.remove(one)
        fingerprints.append(one.fingerprint)
    assert counts == 3


def test_duplicates_are_left_out():
    fingerprints = [candidate(0, 0, 0.5).fingerprint]
    same, other = candidate(-9.0, 0.0, 0.5001), candidate(-1.0, 0.0, 1.0)
    assert select([same, other], 2, Thresholds(0.0, 1.0), fingerprints) == [other]
    twins = [candidate(-1.0, 0.0, 1.0), candidate(-1.1, 0.0, 1.0001)]
    assert select(twins, 2, Thresholds(0.0, 1.0), fingerprints) == [twins[1]]
    assert select([same], 1, Thresholds(0.0, 1.0), fingerprints) == []


def test_trusted_structures_are_not_explored():
    trusted, low = candidate(3.0, 0.1, 1.0), candidate(-1.0, 0.0, 2.0)
    (chosen,) = select([trusted, low], 1, Thresholds(0.2, 1.0), [], explore=1.0)
    assert chosen is low


def test_thresholds_are_quantiles_of_known_errors():
    limits = Thresholds.of([*np.linspace(0.0, 1.0, 11), np.nan])
    assert (limits.trusted, limits.doubtful) == pytest.approx((0.1, 0.9))
    assert Thresholds.of([]).doubtful == np.inf


def test_success_makes_an_operator_likelier_and_none_dies_out():
    record = OperatorRecord(["a", "b", "c"])
    for _ in range(500):
        record.add("a", True)
        record.add("b", False)
    record.add("start", True)  # not chosen among
    a, b, c = record.chances()
    assert a > c > b >= 0.05 and a + b + c == pytest.approx(1.0)
    rng = np.random.RandomState(0)
    drawn = [record.draw(rng) for _ in range(1000)]
    assert drawn.count("b") / 1000 == pytest.approx(b, abs=0.04)


def test_operators_may_have_different_floors():
    record = OperatorRecord(["a", "b", "c"], floors={"b": 0.3})
    for _ in range(500):
        record.add("a", True)
        record.add("b", False)
        record.add("c", False)
    a, b, c = record.chances()
    assert b == pytest.approx(0.3, abs=0.01) and c == pytest.approx(0.05, abs=0.01)
    assert a + b + c == pytest.approx(1.0)
    with pytest.raises(ValueError, match="2 operators must add up to at most 1"):
        OperatorRecord(["a", "b"], floors={"a": 0.6, "b": 0.5})


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 3.0])
def test_weights_equal_their_definition_where_nothing_is_lowered(exponent):
    errors = np.array([0.5, 1.0, 1.0, -1.5, 100.0])
    weights = LossWeights(exponent, min_effective=1e-6)(errors)
    powers = np.array([0.5, 1.0, 1.0, 1.5, 20.0]) ** exponent
    np.testing.assert_allclose(weights, powers / powers.mean())
    floored = LossWeights(1.0, min_effective=1e-6)([0.0, 1.0, 1.0])
    assert floored[0] / floored[1] == pytest.approx(0.3)


def test_weights_leave_an_effective_sample_and_flags_out():
    errors = np.r_[np.ones(99), 1000.0]
    weights = LossWeights(3.0)
    w = weights(errors)
    assert w.sum() ** 2 / (w**2).sum() == pytest.approx(20.0, rel=1e-3)
    assert 0 < weights.exponent_ < 3 and w.mean() == pytest.approx(1.0)
    w = weights(errors, flagged=errors > 10)
    assert w[-1] == 0 and np.allclose(w[:-1], 1.0)
    np.testing.assert_allclose(LossWeights()([2.0, 8.0], sizes=[2, 8]), 1.0)
    np.testing.assert_allclose(LossWeights()([np.nan, 1.0, 1.0]), 1.0)
    np.testing.assert_allclose(LossWeights()([0.0, 0.0]), 1.0)


@pytest.mark.parametrize("errors", [[np.inf, 1.0]])
def test_weights_of_no_number_are_refused(errors):
    with pytest.raises(ValueError, match="finite errors"):
        LossWeights()(errors)
    with pytest.raises(ValueError, match="nothing to weigh"):
        LossWeights()([1.0], flagged=[True])
