"""Symmetries of a problem, drawn at random for every batch of fields in training."""

from __future__ import annotations

import torch

from ..exceptions import TileModelError

SYMMETRIES = ("shift", "reflect", "rotate")


class RandomSymmetry:
    """Shift, reflect or rotate fields at random: what a total does not change under.

    The same operation is done to all fields that it is called with together. A periodic field
    shifted by less than a focus is cut into other tiles, though its total is the same: the network
    is taught what the tiling does not know.

    Parameters
    ----------
    tiling : GridTiling
    tile_shape : tuple of int
        Shape of a tile, ``(*window[, n_channels])``.
    kinds : sequence of {"shift", "reflect", "rotate"}
        "shift" is along periodic axes by whole sites below the focus; "reflect" along every grid
        axis; "rotate" by a multiple of a quarter turn in every plane of the grid, so that fields,
        focus and context must be equally long along all axes.

    Raises
    ------
    TileModelError
        Where the tiling does not allow a symmetry.
    """

    def __init__(self, tiling, tile_shape, kinds):
        kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        unknown = [kind for kind in kinds if kind not in SYMMETRIES]
        if unknown:
            raise TileModelError(f"Symmetries are among {SYMMETRIES}, got {unknown}.")
        self.focus = tiling.focus_shape(tuple(tile_shape))
        window = tuple(tile_shape[: len(self.focus)])
        self.kinds = kinds
        if "shift" in kinds and tiling.boundary != "periodic":
            raise TileModelError(
                f"A field with boundary={tiling.boundary!r} has ends, and is another field when it "
                "is shifted: leave 'shift' out."
            )
        if "rotate" in kinds and (len(set(self.focus)) > 1 or len(set(window)) > 1):
            raise TileModelError(
                f"Tiles of focus {self.focus} and window {window} do not look the same when they "
                "are rotated: leave 'rotate' out, or make them equally long along all axes."
            )

    def __call__(self, fields):
        """Return fields of shape (n, n_channels, *grid), all changed in one way."""
        axes = range(2, fields.ndim)
        if "shift" in self.kinds:
            shifts = [int(torch.randint(f, ())) for f in self.focus]
            fields = torch.roll(fields, shifts, tuple(axes))
        if "reflect" in self.kinds:
            flipped = [axis for axis in axes if torch.rand(()) < 0.5]
            fields = fields.flip(flipped) if flipped else fields
        if "rotate" in self.kinds:
            if len(set(fields.shape[2:])) > 1:
                raise TileModelError(
                    f"Fields of shape {tuple(fields.shape[2:])} have another shape when they are "
                    "rotated: leave 'rotate' out of the symmetries."
                )
            for axis in range(3, fields.ndim):
                fields = torch.rot90(fields, int(torch.randint(4, ())), (2, axis))
        return fields
