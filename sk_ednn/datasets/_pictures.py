"""Drawn photographs of objects to count: clumps, uneven light, noise."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._utils.seeding import generator

# Radii between the centres of successive members of a clump.
_NEAR, _FAR = 0.9, 1.7
_SOFT = 1.0  # pixels over which an edge fades
_GROUND, _BRIGHT = 0.25, 0.45  # of the full scale
_LARGEST = 255


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "shape": ["array-like"],
        "n_objects": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "radius": [Interval(Real, 1, None, closed="left")],
        "clumping": [Interval(Real, 0, 1, closed="both")],
        "unevenness": [Interval(Real, 0, 1, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "target": [StrOptions({"count", "area"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_pictures(
    n_samples=100,
    shape=(128, 128),
    *,
    n_objects=(10, 60),
    radius=4.0,
    clumping=0.4,
    unevenness=0.4,
    noise=0.03,
    target="count",
    random_state=None,
):
    """Draw grey photographs of round objects, as cells under a microscope, with exact counts.

    Objects vary in size, shape and brightness. Some stick together in clumps, the light is uneven,
    and there is noise. An object belongs to the picture if its centre is inside; objects that
    extend into the picture from outside are drawn but not counted.

    Parameters
    ----------
    n_samples : int, default=100
    shape : pair of int, default=(128, 128)
        Pixels along each axis, at least ``4 * radius``.
    n_objects : int or pair of int, default=(10, 60)
        Number of objects per 128 × 128 pixels, or the lowest and highest of a uniform distribution.
    radius : float, default=4.0, in pixels
        Mean radius of the objects.
    clumping : float, default=0.4
        Share of the objects that touch an earlier one.
    unevenness : float, default=0.4
        Variation of the light across 200 pixels, relative to its mean.
    noise : float, default=0.03
        Standard deviation of the noise, relative to the full scale.
    target : {"count", "area"}, default="count"
        Meaning of `totals`: the number of objects, or the sum of their areas in pixels.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    data : Bunch
        pictures : ndarray of shape (n_samples, *shape), uint8
            The pictures.
        totals : ndarray of shape (n_samples,), float64
            Counts or areas of the objects, see `target`.
        positions : list of n_samples ndarray of shape (n_objects, 2), float64, in pixels
            Row and column of the centres of the counted objects.

    Examples
    --------
    >>> from sk_ednn.datasets import make_pictures
    >>> data = make_pictures(3, (100, 140), random_state=0)
    >>> data.pictures.shape, data.pictures.dtype.name, [len(each) for each in data.positions]
    ((3, 100, 140), 'uint8', [...])
    """
    axes = tuple(shape)
    if len(axes) != 2 or not all(isinstance(n, Integral) and n >= 4 * radius for n in axes):
        raise ValueError(
            f"The 'shape' parameter must be two integers of at least 4 * radius = {4 * radius:g} "
            f"pixels. Got {shape!r} instead."
        )
    pair = (n_objects,) * 2 if isinstance(n_objects, Integral) else tuple(n_objects)
    if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
        raise ValueError(
            "The 'n_objects' parameter must be a count or a pair (lowest, highest) of counts. Got "
            f"{n_objects!r} instead."
        )
    rng = generator(random_state)
    pictures = np.empty((n_samples, *axes), dtype=np.uint8)
    totals, positions = np.zeros(n_samples), []
    for k in range(n_samples):
        density = rng.uniform(*pair) / 128**2
        pictures[k], centres, areas = _draw(axes, density, radius, clumping, unevenness, noise, rng)
        positions.append(centres)
        totals[k] = len(centres) if target == "count" else areas.sum()
    return Bunch(pictures=pictures, totals=totals, positions=positions)


def _draw(shape, density, radius, clumping, unevenness, noise, rng):
    margin = 2 * radius
    size = np.array(shape) + 2 * margin
    n = int(rng.poisson(density * size.prod()) if density else 0)
    centres = _place(n, size, radius, clumping, rng) - margin
    radii = radius * rng.normal(1, 0.15, n).clip(0.6, 1.4)
    stretch = rng.normal(1, 0.12, n).clip(0.7, 1.3)
    angles, bright = rng.uniform(0, np.pi, n), rng.uniform(0.6, 1.0, n)
    cover = np.zeros(shape)
    for (y, x), r, s, angle, level in zip(centres, radii, stretch, angles, bright, strict=True):
        reach = int(np.ceil(1.5 * r + 2 * _SOFT))
        rows = slice(max(0, int(y) - reach), max(0, int(y) + reach + 1))
        columns = slice(max(0, int(x) - reach), max(0, int(x) + reach + 1))
        patch = cover[rows, columns]
        if not patch.size:
            continue
        v, u = np.ogrid[rows.start : rows.start + patch.shape[0],
                        columns.start : columns.start + patch.shape[1]]  # fmt: skip
        v, u = v - y, u - x
        along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
        distance = np.hypot(along / s, across * s)
        inside = level / (1 + np.exp(np.clip((distance - r) / (_SOFT / 2), -40, 40)))
        # Behind one another: what is in front hides a part.
        np.maximum(patch, inside, out=patch)
    light = 1 + unevenness * _smooth(shape, rng)
    values = (_GROUND + _BRIGHT * cover) * light + noise * rng.normal(size=shape)
    within = ((centres >= -0.5) & (centres < np.array(shape) - 0.5)).all(axis=1)
    areas = np.pi * radii[within] ** 2
    return (_LARGEST * values).clip(0, _LARGEST).round().astype(np.uint8), centres[within], areas


def _place(n, size, radius, clumping, rng):
    centres = rng.random((n, 2)) * size
    for k in range(1, n):
        if rng.random() < clumping:
            angle, far = rng.uniform(0, 2 * np.pi), radius * rng.uniform(_NEAR, _FAR)
            near = centres[rng.integers(k)] + far * np.array([np.sin(angle), np.cos(angle)])
            centres[k] = near.clip(0, size)
    return centres


def _smooth(shape, rng):
    """Return a field between -1 and 1 that varies over some 200 pixels."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    total = np.zeros(shape)
    for _ in range(4):
        wave, phase = rng.normal(0, 2 * np.pi / 400, 2), rng.uniform(0, 2 * np.pi)
        total += np.cos(wave[0] * rows + wave[1] * columns + phase)
    return total / 4
