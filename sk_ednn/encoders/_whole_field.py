"""Base class of encoders that see whole fields and append channels to each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from ..exceptions import TilingError
from ..fields._axis_labels import axis_labels, compare_labels_and_unit, keep_labels_and_unit
from ..fields._fields import check_fields, check_ndim
from ..fields._in_memory import as_array
from ._base import require_axes

# Larger fields are not tried when an encoder is read from a file.
_MAX_TRIED_VALUES = 1 << 16


class AbstractWholeFieldEncoder(TransformerMixin, BaseEstimator, ABC):
    """Append channels to fields that are computed from each whole field.

    Subclasses have a parameter `channel_axis`.
    """

    channel_axis: int | None

    @abstractmethod
    def _check(self, fields) -> None:
        """Raise ValueError if a parameter is invalid; learn from checked fields."""

    def _check_size(self, shape) -> None:
        """Raise TilingError if fields of a shape cannot be encoded after the fit."""

    @property
    @abstractmethod
    def _n_added(self) -> int:
        """Number of channels that are appended for each channel."""

    @abstractmethod
    def _added(self, last) -> list:
        """Return arrays to append, (n, *grid, n_channels) each, of an array with channels last."""

    @abstractmethod
    def _added_lazily(self, last) -> list:
        """Return the same of a dask array."""

    @abstractmethod
    def _pulled_added(self, last, gradients) -> np.ndarray:
        """Pull gradients of the appended channels back to one field, (*grid, n_channels)."""

    def fit(self, X, y=None):
        """Check the parameters and store the number of channels.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        y : None
            Ignored.

        Returns
        -------
        self
        """
        labels, fields = axis_labels(X), check_fields(X, caller=self)
        if self.channel_axis is not None and not -fields.ndim <= self.channel_axis < fields.ndim:
            raise TilingError(
                f"channel_axis={self.channel_axis} is not an axis of fields of {fields.ndim} "
                "dimension(s)."
            )
        self._check(fields)
        self.n_channels_ = self._n_channels(fields)
        self._ndim = fields.ndim
        keep_labels_and_unit(self, labels, X)
        return self

    def transform(self, X):
        """Return fields with further channels.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
            Fields of any size; dask arrays too.

        Returns
        -------
        ndarray or dask array of shape (n_samples, *grid, n_channels_out)
            Floats in the type of X, float64 for integers; for a list of fields, a list of such
            without the sample axis. The channels of X come first.
        """
        check_is_fitted(self)
        compare_labels_and_unit(self, X)
        fields = check_fields(X, caller=self)
        check_ndim(fields, self._ndim)
        n_channels = self._n_channels(fields)
        if n_channels != self.n_channels_:
            raise TilingError(
                f"The fields have {n_channels} channel(s), those of the fit had {self.n_channels_}."
            )
        for stack in fields.stacks:
            self._check_size(stack.values.shape[1:])
        return fields.by_sample([self._extended(stack.values) for stack in fields.stacks])

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
        if gradient.shape != (*last.shape[:-1], self.n_channels_ * (1 + self._n_added)):
            raise ValueError(
                f"Expected a gradient for each channel of transform(X), got {gradient.shape} for a "
                f"field of shape {values.shape}."
            )
        of_channels, *added = np.split(gradient, 1 + self._n_added, axis=-1)
        out = of_channels + self._pulled_added(last, added)
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
        lazy = not isinstance(values, np.ndarray)
        if lazy:
            values = getattr(values, "array", values)
            if not hasattr(values, "__dask_graph__"):
                raise TypeError(
                    f"{type(self).__name__} needs the whole field: give arrays, or dask arrays, "
                    f"such as dask.array.from_array(X); got {type(values).__name__}."
                )
            import dask.array as xp
        else:
            xp = np
        last = self._channels_last(values)
        # Squares of half precision overflow, and means over many sites have more digits.
        dtype = np.result_type(last.dtype, np.float32) if last.dtype.kind == "f" else np.float64
        wide = last.astype(np.float64)
        added = self._added_lazily(wide) if lazy else self._added(wide)
        parts = [last, *(xp.broadcast_to(part, last.shape) for part in added)]
        return xp.concatenate([part.astype(dtype) for part in parts], axis=-1)

    def _try_stored(self):
        """Raise if an encoder that was read from a file cannot encode."""
        require_axes(self._ndim)
        axis, n_channels = self.channel_axis, self.n_channels_
        shape = list(self._example_shape())
        if axis is not None:
            if not -self._ndim <= axis < self._ndim or type(n_channels) is not int:
                raise ValueError(f"its encoder has the channels {n_channels!r} in axis {axis!r}")
            shape[axis] = n_channels
        if 0 < prod(shape) <= _MAX_TRIED_VALUES:
            fields = np.zeros((1, *shape))
            clone(self).fit(fields)
            self.transform(fields)

    def _example_shape(self) -> tuple:
        """Return the shape of fields that can be encoded after the fit."""
        return (2,) * self._ndim

    def __sklearn_tags__(self):
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
