"""Pictures, tables and models that the commands of ``count`` read."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import typer

from .._utils.wording import plain, with_article
from ._files import check_readable
from ._picture_names import are_pictures

# Dots that may be missing or too many, as a number or a share of the total in the table.
_DOTS_OFF, _SHARE_OFF = 2, 0.15
_OTHER_PICTURES = (".npy", ".npz", ".zarr", ".zarr/")
_SHOWN = 3  # pictures that a warning names


def check_inputs(options) -> None:
    """Raise if a file that a command reads does not exist, before libraries are imported.

    Parameters
    ----------
    options : namespace
        With some of ``model``, ``totals``, ``dots`` and ``boxes``, and ``pictures``.

    Raises
    ------
    OSError, ValueError
    """
    totals = getattr(options, "totals", None)
    if totals is not None and Path(totals).is_dir():
        raise ValueError(
            f"{totals} is a folder, but the second argument is the table of totals. The "
            "pictures come first: sk-ednn count fit PICTURES TABLE."
        )
    for name in ("model", "totals", "dots", "boxes"):
        path = getattr(options, name, None)
        if path is not None:
            check_readable(Path(path))
    several = isinstance(options.pictures, (list, tuple))
    for pictures in map(str, options.pictures if several else [options.pictures]):
        if "://" not in pictures and not set(pictures) & set("*?[") and "::" not in pictures:
            if not Path(pictures).is_dir():
                check_readable(Path(pictures))


def one_or_several(pictures) -> str | list[str]:
    """Return the only name of a list, or the list: `read_pictures` sorts a folder, and no list.

    Examples
    --------
    >>> from sk_ednn.cli._count_inputs import one_or_several
    >>> one_or_several(["photos"]), one_or_several(["a.tif", "b.tif"])
    ('photos', ['a.tif', 'b.tif'])
    """
    return pictures[0] if len(pictures) == 1 else list(pictures)


def pictures_and_table(names) -> tuple[str | list[str], str | None]:
    """Return pictures, and the table of totals that may follow them.

    Parameters
    ----------
    names : list of str
        The last of several is a table, unless it is a picture, or a folder or pattern of pictures.

    Examples
    --------
    >>> from sk_ednn.cli._count_inputs import pictures_and_table
    >>> pictures_and_table(["a.tif", "b.tif"]), pictures_and_table(["a.tif", "b.tif", "t.csv"])
    ((['a.tif', 'b.tif'], None), (['a.tif', 'b.tif'], 't.csv'))
    >>> pictures_and_table(["photos", "t.csv"]), pictures_and_table(["photos"])
    (('photos', 't.csv'), ('photos', None))
    """
    *others, last = names
    if not others or are_pictures(last) or last.lower().endswith(_OTHER_PICTURES):
        return one_or_several(names), None
    return one_or_several(others), last


def load_counter(path, max_bytes=None):
    """Read a model of pictures.

    Parameters
    ----------
    path : Path
    max_bytes : int or None, default=None
        Limit for the memory that the file needs.

    Raises
    ------
    ValueError
        If the file contains another kind of model.
    """
    from ..files import load
    from ..images import CountRegressor

    model = load(path, max_bytes=max_bytes)
    if not isinstance(model, CountRegressor):
        raise ValueError(
            f"Expected a model of pictures, but {path} contains "
            f"{with_article(type(model).__name__)}. Use sk-ednn predict."
        )
    return model


def columns_of_fit(model) -> list[str] | None:
    """Return the columns from which a model file was fitted; None if it does not name them."""
    return about_of(model).get("totals")


def names_of_totals(path, model) -> list[str]:
    """Return the names of the totals that a model predicts.

    Parameters
    ----------
    path : Path
        Its file.
    model : CountRegressor
    """
    columns = columns_of_fit(path) or ["count"]
    if len(columns) != model.n_outputs_:  # written in Python
        columns = [f"total {k}" for k in range(model.n_outputs_)]
    # Files may come from others: escape sequences are not for a terminal.
    return [name if name.isprintable() else f"total {k}" for k, name in enumerate(columns)]


def about_of(model) -> dict:
    """Return what a model file says about its fit; empty if it was written in Python."""
    from ..files import describe

    return describe(model)["about"] or {}


def matched_totals(pictures, table, say, *, column=None, counts=None, known=None):
    """Return the pictures in a table of totals, as `sk_ednn.images.match_totals` does.

    Parameters
    ----------
    pictures : list of Picture
    table : str or Path
    say : function
        Called with notes on the table.
    column : str or None, default=None
        Names of columns, separated by commas.
    counts : bool or None, default=None
        False for totals that are no counts.
    known : list of str or None, default=None
        Columns from which a model was fitted. They are taken if the table has them and `column` is
        None.
    """
    from ..images import TableError, match_totals

    named = None if column is None else [name.strip() for name in column.split(",")]
    try:
        matched = match_totals(pictures, table, columns=named or known, counts=counts)
    except TableError:
        if named or not known or len(known) > 1:
            raise
        # The only column of numbers, by whatever name.
        matched = match_totals(pictures, table, counts=counts)
    for line in matched.notes:
        say(line)
    return matched


def with_labels(options, pictures, matched, say):
    """Return pictures, their totals, and boxes of some; those with boxes alone come last."""
    from ..images import read_boxes, read_dots

    dots, boxes, read = [], [], []
    if options.dots is not None:
        dots = read_dots(pictures, options.dots, columns=matched.columns)
        read.append(f"{sum(np.nansum(box.totals) for box in dots):.0f} dots")
        _warn_of_unmarked(pictures, matched, dots)
    if options.boxes is not None:
        boxes = read_boxes(pictures, options.boxes, columns=matched.columns)
        read.append(f"{len(boxes)} boxes with totals")
    boxes = [*dots, *boxes]
    if not boxes:
        return matched.pictures, matched.totals, []
    named = {id(picture) for picture in matched.pictures}
    extra = [
        picture
        for k, picture in enumerate(pictures)
        if id(picture) not in named and any(box.picture == k for box in boxes)
    ]
    kept = [*matched.pictures, *extra]
    place = {id(picture): k for k, picture in enumerate(kept)}
    boxes = [replace(box, picture=place[id(pictures[box.picture])]) for box in boxes]
    unknown = np.full((len(extra), *matched.totals.shape[1:]), np.nan)
    n_with = len({box.picture for box in boxes})
    say(f"{' and '.join(read)} in {n_with} picture(s), {len(extra)} of them without a total")
    return kept, np.concatenate([matched.totals, unknown]), boxes


def _warn_of_unmarked(pictures, matched, dots) -> None:
    """Warn of pictures with far fewer or more dots than objects in the table."""
    if not matched.counts:
        return
    totals = matched.totals.reshape(len(matched.pictures), -1)
    row_of = {id(picture): k for k, picture in enumerate(matched.pictures)}
    marked: dict[int, np.ndarray] = {}
    for box in dots:
        of_box = np.ravel(box.totals)
        before = marked.get(box.picture, np.full(len(of_box), np.nan))
        known = np.where(np.isnan(of_box), before, of_box + np.nan_to_num(before))
        marked[box.picture] = known
    differ = []
    for k, found in marked.items():
        row = row_of.get(id(pictures[k]))
        if row is None:
            continue
        for n, total in zip(found, totals[row], strict=True):
            if abs(n - total) > max(_DOTS_OFF, _SHARE_OFF * total):  # not if one of them is NaN
                differ.append(
                    f"{pictures[k].name} has {plain(n)} dots, and {plain(total)} in the table"
                )
    if differ:
        more = f", and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        warnings.warn(
            f"{'; '.join(differ[:_SHOWN])}{more}. All objects of a picture with dots must be "
            "marked: where there is no dot, the fit learns that nothing is to be counted. Mark the "
            "others, or leave such pictures out of the table of dots.",
            UserWarning,
            stacklevel=2,
        )


def parts_left_out(text):
    """Return the parameter `leave_out` of `CountRegressor` from the option of this name.

    Parameters
    ----------
    text : str
        "auto", "none", or left, top, right and bottom ends of boxes.

    Raises
    ------
    ValueError
        If it is something else.

    Examples
    --------
    >>> from sk_ednn.cli._count_inputs import parts_left_out
    >>> parts_left_out("850,730,980,760"), parts_left_out("auto"), parts_left_out("none")
    ([(730, 850, 760, 980)], 'auto', None)
    """
    word = text.strip().lower()
    if word in ("auto", "none"):
        return None if word == "none" else "auto"
    boxes = []
    for part in text.split(";"):
        ends = [each.strip() for each in part.split(",")]
        if len(ends) != 4 or not all(each.isdecimal() for each in ends):
            raise ValueError(
                "--leave-out is auto, none, or left,top,right,bottom in pixels, such as "
                f"850,730,980,760, with a semicolon before the next part; got {text!r}."
            )
        left, top, right, bottom = map(int, ends)
        boxes.append((top, left, bottom, right))
    return boxes


def sayer(options):
    start = time.perf_counter()

    def say(line):
        if not options.quiet:
            typer.echo(f"[{(time.perf_counter() - start) / 60:4.1f} min] {line}", err=True)

    return say


def described(pictures) -> str:
    sizes = sorted({picture.grid for picture in pictures})
    n_channels = pictures[0].n_channels
    kind = "grey" if n_channels == 1 else f"{n_channels} channels"
    kind = "colour" if pictures[0].is_rgb else kind
    size = " × ".join(map(str, sizes[0]))
    more = f" to {' × '.join(map(str, sizes[-1]))}" if len(sizes) > 1 else ""
    return f"{len(pictures)} picture(s), {size}{more} pixels, {kind}, {pictures[0].dtype}"


def notes_of(pictures) -> list[str]:
    """Return notes on reading pictures, each with the number of pictures."""
    counts: dict[str, int] = {}
    for picture in pictures:
        for line in picture.notes:
            counts[line] = counts.get(line, 0) + 1
    return [f"in {n} picture(s): {line}" for line, n in counts.items()]


def totals_line(matched) -> str:
    totals = matched.totals.reshape(len(matched.pictures), -1)
    parts = [
        f"{name}: {plain(column.min())} to {plain(column.max())}, mean {plain(column.mean())}"
        for name, column in zip(matched.columns, totals.T, strict=True)
    ]
    word = "column" if len(parts) == 1 else "columns"
    return f"{word} {'; '.join(parts)}; learned as {'counts' if matched.counts else 'amounts'}"


def require_folder(path: Path) -> None:
    """Raise if the folder for maps is a file."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"--maps must be a folder, but {path} is a file.")
