"""Units that arrays name: models compare those of later fields with those of the fit.

Numbers in other units are other numbers, and nothing else about them shows it: temperatures in K
and in °C, or fields in T and in mT, may well lie in one range.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from typing import Any

from .._utils.optional import is_from
from .._utils.stacklevel import outside_package
from ..exceptions import DataWarning

# Attributes of xarray, HDF5 and zarr, in the order of preference.
_ATTRIBUTES = ("units", "unit", "Units", "Unit", "UNITS", "UNIT")
# Names of one unit, as `_plain` writes them. Upper and lower case differ: mT is not MT.
# Letters that some write for several units, as A for ampere and ångström, equal only themselves.
_SAME = {
    "kelvin": "K", "degK": "K", "Kelvin": "K", "celsius": "°C", "Celsius": "°C", "degC": "°C",
    "deg_C": "°C", "degreesC": "°C", "degrees_Celsius": "°C", "degreesCelsius": "°C",
    "degrees_celsius": "°C", "degree_Celsius": "°C", "degree_celsius": "°C", "C°": "°C",
    "ev": "eV", "electronvolt": "eV", "electron_volt": "eV", "angstrom": "Å", "Angstrom": "Å",
    "angstroms": "Å", "Angstroms": "Å", "ångström": "Å", "Ångström": "Å", "ang": "Å", "Ang": "Å",
    "tesla": "T", "millitesla": "mT", "meter": "m", "metre": "m", "meters": "m", "metres": "m",
    "": "1", "dimensionless": "1", "unitless": "1", "none": "1", "None": "1", "-": "1",
}  # fmt: skip

# A factor of a unit with its sign and exponent; a name ends where a digit or a sign begins.
_FACTOR = re.compile(
    r"\s*(?P<sign>[*/·]|(?<=\s)|(?<!.))\s*(?P<name>1|[^\W\d](?:[^\W\d]|(?<=°).)*|[°%][^\W\d]*)"
    r"\s*(?:\^|\*\*)?(?P<power>-?\d+)?\s*"
)


def unit_of(x) -> str | None:
    """Return the unit that an array names, None if it names none.

    Parameters
    ----------
    x : object
        Arrays of xarray, h5py and zarr have attributes ``units``; quantities of pint and astropy,
        and sources, know their unit.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.fields._units import unit_of
    >>> unit_of(np.ones(3)) is None
    True
    """
    if is_from(x, "pint"):
        return str(x.units)
    if is_from(x, "astropy"):
        return str(getattr(x, "unit", "")) or None
    attributes: Any = getattr(x, "attrs", None)
    if attributes is None:
        unit = getattr(x, "unit", None)
        return unit if isinstance(unit, str) else None
    try:
        for name in _ATTRIBUTES:
            unit = attributes.get(name)
            unit = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else unit
            if isinstance(unit, str):
                return str(unit)
    except (AttributeError, RuntimeError, ValueError, OSError):
        pass  # no attributes, or those of a closed file, which is reported elsewhere
    return None


def unit_of_fields(X) -> str | None:
    """Return the unit of fields: of an array, or of the first field of a list that names one.

    Warns
    -----
    DataWarning
        If fields of a list name other units.
    """
    if not isinstance(X, (list, tuple)):
        return unit_of(X)
    units = [(k, unit) for k, unit in enumerate(map(unit_of, X)) if unit is not None]
    if not units:
        return None
    first, unit = units[0]
    for k, other in units[1:]:
        if _plain(other) != _plain(unit):
            warnings.warn(
                f"X[{first}] is in {unit!r} and X[{k}] in {other!r}, as their attributes say. "
                "Numbers are used as they are: convert them to one unit, or correct the "
                "attributes.",
                DataWarning,
                stacklevel=outside_package(),
            )
            break
    return unit


def keep_unit(estimator, unit) -> None:
    """Set or remove the attribute ``field_unit_`` of an estimator that was fitted."""
    if unit is None:
        vars(estimator).pop("field_unit_", None)
    else:
        estimator.field_unit_ = unit


def warn_of_unit(estimator, unit, name="X") -> None:
    """Warn if fields name another unit than those of the fit.

    Parameters
    ----------
    estimator : fitted estimator
        With ``field_unit_`` if the fields of the fit named a unit.
    unit : str or None
        Unit of the fields, None if they name none.
    name : str, default="X"
        For the message.
    """
    fitted = getattr(estimator, "field_unit_", None)
    if isinstance(fitted, str) and unit is not None and _plain(unit) != _plain(fitted):
        warnings.warn(
            f"{name} is in {unit!r}, as its attribute says, but the fields of the fit were in "
            f"{fitted!r}. Numbers are used as they are: convert {name}, or correct the "
            "attribute.",
            DataWarning,
            stacklevel=outside_package(),
        )


def _plain(unit) -> tuple[tuple[str, int], ...] | str:
    """Return what all spellings of a unit share: its factors and their exponents.

    ``m s-1``, ``m/s`` and ``m*s**-1`` are one unit. What is no such product, such as one with
    parentheses or numbers, is compared as text without spaces.
    """
    text = unicodedata.normalize("NFKC", unit).strip().replace("\u2212", "-")
    if text in _SAME:
        text = _SAME[text]
    exponents: dict[str, int] = {}
    position = 0
    for factor in _FACTOR.finditer(text):
        if factor.start() != position:
            break
        position = factor.end()
        power = int(factor["power"] or 1) * (-1 if factor["sign"] == "/" else 1)
        name = _SAME.get(factor["name"], factor["name"])
        exponents[name] = exponents.get(name, 0) + power
    if not text or position != len(text):
        return re.sub(r"\s", "", text.replace("**", "^"))
    kept = ((name, power) for name, power in exponents.items() if power and name != "1")
    return tuple(sorted(kept))
