"""Check that an evaluation returns the numbers that all evaluations return."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.utils import check_random_state

from ..tile_models._tile_model import TileModel
from ..tiling import GridTiling
from ._require import require, require_equal


def check_evaluation(evaluation, *, rtol=1e-12, random_state=0):
    """Check that an evaluation returns the numbers that all evaluations return.

    ========== ==================================================================================
    totals     totals are the sums over all tiles, in float64
    additivity contributions add up to totals
    order      totals are in the order of the samples, also for several shapes
    repeatable a second call returns the same bits
    many       3 million contributions of -110 lose no digits
    ========== ==================================================================================

    Parameters
    ----------
    evaluation : AbstractEvaluation
    rtol : float, default=1e-12
        Tolerance relative to the largest total.
    random_state : int, RandomState or None, default=0

    Raises
    ------
    AssertionError
        The message names the violated law.

    Examples
    --------
    >>> from sk_ednn.evaluation import Direct, Unique
    >>> from sk_ednn.testing import check_evaluation
    >>> check_evaluation(Unique())
    >>> class Hasty(Direct):
    ...     def totals(self, tile_model, tiling, fields):
    ...         return super().totals(tile_model, tiling, fields).astype("float32")
    >>> check_evaluation(Hasty())
    Traceback (most recent call last):
        ...
    AssertionError: totals: ...
    """
    rng = check_random_state(random_state)
    samples = [rng.normal(size=shape) for shape in ((4, 6), (2, 2), (4, 6), (8, 4))]
    tiling = GridTiling(2, 1)
    ridge = Ridge().fit(rng.normal(size=(50, 16)), rng.normal(size=(50, 2)))
    tile_model = TileModel(ridge, (4, 4), n_outputs=2)
    fields = tiling.check(samples)
    expected = np.array(
        [tile_model.predict(tiling.tiles(x[None]).array()).sum(axis=0) for x in samples]
    )
    totals = evaluation.totals(tile_model, tiling, fields)
    require(
        isinstance(totals, np.ndarray)
        and totals.dtype == np.float64
        and totals.shape == expected.shape,
        f"totals: expected float64 of shape {expected.shape}, got "
        f"{getattr(totals, 'dtype', type(totals).__name__)} of shape {np.shape(totals)}",
    )
    scale = float(np.abs(expected).max())
    permuted = np.sort(totals, axis=0), np.sort(expected, axis=0)
    if not np.allclose(totals, expected, rtol=0, atol=rtol * scale):
        require(
            not np.allclose(*permuted, rtol=0, atol=rtol * scale),
            "order: totals must be in the order of the samples, whatever their shapes",
        )
    require_equal(totals, expected, rtol * scale, "totals: must be the sum over all tiles")
    maps = evaluation.contributions(tile_model, tiling, fields)
    for stack, values in zip(fields.stacks, maps, strict=True):
        summed = values.sum(axis=tuple(range(1, values.ndim - 1)))
        require_equal(
            summed, expected[stack.samples], rtol * scale,
            "additivity: contributions must add up to totals",
        )  # fmt: skip
    again = evaluation.totals(tile_model, tiling, fields)
    require(np.array_equal(again, totals), "repeatable: a second call must return the same bits")

    constant = Ridge().fit(np.zeros((2, 1)), np.array([-110.0, -110.0]))
    single, large = GridTiling(1, 0), np.zeros((1, 1733, 1733), dtype=np.float32)
    model = TileModel(constant, (1, 1), n_outputs=1)
    total = float(evaluation.totals(model, single, single.check(large))[0, 0])
    exact = -110.0 * 1733**2
    require(
        abs(total - exact) <= 1e-12 * abs(exact),
        f"many: {1733**2:,} contributions of -110 must add up to {exact:.0f}, got {total!r}; sum "
        "in float64",
    )
