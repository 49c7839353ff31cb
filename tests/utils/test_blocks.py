"""Standard errors of means of correlated series."""

import numpy as np
import pytest

from sk_ednn._utils.blocks import error_of_mean


def series(rng, n, memory):
    """Return values of variance 1, each of which remembers a share of the one before."""
    values = np.empty(n)
    values[0] = rng.normal()
    for k in range(1, n):
        values[k] = memory * values[k - 1] + np.sqrt(1 - memory**2) * rng.normal()
    return values


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_it_is_as_large_as_means_of_other_series_differ(memory):
    rng = np.random.default_rng(0)
    many = [series(rng, 512, memory) for _ in range(100)]
    expected = np.std([values.mean() for values in many])
    found = np.median([error_of_mean(values) for values in many])
    assert 0.75 * expected < found < 1.75 * expected
    naive = 1 / np.sqrt(512)
    assert memory == 0 or naive < 0.7 * expected  # what it would be without blocks


def test_units_and_offsets_carry_over_and_few_values_have_none():
    values = np.random.default_rng(0).normal(size=37)
    assert error_of_mean(3 * values - 5) == pytest.approx(3 * error_of_mean(values))
    assert error_of_mean(values[:7]) is None and error_of_mean(values[:8]) > 0
    assert error_of_mean(np.ones(20)) == 0
