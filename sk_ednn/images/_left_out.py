"""Parts of pictures that are painted over, such as scale bars: they say nothing of the totals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .._utils.stacklevel import outside_package
from .._utils.stored import stored
from ..exceptions import NoveltyWarning

# Surroundings that replace a box: pixels around it, and the width over which they are averaged.
_RING, _BLUR = 24, 6.0
# A picture shows a pattern if the two are correlated, and of similar strength.
_CORRELATED, _AS_STRONG = 0.5, 0.4
_NAMED = 3
# Least part of a window of which a mean is known.
_KNOWN = 0.02
# Of a box, beside the middle third of a picture; and of one that is a strip along an edge.
_THIRD, _STRIP = 1 / 3, 0.9


@stored("LeftOut")
@dataclass(frozen=True)
class LeftOut:
    """Boxes of pictures that are painted over with what surrounds them.

    Attributes
    ----------
    boxes : ndarray of shape (n_boxes, 4), int
        Top, left, bottom and right, as slices.
    size : tuple of (int, int)
        Height and width of the pictures to which they refer.
    window : int
        Pixels whose mean is subtracted from a pattern.
    patterns : list of ndarray of shape (height, width, n_channels)
        What pictures show in each box, see `local_contrast`; empty for boxes that were given.
        A picture that shows something else is left as it is.
    """

    boxes: np.ndarray
    size: tuple
    window: int = 1
    patterns: tuple = ()

    def boxes_in(self, picture) -> list[tuple[int, int, int, int]]:
        """Return the boxes of a picture that are painted over.

        Boxes that were given are those of pictures of one size. Patterns are looked for at the same
        distance from the nearest corner.

        Parameters
        ----------
        picture : Picture
        """
        size = picture.grid[-2:]
        if not len(self.patterns):
            return [tuple(box) for box in self.boxes.tolist()] if size == tuple(self.size) else []
        moved = (self._moved(box, size) for box in self.boxes.tolist())
        return [
            box for box, pattern in zip(moved, self.patterns, strict=True)
            if _fits(box, size) and self._shows(picture, box, pattern)
        ]  # fmt: skip

    def cleared(self, picture):
        """Return a picture with its boxes painted over, and their number.

        Parameters
        ----------
        picture : Picture

        Returns
        -------
        picture : Picture
            The same one if it shows none.
        n_painted : int
        """
        patches = [(box, _patch(picture, box)) for box in self.boxes_in(picture)]
        if not patches:
            return picture, 0
        reader = _Painted(picture.reader, picture.shape, patches)
        return replace(picture, reader=reader), len(patches)

    def lacking(self, picture) -> bool:
        """Return True if not all boxes of a picture are painted over."""
        return len(self.boxes_in(picture)) < len(self.boxes)

    def check(self, n_channels) -> None:
        """Raise ValueError if its parts contradict each other, or a model."""
        boxes, size = self.boxes, self.size
        if not isinstance(boxes, np.ndarray) or boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError("the boxes of its left_out_ have not the shape (n, 4)")
        if type(size) is not tuple or [type(n) for n in size] != [int, int]:
            raise ValueError("the size of its left_out_ is not two numbers")
        if boxes.dtype.kind != "i" or not all(_fits(box, size) for box in boxes.tolist()):
            raise ValueError("the boxes of its left_out_ are not inside a picture")
        if type(self.window) is not int or not 0 < self.window <= max(size):
            raise ValueError("the window of its left_out_ is out of range")
        if type(self.patterns) is not tuple or len(self.patterns) not in (0, len(boxes)):
            raise ValueError("the patterns of its left_out_ are not one for each box")
        for (top, left, bottom, right), pattern in zip(boxes.tolist(), self.patterns, strict=False):
            shape = (bottom - top, right - left, n_channels)
            if not isinstance(pattern, np.ndarray) or pattern.shape != shape:
                raise ValueError(f"a pattern of its left_out_ has not the shape {shape}")
            if not np.isfinite(pattern).all():
                raise ValueError("a pattern of its left_out_ is not finite")

    def _moved(self, box, size):
        """Return a box at the same distance from the nearest corner of a picture."""
        top, left, bottom, right = box
        down = size[0] - self.size[0] if top + bottom > self.size[0] else 0
        across = size[1] - self.size[1] if left + right > self.size[1] else 0
        return top + down, left + across, bottom + down, right + across

    def _shows(self, picture, box, pattern) -> bool:
        found = contrast_in(picture, box, self.window)
        strength = float((pattern**2).sum())
        product = float((found * pattern).sum())
        if not product > 0:
            return False
        correlation = product / np.sqrt(strength * float((found**2).sum()))
        return bool(correlation >= _CORRELATED and product >= _AS_STRONG * strength)


def local_contrast(values, window, known=None) -> np.ndarray:
    """Return by how much pixels differ from the mean of those around.

    Parameters
    ----------
    values : ndarray of shape (height, width, n_channels)
    window : int
        Pixels along each axis that are averaged.
    known : ndarray of bool of shape (height, width), default=None
        Pixels that are averaged; None for all.

    Returns
    -------
    ndarray of shape (height, width, n_channels), float32
    """
    values = values.astype(np.float32)
    # Noise of single pixels is no pattern.
    fine = ndimage.gaussian_filter(values, (1, 1, 0), mode="nearest", truncate=3.0)
    around = (window, window, 1)
    if known is None:
        return fine - ndimage.uniform_filter(values, around, mode="nearest")
    parts = known[..., None].astype(np.float32)
    mean = ndimage.uniform_filter(values * parts, around, mode="nearest")
    share = ndimage.uniform_filter(parts, around, mode="nearest")
    # Far from all that is averaged, the level of the picture.
    level = np.median(values[known][::7], axis=0) if known.any() else values.mean(axis=(0, 1))
    return fine - np.where(share > _KNOWN, mean / np.maximum(share, _KNOWN), level)


def contrast_in(picture, box, window) -> np.ndarray:
    """Return the local contrast in a box of a picture, of the middle plane of a stack."""
    margin = window // 2 + 4
    values, inside = _around(picture, box, margin)
    plane = values[tuple(n // 2 for n in values.shape[:-3])]
    return local_contrast(plane, window)[inside]


def given_boxes(boxes, pictures) -> LeftOut:
    """Return boxes that the user wants to leave out.

    Parameters
    ----------
    boxes : sequence of (int, int, int, int)
        Top, left, bottom and right, in pixels.
    pictures : list of Picture
        They must all be of one size.

    Raises
    ------
    ValueError
        If a box is not in the pictures, or these differ in size.
    """
    sizes = sorted({picture.grid[-2:] for picture in pictures})
    if len(sizes) > 1:
        raise ValueError(
            f"Parts to leave out are boxes of pictures of one size; got pictures of {sizes[0][1]} "
            f"× {sizes[0][0]} to {sizes[-1][1]} × {sizes[-1][0]} pixels. Crop the pictures instead."
        )
    wrong = next((box for box in boxes if len(box) != 4 or not _fits(box, sizes[0])), None)
    if wrong is not None:
        raise ValueError(
            "A part to leave out is given by its top, left, bottom and right ends in pixels, "
            f"inside of the {sizes[0][0]} rows and {sizes[0][1]} columns; got {tuple(wrong)}."
        )
    return LeftOut(np.array(boxes, dtype=int).reshape(-1, 4), tuple(sizes[0]))


def warn_of_lacking(left_out, names, n_pictures) -> None:
    """Warn of pictures that do not show what the model leaves out.

    Parameters
    ----------
    left_out : LeftOut
    names : list of str
        Of the pictures.
    n_pictures : int
        That are predicted.
    """
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    where = " and ".join(place_in_words(box, left_out.size) for box in left_out.boxes.tolist())
    warnings.warn(
        f"{len(names)} of {n_pictures} pictures do not show what the pictures of the fit had in "
        f"common ({where}), or have another size: {', '.join(names[:_NAMED])}{more}. Nothing is "
        "left out there. If they show a scale bar or caption elsewhere, it may be counted: look at "
        "their maps, and crop it.",
        NoveltyWarning,
        stacklevel=outside_package(),
    )


def place_in_words(box, size) -> str:
    """Return where a box is.

    Examples
    --------
    >>> from sk_ednn.images._left_out import place_in_words
    >>> place_in_words((730, 850, 760, 980), (768, 1024))
    'lower right corner, x 850 to 979, y 730 to 759'
    >>> place_in_words((700, 0, 768, 1024), (768, 1024))
    'lower edge, x 0 to 1023, y 700 to 767'
    """
    top, left, bottom, right = box
    ends = f"x {left} to {right - 1}, y {top} to {bottom - 1}"
    down = _side((top, bottom), size[0], ("upper", "lower"))
    across = _side((left, right), size[1], ("left", "right"))
    if down and across:
        return f"{down} {across} corner, {ends}"
    return f"{down or across} edge, {ends}" if down or across else ends


def _side(ends, length, names) -> str:
    start, stop = ends
    if stop - start >= _STRIP * length:
        return ""
    middle = (start + stop) / 2 / length
    return names[0] if middle < _THIRD else names[1] if middle > 1 - _THIRD else ""


def _fits(box, size) -> bool:
    top, left, bottom, right = box
    return 0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]


def _around(picture, box, margin):
    """Return pixels of a box with a margin, and slices of the box in them."""
    top, left, bottom, right = box
    height, width = picture.grid[-2:]
    rows = slice(max(0, top - margin), min(height, bottom + margin))
    columns = slice(max(0, left - margin), min(width, right + margin))
    planes = tuple(slice(0, n) for n in picture.grid[:-2])
    values = picture.read((*planes, rows, columns, slice(0, picture.n_channels)))
    inside = (
        slice(top - rows.start, bottom - rows.start),
        slice(left - columns.start, right - columns.start),
    )
    return values, inside


def _patch(picture, box) -> np.ndarray:
    """Return what a box is painted over with: weighted means of the pixels around it."""
    values, inside = _around(picture, box, _RING)
    known = np.ones(values.shape[-3:-1])
    known[inside] = 0.0
    whole = not known.any()
    sigma = (_BLUR, _BLUR)
    near = ndimage.gaussian_filter(known, sigma, mode="constant")[inside]
    out = np.empty((*values.shape[:-3], *near.shape, values.shape[-1]))
    for index in np.ndindex(values.shape[:-3]):
        for channel in range(values.shape[-1]):
            plane = values[(*index, slice(None), slice(None), channel)].astype(np.float64)
            level = np.median(plane) if whole else np.median(plane[known > 0])
            # Far from all known pixels, their median; nearby, what continues them.
            blurred = ndimage.gaussian_filter((plane - level) * known, sigma, mode="constant")
            filled = level + blurred[inside] / np.maximum(near, 0.05)
            out[(*index, slice(None), slice(None), channel)] = filled
    return (
        np.rint(out).astype(values.dtype) if values.dtype.kind in "ui" else out.astype(values.dtype)
    )


@dataclass(frozen=True, eq=False)
class _Painted:
    """A reader of pixels that replaces those of some boxes."""

    reader: object
    shape: tuple
    patches: list

    def __call__(self, slices):
        values = np.array(self.reader(slices))
        *planes, rows, columns, channels = (
            part.indices(n)[:2] for part, n in zip(slices, self.shape, strict=True)
        )
        for (top, left, bottom, right), patch in self.patches:
            i, j = (
                (max(start, low), min(stop, high))
                for (start, stop), (low, high) in zip(
                    (rows, columns), ((top, bottom), (left, right)), strict=True
                )
            )
            if i[0] < i[1] and j[0] < j[1]:
                of_planes = tuple(slice(*ends) for ends in planes)
                values[
                    ..., i[0] - rows[0] : i[1] - rows[0], j[0] - columns[0] : j[1] - columns[0], :
                ] = patch[
                    (*of_planes, slice(i[0] - top, i[1] - top), slice(j[0] - left, j[1] - left),
                     slice(*channels))
                ]  # fmt: skip
        return values
