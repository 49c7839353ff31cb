"""Batches of pictures and boxes of similar sizes, shifted, turned and with varied light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ._geometry import BANDS, Geometry, weights

# Batches among which samples are sorted by size.
_POOLED = 8
# Continuation of the pixels, the weights and the bands of smaller samples.
_MODES = ("reflect", "constant", "edge")


@dataclass
class Sample:
    """Pixels of one total.

    Attributes
    ----------
    values : ndarray of shape (n_channels, *padded), float32
        Standardised, averaged, with context and slack around.
    lengths : tuple of int
        Pixels of the picture or box along each axis.
    geometry : Geometry
    totals : Tensor of shape (n_outputs,)
    spread : float
        The unit of the loss, relative to that of a picture of mean size.
    open_sides : list of (bool, bool) or None
        Whether the picture continues before and behind along each axis, as around a box.
    """

    values: np.ndarray
    lengths: tuple[int, ...]
    geometry: Geometry
    totals: torch.Tensor
    spread: float
    open_sides: list | None = None

    def view(self, shift=(0, 0)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pixels, the part of each tile that counts, and its bands, with shifted tiles.

        Parameters
        ----------
        shift : pair of int
            Averaged pixels along rows and columns, below those of a focus.

        Returns
        -------
        values : ndarray of shape (n_channels, *window), float32
        weights : ndarray of shape (1, *tile_grid), float32
        bands : ndarray of shape (1, *tile_grid), int64
            The number of the pair of bands along rows and columns, see `Geometry.bands`.
        """
        r, planes = self.geometry.reduction, (0,) * (self.geometry.n_axes - 2)
        room = [slack // r for slack in self.geometry.slack[-2:]]
        pixels = (*planes, *(s * r for s in shift))
        inside = weights(self.geometry.shifted_shares(self.lengths, pixels))
        *_, along_rows, along_columns = self.geometry.bands(self.lengths, pixels, self.open_sides)
        pairs = np.add.outer(along_rows * (BANDS + 1), along_columns)
        pairs = np.broadcast_to(pairs, inside.shape)[None]
        rows, columns = (
            slice(most - s, n - s)
            for most, s, n in zip(room, shift, self.values.shape[-2:], strict=True)
        )
        return self.values[..., rows, columns], inside[None].astype(np.float32), pairs


def shuffled_batches(samples, size, rng) -> list[list[Sample]]:
    """Return the samples in random order, in batches of samples of similar size."""
    order = [samples[k] for k in rng.permutation(len(samples))]
    batches = []
    for start in range(0, len(order), size * _POOLED):
        pool = sorted(order[start : start + size * _POOLED], key=lambda each: each.values.shape)
        batches += [pool[k : k + size] for k in range(0, len(pool), size)]
    return [batches[k] for k in rng.permutation(len(batches))]


def collated(batch, shift=(0, 0)):
    """Return values (n, n_channels, *window), weights and bands (n, 1, *tile_grid) of samples.

    Smaller ones are continued by mirror images that do not count.
    """
    views = [sample.view(shift) for sample in batch]
    largest = [np.max([part.shape for part in parts], axis=0) for parts in zip(*views, strict=True)]
    stacked = []
    for parts, shape, mode in zip(zip(*views, strict=True), largest, _MODES, strict=True):
        parts = [
            part if part.shape == tuple(shape) else
            np.pad(part, [(0, n - m) for n, m in zip(shape, part.shape, strict=True)], mode=mode)
            for part in parts
        ]  # fmt: skip
        stacked.append(torch.from_numpy(np.stack(parts)))
    return stacked


def turned(parts, turns, flips):
    """Return values, weights and bands turned by quarters in the plane, then flipped.

    Parameters
    ----------
    parts : sequence of Tensor
    turns : int
    flips : list of int
        Axes.
    """
    return [torch.rot90(x, turns, (-2, -1)).flip(flips) for x in parts]


def varied(values, weights, bands, recipe, rng):
    """Return samples turned, flipped, and with varied light."""
    if recipe.symmetric:
        turns = int(rng.integers(4))
        flips = [axis for axis in range(2, values.ndim) if rng.random() < 0.5]
        values, weights, bands = turned((values, weights, bands), turns, flips)
    if recipe.illumination:
        ones = (1,) * (values.ndim - 2)
        gain = np.exp(recipe.illumination * rng.normal(size=(len(values), 1, *ones)))
        offset = recipe.illumination * rng.normal(size=(len(values), values.shape[1], *ones))
        values = values * torch.from_numpy(gain).float() + torch.from_numpy(offset).float()
    return values, weights, bands
