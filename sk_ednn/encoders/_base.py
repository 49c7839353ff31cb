"""Whole fields with channels in the place of each value, wherever the fields are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.masks import unmasked
from .._utils.pair_functions import PairFunctions
from ..fields._axis_labels import axis_labels, compare_labels_and_unit, keep_labels_and_unit
from ..fields._fields import Fields, check_fields, check_ndim
from ..fields._sources import source_identity
from ..fields._views import OneField, SourceView

# Axes of fields that a file may claim.
_MAX_AXES = 8


class AbstractFieldEncoder(TransformerMixin, BaseEstimator, ABC):
    """Transform fields ``(n, *grid)`` into ``(n, *grid, n_channels)``, site by site.

    Arrays become arrays, lists lists, dask arrays dask arrays, and sources sources: what is read
    piece by piece is encoded piece by piece.

    Attributes
    ----------
    encodes_sites : bool
        True: the channels of a site depend on nothing but its value.
    """

    encodes_sites = True

    @abstractmethod
    def _learn(self, fields: Fields) -> None:
        """Learn from checked fields."""

    @abstractmethod
    def _channels(self, values, place=None) -> np.ndarray:
        """Return an array with an axis of channels at its end; `place` is where it begins."""

    @property
    @abstractmethod
    def _n_channels(self) -> int: ...

    @abstractmethod
    def _dtype_of(self, dtype) -> np.dtype:
        """Return the type of the channels of values of a type."""

    def _sums_of_values(self, counts) -> np.ndarray | None:
        """Return sums of the values of sites from sums of their channels; None if they have none.

        Parameters
        ----------
        counts : ndarray of shape (..., n_channels)
        """
        return None

    def _pair_basis(self) -> tuple[np.ndarray, list[PairFunctions]] | None:
        """Return values of a site, and sets of functions for `couplings`, the preferred one first.

        None if channels mean no more than the numbers they are made of.
        """
        return None

    def fit(self, X, y=None):
        """Learn properties of the values.

        Parameters
        ----------
        X : array-like of shape (n_samples, *grid), or list of such fields
            Without an axis of channels.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        labels, fields = axis_labels(X), check_fields(X, caller=self)
        self._learn(fields)
        self._grid_ndim = fields.ndim
        keep_labels_and_unit(self, labels, X)
        return self

    def transform(self, X):
        """Return fields with channels.

        Parameters
        ----------
        X : array-like of shape (n_samples, *grid), or list of such fields
            Fields of any size; dask arrays and sources too.

        Returns
        -------
        ndarray, dask array or source of shape (n_samples, *grid, n_channels), or list of such \
                without the sample axis
        """
        check_is_fitted(self)
        compare_labels_and_unit(self, X)
        fields = check_fields(X, caller=self)
        check_ndim(fields, self._grid_ndim)
        if not fields.ragged:
            return self._encoded(fields.stacks[0].values)
        out: list[Any] = [None] * fields.n_samples
        for stack in fields.stacks:
            if isinstance(stack.values, OneField):
                out[stack.samples[0]] = self._encoded(stack.values.source)
                continue
            for place, values in zip(stack.samples, self._encoded(stack.values), strict=True):
                out[place] = values
        return out

    def _encoded(self, values):
        if isinstance(values, np.ndarray):
            return self._channels(values)
        array = getattr(values, "array", None)
        if hasattr(array, "__dask_graph__"):
            return array.map_blocks(
                self._of_chunk,
                dtype=self._dtype_of(array.dtype),
                new_axis=array.ndim,
                chunks=(*array.chunks, (self._n_channels,)),
                meta=np.empty((0,) * (array.ndim + 1), dtype=self._dtype_of(array.dtype)),
            )
        return EncodedSource(values, self)

    def _of_chunk(self, chunk):
        # Dask reads past the source: its chunks may be masked.
        return self._channels(unmasked(chunk, "X"))

    @property
    def _known_value(self):
        """A value that the encoder accepts."""
        return 0.0

    def _try_stored(self):
        """Raise if an encoder that was read from a file cannot encode."""
        require_axes(self._grid_ndim)
        self.transform(np.full((1,) * (1 + self._grid_ndim), self._known_value))

    def __sklearn_tags__(self):
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def require_axes(n_axes):
    """Raise ValueError if a number of axes that was read from a file is invalid."""
    if type(n_axes) is not int or not 0 < n_axes <= _MAX_AXES:
        raise ValueError(f"its encoder was fitted to fields of {n_axes!r} axes")


class EncodedSource(SourceView):
    """A source whose values are encoded as they are read.

    Parameters
    ----------
    source : FieldSource
    encoder : AbstractFieldEncoder, fitted
    """

    def __init__(self, source, encoder):
        super().__init__(source, (*source.shape, encoder._n_channels))
        self.dtype = encoder._dtype_of(source.dtype)
        self.encoder = encoder
        if self.spacing is not None and len(self.spacing) == len(source.shape):
            self.spacing = (*self.spacing, 1.0)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of what is read at a time, or None."""
        chunks = super().chunks
        return None if chunks is None else (*chunks, self.shape[-1])

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices, of which the last is one of channels."""
        *box, channels = slices
        place = [part.start for part in box]
        return self.encoder._channels(self.source.read(tuple(box)), place)[..., channels]

    def identity(self) -> str:
        """Return a name that changes with the numbers."""
        return f"{self.encoder._described()} of {source_identity(self.source)}"
