"""Evaluation of networks in their dense form."""

from __future__ import annotations

import numpy as np

from .._utils.stored import stored
from ..exceptions import TileModelError
from ._blockwise import BlockwiseEvaluation


@stored("Network")
class Network(BlockwiseEvaluation):
    """Run the dense form of a network over the padded field, block by block.

    The dense form computes no context twice. It requires convolutions without padding whose
    strides divide the focus; see `sk_ednn.networks.as_convolution`. Contributions equal those of
    the tiled network up to round-off, with up to ``(1 + 2 context / focus) ** dimension`` times
    less work.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Number of workers. None for 1, -1 for all cores.
    max_tiles : int or None, default=None
        Maximum number of tiles of a block. None to derive it from `max_bytes`.
    max_bytes : int, default=2**26
        Approximate memory of the largest layer, per worker.
    verbose : int or None, default=None
        Whether to show a progress bar.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.evaluation import Network
    >>> from sk_ednn.solvers import GradientSolver
    >>> fields = np.random.default_rng(0).normal(size=(20, 16, 16))
    >>> net = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 4, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(144, 1)
    ... )
    >>> fit = GradientSolver(max_epochs=1)
    >>> model = EDNNRegressor(net, GridTiling(focus=4, context=2), solver=fit)
    >>> model = model.fit(fields, (fields**2).sum(axis=(1, 2)))
    >>> chosen = model.evaluation_.select(model.tile_model_, model.tiling_, fields)
    >>> type(chosen).__name__
    'Network'
    """

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the maximum number of tiles of a block; see `AbstractEvaluation`."""
        self._validate_params()
        if not tiling.is_grid:
            raise TileModelError(
                "Network runs a dense form over fields on a grid, but the tiles of "
                f"{type(tiling).__name__} are not windows of a grid. Use Direct()."
            )
        dense = tile_model.dense_form(tiling)
        on_cpu = next(dense.parameters()).device.type == "cpu"
        numbers = dense.numbers_in_strips if on_cpu else dense.numbers_per_tile
        return self.max_tiles or max(1, int(self.max_bytes) // (4 * numbers))

    def prepare(self, tile_model, tiling):
        """Build the dense form, which switches the network to evaluation mode for a trial."""
        tile_model.dense_form(tiling)

    @staticmethod
    def contributions_of(tile_model, tiling, fields, block) -> np.ndarray:
        """Return the contributions of a block; see `BlockwiseEvaluation`."""
        padded = tiling.padded(fields, block)
        contributions = tile_model.dense_predict(padded, tiling)
        if tile_model.baseline is not None:
            field_shape = fields.stacks[block.stack].values.shape[1:]
            contributions += tile_model.baseline.predict(tiling.windows(padded, field_shape))
        return contributions

    @staticmethod
    def totals_of(tile_model, tiling, fields, block) -> np.ndarray:
        """Return the totals of a block; see `BlockwiseEvaluation`."""
        contributions = Network.contributions_of(tile_model, tiling, fields, block)
        return contributions.reshape(block.n_samples, -1, tile_model.n_outputs).sum(axis=1)
