"""Functions of one and of two values of sites, onto which interactions are projected."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class PairFunctions(NamedTuple):
    """Functions of two values and of one, by name.

    Attributes
    ----------
    pairs : dict of callable
    sites : dict of callable
    """

    pairs: dict[str, Any]
    sites: dict[str, Any]


def of_numbers(values) -> PairFunctions:
    """Return products of numbers and, of more than two, of their squares."""
    # As real numbers: products of small integer types would overflow.
    pairs: dict[str, Any] = {"product": lambda a, b: np.multiply(a, b, dtype=float)}
    sites: dict[str, Any] = {"value": np.asarray}
    if len(np.unique(values)) > 2:  # of two values, squares are the values again
        pairs["product of squares"] = lambda a, b: np.multiply(a, b, dtype=float) ** 2
        sites["square"] = lambda a: np.asarray(a, dtype=float) ** 2
    return PairFunctions(pairs, sites)


def of_channels(n_channels) -> list[PairFunctions]:
    """Return the scalar product of all channels, or else a product of each."""
    sites = {f"channel {c}": lambda a, c=c: a[..., c] for c in range(n_channels)}
    each = {
        f"product of channel {c}": lambda a, b, c=c: np.multiply(a[..., c], b[..., c], dtype=float)
        for c in range(n_channels)
    }
    whole = {"product": lambda a, b: np.multiply(a, b, dtype=float).sum(axis=-1)}
    return [PairFunctions(whole, sites), PairFunctions(each, sites)]


def of_labels(labels) -> list[PairFunctions]:
    """Return the equality of labels, and products of the numbers they are.

    Products come first for numbers that are symmetric about zero, such as -1, 0 and 1: these are
    spins, and names would have no sign.
    """
    equality = PairFunctions({"equality": np.equal}, {})
    numbers = of_numbers(labels)
    ascending = np.sort(np.asarray(labels, dtype=float))
    signed = np.array_equal(ascending, -ascending[::-1])
    return [numbers, equality] if signed else [equality, numbers]
