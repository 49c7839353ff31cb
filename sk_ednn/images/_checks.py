"""Pixels that cannot be counted in: NaN, masks, single pixels, one picture under two names."""

from __future__ import annotations

import hashlib

import numpy as np

# Shorter sides show nothing to count, and a network sees more of their mirror images than of them.
SHORTEST_SIDE = 16
# Pixels that are checked to distinguish a mask from a picture.
_PROBED = 1 << 20


class PictureError(ValueError):
    """A file is not a picture that can be counted in; the message begins with its name."""


def require_pixels(values, name, error=ValueError) -> None:
    """Raise if pixels are not real numbers, or not all of them finite.

    Parameters
    ----------
    values : ndarray
    name : str
        Name of the picture.
    error : type, default=ValueError
        Type of the exception.
    """
    if values.dtype.kind not in "biuf":
        raise error(
            f"{name}: pixels of type {values.dtype} are not supported. Save the picture with "
            "8, 16 or 32 bits per channel."
        )
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        if not finite.all():
            place = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise error(
                f"{name}: {int((~finite).sum())} pixel value(s) are NaN or infinite, the first at "
                f"{place}. Fill them in before counting."
            )


def require_picture(picture, values=None) -> None:
    """Raise if a picture is too small to be one, or has only two values, like a mask.

    Parameters
    ----------
    picture : Picture
    values : ndarray, default=None
        Pixels of the picture, if they were read.
    """
    if min(picture.grid[-2:]) < SHORTEST_SIDE:
        size = " × ".join(map(str, picture.grid))
        raise PictureError(
            f"{picture.name}: a picture of {size} pixels is too small. Each side needs at least "
            f"{SHORTEST_SIDE}."
        )
    if values is None:
        return
    some = values.reshape(-1, values.shape[-1])[:_PROBED]
    if np.ptp(some) == 0 and np.ptp(values) == 0:
        raise PictureError(
            f"{picture.name}: all pixels are {values.ravel()[0]}. The picture shows nothing."
        )
    first = some.min()
    others = some[some != first]
    if others.size and (others == others[0]).all() and len(np.unique(values)) == 2:
        raise PictureError(
            f"{picture.name}: pixels have the two values {first} and {others[0]} only, as in "
            "a mask. Use the picture from which the mask was made."
        )


def require_distinct(pictures, digests) -> None:
    """Raise if two pictures have the same pixels: a fit would use them twice.

    Parameters
    ----------
    pictures : list of Picture
    digests : list of str
        Of `pixel_digest`.
    """
    seen: dict[str, str] = {}
    for picture, digest in zip(pictures, digests, strict=True):
        if digest in seen:
            raise PictureError(
                f"{picture.name}: the same pixels as {seen[digest]}. Remove one of the two: "
                "otherwise the picture counts twice, and may be held out while it is learned."
            )
        seen[digest] = picture.name


def pixel_digest(values) -> str:
    """Return a hash of pixels."""
    state = hashlib.sha1(usedforsecurity=False)
    state.update(f"{values.dtype.str}{values.shape}".encode())
    state.update(np.ascontiguousarray(values).data)
    return state.hexdigest()


def require_alike(pictures, n_axes, n_channels, fitted=False) -> None:
    """Raise if a picture has other axes or channels than the first, or than those of the fit.

    Parameters
    ----------
    pictures : list of Picture
    n_axes, n_channels : int
        Axes of a grid, and channels, that all must have.
    fitted : bool, default=False
        Whether these are those of the fit.
    """
    kind = {1: "grey", 3: "colour (3 channels)"}
    wanted = kind.get(n_channels, f"of {n_channels} channels")
    of = "the model was fitted to" if fitted else f"{pictures[0].name} is"
    for picture in pictures:
        if len(picture.grid) != n_axes:
            what = {2: "pictures of one plane", 3: "stacks of planes"}
            raise PictureError(
                f"{picture.name}: shape {picture.grid} has {len(picture.grid)} axes, and {of} "
                f"{what.get(n_axes, f'{n_axes} axes')}. Keep the two apart."
            )
        if picture.n_channels != n_channels:
            got = kind.get(picture.n_channels, f"of {picture.n_channels} channels")
            raise PictureError(
                f"{picture.name}: the picture is {got}, and {of} {wanted}. Convert it, or keep "
                "the two apart."
            )
