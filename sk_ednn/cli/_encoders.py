"""The options of ``fit`` for labels and angles."""

from __future__ import annotations

import math

# Name of the number on the command line.
_PI = "pi"
# Numbers of different values with which fields may be labels as well as amounts. Two values are
# the same either way, and more are hardly ever labels.
_FEW_VALUES = (3, 8)


def check_encoding(options) -> None:
    """Raise if options on the values of fields contradict each other."""
    if options.categorical and options.angles is not None:
        raise ValueError(
            "Fields contain labels or angles: use --categorical or --angles, not both."
        )
    if options.angles is not None:
        period_of(options.angles)
    elif options.harmonics != 1:
        raise ValueError("--harmonics is for angles: name their period too, such as --angles 360.")
    if (options.categorical or options.angles is not None) and options.channel_axis is not None:
        raise ValueError(
            "--categorical and --angles are for fields without channels: leave out --channel-axis. "
            "To encode fields with several channels, use sk_ednn.encoders in Python."
        )


def period_of(text) -> float:
    """Return a period written as 360, 6.2832, 2pi or pi."""
    number, _, rest = text.strip().lower().replace(" ", "").replace("*", "").partition(_PI)
    try:
        factor = float(number) if number or _PI not in text.lower() else 1.0
        period = factor * (math.pi if _PI in text.lower() else 1.0)
    except ValueError:
        period = math.nan
    if rest or not (math.isfinite(period) and period > 0):
        raise ValueError(f"--angles must be a period such as 360, 180, 2pi or pi, got {text!r}.")
    return period


def encoder_of(options, X):
    """Return the requested transformer of fields, or None.

    Labels are those of all fields of the file, held back or not.
    """
    if not options.categorical and options.angles is None:
        return None
    from ..encoders import AngleFields, OneHotFields

    if options.angles is not None:
        return AngleFields(period_of(options.angles), options.harmonics).fit(X)
    return OneHotFields(OneHotFields().fit(X).categories_).fit(X)


def encoder_to_compare(options, X):
    """Return a transformer with a channel for each value, if ``--model auto`` compares it.

    It does for fields of three to eight different values, such as spins 1, that are neither
    channels nor angles.

    Parameters
    ----------
    options : namespace
    X : ndarray of shape (n_samples, *field_shape), or list
        All fields of the file, held back or not.
    """
    given = options.categorical or options.angles is not None or options.channel_axis is not None
    if given or options.model != "auto" or not has_few_values(X):
        return None
    from ..encoders import OneHotFields

    return OneHotFields(OneHotFields().fit(X).categories_).fit(X)


def has_few_values(X) -> bool:
    """Return True if sites have three to eight different values, such as spins 1."""
    from ..fields._fields import check_fields
    from ..fields._levels import levels_of

    if not hasattr(X, "dtype") or X.dtype.kind not in "iuf":
        return False
    levels = levels_of(check_fields(X))
    return levels is not None and _FEW_VALUES[0] <= len(levels) <= _FEW_VALUES[1]
