"""A fitted network as a tile model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .._tile_model import TileModel, channels_first, checked_outputs, flat

# Numbers in a batch of tiles; small enough that the layers' outputs stay near the caches.
_BATCH_NUMBERS = 1 << 18


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
            parts.append(
                (torch.nn.functional.softplus(out) if self.positive else out).cpu().numpy()
            )
        return checked_outputs(np.concatenate(parts), len(tiles), self.n_outputs, net)
