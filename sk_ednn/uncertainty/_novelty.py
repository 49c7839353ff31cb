"""Novelty of tiles: their distance to the tiles of the training data."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._utils.results import Result
from .._utils.steps import dense, front_and_last, transformed
from ..estimators._committee import EDNNCommittee
from ..estimators._unwrap import fitted_term, unwrap
from ..fields._in_memory import as_array
from ..tile_models._base import flat
from ..tiling._equal_tiles import distinct
from ..tiling._sampling import sampled_tiles

_MEANING = (
    "a share of 0.01 is the mean over systems like those of the fit; the most disordered of them "
    "have more"
)
# Number of tiles compared at once.
_BLOCK_TILES = 4096


@validate_params(
    {
        "space": [StrOptions({"auto", "tiles", "features"})],
        "quantile": [Interval(Real, 0, 1, closed="right")],
        "max_tiles": [Interval(Integral, 2, None, closed="left"), None],
        "random_state": ["random_state"],
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
    max_tiles=10_000,
    term=None,
    random_state=None,
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
    max_tiles : int, default=10_000
        Largest number of distinct training tiles to compare with, drawn at random; None for all.
    term : str, default=None
        Which term to examine, if the estimator has several.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        share : ndarray of shape (n_samples,)
            Share of a sample's tiles that are novel, from 0 to 1. It is 0 for the training data,
            provided that all their distinct tiles are compared with.
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

    The time is that of comparing each tile with up to `max_tiles` others: 75,000 tiles with 10,000
    of 190 features take seven seconds on one core.

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
        **reference.compare(X),
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
    max_tiles : int, default=10_000
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
        self, estimator, X_train, *, space="auto", quantile=0.99, max_tiles=10_000, term=None,
        random_state=None,
    ):  # fmt: skip
        inner, X_train = unwrap(estimator, X_train)
        if isinstance(inner, EDNNCommittee):
            inner = inner.estimators_[0]
        fitted = fitted_term(inner, X_train, term)
        self.tiling = fitted.tiling
        self._features, self.space_ = tile_features(fitted.tile_model, space)
        rng = check_random_state(random_state)
        features = self._features(_distinct_tiles(self.tiling, fitted.systems, max_tiles, rng))
        scale = features.std(axis=0)
        # A constant feature has no spread to divide by.
        scale[scale == 0] = 1.0
        self._scale = scale
        self._index = NearestNeighbors(n_neighbors=1).fit(features / scale)
        self.threshold_ = _threshold(self._index, len(features), quantile)

    def compare(self, fields):
        """Measure how far tiles are from the training tiles.

        Parameters
        ----------
        fields : array-like of shape (n_samples, *field_shape), or list of fields
            As for the EDNNRegressor. Transform them first if it is in a Pipeline.

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
        for tiles in self.tiling.blocks(fields, _BLOCK_TILES):
            merged, inverse = tiles.unique()
            features = self._features(np.array(merged.array()))
            nearest = self._index.kneighbors(features / self._scale)[0][:, 0][inverse]
            n_novel += tiles.total(nearest > self.threshold_ * (1 + 1e-6))
            distance += tiles.total(nearest)
            n_tiles += tiles.counts()
        # Samples may have no tiles of the term.
        n_tiles = np.maximum(n_tiles, 1.0)
        return NoveltyResult(share=n_novel / n_tiles, distance=distance / n_tiles)


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


def _distinct_tiles(tiling, fields, max_tiles, rng) -> np.ndarray:
    # Draw distinct tiles, so that rare ones are not crowded out.
    tiles = tiling.tiles(fields)
    if tiles.repeats() or max_tiles is None or tiles.n_tiles <= max_tiles:
        first, _ = distinct(tiles.values, len(tiles.tile_shape))
        if max_tiles is not None and len(first) > max_tiles:
            first = np.sort(rng.choice(first, max_tiles, replace=False))
        return np.array(tiles.array(first))
    return sampled_tiles(tiling, fields, max_tiles, rng)


def _threshold(index, n_tiles, quantile) -> float:
    if n_tiles < 2:
        return 0.0
    # Called without arguments, kneighbors does not count a tile as its own neighbour.
    return float(np.quantile(index.kneighbors()[0][:, 0], quantile))
