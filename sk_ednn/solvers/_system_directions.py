"""Gradients of totals with respect to bags and structures, as rows of least squares.

These are the rows of `_directions` for systems that are not grids. The tiling pushes a direction
of a system to its tiles (`AbstractTiling.push`), and transformers push it to the features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._utils.steps import dense
from ..exceptions import TileModelError
from ..tile_models._base import flat
from ._push import features_along
from ._random_directions import random_directions


class KindOfGradient(NamedTuple):
    """Target gradients of one kind, such as those by positions, and their directions.

    Attributes
    ----------
    name : str
    targets : list of ndarray or None
        Of each sample.
    directions : list of ndarray of shape (n_rows, size of the target) or None
    counts : ndarray of int of shape (n_samples,)
        Number of directions of each sample.
    size : float
        Root mean square of the gradients; 1 if all are 0.
    n_entries : float
        Mean number of their entries per sample.
    """

    name: str
    targets: list
    directions: list
    counts: np.ndarray
    size: float
    n_entries: float


def system_directions(problem, n_directions, random_state) -> list[KindOfGradient]:
    """Return the kinds of gradients of a problem that are known, with directions.

    Parameters
    ----------
    problem : SumProblem
    n_directions : int
        Number of random directions per sample and kind. If a gradient has no more entries, each
        entry is a row.
    random_state : RandomState
    """
    if problem.n_outputs > 1:
        raise TileModelError(
            "Gradients can be learned for one total per sample only, but y has "
            f"{problem.n_outputs} columns."
        )
    known = problem.terms[0].tiling.known_gradients(problem.systems, problem.gradient)
    kinds = []
    for name, targets in known.items():
        directions = [
            None if target is None else random_directions(target.shape, n_directions, random_state)
            for target in targets
        ]
        counts = np.array([0 if of_sample is None else len(of_sample) for of_sample in directions])
        if not counts.any():
            continue
        entries = np.concatenate([target for target in targets if target is not None])
        size = float(np.sqrt(np.mean(entries**2))) or 1.0
        n_entries = len(entries) / len(targets)
        kinds.append(KindOfGradient(name, targets, directions, counts, size, n_entries))
    return kinds


def system_rows(problem, features, widths, kind, group):
    """Return the derivatives of features and of totals less baselines, of a group of samples.

    Parameters
    ----------
    problem : SumProblem
    features : list of TileFeatures
        Features of each term.
    widths : list of int
        Number of features of each term.
    kind : KindOfGradient
    group : ndarray of int
        Samples with directions.

    Returns
    -------
    rows : ndarray of shape (n_rows, n_features)
    targets : ndarray of shape (n_rows,)
    """
    directions = [kind.directions[k] for k in group]
    rows, baseline_rows = _rows(
        problem.systems.take(group), problem.baselines, features, widths, kind.name, directions,
        kind.counts[group],
    )  # fmt: skip
    derivatives = np.concatenate(
        [of_sample @ kind.targets[k] for of_sample, k in zip(directions, group, strict=True)]
    )
    return rows, derivatives - baseline_rows


def _rows(systems, baselines, features, widths, kind, directions, counts):
    """Return the derivatives of summed features and of baselines along directions."""
    first = np.cumsum(counts) - counts
    n_rows, max_rows = int(np.sum(counts)), max(counts)
    rows, baseline_rows = np.zeros((n_rows, sum(widths))), np.zeros(n_rows)
    start, baselines = 0, baselines or [None] * len(features)
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
