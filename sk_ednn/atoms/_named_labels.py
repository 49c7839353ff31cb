"""Names of labels that structures carry, and the choice among them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from .._utils.masks import unknown_as_nan
from ._labels import _NAMES, is_label

# Names in the order of preference; then any name that contains one of _WORDS.
_PREFERRED = {
    "energy": _NAMES,
    "forces": ("forces", "force", "REF_forces", "ref_forces", "dft_forces", "DFT_forces"),
    "stress": ("stress", "REF_stress", "ref_stress", "dft_stress", "DFT_stress"),
}  # fmt: skip
_WORDS = {"energy": ("energy",), "forces": ("force",), "stress": ("stress", "virial")}
# Names of what may be meant, which users are told of.
_RELATED = {
    "energy": re.compile(r"energ|^e(_?tot(al)?)?$|^toten$|^e_?per_?atom$", re.IGNORECASE),
    "forces": re.compile(r"force|gradient|^grad$", re.IGNORECASE),
    "stress": re.compile(r"stress|virial|^pressure$", re.IGNORECASE),
}
KINDS = tuple(_PREFERRED)


@dataclass
class Named:
    """Labels of one kind of each structure, by name.

    Attributes
    ----------
    kind : {"energy", "forces", "stress"}
    values : list of dict of str to ndarray
        Labels of each structure.
    stale : list of int
        Structures whose calculator has results for other positions. These are not read.
    others : dict of str to int
        Names that contain that of the kind or resemble it, but are those of another quantity, in
        another place, or whose values do not have its shape; with the first structure. These are
        not read unless they are requested.
    """

    kind: str
    values: list[dict] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return all names in the order of preference."""
        names = {name for values in self.values for name in values}
        preferred = [name for name in _PREFERRED[self.kind] if name in names]
        return preferred + sorted(names - set(preferred))

    def chosen(self, name=None) -> str | None:
        """Return the requested name, or the preferred one.

        Raises
        ------
        ValueError
            If no structure has the requested name, or several names could be meant.
        """
        names = self.names()
        if name is not None:
            if name not in names:
                raise ValueError(
                    f"No structure has {name!r}. Names of {self.kind} in the structures: "
                    f"{', '.join(names) or 'none'}."
                )
            return name
        preferred = [each for each in names if each in _PREFERRED[self.kind]]
        if preferred:
            return preferred[0]
        names = [each for each in names if each != "free_energy"] or names
        if len(names) > 1:
            raise ValueError(
                f"Several entries could be the {self.kind}: {', '.join(names)}. Choose one, for "
                f"example with labels={{{self.kind!r}: {names[0]!r}}}."
            )
        return names[0] if names else None


def named_labels(structures, names=None) -> dict[str, Named]:
    """Return the labels of structures: results of calculators, then entries of files.

    Parameters
    ----------
    structures : sequence
        Only `ase.Atoms` have labels.
    names : dict of str to str or None, default=None
        Requested names by kind, which may be any.

    Returns
    -------
    dict of str to Named
        By kind.
    """
    by_kind = {kind: Named(kind) for kind in KINDS}
    for k, structure in enumerate(structures):
        of_structure: dict[str, dict] = {kind: {} for kind in KINDS}
        if getattr(structure, "calc", None) is not None:
            _of_calculator(structure, of_structure, k, by_kind)
        for kind, name, value, suits in _entries(structure):
            if suits and ((names or {}).get(kind) == name or _may_be(structure, kind, name, value)):
                of_structure[kind].setdefault(name, _array(value))
            elif _RELATED[kind].search(name):
                by_kind[kind].others.setdefault(name, k)
        for kind in KINDS:
            by_kind[kind].values.append(of_structure[kind])
    return by_kind


def _of_calculator(structure, of_structure, k, by_kind):
    from ase.calculators.singlepoint import SinglePointCalculator

    calculator = structure.calc
    if isinstance(calculator, SinglePointCalculator):
        results = {n: v for n, v in calculator.results.items() if v is not None}
        changed = calculator.check_state(structure)
        for name, kind in _RESULTS.items():
            if name not in results:
                continue
            if changed:
                if k not in by_kind[kind].stale:
                    by_kind[kind].stale.append(k)
            else:
                of_structure[kind][name] = _array(results[name])
        return
    from ._labels import _result

    for name, kind in _RESULTS.items():
        if name == "stress" and not (structure.pbc.all() and structure.cell.rank == 3):
            continue
        if name in calculator.implemented_properties:
            value = _result(structure, name)
            if value is not None:
                of_structure[kind][name] = _array(value)


_RESULTS = {
    "energy": "energy", "free_energy": "energy", "forces": "forces", "stress": "stress",
}  # fmt: skip


def _entries(structure):
    """Yield the entries of ``info`` and ``arrays`` with each kind of label.

    The last part is whether such a label is looked for there: those of structures in ``info``,
    those of atoms in ``arrays``.
    """
    for name, value in getattr(structure, "info", {}).items():
        if isinstance(name, str):
            yield "energy", name, value, True
            yield "stress", name, value, True
            yield "forces", name, value, False
    for name, value in getattr(structure, "arrays", {}).items():
        yield "forces", name, value, True
        yield "energy", name, value, False
        yield "stress", name, value, False


def _may_be(structure, kind, name, value) -> bool:
    """Return True if an entry is a label by its name and shape.

    The shape of an entry with a usual name does not matter: an error says what is wrong with it.
    """
    if name in _PREFERRED[kind]:
        return True
    if not is_label(name, _WORDS[kind]):
        return False
    if kind == "energy":
        return np.ndim(value) == 0 and not isinstance(value, bool)
    if kind == "stress":
        return np.size(value) in (6, 9)
    return np.shape(value) == (len(structure.numbers), 3)


def _array(value) -> np.ndarray:
    return unknown_as_nan(value, "A label") if np.ma.isMaskedArray(value) else np.asarray(value)
