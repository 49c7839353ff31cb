"""Linear models of products, evaluated without the products.

A polynomial of second degree in n numbers has n²/2 products, most of which cost a pass through the
memory each. With x₀ = 1 it is ``sum_i x_i (M x)_i``, a product of matrices for many tiles and one
pass over n numbers; one of third degree is ``sum_p (x x)_p (C x)_p`` over pairs p.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from sklearn.linear_model._base import LinearModel
from sklearn.preprocessing import PolynomialFeatures

from ._symmetric_features import SymmetricFeatures

# Degrees of polynomials that are evaluated here.
_DEGREES = (2, 3)
# Exponents of all products, above which finding the factors takes too much memory.
_MOST_EXPONENTS = 1 << 24
# Numbers in hand at a time, so that they stay in the caches.
_IN_HAND = 1 << 17


def products_of(transformer) -> PolynomialFeatures | None:
    """Return the products that a fitted transformer is linear in, or None if it is no such."""
    if type(transformer) is SymmetricFeatures and transformer.is_polynomial:
        transformer = transformer.transformer_
    if type(transformer) is not PolynomialFeatures or transformer._max_degree not in _DEGREES:
        return None
    return transformer


def polynomial_outputs(transformer, model, rows) -> np.ndarray | None:
    """Return the predictions of a linear model of products, or None if it is not one.

    Parameters
    ----------
    transformer : PolynomialFeatures or SymmetricFeatures, fitted
    model : linear model, fitted
    rows : ndarray of shape (n, n_numbers)

    Returns
    -------
    ndarray of shape (n,) or (n, n_outputs), or None
        The same as ``model.predict(transformer.transform(rows))``, to round-off.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn.tile_models._polynomials import polynomial_outputs
    >>> rows = np.random.default_rng(0).normal(size=(50, 4))
    >>> products = PolynomialFeatures(3).fit(rows)
    >>> model = Ridge().fit(products.transform(rows), rows.sum(axis=1))
    >>> expected = model.predict(products.transform(rows))
    >>> bool(np.allclose(polynomial_outputs(products, model, rows), expected))
    True
    """
    products = products_of(transformer)
    if (
        products is None
        or not isinstance(model, LinearModel)
        or not type(model).__module__.startswith("sklearn.")  # others may compute something else
        or not isinstance(rows, np.ndarray)
        or rows.dtype != np.float64
        or rows.shape[1:] != (products.n_features_in_,)
        or products.n_output_features_ * rows.shape[1] > _MOST_EXPONENTS
    ):
        return None
    coefficients = np.asarray(model.coef_, dtype=np.float64)
    if transformer is not products:
        coefficients = coefficients @ transformer._of_orbits().T
    # Where numbers overflow the result is not finite, as of the products.
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = [
            _evaluated(_plan(products), each, rows)
            for each in coefficients.reshape(-1, coefficients.shape[-1])
        ]
    outputs = np.stack(outputs, axis=-1) if coefficients.ndim == 2 else outputs[0]
    return outputs + model.intercept_


def _plan(products):
    return _places(
        products.n_features_in_, products._min_degree, products._max_degree,
        products.interaction_only, products.include_bias,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _places(n_numbers, low, high, interaction_only, include_bias):
    """Return where the coefficient of each product belongs, and the pairs of numbers.

    Returns
    -------
    rows, columns : ndarray of int of shape (n_products,)
        Number of the last factor, and of the pair of the others (or of the other factor, for
        second degree), with 0 for a factor of one.
    pairs : ndarray of int of shape (2, n_pairs), or None
    """
    made = PolynomialFeatures((low, high), interaction_only=interaction_only,
                              include_bias=include_bias)  # fmt: skip
    powers = made.fit(np.zeros((1, n_numbers))).powers_
    factors = np.zeros((len(powers), high), dtype=np.intp)
    degrees = powers.sum(axis=1)
    for place in range(high):
        # The first factor with a power left, counted from one.
        left = degrees > place
        first = np.argmax(powers > 0, axis=1)
        factors[left, place] = first[left] + 1
        powers[np.flatnonzero(left), first[left]] -= 1
    factors = np.sort(factors, axis=1)
    if high == 2:
        return factors[:, 1], factors[:, 0], None
    pairs, columns = np.unique(factors[:, :2], axis=0, return_inverse=True)
    return factors[:, 2], columns.ravel(), pairs.T


def _evaluated(plan, coefficients, rows) -> np.ndarray:
    places, columns, pairs = plan
    n_columns = rows.shape[1] + 1 if pairs is None else pairs.shape[1]
    matrix = np.zeros((rows.shape[1] + 1, n_columns))
    matrix[places, columns] = coefficients
    out = np.empty(len(rows))
    step = max(1, _IN_HAND // n_columns)
    for start in range(0, len(rows), step):
        some = np.ones((min(step, len(rows) - start), rows.shape[1] + 1))
        some[:, 1:] = rows[start : start + step]
        factor = some if pairs is None else some[:, pairs[0]] * some[:, pairs[1]]
        out[start : start + step] = np.einsum("ij,ij->i", some @ matrix, factor)
    return out
