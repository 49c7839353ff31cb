"""Intensive context: averages over a whole field, as channels that every tile sees."""

from __future__ import annotations

import numpy as np

from .._utils.stored import stored
from ._whole_field import AbstractWholeFieldEncoder

_STATISTICS = ("mean", "square")


@stored("IntensiveContext")
class IntensiveContext(AbstractWholeFieldEncoder):
    """Add channels that contain averages of the whole field.

    A window does not contain properties of the whole system: the mean illumination of a picture,
    the concentration of a species, a Fermi level. Averages per site describe them, and do not
    change if a system is repeated. With these averages as further inputs of each tile, a sum over
    tiles is therefore still exactly extensive::

        y  =  sum over tiles t of  c(t, g)        g = mean over sites of h(site)

    It is followed by an `EDNNRegressor` whose tiling has ``channel_axis=-1``.

    Parameters
    ----------
    statistics : tuple of {"mean", "square"}, default=("mean",)
        Averages of each channel: of its values, of their squares.
    channel_axis : int or None, default=None
        Axis of one field that contains channels; None if there is none.

    Attributes
    ----------
    n_channels_ : int
        Channels of the fields of the fit.

    Notes
    -----
    Local updates of a field (`LocalUpdates`, `Metropolis`) change the averages, and with them all
    tiles, so they cannot be used behind this transformer.

    Examples
    --------
    The variance of a field is not a sum of local terms unless its mean is known:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.encoders import IntensiveContext
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 6, 6)) + rng.normal(size=(200, 1, 1))
    >>> y = ((X - X.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2))
    >>> tile_model = make_pipeline(PolynomialFeatures(2), Ridge(1e-6))
    >>> local = EDNNRegressor(tile_model, GridTiling(1, 0))
    >>> tiling = GridTiling(1, 0, channel_axis=-1)
    >>> informed = make_pipeline(IntensiveContext(), EDNNRegressor(tile_model, tiling))
    >>> scores = [
    ...     model.fit(X[:150], y[:150]).score(X[150:], y[150:]) for model in (local, informed)
    ... ]
    >>> scores[0] < 0.7 < 0.999 < scores[1]
    True
    >>> doubled = np.concatenate([X, X], axis=1)
    >>> np.abs(informed.predict(doubled) / informed.predict(X) - 2).max() < 1e-12
    np.True_
    """

    def __init__(self, statistics=("mean",), *, channel_axis=None):
        self.statistics = statistics
        self.channel_axis = channel_axis

    def _check(self, fields):
        statistics = tuple(self.statistics) if not isinstance(self.statistics, str) else None
        if (
            not statistics
            or set(statistics) - set(_STATISTICS)
            or len(set(statistics)) < len(statistics)
        ):
            raise ValueError(
                f"statistics must be a tuple of some of {_STATISTICS}, each once; got "
                f"{self.statistics!r}."
            )

    @property
    def _n_added(self):
        return len(self.statistics)

    def _added(self, last):
        axes = tuple(range(1, last.ndim - 1))
        return [
            (last if name == "mean" else last * last).mean(axis=axes, keepdims=True)
            for name in self.statistics
        ]

    def _added_lazily(self, last):
        return self._added(last)

    def _pulled_added(self, last, gradients):
        axes = tuple(range(last.ndim - 1))
        n_sites = np.prod(last.shape[:-1])
        out = np.zeros(last.shape)
        for name, gradient in zip(self.statistics, gradients, strict=True):
            of_average = gradient.sum(axis=axes) / n_sites
            out += of_average * (1.0 if name == "mean" else 2.0 * last)
        return out
