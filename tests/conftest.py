"""For tests/ alone: how hypothesis draws, and the random numbers that tests share."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No deadline: on a shared machine the first call of a numpy function can take longer than any.
settings.register_profile(
    "local", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples on each run, so that a red build is a change of ours.
settings.register_profile("repeatable", settings.get_profile("local"), derandomize=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("repeatable" if os.environ.get("CI") else "local")
)


@pytest.fixture
def rng():
    """Give each test a generator with the same seed."""
    return np.random.default_rng(0)
