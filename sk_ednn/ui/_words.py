"""Numbers in words: time spans, sizes, moments."""

from __future__ import annotations

import time

from .._utils.wording import plain

_KINDS = {"count-fit": "learn to count", "count-predict": "count"}


def duration(seconds) -> str:
    """Return a time span for reading.

    Examples
    --------
    >>> from sk_ednn.ui._words import duration
    >>> duration(0.4), duration(75), duration(3 * 3600 + 240)
    ('0.4 s', '1 min 15 s', '3 h 04 min')
    """
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(n_bytes) -> str:
    """Return a number of bytes for reading.

    Examples
    --------
    >>> from sk_ednn.ui._words import size
    >>> size(900), size(5_300_000)
    ('900 B', '5.3 MB')
    """
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def kind_in_words(kind) -> str:
    """Return the name of a kind of run for reading.

    Examples
    --------
    >>> from sk_ednn.ui._words import kind_in_words
    >>> kind_in_words("count-fit"), kind_in_words("predict")
    ('learn to count', 'predict')
    """
    return _KINDS.get(kind, kind)


def moment(seconds) -> str:
    """Return a point in time for reading, in the time zone of this machine."""
    return "–" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def number(value) -> str:
    """Return a number for reading; a dash if there is none."""
    if value is None or value != value:
        return "–"
    return plain(value) if isinstance(value, float) else f"{value:,}"


def in_words(key) -> str:
    """Return the name of a setting or result for reading."""
    return str(key).replace("_", " ")


def readable(text) -> str:
    r"""Return a text that can be sent to the browser: names of files may be no UTF-8.

    Examples
    --------
    >>> import os
    >>> from sk_ednn.ui._words import readable
    >>> readable(os.fsdecode(b"d\xff.npz"))
    'd?.npz'
    """
    return str(text).encode("utf-8", "replace").decode("utf-8")
