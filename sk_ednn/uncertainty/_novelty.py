"""Whether a model has seen tiles like these: how far they are from those of the training data."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._utils.steps import dense, front_and_last, transformed
from ..estimators._committee import EDNNCommittee
from ..estimators._unwrap import fitted_term, unwrap
from ..fields._sources import as_array
from ..tile_models._base import flat
from ..tiling._sampling import sampled_tiles
from ..tiling._unique import distinct

# Tiles compared at a time.
_BLOCK = 4096


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
    """Measure, for each sample, the share of tiles that are unlike all training tiles.

    A tile is novel if its nearest training tile is further away than training tiles are from
    each other: than `quantile` of them are from their nearest neighbour. A large system may look
    like the small ones in every mean and yet hold a few tiles that no training system had.

    Parameters
    ----------
    estimator : EDNNRegressor or EDNNCommittee, Pipeline that ends in one, or search; fitted
        Of a committee, the first member says what tiles are.
    X_train : what the estimator was fitted to
    X : what the estimator predicts
    space : {"auto", "tiles", "features"}, default="auto"
        Where distances are taken: between tiles as they are, or between what the last step of the
        tile model is given (the last hidden layer of a network, the transformed features of a
        Pipeline), each divided by its standard deviation over the training tiles. "auto" for
        features where there are any, else tiles.
    quantile : float, default=0.99
        Of the distances between training tiles, what is still familiar.
    max_tiles : int, default=10_000
        Most distinct training tiles to compare with, drawn at random; None for all.
    term : str, default=None
        Which term to look at, where the estimator has several.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        share : ndarray of shape (n_samples,)
            Of a sample's tiles, those that are novel: 0 to 1. It is 0 for the training data
            itself, as long as all of its distinct tiles are compared with.
        distance : ndarray of shape (n_samples,)
            Mean distance of a sample's tiles to the nearest training tile.
        threshold : float
            The distance above which a tile is novel.
        spread : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
            Of a committee, the standard deviation between its members, in units of y.
        space : str
            "tiles" or "features".

    Notes
    -----
    Distances are Euclidean; in many dimensions they are all alike, and a network's own features
    tell more than pixels. Neither this nor a committee's spread is an error: see whether they tell
    good predictions from bad ones by `NoveltyDisplay` on data with known totals.

    Examples
    --------
    A field of the usual kind, but for 2 x 2 sites. They are seen by 4 x 4 of its 64 tiles:

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
    known = TileNovelty(
        estimator, X_train, space=space, quantile=quantile, max_tiles=max_tiles, term=term,
        random_state=random_state,
    )  # fmt: skip
    return Bunch(**known.compare(X), threshold=known.threshold_, spread=spread, space=known.space_)


class TileNovelty:
    """The tiles of the training data, to compare those of one system after another with.

    What `novelty` does at once, for simulations.

    Parameters
    ----------
    estimator : EDNNRegressor or EDNNCommittee, Pipeline that ends in one, or search; fitted
    X_train : what the estimator was fitted to
    space : {"auto", "tiles", "features"}, default="auto"
    quantile : float, default=0.99
    max_tiles : int, default=10_000
    term : str, default=None
    random_state : int, RandomState or None, default=None
        All of them as in `novelty`.

    Attributes
    ----------
    threshold_ : float
        The distance above which a tile is novel.
    space_ : str
        "tiles" or "features".

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.uncertainty import TileNovelty
    >>> train = np.random.default_rng(0).normal(size=(20, 8, 8))
    >>> model = EDNNRegressor(tiling=GridTiling(1, 1)).fit(train, train.sum(axis=(1, 2)))
    >>> known = TileNovelty(model, train)
    >>> strange = train[:1].copy()
    >>> strange[0, 3:5, 3:5] = 20.0
    >>> known.compare(strange).share
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
        known = self._features(_distinct_tiles(self.tiling, fitted.systems, max_tiles, rng))
        scale = known.std(axis=0)
        # Distances in units of a feature's spread; one that never varies, as it stands.
        scale[scale == 0] = 1.0
        self._scale = scale
        self._index = NearestNeighbors(n_neighbors=1).fit(known / scale)
        self.threshold_ = _threshold(self._index, len(known), quantile)

    def compare(self, fields):
        """Return how far the tiles of fields are from the known ones.

        Parameters
        ----------
        fields : array-like of shape (n_samples, *field_shape), or list of fields
            What the EDNNRegressor is given: of a Pipeline, what its transformers return.

        Returns
        -------
        result : Bunch
            share : ndarray of shape (n_samples,)
                Of a sample's tiles, those that are novel: 0 to 1.
            distance : ndarray of shape (n_samples,)
                Mean distance of a sample's tiles to the nearest known one.
        """
        fields = self.tiling.check(fields)
        novel, far, counts = (np.zeros(fields.n_samples) for _ in range(3))
        for tiles in self.tiling.blocks(fields, _BLOCK):
            merged, inverse = tiles.unique()
            features = self._features(np.array(merged.array()))
            nearest = self._index.kneighbors(features / self._scale)[0][:, 0][inverse]
            novel += tiles.total(nearest > self.threshold_ * (1 + 1e-6))
            far += tiles.total(nearest)
            counts += tiles.counts()
        # A sample without tiles of the term has none that is novel.
        counts = np.maximum(counts, 1.0)
        return Bunch(share=novel / counts, distance=far / counts)


def error_ranking(indicator, errors, *, n_bins=5):
    """Tell whether a number known beforehand ranks predictions by their true error.

    Parameters
    ----------
    indicator : array-like of shape (n_samples,)
        Such as the `share` of novel tiles, or a committee's spread.
    errors : array-like of shape (n_samples,)
        ``predicted - true``; signs do not count.
    n_bins : int, default=5
        Samples are put, by the indicator, into so many bins of equal numbers.

    Returns
    -------
    result : Bunch
        spearman : float
            Rank correlation of indicator and absolute error: 1 if it puts them in order, 0 if it
            says nothing. NaN where either is constant.
        p_value : float
            Probability of a correlation as large without any relation.
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
            + (" Give several outputs one by one." if errors.ndim == 2 else "")
        )
    if not 1 <= n_bins <= len(errors):
        raise ValueError(f"n_bins must lie between 1 and {len(errors)}, got {n_bins}.")
    varies = np.ptp(indicator) > 0 and np.ptp(errors) > 0
    rank, p_value = spearmanr(indicator, errors) if varies else (np.nan, np.nan)
    order = np.argsort(indicator, kind="stable")
    bins = np.array_split(order, n_bins)
    return Bunch(
        spearman=float(np.round(rank, 12)),
        p_value=float(p_value),
        bin_indicator=np.array([np.median(indicator[own]) for own in bins]),
        bin_error=np.array([np.mean(errors[own]) for own in bins]),
        kept=np.cumsum(errors[order]) / np.arange(1, len(errors) + 1),
    )


def tile_features(tile_model, space):
    """Return a function of tiles, and the name of the space it leads to."""
    estimator = tile_model.estimator
    if space != "tiles":
        front, _ = front_and_last(estimator)
        if front:
            return partial(_transformed, front), "features"
        if tile_model.has_embedding:
            return partial(_embedded, tile_model), "features"
        if space == "features":
            raise ValueError(
                f"The tile model {type(estimator).__name__} is given the tiles as they are: it has "
                "no features of its own. Use space='tiles'."
            )
    return _as_they_are, "tiles"


# No lambdas: what holds one of these can be pickled.
def _transformed(transformers, tiles) -> np.ndarray:
    return dense(transformed(transformers, flat(tiles)))


def _embedded(tile_model, tiles) -> np.ndarray:
    return np.asarray(tile_model.embedding(tiles), dtype=float)


def _as_they_are(tiles) -> np.ndarray:
    return flat(tiles).astype(float)


def _distinct_tiles(tiling, fields, max_tiles, rng) -> np.ndarray:
    # Tiles that repeat are drawn as one: rare ones are what is looked for.
    tiles = tiling.tiles(fields)
    if tiles.repeats() or max_tiles is None or tiles.n_tiles <= max_tiles:
        first, _ = distinct(tiles.values, len(tiles.tile_shape))
        if max_tiles is not None and len(first) > max_tiles:
            first = np.sort(rng.choice(first, max_tiles, replace=False))
        return np.array(tiles.array(first))
    return sampled_tiles(tiling, fields, max_tiles, rng)


def _threshold(index, n_known, quantile) -> float:
    if n_known < 2:
        return 0.0
    # Without arguments a tile is not its own neighbour.
    return float(np.quantile(index.kneighbors()[0][:, 0], quantile))
