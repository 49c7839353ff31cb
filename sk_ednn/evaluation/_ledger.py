"""What each tile of some fields holds, and what it would hold after a few sites have changed.

All arithmetic on indices is done per axis: a tile is the product of one window of each axis, so
that what is stored grows with the length of the axes, not with the number of tiles.
"""

from __future__ import annotations

import numpy as np

from ..exceptions import TilingError
from ..fields._channels import channel_index, channels_last, from_channels_last
from ..tiling import GridTiling
from ..tiling._windows import OUTSIDE


class Ledger:
    """The contributions of all tiles of equal fields, kept up to date under local changes.

    Parameters
    ----------
    terms : list of (tile_model, tiling, evaluation)
        `evaluation` is one that runs, not one that selects.
    fields : ndarray of shape (n_fields, *field_shape)
        Copied.
    """

    def __init__(self, terms, fields):
        field_shape = fields.shape[1:]
        for _, tiling, _ in terms:
            if not isinstance(tiling, GridTiling):
                raise TilingError(
                    "Local updates need to know which tiles see a site, as GridTiling does; got "
                    f"{type(tiling).__name__}."
                )
        self.channel = common_channel_axis([tiling for _, tiling, _ in terms], len(field_shape))
        moved = channels_last(fields, self.channel, n_batch=1)
        channels = () if self.channel is None else moved.shape[-1:]
        self.grid = moved.shape[1 : moved.ndim - len(channels)]
        # A copy in any case: the user's field must stay as it is.
        self.values = np.array(moved, order="C").reshape(len(fields), -1, *channels)
        self._terms = [
            _Term(tile_model, tiling, evaluation, fields, len(channels))
            for tile_model, tiling, evaluation in terms
        ]
        self._proposed = None

    @property
    def fields(self) -> np.ndarray:
        """A copy of the fields as they are now, (n_fields, *field_shape)."""
        channels = self.values.shape[2:]
        fields = self.values.reshape(len(self.values), *self.grid, *channels).copy()
        return from_channels_last(fields, self.channel, n_batch=1)

    @property
    def totals(self) -> np.ndarray:
        """Sums over the tiles of each field, (n_fields, n_outputs)."""
        n_fields = len(self.values)
        parts = [term.held.reshape(n_fields, term.n_tiles, -1).sum(axis=1) for term in self._terms]
        return np.asarray(np.sum(parts, axis=0))

    def propose(self, owners, sites, values) -> np.ndarray:
        """Return what each move alone would add to the total of its field.

        Parameters
        ----------
        owners : ndarray of int of shape (n_moves,)
            Which field a move is in.
        sites : ndarray of int of shape (n_moves, n_sites, n_grid_axes)
            No site twice in a move.
        values : ndarray of shape (n_moves, n_sites[, n_channels])

        Returns
        -------
        ndarray of shape (n_moves, n_outputs)
        """
        flat = flat_sites(sites, self.grid)
        changes, tiles = np.zeros(()), []
        for term in self._terms:
            change, seen = term.propose(self.values, self.grid, owners, sites, flat, values)
            changes = changes + change
            tiles.append(seen)
        self._proposed = owners, flat, values, tiles
        return changes

    def clash(self, mask) -> tuple[int, int] | None:
        """Return two of the moves in `mask` that some tile sees both of, None if there are none."""
        for moves, tiles, _ in self._proposed[3]:
            if len(mask) == 1:
                return None
            kept = mask[moves]
            moves, tiles = moves[kept], tiles[kept]
            order = np.argsort(tiles, kind="stable")
            again = np.flatnonzero(tiles[order[1:]] == tiles[order[:-1]])
            if len(again):
                return int(moves[order[again[0]]]), int(moves[order[again[0] + 1]])
        return None

    def accept(self, mask) -> None:
        """Carry out the moves of the last proposal where `mask`, of shape (n_moves,), is true.

        No tile may see sites of two of them: see `clash`.
        """
        owners, flat, values, proposed = self._proposed
        self.values[owners[mask][:, None], flat[mask]] = values[mask]
        for term, (moves, tiles, contributions) in zip(self._terms, proposed, strict=True):
            kept = mask[moves]
            term.held[tiles[kept]] = contributions[kept]
        self._proposed = None


class _Term:
    """One term of the sum: its windows, and what its tiles hold."""

    def __init__(self, tile_model, tiling, evaluation, fields, n_channel_axes):
        self.tile_model, self.evaluation = tile_model, evaluation
        self.windows = tiling.axis_windows(fields.shape[1:])
        self.seen_by = [
            seen_by(windows, length)
            for windows, length in zip(
                self.windows, tiling._grid_shape(fields.shape[1:]), strict=True
            )
        ]
        # What holds for most fields, and spares single moves some work.
        self.evenly_seen = all((table >= 0).all() for table in self.seen_by)
        self.reaches_out = any((windows == OUTSIDE).any() for windows in self.windows)
        self.grid = tuple(len(windows) for windows in self.windows)
        self.n_tiles = int(np.prod(self.grid))
        self.n_channel_axes = n_channel_axes
        (held,) = evaluation.contributions(tile_model, tiling, tiling.check(fields))
        self.held = held.reshape(-1, tile_model.n_outputs)  # (n_fields * n_tiles, n_outputs)

    def propose(self, fields, grid, owners, sites, flat, values):
        """Return the changes, and (move, tile, contribution) for each tile that a move changes."""
        moves, tiles = self._affected(sites)
        owner = owners[moves]
        content = self._read(fields, grid, owner, tiles, moves, flat, values)
        contributions = self.evaluation.tile_contributions(self.tile_model, content)
        places = owner * self.n_tiles + tiles
        first = np.flatnonzero(np.diff(moves, prepend=-1))  # each move has a tile: its focus
        change = np.add.reduceat(contributions - self.held[places], first, axis=0)
        return change, (moves, places, contributions)

    def _affected(self, sites) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of a move and a tile that sees one of its sites, none twice, in order."""
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
        moves, place = np.nonzero(new)
        return moves, tiles[moves, place]

    def _read(self, fields, grid, owner, tiles, moves, flat, values) -> np.ndarray:
        """Return what tiles see once the sites of their moves have changed."""
        n_axes = len(self.grid)
        sites = np.zeros((len(tiles), *[1] * n_axes), dtype=np.intp)
        outside = np.zeros((), dtype=bool)
        for axis, place in enumerate(np.unravel_index(tiles, self.grid)):
            shape = [len(tiles), *[1] * n_axes]
            shape[1 + axis] = -1
            along = self.windows[axis][place].reshape(shape)
            sites = sites * grid[axis] + along
            if self.reaches_out:
                outside = outside | (along == OUTSIDE)
        owner = owner.reshape(-1, *[1] * n_axes)
        if self.reaches_out:
            # A position beyond the boundary has no site: read any, then write the zero.
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
    """Return grid indices (..., n_axes) as numbers of sites in C order."""
    flat = sites[..., 0]
    for axis in range(1, len(grid)):
        flat = flat * grid[axis] + sites[..., axis]
    return flat


def seen_by(windows, length) -> np.ndarray:
    """Return the windows of an axis that see each site, (length, n_most), filled up with -1.

    Examples
    --------
    >>> from sk_ednn.tiling._windows import axis_windows
    >>> from sk_ednn.evaluation._ledger import seen_by
    >>> seen_by(axis_windows(4, 1, 1, "zero"), 4)
    array([[ 0,  1, -1],
           [ 0,  1,  2],
           [ 1,  2,  3],
           [ 2,  3, -1]])
    """
    index = np.repeat(np.arange(len(windows)), windows.shape[1])
    sites = windows.ravel()
    # Each pair of a site and a window once, sorted by site.
    pairs = np.unique(sites[sites != OUTSIDE] * len(windows) + index[sites != OUTSIDE])
    sites, index = np.divmod(pairs, len(windows))
    counts = np.bincount(sites, minlength=length)
    table = np.full((length, counts.max()), -1, dtype=np.intp)
    table[sites, np.arange(len(sites)) - np.repeat(np.cumsum(counts) - counts, counts)] = index
    return table


def common_channel_axis(tilings, field_ndim) -> int | None:
    """Return the axis that all tilings take for channels, counted from 0.

    Raises
    ------
    TilingError
        Where they differ: a site is then not the same thing to all of them.
    """
    axes = {channel_index(tiling.channel_axis, field_ndim) for tiling in tilings}
    if len(axes) > 1:
        raise TilingError(
            "All terms must have their channels on the same axis, so that a site is the same to "
            f"each; got {sorted(axes, key=str)}."
        )
    return axes.pop()
