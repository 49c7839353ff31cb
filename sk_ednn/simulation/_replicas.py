"""Replicas of a lattice field: their states, the costs of moves, and their temperatures."""

from __future__ import annotations

import numpy as np

from .._utils.sampling import MAX_ACCEPTANCE
from ..evaluation._incremental import common_channel_axis
from ..evaluation._local import running
from ..exceptions import TilingError
from ..fields._channels import channels_last, from_channels_last
from ..fields._fields import require_finite
from ..fields._in_memory import as_array
from ._energies import LedgerEnergies, TabulatedEnergies, has_tables
from ._pair_energies import PairEnergies, has_pairs
from ._sublattices import changes, exchanges

# More values than this are hardly those of a lattice field.
_MOST_VALUES = 255


class Replicas:
    """All replicas: their states, what moves cost, and the temperature of each.

    `shown` are the values of sites in `fields`, if the model sees channels instead of them.
    Replicas are columns. `column[t, r]` is the column of replica r of temperature t: swaps
    exchange these numbers, not the fields.
    """

    def __init__(self, model, terms, start, values, moves, temperatures, max_states, *, shown=None):
        shape = start.shape[1:]
        self.channel = common_channel_axis([tiling for _, tiling in terms], len(shape))
        moved = channels_last(start, self.channel, n_batch=1)
        channels = () if self.channel is None else moved.shape[-1:]
        grid = moved.shape[1 : moved.ndim - len(channels)]
        flat = moved.reshape(len(start), -1, *channels)
        self.values = check_values(values, flat)
        self.states = np.ascontiguousarray(states_of(flat, self.values).T)
        self.grid, self.moves, self.shown = grid, moves, shown
        self.column = np.arange(len(start)).reshape(len(temperatures), -1)
        self.beta = 1 / temperatures

        windows = [tiling.axis_windows(shape) for _, tiling in terms]
        if moves == "change":
            sublattices = changes(windows, grid)
        else:
            periodic = all(tiling.boundary == "periodic" for _, tiling in terms)
            sublattices = exchanges(windows, grid, periodic)
            if not sublattices:
                raise TilingError(f"There are no neighbours to exchange in a field of {shape}.")
        terms = running(model, terms, [start[0]])
        arguments = (terms, windows, grid, self.values, self.states)
        if has_tables(windows, len(self.values), max_states):
            self.energy = TabulatedEnergies(*arguments)
        elif has_pairs(terms, windows, grid, self.values):
            self.energy = PairEnergies(*arguments)
        else:
            self.energy = LedgerEnergies(*arguments, start)
        self.sublattices = [
            [(part, part.sites()) for part in sublattice.parts(self.energy.n_moves_at_once)]
            for sublattice in sublattices
        ]

    def sweep(self, rng) -> np.ndarray:
        """Try every move once; return the acceptance and the number of moves by temperature."""
        n_temperatures = len(self.beta)
        beta = np.empty(self.column.size)
        beta[self.column] = self.beta[:, None]
        sums = np.zeros((2, self.column.size))
        for index in rng.permutation(len(self.sublattices)):
            for part, sites in self.sublattices[index]:
                before = self.states[sites]
                after = self._proposed(before, rng)
                cost = self.energy.changes(part, before, after)
                # The exponent is never positive, and a cost of 0 at beta 0 stays 0.
                probability = np.exp(-beta * np.maximum(cost, 0))
                accepted = rng.random(cost.shape) < MAX_ACCEPTANCE * probability
                if self.moves == "exchange":
                    differ = before[0] != before[1]
                    probability *= differ
                    sums[1] += differ.sum(axis=0)
                else:
                    sums[1] += len(probability)
                sums[0] += probability.sum(axis=0)
                self.energy.accept(accepted)
                self.states[sites] = np.where(accepted, after, before)
        return sums[:, self.column].reshape(2, n_temperatures, -1).sum(axis=-1)

    def _proposed(self, before, rng):
        if self.moves == "exchange":
            return before[::-1]
        n = len(self.values)
        if n == 2:
            return 1 - before
        # Another value, each of them as likely.
        step = rng.integers(1, n, size=before.shape, dtype=np.uint8)
        return ((before.astype(np.int16) + step) % n).astype(np.uint8)

    def energies(self) -> np.ndarray:
        """Return energies in the order of `column`, (n_temperatures, n_replicas)."""
        return self.energy.totals[self.column]

    def magnetisations(self) -> np.ndarray:
        counts = np.stack([(self.states == k).sum(axis=0) for k in range(len(self.values))])
        sums = np.tensordot(counts, self.values.astype(np.float64), axes=(0, 0))
        return sums[self.column]

    def fields(self) -> np.ndarray:
        """Return fields, (n_temperatures, n_replicas, *field_shape)."""
        states = self.states.T[self.column.ravel()]
        if self.shown is not None:
            return self.shown[states].reshape(*self.column.shape, *self.grid)
        flat = self.values[states]
        fields = flat.reshape(*self.column.shape, *self.grid, *self.values.shape[1:])
        return from_channels_last(fields, self.channel, n_batch=2)


def check_values(values, flat) -> np.ndarray:
    """Return the values of a site in the type of the fields, (n_values[, n_channels])."""
    channels = flat.shape[2:]
    if values is None:
        distinct = np.unique(flat.reshape(-1, *channels), axis=0 if channels else None)
        if not 2 <= len(distinct) <= _MOST_VALUES:
            raise ValueError(
                f"The starting fields contain {len(distinct)} different value(s); from 2 to "
                f"{_MOST_VALUES} can be sampled. Set `values` to those that a site may take."
            )
        return distinct
    given = as_array(values, "values")
    if given.dtype.kind not in "biuf" or given.shape[1:] != channels or given.ndim == 0:
        raise ValueError(
            f"values must be numbers of shape {('n_values', *channels)}; got shape {given.shape} "
            f"of type {given.dtype}."
        )
    require_finite(given, "values")
    distinct = np.unique(given, axis=0)
    if len(distinct) < len(given) or not 2 <= len(given) <= _MOST_VALUES:
        raise ValueError(
            f"values must be from 2 to {_MOST_VALUES} different ones; got {given.tolist()}."
        )
    cast = given.astype(flat.dtype)
    if flat.dtype.kind != "f" and np.any(cast != given):
        raise ValueError(
            f"The starting fields are of type {flat.dtype}, which cannot represent all of "
            f"{given.tolist()}. Give fields of a type that can."
        )
    return cast


def states_of(flat, values) -> np.ndarray:
    """Return which of the values each site has, (n_fields, n_sites)."""
    states = np.full(flat.shape[:2], len(values), dtype=np.uint8)
    for state, value in enumerate(values):
        same = flat == value
        states[same if flat.ndim == 2 else same.all(axis=-1)] = state
    wrong = np.argwhere(states == len(values))
    if len(wrong):
        raise ValueError(
            f"The starting fields contain {flat[tuple(wrong[0])]}, which is not one of the values "
            f"{values.tolist()}; {len(wrong)} site(s) do."
        )
    return states
