"""Which evaluation suits which fields: the only if-chain of the package's evaluating half."""

from __future__ import annotations

import numpy as np

from .._utils.stored import stored
from ..fields._channels import grid_axes
from ._base import AbstractEvaluation
from ._direct import Direct
from ._unique import Unique

# Tiles looked at to see whether they repeat.
_PROBED = 4096


@stored("AutoEvaluation")
class AutoEvaluation(AbstractEvaluation):
    """Choose by the fields and the tile model.

    `Unique` where every second tile or more repeats one seen before; else `Network` for networks
    that have an exact dense form; else `Direct`. Where a dense form saves work, tiles have to
    repeat by twice that factor before evaluating each once is less. Of dask arrays, which are not
    looked at, integers and booleans are taken to repeat.

    Parameters
    ----------
    n_jobs : int or None, default=None
        Workers. None for 1, -1 for all cores.
    max_tiles : int or None, default=None
        Most tiles of a block. None to follow from `max_bytes`.
    max_bytes : int, default=2**26
        What the tiles of a block and their evaluation may take, roughly, for each worker.
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
        """Return the evaluation that would run on these fields.

        Parameters
        ----------
        tile_model : TileModel
        tiling : AbstractTiling
        X : fields, as `EDNNRegressor.predict` takes them
        """
        self._validate_params()
        fields = tiling.check(X)
        saving, kind = 1.0, Direct
        if tile_model.has_dense_form(tiling):
            from ._network import Network  # it needs torch, which is loaded then

            dense, kind = tile_model.dense_form(tiling), Network
            saving = dense.tiled_work / max(dense.dense_work, 1)
        if _repeats(tiling, fields, 2 * max(saving, 1.0)):
            kind = Unique
        # One of each for the life of this object: `Unique` remembers what it has evaluated.
        chosen = self._parts().setdefault(kind, kind())
        return chosen.set_params(**self.get_params())

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the most tiles of a block; see `AbstractEvaluation`."""
        chosen = self.select(tile_model, tiling, fields)
        return chosen.tiles_per_block(tile_model, tiling, fields)

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

    def _parts(self) -> dict:
        if "_chosen" not in self.__dict__:
            self._chosen = {}
        return self._chosen

    def __getstate__(self):
        """Leave out the parts, which are made again when they are needed."""
        state = dict(super().__getstate__())
        state.pop("_chosen", None)
        return state


def _repeats(tiling, fields, times) -> bool:
    if tiling.is_grid:
        if any(hasattr(getattr(s.values, "array", None), "__dask_graph__") for s in fields.stacks):
            return fields.dtype.kind in "biu"
        values = fields.stacks[0].values
        if isinstance(values, np.ndarray) and _corners_differ(tiling, values, times):
            return False
    some = tiling.probe(fields, _PROBED)
    return some is not None and some.repeats(times)


def _corners_differ(tiling, values, times) -> bool:
    """Tell from one site of each focus that tiles do not repeat, before any is cut."""
    field_shape = values.shape[1:]
    focus = tiling.focus_shape(tiling.tile_shape(field_shape))
    corner: list = [0] * len(field_shape)
    for axis, step in zip(grid_axes(tiling.channel_axis, len(field_shape)), focus, strict=True):
        corner[axis] = slice(None, None, step)
    corners = values[(slice(None), *corner)]
    n = min(corners.size, _PROBED)
    some = np.linspace(0, corners.size - 1, n).astype(int)
    return times * len(np.unique(corners[np.unravel_index(some, corners.shape)])) > n
