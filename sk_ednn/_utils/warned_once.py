"""Show equal warnings of several models once."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager


@contextmanager
def warned_once():
    """Show only the first of warnings within the block that differ only in their numbers.

    Examples
    --------
    >>> import warnings
    >>> from sk_ednn._utils.warned_once import warned_once
    >>> with warnings.catch_warnings(record=True) as shown:
    ...     warnings.simplefilter("always")
    ...     with warned_once():
    ...         for limit in (2.5, 3.5):
    ...             warnings.warn(f"Values above {limit}.", stacklevel=1)
    >>> [str(warning.message) for warning in shown]
    ['Values above 2.5.']
    """
    messages = []
    try:
        with warnings.catch_warnings(record=True) as messages:
            yield
    finally:
        shown = set()
        for each in messages:
            kind = each.category, re.sub(r"[-+.\d]+(e[-+]?\d+)?", "0", str(each.message))
            if kind not in shown:
                shown.add(kind)
                warnings.warn_explicit(
                    each.message, each.category, each.filename, each.lineno, source=each.source
                )
