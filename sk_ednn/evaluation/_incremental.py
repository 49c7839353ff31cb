"""Contributions of the tiles of fields, updated incrementally when a few sites change.

Index arithmetic is done per axis, because a tile is the product of one window of each axis. The
size of the tables thus grows with the length of the axes, not with the number of tiles.
"""

from __future__ import annotations

import numpy as np

from ..exceptions import TilingError
from ..fields._channels import channel_index, channels_last, from_channels_last
from ..tiling import GridTiling
from ..tiling._windows import OUTSIDE, seen_by


class IncrementalTotals:
    """Totals of fields of one shape under local changes, with the contribution of every tile.

    Parameters
    ----------
    terms : list of (tile_model, tiling, evaluation)
        `evaluation` must not be one that selects another, such as `AutoEvaluation`.
    fields : ndarray of shape (n_fields, *field_shape)
        Copied.
    """

    def __init__(self, terms, fields):
        field_shape = fields.shape[1:]
        for _, tiling, _ in terms:
            if not isinstance(tiling, GridTiling):
                raise TilingError(
                    "Local updates need the tiles that see a site, which only a GridTiling "
                    f"provides; got {type(tiling).__name__}."
                )
        self.channel = common_channel_axis([tiling for _, tiling, _ in terms], len(field_shape))
        moved = channels_last(fields, self.channel, n_batch=1)
        channels = () if self.channel is None else moved.shape[-1:]
        self.grid = moved.shape[1 : moved.ndim - len(channels)]
        # Always a copy, because the values are modified in place.
        self.values = np.array(moved, order="C").reshape(len(fields), -1, *channels)
        self._terms = [
            _Term(tile_model, tiling, evaluation, fields, len(channels))
            for tile_model, tiling, evaluation in terms
        ]
        self._proposed = None

    @property
    def fields(self) -> np.ndarray:
        """A copy of the current fields, (n_fields, *field_shape)."""
        channels = self.values.shape[2:]
        fields = self.values.reshape(len(self.values), *self.grid, *channels).copy()
        return from_channels_last(fields, self.channel, n_batch=1)

    @property
    def totals(self) -> np.ndarray:
        """The total of each field, (n_fields, n_outputs)."""
        n_fields = len(self.values)
        parts = [
            term.contributions.reshape(n_fields, term.n_tiles, -1).sum(axis=1)
            for term in self._terms
        ]
        return np.asarray(np.sum(parts, axis=0))

    def propose(self, owners, sites, values) -> np.ndarray:
        """Return the change of the total of its field that each move alone would cause.

        Parameters
        ----------
        owners : ndarray of int of shape (n_moves,)
            Index of the field of each move.
        sites : ndarray of int of shape (n_moves, n_sites, n_grid_axes)
            The sites of a move must be distinct.
        values : ndarray of shape (n_moves, n_sites[, n_channels])

        Returns
        -------
        ndarray of shape (n_moves, n_outputs)
        """
        flat = flat_sites(sites, self.grid)
        changes, tiles = np.zeros(()), []
        for term in self._terms:
            change, updates = term.propose(self.values, self.grid, owners, sites, flat, values)
            changes = changes + change
            tiles.append(updates)
        self._proposed = owners, flat, values, tiles
        return changes

    def clash(self, mask) -> tuple[int, int] | None:
        """Return two moves of `mask` whose sites are seen by the same tile, or None."""
        for moves, tiles, _ in self._proposed[3]:
            if len(mask) == 1:
                return None
            kept = mask[moves]
            moves, tiles = moves[kept], tiles[kept]
            order = np.argsort(tiles, kind="stable")
            repeated = np.flatnonzero(tiles[order[1:]] == tiles[order[:-1]])
            if len(repeated):
                first = repeated[0]
                return int(moves[order[first]]), int(moves[order[first + 1]])
        return None

    def accept(self, mask) -> None:
        """Make the moves of the last proposal that are selected by `mask`, of shape (n_moves,).

        No tile may see sites of two of these; see `clash`.
        """
        owners, flat, values, proposed = self._proposed
        self.values[owners[mask][:, None], flat[mask]] = values[mask]
        for term, (moves, tiles, contributions) in zip(self._terms, proposed, strict=True):
            kept = mask[moves]
            term.contributions[tiles[kept]] = contributions[kept]
        self._proposed = None


class _Term:
    """The windows of a term and the contributions of its tiles."""

    def __init__(self, tile_model, tiling, evaluation, fields, n_channel_axes):
        self.tile_model, self.evaluation = tile_model, evaluation
        self.windows = tiling.axis_windows(fields.shape[1:])
        self.seen_by = [
            seen_by(windows, length)
            for windows, length in zip(
                self.windows, tiling._grid_shape(fields.shape[1:]), strict=True
            )
        ]
        # True for most fields, and saves work for single moves.
        self.evenly_seen = all((table >= 0).all() for table in self.seen_by)
        self.reaches_out = any((windows == OUTSIDE).any() for windows in self.windows)
        self.grid = tuple(len(windows) for windows in self.windows)
        self.n_tiles = int(np.prod(self.grid))
        self.n_channel_axes = n_channel_axes
        (contributions,) = evaluation.contributions(tile_model, tiling, tiling.check(fields))
        # The shape is (n_fields * n_tiles, n_outputs).
        self.contributions = contributions.reshape(-1, tile_model.n_outputs)

    def propose(self, fields, grid, owners, sites, flat, values):
        """Return the changes of totals, and move, tile and contribution of each changed tile."""
        moves, tiles = self._affected(sites)
        owner = owners[moves]
        content = self._read(fields, grid, owner, tiles, moves, flat, values)
        contributions = self.evaluation.tile_contributions(self.tile_model, content)
        index = owner * self.n_tiles + tiles
        first = np.flatnonzero(np.diff(moves, prepend=-1))  # each move changes at least one tile
        change = np.add.reduceat(contributions - self.contributions[index], first, axis=0)
        return change, (moves, index, contributions)

    def _affected(self, sites) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct pairs of a move and a tile that sees one of its sites, sorted."""
        n_moves, n_sites = sites.shape[:2]
        tiles, seen = np.zeros((n_moves, n_sites, 1), dtype=np.intp), True
        for axis, length in enumerate(self.grid):
            along = self.seen_by[axis][sites[..., axis]]
            tiles = (tiles[..., :, None] * length + along[..., None, :]).reshape(
                n_moves, n_sites, -1
            )
            if not self.evenly_seen:
                seen = np.asarray(seen)[..., None] & (along >= 0)[..., None, :]
                seen = seen.reshape(n_moves, n_sites, -1)
        if n_sites == 1 and self.evenly_seen:
            return np.repeat(np.arange(n_moves), tiles.shape[-1]), tiles.ravel()
        tiles = np.where(seen, tiles, -1).reshape(n_moves, -1)
        tiles.sort(axis=1)
        new = tiles >= 0
        new[:, 1:] &= tiles[:, 1:] != tiles[:, :-1]
        moves, columns = np.nonzero(new)
        return moves, tiles[moves, columns]

    def _read(self, fields, grid, owner, tiles, moves, flat, values) -> np.ndarray:
        """Return the tiles after the sites of their moves have changed."""
        n_axes = len(self.grid)
        sites = np.zeros((len(tiles), *[1] * n_axes), dtype=np.intp)
        outside = np.zeros((), dtype=bool)
        for axis, index in enumerate(np.unravel_index(tiles, self.grid)):
            shape = [len(tiles), *[1] * n_axes]
            shape[1 + axis] = -1
            along = self.windows[axis][index].reshape(shape)
            sites = sites * grid[axis] + along
            if self.reaches_out:
                outside = outside | (along == OUTSIDE)
        owner = owner.reshape(-1, *[1] * n_axes)
        if self.reaches_out:
            # Positions beyond the boundary have no site: read any value, then overwrite it with 0.
            sites = np.where(outside, -1, sites)
        content = fields[owner, sites]
        if self.reaches_out:
            content[np.broadcast_to(outside, sites.shape)] = 0
        for k in range(flat.shape[1]):
            changed = sites == flat[moves, k].reshape(owner.shape)
            new = values[moves, k].reshape(len(moves), *[1] * n_axes, *values.shape[2:])
            where = changed if self.n_channel_axes == 0 else changed[..., None]
            content = np.where(where, new, content)
        return content


def flat_sites(sites, grid) -> np.ndarray:
    """Return the flat indices, in C order, of grid indices (..., n_axes)."""
    flat = sites[..., 0]
    for axis in range(1, len(grid)):
        flat = flat * grid[axis] + sites[..., axis]
    return flat


def common_channel_axis(tilings, field_ndim) -> int | None:
    """Return the channel axis of all tilings, counted from 0.

    Raises
    ------
    TilingError
        If the tilings have different channel axes, so that they have no sites in common.
    """
    axes = {channel_index(tiling.channel_axis, field_ndim) for tiling in tilings}
    if len(axes) > 1:
        raise TilingError(
            "All terms must have the same channel axis, so that they share sites; got "
            f"{sorted(axes, key=str)}."
        )
    return axes.pop()
