"""Fields of atoms in torch, differentiable with respect to positions and cell."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ..structures._cells import AXES
from ..structures._structure import Structure, gather
from ._gaussians import nearest_pixel
from ._lattice import pixel_stencil

# Largest relative change of the spacing, since windows are those of the fitted spacing.
_STRAIN = 0.1


class TorchRasterizer(torch.nn.Module):
    """Draw a structure as a field that torch can differentiate, any number of times.

    The field equals that of the rasteriser. It is differentiable with respect to the positions and
    the cell, and computed on their device.

    Parameters
    ----------
    rasterizer : GaussianRasterizer
        Fitted.

    Notes
    -----
    Pixels are at fixed fractions of the edges of the cell, so the gradient with respect to the
    cell, at fixed positions, is that of a field on strained pixels. The choice of the pixels in
    which an atom is drawn has no derivative; fields are continuous up to the truncation at the
    cutoff. Numbers, positions and cell are checked on the CPU, as in the rasteriser.

    On CUDA the order of sums is not fixed, so the last bits may differ from run to run.

    Examples
    --------
    The force between two Gaussians, as the gradient of the integral of the squared field:

    >>> import numpy as np, torch
    >>> from sk_ednn.atoms import GaussianRasterizer, TorchRasterizer
    >>> from sk_ednn.structures import Structure
    >>> pair = Structure([1, 1], [[1.0, 1.0], [1.4, 1.0]], [4.0, 4.0])
    >>> draw = TorchRasterizer(GaussianRasterizer(0.1, 0.2).fit([pair]))
    >>> positions = torch.tensor(pair.positions, dtype=torch.float64, requires_grad=True)
    >>> field = draw(pair.numbers, positions, torch.tensor([4.0, 4.0]))
    >>> (gradient,) = torch.autograd.grad((field**2).sum() * 0.1**2, positions)
    >>> overlap = 2 * np.pi * 0.2**2 * np.exp(-(0.4**2) / (4 * 0.2**2))
    >>> print(f"{gradient[0, 0]:.6f} {overlap * 0.4 / (2 * 0.2**2):.6f}")
    0.462291 0.462291
    """

    # Pixels of windows in a block: 128 MB of float64.
    pixels_per_block = 2**24

    def __init__(self, rasterizer):
        super().__init__()
        check_is_fitted(rasterizer)
        self.rasterizer = rasterizer

    def forward(self, numbers, positions, cell, shape=None, pbc=None):
        """Draw one structure.

        Parameters
        ----------
        numbers : array-like of int of shape (n_atoms,)
            Atomic numbers.
        positions : Tensor of shape (n_atoms, 2) or (n_atoms, 3), in Å
            A floating type, which is also that of the field.
        cell : Tensor of shape (2,), (3,), (2, 2) or (3, 3), in Å
            Edge lengths, or edge vectors as rows. It is periodic along the axes along which the
            fitted structures are.
        shape : sequence of int, default=None
            Pixels along each axis, for a strained cell: pixels may be a tenth longer or shorter
            than the fitted ones, and have other angles. With ``None`` the cell must be a whole
            number of fitted pixels.
        pbc : bool, or array-like of bool of shape (3,), default=None
            Whether the cell is periodic along x, y and z, for the checks of coincident atoms and
            flat structures. ``None`` means the fitted value along the axes of the field, and False
            along the normal of a plane.

        Returns
        -------
        Tensor of shape (nx, ny) or (nx, ny, nz), and n_channels last if there are channels

        Raises
        ------
        ValueError
            If the structure cannot be drawn; see `GaussianRasterizer.transform`.
        """
        draw, axes = self.rasterizer, list(AXES[self.rasterizer.plane])
        shape, atoms = self._checked(numbers, positions, cell, shape, pbc)
        edges = torch.diag(cell) if cell.ndim == 1 else cell
        edges = edges[axes][:, axes].to(positions)
        grid = positions.new_tensor(shape)
        scaled = positions[:, axes] @ torch.linalg.inv(edges)
        # The same period and pixel as in the rasteriser, independent of rounding at borders.
        pixel, _ = nearest_pixel(atoms.scaled * shape)
        periods = torch.round(scaled.detach() - positions.new_tensor(atoms.scaled))
        pixel = torch.as_tensor(pixel, device=positions.device)
        fraction = (scaled - periods) * grid - pixel
        metric = (edges / grid[:, None]) @ (edges / grid[:, None]).T / draw.width**2

        n_channels = 1 if draw.channels_ is None else len(draw.channels_)
        channels = torch.as_tensor(draw._channel_of(atoms.numbers), device=positions.device)
        heights = positions.new_tensor(draw._heights[atoms.numbers])
        spacing = draw._spacings(atoms.lengths, np.array([shape]))[0]
        stencil = pixel_stencil(draw, spacing)
        field = positions.new_zeros(int(np.prod(shape)) * n_channels)
        step = max(1, self.pixels_per_block // stencil.size)
        for start in range(0, len(pixel), step):
            some = slice(start, start + step)
            values = _windows(stencil, metric, fraction[some], heights[some])
            # Index of each pixel in the flat array of pixels and channels.
            place, inside = _places(stencil, pixel[some], shape, draw.periodic_)
            place = place * n_channels + channels[some].reshape(-1, *[1] * len(shape))
            if not all(draw.periodic_):
                values = values * inside
            field = field.index_add(0, place.flatten(), values.flatten())
        return field.reshape(*shape, *([] if draw.channels_ is None else [n_channels]))

    def _checked(self, numbers, positions, cell, shape, pbc):
        """Return the number of pixels and the validated atoms."""
        draw = self.rasterizer
        if not torch.is_tensor(positions) or not torch.is_tensor(cell):
            raise TypeError(
                f"Expected positions and cell as tensors, got {type(positions).__name__} and "
                f"{type(cell).__name__}. Use GaussianRasterizer for arrays."
            )
        if torch.is_tensor(numbers):
            numbers = numbers.detach().cpu().numpy()
        if pbc is None:
            pbc = [False] * 3
            for axis, repeats in zip(AXES[draw.plane], draw.periodic_, strict=True):
                pbc[axis] = repeats
        arrays = (t.detach().cpu().double().numpy() for t in (positions, cell))
        structure = Structure(numbers, *arrays, pbc)
        if shape is None:
            atoms = draw._gathered([structure])
            return tuple(draw._shapes(atoms.lengths)[0].tolist()), atoms
        atoms = gather([structure], draw.plane, draw.slab)
        draw._check_species(atoms)
        if atoms.periodic[0].tolist() != list(draw.periodic_):
            raise ValueError(
                f"Expected a structure with periodic axes {list(draw.periodic_)} along "
                f"{draw.plane}, as fitted; got {atoms.periodic[0].tolist()}. Set pbc."
            )
        shape = tuple(int(n) for n in shape)
        if len(shape) != len(draw.spacing_) or min(shape) < 1:
            raise ValueError(
                f"shape must be a number of pixels for each of the axes {draw.plane}; got {shape}."
            )
        spacing = atoms.lengths[0] / shape
        if np.any(np.abs(spacing / draw.spacing_ - 1) > _STRAIN):
            raise ValueError(
                f"A cell with edges of {atoms.lengths[0].tolist()} Å in {shape} pixels has a "
                f"spacing of {spacing.tolist()} Å, more than a tenth from the fitted "
                f"{list(draw.spacing_)} Å. Choose another shape."
            )
        return shape, atoms


def _windows(stencil, metric, fraction, heights):
    """Return Gaussians at the pixels of their windows, of shape (n, *window)."""
    n_axes = fraction.shape[1]
    offsets = [fraction.new_tensor(along) for along in stencil.offsets]
    mesh = torch.stack(torch.meshgrid(*offsets, indexing="ij"), dim=-1)
    slope = fraction @ metric
    exponent = -((mesh @ metric) * mesh).sum(-1) / 2
    exponent = exponent - (slope * fraction).sum(-1).reshape(-1, *[1] * n_axes) / 2
    for axis, along in enumerate(offsets):
        form = (-1, *[1] * axis, len(along), *[1] * (n_axes - axis - 1))
        exponent = exponent + (slope[:, axis, None] * along).reshape(form)
    return torch.exp(exponent) * heights.reshape(-1, *[1] * n_axes)


def _places(stencil, pixel, shape, periodic):
    """Return flat indices of the pixels of windows, and whether they are in the grid."""
    place, inside = torch.zeros((), dtype=torch.int64, device=pixel.device), True
    for axis, (n, offsets) in enumerate(zip(shape, stencil.offsets, strict=True)):
        along = pixel[:, axis, None] + torch.as_tensor(offsets, device=pixel.device)
        along = along.reshape(-1, *[1] * axis, len(offsets), *[1] * (len(shape) - axis - 1))
        if periodic[axis]:
            along = along % n
        else:
            inside = inside & (along >= 0) & (along < n)
            along = along.clamp(0, n - 1)
        place = place * n + along
    return place, inside
