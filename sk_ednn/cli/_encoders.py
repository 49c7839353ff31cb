"""The options of ``fit`` for labels and angles."""

from __future__ import annotations

import math

# Name of the number on the command line.
_PI = "pi"


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
