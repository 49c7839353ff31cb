"""Names of labels that structures carry, and the choice among them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .._utils.masks import unknown_as_nan
from ._labels import _NAMES

# Names in the order of preference; then any name that contains one of _WORDS.
_PREFERRED = {
    "energy": _NAMES,
    "forces": ("forces", "force", "REF_forces", "ref_forces", "dft_forces", "DFT_forces"),
    "stress": ("stress", "REF_stress", "ref_stress", "dft_stress", "DFT_stress"),
}  # fmt: skip
_WORDS = {"energy": ("energy",), "forces": ("force",), "stress": ("stress", "virial")}
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
    """

    kind: str
    values: list[dict] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)

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


def named_labels(structures) -> dict[str, Named]:
    """Return the labels of structures: results of calculators, then entries of files.

    Parameters
    ----------
    structures : sequence
        Only `ase.Atoms` have labels.

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
        _of_entries(structure, of_structure)
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


def _of_entries(structure, of_structure):
    """Add entries of ``info`` and ``arrays`` whose names contain one of _WORDS."""
    for kind, name, value in _entries(structure):
        if name not in of_structure[kind]:
            of_structure[kind][name] = value


def _entries(structure):
    n_atoms = len(getattr(structure, "numbers", ()))
    for name, value in getattr(structure, "info", {}).items():
        if not isinstance(name, str):
            continue
        if _names(name, "energy") and np.ndim(value) == 0 and not isinstance(value, bool):
            yield "energy", name, _array(value)
        elif _names(name, "stress") and np.size(value) in (6, 9):
            yield "stress", name, _array(value)
    arrays = getattr(structure, "arrays", {})
    for name, value in arrays.items():
        if _names(name, "forces") and np.shape(value) == (n_atoms, 3):
            yield "forces", name, _array(value)


def _array(value) -> np.ndarray:
    return unknown_as_nan(value, "A label") if np.ma.isMaskedArray(value) else np.asarray(value)


def _names(name, kind):
    lower = name.lower()
    return any(word in lower for word in _WORDS[kind]) and not lower.endswith("weight")
