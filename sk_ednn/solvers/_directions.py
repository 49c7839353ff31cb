"""Derivatives of totals along random directions, as rows of the least squares.

What a linear model says of the derivative of a total along a direction u of its field is linear in
its coefficients too::

    <gradient, u>  =  (d/dh sum_t phi(tile t of X + h u)) . w        at h = 0

so that each direction is one more row, in which the column of the intercept is 0. For random u
with ``E[u u^T] = 1`` the squared residual is, on average, that of the whole gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, issparse

from .._utils.memory import require_memory
from .._utils.steps import as_arrays, dense, plain, with_values
from ..exceptions import TileModelError
from ..fields._channels import channels_first, from_channels_first
from ..fields._fields import Fields, Stack
from ..tile_models._base import flat
from ._features import _BLOCK_BYTES
from ._gradients import known_gradients, root_mean_square
from ._system_directions import system_rows

# Of central differences in float64, in units of the spread of what is varied: where rounding
# errors and those of third order are alike, some 1e-10.
_STEP = np.finfo(np.float64).eps ** (1 / 3)
# Numbers that spread by less than this of the spread of all are as good as constant.
_CONSTANT = 1e-4
# A feature that so small a step changes by this share of itself may have jumped.
_JUMP = 0.05


class DirectionRows(NamedTuple):
    """How summed features change along directions, and how the totals do.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
    targets : ndarray of shape (n_rows,)
    owners : ndarray of int of shape (n_rows,)
        The sample of each row.
    """

    rows: np.ndarray
    targets: np.ndarray
    owners: np.ndarray


def direction_rows(problem, features, widths, weight, n_directions, random_state) -> DirectionRows:
    """Return the rows by which derivatives are learned beside totals, in the unit of totals.

    Parameters
    ----------
    problem : SumProblem
    features : list of TileFeatures
        Of the terms.
    widths : list of int
        How many features each has.
    weight : float
        Of the mean squared error of gradients, relative to that of totals, each in units of its
        mean square.
    n_directions : int
        For each sample; where its gradient has no more entries, each of them is a row.
    random_state : RandomState

    Raises
    ------
    TileModelError
        Where gradients or features are such that their derivatives are not known.
    """
    if not all(term.tiling.is_grid for term in problem.terms):
        return _of_systems(problem, features, widths, weight, n_directions, random_state)
    slopes = known_gradients(problem, problem.terms[0].tiling, 1.0)
    for place, known in enumerate(problem.gradient):
        if hasattr(known, "pull") and not hasattr(known, "push"):
            raise TileModelError(
                f"gradient[{place}] ({type(known).__name__}) has no push(direction), from which "
                "linear models learn. Add it: the adjoint of pull, how the field "
                "(n_channels, *grid) changes along a direction of the shape of its values."
            )
    directions = [_directions(slope.values.shape, n_directions, random_state) for slope in slopes]
    owners = np.repeat(np.arange(len(slopes)), [len(own) for own in directions])
    n_bytes = 16 * (len(owners) + problem.systems.n_samples) * sum(widths)
    require_memory(
        n_bytes,
        f"Learning derivatives along {n_directions} directions of each sample",
        "Take fewer of them (LinearSolver(n_directions=1)), fewer samples or fewer features.",
    )
    rows, start = np.zeros((len(owners), sum(widths))), 0
    for feature, width in zip(features, widths, strict=True):
        _fill(rows[:, start : start + width], problem.systems, feature, slopes, directions)
        start += width
    targets = np.concatenate(
        [own.reshape(len(own), -1) @ slope.values.ravel()
         for own, slope in zip(directions, slopes, strict=True)]
    )  # fmt: skip
    if targets.any() and not rows.any():
        raise TileModelError(
            "The features of no tile change with the fields' values, or only in jumps: a model of "
            "them has no derivatives to be learned. Take smooth features, or leave out gradient."
        )
    scale = np.sqrt(weight) * _unit(problem, slopes)
    rows *= scale
    return DirectionRows(rows, targets * scale, owners)


def _of_systems(problem, features, widths, weight, n_directions, random_state) -> DirectionRows:
    """Return the rows of gradients with respect to systems that are no grids, kind by kind."""
    spread = np.sqrt(np.average(problem.y[:, 0] ** 2, weights=problem.sample_weight)) or 1.0
    parts = []
    for rows, targets, owners, size, n_known in system_rows(
        problem, features, widths, n_directions, random_state
    ):
        scale = np.sqrt(weight) * spread / size / np.sqrt(n_known)
        parts.append((rows * scale, targets * scale, owners))
    if not parts:
        raise TileModelError("gradient has no entry that is known. Leave it out.")
    return DirectionRows(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _unit(problem, slopes) -> float:
    """Return what the loss of gradients is multiplied with, squared, to be as large as totals'."""
    weight = problem.sample_weight
    weight = np.ones(len(slopes)) if weight is None else weight
    spread = np.sqrt(np.average(problem.y[:, 0] ** 2, weights=weight))
    n_known = weight @ [slope.values.size for slope in slopes] / weight.sum()
    return float((spread if spread > 0 else 1.0) / root_mean_square(slopes) / np.sqrt(n_known))


def _directions(shape, n_directions, random_state) -> np.ndarray:
    """Return directions whose squares add up, on average, to the identity: (n, *shape)."""
    size = int(np.prod(shape))
    if size <= n_directions:
        return np.eye(size).reshape(size, *shape)
    # Of all with independent entries, signs have the squared lengths that vary least: not at all.
    signs = 2.0 * random_state.randint(2, size=(n_directions, *shape)) - 1.0
    return signs / np.sqrt(n_directions)


def _fill(rows, fields, feature, slopes, directions) -> None:
    """Write how the summed features of one term change along all directions."""
    n_rows = np.array([len(own) for own in directions])
    first = np.cumsum(n_rows) - n_rows
    for stack in fields.stacks:
        shape = stack.values.shape[1:]
        most = int(n_rows[stack.samples].max())
        step = max(1, _BLOCK_BYTES // (8 * int(np.prod(shape)) * (1 + most)))
        for start in range(0, len(stack.samples), step):
            samples = stack.samples[start : start + step]
            moves = np.zeros((most, len(samples), *shape))
            for row, sample in enumerate(samples):
                for number, direction in enumerate(directions[sample]):
                    moves[number, row] = _pushed(slopes, sample, direction, shape, feature)
            for row, sums in _sums_along(feature, fields.take(samples), moves):
                for number, values in enumerate(sums):
                    had = n_rows[samples[row]] > number
                    rows[first[samples[row]][had] + number] += values[had]


def _pushed(slopes, sample, direction, shape, feature):
    """Return how a field changes along a direction of what its derivative is known for."""
    pushed = np.asarray(slopes[sample].push(direction), dtype=np.float64)
    axis = feature.term.tiling.channel_axis
    wanted = channels_first(np.empty(shape), axis).shape
    if pushed.shape != wanted or not np.isfinite(pushed).all():
        what = f"shape {pushed.shape}" if pushed.shape != wanted else "NaN or infinity"
        raise TileModelError(
            f"gradient[{sample}].push must return how the field changes, numbers of shape "
            f"{wanted} (n_channels, *grid); it returned {what}."
        )
    return from_channels_first(pushed, axis)


def _sums_along(feature, fields, moves):
    """Yield for each block its samples, and how their sums change: one array a direction."""
    tiling = feature.term.tiling
    everything = np.arange(fields.n_samples)
    along = [Fields((Stack(everything, move),), fields.n_samples, False) for move in moves]
    tile_shape = tiling.tile_shape(moves.shape[2:])
    per_tile = 8 * int(np.prod(tile_shape)) * (1 + len(moves))
    for block in tiling.plan(fields, max(1, _BLOCK_BYTES // per_tile)):
        tiles = tiling.read(fields, block).reshape(-1, *tile_shape)
        tangents = [flat(tiling.read(move, block).reshape(-1, *tile_shape)) for move in along]
        samples = everything[block.samples]
        n_tiles = len(tiles) // len(samples)
        ends = np.arange(0, len(tiles) + 1, n_tiles)
        total = csr_array((np.ones(len(tiles)), np.arange(len(tiles)), ends))
        changes = features_along(feature.steps, flat(tiles), tangents)
        yield samples, [dense(total @ change) for change in changes]


def features_along(steps, rows, tangents) -> list:
    """Return how features change as the rows they are made of change along tangents.

    Parameters
    ----------
    steps : list of transformers
        Fitted. One with a method ``push(X, direction)`` is asked, others are differentiated
        numerically, in float64.
    rows : ndarray of shape (n, n_inputs)
    tangents : list of ndarray of shape (n, n_inputs)

    Returns
    -------
    list of ndarray or sparse array of shape (n, n_features)
    """
    with as_arrays():
        for step in steps:
            along = [_along(step, rows, tangent) for tangent in tangents]
            if step is not steps[-1]:
                rows = step.transform(rows)
            tangents = along
    return tangents


def _along(step, rows, tangent):
    if hasattr(step, "push"):
        return step.push(plain(rows), tangent)
    given, rows, tangent = rows, dense(rows), dense(tangent)
    # The step that keeps every column within a small part of its spread.
    whole = rows.std() or np.abs(rows).max() or 1.0
    spread = np.maximum(rows.std(axis=0), _CONSTANT * whole)
    h = _STEP / max(float((np.abs(tangent).max(axis=0) / spread).max()), np.finfo(float).tiny)
    if not tangent.any():
        h = 1.0

    def change(by):
        try:
            ends = [
                plain(step.transform(with_values(given, rows + sign * by * tangent)))
                for sign in (1, -1)
            ]
        except (TypeError, ValueError) as error:
            raise TileModelError(
                f"{type(step).__name__} cannot be differentiated, as it takes no tile that differs "
                f"a little from those it was fitted to: {error}"
            ) from error
        return ends[0], ends[0] - ends[1]

    end, difference = change(h)
    slope = difference / (2 * h)
    largest, moved = (_largest(values) for values in (end, difference))
    jumps = np.flatnonzero(moved > _JUMP * largest)
    if jumps.size:
        again = dense(change(2 * h)[1][:, jumps]) / (4 * h)
        once = dense(slope[:, jumps])
        if (np.abs(again - once) > 0.1 * np.abs(once).max(axis=0)).any():
            raise TileModelError(
                f"The features that {type(step).__name__} makes jump as a tile changes: they have "
                "no derivatives to be learned. Take smooth ones, or leave out gradient."
            )
    return slope


def _largest(values):
    largest = abs(values).max(axis=0)
    return dense(largest).ravel() if issparse(largest) else np.asarray(largest).ravel()
