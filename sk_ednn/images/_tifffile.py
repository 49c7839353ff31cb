"""TIFF of microscopes: 8 to 32 bits, stacks, ImageJ and OME axes, slides read by regions."""

from __future__ import annotations

import logging
import re
import struct
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from .._utils.memory import require_memory
from .._utils.optional import needing
from ..fields._chunks import FILL
from ..fields._packing import Packing
from ._checks import PictureError
from ._picture import READ_WHOLE_BYTES, Picture, reason_of
from ._pillow import OPAQUE, ORIENTATION, TURNED, opaque
from ._pixel_size import of_tiff

# Axes of tifffile that contain planes of a stack: Z, and pages without a name.
_PLANES = "ZQI"
# Tags of GDAL: the mark of missing values, and XML with scales of the numbers.
_NODATA, _METADATA = 42113, 42112
_ROLES = re.compile(r'<Item[^>]*role="(scale|offset)"[^>]*>\s*([^<\s]+)\s*</Item>')
_LOG = logging.getLogger("tifffile")
_MEANINGS = {"T": "times", "P": "positions", "R": "tiles", "H": "phases", "L": "lifetimes"}


def open_tiff(path: str, name: str, missing_chunks="error") -> Picture:
    """Return the picture of a TIFF file; its pixels are read when they are used.

    The finest level of a pyramid is taken.

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
        import tifffile
    if not _LOG.handlers:
        # Damage is an error here; without a handler, Python prints the log of the library too.
        _LOG.addHandler(logging.NullHandler())
    try:
        with tifffile.TiffFile(path) as file:
            if not file.series:
                raise PictureError(f"{name}: the file contains no picture.")
            # A preview may come first, which is marked as smaller.
            full = [k for k, each in enumerate(file.series) if not each.keyframe.is_reduced] or [0]
            series = file.series[full[0]].levels[0]
            _require_all_pages(file, series, name)
            if missing_chunks == "error":
                _require_all_pieces(series, name)
            axes, shape = series.axes, tuple(series.shape)
            page = series.keyframe
            photometric = getattr(page.photometric, "name", str(page.photometric))
            extra = [getattr(each, "name", str(each)) for each in page.extrasamples or ()]
            dtype = np.dtype(series.dtype)
            n_bytes = int(series.size) * dtype.itemsize
            in_pieces = page.is_tiled or len(page.dataoffsets) > 1 or len(series.pages) > 1
            is_turned = ORIENTATION in page.tags and page.tags[ORIENTATION].value not in (0, 1)
            needs = _missing_codec(page)
            packing, undecided = _packing(page, dtype, name)
            size = of_tiff(file, full[0], tifffile.xml2dict)
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(f"{name}: the file cannot be read ({reason_of(error)}).") from error
    if needs is not None:
        raise PictureError(
            f"{name}: its compression, {needs}, is read by another library: pip install "
            "imagecodecs. Or save it uncompressed."
        )
    if photometric == "PALETTE":
        raise PictureError(
            f"{name}: the picture has a palette, so its numbers are not intensities. Save it "
            "as RGB."
        )
    if photometric not in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR"):
        what = "of printing (CMYK)" if photometric == "SEPARATED" else photometric
        raise PictureError(f"{name}: the colours are {what}. Save it as RGB.")
    layout = layout_of(axes, shape, name)
    has_alpha = bool(extra) and extra[-1] != "UNSPECIFIED" and "S" in axes
    if has_alpha and extra[-1] == "ASSOCALPHA":
        raise PictureError(
            f"{name}: the colours are multiplied by their opacity. Save it without alpha."
        )
    by_region = in_pieces and n_bytes > READ_WHOLE_BYTES
    n_channels = layout.n_channels - has_alpha
    inverted = photometric == "MINISWHITE"
    reader = _Tiff(path, name, layout, has_alpha, inverted, by_region, n_bytes, packing, full[0])
    notes = [OPAQUE] * has_alpha + ["it is stored inverted, and was turned"] * inverted
    notes += [TURNED] * is_turned
    if undecided is not None:
        notes.append(
            f"it declares {undecided} as missing (GDAL_NODATA), which is also black or white: such "
            "pixels were taken for part of the picture; cut them away if they are not"
        )
    if len(full) > 1:
        notes.append(f"the first of {len(full)} pictures in the file was taken")
    if inverted and dtype.kind not in "iu":
        raise PictureError(f"{name}: white is 0, and there is no number for black. Invert it.")
    grid = tuple(shape[k] for k in layout.grid)
    is_rgb = n_channels == 3 and photometric in ("RGB", "YCBCR") and "S" in axes
    return Picture(
        name, (*grid, n_channels), dtype, reader, path, tuple(notes), by_region,
        is_rgb=is_rgb, pixel_size=size,
    )  # fmt: skip


def _require_all_pages(file, series, name) -> None:
    """Raise if pages are beyond the end of the file, or in other files.

    tifffile ends a stack at the first page that it cannot read, and reads zeros for files of an
    OME set that are not there.
    """
    if series.is_multifile or any(page is None for page in series.pages):
        raise PictureError(
            f"{name}: its planes are in several files. Save the picture in one file."
        )
    offsets = [file.pages[k].offset for k in range(len(file.pages))]
    tiff, handle = file.tiff, file.filehandle
    handle.seek(offsets[-1])
    (n_tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(n_tags * tiff.tagsize, 1)
    content = handle.read(tiff.offsetsize)
    following = 1
    if len(content) == tiff.offsetsize:
        (following,) = struct.unpack(tiff.offsetformat, content)
    if following and following not in offsets:
        raise PictureError(
            f"{name}: the file ends or is damaged after {len(offsets)} of its pages. Copy it again."
        )


def _require_all_pieces(series, name) -> None:
    """Raise where strips or tiles are not in the file, which tifffile reads as zeros."""
    for page in series.pages:
        counts = np.asarray(page.databytecounts)
        if len(counts) and not counts.all():
            raise PictureError(
                f"{name}: {int((counts == 0).sum())} of {len(counts)} tiles are not in the file. "
                f"If they were left out because they contain nothing but zeros, {FILL}."
            )


def _packing(page, dtype, name):
    """Return which values mark missing ones, as GDAL declares them in a GeoTIFF; None for none.

    And a declared value that may as well be black or white; None for none.

    Raises
    ------
    PictureError
        If the numbers are scaled.
    """
    tags = {code: page.tags[code].value for code in (_NODATA, _METADATA) if code in page.tags}
    attributes = {}
    if _NODATA in tags:
        attributes["nodata"] = str(tags[_NODATA]).strip("\0 ")
    for role, number in _ROLES.findall(str(tags.get(_METADATA, ""))):
        attributes["scale_factor" if role == "scale" else "add_offset"] = number
    undecided = None
    # Black or white without a part of the picture is usual in bytes, and black in it too.
    if dtype.kind == "u" and attributes.get("nodata") in ("0", str(np.iinfo(dtype).max)):
        undecided = attributes.pop("nodata")
    try:
        packing = Packing.of(SimpleNamespace(attrs=attributes, dtype=dtype), "the picture")
    except ValueError as error:
        raise PictureError(f"{name}: {error}") from error
    return packing, undecided


def _missing_codec(page) -> str | None:
    """Return the name of a compression that needs more than tifffile, or None."""
    if page.compression in (1, 8, 32946, 32773):  # none, zlib, packbits
        if page.predictor in (1, 2, 3):
            return None
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return getattr(page.compression, "name", str(page.compression))
    return None


@dataclass(frozen=True)
class _Layout:
    """Axes of a file: those of the grid, and those that contain channels.

    Attributes
    ----------
    grid : tuple of int
        Axes of the file, in the order of the picture.
    channel : int or None
    ndim : int
        Number of axes of the file.
    n_channels : int
    """

    grid: tuple[int, ...]
    channel: int | None
    ndim: int
    n_channels: int

    def to_file(self, slices) -> tuple:
        """Return slices of the file for those of the picture, single numbers for other axes."""
        out: list = [0] * self.ndim
        for axis, part in zip(self.grid, slices[:-1], strict=True):
            out[axis] = part
        if self.channel is not None:
            out[self.channel] = slices[-1]
        return tuple(out)

    def to_picture(self, values) -> np.ndarray:
        """Return what these slices of the file contain, channels last."""
        kept = sorted([*self.grid, *([] if self.channel is None else [self.channel])])
        order = [kept.index(axis) for axis in self.grid]
        if self.channel is None:
            return values.transpose(order)[..., None]
        return values.transpose([*order, kept.index(self.channel)])


def layout_of(axes, shape, name) -> _Layout:
    """Return which axes of a file are the picture's; raise where it is not a single picture.

    Parameters
    ----------
    axes : str
        A letter for each axis, as tifffile has them: Y, X, Z, C, S (colours), T, and others.
    shape : tuple of int
    name : str
        For messages.
    """
    axis_index: dict[str, int] = {}
    planes = []
    for k, (axis, length) in enumerate(zip(axes, shape, strict=True)):
        if axis in "YXCS":
            axis_index[axis] = k
        elif axis in _PLANES and length > 1:
            planes.append(k)
        elif length > 1:
            what = _MEANINGS.get(axis, f"entries along the axis {axis}")
            raise PictureError(
                f"{name}: the file has {length} {what}, but one count. Save one picture per file."
            )
    if "Y" not in axis_index or "X" not in axis_index:
        raise PictureError(f"{name}: axes {axes} of shape {shape} are not those of a picture.")
    if len(planes) > 1:
        raise PictureError(f"{name}: two axes of planes, {axes} of shape {shape}; one is a stack.")
    channels = [axis for axis in "CS" if axis in axis_index and shape[axis_index[axis]] > 1]
    if len(channels) > 1:
        raise PictureError(
            f"{name}: channels and colours at once, axes {axes} of shape {shape}. Save it with one "
            "axis of channels."
        )
    single = [axis for axis in "SC" if axis in axis_index]
    channel = axis_index[channels[0]] if channels else (axis_index[single[0]] if single else None)
    n_channels = 1 if channel is None else shape[channel]
    return _Layout((*planes, axis_index["Y"], axis_index["X"]), channel, len(shape), n_channels)


class _Tiff:
    """Read a region of a TIFF file: the pieces that it touches, or the whole file."""

    def __init__(self, path, name, layout, has_alpha, inverted, by_region, n_bytes, packing=None,
                 series=0):  # fmt: skip
        self.path, self.name, self.layout = path, name, layout
        self.has_alpha, self.inverted = has_alpha, inverted
        self.by_region, self.n_bytes, self.packing = by_region, n_bytes, packing
        self.series = series
        self._opened = None

    def __call__(self, slices):
        if self.has_alpha:
            *grid, channels = slices
            slices = (*grid, slice(0, self.layout.n_channels))
        wanted = self.layout.to_file(slices)
        values = self._pieces()[wanted] if self.by_region else self._whole()[wanted]
        values = self.layout.to_picture(np.asarray(values))
        if self.packing is not None:
            try:
                self.packing.require_values(values, "the picture")
            except ValueError as error:
                raise PictureError(f"{self.name}: {error}") from error
        if self.has_alpha:
            values = opaque(values, self.name)[..., channels]
        if self.inverted:
            values = np.iinfo(values.dtype).max - values
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _whole(self):
        import tifffile

        require_memory(
            2 * self.n_bytes, f"{self.name}, read whole,",
            "Save it as a tiled TIFF or as OME-Zarr, which are read by regions.",
        )  # fmt: skip
        with tifffile.TiffFile(self.path) as file:
            return file.series[self.series].levels[0].asarray()

    def _pieces(self):
        if self._opened is None:
            with needing(f"Reading {self.name} by regions", extra="images"):
                import zarr
            import tifffile

            store = tifffile.imread(self.path, aszarr=True, series=self.series, level=0)
            self._opened = zarr.open(store, mode="r")
        return self._opened

    def __getstate__(self):
        """Return the state without the open file."""
        return {**self.__dict__, "_opened": None}
