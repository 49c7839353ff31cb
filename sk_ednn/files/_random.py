"""Restore random states from files."""

from __future__ import annotations

import numpy as np


def random_state(state) -> np.random.RandomState:
    """Return a RandomState with the state returned by ``get_state(legacy=False)``.

    Raises
    ------
    ValueError
        If the state is invalid; numpy would read out of bounds.
    """
    key, pos = np.asarray(state["state"]["key"]), int(state["state"]["pos"])
    wrong = key.shape != (624,) or key.dtype.kind != "u" or not 0 <= pos <= 624
    if state["bit_generator"] != "MT19937" or wrong:
        raise ValueError("a random generator has an invalid state")
    generator = np.random.RandomState(0)
    generator.set_state(("MT19937", key, pos, int(state["has_gauss"]), float(state["gauss"])))
    return generator
