"""The contract of a fitted tile model: tiles in, contributions out, and what else it can do."""

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
from ..fields._sources import as_array
from ..tiling import Block
from ._baseline import Baseline

# Numbers in a block of tiles that are differentiated at a time.
_SLOPE_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class AbstractTileModel(ABC):
    """A fitted estimator and how tiles are handed to it: ``c(T) = scale * model(T) + b . phi``.

    Whatever the solver, fitting leaves one of these for each term, and evaluation sees nothing
    else. What a tile model can do beside `predict` is declared here: ask for a capability, not for
    the class or for an attribute.

    Attributes
    ----------
    estimator : object with ``predict``
        The fitted tile model, in the type the user gave.
    tile_shape : tuple of int
        Shape of the tiles it was fitted to, ``(*window[, n_channels])``.
    n_outputs : int
    has_channels : bool or None, default=False
        Whether the last axis of a tile is a channel axis; None where a tile is no window of a grid
        but plain features.
    scale : float or ndarray of shape (n_outputs,), default=1.0
        What one unit of the estimator's output is worth, in units of y.
    baseline : Baseline or None, default=None
        Contribution of each focus by its size or content.
    has_std : bool
        Whether `total_std` is known.
    has_embedding : bool
        Whether `embedding` is known.
    has_input_gradient : bool
        Whether `input_gradient` is known.
    """

    estimator: Any
    tile_shape: tuple[int, ...]
    n_outputs: int
    has_channels: bool | None = False
    scale: Any = 1.0
    baseline: Baseline | None = None

    @abstractmethod
    def _outputs(self, tiles) -> np.ndarray:
        """Return the estimator's own output for tiles, (n_tiles, n_outputs) in float64."""

    def predict(self, tiles) -> np.ndarray:
        """Return what each tile contributes to the total.

        Parameters
        ----------
        tiles : ndarray of shape (n_tiles, *tile_shape)

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64

        Raises
        ------
        TileModelError
            Where the tiles are not of the shape fitted, or where the estimator returns NaN,
            infinity, or anything but one row of outputs per tile.
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
        """Raise where tiles of this shape are not what the model was fitted to."""
        if tuple(tile_shape) == self.tile_shape:
            return
        if len(tile_shape) == len(self.tile_shape) and self.has_channels:
            if tuple(tile_shape[:-1]) == self.tile_shape[:-1]:
                raise TileModelError(
                    f"The model was fitted to fields with {self.tile_shape[-1]} channel(s), these "
                    f"have {tile_shape[-1]}."
                )
        if self.has_channels is None:
            raise TileModelError(
                f"The model was fitted to tiles with features of shape {self.tile_shape}, these "
                f"have {tuple(tile_shape)}."
            )
        raise TileModelError(
            f"The model was fitted to tiles of shape {self.tile_shape}, these fields give tiles of "
            f"shape {tuple(tile_shape)}. With focus=None the field's size is part of the model: "
            "predict that size, or fit with a focus that divides both sizes."
        )

    def gradient(self, tiling, systems):
        """Return the gradient of each total with respect to its system.

        Parameters
        ----------
        tiling : AbstractTiling
            With ``has_gradient``.
        systems : Systems

        Returns
        -------
        list of ndarray, float64
            Of fields, one of shape (n, *field_shape) for each stack; else as the tiling has it.
            The baseline's is included.

        Raises
        ------
        TileModelError
            Where the gradient of the estimator is not known; see `_gradients`.
        """
        max_tiles = max(1, _SLOPE_NUMBERS // int(np.prod(self.tile_shape)))
        baseline = None if tiling.is_grid else self.baseline

        def slopes(tiles):
            own = self._input_gradients(tiles)
            return own if baseline is None else own + baseline.tile_gradients(tiles)

        parts = tiling.gradient_of(systems, slopes, max_tiles)
        if tiling.is_grid and self.baseline is not None:
            for part in parts:
                part += self.baseline.gradient(tiling, part.shape[1:])
        return parts

    def total_and_gradient(self, tiling, values, gradient=True):
        """Return the total of one field and its derivative; see `NetworkTileModel`.

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
        whole = (slice(0, n) for n in tiling.tile_grid(values.shape))
        total = self.predict(
            tiling.read(field, Block(0, slice(0, 1), tuple(whole))).reshape(-1, *self.tile_shape)
        )
        slope = self.gradient(tiling, field)[0][0] if gradient else None
        return math.fsum(total[:, 0]), slope

    def _input_gradients(self, tiles) -> np.ndarray:
        """Return how the first output changes with each tile, without the baseline, float64."""
        return self.input_gradient(tiles)

    # --- what some can do -------------------------------------------------------------------

    has_std = False

    def total_std(self, tiling, systems) -> np.ndarray:
        """Return the standard deviation of totals, (n_samples, n_outputs), where it is known.

        Raises
        ------
        TileModelError
            Where it is not; see `has_std`.
        """
        raise TileModelError(
            f"{type(self.estimator).__name__} has no standard deviation. Use a "
            "GaussianProcessRegressor as tile model, or an EDNNCommittee."
        )

    def has_dense_form(self, tiling) -> bool:
        """Tell whether the model can run over whole regions of fields at once."""
        return False

    @property
    def has_embedding(self) -> bool:
        """Whether the model has features of tiles; see `embedding`."""
        return False

    def embedding(self, tiles) -> np.ndarray:
        """Return the model's own features of tiles, (n_tiles, n_features), where it has any.

        Raises
        ------
        TileModelError
            Where it has none; see `has_embedding`.
        """
        raise TileModelError(
            f"The tile model {type(self.estimator).__name__} is given the tiles as they are: it "
            "has no features of them."
        )

    @property
    def has_input_gradient(self) -> bool:
        """Whether the gradients of all outputs with respect to tiles are known exactly."""
        return False

    def input_gradient(self, tiles, output=0) -> np.ndarray:
        """Return the gradient of each contribution with respect to its tile, like `tiles`.

        Raises
        ------
        TileModelError
            Where it is not known; see `has_input_gradient`.
        """
        raise TileModelError(
            f"The gradients of {type(self.estimator).__name__} with respect to tiles are not known."
        )

    @property
    def bytes_per_tile(self) -> int:
        """Roughly what one tile costs in memory while it is evaluated."""
        n_features = int(np.prod(self.tile_shape))
        return 16 * n_features + 8 * _widest_step(self.estimator) + 8 * self.n_outputs

    def identity(self) -> str:
        """Return a name that differs where predictions may: a digest of all that they follow from.

        It is the same in another process.
        """
        return digest((type(self).__qualname__, self._content()))

    def _content(self) -> dict:
        return dict(self.__dict__)

    def with_baseline(self, baseline):
        """Return the same model with a baseline."""
        return replace(self, baseline=baseline)


def flat(tiles) -> np.ndarray:
    """Return tiles as rows of features, C-contiguous: what scikit-learn's estimators take."""
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
    """Return a tile model's outputs as float64 of shape (n_tiles, n_outputs), or say what is wrong.

    Raises
    ------
    TileModelError
    """
    name = type(estimator).__name__
    outputs = np.asarray(outputs)
    if outputs.shape != (n_tiles, n_outputs) and not (
        n_outputs == 1 and outputs.shape == (n_tiles,)
    ):
        wanted = (
            f"({n_tiles},) or ({n_tiles}, 1)" if n_outputs == 1 else f"({n_tiles}, {n_outputs})"
        )
        raise TileModelError(
            f"The tile model {name} must return one row of outputs per tile, shape {wanted}; "
            f"it returned shape {outputs.shape}."
        )
    outputs = outputs.reshape(n_tiles, n_outputs).astype(np.float64)
    if not np.isfinite(outputs).all():
        bad = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
        raise TileModelError(
            f"The tile model {name} returned NaN or infinity for {np.sum(~np.isfinite(outputs))} "
            f"contribution(s), the first for tile {bad}. Look at its training (learning rate, "
            "scale of the inputs), or at the tiles it was given."
        )
    return outputs


def is_torch(tile_model) -> bool:
    """Tell whether a tile model is a torch module or a skorch net, without importing either."""
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
    """Return the most numbers per row that an estimator makes on its way to a prediction."""
    front, last = front_and_last(estimator)
    widest = 1
    for step in (*front, last):
        for name in ("X_fit_", "X_train_", "_fit_X", "support_vectors_", "components_"):
            widest = max(widest, len(getattr(step, name, ())))
        widest = max(widest, getattr(step, "n_output_features_", 1))
    return widest
