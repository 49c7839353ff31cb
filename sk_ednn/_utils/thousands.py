"""Points that may separate thousands, as many languages write them."""

from __future__ import annotations

import re

_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_SHORT = re.compile(r"[+-]?(0|[1-9][0-9]{0,2})")

# Points of several groups, or before a comma; and decimal commas, beside which points are groups.
_GROUPS = re.compile(r"[+-]?[1-9][0-9]{0,2}((\.[0-9]{3}){2,}(,[0-9]+)?|\.[0-9]{3},[0-9]+)")
_COMMA = re.compile(r"[+-]?(0|[1-9][0-9]*),([0-9]{1,2}|[0-9]{4,})")


def may_be_thousands(cells) -> tuple[int | None, bool]:
    """Look for numbers such as ``1.006``, which may be 1006, in the cells of a column.

    Points separate thousands only if exactly three digits follow each of them, and if all numbers
    without a point are below a thousand.

    Parameters
    ----------
    cells : sequence of str

    Returns
    -------
    first : int or None
        Index of the first such number; None if points cannot separate thousands.
    mixed : bool
        Whether other numbers are whole and have no point, which numbers with three decimals have.

    Examples
    --------
    >>> from sk_ednn._utils.thousands import may_be_thousands
    >>> may_be_thousands(["950", "1.006"]), may_be_thousands(["1.006", "1.120"])
    ((1, True), (0, False))
    >>> may_be_thousands(["950", "1.006", "0.5"]), may_be_thousands(["1950", "1.006"])
    ((None, False), (None, False))
    """
    first, mixed = None, False
    for k, cell in enumerate(cells):
        if _GROUPED.fullmatch(cell):
            first = k if first is None else first
        elif _SHORT.fullmatch(cell):
            mixed = True
        elif cell:
            return None, False
    return (None, False) if first is None else (first, mixed)


def shows_thousands(cells) -> str | None:
    """Return a number that shows that points of a table separate thousands; None without one.

    Parameters
    ----------
    cells : sequence of str

    Examples
    --------
    >>> from sk_ednn._utils.thousands import shows_thousands
    >>> shows_thousands(["-5.000", "1.234.567"]), shows_thousands(["1.5", "0,25"])
    ('1.234.567', '0,25')
    >>> shows_thousands(["1.234", "1,234", "01.02.2026", "a"]) is None
    True
    """
    return next((each for each in cells if _GROUPS.fullmatch(each) or _COMMA.fullmatch(each)), None)
