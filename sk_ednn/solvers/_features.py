"""Features of tiles: the output of a Pipeline's transformers, fitted on tiles, and its sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from .._utils.memory import require_memory
from .._utils.steps import as_arrays, as_floats, dense, front_and_last, transformed
from ..exceptions import TileModelError
from ..tile_models._base import flat
from ..tile_models._resolution import rounded
from ..tiling._tiles import Tiles
from ._problem import Term


class TileFeatures:
    """The features that the last step of a tile model gets.

    Parameters
    ----------
    term : Term
        The tile model is not fitted yet. The transformers are fitted on all tiles of `fields`,
        including repetitions.
    fields : Systems
    block_bytes : int, default=2**26
        Maximum memory of the features of a block of tiles.
    resolution : ndarray of shape tile_shape or None, default=None
        Steps to which tiles are rounded before the transformers are fitted. Calls expect tiles
        that are rounded already.
    """

    def __init__(self, term: Term, fields, block_bytes=1 << 26, resolution=None):
        self.term = term
        self.resolution = resolution
        self.block_bytes = block_bytes
        self.steps, self.final = front_and_last(term.tile_model)
        _require_none_with_y(self.steps)
        if self.steps:
            self._check_windows(fields)
            with as_arrays():
                self._fit_transformers(fields)

    def _check_windows(self, fields):
        """Pass the shape of windows to the first transformer that checks it.

        Those before it must not change the number of features, as scalers.
        """
        first = next(
            step for step in [*self.steps, None]
            if hasattr(step, "check_tiles") or not isinstance(step, OneToOneFeatureMixin)
        )  # fmt: skip
        if not hasattr(first, "check_tiles"):
            return
        tiling = self.term.tiling
        shape = tiling.shape_of_tiles(fields)
        channels = tiling.has_channels
        if channels is None:
            raise TileModelError(
                f"{type(first).__name__} transforms windows of a grid, but the tiles of "
                f"{type(tiling).__name__} are feature vectors."
            )
        window, n_channels = (shape[:-1], shape[-1]) if channels else (shape, 1)
        first.check_tiles(window, n_channels, tiling.focus_shape(shape))

    def _fit_transformers(self, fields):
        tiling = self.term.tiling
        shape = tiling.shape_of_tiles(fields)
        if fields.lazy and all(hasattr(step, "partial_fit") for step in self.steps):
            self._fit_transformers_in_pieces(fields)
            return
        n_bytes = as_floats(np.empty(0, fields.dtype)).itemsize
        n_bytes *= 3 * tiling.counts(fields).sum() * np.prod(shape)
        require_memory(
            n_bytes,
            f"Fitting the transformers of {type(self.term.tile_model).__name__} on all tiles",
            "Fit it to fewer or smaller fields, or use a wider focus (fewer tiles).",
        )
        tiles = rounded(tiling.tiles(fields).array(), self.resolution)
        rows = as_floats(self._unshared(flat(tiles), fields))
        for step in self.steps:
            try:
                step.fit(rows)
            except (TypeError, ValueError) as error:
                raise TileModelError(
                    f"{type(step).__name__} could not be fitted to tiles: {error}. It must be "
                    "fitted without y, because the y of a single tile is not known, only sums are."
                ) from error
            if step is not self.steps[-1]:
                rows = step.transform(rows)

    def _fit_transformers_in_pieces(self, fields):
        tiling = self.term.tiling
        shape = tiling.shape_of_tiles(fields)
        max_tiles = max(1, self.block_bytes // (8 * int(np.prod(shape))))
        for index, step in enumerate(self.steps):
            for tiles in tiling.blocks(fields, max_tiles):
                rows = as_floats(flat(rounded(tiles.array(), self.resolution)))
                for earlier in self.steps[:index]:
                    rows = earlier.transform(rows)
                step.partial_fit(rows)

    def __call__(self, tiles) -> np.ndarray:
        """Return the features (n, n_features) of tiles (n, *tile_shape), dense or sparse."""
        return transformed(self.steps, flat(tiles))

    def of_distinct(self, tiles: Tiles, fields):
        """Return the features of merged tiles of the fields, which a model may store."""
        return self._unshared(self(tiles.array()), fields)

    @staticmethod
    def _unshared(rows, fields):
        """Return rows that do not share memory with the user's fields."""
        if not isinstance(rows, np.ndarray):
            return rows
        shared = any(np.may_share_memory(rows, array) for array in fields.arrays)
        return np.array(rows) if shared else rows

    def assemble(self, fitted):
        """Return the tile model with `fitted` as its last step."""
        return _rebuilt(self.term.tile_model, fitted)

    def blocks(self, fields) -> Iterator[tuple[np.ndarray, Tiles]]:
        """Yield features and tiles block by block, with equal tiles merged if there are many."""
        tiling = self.term.tiling
        shape = tiling.shape_of_tiles(fields)
        per_tile = 8 * int(np.prod(shape))
        if self.steps:
            probe = next(iter(tiling.blocks(fields, 1))).array()
            per_tile += 8 * self(probe).shape[1]
        for tiles in tiling.blocks(fields, max(1, self.block_bytes // per_tile)):
            tiles = tiles.condensed()
            yield self(tiles.array()), tiles

    def summed(self, fields) -> np.ndarray:
        """Return S Phi(T), of shape (n_samples, n_features)."""
        total = np.zeros((fields.n_samples, 0))
        for features, tiles in self.blocks(fields):
            # Only the samples of the block, because a sum over all of them would be as large as
            # the result.
            owners = np.flatnonzero(np.diff(tiles.sum_matrix.indptr))
            part = tiles.sum_matrix[owners] @ features
            if total.shape[1] == 0:  # the first block determines the width
                total = np.zeros((fields.n_samples, features.shape[1]))
            total[owners] += dense(part)
        return total


def _require_none_with_y(steps) -> None:
    for step in steps:
        if get_tags(step).target_tags.required:
            raise TileModelError(
                f"{type(step).__name__} needs y for every row, but the y of a single tile is not "
                "known, only sums are. Use a transformer that is fitted without y."
            )


def _rebuilt(tile_model, fitted):
    if not isinstance(tile_model, Pipeline):
        return fitted
    *front, (name, last) = tile_model.steps
    return Pipeline([*front, (name, _rebuilt(last, fitted))])
