"""What a fit of counts will learn: the column of a table, and the pictures with a number in it."""

from __future__ import annotations

from .._utils.wording import plain


def matched_lines(folder, table, column="", amounts=False) -> list[str]:
    """Return lines on the totals of the pictures of a folder, as a fit will read them.

    Parameters
    ----------
    folder : Path
    table : Path
    column : str, default=""
        Names of columns, separated by commas; empty for the only column of numbers.
    amounts : bool, default=False
        Whether totals are no counts.

    Raises
    ------
    ValueError
        If a fit could not begin, for the reason that it would give.
    """
    from ..images import match_totals, read_pictures

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
    return [f"Learned as {kind}: {ranges}; {have}", *found.notes]
