"""Gradients of totals with respect to systems that are no grids, as rows of the least squares.

The same rows as those of `_directions`, for bags and structures: along a direction of the numbers
that a system consists of, the change of the summed features is linear in the coefficients too. The
tiling pushes a direction to its tiles (`AbstractTiling.push`), transformers push it on.
"""

from __future__ import annotations

import numpy as np

from .._utils.memory import require_memory
from .._utils.steps import dense
from ..exceptions import TileModelError
from ..tile_models._base import flat
from ._features import _BLOCK_BYTES


def system_rows(problem, features, widths, n_directions, random_state):
    """Return the rows of each kind of gradient that is known.

    Parameters
    ----------
    problem : SumProblem
    features : list of TileFeatures
        Of the terms.
    widths : list of int
        Number of features of each.
    n_directions : int
        Random directions per sample and kind; where a gradient has no more numbers, each of them.
    random_state : RandomState

    Yields
    ------
    rows : ndarray of shape (n_rows, n_features)
    targets : ndarray of shape (n_rows,)
    owners : ndarray of int of shape (n_rows,)
        Sample of each row.
    size : float
        Root mean square of the gradients of this kind; 1 where all are 0.
    n_known : float
        Mean number of their entries per sample.
    """
    if problem.n_outputs > 1:
        raise TileModelError(
            f"Gradients are learned for one total per sample, y has {problem.n_outputs} columns."
        )
    tiling = problem.terms[0].tiling
    kinds = tiling.known_gradients(problem.systems, problem.gradient)
    for kind, values in kinds.items():
        directions = [
            None if each is None else _directions(len(each), n_directions, random_state)
            for each in values
        ]
        counts = [0 if each is None else len(each) for each in directions]
        owners = np.repeat(np.arange(len(values)), counts)
        if len(owners) == 0:
            continue
        require_memory(
            16 * len(owners) * sum(widths),
            f"Learning gradients along {n_directions} directions of each sample",
            "Take fewer of them (LinearSolver(n_directions=1)), fewer samples or fewer features.",
        )
        rows, of_baseline = _rows(problem, features, widths, kind, directions, counts)
        targets = np.concatenate(
            [
                along @ each
                for along, each in zip(directions, values, strict=True)
                if each is not None
            ]
        )
        known = np.concatenate([each for each in values if each is not None])
        size = float(np.sqrt(np.mean(known**2))) or 1.0
        yield rows, targets - of_baseline, owners, size, len(known) / len(values)


def _directions(size, n_directions, random_state) -> np.ndarray:
    if size <= n_directions:
        return np.eye(size)
    signs = 2.0 * random_state.randint(2, size=(n_directions, size)) - 1.0
    return signs / np.sqrt(n_directions)


def _rows(problem, features, widths, kind, directions, counts):
    """Return how the summed features, and the baseline's totals, change along directions."""
    from ._directions import features_along

    first = np.cumsum(counts) - counts
    n_rows, most = int(np.sum(counts)), max(counts)
    rows, of_baseline = np.zeros((n_rows, sum(widths))), np.zeros(n_rows)
    systems, start = problem.systems, 0
    baselines = problem.baselines or [None] * len(features)
    for feature, width, baseline in zip(features, widths, baselines, strict=True):
        tiling = feature.term.tiling
        shape = tiling.shape_of_tiles(systems)
        at_once = max(1, _BLOCK_BYTES // (8 * int(np.prod(shape)) * (1 + most)))
        for block in tiling.plan(systems, at_once):
            tiles = tiling.block_tiles(systems, block)
            samples = tiling.samples(systems, block)
            along = [
                [None if directions[k] is None or counts[k] <= number else directions[k][number]
                 for k in samples]
                for number in range(most)
            ]  # fmt: skip
            pushed = tiling.push(systems, block, kind, along)
            changes = features_along(feature.steps, flat(tiles.array()), list(map(flat, pushed)))
            for number, (change, tangent) in enumerate(zip(changes, pushed, strict=True)):
                some = np.array([counts[k] > number for k in samples])
                at = first[samples[some]] + number
                rows[at, start : start + width] += dense(tiles.sum_matrix @ change)[some]
                if baseline is not None:
                    slopes = baseline.tile_gradients(tiles.array())
                    part = (slopes * tangent).reshape(len(slopes), -1).sum(axis=1)
                    of_baseline[at] += (tiles.sum_matrix @ part)[some]
        start += width
    return rows, of_baseline
