"""Sources of random numbers, from states that files hold."""

from __future__ import annotations

import numpy as np


def random_state(state) -> np.random.RandomState:
    """Return a RandomState, of the state that its ``get_state(legacy=False)`` returned.

    Raises
    ------
    ValueError
        Where the state is none: numpy would read beside its key.
    """
    key, pos = np.asarray(state["state"]["key"]), int(state["state"]["pos"])
    wrong = key.shape != (624,) or key.dtype.kind != "u" or not 0 <= pos <= 624
    if state["bit_generator"] != "MT19937" or wrong:
        raise ValueError("a source of random numbers is in no state that there is")
    made = np.random.RandomState(0)
    made.set_state(("MT19937", key, pos, int(state["has_gauss"]), float(state["gauss"])))
    return made
