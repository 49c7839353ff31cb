"""Validation of the parameters of a rasteriser."""

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from .._utils.memory import require_memory
from ..fields._in_memory import as_array
from ..structures._cells import AXES, ROUNDING
from ..structures._elements import HEAVIEST, atomic_number, symbol

# Pixels of Gaussians that one core draws, an upper bound.
_PIXELS_PER_SECOND = 1e9
_MAX_SECONDS = 3600.0
# Memory that is always available; reading how much is free takes longer than drawing a few atoms.
_SMALL_BYTES = 2**24


def gradient_in_plane(forces, k, n_atoms, plane):
    """Return minus the forces of structure `k`, along the axes of a plane."""
    forces = as_array(forces, "forces", np.float64)
    shapes = [(n_atoms, n) for n in sorted({len(plane), 3})]
    if forces.shape not in shapes:
        raise ValueError(
            f"Structure {k}: expected forces of shape {' or '.join(map(str, shapes))}, got "
            f"{forces.shape}."
        )
    return -(forces[:, list(AXES[plane])] if forces.shape[1] == 3 else forces)


def require_drawable(n_atoms, shape, spacing, width, cutoff, separable):
    """Reject Gaussians that are so wide that drawing them would take hours or too much memory.

    Parameters
    ----------
    n_atoms : int
        Number of atoms of all structures.
    shape : sequence of int
        Pixels of the largest structure along each axis.
    spacing, width, cutoff
        Parameters of the rasteriser.
    separable : bool
        Whether Gaussians are drawn as products of one factor per axis.

    Raises
    ------
    TileMemoryError, ValueError
    """
    sides = [2 * (cutoff * width / step) + 1 for step in spacing]  # floats, which do not overflow
    with np.errstate(over="ignore"):
        window = float(np.prod(sides))
    n_bytes = 12 * sides[-1] * (shape[-1] + n_atoms)
    if not separable:
        n_bytes = 8 * (len(sides) + 3) * window
    reach = f"cutoff={cutoff:g} widths of {width:g} Å, {sides[0] / 2:.3g} pixels,"
    advice = "Use a smaller cutoff: at the default of 6 a Gaussian is 2e-8 of its height."
    if n_bytes > _SMALL_BYTES:
        require_memory(n_bytes, f"Drawing Gaussians up to {reach}", advice)
    seconds = n_atoms * window / _PIXELS_PER_SECOND
    if seconds > _MAX_SECONDS:
        raise ValueError(
            f"Drawing {n_atoms} atoms up to {reach} would take at least {seconds / 3600:.3g} "
            f"hours. {advice}"
        )


def spacing_per_axis(spacing, n_axes):
    """Return the spacing along each axis, from one number or one per axis."""
    each = (spacing,) * n_axes if isinstance(spacing, Real) else tuple(spacing)
    if len(each) != n_axes or not all(isinstance(s, Real) and 0 < s < np.inf for s in each):
        form = f"{n_axes} of them, one per axis"
        raise ValueError(
            f"The 'spacing' parameter of GaussianRasterizer must be a positive float or {form}, in "
            f"Å; got {spacing!r}."
        )
    return tuple(float(s) for s in each)


def checked_slab(slab, plane):
    """Return a valid slab as a pair, or None."""
    if slab is None:
        return None
    if plane == "xyz":
        raise ValueError(
            f"slab={slab!r} bounds positions along the normal of a plane, but plane='xyz' has no "
            "normal. Use slab=None."
        )
    (normal,) = set("xyz") - set(plane)
    pair = tuple(slab)
    if len(pair) != 2 or not all(isinstance(r, Real) for r in pair) or not pair[0] < pair[1]:
        raise ValueError(
            f"The 'slab' parameter must be a lower and an upper bound of {normal}, in Å; got "
            f"{slab!r}."
        )
    return pair


def unique_species(channels):
    """Return the atomic numbers of channels."""
    numbers = tuple(atomic_number(c.item() if hasattr(c, "item") else c) for c in channels)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            "The 'channels' parameter of GaussianRasterizer must contain at least one species, and "
            f"each only once; got {channels!r}."
        )
    return numbers


def heights_by_number(weights, channels):
    """Return the heights of Gaussians by atomic number; NaN for species that are not drawn."""
    heights = np.full(HEAVIEST + 1, np.nan)
    if isinstance(weights, Mapping):
        for species, weight in weights.items():
            if not (isinstance(weight, Real) and np.isfinite(weight)):
                raise ValueError(
                    "The 'weights' parameter of GaussianRasterizer must map species to finite "
                    f"numbers; got {weight!r} for {species!r}."
                )
            heights[atomic_number(species)] = weight
    else:
        heights[1:] = np.arange(1, HEAVIEST + 1)
    if channels is not None:
        without = [symbol(z) for z in channels if np.isnan(heights[z])]
        if without:
            raise ValueError(
                f"Every channel needs a weight, but {', '.join(without)} has none in "
                f"weights={weights!r}. Add it."
            )
        heights[np.setdiff1d(np.arange(HEAVIEST + 1), channels)] = np.nan
    return heights


def grid_shapes(lengths, spacing, plane="xyz", adjust=0.0, multiple=1):
    """Return the number of pixels along each axis, of shape (n_structures, d)."""
    multiple = _multiples(multiple, lengths.shape[1])
    pixels = lengths / spacing
    whole = np.maximum(np.rint(pixels / multiple), 1) * multiple
    wrong = np.argwhere(np.abs(pixels - whole) > max(adjust, ROUNDING) * whole)
    if wrong.size:
        k, axis = wrong[0]
        n, length = int(whole[k, axis]), lengths[k, axis]
        of = f"multiple of {multiple[axis]}" if multiple[axis] > 1 else "whole number"
        off = abs(length / n / spacing[axis] - 1)
        raise ValueError(
            f"Structure {k}: its cell is {length:.10g} Å along {plane[axis]}, which is "
            f"{pixels[k, axis]:.6f} pixels of {spacing[axis]:.10g} Å and must be a {of}. The "
            f"nearest spacing is {length / n:.10g} Å, the nearest cell is {n * spacing[axis]:.10g} "
            f"Å ({n} pixels). A fitted model needs its fitted spacing. To stretch pixels (here by "
            f"{100 * off:.2g} %, adjust={adjust:g}), fit a model to cells of many sizes with "
            "GaussianRasterizer(adjust=...)."
        )
    return whole.astype(np.int64)


def _multiples(multiple, n_axes):
    """Return the multiple of pixels along each axis."""
    each = (multiple,) * n_axes if isinstance(multiple, Integral) else tuple(multiple)
    if len(each) != n_axes or not all(isinstance(m, Integral) and m >= 1 for m in each):
        raise ValueError(
            "The 'multiple' parameter of GaussianRasterizer must be a positive integer or one for "
            f"each of the {n_axes} axes; got {multiple!r}."
        )
    return np.array(each)
