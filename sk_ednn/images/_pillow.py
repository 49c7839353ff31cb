"""PNG, JPEG and other plain pictures, by way of Pillow."""

from __future__ import annotations

import re
import struct
import warnings

import numpy as np

from .._utils.memory import require_memory
from .._utils.optional import is_from, needing
from ._checks import PictureError
from ._picture import Picture, in_memory, reason_of
from ._pixel_size import of_png

_CONVERT = "Save it as grey or RGB."
# Modes of Pillow whose numbers are the picture's.
_GREY = {"L", "I;16", "I;16B", "I;16L", "I;16N", "I", "F"}
_ALPHA = {"LA": "L", "RGBA": "RGB"}
_REFUSED = {
    "1": "pixels are single bits, as in a mask. Give the picture that the mask was made of.",
    "P": "the picture has a palette, so its numbers are not intensities. Save it as RGB.",
    "PA": "the picture has a palette, so its numbers are not intensities. Save it as RGB.",
    "CMYK": "the colours are those of printing (CMYK). Save it as RGB.",
    "La": f"the colours are multiplied by their opacity. {_CONVERT}",
    "RGBa": f"the colours are multiplied by their opacity. {_CONVERT}",
    "RGBX": f"the picture has a fourth channel without a meaning. {_CONVERT}",
}


def open_plain(path: str, name: str) -> Picture:
    """Return a picture of a file that Pillow reads; its pixels are read when they are used.

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
        from PIL import Image, UnidentifiedImageError
    _require_exact(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                mode, (width, height) = image.mode, image.size
                frames = getattr(image, "n_frames", 1)
                is_turned = _is_turned(image)
                # The density of a JPEG is one of printing, that most cameras make up.
                size = of_png(image.info) if image.format == "PNG" else None
    except UnidentifiedImageError:
        raise PictureError(
            f"{name}: not a picture that can be read. Known are PNG, JPEG, TIFF, OME-Zarr, .npy "
            "and .npz."
        ) from None
    except Image.DecompressionBombError:
        raise PictureError(
            f"{name}: the picture is too large to be read at once. Save it as tiled TIFF or "
            "OME-Zarr, which are read by regions."
        ) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(f"{name}: the file cannot be read ({reason_of(error)}).") from error
    _require_mode(mode, name)
    if frames > 1:
        raise PictureError(
            f"{name}: the file has {frames} frames. Save one picture per file, or a stack as TIFF."
        )
    n_channels = 3 if mode in ("RGB", "RGBA") else 1
    dtype = np.dtype({"I": np.int32, "F": np.float32}.get(mode, np.uint8))
    dtype = np.dtype(np.uint16) if mode.startswith("I;16") else dtype
    shape = (height, width, n_channels)
    has_alpha = mode in _ALPHA
    notes = (OPAQUE,) * has_alpha + (TURNED,) * is_turned
    reader = _Plain(path, name, has_alpha)
    return Picture(
        name, shape, dtype, reader, path, notes, is_rgb=n_channels == 3, pixel_size=size
    )  # fmt: skip


def is_image(values) -> bool:
    """Return True if something is a picture of Pillow."""
    return is_from(values, "PIL") and hasattr(values, "mode")


def picture_of_image(image, name: str) -> Picture:
    """Return a picture of Pillow that is in memory.

    Parameters
    ----------
    image : PIL.Image.Image
    name : str
        For messages.

    Raises
    ------
    PictureError
    """
    _require_mode(image.mode, name)
    values = _pixels(image)
    _require_visible(values, image, name)
    has_alpha = image.mode in _ALPHA
    if has_alpha:
        values = opaque(values, name)
    notes = (OPAQUE,) if has_alpha else ()
    return in_memory(values, name, notes=notes, is_rgb=values.shape[-1] == 3)


def _require_mode(mode, name) -> None:
    if mode in _REFUSED:
        raise PictureError(f"{name}: {_REFUSED[mode]}")
    if mode not in _GREY and mode != "RGB" and mode not in _ALPHA:
        raise PictureError(f"{name}: colours of the kind {mode} are not supported. {_CONVERT}")


def _pixels(image) -> np.ndarray:
    """Return the numbers of a picture of Pillow, channels last, in native byte order."""
    values = np.asarray(image)
    values = values[..., None] if values.ndim == 2 else values
    return values.astype(values.dtype.newbyteorder("="), copy=False)


OPAQUE = "its alpha channel is opaque everywhere and was left out"
# The tag of Exif with the orientation in which a camera was held.
ORIENTATION = 0x0112
TURNED = (
    "viewers show it turned or flipped, as its Exif data say; positions, boxes and maps are those "
    "of the pixels as stored"
)


def _is_turned(image) -> bool:
    # Without the tag near its beginning, a PNG would be decoded to its end to look for it.
    if image.format == "PNG" and "exif" not in image.info:
        return False
    return image.getexif().get(ORIENTATION, 1) not in (0, 1)


class _Plain:
    """Decode a file whole, and cut the region out of it."""

    def __init__(self, path, name, has_alpha):
        self.path, self.name, self.has_alpha = path, name, has_alpha

    def __call__(self, slices):
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(self.path) as image:
                width, height = image.size
                require_memory(
                    16 * width * height, f"{self.name}, read whole,",
                    "Save it as a tiled TIFF or as OME-Zarr, which are read by regions.",
                )  # fmt: skip
                values = _pixels(image)
                _require_visible(values, image, self.name)
        if self.has_alpha:
            values = opaque(values, self.name)
        return values[slices]


def opaque(values, name) -> np.ndarray:
    """Return pixels without their alpha channel, the last one; raise where it hides any.

    Parameters
    ----------
    values : ndarray of shape (*grid, n_channels + 1)
    name : str
    """
    alpha = values[..., -1]
    full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else alpha.max()
    if (alpha != full).any():
        share = 100 * float((alpha != full).mean())
        raise PictureError(
            f"{name}: {share:.3g} % of the pixels are transparent, and their background is "
            "unknown. Save the picture without an alpha channel."
        )
    return values[..., :-1]


def _require_visible(values, image, name) -> None:
    """Raise for pixels of the colour that the file declares to be transparent."""
    colour = image.info.get("transparency")
    if colour is None or image.mode in _ALPHA:
        return
    hidden = (values == np.asarray(colour)).all(axis=-1)
    if hidden.any():
        raise PictureError(
            f"{name}: {100 * float(hidden.mean()):.3g} % of the pixels have the colour {colour}, "
            "which the file declares to be transparent, and their background is unknown. Save the "
            "picture without transparency."
        )


def _require_exact(path, name) -> None:
    """Raise for numbers that Pillow silently narrows to 8 bits, or stretches to the full range."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    depth = next(filter(None, (find(head) for find in _DEPTHS)), None)
    if depth is not None:
        raise PictureError(f"{name}: {depth}. Save it as TIFF.")


def _depth_of_png(head) -> str | None:
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 26:
        bits, kind = struct.unpack(">BB", head[24:26])
        if bits == 16 and kind in (2, 4, 6):
            return "a PNG with colours of 16 bits, of which only 8 would be read"
    return None


def _depth_of_pnm(head) -> str | None:
    found = re.match(rb"P([2356])(?:\s+(?:#[^\n\r]*[\n\r]\s*)*(\d+)){3}\s", head)
    if found is None:
        return None
    white, in_colour = int(found[2]), found[1] in b"36"
    if white == 255 or (white == 65535 and not in_colour):
        return None
    if in_colour and white > 255:
        return f"its white is {white}, and only 8 bits of each colour would be read"
    return f"its white is {white}, and its numbers would be stretched to {_full(white)}"


def _full(white) -> int:
    return 255 if white <= 255 else 65535


def _depth_of_jpeg2000(head) -> str | None:
    if head[:4] != _CODESTREAM and head[4:8] != b"jP  ":
        return None
    start = head.find(_CODESTREAM)
    if start < 0 or len(head) < start + 43:
        return None
    (n_components,) = struct.unpack(">H", head[start + 40 : start + 42])
    bits = {1 + (size & 0x7F) for size in head[start + 42 : start + 42 + 3 * n_components : 3]}
    if bits == {8} or (bits == {16} and n_components == 1):
        return None
    return f"a JPEG 2000 of {max(bits)} bits, which would be read as others"


def _depth_of_avif(head) -> str | None:
    start = head.find(b"av1C")
    if head[4:8] == b"ftyp" and 0 <= start < len(head) - 6 and head[start + 6] & 0x40:
        return "an AVIF of more than 8 bits, of which only 8 would be read"
    return None


def _depth_of_sgi(head) -> str | None:
    if head[:2] == b"\x01\xda" and head[3:4] == b"\2":
        return "an SGI picture of 16 bits, of which only 8 would be read"
    return None


_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: its beginning, and that of its sizes
# Bytes with the headers; boxes of profiles may precede the codestream.
_HEAD = 1 << 16
_DEPTHS = (_depth_of_png, _depth_of_pnm, _depth_of_jpeg2000, _depth_of_avif, _depth_of_sgi)
