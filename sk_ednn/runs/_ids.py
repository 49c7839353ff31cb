"""Names of runs, by the time at which they started."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_PATTERN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4,8}")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")


def new_id() -> str:
    """Return a name such as ``20261129-014512-3f2a``: the time (UTC), and parts of the second.

    Names sort by time. The last part counts 1/65536 s; if a name is taken, the next one is tried.
    """
    time = datetime.now(UTC)
    return f"{time:%Y%m%d-%H%M%S}-{time.microsecond * 65536 // 1_000_000:04x}"


def is_id(name) -> bool:
    """Return True for the name of a run, which contains no separators and no dots.

    Examples
    --------
    >>> from sk_ednn.runs._ids import is_id
    >>> is_id("20261129-014512-3f2a"), is_id("../20261129-014512-3f2a"), is_id("notes")
    (True, False, False)
    """
    return isinstance(name, str) and _PATTERN.fullmatch(name) is not None


def require_id(name) -> str:
    """Return the name of a run, or raise ValueError."""
    if not is_id(name):
        raise ValueError(f"Expected the id of a run, such as 20261129-014512-3f2a; got {name!r}.")
    return name


def require_kind(kind) -> str:
    """Return the kind of a run, or raise ValueError."""
    if not isinstance(kind, str) or _KIND.fullmatch(kind) is None:
        raise ValueError(
            f"The kind of a run must be lower case letters, digits and hyphens, such as 'fit'; got "
            f"{kind!r}."
        )
    return kind


def now() -> str:
    """Return the time in UTC with milliseconds, as it is written to all files."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(time) -> float:
    """Return seconds since 1970 of a time that `now` wrote; NaN of anything else."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return float("nan")
