"""What a fit of counts will learn: the column of a table, and the pictures with a number in it."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from .._utils.wording import averaged_pixels, plain, reduction_in_words

# Numbers in all pictures up to which the time of a fit is estimated: some seconds of reading.
_MOST_NUMBERS = 1 << 28
# Beyond, the surroundings of a picture would be larger than memory.
_LARGEST_REDUCTION = 64


class Matched(NamedTuple):
    """Lines on the totals that a fit will learn, and the names of their columns."""

    lines: list[str]
    columns: tuple[str, ...]


def matched_totals(folder, table, column="", amounts=False, series="") -> Matched:
    """Return what is to be said on the totals of a folder of pictures, as a fit will read them.

    Parameters
    ----------
    folder : Path
    table : Path
    column : str, default=""
        Names of columns, separated by commas; empty for the only column of numbers.
    amounts : bool, default=False
        Whether totals are no counts.
    series : str, default=""
        As for the command: which pictures are held back together.

    Raises
    ------
    ValueError
        If a fit could not begin, for the reason that it would give.
    """
    from ..images import match_totals, read_pictures
    from ..images._series import series_in_words, series_of

    pictures = read_pictures(str(folder))
    columns = [name.strip() for name in column.split(",") if name.strip()] or None
    found = match_totals(pictures, table, columns=columns, counts=False if amounts else None)
    totals = found.totals.reshape(len(found.pictures), -1)
    ranges = ", ".join(
        f"“{name}” ({plain(values.min())} to {plain(values.max())})"
        for name, values in zip(found.columns, totals.T, strict=True)
    )
    kind = "counts" if found.counts else "amounts"
    n, n_all = len(found.pictures), len(pictures)
    have = f"all {n} pictures have a number" if n == n_all else f"{n} of {n_all} pictures have one"
    lines = [f"Learned as {kind}: {ranges}; {have}", *found.notes]
    if series.strip():
        names = [picture.name for picture in pictures]
        of_name = dict(zip(names, series_of(names, series.strip()), strict=True))
        lines.append(series_in_words([of_name[picture.name] for picture in found.pictures]))
    return Matched(lines, tuple(found.columns))


class Expected(NamedTuple):
    """The minutes that a fit should take without a limit, and how pixels will be averaged."""

    minutes: float
    words: str


def expected_fit(form) -> Expected | None:
    """Return how long a fit should take, by the function whose estimate it prints itself.

    Parameters
    ----------
    form : Count
        With pictures and totals.

    Returns
    -------
    Expected or None
        None where it would take too long, or too much memory.

    Raises
    ------
    ValueError, MissingExtraError
        If a fit could not begin.
    """
    from ..images import CountRegressor, match_totals, read_pictures

    columns = [name.strip() for name in form.column.split(",") if name.strip()] or None
    pictures = read_pictures(str(form.pictures))
    found = match_totals(
        pictures, form.totals, columns=columns, counts=False if form.amounts else None
    )
    n_numbers = sum(each.n_pixels * each.n_channels for each in found.pictures)
    if n_numbers > _MOST_NUMBERS or (form.reduction or 1) > _LARGEST_REDUCTION:
        return None
    model = CountRegressor(
        counts="auto" if found.counts else False,
        reduction=form.reduction or "auto",
        n_members=form.members or CountRegressor().n_members,
        max_epochs=form.epochs or "auto",
        symmetric=not form.upright,
        n_jobs=int(form.others.get("jobs", -1)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run says it
        expected = model.expected_minutes(found.pictures, found.totals)
    if form.reduction:
        return Expected(expected.minutes, averaged_pixels(expected.reduction))
    return Expected(
        expected.minutes, reduction_in_words(expected.reduction, found.counts, "More settings")
    )


def columns_beside_names(folder, table) -> list[str]:
    """Return the columns of a table that may be learned: all but the names of the pictures.

    Parameters
    ----------
    folder : Path or None
        The pictures; all columns are returned where they are unknown, or not those of the table.
    table : Path

    Raises
    ------
    ValueError
        If the table cannot be read.
    """
    from ..images import read_pictures
    from ..images._named_rows import NamedRows
    from ..images._tables import TableError, read_table

    read = read_table(str(table))
    try:
        pictures = [] if folder is None else read_pictures(str(folder))
        names = NamedRows.find(pictures, read, parts=True).column if pictures else None
    except TableError:  # told with what a fit will learn
        names = None
    # The command separates names by commas.
    return [name for j, name in enumerate(read.header) if j != names and "," not in name]
