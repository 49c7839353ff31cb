"""Create random generators from scikit-learn's ``random_state``."""

import numpy as np
from sklearn.utils import check_random_state


def generator(random_state):
    """Return a generator determined by `random_state`.

    SFC64 draws three times as fast as `RandomState`, which dominates the sampling of lattices.
    """
    seed = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
    return np.random.Generator(np.random.SFC64(seed))
