"""Evaluation of bags and structures, which are in memory, with Dask."""

from __future__ import annotations

import os

import dask
import numpy as np

from .._parallel.journal import Journal
from .._parallel.payloads import pack
from .._utils.hashing import digest
from ._exact import ExactTotals
from ._groups import EvaluatedTerm

# Part of the hash of runs. Increase it when records of old journals become invalid.
_FORMAT = 1


def totals_of_systems(blocks, evaluation, tile_model, tiling, systems) -> np.ndarray:
    """Return the totals of systems, computed by the active scheduler.

    Parameters
    ----------
    blocks : DaskBlocks
    evaluation : AbstractEvaluation
        Evaluation of the blocks.
    tile_model : AbstractTileModel
    tiling : AbstractTiling
    systems : Systems

    Returns
    -------
    ndarray of shape (n_samples, n_outputs), float64
    """
    work = _Work(blocks, evaluation, tile_model, tiling, systems)
    totals = ExactTotals(tile_model.n_outputs)
    for part in dask.compute(*work.tasks(_group_totals, journal=True)):
        totals.merge(part)
    return totals.rounded(systems.n_samples)


def contributions_of_systems(blocks, evaluation, tile_model, tiling, systems) -> list:
    """Return the contributions of all tiles in the arrays of `AbstractTiling.empty`."""
    work = _Work(blocks, evaluation, tile_model, tiling, systems)
    out = tiling.empty(systems, tile_model.n_outputs)
    parts = dask.compute(*work.tasks(_group_contributions, journal=False))
    for group, values in zip(work.groups, parts, strict=True):
        for block, block_values in zip(group, values, strict=True):
            tiling.place(out, systems, block, block_values)
    return out


class _Work:
    """The tasks of a term over all systems."""

    def __init__(self, blocks, evaluation, tile_model, tiling, systems):
        self.systems, self.journal = systems, blocks.journal
        self.term = EvaluatedTerm(evaluation, tile_model, tiling)
        plan = evaluation.plan(tile_model, tiling, systems)
        step = blocks.blocks_per_task
        self.groups = [plan[k : k + step] for k in range(0, len(plan), step)]
        params = type(evaluation), evaluation.get_params()
        self.identity = blocks._hash(
            lambda: (tile_model.identity(), tiling.get_params(), params), "model"
        )
        self.run = ""
        if self.journal is not None:
            systems_hash = blocks._hash(lambda: systems, "systems")
            self.run = digest((_FORMAT, self.identity, systems_hash))

    def tasks(self, function, journal) -> list:
        """Return one task for each group."""
        recorded = {}
        folder = None
        if journal and self.journal is not None:
            folder = os.path.abspath(self.journal)
            recorded = Journal.read(folder, self.run, self.term.tile_model.n_outputs)
        term = dask.delayed(pack(self.term, self.identity, "tile model"), traverse=False)
        call = dask.delayed(function, pure=False)
        tasks = []
        for group in self.groups:
            piece, blocks, samples = self.term.tiling.piece(self.systems, group)
            keys = [_key(block) for block in group]
            done = {key: recorded[key] for key in keys if key in recorded}
            # For all systems, because a piece does not contain the tiles outside of it.
            whole = [self.term.tiling.covers(self.systems, block) for block in group]
            record = (folder, self.run, keys, whole, done)
            identity = digest((piece, blocks))
            packed = dask.delayed(pack((piece, blocks, samples), identity, "systems"))
            tasks.append(call(term, packed, record))
        return tasks


def _group_totals(term, packed, record) -> ExactTotals:
    opened: EvaluatedTerm = term.open()
    systems, blocks, samples = packed.open()
    folder, run, keys, whole, done = record
    n_outputs = opened.tile_model.n_outputs
    totals = ExactTotals(n_outputs)
    journal = None if folder is None else Journal.of_process(folder, run, n_outputs)
    missing = []
    for key, block, all_tiles in zip(keys, blocks, whole, strict=True):
        if key in done:
            totals.add(samples[opened.tiling.samples(systems, block)], done[key], all_tiles)
        else:
            missing.append((key, block, all_tiles))
    results = opened.evaluation.block_totals(
        opened.tile_model, opened.tiling, systems, [block for _, block, _ in missing]
    )
    for (key, _, all_tiles), (block, values) in zip(missing, results, strict=True):
        totals.add(samples[opened.tiling.samples(systems, block)], values, all_tiles)
        if journal is not None:
            journal.write(key, values)
    if journal is not None and missing:
        journal.sync()
    return totals.condensed()


def _group_contributions(term, packed, record) -> list[np.ndarray]:
    opened: EvaluatedTerm = term.open()
    systems, blocks, _ = packed.open()
    pairs = opened.evaluation.block_contributions(opened.tile_model, opened.tiling, systems, blocks)
    return [values for _, values in pairs]


def _key(block) -> tuple[int, ...]:
    """Return a block as integers, the key of its record in a journal."""
    return (0, block.first, block.last + 1, block.start, block.stop)
