"""The energies of moves, for many replicas at once.

They are read from tables where tiles have few states (or, in `_pair_energies`, where only pairs of
sites interact), else found by the ledger behind `LocalUpdates`. All have the same systems and
answer the same questions: `changes` for the moves of a part of a sublattice, `accept` for those
that were made, `totals`. Arrays are of shape (n_moves, n_replicas).
"""

from __future__ import annotations

import numpy as np

from ..evaluation._block_size import block_size
from ..evaluation._incremental import IncrementalTotals
from ..tiling._windows import OUTSIDE, seen_by
from ._sublattices import Sublattice, sees_outside, union

# Numbers in hand at a time, so that they stay in the caches.
_IN_HAND = 1 << 16
# Most bytes for remembering which tiles the moves change; beyond, that is computed each time.
_REMEMBERED = 1 << 28


def has_tables(windows, n_values, max_states) -> bool:
    """Return True if tiles have at most `max_states` states, so that all can be tabulated."""
    base = n_values + sees_outside(windows)
    return all(_n_places(along) * np.log2(base) <= np.log2(max_states) for along in windows)


def _n_places(windows) -> int:
    return int(np.prod([along.shape[1] for along in windows]))


class TabulatedEnergies:
    """Energies of systems whose tiles have few states.

    A tile is known by its code, the states of its sites as digits of a number; its contribution
    is in a table at that index, and is evaluated when it is first needed. A change of a site
    adds a multiple of a power of the base to the codes of the tiles that see it.

    Parameters
    ----------
    terms : list of (tile_model, tiling, evaluation)
    windows : list of list of ndarray
        For each term and axis, the sites that each window sees.
    grid : tuple of int
    values : ndarray of shape (n_values[, n_channels])
        Value of a site in each state.
    states : ndarray of int of shape (n_sites, n_replicas)
    """

    def __init__(self, terms, windows, grid, values, states):
        outside = np.zeros((1, *values.shape[1:]), dtype=values.dtype)
        if sees_outside(windows):
            values = np.concatenate([values, outside])
        self._terms = [
            _Table(tile_model, along, grid, values, states)
            for (tile_model, _, _), along in zip(terms, windows, strict=True)
        ]
        per_move = max(
            np.prod([seen_by(w, n).shape[1] for w, n in zip(along, grid, strict=True)])
            for along in windows
        )
        self.n_moves_at_once = max(1, int(_IN_HAND // (per_move * states.shape[1])))
        self._known: dict[Sublattice, list] = {}
        self._room = _REMEMBERED

    def changes(self, part, before, after) -> np.ndarray:
        """Return the cost of each move, (n_moves, n_replicas).

        Parameters
        ----------
        part : Sublattice
        before, after : ndarray of int of shape (n_sites_of_a_move, n_moves, n_replicas)
            States of the sites.
        """
        steps = after.astype(np.intp) - before
        affected = self._known.get(part)
        if affected is None:
            affected = [term.affected(part) for term in self._terms]
            size = sum(array.nbytes for arrays in affected for array in arrays)
            if size <= self._room:
                self._known[part] = affected
                self._room -= size
        return sum(
            term.changes(tiles, weights, steps)
            for term, (tiles, weights) in zip(self._terms, affected, strict=True)
        )

    def accept(self, mask) -> None:
        """Make the moves of the last call of `changes` where `mask`, of its shape, is true."""
        for term in self._terms:
            term.accept(mask)

    @property
    def totals(self) -> np.ndarray:
        """Energies as they are now, (n_replicas,)."""
        return sum(term.totals for term in self._terms)


class _Table:
    """Contributions by code, and the code of each tile of each replica."""

    def __init__(self, tile_model, windows, grid, values, states):
        self.tile_model, self.windows, self.grid, self.values = tile_model, windows, grid, values
        self.base = len(values)
        self.shape = tuple(len(along) for along in windows)
        self.window = tuple(along.shape[1] for along in windows)
        self.n_tiles, self.n_places = int(np.prod(self.shape)), int(np.prod(self.window))
        strides = np.cumprod((1, *self.window[:0:-1]))[::-1]
        # A code is the sum of states times these, multiplied over the axes.
        self.powers = [
            np.array([self.base ** int(stride * place) for place in range(n)], dtype=np.intp)
            for stride, n in zip(strides, self.window, strict=True)
        ]
        self.seen = [seen_by(along, length) for along, length in zip(windows, grid, strict=True)]
        self.table = np.full(self.base**self.n_places, np.nan)
        self.codes = self._codes(states)
        self._evaluate(self.codes)

    def _codes(self, states) -> np.ndarray:
        """Return the code of each tile; one more row is for absent tiles."""
        codes = np.zeros((self.n_tiles + 1, states.shape[1]), dtype=np.intp)
        for place in np.ndindex(self.window):
            sites, outside = np.zeros(1, dtype=np.intp), np.zeros(1, dtype=bool)
            for axis, where in enumerate(place):
                along = self.windows[axis][:, where]
                sites = (sites[:, None] * self.grid[axis] + along).ravel()
                outside = (outside[:, None] | (along == OUTSIDE)).ravel()
            weight = np.prod([p[where] for p, where in zip(self.powers, place, strict=True)])
            digits = states[np.where(outside, 0, sites)].astype(np.intp)
            digits[outside] = self.base - 1
            codes[:-1] += weight * digits
        return codes

    def _evaluate(self, codes) -> None:
        """Compute missing entries of the table."""
        new = np.unique(codes[np.isnan(self.table[codes])])
        step = block_size(None, 2**26, self.tile_model)
        for start in range(0, len(new), step):
            some = new[start : start + step]
            digits = some[:, None] // self.base ** np.arange(self.n_places) % self.base
            tiles = self.values[digits].reshape(len(some), *self.window, *self.values.shape[1:])
            self.table[some] = self.tile_model.predict(tiles)[:, 0]

    def affected(self, part) -> tuple[np.ndarray, np.ndarray]:
        """Return the tiles that moves change, and what a step of each site adds to their codes.

        Returns
        -------
        tiles : ndarray of int of shape (n_most, n_moves)
        weights : ndarray of int of shape (n_sites_of_a_move, n_most, n_moves)
        """
        n_axes, n_sites = len(self.shape), len(part.positions[0])
        tiles, absent = np.zeros((), dtype=np.intp), np.zeros((), dtype=bool)
        weights = np.ones((), dtype=np.intp)
        for axis, along in enumerate(part.positions):
            seen = union(self.seen[axis], along)  # (n_along_axis, n_most)
            there = self.windows[axis][seen]
            weight = np.stack(
                [(there == sites[:, None, None]) @ self.powers[axis] for sites in along]
            )
            weight[:, seen < 0] = 0
            shape = [1] * (2 * n_axes)
            shape[axis], shape[n_axes + axis] = seen.shape[1], seen.shape[0]
            tiles = tiles * self.shape[axis] + seen.T.reshape(shape)
            absent = absent | (seen.T < 0).reshape(shape)
            weights = weights * weight.transpose(0, 2, 1).reshape(n_sites, *shape)
        tiles = np.where(absent, self.n_tiles, tiles)
        n_moves = part.n_moves
        return tiles.reshape(-1, n_moves), weights.reshape(n_sites, -1, n_moves)

    def changes(self, tiles, weights, steps) -> np.ndarray:
        old = np.take(self.codes, tiles, axis=0)
        new = old + weights[0][..., None] * steps[0]
        for weight, step in zip(weights[1:], steps[1:], strict=True):
            new += weight[..., None] * step
        self._proposed = tiles, old, new
        after = np.take(self.table, new).sum(axis=0)
        if np.isnan(after).any():
            self._evaluate(new)
            after = np.take(self.table, new).sum(axis=0)
        return after - np.take(self.table, old).sum(axis=0)

    def accept(self, mask) -> None:
        tiles, old, new = self._proposed
        if mask.shape[1] == 1:
            # One column: picking the moves that were made is faster than writing all.
            made = np.flatnonzero(mask)
            self.codes[np.take(tiles, made, axis=1), 0] = np.take(new[..., 0], made, axis=1)
        else:
            self.codes[tiles] = np.where(mask, new, old)

    @property
    def totals(self) -> np.ndarray:
        return np.take(self.table, self.codes[:-1]).sum(axis=0)


class LedgerEnergies:
    """Energies of any systems: the tiles that see a changed site are evaluated again.

    Parameters and methods are those of `TabulatedEnergies`.
    """

    def __init__(self, terms, windows, grid, values, states, fields):
        self._ledger = IncrementalTotals(terms, fields)
        self._grid, self._values, self._n_replicas = grid, values, states.shape[1]
        numbers = max(
            _n_places(along)
            * np.prod([seen_by(w, n).shape[1] for w, n in zip(along, grid, strict=True)])
            for along in windows
        )
        self.n_moves_at_once = max(1, int(2**20 // (numbers * self._n_replicas)))

    def changes(self, part, before, after) -> np.ndarray:
        """Return the cost of each move, (n_moves, n_replicas)."""
        sites = np.stack(np.unravel_index(part.sites().T, self._grid), axis=-1)
        n_moves, n_sites, n_axes = sites.shape
        owners = np.tile(np.arange(self._n_replicas), n_moves)
        sites = np.repeat(sites, self._n_replicas, axis=0).reshape(-1, n_sites, n_axes)
        values = self._values[after.transpose(1, 2, 0).reshape(-1, n_sites)]
        return self._ledger.propose(owners, sites, values)[:, 0].reshape(n_moves, -1)

    def accept(self, mask) -> None:
        """Make the moves of the last call of `changes` where `mask`, of its shape, is true."""
        self._ledger.accept(mask.ravel())

    @property
    def totals(self) -> np.ndarray:
        """Energies as they are now, (n_replicas,)."""
        return self._ledger.totals[:, 0]
