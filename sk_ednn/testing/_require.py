"""Raise AssertionError with the law that is violated."""

from __future__ import annotations

import numpy as np


def require(condition, message):
    """Raise AssertionError with a message unless a condition is true."""
    if not condition:
        raise AssertionError(message + ".")


def require_equal(values, expected, atol, law):
    """Raise AssertionError unless two arrays agree within `atol`; name the worst sample."""
    values, expected = np.asarray(values), np.asarray(expected)
    require(
        values.shape == expected.shape, f"{law}; shapes are {values.shape} and {expected.shape}"
    )
    errors = np.abs(values - expected)
    if not (errors <= atol).all():
        worst = np.unravel_index(
            np.argmax(np.where(np.isnan(errors), np.inf, errors)), errors.shape
        )
        raise AssertionError(
            f"{law}; sample {worst[0]} has {values[worst]:.12g}, expected {expected[worst]:.12g} "
            f"(difference {errors[worst]:.2g}, tolerance {atol:.2g})."
        )
