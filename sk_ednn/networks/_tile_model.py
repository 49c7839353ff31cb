"""A fitted network as a tile model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from .._tile_model import TileModel, channels_first, checked_outputs, flat
from ._convolutional import DenseForm, NotConvolutional, as_convolution

# Numbers in a batch of tiles; small enough that the layers' outputs stay near the caches.
_BATCH_NUMBERS = 1 << 18
# How far the dense form may be from the tiled one, relative to the largest contribution, where it
# is tried: rounding errors of float32, with room to spare.
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class NetworkTileModel(TileModel):
    """A fitted skorch net and how tiles are handed to it.

    Attributes
    ----------
    positive : bool, default=False
        Whether the network's output goes through softplus, so that no contribution is negative.
    """

    positive: bool = False

    def _outputs(self, tiles) -> np.ndarray:
        net, steps = self.estimator, []
        if hasattr(net, "steps"):
            steps, net = [step for _, step in net.steps[:-1]], net.steps[-1][1]
        if steps:
            inputs = flat(tiles)
            for step in steps:
                inputs = step.transform(inputs)
            inputs = np.asarray(inputs, dtype=np.float32)
        else:
            inputs = channels_first(tiles, self.has_channels)
        n_batch = int(np.clip(_BATCH_NUMBERS // inputs[0].size, 16, 8192))
        parts = []
        for start in range(0, len(inputs), n_batch):
            x = torch.from_numpy(np.ascontiguousarray(inputs[start : start + n_batch]))
            out = net.evaluation_step((x, None), training=False)
            out = out[0] if isinstance(out, tuple) else out
            parts.append(self._positive(out).cpu().numpy())
        return checked_outputs(np.concatenate(parts), len(tiles), self.n_outputs, net)

    def _positive(self, out):
        return torch.nn.functional.softplus(out) if self.positive else out

    def dense_form(self, tiling) -> DenseForm:
        """Return the network's dense form, once it has been seen to agree with the tiled one.

        Parameters
        ----------
        tiling : GridTiling
            That the model was fitted with.

        Raises
        ------
        NotConvolutional
            Saying which layer forbids it.
        """
        if "dense" not in self._cache:
            try:
                self._cache["dense"] = self._tried_dense_form(tiling)
            except NotConvolutional as error:
                self._cache["dense"] = error
        if isinstance(self._cache["dense"], NotConvolutional):
            raise self._cache["dense"]
        return self._cache["dense"]

    def dense_predict(self, padded, tiling) -> np.ndarray:
        """Return the contributions of all tiles of padded fields, without the baseline.

        Parameters
        ----------
        padded : ndarray of shape (n_samples, *padded[, n_channels])
            Fields with their context around them.
        tiling : GridTiling

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64
        """
        dense = self.dense_form(tiling)
        x = torch.from_numpy(channels_first(padded, self.has_channels))
        dense.module.eval()
        with torch.no_grad():
            out = self._positive(dense(x.to(self.estimator.device))).cpu().numpy()
        out = np.moveaxis(out, 1, -1).reshape(-1, self.n_outputs)
        return checked_outputs(out, len(out), self.n_outputs, self.estimator) * self.scale

    def _tried_dense_form(self, tiling) -> DenseForm:
        if hasattr(self.estimator, "steps"):
            raise NotConvolutional("Transformers before the network see tiles one by one.")
        module = self.estimator.module_
        training = module.training
        try:
            dense = as_convolution(module.eval(), tiling, self.tile_shape)
            self._cache["dense"] = dense
            self._compare(dense, tiling)
        finally:
            module.train(training)
            self._cache.pop("dense", None)
        return dense

    def _compare(self, dense, tiling):
        """Try both forms on noise of three tiles along each axis."""
        sites = tiling.focus_sites(self.tile_shape)
        window = self.tile_shape[: len(sites)]
        lengths = [3 * (s.stop - s.start) + n - (s.stop - s.start) for s, n in
                   zip(sites, window, strict=True)]  # fmt: skip
        channels = self.tile_shape[len(sites) :]
        padded = np.random.default_rng(0).random((1, *lengths, *channels))
        windows = np.lib.stride_tricks.sliding_window_view(
            padded[0], window, axis=tuple(range(len(sites)))
        )[tuple(slice(None, None, s.stop - s.start) for s in sites)]
        if channels:
            windows = np.moveaxis(windows, len(sites), -1)
        tiled = self._outputs(windows.reshape(-1, *self.tile_shape)) * self.scale
        difference = np.abs(self.dense_predict(padded, tiling) - tiled).max()
        if not difference <= _TOLERANCE * max(np.abs(tiled).max(), 1e-30):
            raise NotConvolutional(
                f"The dense form differs from the tiled one by {difference:.1e} where "
                f"contributions are up to {np.abs(tiled).max():.1e}: some layer looks at where it "
                "is in a tile."
            )

    def _content(self) -> dict:
        # Of the net the module alone: its history holds times, and its optimiser what is past.
        content = self.__getstate__()
        net, steps = content.pop("estimator"), []
        if hasattr(net, "steps"):
            steps, net = [step for _, step in net.steps[:-1]], net.steps[-1][1]
        layers = {
            name: {k: v for k, v in layer.__dict__.items() if k not in ("training", "_modules")}
            for name, layer in net.module_.named_modules()
        }
        return {**content, "steps": steps, "module": str(net.module_), "layers": layers}

    @cached_property
    def _cache(self) -> dict:
        return {}

    def __getstate__(self):
        """Leave out the dense form, which is made again when it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_cache"}

    def __setstate__(self, state):
        """Restore what `__getstate__` kept."""
        self.__dict__.update(state)
