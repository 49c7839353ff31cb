"""Structures with energies, forces and stresses, the training data of potentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..exceptions import TileModelError
from ..structures import Structures
from ..structures._elements import symbol
from ..structures._files import is_path, naming, read_with_places
from ..structures._named_units import require_named_units
from ._label_readers import READERS
from ._named_labels import KINDS, Named, named_labels

_UNITS = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³"}


@dataclass(frozen=True, eq=False)
class LabelledStructures:
    """Structures and their labels; NaN for unknown labels.

    Attributes
    ----------
    structures : Structures
    energies : ndarray of shape (n_structures,), in eV
    forces : ndarray of shape (n_atoms, 3), in eV/Å
    stress : ndarray of shape (n_structures, 6), in eV/Å³
    places : list of str
        Name of each structure for messages: its file and its index there.
    labels : dict
        Summary of the labels by kind, and of labels that were not read.
    notes : list of str
        Texts of warnings.
    """

    structures: Structures
    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    places: list
    labels: dict
    notes: list

    def forces_of(self, k):
        """Return the forces of one structure."""
        return self.forces[slice(*self.structures.offsets[k : k + 2])]


def packed(X):
    """Convert structures of any form to a batch.

    Parameters
    ----------
    X : Structures, sequence of structures or names of files, or a name

    Returns
    -------
    structures : Structures
    given : sequence
        The structures as objects, which carry labels.
    places : list of str
        Name of each structure for messages.
    """
    if isinstance(X, Structures):
        return X, (), [f"structure {k}" for k in range(len(X))]
    given, places = X, None
    if is_path(X) or (hasattr(X, "__len__") and any(is_path(each) for each in X)):
        given, places = [], []
        for each in [X] if is_path(X) else X:
            if not is_path(each):
                given.append(each)
                places.append(f"structure {len(places)}")
                continue
            for structure, place in read_with_places(each):
                given.append(structure)
                places.append(place)
    with naming(places):
        structures = Structures.of(_in_space(given))
    return structures, given, places or [f"structure {k}" for k in range(len(structures))]


def _in_space(X):
    """Add z = 0 to structures with two coordinates."""
    if not (hasattr(X, "__len__") and hasattr(X, "__iter__")) or hasattr(X, "positions"):
        return X  # not a sequence of structures, which `Structures.of` rejects
    return X if isinstance(X, Mapping) else [_lifted(each) for each in X]


def _lifted(structure):
    get = structure.get if isinstance(structure, Mapping) else partial(getattr, structure)
    positions = get("positions", None)
    if np.ndim(positions) != 2 or np.shape(positions)[1] != 2:
        return structure
    return {
        "numbers": get("numbers", None), "positions": np.pad(positions, ((0, 0), (0, 1))),
        "cell": get("cell", None), "pbc": get("pbc", None),
    }  # fmt: skip


def labelled(X, y=None, forces=None, stress=None, names=None) -> LabelledStructures:
    """Read structures and their labels.

    Parameters
    ----------
    X : Structures, sequence of structures or names of files, or a name
    y : array-like of shape (n_structures,), default=None
        Energies in eV, NaN if unknown. None for those that the structures carry.
    forces : sequence of array-like of shape (n_atoms, 3), array of all atoms, or False
        In eV/Å. None for those that the structures carry, False for none.
    stress : array-like of shape (n_structures, 6) or (n_structures, 3, 3), or False
        In eV/Å³, positive under tension. None for those that the structures carry, False for none.
    names : dict of str to str or None, default=None
        The name of "energy", "forces" or "stress" in the structures; None not to read them.

    Returns
    -------
    LabelledStructures

    Raises
    ------
    ValueError, TileModelError
        If data are invalid. The message names the structure, and its file and line.
    """
    structures, given, places = packed(X)
    names = dict(names or {})
    unknown = sorted(set(names) - set(KINDS))
    if unknown:
        raise ValueError(f"The keys of labels must be among {', '.join(KINDS)}; got {unknown}.")
    carried = named_labels(given, names)
    arguments = {"energy": y, "forces": forces, "stress": stress}
    labels: dict = {"unread": []}
    arrays = {}
    for kind in KINDS:
        reader = READERS[kind](structures, places)
        if arguments[kind] is False or (
            kind in names and names[kind] is None and arguments[kind] is None
        ):
            source, values = None, None
        elif arguments[kind] is not None:
            source, values = "given", reader.given(arguments[kind])
        else:
            with naming(places):
                source = carried[kind].chosen(names.get(kind))
            values = None if source is None else reader.named(carried[kind], source)
            _note_unread(labels["unread"], carried[kind], source, places)
        arrays[kind] = reader.missing() if values is None else values
        is_known = reader.known(arrays[kind])
        labels[kind] = {"from": source, "known": int(is_known.sum()), "unit": _UNITS[kind]}
    require_named_units(
        given,
        places,
        {kind: labels[kind]["from"] for kind in KINDS if labels[kind]["from"] != "given"},
    )
    _check_stress_has_cells(arrays["stress"], structures, places)
    if not any(labels[kind]["known"] for kind in KINDS):
        raise TileModelError(
            f"The {len(structures)} structures have no energies, forces or stresses, neither of a "
            f"calculator nor under another name. The first is {places[0]}."
        )
    numbers = np.unique(structures.numbers)
    labels |= {
        "structures": len(structures), "atoms": structures.n_atoms,
        "species": [symbol(int(number)) for number in numbers],
    }  # fmt: skip
    data = LabelledStructures(
        structures, arrays["energy"], arrays["forces"], arrays["stress"], places, labels, []
    )
    data.notes.extend(_notes(data))
    data.notes.extend(_of_constraints(data, given))
    return data


def summary(labels) -> str:
    """Return a one-line summary of the labels.

    Parameters
    ----------
    labels : dict
        Attribute of `LabelledStructures`.
    """
    parts = []
    for kind, total in (("energy", "structures"), ("forces", "atoms"), ("stress", "structures")):
        of_kind = labels[kind]
        if of_kind["known"]:
            source = "" if of_kind["from"] in (None, "given") else f" from {of_kind['from']!r}"
            parts.append(f"{kind}{source} of {of_kind['known']} of {labels[total]} {total}")
        else:
            parts.append(f"no {kind}")
    species = ", ".join(labels["species"])
    return f"{labels['structures']} structures, {labels['atoms']} atoms ({species}): " + "; ".join(
        parts
    )


# --- checks and warnings -----------------------------------------------------------------------


def _check_stress_has_cells(stress, structures, places):
    has_stress = ~np.isnan(stress).all(axis=1)
    without = np.flatnonzero(has_stress & (structures.volumes <= 0))
    if without.size:
        raise ValueError(
            f"{places[without[0]]} has a stress, but no cell with a volume ({without.size} such "
            "structure(s) in all). Set the cell, or ignore stresses: labels={'stress': None}."
        )
    isolated = np.flatnonzero(has_stress & ~structures.pbc.any(axis=1))
    if isolated.size:
        raise ValueError(
            f"{places[isolated[0]]} has a stress, but is not periodic ({isolated.size} such "
            "structure(s) in all). Set pbc, or ignore stresses: labels={'stress': None}."
        )


def _note_unread(unread, carried: Named, source, places):
    """Add labels that are not read to a list."""
    if carried.stale:
        unread.append(
            f"{carried.kind} of {len(carried.stale)} structure(s) whose atoms moved since the "
            f"calculation, the first {places[carried.stale[0]]}"
        )
    if source is None:  # beside a label they say how good it is, or are derived from it
        unread.extend(
            f"{name!r}, which by its name, place or shape is not the {carried.kind} (the first "
            f"{places[k]})"
            for name, k in carried.others.items()
        )
    for name in carried.names():
        if name == source:
            continue
        have = [k for k, of_structure in enumerate(carried.values) if name in of_structure]
        instead = [k for k in have if source not in carried.values[k]]
        if instead:
            unread.append(
                f"{name!r} of {len(instead)} structure(s) that have no {source!r}, the first "
                f"{places[instead[0]]}"
            )
        elif _differ(carried, have, name, source):
            unread.append(f"{name!r} of {len(have)} structure(s), beside {source!r}")


def _differ(carried, have, name, source) -> bool:
    for k in have:
        one, other = carried.values[k][name], carried.values[k][source]
        if one.shape != other.shape or one.dtype.kind not in "iuf":
            return True
        if not np.allclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True):
            return True
    return False


def _notes(data):
    """Yield warnings of labels that are not read, and of missing ones."""
    labels, places = data.labels, data.places
    for text in labels["unread"]:
        hint = ""
        if "'free_energy'" in text:
            hint = " Forces are gradients of the free energy: labels={'energy': 'free_energy'}."
        yield f"Labels that are not read: {text}. Choose labels with labels={{...}}.{hint}"
    for kind, values in (
        ("energy", data.energies[:, None]), ("forces", data.forces), ("stress", data.stress)
    ):  # fmt: skip
        is_known = ~np.isnan(values).any(axis=1)
        if labels[kind]["from"] is None or is_known.all():
            continue
        missing = np.flatnonzero(~is_known)
        if kind == "stress":  # those that are not periodic in all directions have none
            missing = missing[data.structures.pbc[missing].all(axis=1)]
            if not len(missing):
                continue
        structures = data.structures.owners[missing] if kind == "forces" else missing
        yield (
            f"{len(np.unique(structures))} of {len(places)} structures have no {kind} or NaN, the "
            f"first {places[structures[0]]}. The fit ignores the missing labels."
        )


def _of_constraints(data, given):
    """Yield a warning if forces are exactly 0 where constraints act, and not elsewhere."""
    zeroed = []
    for k, structure in enumerate(given):
        held = _held(structure)
        if held is None:
            continue
        forces = data.forces_of(k)
        # Along axes that are held nowhere, forces of symmetric structures may all be 0.
        free = np.nan_to_num(forces[:, held.any(axis=0)][~held[:, held.any(axis=0)]])
        if not forces[held].any() and free.any():
            zeroed.append(k)
    if zeroed:
        yield (
            f"The forces on the constrained atoms of {len(zeroed)} structure(s) are exactly 0, the "
            f"first {data.places[zeroed[0]]}. Programs write 0 for constrained atoms. Set these "
            "forces to NaN, so that the fit ignores them, or calculate without constraints."
        )


def _held(structure) -> np.ndarray | None:
    """Return which components of forces the constraints of a structure set to 0; None for none."""
    constraints = getattr(structure, "constraints", None)
    if not constraints:
        return None
    from ase.constraints import FixAtoms, FixCartesian, FixedLine, FixedPlane, FixScaled

    kinds = (FixAtoms, FixCartesian, FixScaled, FixedLine, FixedPlane)
    held = np.zeros((len(structure), 3), dtype=bool)
    for constraint in constraints:
        if isinstance(constraint, kinds):
            forces = np.random.default_rng(0).uniform(1, 2, held.shape)
            constraint.adjust_forces(structure, forces)
            held |= forces == 0
    return held if held.any() else None
