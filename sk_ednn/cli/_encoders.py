"""Labels and angles, as ``fit`` is told of them."""

from __future__ import annotations

import math

# Of the command line, where a word is all that can be written.
_PI = "pi"


def check_encoding(asked) -> None:
    """Raise where the options on what fields hold do not go together."""
    if asked.categorical and asked.angles is not None:
        raise ValueError("Fields hold labels or angles: give one of --categorical and --angles.")
    if asked.angles is not None:
        period_of(asked.angles)
    if (asked.categorical or asked.angles is not None) and asked.channel_axis is not None:
        raise ValueError(
            "--categorical and --angles make the channels of fields that have none: leave out "
            "--channel-axis. Fields with channels of several kinds are encoded in Python, see "
            "sk_ednn.encoders."
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


def encoder_of(asked, X):
    """Return the transformer of the fields that is asked for, None where there is none.

    Labels are those of all fields of the file, held back or not.
    """
    if not asked.categorical and asked.angles is None:
        return None
    from ..encoders import AngleFields, OneHotFields

    if asked.angles is not None:
        return AngleFields(period_of(asked.angles)).fit(X)
    return OneHotFields(OneHotFields().fit(X).categories_).fit(X)
