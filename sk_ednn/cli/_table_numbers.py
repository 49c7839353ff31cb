"""Numbers in cells of tables, and advice for cells that are almost numbers."""

from __future__ import annotations

import re

import numpy as np

from ._wanted import Unreadable

# Python's float() accepts more: 1_000, infinity, digits of all scripts.
_DIGITS = r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)"  # possessive: cells may be long
_NUMBER = re.compile(rf"{_DIGITS}(?:[eE][+-]?[0-9]++)?")
LIKE_A_NUMBER = re.compile(r"[-+−–(.,$€£¥]?\s*[0-9].*")
MISSING = {
    "",
    *("na", "n/a", "#n/a", "<na>", "nan", "-nan", "+nan", "null", "none", "nil", "missing"),
    *("-", "--", "?", ".", "#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!"),
}
_LARGEST = 2.0**53  # of integers that are all doubles
_INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
_GROUP = "[ \u00a0\u2009\u202f'’_]"  # separators of thousands, except commas and points
# Patterns of cells that are almost numbers, and advice.
_ALMOST = (
    (
        re.compile(rf"[+-]?[0-9]{{1,3}}({_GROUP}[0-9]{{3}})+([.,][0-9]+)?"),
        "has separators of thousands: write numbers without them",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]*|[+-]?[0-9]{1,3}(,[0-9]{3}){2,}"),
        "has commas between thousands: write numbers without them",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]*|[+-]?[0-9]{1,3}(\.[0-9]{3}){2,}"),
        "has points between thousands: write numbers without them, and with a decimal point",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}"),
        "has a comma, for decimals or thousands: write numbers with a decimal point and without "
        "separators of thousands",
    ),
    (
        re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?"),
        "has a decimal comma: write numbers with a decimal point",
    ),
    (re.compile(r".*[0-9]\s*%"), "has a percent sign: write numbers without it"),
    (re.compile(rf"{_DIGITS}[dD][+-]?[0-9]+"), "has an exponent with D: write E"),
    (re.compile(r"[−–].*"), "begins with a dash that is not a minus sign: write -"),
    (re.compile(r"\(.*[0-9].*\)"), "is in parentheses: write negative numbers with -"),
    (
        re.compile(rf"{_NUMBER.pattern}\s*[^\W\d_].*|[$€£¥]\s*[0-9].*|.*[0-9]\s*[$€£¥]"),
        "has a unit: write it in the name of the column",
    ),
)
# The parts of a number that was split at its decimal comma.
WHOLE = re.compile(r"[+-]?[0-9]+")
LEADING_ZERO = re.compile(r"0[0-9]+")


def is_number(cell) -> bool:
    """Return True if a cell is a number with a decimal point."""
    return _NUMBER.fullmatch(cell) is not None


def number_in(path, row, j) -> float:
    """Return the finite number in cell `j` of a row; raise `Unreadable` with advice otherwise."""
    cell = row.cells[j]
    if is_number(cell):
        value = float(cell)
        if np.isfinite(value):
            if abs(value) >= _LARGEST and WHOLE.fullmatch(cell) and int(cell) != value:
                raise Unreadable(
                    f"{path}: line {row.line}: {cell} is an integer beyond 2**53 that double "
                    f"precision would round to {value:.0f}. Subtract a constant, or use larger "
                    "units."
                )
            return value
    shown = repr(cell if len(cell) <= 40 else cell[:40] + "…")
    if cell.lower() in MISSING:
        what = f"contains {shown}" if cell else "is empty"
        why = f"column {j + 1} {what}, but each field needs a total. Remove it with its field"
    elif is_number(cell) or _INFINITE.fullmatch(cell):
        why = f"{shown} is infinite"
    else:
        almost = (why for pattern, why in _ALMOST if len(cell) <= 40 and pattern.fullmatch(cell))
        why = f"{shown} {next(almost, 'is not a number')}"
    raise Unreadable(f"{path}: line {row.line}: {why}.")


def decimal_comma(rows) -> str:
    """Return a message if all rows look like a number with a decimal comma, else an empty text."""
    for row in rows:
        whole, *decimals = row.cells
        if len(decimals) > 1 or not all(map(str.isdecimal, decimals)):
            return ""
        if not WHOLE.fullmatch(whole):
            return ""
    return halves(*rows[0].cells)


def halves(whole, decimals) -> str:
    """Return a message on two cells that may be one number with a decimal comma."""
    number = f"{whole},{decimals}"
    return (
        f"{number!r}, which may be two columns or a number with a decimal comma. For a number "
        f"write {whole}.{decimals}; for columns write names in the first line"
    )
