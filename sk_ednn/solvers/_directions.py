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

from .._utils.steps import dense
from ..exceptions import TileModelError
from ..fields._channels import channels_first, from_channels_first
from ..fields._fields import Fields, Stack
from ..tile_models._base import flat
from ._push import features_along
from ._random_directions import random_directions
from ._system_directions import system_directions, system_rows
from ._target_gradients import root_mean_square, target_gradients


class DirectionRows(NamedTuple):
    """Derivatives of summed features and of totals along directions, in units of totals.

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


class FieldDirections:
    """Directions of fields, and the rows from which gradients along them are learned.

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

    Attributes
    ----------
    n_rows : int
        Number of rows of all samples.

    Raises
    ------
    TileModelError
        If the gradients are invalid.
    """

    def __init__(self, problem, features, widths, weight, n_directions, random_state):
        self._problem, self._features, self._widths = problem, features, widths
        self._gradients = target_gradients(problem, problem.terms[0].tiling, 1.0)
        for sample, target in enumerate(problem.gradient):
            if hasattr(target, "pull") and not hasattr(target, "push"):
                raise TileModelError(
                    f"gradient[{sample}] ({type(target).__name__}) has no method push(tangent), "
                    "which linear models need. Add it: the adjoint of pull, which returns the "
                    "change of the field (n_channels, *grid) along a tangent of the shape of its "
                    "values."
                )
        self._directions = [
            random_directions(gradient.values.shape, n_directions, random_state)
            for gradient in self._gradients
        ]
        self._counts = np.array([len(of_sample) for of_sample in self._directions])
        self._scale = np.sqrt(weight) * _unit(problem, self._gradients)
        self.n_rows = int(self._counts.sum())

    def groups(self, max_rows):
        """Yield `DirectionRows` of groups of samples with about `max_rows` rows each."""
        for group in groups_of_samples(self._counts, max_rows):
            rows, targets = _rows(
                self._problem.systems.take(group),
                self._features,
                self._widths,
                [self._gradients[k] for k in group],
                [self._directions[k] for k in group],
            )
            rows *= self._scale
            owners = np.repeat(group, self._counts[group])
            yield DirectionRows(rows, targets * self._scale, owners)


def directions_of(problem, features, widths, weight, n_directions, random_state):
    """Return the directions along which gradients are learned; see `FieldDirections`."""
    is_grid = all(term.tiling.is_grid for term in problem.terms)
    kind = FieldDirections if is_grid else SystemDirections
    return kind(problem, features, widths, weight, n_directions, random_state)


def checked_groups(directions, max_rows):
    """Yield the groups of directions, and raise if features have no derivatives."""
    any_rows = any_targets = False
    for group in directions.groups(max_rows):
        any_rows, any_targets = any_rows or group.rows.any(), any_targets or group.targets.any()
        yield group
    if any_targets and not any_rows:
        raise TileModelError(
            "The features of tiles do not change with the values of the fields, or only in jumps, "
            "so that a model of them has no gradients. Use smooth features, or leave out gradient."
        )


def all_rows(directions) -> DirectionRows:
    """Return the rows of all directions."""
    parts = list(checked_groups(directions, directions.n_rows))
    if len(parts) == 1:
        return parts[0]
    return DirectionRows(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def condensed_rows(directions, n_features, sample_weight) -> DirectionRows:
    """Return a triangular matrix with the normal equations of all rows.

    ``R`` of ``rows = Q R`` has ``R.T @ R = rows.T @ rows``. It is updated group by group, which
    keeps the digits that sums of squares would lose (sequential TSQR: J. Demmel et al., SIAM J.
    Sci. Comput. 2012, 34, A206).
    """
    triangle = np.zeros((0, n_features + 1))
    for group in checked_groups(directions, n_features):
        joined = np.concatenate([group.rows, group.targets[:, None]], axis=1)
        if sample_weight is not None:
            joined *= np.sqrt(sample_weight[group.owners])[:, None]
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, joined]), mode="r"))
    # The last row, if there is one, has the part of the targets that no coefficients explain.
    triangle = triangle[:n_features]
    return DirectionRows(np.ascontiguousarray(triangle[:, :-1]), triangle[:, -1].copy(), None)


class SystemDirections:
    """Directions of bags or structures, with rows of each kind of gradient.

    Parameters and attributes are those of `FieldDirections`.
    """

    def __init__(self, problem, features, widths, weight, n_directions, random_state):
        self._problem, self._features, self._widths = problem, features, widths
        spread = np.sqrt(np.average(problem.y[:, 0] ** 2, weights=problem.sample_weight)) or 1.0
        self._kinds = system_directions(problem, n_directions, random_state)
        if not self._kinds:
            raise TileModelError("gradient contains None only. Leave it out.")
        self._scale = np.sqrt(weight) * spread
        self.n_rows = sum(int(kind.counts.sum()) for kind in self._kinds)

    def groups(self, max_rows):
        """Yield `DirectionRows` of groups of samples with about `max_rows` rows each."""
        for kind in self._kinds:
            for group in groups_of_samples(kind.counts, max_rows):
                rows, targets = system_rows(
                    self._problem, self._features, self._widths, kind, group
                )
                scale = self._scale / kind.size / np.sqrt(kind.n_entries)
                rows *= scale
                owners = np.repeat(group, kind.counts[group])
                yield DirectionRows(rows, targets * scale, owners)


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


def groups_of_samples(n_rows, max_rows):
    """Yield groups of samples with rows, as arrays of indices, with about `max_rows` rows each."""
    group, size = [], 0
    for sample in np.flatnonzero(n_rows):
        if group and size + n_rows[sample] > max_rows:
            yield np.array(group)
            group, size = [], 0
        group.append(sample)
        size += n_rows[sample]
    if group:
        yield np.array(group)


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
