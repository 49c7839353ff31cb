"""The choice of an evaluation, made here and nowhere else."""

from __future__ import annotations

import numpy as np

from .._utils.stored import stored
from ..fields._channels import grid_axes
from ._base import AbstractEvaluation
from ._direct import Direct
from ._unique import Unique

# Number of tiles that are inspected for repetitions.
_PROBED = 4096


@stored("AutoEvaluation")
class AutoEvaluation(AbstractEvaluation):
    """Choose an evaluation by the systems and the tile model.

    `Unique` is chosen if there are at most half as many distinct tiles as tiles; else `Network` for
    networks with an exact dense form; else `Direct`. If a dense form saves work by some factor,
    `Unique` requires twice that repetition. Dask arrays are not inspected: those of integers and
    booleans are assumed to repeat.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Number of workers. None for 1, -1 for all cores.
    max_tiles : int or None, default=None
        Maximum number of tiles of a block. None to derive it from `max_bytes`.
    max_bytes : int, default=2**26
        Approximate memory of the tiles of a block and their evaluation, per worker.
    verbose : int or None, default=None
        Whether to show a progress bar.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> rng = np.random.default_rng(0)
    >>> spins, noise = rng.choice([-1, 1], size=(40, 16)), rng.normal(size=(40, 16))
    >>> for X in (spins, noise):
    ...     model = EDNNRegressor().fit(X, X.sum(axis=1))
    ...     chosen = model.evaluation_.select(model.tile_model_, model.tiling_, X)
    ...     print(type(chosen).__name__)
    Unique
    Direct
    """

    _parameter_constraints = Direct._parameter_constraints

    def __init__(self, n_jobs=None, *, max_tiles=None, max_bytes=2**26, verbose=None):
        self.n_jobs = n_jobs
        self.max_tiles = max_tiles
        self.max_bytes = max_bytes
        self.verbose = verbose

    def select(self, tile_model, tiling, X) -> AbstractEvaluation:
        """Return the evaluation that would run on these systems.

        Parameters
        ----------
        tile_model : TileModel
        tiling : AbstractTiling
        X : systems, as accepted by `EDNNRegressor.predict`
        """
        self._validate_params()
        fields = tiling.check(X)
        saving, kind = 1.0, Direct
        if tile_model.has_dense_form(tiling):
            from ._network import Network  # torch is already loaded if there is a dense form

            dense, kind = tile_model.dense_form(tiling), Network
            saving = dense.tiled_work / max(dense.dense_work, 1)
        if _repeats(tiling, fields, 2 * max(saving, 1.0)):
            kind = Unique
        # One instance of each class is reused, because `Unique` caches contributions.
        evaluation = self._instances().setdefault(kind, kind())
        return evaluation.set_params(**self.get_params())

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the maximum number of tiles of a block; see `AbstractEvaluation`."""
        evaluation = self.select(tile_model, tiling, fields)
        return evaluation.tiles_per_block(tile_model, tiling, fields)

    def block_contributions(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its contributions; see `AbstractEvaluation`."""
        return self.select(tile_model, tiling, fields).block_contributions(
            tile_model, tiling, fields, blocks
        )

    def block_totals(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its totals; see `AbstractEvaluation`."""
        return self.select(tile_model, tiling, fields).block_totals(
            tile_model, tiling, fields, blocks
        )

    def _instances(self) -> dict:
        return self.__dict__.setdefault("_selected", {})

    def __getstate__(self):
        """Return the state without the selected evaluations."""
        state = dict(super().__getstate__())
        state.pop("_selected", None)
        return state


def _repeats(tiling, fields, times) -> bool:
    if tiling.is_grid:
        if any(hasattr(getattr(s.values, "array", None), "__dask_graph__") for s in fields.stacks):
            return fields.dtype.kind in "biu"
        values = fields.stacks[0].values
        if isinstance(values, np.ndarray) and _corners_differ(tiling, values, times):
            return False
    tiles = tiling.probe(fields, _PROBED)
    return tiles is not None and tiles.repeats(times)


def _corners_differ(tiling, values, times) -> bool:
    """Return True if one site of each focus shows that tiles do not repeat."""
    field_shape = values.shape[1:]
    focus = tiling.focus_shape(tiling.tile_shape(field_shape))
    corner: list = [0] * len(field_shape)
    for axis, step in zip(grid_axes(tiling.channel_axis, len(field_shape)), focus, strict=True):
        corner[axis] = slice(None, None, step)
    corners = values[(slice(None), *corner)]
    n = min(corners.size, _PROBED)
    probed = np.linspace(0, corners.size - 1, n).astype(int)
    return times * len(np.unique(corners[np.unravel_index(probed, corners.shape)])) > n
