"""Units of energies in tables, and how many eV they are."""

from __future__ import annotations

import re

from .._utils.optional import needing

_WHOLE = re.compile(r"\s*(per|/)\s*(unit )?(cell|structure|system|supercell|file)s?\s*$", re.I)
_SHARE = re.compile(r"(per|/)\s*(atom|f\.?\s?u\.?|formula([ _-]units?)?|site|electron|area)", re.I)
# Names in `ase.units`, divided by those after the stroke, of units as `_plain` writes them.
_NAMES = {
    "ev": "eV", "electronvolt": "eV", "electronvolts": "eV", "ry": "Ry", "rydberg": "Ry",
    "rydbergs": "Ry", "ha": "Ha", "hartree": "Ha", "hartrees": "Ha", "eh": "Ha", "e_h": "Ha",
    "kj/mol": "kJ/mol", "kjmol": "kJ/mol", "kjmol-1": "kJ/mol", "kcal/mol": "kcal/mol",
    "kcalmol": "kcal/mol", "kcalmol-1": "kcal/mol", "j": "J",
}  # fmt: skip
# Of these, upper and lower case are different units, as in meV and MeV.
_CASED = {
    "meV": (1e-3, "eV"), "keV": (1e3, "eV"), "MeV": (1e6, "eV"), "mRy": (1e-3, "Ry"),
    "mHa": (1e-3, "Ha"), "mEh": (1e-3, "Ha"),
}  # fmt: skip


def in_ev(unit: str) -> float | None:
    """Return a unit of energies in eV, or None if it is not known.

    Parameters
    ----------
    unit : str
        Such as ``"kJ/mol"`` or ``"Ry per cell"``.

    Raises
    ------
    ValueError
        If it is that of a part of a system, such as an atom.

    Examples
    --------
    >>> from sk_ednn.structures._energy_units import in_ev
    >>> round(in_ev("kJ/mol per cell"), 6), round(in_ev("Hartree"), 4), in_ev("furlong")
    (0.010364, 27.2114, None)
    """
    plain = _WHOLE.sub("", unit.strip())
    if _SHARE.search(plain):
        raise ValueError(
            f"Energies in {unit!r} are shares of the energy of a structure. A total adds up over "
            "its atoms: multiply each by the number of these."
        )
    with needing(f"Converting {unit}", extra="atoms"):
        from ase import units
    if plain in _CASED:
        times, name = _CASED[plain]
        return times * getattr(units, name)
    known = _NAMES.get(re.sub(r"[\s·⋅*^{}]", "", plain.replace("−", "-")).lower())
    if known is None:
        return None
    above, _, below = known.partition("/")
    return getattr(units, above) / (getattr(units, below) if below else 1.0)
