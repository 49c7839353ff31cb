"""The size of a pixel, as files of pictures state it."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Micrometres in units of length, as ImageJ, OME and OME-Zarr write them.
_UNITS = {
    "nm": 1e-3, "nanometer": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6,
    "meter": 1e6, "inch": 25400.0, "in": 25400.0, "\\u00b5m": 1.0,
}  # fmt: skip
# Of the tag ResolutionUnit.
_OF_TAG = {2: 25400.0, 3: 1e4}
_UM_PER_M = 1e6


@dataclass(frozen=True)
class PixelSize:
    """Lengths of a pixel in µm.

    Attributes
    ----------
    y, x : float
    z : float or None
        Distance of the planes of a stack; None where it is not known.

    Examples
    --------
    >>> from sk_ednn.images._pixel_size import PixelSize
    >>> PixelSize(0.5, 0.25).times((4, 4))
    PixelSize(y=2.0, x=1.0, z=None)
    """

    y: float
    x: float
    z: float | None = None

    def times(self, focus) -> PixelSize:
        """Return the size of so many pixels along each axis, (z,) y and x."""
        *planes, y, x = focus
        z = self.z if self.z is None or not planes else self.z * planes[0]
        return PixelSize(self.y * y, self.x * x, z)

    @property
    def per_inch(self) -> tuple[float, float]:
        """Pixels per inch along x and y, as Pillow writes them."""
        return _UNITS["inch"] / self.x, _UNITS["inch"] / self.y

    @property
    def per_cm(self) -> tuple[float, float]:
        """Pixels per cm along x and y, as tifffile writes them."""
        return _UNITS["cm"] / self.x, _UNITS["cm"] / self.y


def pixel_size(y, x, z=None, *, unit) -> PixelSize | None:
    """Return the size of a pixel; None where a length or the unit is none.

    Parameters
    ----------
    y, x : float or str
    z : float or str, default=None
    unit : str or sequence of str
        One for all, or those of y, x and z.

    Examples
    --------
    >>> from sk_ednn.images._pixel_size import pixel_size
    >>> pixel_size(0.5, "500", z=2, unit=("micron", "nm", "mm"))
    PixelSize(y=0.5, x=0.5, z=2000.0)
    >>> pixel_size(1, 1, unit="pixel"), pixel_size(0, 1, unit="mm")
    (None, None)
    """
    units = (unit,) * 3 if isinstance(unit, str) or unit is None else tuple(unit)
    of_y, of_x, of_z = (_um(*each) for each in zip((y, x, z), units, strict=True))
    return None if of_y is None or of_x is None else PixelSize(of_y, of_x, of_z)


def _um(length, unit) -> float | None:
    factor = _UNITS.get(str(unit).strip().lower())
    try:
        value = float(length) * (math.nan if factor is None else factor)
    except (TypeError, ValueError):
        return None
    # Files have fractions of whole numbers: digits beyond these are of rounding.
    return float(f"{value:.9g}") if 0 < value < math.inf else None


def of_tiff(file, series, parsed) -> PixelSize | None:
    """Return the size of a pixel that a TIFF file states: OME, ImageJ, or the tags of its page.

    Parameters
    ----------
    file : tifffile.TiffFile
    series : int
    parsed : function
        Returns the dict of an XML: `tifffile.xml2dict`.
    """
    try:
        ome = file.ome_metadata
        if ome and (size := _of_ome(parsed(ome), series)) is not None:
            return size
        page = file.series[series].levels[0].keyframe
        tags = [page.tags.get(name) for name in ("XResolution", "YResolution")]
        per_x, per_y = (0.0 if tag is None else tag.value[0] / tag.value[1] for tag in tags)
        if file.imagej_metadata:
            unit, z = (file.imagej_metadata.get(name) for name in ("unit", "spacing"))
            if unit is not None:
                return pixel_size(1 / per_y, 1 / per_x, z, unit=unit)
        unit_tag = page.tags.get("ResolutionUnit")
        factor = _OF_TAG.get(int(unit_tag.value)) if unit_tag is not None else None
        return None if factor is None else pixel_size(factor / per_y, factor / per_x, unit="um")
    except Exception:
        return None  # what a file says of its pixels may be anything, and is not needed


def _of_ome(content, series) -> PixelSize | None:
    images = content["OME"]["Image"]
    pixels = (images[series] if isinstance(images, list) else images)["Pixels"]
    names = [f"PhysicalSize{axis}" for axis in "YXZ"]
    units = [pixels.get(f"{name}Unit", "µm") for name in names]
    return pixel_size(*(pixels.get(name) for name in names), unit=units)


def of_png(info) -> PixelSize | None:
    """Return the size of a pixel that a PNG states.

    Parameters
    ----------
    info : dict
        Of Pillow: "dpi" is of the chunk pHYs, where that is in metres.

    Examples
    --------
    >>> from sk_ednn.images._pixel_size import of_png
    >>> of_png({"dpi": (254.0, 508.0)}), of_png({})
    (PixelSize(y=50.0, x=100.0, z=None), None)
    """
    try:
        per_x, per_y = info["dpi"]
        return pixel_size(1 / per_y, 1 / per_x, unit="inch")
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return None


def of_ome_zarr(multiscale) -> PixelSize | None:
    """Return the size of a pixel of the finest level of an OME-Zarr.

    Parameters
    ----------
    multiscale : dict
        With its "axes" and "datasets".
    """
    try:
        *_, scale = (
            each["scale"]
            for each in multiscale["datasets"][0]["coordinateTransformations"]
            if each.get("type") == "scale"
        )
        axes = [str(axis["name"]).lower() for axis in multiscale["axes"]]
        units = [axis.get("unit") for axis in multiscale["axes"]]
        places = [axes.index(name) if name in axes else None for name in "yxz"]
        parts = [(None, None) if k is None else (scale[k], units[k]) for k in places]
        return pixel_size(*(length for length, _ in parts), unit=[unit for _, unit in parts])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
