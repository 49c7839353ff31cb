"""Intensive context: averages over a whole field, as channels that every tile sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.stored import stored
from ..exceptions import TilingError
from ..fields._fields import check_fields, check_ndim
from ..fields._sources import as_array

_STATISTICS = ("mean", "square")


@stored("IntensiveContext")
class IntensiveContext(TransformerMixin, BaseEstimator):
    """Add channels that hold averages of the whole field.

    A window cannot see what is spread over the whole system: the mean illumination of a picture,
    the concentration of a species, a Fermi level. Averages per site can, and they do not change
    when a system is repeated. So with them as further input of each tile, a sum over tiles is
    exactly extensive still::

        y  =  sum over tiles t of  c(t, g)        g = mean over sites of h(site)

    Behind it stands an `EDNNRegressor` whose tiling has ``channel_axis=-1``.

    Parameters
    ----------
    statistics : tuple of {"mean", "square"}, default=("mean",)
        Averages of each channel: of its values, of their squares.
    channel_axis : int or None, default=None
        Axis of one field that holds channels; None where there is none.

    Attributes
    ----------
    n_channels_ : int
        Channels of the fields of the fit.

    Notes
    -----
    Local updates of a field (`LocalUpdates`, `Metropolis`) change the averages, and with them what
    every tile sees: they cannot be used behind this transformer, which returns another field.

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

    def fit(self, X, y=None):
        """Check the parameters and remember the number of channels.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        y : None
            Ignored.

        Returns
        -------
        self
        """
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
        fields = check_fields(X, caller=self)
        if self.channel_axis is not None and not -fields.ndim <= self.channel_axis < fields.ndim:
            raise TilingError(
                f"channel_axis={self.channel_axis} is not an axis of fields of {fields.ndim} "
                "dimension(s)."
            )
        self.n_channels_ = self._n_channels(fields)
        self._ndim = fields.ndim
        return self

    def transform(self, X):
        """Return fields with their averages as further channels.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
            Of any size; dask arrays too.

        Returns
        -------
        ndarray or dask array of shape (n_samples, *grid, n_channels * (1 + n_statistics))
            Floats in the type of X, float64 for integers; for a list of fields, a list of such
            without the sample axis.
        """
        check_is_fitted(self)
        fields = check_fields(X, caller=self)
        check_ndim(fields, self._ndim)
        n_channels = self._n_channels(fields)
        if n_channels != self.n_channels_:
            raise TilingError(
                f"The fields have {n_channels} channel(s), those of the fit had {self.n_channels_}."
            )
        stacks = [self._extended(stack.values) for stack in fields.stacks]
        return fields.by_sample(stacks)

    def pull(self, X, gradients):
        """Return how totals change with the fields, from how they change with all channels.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
            In memory.
        gradients : array-like like what `transform` returns, or list of such
            As `EDNNRegressor.predict_gradient` returns them.

        Returns
        -------
        ndarray like X, float64, or list of such fields
        """
        check_is_fitted(self)
        fields = check_fields(X, caller=self)
        if fields.lazy:
            raise TypeError("Gradients are those of fields in memory. Read them first.")
        pulled: list[Any] = [None] * fields.n_samples
        for stack in fields.stacks:
            for sample, values in zip(stack.samples, stack.values, strict=True):
                gradient = as_array(gradients[sample], f"gradients[{sample}]", np.float64)
                pulled[sample] = self._pulled(values, gradient)
        return pulled if fields.ragged else np.stack(pulled)

    def _pulled(self, values, gradient):
        last = self._channels_last(np.asarray(values, dtype=np.float64)[None])[0]
        if gradient.shape != (*last.shape[:-1], self.n_channels_ * (1 + len(self.statistics))):
            raise ValueError(
                f"Expected a gradient for each channel of transform(X), got {gradient.shape} for a "
                f"field of shape {values.shape}."
            )
        axes = tuple(range(last.ndim - 1))
        n_sites = np.prod(last.shape[:-1])
        out = gradient[..., : self.n_channels_].copy()
        for k, name in enumerate(self.statistics):
            part = slice((k + 1) * self.n_channels_, (k + 2) * self.n_channels_)
            of_average = gradient[..., part].sum(axis=axes) / n_sites
            out += of_average * (1.0 if name == "mean" else 2.0 * last)
        if self.channel_axis is None:
            return out[..., 0]
        return np.moveaxis(out, -1, self.channel_axis % values.ndim)

    def _n_channels(self, fields) -> int:
        if self.channel_axis is None:
            return 1
        return int(fields.stacks[0].values.shape[1:][self.channel_axis])

    def _channels_last(self, values):
        """Return fields with their channels last, of numpy or dask."""
        if self.channel_axis is None:
            return values[..., None]
        axis = 1 + self.channel_axis % (values.ndim - 1)
        order = [k for k in range(values.ndim) if k != axis]
        return values.transpose([*order, axis])

    def _extended(self, values):
        if not isinstance(values, np.ndarray):
            values = getattr(values, "array", values)
            if not hasattr(values, "__dask_graph__"):
                raise TypeError(
                    "Averages need the whole field: give arrays, or dask arrays, such as "
                    f"dask.array.from_array(X); got {type(values).__name__}."
                )
            import dask.array as xp
        else:
            xp = np
        last = self._channels_last(values)
        dtype = last.dtype if last.dtype.kind == "f" else np.dtype(np.float64)
        axes = tuple(range(1, last.ndim - 1))
        wide = last.astype(np.float64)
        parts = [last.astype(dtype)]
        for name in self.statistics:
            average = (wide if name == "mean" else wide * wide).mean(axis=axes, keepdims=True)
            parts.append(xp.broadcast_to(average.astype(dtype), last.shape))
        return xp.concatenate(parts, axis=-1)

    def __sklearn_tags__(self):
        """Say what scikit-learn may expect."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
