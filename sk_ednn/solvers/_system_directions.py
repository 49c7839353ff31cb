"""Gradients of totals with respect to bags and structures, as rows of least squares.

These are the rows of `_directions` for systems that are not grids. The tiling pushes a direction
of a system to its tiles (`AbstractTiling.push`), and transformers push it to the features.
"""

from __future__ import annotations

import numpy as np

from .._utils.memory import require_memory
from .._utils.steps import dense
from ..exceptions import TileModelError
from ..tile_models._base import flat
from ._push import features_along
from ._random_directions import random_directions


def system_rows(problem, features, widths, n_directions, random_state):
    """Yield the rows of each kind of target gradient.

    Parameters
    ----------
    problem : SumProblem
    features : list of TileFeatures
        Features of each term.
    widths : list of int
        Number of features of each term.
    n_directions : int
        Number of random directions per sample and kind. If a gradient has no more entries, each
        entry is a row.
    random_state : RandomState

    Yields
    ------
    rows : ndarray of shape (n_rows, n_features)
    targets : ndarray of shape (n_rows,)
    owners : ndarray of int of shape (n_rows,)
        Sample of each row.
    size : float
        Root mean square of the gradients of this kind; 1 if all are 0.
    n_entries : float
        Mean number of their entries per sample.
    """
    if problem.n_outputs > 1:
        raise TileModelError(
            "Gradients can be learned for one total per sample only, but y has "
            f"{problem.n_outputs} columns."
        )
    tiling = problem.terms[0].tiling
    kinds = tiling.known_gradients(problem.systems, problem.gradient)
    for kind, targets in kinds.items():
        directions = [
            None if target is None else random_directions(target.shape, n_directions, random_state)
            for target in targets
        ]
        counts = [0 if of_sample is None else len(of_sample) for of_sample in directions]
        owners = np.repeat(np.arange(len(targets)), counts)
        if len(owners) == 0:
            continue
        require_memory(
            16 * len(owners) * sum(widths),
            f"Learning gradients along {n_directions} directions of each sample",
            "Use fewer directions (LinearSolver(n_directions=1)), samples or features.",
        )
        rows, baseline_rows = _rows(problem, features, widths, kind, directions, counts)
        derivatives = np.concatenate(
            [
                of_sample @ target
                for of_sample, target in zip(directions, targets, strict=True)
                if target is not None
            ]
        )
        entries = np.concatenate([target for target in targets if target is not None])
        size = float(np.sqrt(np.mean(entries**2))) or 1.0
        yield rows, derivatives - baseline_rows, owners, size, len(entries) / len(targets)


def _rows(problem, features, widths, kind, directions, counts):
    """Return the derivatives of summed features and of baselines along directions."""
    first = np.cumsum(counts) - counts
    n_rows, max_rows = int(np.sum(counts)), max(counts)
    rows, baseline_rows = np.zeros((n_rows, sum(widths))), np.zeros(n_rows)
    systems, start = problem.systems, 0
    baselines = problem.baselines or [None] * len(features)
    for feature, width, baseline in zip(features, widths, baselines, strict=True):
        tiling = feature.term.tiling
        shape = tiling.shape_of_tiles(systems)
        max_tiles = max(1, feature.block_bytes // (8 * int(np.prod(shape)) * (1 + max_rows)))
        for block in tiling.plan(systems, max_tiles):
            tiles = tiling.block_tiles(systems, block)
            samples = tiling.samples(systems, block)
            by_number = [
                [directions[k][number] if number < counts[k] else None for k in samples]
                for number in range(max_rows)
            ]
            tangents = tiling.push(systems, block, kind, by_number)
            pushed = features_along(feature.steps, flat(tiles.array()), list(map(flat, tangents)))
            for number, (derivative, tangent) in enumerate(zip(pushed, tangents, strict=True)):
                present = np.array([counts[k] > number for k in samples])
                index = first[samples[present]] + number
                sums = dense(tiles.sum_matrix @ derivative)
                rows[index, start : start + width] += sums[present]
                if baseline is not None:
                    gradients = baseline.tile_gradients(tiles.array())
                    by_tile = (gradients * tangent).reshape(len(gradients), -1).sum(axis=1)
                    baseline_rows[index] += (tiles.sum_matrix @ by_tile)[present]
        start += width
    return rows, baseline_rows
