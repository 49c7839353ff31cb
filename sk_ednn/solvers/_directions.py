"""Derivatives of totals along random directions, as additional rows of least squares.

The derivative of a linear model's total along a direction u of its field is also linear in the
coefficients::

    <gradient, u>  =  (d/dh sum_t phi(tile t of X + h u)) . w        at h = 0

Each direction is therefore an additional row, in which the column of the intercept is 0. For
random u with ``E[u u^T] = 1`` the expected squared residual is that of the whole gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .._utils.memory import require_memory
from .._utils.steps import dense
from ..exceptions import TileModelError
from ..fields._channels import channels_first, from_channels_first
from ..fields._fields import Fields, Stack
from ..tile_models._base import flat
from ._push import features_along
from ._random_directions import random_directions
from ._system_directions import system_rows
from ._target_gradients import root_mean_square, target_gradients


class DirectionRows(NamedTuple):
    """Derivatives of summed features and of totals along directions.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Derivatives of the summed features.
    targets : ndarray of shape (n_rows,)
        Derivatives of the totals.
    owners : ndarray of int of shape (n_rows,) or None
        Sample of each row. None for rows that are condensed: they have the weights of their
        samples in them.
    """

    rows: np.ndarray
    targets: np.ndarray
    owners: np.ndarray | None


def direction_rows(
    problem, features, widths, weight, n_directions, random_state, condense=False
) -> DirectionRows:
    """Return the rows from which gradients are learned, in units of totals.

    Parameters
    ----------
    problem : SumProblem
    features : list of TileFeatures
        Features of each term.
    widths : list of int
        Number of features of each term.
    weight : float
        Weight of the mean squared error of gradients relative to that of totals, each in units of
        its mean square.
    n_directions : int
        Number of directions per sample. If a gradient has no more entries, each entry is a row.
    random_state : RandomState
    condense : bool, default=False
        Whether to replace more rows than there are features by a triangular matrix with the same
        normal equations, so that memory does not grow with the directions.

    Raises
    ------
    TileModelError
        If the gradients are invalid, or if features have no derivatives.
    """
    if not all(term.tiling.is_grid for term in problem.terms):
        return _rows_of_systems(problem, features, widths, weight, n_directions, random_state)
    gradients = target_gradients(problem, problem.terms[0].tiling, 1.0)
    for sample, target in enumerate(problem.gradient):
        if hasattr(target, "pull") and not hasattr(target, "push"):
            raise TileModelError(
                f"gradient[{sample}] ({type(target).__name__}) has no method push(tangent), which "
                "linear models need. Add it: the adjoint of pull, which returns the change of the "
                "field (n_channels, *grid) along a tangent of the shape of its values."
            )
    directions = [
        random_directions(gradient.values.shape, n_directions, random_state)
        for gradient in gradients
    ]
    n_rows = np.array([len(of_sample) for of_sample in directions])
    n_features = sum(widths)
    condense = condense and n_rows.sum() > 2 * n_features
    kept = n_features + max(n_features, int(n_rows.max())) if condense else n_rows.sum()
    require_memory(
        16 * (kept + problem.systems.n_samples) * n_features,
        f"Learning gradients along {n_directions} directions of each sample",
        "Use fewer directions (LinearSolver(n_directions=1)), samples or features.",
    )
    scale = np.sqrt(weight) * _unit(problem, gradients)
    if condense:
        return _condensed(problem, features, widths, gradients, directions, scale)
    rows, targets = _rows(problem.systems, features, widths, gradients, directions)
    _require_derivatives(rows, targets)
    rows *= scale
    return DirectionRows(rows, targets * scale, np.repeat(np.arange(len(gradients)), n_rows))


def _rows(fields, features, widths, gradients, directions):
    """Return derivatives of the summed features and of the totals along all directions."""
    n_rows = sum(len(of_sample) for of_sample in directions)
    rows, start = np.zeros((n_rows, sum(widths))), 0
    for feature, width in zip(features, widths, strict=True):
        _fill(rows[:, start : start + width], fields, feature, gradients, directions)
        start += width
    targets = np.concatenate(
        [of_sample.reshape(len(of_sample), -1) @ gradient.values.ravel()
         for of_sample, gradient in zip(directions, gradients, strict=True)]
    )  # fmt: skip
    return rows, targets


def _condensed(problem, features, widths, gradients, directions, scale) -> DirectionRows:
    """Return a triangular matrix with the normal equations of all rows.

    ``R`` of ``rows = Q R`` has ``R.T @ R = rows.T @ rows``. It is updated group by group, which
    keeps the digits that sums of squares would lose (sequential TSQR: J. Demmel et al., SIAM J.
    Sci. Comput. 2012, 34, A206).
    """
    n_features = sum(widths)
    weights = problem.sample_weight
    weights = np.ones(len(gradients)) if weights is None else weights
    triangle = np.zeros((0, n_features + 1))
    any_rows, any_targets = False, False
    for group in _groups([len(of_sample) for of_sample in directions], n_features):
        of_group = [directions[sample] for sample in group]
        rows, targets = _rows(
            problem.systems.take(group), features, widths, [gradients[k] for k in group], of_group
        )
        any_rows, any_targets = any_rows or rows.any(), any_targets or targets.any()
        roots = np.repeat(np.sqrt(weights[group]), [len(of_sample) for of_sample in of_group])
        joined = np.concatenate([rows, targets[:, None]], axis=1) * (scale * roots)[:, None]
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, joined]), mode="r"))
    _require_derivatives(any_rows, any_targets)
    # The last row, if there is one, has the part of the targets that no coefficients explain.
    triangle = triangle[:n_features]
    return DirectionRows(np.ascontiguousarray(triangle[:, :-1]), triangle[:, -1].copy(), None)


def _groups(n_rows, n_features):
    """Yield groups of samples with about as many rows as there are features."""
    group, size = [], 0
    for sample, n in enumerate(n_rows):
        if group and size + n > n_features:
            yield np.array(group)
            group, size = [], 0
        group.append(sample)
        size += n
    yield np.array(group)


def _require_derivatives(rows, targets) -> None:
    if np.any(targets) and not np.any(rows):
        raise TileModelError(
            "The features of tiles do not change with the values of the fields, or only in jumps, "
            "so that a model of them has no gradients. Use smooth features, or leave out gradient."
        )


def _rows_of_systems(problem, features, widths, weight, n_directions, random_state):
    """Return the rows of gradients with respect to bags or structures; see `system_rows`."""
    spread = np.sqrt(np.average(problem.y[:, 0] ** 2, weights=problem.sample_weight)) or 1.0
    parts = []
    for rows, targets, owners, size, n_entries in system_rows(
        problem, features, widths, n_directions, random_state
    ):
        scale = np.sqrt(weight) * spread / size / np.sqrt(n_entries)
        parts.append((rows * scale, targets * scale, owners))
    if not parts:
        raise TileModelError("gradient contains None only. Leave it out.")
    return DirectionRows(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _unit(problem, gradients) -> float:
    """Return the factor of rows of gradients that makes their loss as large as that of totals."""
    weight = problem.sample_weight
    weight = np.ones(len(gradients)) if weight is None else weight
    spread = np.sqrt(np.average(problem.y[:, 0] ** 2, weights=weight))
    n_entries = weight @ [gradient.values.size for gradient in gradients] / weight.sum()
    return float((spread if spread > 0 else 1.0) / root_mean_square(gradients) / np.sqrt(n_entries))


def _fill(rows, fields, feature, gradients, directions) -> None:
    """Write the derivatives of the summed features of a term along all directions to `rows`."""
    n_rows = np.array([len(of_sample) for of_sample in directions])
    first = np.cumsum(n_rows) - n_rows
    for stack in fields.stacks:
        shape = stack.values.shape[1:]
        max_rows = int(n_rows[stack.samples].max())
        step = max(1, feature.block_bytes // (8 * int(np.prod(shape)) * (1 + max_rows)))
        for start in range(0, len(stack.samples), step):
            samples = stack.samples[start : start + step]
            tangents = np.zeros((max_rows, len(samples), *shape))
            for k, sample in enumerate(samples):
                for number, direction in enumerate(directions[sample]):
                    tangents[number, k] = _pushed(gradients, sample, direction, shape, feature)
            for block_samples, derivatives in _summed(feature, fields.take(samples), tangents):
                owners = samples[block_samples]
                for number, values in enumerate(derivatives):
                    present = n_rows[owners] > number
                    rows[first[owners[present]] + number] += values[present]


def _pushed(gradients, sample, direction, shape, feature):
    """Push a direction of a target gradient's values to its field."""
    pushed = np.asarray(gradients[sample].push(direction), dtype=np.float64)
    axis = feature.term.tiling.channel_axis
    expected = channels_first(np.empty(shape), axis).shape
    if pushed.shape != expected or not np.isfinite(pushed).all():
        result = f"shape {pushed.shape}" if pushed.shape != expected else "NaN or infinity"
        raise TileModelError(
            f"gradient[{sample}].push must return the change of the field, finite numbers of shape "
            f"{expected} (n_channels, *grid); it returned {result}."
        )
    return from_channels_first(pushed, axis)


def _summed(feature, fields, tangents):
    """Yield the samples of each block, and the derivatives of their sums along each tangent."""
    tiling = feature.term.tiling
    all_samples = np.arange(fields.n_samples)
    moves = [Fields((Stack(all_samples, move),), fields.n_samples, False) for move in tangents]
    tile_shape = tiling.tile_shape(tangents.shape[2:])
    per_tile = 8 * int(np.prod(tile_shape)) * (1 + len(moves))
    for block in tiling.plan(fields, max(1, feature.block_bytes // per_tile)):
        tiles = tiling.read(fields, block).reshape(-1, *tile_shape)
        tile_tangents = [flat(tiling.read(move, block).reshape(-1, *tile_shape)) for move in moves]
        samples = all_samples[block.samples]
        n_tiles = len(tiles) // len(samples)
        indptr = np.arange(0, len(tiles) + 1, n_tiles)
        total = csr_array((np.ones(len(tiles)), np.arange(len(tiles)), indptr))
        derivatives = features_along(feature.steps, flat(tiles), tile_tangents)
        yield samples, [dense(total @ derivative) for derivative in derivatives]
