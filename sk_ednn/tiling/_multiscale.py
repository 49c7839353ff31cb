"""Terms that see a field at several scales."""

from __future__ import annotations

import sys
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline

from ..exceptions import TileModelError, TilingError
from ._grid import GridTiling
from ._pool import TilePool


def multiscale(tile_model, tiling=None, scales=(1, 2, 4)) -> list:
    """Return terms that see a field at several scales, the `tile_model` of an `EDNNRegressor`.

    The term of scale s sees averages over blocks of s sites along each axis. It cuts them into
    tiles as `tiling` does, and so sees s times as far, with as many features::

        y  =  Σ_s  Σ_t  c_s( mean of blocks of s sites of T_s,t )        s: the scales

    The totals stay extensive: each term is a sum over tiles. Like any wide focus, a term of scale s
    is invariant under shifts by ``s * focus``; average over shifts (`ShiftAveraged`) for more.

    Parameters
    ----------
    tile_model : regressor or torch module
        Cloned for each scale. Modules must be instances whose input has the window of `tiling`.
    tiling : GridTiling, default=None
        Focus and context at scale 1, in sites; at scale s in blocks. None for ``GridTiling()``.
    scales : tuple of int, default=(1, 2, 4)
        Sites of a block along each axis. All axes of a field must be multiples of ``s * focus``.

    Returns
    -------
    list of (name, tile_model, GridTiling)
        With names such as "scale_2". Parameters are set as ``scale_2__tiling__context``.

    Raises
    ------
    TilingError
        If the scales or the tiling are invalid.
    TileModelError
        If a torch module is not an instance, or the number of axes is not known.

    See Also
    --------
    TilePool : The step that averages.
    sk_ednn.encoders.IntensiveContext : Averages over the whole field.

    Notes
    -----
    A site is read ``(1 + 2 * context / focus) ** n_axes`` times per scale, whatever the scale.
    Dask, local updates and gradients work as for any other terms. Torch modules get
    ``nn.AvgPool2d`` or its like in front, for which focus or context must be tuples with one number
    per axis.

    Examples
    --------
    Interactions of waves that are much longer than a tile of four sites:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.tiling import multiscale
    >>> X = np.random.default_rng(0).normal(size=(300, 32))
    >>> blocks = X.reshape(300, 8, 4).mean(axis=2)
    >>> y = np.sum(X**2, axis=1) + 10 * np.sum(blocks * np.roll(blocks, 1, axis=1), axis=1)
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
    >>> tiling = GridTiling(focus=1, context=1)
    >>> for tile_model in (pairs, multiscale(pairs, tiling, scales=(1, 4))):
    ...     several = isinstance(tile_model, list)
    ...     model = EDNNRegressor(tile_model, None if several else tiling).fit(X[:200], y[:200])
    ...     print(bool(model.score(X[200:], y[200:]) > 0.999))
    False
    True
    """
    tiling = GridTiling() if tiling is None else tiling
    if not isinstance(tiling, GridTiling):
        raise TilingError(
            f"multiscale averages fields on a grid; it needs a GridTiling, got {tiling!r}."
        )
    scales = tuple(scales) if np.iterable(scales) else (scales,)
    whole = all(isinstance(s, Integral) and not isinstance(s, bool) and int(s) >= 1 for s in scales)
    if not scales or not whole or len(set(scales)) < len(scales):
        raise TilingError(f"scales must be different positive integers, got {scales}.")
    if tiling.focus is None or (isinstance(tiling.focus, tuple) and None in tiling.focus):
        raise TilingError(
            "multiscale needs a focus of a number of sites: with focus=None there are no other "
            "scales."
        )
    terms = []
    for scale in scales:
        scaled = clone(tiling).set_params(
            focus=_times(tiling.focus, scale), context=_times(tiling.context, scale)
        )
        model = clone(tile_model, safe=False)
        terms.append((f"scale_{scale}", _pooled(model, tiling, int(scale)), scaled))
    return terms


def _times(lengths, scale):
    if isinstance(lengths, (tuple, list, np.ndarray)):
        return tuple(int(length) * int(scale) for length in lengths)
    return int(lengths) * int(scale)


def _pooled(tile_model, tiling, scale):
    """Return a tile model behind averages over blocks."""
    if scale == 1:
        return tile_model
    if "torch" in sys.modules and _is_module(tile_model):
        return _pooled_module(tile_model, tiling, scale)
    if isinstance(tile_model, Pipeline):  # so that all scales have the same names of steps
        return Pipeline([("tilepool", TilePool(scale)), *tile_model.steps])
    return make_pipeline(TilePool(scale), tile_model)


def _is_module(tile_model) -> bool:
    nn = sys.modules["torch"].nn
    if isinstance(tile_model, type) and issubclass(tile_model, nn.Module):
        raise TileModelError(
            "multiscale needs an instance of a torch module, such as nn.Sequential(...), got the "
            f"class {tile_model.__name__}. The window is that of the tiling at scale 1."
        )
    return isinstance(tile_model, nn.Module)


def _pooled_module(module, tiling, scale):
    nn = sys.modules["torch"].nn
    lengths = [part for part in (tiling.focus, tiling.context) if np.iterable(part)]
    if not lengths:
        raise TileModelError(
            "For a torch module multiscale must know the number of axes. Pass focus or context as "
            "a tuple with one number per axis, such as GridTiling((4, 4), 2)."
        )
    pools = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
    if len(lengths[0]) not in pools:
        raise TileModelError(
            f"torch averages windows of 1 to 3 axes; the tiling has {len(lengths[0])}."
        )
    return nn.Sequential(pools[len(lengths[0])](scale), module)
