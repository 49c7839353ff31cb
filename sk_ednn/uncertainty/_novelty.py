"""Novelty of tiles: their distance to the tiles of the training data."""

from __future__ import annotations

from functools import partial
from math import prod
from numbers import Integral, Real

import numpy as np
from scipy.stats import spearmanr
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from tqdm.auto import tqdm

from .._utils.results import Result
from .._utils.steps import dense, front_and_last, transformed
from ..estimators._committee import EDNNCommittee
from ..estimators._unwrap import fitted_term, unwrap
from ..fields._in_memory import as_array
from ..tile_models._base import flat
from ..tiling._equal_tiles import distinct, hashes
from ..tiling._sampling import sampled_tiles
from ._nearest import NearestRows

_MEANING = (
    "a share of 0.01 is the mean over systems like those of the fit; the most disordered of them "
    "have more"
)
# Training tiles that others are compared with, and the numbers in their features: with more
# features there are fewer tiles, but so many at least.
_MAX_TILES, _MAX_NUMBERS, _LEAST_TILES = 10_000, 4_000_000, 1_000
# Numbers of tiles read at once, of which equal ones are merged, and bytes of these tiles and of
# the features that are compared at once.
_BLOCK_TILES, _BLOCK_BYTES = (4096, 65_536), 1 << 26
# Seconds after which progress is shown.
_DELAY = 2.0


@validate_params(
    {
        "space": [StrOptions({"auto", "tiles", "features"})],
        "quantile": [Interval(Real, 0, 1, closed="right")],
        "max_tiles": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def novelty(
    estimator,
    X_train,
    X,
    *,
    space="auto",
    quantile=0.99,
    max_tiles="auto",
    term=None,
    random_state=None,
    verbose=0,
):
    """Measure the share of each sample's tiles that are unlike all training tiles.

    A tile is novel if it is further from the nearest training tile than the `quantile` of the
    distances between each training tile and its nearest neighbour. A large system may resemble the
    training systems in every mean and yet contain a few tiles that occur in none of them.

    Parameters
    ----------
    estimator : EDNNRegressor or EDNNCommittee, Pipeline that ends in one, or search; fitted
        Tiles and features are those of the first member of a committee.
    X_train : training samples
    X : samples to predict
    space : {"auto", "tiles", "features"}, default="auto"
        Space of the distances: the tiles themselves, or the input of the tile model's last step
        (the last hidden layer of a network, the transformed features of a Pipeline). Each
        component is divided by its standard deviation over the training tiles. "auto" uses
        features if there are any, else tiles.
    quantile : float, default=0.99
        Quantile of the nearest-neighbour distances between training tiles that is the threshold.
    max_tiles : int, "auto" or None, default="auto"
        Largest number of distinct training tiles to compare with, drawn at random; None for all.
        "auto" for 10,000, or fewer if these have more than four million features together, but at
        least 1,000.
    term : str, default=None
        Which term to examine, if the estimator has several.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        Whether to show a progress bar, if the comparison takes more than two seconds.

    Returns
    -------
    result : Bunch
        share : ndarray of shape (n_samples,)
            Share of a sample's tiles that are novel, from 0 to 1. It is 0 for the training data,
            if their tiles repeat, as those of spins do, or if all are compared with.
        distance : ndarray of shape (n_samples,)
            Mean distance of a sample's tiles to the nearest training tile.
        threshold : float
            Distance above which a tile is novel.
        spread : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
            Standard deviation between the members of a committee, in units of y; None for other
            estimators.
        space : str
            "tiles" or "features".

    Notes
    -----
    Distances are Euclidean. In many dimensions all of them are similar, so the features of a
    network are more informative than pixels. Neither novelty nor the spread of a committee is an
    error: test on data with known totals whether they separate good predictions from bad ones
    (`NoveltyDisplay`).

    With a `quantile` of 0.99, the mean share over systems like those of the fit is about 0.01. It
    is not the same for all of them: tiles of the most disordered systems, such as those of the
    highest temperature, differ most from each other, and have a few times that share. Compare with
    systems of their kind that were held out of the fit. A novel tile need not be predicted badly.

    Tiles that occur in the training data have a distance of 0, even if they are not among the
    `max_tiles` that others are compared with, provided that tiles repeat. The time is that of
    comparing each distinct other tile with these: 69,000 tiles with 10,000 of 190
    features take three seconds on one core.

    Examples
    --------
    A training field with 2 x 2 sites changed, which 4 x 4 of its 64 tiles see:

    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.uncertainty import novelty
    >>> train = np.random.default_rng(0).normal(size=(20, 8, 8))
    >>> model = EDNNRegressor(tiling=GridTiling(1, 1)).fit(train, train.sum(axis=(1, 2)))
    >>> strange = train[:1].copy()
    >>> strange[0, 3:5, 3:5] = 20.0
    >>> novelty(model, train, np.concatenate([train[:2], strange])).share
    array([0.  , 0.  , 0.25])
    """
    inner, X = unwrap(estimator, X)
    spread = None
    if isinstance(inner, EDNNCommittee):
        _, spread = inner.predict(X, return_std=True)
    reference = TileNovelty(
        estimator, X_train, space=space, quantile=quantile, max_tiles=max_tiles, term=term,
        random_state=random_state,
    )  # fmt: skip
    return NoveltyResult(
        **reference.compare(X, verbose=verbose),
        threshold=reference.threshold_,
        spread=spread,
        space=reference.space_,
    )


class NoveltyResult(Result):
    """A result that is printed with the meaning of its shares."""

    def __repr__(self):
        return f"{super().__repr__()}\n{_MEANING}"


class TileNovelty:
    """Index of training tiles, to measure the novelty of one system after another.

    It gives simulations what `novelty` gives a batch of samples.

    Parameters
    ----------
    estimator : EDNNRegressor or EDNNCommittee, Pipeline that ends in one, or search; fitted
    X_train : training samples
    space : {"auto", "tiles", "features"}, default="auto"
    quantile : float, default=0.99
    max_tiles : int, "auto" or None, default="auto"
    term : str, default=None
    random_state : int, RandomState or None, default=None
        As for `novelty`, like all parameters above.

    Attributes
    ----------
    threshold_ : float
        Distance above which a tile is novel.
    space_ : str
        "tiles" or "features".

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.uncertainty import TileNovelty
    >>> train = np.random.default_rng(0).normal(size=(20, 8, 8))
    >>> model = EDNNRegressor(tiling=GridTiling(1, 1)).fit(train, train.sum(axis=(1, 2)))
    >>> reference = TileNovelty(model, train)
    >>> strange = train[:1].copy()
    >>> strange[0, 3:5, 3:5] = 20.0
    >>> reference.compare(strange).share
    array([0.25])
    """

    def __init__(
        self, estimator, X_train, *, space="auto", quantile=0.99, max_tiles="auto", term=None,
        random_state=None,
    ):  # fmt: skip
        inner, X_train = unwrap(estimator, X_train)
        if isinstance(inner, EDNNCommittee):
            inner = inner.estimators_[0]
        fitted = fitted_term(inner, X_train, term)
        self.tiling = fitted.tiling
        self._features, self.space_ = tile_features(fitted.tile_model, space)
        rng = check_random_state(random_state)
        if max_tiles == "auto":
            max_tiles = self._suited_number(fitted.systems)
        tiles, self._known = _distinct_tiles(self.tiling, fitted.systems, max_tiles, rng)
        features = self._features(tiles)
        scale = features.std(axis=0)
        # A constant feature has no spread to divide by.
        scale[scale == 0] = 1.0
        self._scale = scale
        self._nearest = NearestRows(features / scale)
        between = self._nearest.distances_between() if len(features) > 1 else np.zeros(1)
        self.threshold_ = float(np.quantile(between, quantile))

    def _suited_number(self, systems) -> int:
        """Return the number of training tiles to compare with."""
        probe = next(iter(self.tiling.blocks(systems, 1)), None)
        n_numbers = 1 if probe is None else self._features(np.array(probe.array())).shape[1]
        return min(_MAX_TILES, max(_LEAST_TILES, _MAX_NUMBERS // max(n_numbers, 1)))

    def compare(self, fields, *, verbose=0):
        """Measure how far tiles are from the training tiles.

        Parameters
        ----------
        fields : array-like of shape (n_samples, *field_shape), or list of fields
            As for the EDNNRegressor. Transform them first if it is in a Pipeline.
        verbose : int, default=0
            Whether to show a progress bar, if the comparison takes more than two seconds.

        Returns
        -------
        result : Bunch
            share : ndarray of shape (n_samples,)
                Share of a sample's tiles that are novel, from 0 to 1.
            distance : ndarray of shape (n_samples,)
                Mean distance of a sample's tiles to the nearest training tile.
        """
        fields = self.tiling.check(fields)
        n_novel, distance, n_tiles = (np.zeros(fields.n_samples) for _ in range(3))
        tile_bytes = prod(self.tiling.shape_of_tiles(fields)) * fields.dtype.itemsize
        n_at_once = int(np.clip(_BLOCK_BYTES // max(tile_bytes, 1), *_BLOCK_TILES))
        total = int(self.tiling.counts(fields).sum())
        with tqdm(
            total=total, desc="novelty", unit="tile", delay=_DELAY, disable=not verbose
        ) as bar:
            for tiles in self.tiling.blocks(fields, n_at_once):
                merged, inverse = tiles.unique()
                nearest = np.empty(merged.n_tiles)
                before, times = bar.n, tiles.n_tiles / max(merged.n_tiles, 1)
                for n_done in self._measure(np.array(merged.array()), nearest):
                    bar.update(round(before + times * n_done) - bar.n)
                nearest = nearest[inverse]
                n_novel += tiles.total(nearest > self.threshold_ * (1 + 1e-6))
                distance += tiles.total(nearest)
                n_tiles += tiles.counts()
        # Samples may have no tiles of the term.
        n_tiles = np.maximum(n_tiles, 1.0)
        return NoveltyResult(share=n_novel / n_tiles, distance=distance / n_tiles)

    def _measure(self, tiles, out):
        """Write the distances of distinct tiles from the training tiles; yield how many it has."""
        others = np.arange(len(tiles))
        if self._known is not None:
            others = np.flatnonzero(~np.isin(_codes(tiles), self._known))
        out[:] = 0.0
        n_known = len(tiles) - len(others)
        yield n_known
        step = max(1, _BLOCK_BYTES // (8 * len(self._scale)))
        for start in range(0, len(others), step):
            some = others[start : start + step]
            out[some] = self._nearest.distances(self._features(tiles[some]) / self._scale)
            yield n_known + start + len(some)


def error_ranking(indicator, errors, *, n_bins=5):
    """Measure how well an indicator ranks predictions by their true error.

    Parameters
    ----------
    indicator : array-like of shape (n_samples,)
        Such as the `share` of novel tiles, or the spread of a committee.
    errors : array-like of shape (n_samples,)
        ``predicted - true``; only absolute values matter.
    n_bins : int, default=5
        Number of bins, each with the same number of samples, sorted by the indicator.

    Returns
    -------
    result : Bunch
        spearman : float
            Rank correlation of indicator and absolute error: 1 for the same order, 0 for no
            relation, NaN if either is constant.
        p_value : float
            Probability of a correlation at least as large if there is no relation.
        bin_indicator, bin_error : ndarray of shape (n_bins,)
            Median of the indicator and mean absolute error of each bin, in units of y.
        kept : ndarray of shape (n_samples,)
            Mean absolute error of the k samples with the lowest indicator, for k = 1, 2, ...

    Examples
    --------
    >>> from sk_ednn.uncertainty import error_ranking
    >>> error_ranking([0.1, 0.2, 0.4, 0.8], [1.0, -2.0, 3.0, -5.0], n_bins=2).spearman
    1.0
    """
    indicator = as_array(indicator, "indicator", float)
    errors = np.abs(as_array(errors, "errors", float))
    if indicator.ndim != 1 or indicator.shape != errors.shape or len(errors) < 2:
        raise ValueError(
            "error_ranking expects two arrays of shape (n_samples,), of at least two samples; got "
            f"{indicator.shape} and {errors.shape}."
            + (" Pass outputs one at a time." if errors.ndim == 2 else "")
        )
    if not 1 <= n_bins <= len(errors):
        raise ValueError(f"n_bins must be between 1 and {len(errors)}, got {n_bins}.")
    varies = np.ptp(indicator) > 0 and np.ptp(errors) > 0
    rank, p_value = spearmanr(indicator, errors) if varies else (np.nan, np.nan)
    order = np.argsort(indicator, kind="stable")
    bins = np.array_split(order, n_bins)
    return Result(
        spearman=float(np.round(rank, 12)),
        p_value=float(p_value),
        bin_indicator=np.array([np.median(indicator[samples]) for samples in bins]),
        bin_error=np.array([np.mean(errors[samples]) for samples in bins]),
        kept=np.cumsum(errors[order]) / np.arange(1, len(errors) + 1),
    )


def tile_features(tile_model, space):
    """Return a function from tiles to features, and the name of their space."""
    estimator = tile_model.estimator
    if space != "tiles":
        front, _ = front_and_last(estimator)
        if front:
            return partial(_transformed, front), "features"
        if tile_model.has_embedding:
            return partial(_embedded, tile_model), "features"
        if space == "features":
            raise ValueError(
                f"space='features' needs a network or a Pipeline; {type(estimator).__name__} has "
                "no features but the tiles. Use space='tiles'."
            )
    return _flattened, "tiles"


# Functions, not lambdas, so that a TileNovelty can be pickled.
def _transformed(transformers, tiles) -> np.ndarray:
    return dense(transformed(transformers, flat(tiles)))


def _embedded(tile_model, tiles) -> np.ndarray:
    return np.asarray(tile_model.embedding(tiles), dtype=float)


def _flattened(tiles) -> np.ndarray:
    return flat(tiles).astype(float)


def _distinct_tiles(tiling, fields, max_tiles, rng) -> tuple[np.ndarray, np.ndarray | None]:
    """Return at most some of the distinct tiles, and codes of all of them if these are more."""
    # Draw distinct tiles, so that rare ones are not crowded out.
    tiles = tiling.tiles(fields)
    if not tiles.repeats() and max_tiles is not None and tiles.n_tiles > max_tiles:
        return sampled_tiles(tiling, fields, max_tiles, rng), None
    first, _ = distinct(tiles.values, len(tiles.tile_shape))
    if max_tiles is None or len(first) <= max_tiles:
        return np.array(tiles.array(first)), None
    known = np.unique(_codes(np.array(tiles.array(first))))
    first = np.sort(rng.choice(first, max_tiles, replace=False))
    return np.array(tiles.array(first)), known


def _codes(tiles) -> np.ndarray:
    """Return a number for each tile, equal for tiles of equal values whatever their type.

    Those of 64 bits differ for different tiles: of ten million tiles compared with as many, one has
    the number of another with a probability of 5e-6.
    """
    return hashes(tiles.reshape(len(tiles), -1).astype(np.float64), 1)
