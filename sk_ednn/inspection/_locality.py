"""Locality of contributions: the influence of a site, by its distance from the focus."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._utils.results import Result
from ..exceptions import TileModelError
from ..tiling._sampling import sampled_tiles
from ._grids import grid_term

# Number of tiles evaluated at once.
_BLOCK_TILES = 8192


@validate_params(
    {
        "method": [StrOptions({"auto", "gradient", "difference", "swap"})],
        "step": [Interval(Real, 0, None, closed="neither"), None],
        "max_tiles": [Interval(Integral, 1, None, closed="left"), None],
        "max_sites": [Interval(Integral, 1, None, closed="left"), None],
        "coverage": [Interval(Real, 0, 1, closed="neither")],
        "output": [Interval(Integral, 0, None, closed="left")],
        "with_baseline": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def locality_profile(
    estimator,
    X,
    *,
    method="auto",
    step=None,
    max_tiles=200,
    max_sites=None,
    coverage=0.99,
    output=0,
    with_baseline=True,
    term=None,
    random_state=None,
):
    """Measure the influence of a site on the contribution of a tile, by its distance.

    If the influence vanishes within the context, a smaller context suffices. If the outermost
    sites still have much influence, a wider context may help.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : samples to predict
    method : {"auto", "gradient", "difference", "swap"}, default="auto"
        "gradient" differentiates automatically (networks). "difference" takes a central difference
        of `step`. "swap" replaces the value of a site (all channels) by that of the same site in
        another tile, which suits spins, occupancies and trees. "auto" is "gradient" if possible,
        "swap" for fields of integers or booleans, else "difference".
    step : float, default=None
        Step of "difference", in units of the field. None for a thousandth of the standard
        deviation.
    max_tiles : int, default=200
        Number of tiles, drawn from those of `X`; None for all.
    max_sites : int, default=None
        Number of sites at each distance, drawn at random, for "difference" and "swap". None for
        all.
    coverage : float, default=0.99
        Share of the influence within `reach`.
    output : int, default=0
        Which column of y.
    with_baseline : bool, default=True
        Whether to include the baseline. A ``baseline="content"`` explains most of many totals and
        obscures the tile model; set False to measure the tile model alone.
    term : str, default=None
        Which term to examine, if the estimator has several.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        distances : ndarray of int of shape (n_distances,)
            Distances from the focus in sites, the largest along any axis: 0 for the focus, then 1
            to the context.
        influence : ndarray of shape (n_distances,)
            Mean absolute influence of one site, in units of y per unit of the field ("swap": in
            units of y).
        share : ndarray of shape (n_distances,)
            Share of the sites at each distance in the influence of all sites; sums to 1.
        reach : int
            Distance that contains `coverage` of the influence.
        map : ndarray of shape (*window)
            Influence of each site, summed over channels; NaN for sites that were not drawn.
        focus : tuple of slice
            Position of the focus in the map.
        method : str
            The method used.

    Raises
    ------
    TileModelError
        If ``method="gradient"`` and the tile model has no gradient.

    Notes
    -----
    Contributions are determined only up to functions that sum to zero over tiles (see
    `null_space`). Any tile that sees a bond may count it, and many models divide it among all of
    them. This function therefore shows what a fitted model uses, not what it needs. The range of
    interactions in the *total* is unique; `interaction_profile` measures it. `suggest_tiling` tests
    whether a smaller context suffices.

    Examples
    --------
    A ridge uses the whole context, although energies of nearest neighbours need half of it:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import locality_profile
    >>> X, y = make_ising(600, (8, 8), random_state=0, return_X_y=True)
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
    >>> model = EDNNRegressor(pairs, GridTiling(focus=1, context=2)).fit(X, y)
    >>> profile = locality_profile(model, X, random_state=0)
    >>> print(profile.method, *(f"{share:.2f}" for share in profile.share))
    swap 0.04 0.39 0.57
    """
    rng = check_random_state(random_state)
    fitted = grid_term(estimator, X, term, "locality_profile")
    tile_model, tiling = fitted.tile_model, fitted.tiling
    if not with_baseline:
        tile_model = tile_model.with_baseline(None)
    if output >= tile_model.n_outputs:
        raise TileModelError(f"The model has {tile_model.n_outputs} output(s), got {output=}.")
    tiles = sampled_tiles(tiling, fitted.systems, max_tiles, rng)
    focus = tiling.focus_sites(tile_model.tile_shape)
    distance = site_distances(focus, tile_model.tile_shape)
    method = _select_method(method, tile_model, tiles)
    if method == "gradient":
        influence = np.abs(_gradient(tile_model, tiles, focus, output)).mean(axis=0)
        influence = influence.reshape(*distance.shape, -1).sum(axis=-1)
    else:
        sites = _sampled_sites(distance, max_sites, rng)
        if method == "difference" and step is None:
            step = 1e-3 * (float(np.std(tiles)) or 1.0)
        influence_of = _difference if method == "difference" else _swap
        influence = np.full(distance.shape, np.nan)
        for site in map(tuple, sites):
            influence[site] = influence_of(tile_model, tiles, site, step, output, rng)

    distances = np.unique(distance)
    per_site = np.array([np.nanmean(influence[distance == d]) for d in distances])
    summed = per_site * [np.sum(distance == d) for d in distances]
    total = summed.sum()
    share = summed / total if total > 0 else np.zeros_like(summed)
    within = np.flatnonzero(np.cumsum(share) >= coverage * (1 - 1e-12))
    return Result(
        distances=distances,
        influence=per_site,
        share=share,
        reach=int(distances[within[0]]) if len(within) and total > 0 else 0,
        coverage=coverage,
        map=influence,
        focus=focus,
        method=method,
    )


def site_distances(focus, tile_shape) -> np.ndarray:
    """Return the distance of each site of a window from the focus, the largest along any axis."""
    window = tile_shape[: len(focus)]
    along_axes = [
        np.maximum(np.maximum(part.start - np.arange(n), np.arange(n) - part.stop + 1), 0)
        for part, n in zip(focus, window, strict=True)
    ]
    return np.max(np.stack(np.meshgrid(*along_axes, indexing="ij")), axis=0)


def _select_method(method, tile_model, tiles) -> str:
    differentiable = tile_model.has_input_gradient
    if method == "gradient" and not differentiable:
        raise TileModelError(
            "method='gradient' needs a network without transformers before it; got the tile model "
            f"{type(tile_model.estimator).__name__}. Use method='difference', or 'swap' for "
            "discrete fields."
        )
    if method != "auto":
        return method
    if differentiable:
        return "gradient"
    return "difference" if tiles.dtype.kind == "f" else "swap"


def _sampled_sites(distance, max_sites, rng) -> np.ndarray:
    sampled = []
    for d in np.unique(distance):
        sites = np.argwhere(distance == d)
        if max_sites is not None and len(sites) > max_sites:
            sites = sites[np.sort(rng.permutation(len(sites))[:max_sites])]
        sampled.append(sites)
    return np.concatenate(sampled)


def _gradient(tile_model, tiles, focus, output) -> np.ndarray:
    """Return the gradient of contributions with respect to tiles, baseline included."""
    gradient = np.array(tile_model.input_gradient(tiles, output), dtype=float)
    if tile_model.baseline is not None and tile_model.baseline.kind == "content":
        per_channel = tile_model.baseline.coefficients[1:, output]
        in_focus = (slice(None), *focus)
        gradient[in_focus] += per_channel if tile_model.has_channels else per_channel[0]
    return gradient


def _difference(tile_model, tiles, site, step, output, rng) -> float:
    """Return the mean absolute central difference, summed over channels."""
    total = 0.0
    n_channels = tiles.shape[-1] if tile_model.has_channels else 1
    for channel in range(n_channels):
        index = (slice(None), *site, *((channel,) if tile_model.has_channels else ()))
        ends = []
        for sign in (1, -1):
            changed = tiles.astype(np.float64)
            changed[index] += sign * step
            ends.append(_predict(tile_model, changed, output))
        total += float(np.mean(np.abs(ends[0] - ends[1]))) / (2 * step)
    return total


def _swap(tile_model, tiles, site, step, output, rng) -> float:
    """Return the mean absolute change when the site takes its value from another tile."""
    index = (slice(None), *site)
    changed = tiles.copy()
    changed[index] = tiles[index][rng.permutation(len(tiles))]
    change = _predict(tile_model, changed, output) - _predict(tile_model, tiles, output)
    return float(np.mean(np.abs(change)))


def _predict(tile_model, tiles, output) -> np.ndarray:
    parts = [
        tile_model.predict(tiles[start : start + _BLOCK_TILES])[:, output]
        for start in range(0, len(tiles), _BLOCK_TILES)
    ]
    return np.concatenate(parts)
