"""OME-Zarr, and plain zarr arrays, read by regions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._utils.optional import needing
from ._arrays import channels_last
from ._checks import PictureError
from ._picture import Picture, reason_of
from ._tifffile import layout_of

_CHUNK = 1024  # tiles along an axis of a map
_LETTERS = {"z": "Z", "y": "Y", "x": "X", "c": "C", "t": "T"}


def is_zarr(path: Path) -> bool:
    """Return True if a folder is a zarr array or group."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs"))


def open_zarr(path: str, name: str) -> Picture:
    """Return the picture of a zarr folder: of OME-Zarr the finest level.

    Parameters
    ----------
    path : str
    name : str
        For messages.

    Raises
    ------
    PictureError
    """
    with needing(f"Reading {name}", extra="images"):
        import zarr
    try:
        node: Any = zarr.open(path, mode="r")
        attributes: Any = dict(node.attrs)
        attributes = attributes.get("ome", attributes)
        if not hasattr(node, "dtype"):
            scales = attributes.get("multiscales")
            if not scales:
                raise PictureError(
                    f"{name}: a zarr group that is not an OME-Zarr. Name the array in it, such as "
                    f"{name}/0."
                )
            level = scales[0]["datasets"][0]["path"]
            axes = "".join(_letter(axis) for axis in scales[0].get("axes", ()))
            array = node[level]
        else:
            axes, array, level = "", node, None
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"{name}: the folder cannot be read ({reason_of(error)}).") from error
    inside = None if level is None else str(level)
    if axes and len(axes) == array.ndim:
        layout = layout_of(axes, tuple(array.shape), name)
        grid = tuple(array.shape[k] for k in layout.grid)
        reader = _Zarr(path, inside, layout)
        shape = (*grid, layout.n_channels)
        return Picture(name, shape, np.dtype(array.dtype), reader, path, by_region=True)
    expand = channels_last(tuple(array.shape), name)
    shape = tuple(array.shape) + (1,) * expand
    reader = _Zarr(path, inside, None, expand)
    return Picture(name, shape, np.dtype(array.dtype), reader, path, by_region=True)


def _letter(axis) -> str:
    name = axis.get("name", "?") if isinstance(axis, dict) else str(axis)
    return _LETTERS.get(name.lower(), "U")


class _Zarr:
    """Read a region of a zarr array."""

    def __init__(self, path, inside, layout, expand=False):
        self.path, self.inside, self.layout, self.expand = path, inside, layout, expand
        self._opened = None

    def __call__(self, slices):
        if self._opened is None:
            import zarr

            node = zarr.open(self.path, mode="r")
            self._opened = node if self.inside is None else node[self.inside]
        if self.layout is not None:
            return self.layout.to_picture(np.asarray(self._opened[self.layout.to_file(slices)]))
        if self.expand:
            return np.asarray(self._opened[slices[:-1]])[..., None]
        return np.asarray(self._opened[slices])

    def __getstate__(self):
        """Leave the open store behind."""
        return {**self.__dict__, "_opened": None}


def map_writer(path, name, tile_grid, focus, n_outputs):
    """Create an OME-Zarr folder for a map, one pixel a tile; return what writes a region of it.

    Parameters
    ----------
    path : str or Path
        A folder that does not exist yet, or an earlier map, which is replaced.
    name : str
        Name of the picture.
    tile_grid : tuple of int
    focus : tuple of int
        Pixels of a tile along each axis: the scale that is stored.
    n_outputs : int
        With several, the first axis has them.

    Returns
    -------
    function
        Takes a region, a tuple of slices of the tile grid, and its contributions
        (*region, n_outputs).

    Raises
    ------
    FileExistsError
        Where the folder is something else.
    """
    with needing("Writing a map as OME-Zarr", extra="images"):
        import zarr
    if Path(path).exists() and not is_zarr(Path(path)):
        raise FileExistsError(f"{path} exists, and is not a map: give another folder.")
    letters = "zyx"[-len(tile_grid) :]
    several = n_outputs > 1
    shape = (n_outputs, *tile_grid) if several else tuple(tile_grid)
    chunks = tuple(min(n, _CHUNK) for n in shape)
    group = zarr.open_group(str(path), mode="w")
    array = group.create_array("0", shape=shape, chunks=chunks, dtype="float32", overwrite=True)
    axes = [{"name": "c", "type": "channel"}] * several
    axes += [{"name": each, "type": "space"} for each in letters]
    scale = [1.0] * several + [float(f) for f in focus]
    transformations = [{"type": "scale", "scale": scale}]
    datasets = [{"path": "0", "coordinateTransformations": transformations}]
    multiscales = [{"name": name, "axes": axes, "datasets": datasets}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}

    def write(region, values):
        values = np.moveaxis(values, -1, 0) if several else values[..., 0]
        array[((slice(None),) if several else ()) + tuple(region)] = values.astype(np.float32)

    return write
