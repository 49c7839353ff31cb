"""The `stacklevel` of warnings."""

from __future__ import annotations

import sys

_INTERNAL = ("sk_ednn", "sklearn")


def outside_package() -> int:
    """Return the `stacklevel` with which a warning names the user's code.

    That is the first frame outside of this package and scikit-learn, counted from the function
    that calls `warnings.warn`.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _INTERNAL:
        level, frame = level + 1, frame.f_back
    return level
