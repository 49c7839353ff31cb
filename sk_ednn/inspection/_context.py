"""Sensitivity of totals to hiding part of each tile."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.results import Result
from ..exceptions import TilingError
from ..fields._in_memory import as_array
from ._grids import focus_mask, grid_term

KINDS = ("blur", "noise", "occlude")
REGIONS = ("context", "focus")

# Tiles per block. A block is copied once for each way of hiding its sites.
_BLOCK_TILES = 2048
# Number of positions of the hidden patch; each tile gets one of them at random.
_N_POSITIONS = 32


@validate_params(
    {
        "kinds": ["array-like", str],
        "areas": ["array-like", None],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "blur_width": [Interval(Real, 0, None, closed="neither"), None],
        "with_baseline": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def context_sensitivity(
    estimator,
    X,
    y=None,
    *,
    kinds=KINDS,
    areas=None,
    n_repeats=3,
    blur_width=None,
    with_baseline=True,
    term=None,
    random_state=None,
):
    """Measure the error of totals when part of each tile is hidden.

    A connected patch is hidden in every tile, once in the context and once in the focus, at equal
    areas. If tiles count what is in their focus and need the context to do so, hiding either
    increases the error. If they need no context, only hiding the focus does.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : samples to predict
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        True totals. None to compare with the predictions of unchanged tiles.
    kinds : str or sequence of {"blur", "noise", "occlude"}, default=("blur", "noise", "occlude")
        Replacement of hidden sites: "blur" by a Gaussian blur of the tile, "noise" by the values
        of the same site in other tiles, drawn for each site, "occlude" by the mean of all values
        (of each channel).
    areas : array-like of int, default=None
        Numbers of sites to hide. None for five numbers up to the smaller of focus and context.
    n_repeats : int, default=3
        Number of draws of the patches.
    blur_width : float, default=None
        Standard deviation of the blur, in sites. None for a quarter of the window.
    with_baseline : bool, default=True
        Whether to hide sites from the baseline, too. A ``baseline="content"`` explains most of
        many totals and obscures the tile model; set False to measure the tile model alone.
    term : str, default=None
        Which term to examine, if the estimator has several.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        areas : ndarray of int of shape (n_areas,)
            Number of hidden sites per tile.
        errors : ndarray of shape (n_kinds, 2, n_areas, n_repeats)
            Mean absolute errors of the totals, in units of y. The second axis is that of
            `regions`.
        reference : float
            Error if nothing is hidden; 0 if `y` is None.
        kinds, regions : tuple of str
            `regions` is ("context", "focus").
        n_sites : dict of str to int
            Number of sites of the context and of the focus.

    Raises
    ------
    TilingError
        If the tiles have no context, or an area is larger than the smaller of focus and context.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Fig. 6.

    Examples
    --------
    A sum over sites needs no context. Hiding the context therefore changes nothing:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.inspection import context_sensitivity
    >>> X = np.random.default_rng(0).normal(size=(200, 8, 8))
    >>> model = EDNNRegressor(Ridge(1e-6), GridTiling(2, 1), baseline="content")
    >>> model = model.fit(X, X.sum(axis=(1, 2)))
    >>> hidden = context_sensitivity(model, X, kinds="noise", random_state=0)
    >>> for region, errors in zip(hidden.regions, hidden.errors[0].mean(axis=-1)):
    ...     print(region, *(f"{error:.1f}" for error in errors))
    context 0.0 0.0 0.0 0.0
    focus 4.6 6.2 8.0 9.5
    """
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not kinds or set(kinds) - set(KINDS):
        raise ValueError(f"kinds must be some of {KINDS}, got {kinds}.")
    rng = check_random_state(random_state)
    fitted = grid_term(estimator, X, term, "context_sensitivity")
    tiling, fields, tile_model = fitted.tiling, fitted.systems, fitted.tile_model
    n_axes = len(tiling.focus_shape(tile_model.tile_shape))
    focus = focus_mask(tiling, tile_model.tile_shape, n_axes)
    regions = {"context": np.argwhere(~focus), "focus": np.argwhere(focus)}
    areas = _checked_areas(areas, regions)
    if blur_width is None:
        blur_width = max(focus.shape) / 4

    if not with_baseline:  # it cancels in the differences below
        tile_model = tile_model.with_baseline(None)
    predicted = np.asarray(fitted.regressor.predict(fitted.X)).reshape(fields.n_samples, -1)
    y = predicted if y is None else as_array(y, "y", float).reshape(-1, predicted.shape[1])
    if len(y) != fields.n_samples:
        raise ValueError(f"X has {fields.n_samples} samples, y has {len(y)}.")

    fill = _mean_values(tiling, fields, n_axes)
    orders = {
        region: [_patch_orders(sites, rng) for _ in range(n_repeats)]
        for region, sites in regions.items()
    }
    changes = np.zeros((len(kinds), 2, len(areas), n_repeats, *predicted.shape))
    for block in tiling.plan(fields, _BLOCK_TILES):
        tiles = tiling.block_tiles(fields, block)
        samples = fields.stacks[block.stack].samples[block.samples]
        values = np.array(tiles.array())
        if values.dtype.kind != "f":
            values = values.astype(float)
        values = values.reshape(len(values), focus.size, -1)
        before = tile_model.predict(values.reshape(-1, *tile_model.tile_shape))
        for k, kind in enumerate(kinds):
            for g, region in enumerate(REGIONS):
                for r in range(n_repeats):
                    replacement = _replacement(kind, values, focus.shape, blur_width, fill, rng)
                    patches = orders[region][r]
                    order = patches[rng.randint(len(patches), size=len(values))]
                    order = np.ravel_multi_index(regions[region].T, focus.shape)[order]
                    for a, area in enumerate(areas):
                        hidden = _hide(values, replacement, order[:, :area])
                        after = tile_model.predict(hidden.reshape(-1, *tile_model.tile_shape))
                        changes[k, g, a, r, samples] += tiles.total(after - before)
    return Result(
        areas=areas,
        errors=np.abs(predicted - y + changes).mean(axis=(-2, -1)),
        reference=float(np.abs(predicted - y).mean()),
        kinds=kinds,
        regions=REGIONS,
        n_sites={region: len(regions[region]) for region in REGIONS},
    )


def _checked_areas(areas, regions) -> np.ndarray:
    most = min(len(sites) for sites in regions.values())
    if most == 0:
        raise TilingError(
            "context_sensitivity compares focus and context, but the tiles have no context. Fit "
            "with GridTiling(context=1) or more."
        )
    if areas is None:
        return np.unique(np.linspace(1, most, 5).round().astype(int))
    areas = as_array(areas, "areas")
    if areas.ndim != 1 or areas.dtype.kind not in "iu" or len(areas) == 0:
        raise TilingError(f"areas must be a sequence of integers, got {areas!r}.")
    if areas.min() < 1 or areas.max() > most:
        raise TilingError(
            f"areas must be between 1 and {most}, the number of sites of the smaller of focus "
            f"and context; got {areas.tolist()}."
        )
    return areas


def _mean_values(tiling, fields, n_axes) -> np.ndarray:
    """Return the mean of each channel over all sites."""
    total, count = 0.0, 0
    for tiles in tiling.blocks(fields, _BLOCK_TILES):
        focus = tiles.array()[(slice(None), *tiling.focus_sites(tiles.tile_shape))]
        axes = tuple(range(1 + n_axes))
        total = total + focus.sum(axis=axes, dtype=np.float64)
        count += int(np.prod([focus.shape[axis] for axis in axes]))
    return np.atleast_1d(total / count)


def _patch_orders(sites, rng) -> np.ndarray:
    """Return orders of the sites of a region, each by the distance from one of them.

    The first n sites of an order are a connected patch, or as close to one as the region allows.
    """
    starts = rng.permutation(len(sites))[:_N_POSITIONS]
    distances = np.linalg.norm(sites[starts][:, None] - sites[None], axis=-1)
    return np.argsort(distances + 1e-6 * rng.uniform(size=distances.shape), axis=1)


def _replacement(kind, values, window, blur_width, fill, rng) -> np.ndarray:
    """Return the replacement of each value if it is hidden, of the shape of values."""
    if kind == "occlude":
        return np.broadcast_to(fill, values.shape)
    if kind == "noise":
        n_tiles, n_sites, _ = values.shape
        return values[rng.randint(n_tiles, size=(n_tiles, n_sites)), np.arange(n_sites)]
    images = values.reshape(len(values), *window, -1)
    width = (0, *[blur_width] * len(window), 0)
    return gaussian_filter(images, width, mode="nearest").reshape(values.shape)


def _hide(values, replacement, sites) -> np.ndarray:
    hidden = values.copy()
    rows = np.arange(len(values))[:, None]
    hidden[rows, sites] = replacement[rows, sites]
    return hidden
