"""The energies of moves for models that are sums of terms of one and two sites.

A contribution that is a polynomial of second degree in the values of its tile is such a sum.
Terms of all tiles that see two sites are added up to one table for each displacement, with a row
for each state of one site and a column for each state of the other. This takes the place of the
evaluation of all tiles that see a changed site, whose states may be too many for a table.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from ..evaluation._block_size import block_size

# Numbers in hand at a time, so that they stay in the caches.
_IN_HAND = 1 << 16
# Most bytes of all tables, and of the neighbours of sites that are remembered.
_TABLE_BYTES, _REMEMBERED = 1 << 26, 1 << 28
# Numbers of a tile up to which its second derivatives are found: their number is half its square.
_MOST_NUMBERS = 512


def has_pairs(terms, windows, grid, values) -> bool:
    """Return True if the energy is known to be a sum of terms of one and of two sites.

    Parameters
    ----------
    terms : list of (tile_model, tiling, evaluation)
    windows : list of list of ndarray
        For each term and axis, the sites that each window sees. All must be shifts of the first
        one around a ring, in which no window sees a site twice.
    grid : tuple of int
    values : ndarray of shape (n_values[, n_channels])
    """
    if not all(model.degree in (1, 2) for model, _, _ in terms):
        return False
    if not all(
        _is_ring(along, length)
        for each in windows
        for along, length in zip(each, grid, strict=True)
    ):
        return False
    numbers = max(int(np.prod(model.tile_shape)) for model, _, _ in terms)
    n_tables = np.prod(_period(windows, grid)) * np.prod(2 * _width(windows) - 1)
    return numbers <= _MOST_NUMBERS and n_tables * len(values) ** 2 * 8 <= _TABLE_BYTES


def _is_ring(along, length) -> bool:
    """Return True if the windows of an axis are shifts of each other, without a site twice."""
    n_windows, width = along.shape
    if n_windows == 0 or length % n_windows or width > length:
        return False
    starts = along[0, 0] + np.arange(n_windows) * (length // n_windows)
    return np.array_equal(along, (starts[:, None] + np.arange(width)) % length)


def _period(windows, grid) -> np.ndarray:
    """Return after how many sites along each axis the tiles of all terms are as before."""
    foci = [[n // len(along) for along, n in zip(each, grid, strict=True)] for each in windows]
    return np.lcm.reduce(foci, axis=0)


def _width(windows) -> np.ndarray:
    """Return the widest window along each axis."""
    return np.max([[along.shape[1] for along in each] for each in windows], axis=0)


class PairEnergies:
    """Energies of systems that are sums of terms of one and of two sites; see `has_pairs`.

    Parameters and methods are those of `TabulatedEnergies`.
    """

    def __init__(self, terms, windows, grid, values, states):
        self._grid, self._n_values = tuple(grid), len(values)
        self._states = states.copy()
        self._tables = _Tables.of(terms, windows, grid, values)
        self.n_moves_at_once = max(
            1, int(_IN_HAND // (max(1, len(self._tables.displacements)) * states.shape[1]))
        )
        self._known: dict = {}
        self._room = _REMEMBERED

    def changes(self, part, before, after) -> np.ndarray:
        """Return the cost of each move, (n_moves, n_replicas)."""
        around = self._around(part)
        self._proposed = [each.sites for each in around], before, after
        cost = np.zeros(before.shape[1:])
        for k, each in enumerate(around):
            cost += self._change(each, before[k].astype(np.intp), after[k].astype(np.intp))
            if len(around) > 1:  # the next site of a move sees this one changed
                self._states[each.sites] = after[k]
        if len(around) > 1:
            for each, states in zip(around, before, strict=True):
                self._states[each.sites] = states
        return cost

    def _change(self, each, before, after) -> np.ndarray:
        n = self._n_values
        rows = each.rows[..., None] + self._states[each.neighbours]
        rows *= n
        pairs = self._tables.pairs
        cost = np.take(pairs, rows + after).sum(axis=0)
        cost -= np.take(pairs, rows + before).sum(axis=0)
        kinds = each.kinds[:, None] * n
        return cost + self._tables.singles[kinds + after] - self._tables.singles[kinds + before]

    def accept(self, mask) -> None:
        """Make the moves of the last call of `changes` where `mask`, of its shape, is true."""
        for sites, old, new in zip(*self._proposed, strict=True):
            self._states[sites] = np.where(mask, new, old)

    @property
    def totals(self) -> np.ndarray:
        """Energies as they are now, (n_replicas,)."""
        tables, sites = self._tables, np.arange(int(np.prod(self._grid)))
        each = self._surroundings(sites)
        states = self._states.astype(np.intp)
        singles = tables.singles[each.kinds[:, None] * self._n_values + states].sum(axis=0)
        twice = np.zeros(states.shape[1])  # each pair is seen from both of its sites
        for rows, neighbours in zip(each.rows, each.neighbours, strict=True):
            index = (rows[:, None] + states[neighbours]) * self._n_values + states
            twice += np.take(tables.pairs, index).sum(axis=0)
        return tables.constant + singles + twice / 2

    def _around(self, part) -> list[_Surroundings]:
        around = self._known.get(part)
        if around is None:
            around = [self._surroundings(sites) for sites in part.sites()]
            size = sum(array.nbytes for each in around for array in each)
            if size <= self._room:
                self._known[part] = around
                self._room -= size
        return around

    def _surroundings(self, sites) -> _Surroundings:
        index = np.stack(np.unravel_index(sites, self._grid))
        period = self._tables.period
        kinds = np.ravel_multi_index(tuple(index % period[:, None]), tuple(period))
        displacements = self._tables.displacements
        there = (index[:, None] + displacements.T[..., None]) % np.reshape(self._grid, (-1, 1, 1))
        neighbours = np.ravel_multi_index(tuple(there), self._grid)
        tables = kinds * len(displacements) + np.arange(len(displacements))[:, None]
        return _Surroundings(sites, kinds, neighbours, tables * self._n_values)


class _Surroundings(NamedTuple):
    """What some sites interact with.

    Attributes
    ----------
    sites : ndarray of int of shape (n_sites,)
    kinds : ndarray of int of shape (n_sites,)
        Where they are within a period of the tiles.
    neighbours : ndarray of int of shape (n_displacements, n_sites)
    rows : ndarray of int of shape (n_displacements, n_sites)
        First row of each table among those of all tables.
    """

    sites: np.ndarray
    kinds: np.ndarray
    neighbours: np.ndarray
    rows: np.ndarray


class _Tables(NamedTuple):
    """Terms of no, one and two sites, summed over tiles.

    Attributes
    ----------
    constant : float
    singles : ndarray of shape (n_kinds * n_values,)
    pairs : ndarray of shape (n_kinds * n_displacements * n_values * n_values,)
        For a site of each kind and each displacement of another one: a row for each state of the
        other one, a column for each state of the site.
    displacements : ndarray of int of shape (n_displacements, n_axes)
    period : ndarray of int of shape (n_axes,)
    """

    constant: float
    singles: np.ndarray
    pairs: np.ndarray
    displacements: np.ndarray
    period: np.ndarray

    @classmethod
    def of(cls, terms, windows, grid, values) -> _Tables:
        """Add up the terms of all tiles."""
        period, width = _period(windows, grid), _width(windows)
        kinds = list(product(*map(range, period)))
        channels = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
        # Differences from the mean: squares of values that differ little would cancel.
        origin = channels.mean(axis=0)
        channels = channels - origin
        n, n_channels = channels.shape
        displacements = [d for d in product(*(range(1 - w, w) for w in width)) if any(d)]
        number = {d: k for k, d in enumerate(displacements)}
        constant, singles = 0.0, np.zeros((len(kinds), n))
        couplings = np.zeros((len(kinds), len(displacements), n_channels, n_channels))
        seen = np.zeros(len(displacements), dtype=bool)
        for (model, _, _), each in zip(terms, windows, strict=True):
            form = _Form.of(model, each, origin, np.abs(channels).max(axis=0))
            own = form.singles(channels)
            constant += form.constant * np.prod([len(along) for along in each])
            foci = [length // len(along) for length, along in zip(grid, each, strict=True)]
            starts = [int(along[0, 0]) for along in each]
            places = list(np.ndindex(form.window))
            for kind, first in enumerate(kinds):
                for p, place in enumerate(places):
                    here = zip(first, starts, place, foci, strict=True)
                    if any((site - start - at) % focus for site, start, at, focus in here):
                        continue  # no tile has a site of this kind at this place
                    singles[kind] += own[p]
                    for q, other in enumerate(places):
                        if q != p:
                            k = number[tuple(b - a for a, b in zip(place, other, strict=True))]
                            couplings[kind, k] += form.second[q, :, p]
                            seen[k] = True
        couplings = couplings[:, seen]
        pairs = np.einsum("bi,kdij,aj->kdba", channels, couplings, channels, optimize=True)
        where = np.array(displacements, dtype=np.intp).reshape(-1, len(grid))[seen]
        return cls(constant, singles.ravel(), np.ascontiguousarray(pairs).ravel(), where, period)


class _Form(NamedTuple):
    """A contribution as a polynomial of second degree in the channels of a tile less an origin.

    Attributes
    ----------
    window : tuple of int
    constant : float
    first : ndarray of shape (n_places, n_channels)
    second : ndarray of shape (n_places, n_channels, n_places, n_channels)
        Second derivatives.
    """

    window: tuple[int, ...]
    constant: float
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(cls, tile_model, windows, origin, scale) -> _Form:
        """Take differences of contributions, which are exact for a polynomial of this degree.

        Parameters
        ----------
        tile_model : AbstractTileModel
        windows : list of ndarray
        origin : ndarray of shape (n_channels,)
        scale : ndarray of shape (n_channels,)
            The differences from the origin at which contributions are taken.
        """
        window = tuple(along.shape[1] for along in windows)
        n_places = int(np.prod(window))
        steps = np.tile(np.where(scale > 0, scale, 1.0), n_places)
        n = len(steps)
        one, other = np.triu_indices(n, 1)
        origins = np.tile(origin, n_places)

        def at(rows):
            tiles = (origins + rows).reshape(len(rows), *tile_model.tile_shape)
            return tile_model.predict(tiles)[:, 0]

        zero = at(np.zeros((1, n)))[0]
        up, down = at(np.diag(steps)) - zero, at(-np.diag(steps)) - zero
        second = np.diag(up + down)
        size = block_size(None, 2**26, tile_model)
        for start in range(0, len(one), size):
            i, j = one[start : start + size], other[start : start + size]
            rows = np.zeros((len(i), n))
            rows[np.arange(len(i)), i], rows[np.arange(len(i)), j] = steps[i], steps[j]
            second[i, j] = second[j, i] = at(rows) - zero - up[i] - up[j]
        second /= np.outer(steps, steps)
        shape = n_places, n // n_places
        return cls(
            window, zero, ((up - down) / 2 / steps).reshape(shape), second.reshape(*shape, *shape)
        )

    def singles(self, channels) -> np.ndarray:
        """Return the terms of single sites, (n_places, n_values)."""
        own = np.einsum("pipj->pij", self.second)
        return self.first @ channels.T + np.einsum("vi,pij,vj->pv", channels, own, channels) / 2
