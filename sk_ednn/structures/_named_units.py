"""Units that structures name in their entries: only eV and Å, and what follows, are taken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

# What each kind of number is in, for messages, and how that is written by `_plain`.
_OURS = {
    "energy": ("eV", {"ev"}),
    "forces": ("eV/Å", {"ev/a", "eva-1", "evpera"}),
    "stress": ("eV/Å³", {"ev/a3", "eva-3", "evpera3"}),
    "virial": ("eV", {"ev"}),
    "positions": ("Å", {"a"}),
}
# What names of entries consist of, beside "unit": energy_unit, units_of_forces, cell-length-units.
_WORDS = {
    "energy": "energy", "energies": "energy", "force": "forces", "forces": "forces",
    "gradient": "forces", "gradients": "forces", "stress": "stress", "stresses": "stress",
    "virial": "virial", "virials": "virial", "length": "positions", "lengths": "positions",
    "position": "positions", "positions": "positions", "pos": "positions",
    "distance": "positions", "distances": "positions", "coordinate": "positions",
    "coordinates": "positions", "coords": "positions", "cell": "positions", "lattice": "positions",
}  # fmt: skip
_UNIT = {"unit", "units"}
_BESIDE = {"of", "the", "all", "total", "potential", "free", "dft", "ref", "qm"}
# Words by which an entry without the name of a quantity, or the name of a label, shows another
# unit. Of a label's name, the second are not read: Au and Pa are elements.
_FOREIGN = {
    "hartree", "ha", "eh", "ry", "rydberg", "kcal", "kcalmol", "kj", "kjmol", "bohr", "mev", "kev",
    "gpa", "mpa", "kbar", "mbar", "joule",
}  # fmt: skip
_FOREIGN_VALUES = _FOREIGN | {
    "au", "atomic", "bar", "pa", "cal", "j", "nm", "pm", "atom", "real", "si", "cgs", "electron",
    "lj", "nano", "micro", "hartrees", "a0",
}  # fmt: skip
_LENGTHS = {"bohr", "nm", "pm", "a0"}


def require_named_units(structures, places, labels=None) -> None:
    """Raise if structures name units other than eV, Å, eV/Å and eV/Å³.

    Parameters
    ----------
    structures : sequence
        Only objects with ``info``, such as `ase.Atoms`, name units.
    places : sequence of str
        Name of each structure for messages.
    labels : dict of str to str, default=None
        Names of the energies, forces and stresses that are read; units of others do not matter.

    Raises
    ------
    ValueError
        The message names the structure and the entry.
    """
    labels = {kind: name for kind, name in (labels or {}).items() if name is not None}
    for kind, name in labels.items():
        told = _FOREIGN & set(_words(name))
        if told:
            raise ValueError(
                f"The name of the {kind} {name!r} says that they are in other units than "
                f"{_OURS[kind][0]}. Convert them, and name them {kind}."
            )
    if "virial" in labels.get("stress", "").lower():
        labels["virial"] = labels.pop("stress")
    wanted = {"positions", *labels}
    for k, structure in enumerate(structures):
        info = getattr(structure, "info", None)
        if not isinstance(info, Mapping):
            continue
        for entry, kind, unit in _named(info, labels):
            if kind in wanted and _plain(unit) not in _OURS[kind][1]:
                _refuse(places[k], entry, unit, kind)
            words = set(_words(unit))
            if kind == "any" and (words & _LENGTHS or (labels and words & _FOREIGN_VALUES)):
                _refuse(places[k], entry, unit, None)


def _refuse(place, entry, unit, kind) -> None:
    what = "numbers" if kind is None else kind
    ours = "eV, Å, eV/Å and eV/Å³" if kind is None else _OURS[kind][0]
    raise ValueError(
        f"{place} has {entry} = {unit!r}, but {what} are taken in {ours}. Convert them, for "
        "example with ase.units, and correct or remove this entry."
    )


def _named(info, labels):
    """Yield the entries that name a unit: their names, the kind of number or "any", the unit."""
    of_labels = {tuple(_words(name)): kind for kind, name in labels.items()}
    for name, value in info.items():
        words = _words(name) if isinstance(name, str) else []
        if not _UNIT & set(words) or words[:2] == ["unit", "cell"]:
            continue
        kind = _kind([word for word in words if word not in _UNIT], of_labels)
        if kind is None:
            continue
        if isinstance(value, str):
            yield name, kind, value
        elif isinstance(value, Mapping):
            for part, unit in value.items():
                of_part = _kind(_words(str(part)), of_labels)
                if of_part is not None and isinstance(unit, str):
                    yield f"{name}[{part!r}]", of_part, unit


def _kind(words, of_labels) -> str | None:
    """Return what a unit is of: "any" if nothing is named, None for another quantity."""
    if tuple(words) in of_labels:
        return of_labels[tuple(words)]
    words = [word for word in words if word not in _BESIDE]
    kinds = {_WORDS.get(word) for word in words}
    return kinds.pop() if len(kinds) == 1 else None if words else "any"


def _words(text) -> list[str]:
    """Return the words of a name or unit, in lower case: energyUnit has two."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text)
    return [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]


def _plain(unit) -> str:
    text = unicodedata.normalize("NFKC", unit).lower()  # superscripts, and the sign of Å
    text = re.sub(r"angstr[oö]ms?|ångstr[oö]ms?|\bang\b|å", "a", text)
    text = re.sub(r"electron[ -]?volts?", "ev", text)
    return re.sub(r"[\s*^._()\[\]{}]", "", text.replace("\u2212", "-"))
