"""How far a tile looks: the influence of a site on the tile's contribution, by its distance."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ..exceptions import TileModelError
from ..tiling._sampling import sampled_tiles
from ._grids import grid_term

# Tiles evaluated at once where sites are changed one by one.
_BLOCK = 8192


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
    """Measure how much a site moves the contribution of a tile, by its distance from the focus.

    Where the influence has fallen to nothing within the context, the context is wide enough, and
    what lies beyond is wasted. Where much of it is left in the outermost sites, a wider context may
    help.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : what the estimator predicts
    method : {"auto", "gradient", "difference", "swap"}, default="auto"
        How the influence of a site is measured: by automatic differentiation (networks); by a
        central difference of `step`; or by the change when its value (all channels) is swapped for
        that of the same site in another tile, which suits spins, occupancies and trees. "auto"
        takes the first where it can, "swap" for fields of integers or booleans, else "difference".
    step : float, default=None
        For "difference", in units of the field. None for a thousandth of the standard deviation.
    max_tiles : int, default=200
        How many tiles are looked at, drawn from those of `X`; None for all.
    max_sites : int, default=None
        How many sites are tried at each distance, drawn at random, where they are tried one by one.
        None for all.
    coverage : float, default=0.99
        The share of the influence that lies within `reach`.
    output : int, default=0
        Which column of y.
    with_baseline : bool, default=True
        Whether the baseline counts, too. A ``baseline="content"`` holds most of many totals, and
        hides what the tile model does: leave it out to look at that alone.
    term : str, default=None
        Which term to look at, where the estimator has several.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        distances : ndarray of int of shape (n_distances,)
            0 for the focus, then 1 to the context, in sites: the largest along any axis.
        influence : ndarray of shape (n_distances,)
            Mean absolute influence of one site, in units of y per unit of the field ("swap": in
            units of y).
        share : ndarray of shape (n_distances,)
            Of the influence of all sites, that of those at each distance; adds up to 1.
        reach : int
            The distance within which `coverage` of the influence lies.
        map : ndarray of shape (*window)
            Influence of each site, summed over channels; NaN where a site was not tried.
        focus : tuple of slice
            Where the focus lies in the map.
        method : str
            What "auto" chose.

    Raises
    ------
    TileModelError
        Where a gradient is asked of a tile model that has none.

    Notes
    -----
    Contributions are determined only up to what sums to zero over tiles (see `null_space`): a bond
    may be counted in any tile that sees it, and many a model divides it among them all. So this
    shows what a fitted model uses, not what it would need. How far sites act on each other in the
    *total* does not depend on that choice, and `interaction_profile` measures it; `suggest_tiling`
    says whether a shorter context would do.

    Examples
    --------
    Energies of nearest neighbours, and twice the context that they need. A ridge uses it all:

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
    method = _chosen(method, tile_model, tiles)
    if method == "gradient":
        influence = np.abs(_gradient(tile_model, tiles, focus, output)).mean(axis=0)
        influence = influence.reshape(*distance.shape, -1).sum(axis=-1)
    else:
        sites = _sites_to_try(distance, max_sites, rng)
        if method == "difference" and step is None:
            step = 1e-3 * (float(np.std(tiles)) or 1.0)
        try_site = _difference if method == "difference" else _swap
        influence = np.full(distance.shape, np.nan)
        for site in sites:
            influence[tuple(site)] = try_site(tile_model, tiles, tuple(site), step, output, rng)

    distances = np.unique(distance)
    per_site = np.array([np.nanmean(influence[distance == d]) for d in distances])
    summed = per_site * [np.sum(distance == d) for d in distances]
    total = summed.sum()
    share = summed / total if total > 0 else np.zeros_like(summed)
    within = np.flatnonzero(np.cumsum(share) >= coverage * (1 - 1e-12))
    return Bunch(
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
    """Return how far each site of a window is from the focus, the largest along any axis."""
    window = tile_shape[: len(focus)]
    away = [
        np.maximum(np.maximum(part.start - np.arange(n), np.arange(n) - part.stop + 1), 0)
        for part, n in zip(focus, window, strict=True)
    ]
    return np.max(np.stack(np.meshgrid(*away, indexing="ij")), axis=0)


def _chosen(method, tile_model, tiles) -> str:
    differentiable = tile_model.has_input_gradient
    if method == "gradient" and not differentiable:
        raise TileModelError(
            f"The tile model {type(tile_model.estimator).__name__} cannot be differentiated with "
            "respect to its tiles: only networks without transformers before them can. Use "
            "method='difference', or 'swap' for discrete fields."
        )
    if method != "auto":
        return method
    if differentiable:
        return "gradient"
    return "difference" if tiles.dtype.kind == "f" else "swap"


def _sites_to_try(distance, max_sites, rng) -> np.ndarray:
    chosen = []
    for d in np.unique(distance):
        sites = np.argwhere(distance == d)
        if max_sites is not None and len(sites) > max_sites:
            sites = sites[np.sort(rng.permutation(len(sites))[:max_sites])]
        chosen.append(sites)
    return np.concatenate(chosen)


def _gradient(tile_model, tiles, focus, output) -> np.ndarray:
    """Return d c / d tile, that of the baseline included."""
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
        place = (slice(None), *site, *((channel,) if tile_model.has_channels else ()))
        ends = []
        for sign in (1, -1):
            moved = tiles.astype(np.float64)
            moved[place] += sign * step
            ends.append(_predict(tile_model, moved, output))
        total += float(np.mean(np.abs(ends[0] - ends[1]))) / (2 * step)
    return total


def _swap(tile_model, tiles, site, step, output, rng) -> float:
    """Return the mean absolute change when the site is as in another tile."""
    place = (slice(None), *site)
    moved = tiles.copy()
    moved[place] = tiles[place][rng.permutation(len(tiles))]
    change = _predict(tile_model, moved, output) - _predict(tile_model, tiles, output)
    return float(np.mean(np.abs(change)))


def _predict(tile_model, tiles, output) -> np.ndarray:
    parts = [
        tile_model.predict(tiles[start : start + _BLOCK])[:, output]
        for start in range(0, len(tiles), _BLOCK)
    ]
    return np.concatenate(parts)
