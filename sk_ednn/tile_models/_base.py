"""The interface of fitted tile models, which map tiles to contributions."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._utils.hashing import digest
from .._utils.steps import front_and_last
from ..exceptions import TileModelError
from ..fields._channels import channels_first
from ..fields._fields import Fields, Stack
from ..fields._in_memory import as_array
from ..tiling import Block
from ._baseline import Baseline

# Numbers in a block of tiles that is differentiated at a time.
_GRADIENT_BLOCK_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class AbstractTileModel(ABC):
    """A fitted estimator applied to tiles, ``c(T) = scale * model(T) + b @ phi``.

    Every solver returns one of these for each term, and evaluations use nothing else. Optional
    capabilities are declared here. Test for a capability, not for a class or an attribute.

    Attributes
    ----------
    estimator : object with ``predict``
        The fitted estimator, of the class given by the user.
    tile_shape : tuple of int
        Shape of the training tiles, ``(*window[, n_channels])``.
    n_outputs : int
    has_channels : bool or None, default=False
        Whether the last axis of a tile is a channel axis; None if tiles are feature vectors
        rather than windows of a grid.
    scale : float or ndarray of shape (n_outputs,), default=1.0
        Factor that converts the estimator's output to the units of y.
    baseline : Baseline or None, default=None
        Contribution of each focus by its size or content.
    has_std : bool
        Whether `total_std` is available.
    has_embedding : bool
        Whether `embedding` is available.
    has_input_gradient : bool
        Whether `input_gradient` is available.
    degree : int or None
        Degree of contributions as polynomials of the values of a tile, if they are known to be.
    """

    estimator: Any
    tile_shape: tuple[int, ...]
    n_outputs: int
    has_channels: bool | None = False
    scale: Any = 1.0
    baseline: Baseline | None = None

    @abstractmethod
    def _outputs(self, tiles) -> np.ndarray:
        """Return the estimator's unscaled output for tiles, (n_tiles, n_outputs) in float64."""

    def predict(self, tiles) -> np.ndarray:
        """Return the contribution of each tile to the total.

        Parameters
        ----------
        tiles : ndarray of shape (n_tiles, *tile_shape)

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64

        Raises
        ------
        TileModelError
            If the shape of the tiles differs from that of the training tiles, or if the estimator
            returns NaN, infinity, or anything but one row of outputs per tile.
        """
        tiles = as_array(tiles, "tiles")
        self.check_shape(tiles.shape[1:])
        if len(tiles) == 0:
            return np.zeros((0, self.n_outputs))
        contributions = self._outputs(tiles) * self.scale
        if self.baseline is not None:
            contributions = contributions + self.baseline.predict(tiles)
        return contributions

    def check_shape(self, tile_shape) -> None:
        """Raise TileModelError if the model was fitted to tiles of another shape."""
        if tuple(tile_shape) == self.tile_shape:
            return
        if len(tile_shape) == len(self.tile_shape) and self.has_channels:
            if tuple(tile_shape[:-1]) == self.tile_shape[:-1]:
                raise TileModelError(
                    f"The model was fitted to fields with {self.tile_shape[-1]} channel(s), but "
                    f"these have {tile_shape[-1]}."
                )
        if self.has_channels is None:
            raise TileModelError(
                f"The model was fitted to tiles with features of shape {self.tile_shape}, but "
                f"these have shape {tuple(tile_shape)}."
            )
        raise TileModelError(
            f"The model was fitted to tiles of shape {self.tile_shape}, but these fields have "
            f"tiles of shape {tuple(tile_shape)}. With focus=None the model applies to one size of "
            "fields. Pass fields of that size, or fit with a focus that divides both sizes."
        )

    def gradient(self, tiling, systems):
        """Return the gradient of each total with respect to its system.

        Parameters
        ----------
        tiling : AbstractTiling
            One with ``has_gradient``.
        systems : Systems

        Returns
        -------
        list of ndarray, float64
            For fields, an array of shape (n, *field_shape) for each stack; else see
            `AbstractTiling.gradient_of`. The baseline is included.

        Raises
        ------
        TileModelError
            If the estimator cannot be differentiated; see `_gradients`.
        """
        max_tiles = max(1, _GRADIENT_BLOCK_NUMBERS // int(np.prod(self.tile_shape)))
        baseline = None if tiling.is_grid else self.baseline

        def tile_gradients(tiles):
            gradients = self._input_gradients(tiles)
            return gradients if baseline is None else gradients + baseline.tile_gradients(tiles)

        parts = tiling.gradient_of(systems, tile_gradients, max_tiles)
        if tiling.is_grid and self.baseline is not None:
            for part in parts:
                part += self.baseline.gradient(tiling, part.shape[1:])
        return parts

    def total_and_gradient(self, tiling, values, gradient=True):
        """Return the total of one field and its gradient; see `NetworkTileModel`.

        Parameters
        ----------
        tiling : GridTiling
        values : ndarray of shape field_shape
        gradient : bool, default=True

        Returns
        -------
        total : float
        gradient : ndarray of shape field_shape, float64, or None
        """
        field = Fields((Stack(np.arange(1), values[None]),), 1, False)
        region = tuple(slice(0, n) for n in tiling.tile_grid(values.shape))
        tiles = tiling.read(field, Block(0, slice(0, 1), region)).reshape(-1, *self.tile_shape)
        total = math.fsum(self.predict(tiles)[:, 0])
        return total, self.gradient(tiling, field)[0][0] if gradient else None

    def _input_gradients(self, tiles) -> np.ndarray:
        """Return the gradient of the first output with respect to each tile, in float64.

        The scale is included, the baseline is not.
        """
        return self.input_gradient(tiles)

    # --- optional capabilities --------------------------------------------------------------

    @property
    def degree(self) -> int | None:
        """Degree of contributions as polynomials of the values of a tile, None if unknown."""
        return None

    has_std = False

    def total_std(self, tiling, systems) -> np.ndarray:
        """Return the standard deviation of totals, shape (n_samples, n_outputs).

        Raises
        ------
        TileModelError
            If it is not available; see `has_std`.
        """
        raise TileModelError(
            f"{type(self.estimator).__name__} has no standard deviation. Use a "
            "GaussianProcessRegressor as tile model, or an EDNNCommittee."
        )

    def has_dense_form(self, tiling) -> bool:
        """Return True if the model can be evaluated on regions of fields without cutting tiles."""
        return False

    @property
    def has_embedding(self) -> bool:
        """True if the model computes features of tiles; see `embedding`."""
        return False

    def embedding(self, tiles) -> np.ndarray:
        """Return the features that the model computes of tiles, shape (n_tiles, n_features).

        Raises
        ------
        TileModelError
            If there are none; see `has_embedding`.
        """
        raise TileModelError(
            f"The tile model {type(self.estimator).__name__} has no embedding of tiles. Use a "
            "torch network or a Pipeline with transformers as tile model."
        )

    @property
    def has_input_gradient(self) -> bool:
        """True if exact gradients of all outputs with respect to tiles are available."""
        return False

    def input_gradient(self, tiles, output=0) -> np.ndarray:
        """Return the gradient of each contribution with respect to its tile.

        Parameters
        ----------
        tiles : ndarray of shape (n_tiles, *tile_shape)
        output : int, default=0
            Index of the output to differentiate.

        Returns
        -------
        ndarray of shape (n_tiles, *tile_shape)

        Raises
        ------
        TileModelError
            If it is not available; see `has_input_gradient`.
        """
        raise TileModelError(
            f"{type(self.estimator).__name__} has no gradients with respect to tiles. Use a torch "
            "network as tile model."
        )

    @property
    def bytes_per_tile(self) -> int:
        """Estimate of the memory that the evaluation of a tile takes."""
        n_features = int(np.prod(self.tile_shape))
        return 16 * n_features + 8 * _widest_step(self.estimator) + 8 * self.n_outputs

    def identity(self) -> str:
        """Return a hash of everything that predictions depend on, the same in all processes."""
        return digest((type(self).__qualname__, self._content()))

    def _content(self) -> dict:
        return dict(self.__dict__)

    def with_baseline(self, baseline):
        """Return a copy of the model with this baseline."""
        return replace(self, baseline=baseline)


def flat(tiles) -> np.ndarray:
    """Return tiles as C-contiguous rows of features, the input of scikit-learn estimators."""
    return np.ascontiguousarray(tiles).reshape(len(tiles), -1)


def channels_first_tiles(tiles, has_channels) -> np.ndarray:
    """Return a view of tiles (n, *tile_shape) as (n, n_channels or 1, *window).

    Tiles that are not windows, for which `has_channels` is None, keep their shape.
    """
    if has_channels is None:
        return tiles
    return channels_first(tiles, -1 if has_channels else None, n_batch=1)


def module_input(tiles, has_channels, dtype=np.float32) -> np.ndarray:
    """Return tiles in the layout and dtype of a torch module; see `channels_first_tiles`."""
    # A copy always: torch must see no memory that is read-only or the user's.
    return np.array(channels_first_tiles(tiles, has_channels), dtype=dtype, order="C")


def checked_outputs(outputs, n_tiles, n_outputs, estimator) -> np.ndarray:
    """Check a tile model's outputs; return them as float64 of shape (n_tiles, n_outputs).

    Raises
    ------
    TileModelError
        If the shape is wrong, or if an output is not finite.
    """
    name = type(estimator).__name__
    outputs = np.asarray(outputs)
    if outputs.shape != (n_tiles, n_outputs) and not (
        n_outputs == 1 and outputs.shape == (n_tiles,)
    ):
        expected = (
            f"({n_tiles},) or ({n_tiles}, 1)" if n_outputs == 1 else f"({n_tiles}, {n_outputs})"
        )
        raise TileModelError(
            f"The tile model {name} must return one row of outputs per tile, shape {expected}; "
            f"it returned shape {outputs.shape}."
        )
    outputs = outputs.reshape(n_tiles, n_outputs).astype(np.float64)
    if not np.isfinite(outputs).all():
        first = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
        raise TileModelError(
            f"The tile model {name} returned NaN or infinity for {np.sum(~np.isfinite(outputs))} "
            f"contribution(s), the first for tile {first}. Check its training (learning rate, "
            "scale of the inputs) and the tiles."
        )
    return outputs


def is_torch(tile_model) -> bool:
    """Return True for a torch module or a skorch net, without importing either library."""
    torch, skorch = sys.modules.get("torch"), sys.modules.get("skorch")
    if skorch is not None and isinstance(tile_model, skorch.NeuralNet):
        return True
    if torch is None:
        return False
    module = torch.nn.Module
    return isinstance(tile_model, module) or (
        isinstance(tile_model, type) and issubclass(tile_model, module)
    )


def _widest_step(estimator) -> int:
    """Return the size per row of an estimator's largest intermediate result."""
    front, last = front_and_last(estimator)
    widest = 1
    for step in (*front, last):
        for name in ("X_fit_", "X_train_", "_fit_X", "support_vectors_", "components_"):
            widest = max(widest, len(getattr(step, name, ())))
        widest = max(widest, getattr(step, "n_output_features_", 1))
    return widest
