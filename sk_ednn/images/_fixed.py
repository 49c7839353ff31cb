"""Find what all pictures of a fit show at the same place, such as scale bars and captions."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
from scipy import ndimage, stats

from .._utils.stacklevel import outside_package
from ..exceptions import DataWarning
from ._left_out import LeftOut, contrast_in, given_boxes, local_contrast, place_in_words
from ._picture import InMemory
from ._reduction import averaged

# Pictures of one size that are compared, at least and at most, and the pixels of each; those with
# more are averaged. A part of them may lack what the others show.
_LEAST_PICTURES, _MOST_PICTURES, _MOST_PIXELS, _LACKING = 8, 16, 1 << 18, 0.1
# A pixel that is bright or dark in all pictures by chance, in one fit of so many.
_BY_CHANCE = 1e-3
# The least contrast, over that of noise, and over that of objects; the quantile that is theirs.
_OVER_NOISE, _OVER_OBJECTS, _OBJECTS = 3.0, 0.2, 0.995
# Fainter parts nearby: their contrast over that of the pattern, and its mean in standard errors.
_OF_PATTERN, _CERTAIN = 0.1, 8.0
# The mean that is subtracted is over this part of the shorter side; parts of a caption are nearer
# to each other than a third of it.
_WINDOW, _LEAST_AREA, _PAD = 12, 12, 3
# What is surely no object: few boxes, in an outer band, and of a small part of the picture.
_BAND, _MOST_BOXES, _MOST_AREA = 0.2, 4, 0.12
# Larger ones are the scene itself, such as the rim of a dish.
_SCENE = 0.25
# Boxes along so much of a side are strips, which end at the edge of the picture.
_STRIP = 0.9
_WHERE = "{0} in “Parts to leave out” of the page Count, --leave-out {0} on the command line"


def without_fixed(admitted, leave_out):
    """Return the data of a fit with parts painted over, and these parts.

    Parameters
    ----------
    admitted : Admitted
    leave_out : "auto", None or sequence of (int, int, int, int)
        As for `CountRegressor`.

    Returns
    -------
    admitted : Admitted
        The same one if nothing is left out.
    left_out : LeftOut or None

    Raises
    ------
    ValueError
        If boxes that are given are not in the pictures.
    """
    if leave_out is None or len(leave_out) == 0:
        return admitted, None
    # Painted pictures are read from arrays: files are not read again.
    pictures = [
        replace(picture, reader=InMemory(values), by_region=False)
        for picture, values in zip(admitted.pictures, admitted.arrays, strict=True)
    ]
    if isinstance(leave_out, str):
        left_out, others = find_fixed(pictures, admitted.arrays)
        say_fixed(left_out, others, pictures)
    else:
        left_out = given_boxes([tuple(int(n) for n in box) for box in leave_out], pictures)
    if left_out is None:
        return admitted, None
    cleared = [left_out.cleared(picture)[0] for picture in pictures]
    arrays = [
        values if seen is picture else seen.array()
        for seen, picture, values in zip(cleared, pictures, admitted.arrays, strict=True)
    ]
    kept = [
        original if seen is picture else seen
        for seen, picture, original in zip(cleared, pictures, admitted.pictures, strict=True)
    ]
    return replace(admitted, pictures=kept, arrays=arrays), left_out


def find_fixed(pictures, arrays):
    """Find boxes in which all pictures show the same.

    Objects are at other places in each picture. A pixel that differs from those around it in the
    same direction in all pictures, more than objects would do by chance, belongs to something that
    was drawn into them, or that the camera sees always.

    Parameters
    ----------
    pictures : list of Picture
    arrays : list of ndarray of shape (height, width, n_channels)

    Returns
    -------
    left_out : LeftOut or None
        Boxes that are surely no objects: few, near the edges, and small.
    others : list of (int, int, int, int)
        Boxes that may be objects, or the scene: top, left, bottom and right.
    """
    if arrays[0].ndim != 3:  # stacks
        return None, []
    (size, n), *_ = Counter(values.shape[:2] for values in arrays).most_common(1)
    if n < _LEAST_PICTURES:
        return None, []
    alike = [k for k, values in enumerate(arrays) if values.shape[:2] == size]
    chosen = alike[:: -(-n // _MOST_PICTURES)]
    found = _fixed_pixels([arrays[k] for k in chosen], size)
    boxes, window = _boxes(found, size), _window(size)
    kept = []
    for box in boxes:
        pattern = np.mean([contrast_in(pictures[k], box, window) for k in chosen], axis=0)
        one = LeftOut(np.array([box]), tuple(size), window, (pattern,))
        # What differs by some pixels, such as the rim of a dish, is in few as it is in their mean.
        if sum(one.lacking(pictures[k]) for k in alike) <= _LACKING * n:
            kept.append((box, pattern))
    at_edge = [(box, pattern) for box, pattern in kept if _is_drawn(box, found, size)]
    area = sum(_area(box) for box, _ in at_edge)
    if not at_edge or len(boxes) > _MOST_BOXES or area > _MOST_AREA * np.prod(size):
        return None, [box for box, _ in kept]
    sure, patterns = zip(*at_edge, strict=True)
    left_out = LeftOut(np.array(sure, dtype=int), tuple(size), window, patterns)
    return left_out, [box for box, _ in kept if box not in sure]


def say_fixed(left_out, others, pictures) -> None:
    """Warn of what is painted over, and of what may have to be.

    Parameters
    ----------
    left_out : LeftOut or None
    others : list of (int, int, int, int)
    pictures : list of Picture
    """
    if left_out is not None:
        n = sum(not left_out.lacking(picture) for picture in pictures)
        boxes = left_out.boxes.tolist()
        where = " and ".join(place_in_words(box, left_out.size) for box in boxes)
        which = "all" if n == len(pictures) else f"{n} of {len(pictures)}"
        warnings.warn(
            f"{which} pictures show the same at one place, as a scale bar, a caption or a logo "
            f"({where}; {sum(map(_area, boxes))} pixels). It says nothing of the totals, and is "
            "painted over with what surrounds it, also in new pictures that show it. Objects "
            f"beneath it are not counted. To keep it, leave nothing out: {_WHERE.format('none')}, "
            "or leave_out=None in Python.",
            DataWarning,
            stacklevel=outside_package(),
        )
    elif others and len(others) <= _MOST_BOXES:
        size = pictures[0].grid[-2:]
        top, left, bottom, right = others[0]
        more = f", and at {len(others) - 1} more" if len(others) > 1 else ""
        warnings.warn(
            f"nearly all pictures show the same at one place ({place_in_words(others[0], size)}"
            f"{more}). It is kept, since objects may be there. If it is none of what is counted, "
            f"leave it out: {_WHERE.format(f'{left},{top},{right},{bottom}')}, or "
            f"leave_out=[({top}, {left}, {bottom}, {right})] in Python.",
            DataWarning,
            stacklevel=outside_package(),
        )


def _window(size) -> int:
    return 2 * (min(size) // (2 * _WINDOW)) + 1


def _fixed_pixels(arrays, size) -> np.ndarray:
    """Return which pixels differ from their surroundings in the same way in all pictures."""
    step = max(1, int(np.ceil(np.sqrt(np.prod(size) / _MOST_PIXELS))))
    window = _window(tuple(n // step for n in size))
    means = [averaged(values, step) for values in arrays]
    found = _common([local_contrast(values, window) for values in means])
    if found.any():
        # The means of surroundings without what was found, and its blurred ends: where it is dark,
        # all around it seems bright. Then with what is fainter.
        known = ~ndimage.binary_dilation(found, iterations=max(2, window // 6))
        fields = np.stack([local_contrast(values, window, known) for values in means])
        found = _with_faint(found & _common(fields), fields, window)
    whole = np.zeros(size, bool)
    fine = found.repeat(step, axis=0).repeat(step, axis=1)
    whole[: fine.shape[0], : fine.shape[1]] = fine
    return whole


def _common(fields) -> np.ndarray:
    """Return the pixels whose contrast has one sign, and is high, in nearly all fields."""
    fields = np.stack(fields)
    n, *grid, n_channels = fields.shape
    n_lacking = int(_LACKING * n)
    # The largest share of pixels beyond a contrast with which none is so in all by chance.
    shares = np.logspace(-4, 0, 1000)
    by_chance = 2 * np.prod(grid) * n_channels * stats.binom.sf(n - n_lacking - 1, n, shares)
    share = shares[by_chance <= _BY_CHANCE].max(initial=shares[0])
    found = np.zeros(grid, bool)
    for of_channel in np.moveaxis(fields, -1, 0):
        few = of_channel[:, ::2, ::2]
        least = max(
            _OVER_NOISE * 1.4826 * np.median(np.abs(few)),
            _OVER_OBJECTS * np.quantile(np.abs(few), _OBJECTS),
            np.finfo(np.float32).tiny,
        )
        for sign in (1, -1):
            level = max(least, np.quantile(sign * few, 1 - share))
            of_most = np.partition(sign * of_channel, n_lacking, axis=0)[n_lacking]
            found |= of_most >= level
    return found


def _with_faint(found, fields, window) -> np.ndarray:
    """Add the pixels near a pattern whose mean contrast is certain, though it is not in each."""
    parts, n = _parts(found, window)
    if not n:
        return found
    mean, spread = fields.mean(axis=0), fields.std(axis=0) / np.sqrt(len(fields))
    contrast = np.abs(mean).max(axis=-1)
    strongest = ndimage.maximum(np.where(found, contrast, 0.0), parts, np.arange(1, n + 1))
    certain = (np.abs(mean) >= _CERTAIN * spread).any(axis=-1)
    faint = certain & (contrast >= _OF_PATTERN * np.concatenate([[np.inf], strongest])[parts])
    return found | faint


def _parts(found, window):
    near = np.ones((2 * max(2, window // 6) + 1,) * 2, bool)
    return ndimage.label(ndimage.binary_dilation(found, near))


def _boxes(found, size) -> list[tuple[int, int, int, int]]:
    """Return boxes around pixels that are near each other, with a margin; strips to the edge."""
    parts, n = _parts(found, _window(size))
    boxes = []
    for rows, columns in ndimage.find_objects(parts * found, n):
        if found[rows, columns].sum() < _LEAST_AREA:
            continue
        box = [rows.start, columns.start, rows.stop, columns.stop]
        pad = _PAD + max(size) // 500
        for axis in (0, 1):
            box[axis] = max(0, box[axis] - pad)
            box[axis + 2] = min(size[axis], box[axis + 2] + pad)
        for axis in (0, 1):
            along = 1 - axis
            if box[along + 2] - box[along] >= _STRIP * size[along]:
                box[along], box[along + 2] = 0, size[along]
                if box[axis] >= (1 - _BAND) * size[axis]:
                    box[axis + 2] = size[axis]
                elif box[axis + 2] <= _BAND * size[axis]:
                    box[axis] = 0
        if _area(box) <= _SCENE * np.prod(size):
            boxes.append(tuple(box))
    return _merged(boxes)


def _merged(boxes):
    """Return boxes of which none overlap, the largest first."""
    boxes = sorted(boxes, key=_area, reverse=True)
    for i, first in enumerate(boxes):
        for second in boxes[i + 1 :]:
            if all(first[k] < second[k + 2] and second[k] < first[k + 2] for k in (0, 1)):
                joint = (*map(min, first[:2], second[:2]), *map(max, first[2:], second[2:]))
                return _merged([box for box in boxes if box not in (first, second)] + [joint])
    return boxes


def _area(box) -> int:
    top, left, bottom, right = box
    return (bottom - top) * (right - left)


def _is_drawn(box, found, size) -> bool:
    """Return True if a box is near an edge; at the edge itself, if it is a strip along it.

    What continues beyond an edge is rather a part of the scene, such as the rim of a dish.
    """
    if _is_strip(box, size):
        return True
    top, left, bottom, right = box
    inside = found[top:bottom, left:right]
    ends = ((top, 0), (-bottom, -size[0]), (left, 0), (-right, -size[1]))
    lines = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
    if any(at == edge and line.any() for (at, edge), line in zip(ends, lines, strict=True)):
        return False
    return any(
        box[axis + 2] <= _BAND * size[axis] or box[axis] >= (1 - _BAND) * size[axis]
        for axis in (0, 1)
    )


def _is_strip(box, size) -> bool:
    return any(
        box[axis] == 0 and box[axis + 2] == size[axis]
        and (box[1 - axis] == 0 or box[3 - axis] == size[1 - axis])
        for axis in (0, 1)
    )  # fmt: skip
