"""The time that a fit of a `CountRegressor` will take, before it begins."""

from __future__ import annotations

import time

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import nn

from ._geometry import Geometry
from ._network import tile_network

# Pixels along each axis, and steps of short trainings by which this machine is measured, after a
# first step, in which libraries are loaded.
_SMALL, _LARGE, _STEPS = 36, 156, 4
# A prediction takes this part of a pass over the pictures, and maxima of each channel so many.
_PREDICTED, _MAXIMA = 0.5, 2.7


def passes_after(recipe, n_maxima) -> tuple[float, float]:
    """Return the passes that take as long as what follows a training, and what follows all.

    Parameters
    ----------
    recipe : Recipe
    n_maxima : int
        Channels in which local maxima are counted.
    """
    return _PREDICTED * recipe.n_views, _MAXIMA * n_maxima


def padded_pixels(grids, geometry) -> float:
    """Return the pixels of pictures with their surroundings, after they are averaged.

    Parameters
    ----------
    grids : sequence of tuple of int
        Lengths of each picture.
    geometry : Geometry

    Examples
    --------
    >>> from sk_ednn.images._effort import padded_pixels
    >>> from sk_ednn.images._geometry import Geometry
    >>> padded_pixels([(64, 64)], Geometry(1)), padded_pixels([(64, 64)], Geometry(2))
    (9801.0, 4489.0)
    """
    n = sum(
        np.prod([len(along) for along in geometry.positions(grid)], dtype=float) for grid in grids
    )
    return float(n / geometry.reduction**2)


def expected_minutes(
    grids, geometry, recipe, *, n_channels, n_members, n_jobs, n_threads, n_maxima=0
) -> float:
    """Return the minutes that all networks will take, and measuring their errors, on this machine.

    A few steps of such a training are measured, in some hundredths of a second.

    Parameters
    ----------
    grids : sequence of tuple of int
        Lengths of each sample.
    geometry : Geometry
    recipe : Recipe
    n_channels, n_members : int
    n_jobs, n_threads : int
        Networks that are trained at a time, and threads of each.
    n_maxima : int, default=0
        Channels in which local maxima are counted.
    """
    n_batches = -(-len(grids) // recipe.batch_size)
    per_step, per_pixel = _seconds_of_a_step(n_channels, recipe, min(n_jobs, n_members), n_threads)
    own, joint = passes_after(recipe, n_maxima)
    passes = -(-n_members // n_jobs) * (recipe.max_epochs + own) + joint
    return passes * (n_batches * per_step + padded_pixels(grids, geometry) * per_pixel) / 60


def _seconds_of_a_step(n_channels, recipe, n_jobs, n_threads) -> tuple[float, float]:
    """Return the seconds of a step, and those that are added by each pixel.

    As many networks as in the fit take their steps side by side, since they share the processor.
    """
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        networks = [
            tile_network(n_channels, 1, Geometry(1), True)
            .train()
            .to(memory_format=torch.channels_last)
            for _ in range(n_jobs)
        ]

    def measured(network):
        torch.set_num_threads(n_threads)
        with torch.enable_grad():
            return [_measured(network, n_channels, side, recipe) for side in (_SMALL, _LARGE)]

    try:
        took = Parallel(n_jobs=n_jobs, prefer="threads")(map(delayed(measured), networks))
    finally:
        torch.set_num_threads(before)
    small, large = np.mean(took, axis=0)
    per_pixel = max(0.0, large - small) / (recipe.batch_size * (_LARGE**2 - _SMALL**2))
    return float(small), float(per_pixel)


def _measured(network, n_channels, side, recipe) -> float:
    *body, head, _ = network
    optimizer = torch.optim.Adam(network.parameters(), 0.0, fused=True)
    values = torch.zeros(recipe.batch_size, n_channels, side, side)
    values = values.contiguous(memory_format=torch.channels_last)
    took = []
    for _ in range(1 + _STEPS):
        start = time.perf_counter()
        out = values
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.half):
            for layer in body:
                out = layer(out)
        optimizer.zero_grad()
        head(out.float()).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        took.append(time.perf_counter() - start)
    return float(np.median(took[1:]))
