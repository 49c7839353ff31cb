"""Check the data of a fit: pictures in memory, totals in their order, series, boxes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from .._utils.masks import unknown_as_nan
from .._utils.memory import require_memory
from .._utils.stacklevel import outside_package
from ..exceptions import DataWarning
from ..fields._in_memory import as_groups
from ..fields._marks import doubt_of_marks
from ..fields._sources import is_read_in_pieces
from ._arrays import pictures_along_first_axis
from ._boxes import Box, check_boxes
from ._checks import PictureError, pixel_digest, require_alike, require_distinct, require_picture
from ._picture import Picture, for_each
from ._readers import read_pictures
from ._totals import match_totals

# Fewer pictures are all trained on: none are held back to see how far predictions are off.
_LEAST_PICTURES = 8
# Pixels as they are read, and again in float32 with context around them.
_BYTES_PER_NUMBER = 10.0
# Objects have at least so many pixels on average, or whole totals are not taken for counts.
_LEAST_OBJECT_PIXELS = 16


@dataclass(frozen=True)
class Admitted:
    """Pictures, with their totals and boxes.

    Attributes
    ----------
    pictures : list of Picture
    arrays : list of ndarray of shape (*grid, n_channels)
    totals : ndarray of shape (n_pictures, n_outputs)
        NaN for a picture with boxes alone.
    y_ndim : int
    counts : bool
        Whether all totals are whole and not negative, and objects large enough to be seen.
    groups : list or None
    boxes : list of Box
    """

    pictures: list[Picture]
    arrays: list[np.ndarray]
    totals: np.ndarray
    y_ndim: int
    counts: bool
    groups: list | None
    boxes: list[Box]

    @property
    def whole(self) -> np.ndarray:
        """Numbers of the pictures whose totals are known."""
        return np.flatnonzero(np.isfinite(self.totals).all(axis=1))

    def folds(self, n_members, fraction, rng) -> list[np.ndarray]:
        """Return the pictures that each member holds back.

        Parameters
        ----------
        n_members : int
        fraction : float
            Share of the pictures; those of a series stay together.
        rng : RandomState
        """
        whole = self.whole
        groups = whole if self.groups is None else np.array([self.groups[k] for k in whole])
        n_groups = len(np.unique(groups))
        if fraction == 0 or len(whole) < _LEAST_PICTURES or n_groups < 3:
            return [np.zeros(0, int)] * n_members
        n_folds = int(np.clip(round(1 / fraction), 2, n_groups))
        if self.groups is None:
            splits = KFold(n_folds, shuffle=True, random_state=rng).split(whole)
        else:
            splits = GroupKFold(n_folds, shuffle=True, random_state=rng).split(whole, groups=groups)
        folds = [whole[test] for _, test in splits]
        return [folds[k % n_folds] for k in range(n_members)]

    def density_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest total per pixel; infinite where none is known."""
        n_outputs = self.totals.shape[1]
        if not len(self.whole):
            return np.full(n_outputs, -np.inf), np.full(n_outputs, np.inf)
        pixels = np.array([[self.pictures[k].n_pixels] for k in self.whole], dtype=float)
        density = self.totals[self.whole] / pixels
        return density.min(axis=0), density.max(axis=0)


def pictures_of(X) -> list[Picture]:
    """Return pictures; those of an array are along its first axis, as in scikit-learn."""
    if not isinstance(X, Picture) and is_read_in_pieces(X):
        if len(X.shape) >= 3:
            return pictures_along_first_axis(X)
        raise _too_few_axes(X.shape)
    if isinstance(X, np.ndarray) and X.ndim < 3:
        raise _too_few_axes(X.shape)
    return read_pictures(list(X) if isinstance(X, np.ndarray) else X)


def _too_few_axes(shape) -> PictureError:
    return PictureError(
        "Pictures are given as an array (n_pictures, height, width[, n_channels]), got shape "
        f"{tuple(shape)}. A single picture goes into a list."
    )


def admit(X, y, groups, boxes, counts=None) -> Admitted:
    """Read and check the arguments of a fit.

    Parameters
    ----------
    X, y, groups, boxes
        As for `CountRegressor.fit`.
    counts : bool or None, default=None
        Whether totals are counts; None to find out.

    Returns
    -------
    Admitted

    Raises
    ------
    PictureError, TableError, ValueError
    """
    given, boxes = pictures_of(X), list(boxes)
    groups = None if groups is None else as_groups(groups).tolist()
    if groups is not None and len(groups) != len(given):
        raise ValueError(f"Expected {len(given)} groups, got {len(groups)}.")
    for box in boxes:
        if not 0 <= box.picture < len(given):
            raise ValueError(
                f"{box} refers to a picture that does not exist: there are {len(given)} pictures."
            )
    by_name = isinstance(y, (str, dict, PathLike))
    if by_name:
        kept, totals, whole, y_ndim = _from_table(given, y, boxes, counts)
    else:
        kept = list(range(len(given)))
        totals, whole, y_ndim = _from_array(given, y)
    if counts and not whole:
        row, column = np.argwhere((totals < 0) | (totals % 1 > 0))[0]
        raise ValueError(
            f"Expected counts, got {totals[row, column]:g} for {given[kept[row]].name}. Leave "
            "'counts' at \"auto\", or set it to False for areas and other amounts."
        )
    if not boxes and not np.isfinite(totals).all(axis=1).any():
        raise ValueError("Expected the total of at least one picture, or boxes; got neither.")
    if not by_name:
        _note_unknown(given, totals, boxes)
    _note_marks(totals)
    pictures = [given[k] for k in kept]
    place = {k: number for number, k in enumerate(kept)}
    boxes = [replace(box, picture=place[box.picture]) for box in boxes]
    check_boxes(boxes, pictures, totals.shape[1])
    groups = None if groups is None else [groups[k] for k in kept]
    if counts is None:
        counts = whole and _countable(pictures, totals)
    return Admitted(pictures, _loaded(pictures), totals, y_ndim, counts, groups, boxes)


def _from_table(given, table, boxes, counts):
    """Return which pictures are kept, their totals, whether these are counts, and their axes."""
    matched = match_totals(given, table, counts=counts)
    number = {id(picture): k for k, picture in enumerate(given)}
    kept = [number[id(picture)] for picture in matched.pictures]
    totals = matched.totals.reshape(len(kept), -1)
    # Pictures with boxes are learned from without a total.
    others = sorted({box.picture for box in boxes} - set(kept))
    totals = np.concatenate([totals, np.full((len(others), totals.shape[1]), np.nan)])
    for note in matched.notes:
        warnings.warn(note, DataWarning, stacklevel=outside_package())
    return [*kept, *others], totals, matched.counts, matched.totals.ndim


def _from_array(given, y):
    totals = unknown_as_nan(y, "y")
    if totals.ndim not in (1, 2) or len(totals) != len(given):
        raise ValueError(
            f"Expected a total for each of {len(given)} pictures, got an array of shape "
            f"{totals.shape}."
        )
    y_ndim, totals = totals.ndim, totals.reshape(len(given), -1)
    if np.isinf(totals).any():
        bad = int(np.flatnonzero(np.isinf(totals).any(axis=1))[0])
        raise ValueError(f"{given[bad].name}: its total is infinite.")
    finite = totals[np.isfinite(totals)]
    counts = bool(len(finite) and (finite >= 0).all() and (finite == np.round(finite)).all())
    return totals, counts, y_ndim


def _countable(pictures, totals) -> bool:
    """Return False if objects would be too small to see: totals such as sums of brightness."""
    known = np.isfinite(totals).all(axis=1)
    pixels = np.array([picture.n_pixels for picture in pictures], dtype=float)
    return bool((totals[known].sum(axis=0) * _LEAST_OBJECT_PIXELS <= pixels[known].sum()).all())


def _note_marks(totals) -> None:
    """Warn of totals that seem to mark unknown ones, such as areas of -9999."""
    doubts = [doubt_of_marks(column, "y") for column in totals.T]
    for doubt in filter(None, doubts):
        warnings.warn(doubt, DataWarning, stacklevel=outside_package())


def _note_unknown(given, totals, boxes):
    """Warn of pictures without a total and without boxes, which a fit cannot use."""
    with_boxes = {box.picture for box in boxes}
    unknown = np.flatnonzero(~np.isfinite(totals).all(axis=1))
    unused = [given[k].name for k in unknown.tolist() if k not in with_boxes]
    if unused:
        warnings.warn(
            f"{len(unused)} of {len(given)} pictures have no total and no boxes, and are not "
            f"learned from. The first is {unused[0]}.",
            DataWarning,
            stacklevel=outside_package(),
        )


def _loaded(pictures) -> list[np.ndarray]:
    """Return the pixels of pictures, which must agree in axes and channels."""
    for_each(pictures, require_picture)
    require_alike(pictures, len(pictures[0].grid), pictures[0].n_channels)
    n_numbers = sum(picture.n_pixels * picture.n_channels for picture in pictures)
    require_memory(
        _BYTES_PER_NUMBER * n_numbers, "The pictures of the fit", "Fit to fewer, or to crops."
    )

    def loaded(picture):
        values = picture.array()
        require_picture(picture, values)
        return values

    arrays = for_each(pictures, loaded)
    if arrays[0].dtype.kind in "if":  # pictures in bytes have no marks
        doubts = (
            doubt_of_marks(values, picture.name)
            for picture, values in zip(pictures, arrays, strict=True)
        )
        doubt = next(filter(None, doubts), None)
        if doubt is not None:
            warnings.warn(doubt, DataWarning, stacklevel=outside_package())
    require_distinct(pictures, [pixel_digest(values) for values in arrays])
    return arrays
