"""Random directions along which gradients are learned."""

from __future__ import annotations

import numpy as np


def random_directions(shape, n_directions, random_state) -> np.ndarray:
    """Return directions u with ``E[sum_u u u^T] = 1``, of shape (n, *shape).

    There are `n_directions` of them, or the unit vectors if there are no more of these.
    """
    size = int(np.prod(shape))
    if size <= n_directions:
        return np.eye(size).reshape(size, *shape)
    # Among independent entries, random signs have minimum variance: their squares are constant.
    signs = 2.0 * random_state.randint(2, size=(n_directions, *shape)) - 1.0
    return signs / np.sqrt(n_directions)
