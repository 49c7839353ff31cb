"""Random symmetry operations for data augmentation in training."""

from __future__ import annotations

import torch

from ..exceptions import TileModelError

SYMMETRIES = ("shift", "reflect", "rotate")


class RandomSymmetry:
    """Shift, reflect or rotate fields at random, without changing their totals.

    All fields of a call are transformed by the same operation. A periodic field that is shifted by
    less than a focus is cut into other tiles but has the same total. The network thus learns a
    symmetry that the tiling breaks.

    Parameters
    ----------
    tiling : GridTiling
    tile_shape : tuple of int
        Shape of a tile, ``(*window[, n_channels])``.
    kinds : sequence of {"shift", "reflect", "rotate"}
        "shift" moves fields along periodic axes by fewer sites than the focus. "reflect" acts
        along every grid axis. "rotate" turns fields by multiples of 90 degrees in every plane of
        the grid; fields, focus and context must have equal lengths along all axes.

    Raises
    ------
    TileModelError
        If a symmetry does not suit the tiling.
    """

    def __init__(self, tiling, tile_shape, kinds):
        kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        unknown = [kind for kind in kinds if kind not in SYMMETRIES]
        if unknown:
            raise TileModelError(f"symmetries must be among {SYMMETRIES}, got {unknown}.")
        self.focus = tiling.focus_shape(tuple(tile_shape))
        window = tuple(tile_shape[: len(self.focus)])
        self.kinds = kinds
        if "shift" in kinds and tiling.boundary != "periodic":
            raise TileModelError(
                f"A field with boundary={tiling.boundary!r} has ends and changes when it is "
                "shifted. Leave out 'shift'."
            )
        if "rotate" in kinds and (len(set(self.focus)) > 1 or len(set(window)) > 1):
            raise TileModelError(
                f"Tiles with focus {self.focus} and window {window} change their shape when they "
                "are rotated. Leave out 'rotate', or make them equally long along all axes."
            )

    def __call__(self, fields):
        """Apply one random operation to all fields, of shape (n, n_channels, *grid)."""
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
                    f"Fields of shape {tuple(fields.shape[2:])} change their shape when they are "
                    "rotated. Leave out 'rotate' from symmetries."
                )
            for axis in range(3, fields.ndim):
                fields = torch.rot90(fields, int(torch.randint(4, ())), (2, axis))
        return fields
