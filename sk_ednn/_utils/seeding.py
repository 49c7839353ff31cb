"""Random numbers, from scikit-learn's ``random_state``."""

import numpy as np
from sklearn.utils import check_random_state


def generator(random_state):
    """A generator that `random_state` determines.

    SFC64 because sampling a lattice is mostly drawing numbers, and `RandomState` draws them at a
    third of its speed.
    """
    seed = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
    return np.random.Generator(np.random.SFC64(seed))
