"""Evaluation with Dask, on several machines and for fields larger than memory."""

from __future__ import annotations

import uuid
from numbers import Integral
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import Interval

from .._utils.hashing import digest, hashing_errors
from .._utils.stored import stored
from ..exceptions import TileModelError
from ._auto import AutoEvaluation
from ._base import AbstractEvaluation
from ._dask_graph import Work
from ._dask_systems import contributions_of_systems, totals_of_systems
from ._unique import Unique


@stored("DaskBlocks")
class DaskBlocks(AbstractEvaluation):
    """Evaluate groups of blocks as tasks of Dask.

    `EDNNRegressor.predict` uses it for lazy fields: dask arrays and sources (`ArraySource`,
    `sk_ednn.atoms.AtomsSource`). The result is then a dask array, computed by the active scheduler:
    threads by default, processes, or a `distributed.Client`. Fields in memory are evaluated
    immediately. Totals are bitwise the same for any scheduler and any number of workers, chunks
    and groups, and equal to those of `evaluation` without Dask.

    Parameters
    ----------
    evaluation : AbstractEvaluation or None, default=None
        Evaluation of the blocks: `Direct`, `Unique` or `Network`. None for `AutoEvaluation`.
    blocks_per_task : int, default=64
        Maximum number of adjacent blocks of a task. Tasks have fewer blocks if there are few, or
        if they would read more than 256 MiB of the field.
    journal : str, path or None, default=None
        A folder shared by all workers, in which totals of blocks are recorded. When the same
        totals are computed again, in any process, only blocks without a record are evaluated.
        Records are identified by a hash of the model, the tiling, the evaluation and the source
        (files by path, size and time). All of these must be hashable: lambdas, and classes defined
        in a function, are rejected.
    verbose : int or None, default=None
        Whether to show a progress bar during the computation of totals and, with a
        `distributed.Client`, the address of its dashboard.

    Notes
    -----
    A task reads only what its blocks see, so that memory does not grow with the field. The model is
    a task of the graph, keyed by its content. If workers are lost, even all of them, the groups
    whose sums they stored are computed again; with a journal, only the groups in progress. Lambdas
    and local classes are sent to workers along with the model. A model that cannot be pickled, for
    example because it contains a lock, is evaluated by the threads of one process. `Unique` has no
    cache here: totals are bitwise those of ``Unique(table_size=0)``.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, section 3.4: because tiles are independent, the
    evaluation of large systems can be distributed.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> small = make_ising(300, (8, 8), random_state=0)
    >>> model = EDNNRegressor().fit(small.fields, small.energies)
    >>> spins = da.random.default_rng(0).integers(0, 2, (1, 1024, 1024), chunks=300) * 2 - 1
    >>> lazy = model.predict(spins.astype(np.int8))
    >>> lazy.shape, lazy.dtype
    ((1,), dtype('float64'))
    >>> bool(lazy.compute()[0] == model.predict(spins.astype(np.int8).compute())[0])
    True
    """

    _parameter_constraints = {
        "evaluation": [AbstractEvaluation, None],
        "blocks_per_task": [Interval(Integral, 1, None, closed="left")],
        "journal": [str, Path, None],
        "verbose": ["verbose", None],
    }

    reads_pieces = True

    # The progress bar appears after this time.
    _delay_seconds = 2.0

    def __init__(self, evaluation=None, *, blocks_per_task=64, journal=None, verbose=None):
        self.evaluation = evaluation
        self.blocks_per_task = blocks_per_task
        self.journal = journal
        self.verbose = verbose

    def tiles_per_block(self, tile_model, tiling, fields):
        """Return the maximum number of tiles of a block; see `AbstractEvaluation`."""
        return self._inner(tile_model, tiling, fields).tiles_per_block(tile_model, tiling, fields)

    def block_contributions(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its contributions, without Dask; see `AbstractEvaluation`."""
        inner = self._inner(tile_model, tiling, fields)
        return inner.block_contributions(tile_model, tiling, fields, blocks)

    def block_totals(self, tile_model, tiling, fields, blocks=None):
        """Yield each block with its totals, without Dask; see `AbstractEvaluation`."""
        inner = self._inner(tile_model, tiling, fields)
        return inner.block_totals(tile_model, tiling, fields, blocks)

    def totals(self, tile_model, tiling, fields):
        """Return the totals of fields; see `AbstractEvaluation`.

        Returns
        -------
        dask.array.Array or ndarray of shape (n_samples, n_outputs), float64
            An ndarray if the fields are in memory.
        """
        if not tiling.is_grid:
            inner = self._inner(tile_model, tiling, fields)
            return totals_of_systems(self, inner, tile_model, tiling, fields)
        work = Work(self, tile_model, tiling, fields)
        parts = [work.totals(index) for index in range(len(work.fields.stacks))]
        totals = parts[0]
        if len(parts) > 1:
            order = np.concatenate([stack.samples for stack in fields.stacks])
            totals = da.concatenate(parts)[np.argsort(order)]
        return totals if fields.lazy else totals.compute()

    def contributions(self, tile_model, tiling, fields):
        """Return the contribution of each tile, per stack; see `AbstractEvaluation`."""
        if not tiling.is_grid:
            inner = self._inner(tile_model, tiling, fields)
            return contributions_of_systems(self, inner, tile_model, tiling, fields)
        work = Work(self, tile_model, tiling, fields)
        maps = [work.contributions(index) for index in range(len(work.fields.stacks))]
        return maps if fields.lazy else list(dask.compute(*maps))

    def _inner(self, tile_model, tiling, fields) -> AbstractEvaluation:
        self._validate_params()
        inner = AutoEvaluation() if self.evaluation is None else self.evaluation
        if isinstance(inner, AutoEvaluation):
            inner = inner.select(tile_model, tiling, fields)
        inner = clone(inner).set_params(n_jobs=1, verbose=0)
        if isinstance(inner, Unique):
            # With a cache, batches and thus round-off would depend on the order of blocks.
            inner.set_params(table_size=0)
        return inner

    def _hash(self, content, noun) -> str:
        """Return a hash of the result of `content`, the same in every process.

        Unhashable content, such as a lambda, gets a random name, unless there is a journal.
        """
        cache = f"journal={str(self.journal)!r} stores finished totals, and names the {noun}"
        try:
            with hashing_errors(cache, "Or set journal=None."):
                return digest(content())
        except TileModelError:
            if self.journal is not None:
                raise
            return uuid.uuid4().hex
