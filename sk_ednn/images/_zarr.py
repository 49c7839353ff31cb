"""OME-Zarr, and plain zarr arrays, read by regions."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.optional import needing
from .._utils.writing import replacing_folder
from ..fields._array_source import ArraySource
from ..fields._zarr import require_plain_files
from ._arrays import channels_last
from ._checks import PictureError
from ._picture import Picture, reason_of
from ._pixel_size import of_ome_zarr
from ._tifffile import layout_of

_CHUNK = 1024  # tiles along an axis of a map
_MARK = "sk_ednn map"  # attribute of folders that may be replaced
_LETTERS = {"z": "Z", "y": "Y", "x": "X", "c": "C", "t": "T"}


def is_zarr(path: Path) -> bool:
    """Return True if a folder is a zarr array or group."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs"))


def open_zarr(path: str, name: str, missing_chunks="error") -> Picture:
    """Return the picture of a zarr folder: of OME-Zarr the finest level.

    Parameters
    ----------
    path : str
    name : str
        For messages.
    missing_chunks : {"error", "fill"}, default="error"
        See `read_pictures`.

    Raises
    ------
    PictureError
    """
    with needing(f"Reading {name}", extra="images"):
        import zarr
    try:
        # Before zarr opens it, since its metadata may be pipes.
        require_plain_files(Path(path))
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
            array, size = node[level], of_ome_zarr(scales[0])
        else:
            axes, array, level, size = "", node, None, None
        ArraySource(array)  # raises where its numbers are packed
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"{name}: the folder cannot be read ({reason_of(error)}).") from error
    inside = None if level is None else str(level)
    if axes and len(axes) == array.ndim:
        layout = layout_of(axes, tuple(array.shape), name)
        grid = tuple(array.shape[k] for k in layout.grid)
        reader = _Zarr(path, name, inside, missing_chunks, layout)
        shape = (*grid, layout.n_channels)
        return Picture(
            name, shape, np.dtype(array.dtype), reader, path, by_region=True, pixel_size=size
        )
    expand = channels_last(tuple(array.shape), name)
    shape = tuple(array.shape) + (1,) * expand
    reader = _Zarr(path, name, inside, missing_chunks, None, expand)
    return Picture(name, shape, np.dtype(array.dtype), reader, path, by_region=True)


def _letter(axis) -> str:
    name = axis.get("name", "?") if isinstance(axis, dict) else str(axis)
    return _LETTERS.get(name.lower(), "U")


class _Zarr:
    """Read a region of a zarr array, under the rule of `ArraySource`."""

    def __init__(self, path, name, inside, missing_chunks, layout, expand=False):
        self.path, self.name, self.inside = path, name, inside
        self.missing_chunks, self.layout, self.expand = missing_chunks, layout, expand
        self._opened = None

    def __call__(self, slices):
        try:
            if self.layout is not None:
                return self.layout.to_picture(self._read(self.layout.to_file(slices)))
            if self.expand:
                return self._read(slices[:-1])[..., None][..., slices[-1]]
            return self._read(slices)
        except FileNotFoundError as error:  # of a chunk; the message has the remedy
            raise PictureError(f"{self.name}: {error}") from error

    def _read(self, index):
        """Return the box of an index of slices, and of numbers for axes that are left out."""
        if self._opened is None:
            import zarr

            node: Any = zarr.open(self.path, mode="r")
            array = node if self.inside is None else node[self.inside]
            self._opened = ArraySource(array, missing_chunks=self.missing_chunks)
        box = tuple(slice(part, part + 1) if isinstance(part, int) else part for part in index)
        within = tuple(0 if isinstance(part, int) else slice(None) for part in index)
        return self._opened.read(box)[within]

    def __getstate__(self):
        """Return the state without the open store."""
        return {**self.__dict__, "_opened": None}


class MapWriter:
    """Write a map as OME-Zarr, one pixel a tile, region by region.

    A context manager: the folder appears when it is left without an error, and replaces an earlier
    map then. Called with a region, a tuple of slices of the tile grid, and its contributions
    (*region, n_outputs).

    Parameters
    ----------
    path : str or Path
        A folder that does not exist yet, or an earlier map.
    name : str
        Name of the picture.
    tile_grid : tuple of int
    focus : tuple of int
        Pixels of a tile along each axis: the scale that is stored.
    n_outputs : int
        With several, the first axis has them.
    pixel_size : PixelSize, default=None
        Of the picture. The scale is then that of a tile in µm, and in pixels otherwise.

    Raises
    ------
    FileExistsError
        If the folder is something else.
    """

    def __init__(self, path, name, tile_grid, focus, n_outputs, pixel_size=None):
        require_map_or_nothing(path)
        self.path, self.name, self.tile_grid = Path(path), name, tuple(tile_grid)
        self.several, size = n_outputs > 1, pixel_size
        # All axes have one unit, so that the shape of a tile is right.
        self.in_um = size is not None and (len(tile_grid) < 3 or size.z is not None)
        lengths = [size.z, size.y, size.x][-len(tile_grid) :] if self.in_um else [1.0] * len(focus)
        self.scale = [float(n * length) for n, length in zip(focus, lengths, strict=True)]
        self.shape = (n_outputs, *self.tile_grid) if self.several else self.tile_grid
        self._stack = ExitStack()

    def __enter__(self):
        """Create the folder under a temporary name."""
        with needing("Writing a map as OME-Zarr", extra="images"):
            import zarr
        with ExitStack() as stack:
            group = zarr.open_group(str(stack.enter_context(replacing_folder(self.path))), mode="w")
            # Chunks of zeros are written too: our readers take a missing chunk for lost.
            self._array = group.create_array(
                "0", shape=self.shape, chunks=tuple(min(n, _CHUNK) for n in self.shape),
                dtype="float32", config={"write_empty_chunks": True},
            )  # fmt: skip
            letters = "zyx"[-len(self.tile_grid) :]
            axes = [{"name": "c", "type": "channel"}] * self.several
            unit = {"unit": "micrometer"} if self.in_um else {}
            axes += [{"name": each, "type": "space", **unit} for each in letters]
            scale = [1.0] * self.several + self.scale
            transformations = [{"type": "scale", "scale": scale}]
            datasets = [{"path": "0", "coordinateTransformations": transformations}]
            multiscales = [{"name": self.name, "axes": axes, "datasets": datasets}]
            group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
            group.attrs[_MARK] = True
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        """Rename the folder to its final name, or remove it after an error."""
        return self._stack.__exit__(*error)

    def __call__(self, region, values):
        """Write the contributions of a region."""
        values = np.moveaxis(values, -1, 0) if self.several else values[..., 0]
        place = ((slice(None),) if self.several else ()) + tuple(region)
        self._array[place] = values.astype(np.float32)


def require_map_or_nothing(path) -> None:
    """Raise if a folder exists and is not a map of `MapWriter`.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    FileExistsError
    """
    path = Path(path)
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not _is_map(path):
        raise FileExistsError(f"{path} exists, and is not a map: give another folder.")


def _is_map(path) -> bool:
    try:
        content = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        return content["attributes"][_MARK] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False
