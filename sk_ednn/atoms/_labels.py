"""Energies and forces of structures, from their calculators or from entries of files.

They are read as they are in the file, whereas ASE's ``get_forces`` sets forces on constrained
atoms to zero, and ``get_potential_energy`` adds the energies of springs.
"""

import numpy as np

from ..fields._in_memory import as_array
from ..structures._named_units import require_named_units

# Names of energies, in the order of preference; then any name that contains "energy".
_NAMES = ("energy", "REF_energy", "ref_energy", "dft_energy", "DFT_energy", "total_energy")
# Parts of names, in lower case without underscores, of what is no total although its name contains
# that of a label: energy_per_atom, fermi_energy, energy_cutoff, forces_error.
_NO_TOTALS = (
    "peratom", "fermi", "cutoff", "kinetic", "zeropoint", "abovehull", "error", "std", "sigma",
    "uncertainty", "variance", "weight", "threshold", "tolerance", "correction",
)  # fmt: skip


def is_label(name, words) -> bool:
    """Return True if a name contains one of some words, and is not that of another quantity.

    Parameters
    ----------
    name : str
    words : tuple of str
        In lower case.

    Examples
    --------
    >>> from sk_ednn.atoms._labels import is_label
    >>> is_label("PBE_Energy", ("energy",)), is_label("energy_per_atom", ("energy",))
    (True, False)
    """
    lower = name.lower()
    plain = lower.replace("_", "").replace("-", "").replace(" ", "").replace("/", "per")
    return any(word in lower for word in words) and not any(part in plain for part in _NO_TOTALS)


def energies_of(structures, name=None):
    """Return the energies of structures.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    name : str, default=None
        Name of a result of the calculators, such as "free_energy", or of an entry of
        ``atoms.info``. None for "energy" of the calculators or, if there is none, for the entry of
        ``info`` whose name contains "energy", except those such as "energy_per_atom".

    Returns
    -------
    energies : ndarray of shape (n_structures,), in eV
    name : str
        Name of the energies.

    Raises
    ------
    ValueError
        If structures have no energy, energies are not finite numbers, or several entries could be
        meant. The message lists the entries.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.atoms import energies_of
    >>> copper = bulk("Cu", cubic=True)
    >>> copper.calc = EMT()
    >>> copper.info["dft_energy"] = -14.9
    >>> energies, name = energies_of([copper], "dft_energy")
    >>> energies.tolist(), name
    ([-14.9], 'dft_energy')
    """
    named = [_scalars(structure) for structure in structures]
    if name is None:
        name = _energy_name(named)
    missing = [k for k, values in enumerate(named) if name not in values]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(named)} structures have no {name!r}, first structure "
            f"{missing[0]}, which has {_listed(named[missing[0]])}. Leave them out, or choose "
            "another name."
        )
    for k, values in enumerate(named):
        # In files a label can be text, a boolean or an array.
        if np.ndim(values[name]) or np.asarray(values[name]).dtype.kind not in "iuf":
            raise ValueError(
                f"Energies must be numbers, but structure {k} has {name} = {values[name]!r}."
            )
    places = [f"structure {k}" for k in range(len(structures))]
    require_named_units(structures, places, {"energy": name})
    energies = np.array([values[name] for values in named], dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(energies))
    if wrong.size:
        raise ValueError(
            f"Energies must be finite, but structure {wrong[0]} has {name} = {energies[wrong[0]]} "
            f"({wrong.size} such structure(s) in all)."
        )
    return energies, name


def forces_of(structures, name=None):
    """Return the forces on the atoms of structures, constrained atoms included.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    name : str, default=None
        Name of an entry of ``atoms.arrays``; None for the forces of the calculators.

    Returns
    -------
    list of ndarray of shape (n_atoms, 3), in eV/Å

    Raises
    ------
    ValueError
        If structures have no forces, or forces are not finite numbers.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from ase.constraints import FixAtoms
    >>> from sk_ednn.atoms import forces_of
    >>> copper = bulk("Cu", cubic=True)
    >>> copper.positions[0, 0] += 0.1
    >>> copper.set_constraint(FixAtoms([0]))
    >>> copper.calc = EMT()
    >>> copper.get_forces()[0].tolist()
    [0.0, 0.0, 0.0]
    >>> bool(abs(forces_of([copper])[0][0, 0]) > 0.1)
    True
    """
    by_structure = []
    for structure in structures:
        if name is not None:
            by_structure.append(structure.arrays.get(name))
            continue
        by_structure.append(_result(structure, "forces"))
    missing = [k for k, forces in enumerate(by_structure) if forces is None]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(by_structure)} structures have no {name or 'forces'}, first "
            f"structure {missing[0]}. Leave them out, or fit to energies alone."
        )
    places = [f"structure {k}" for k in range(len(structures))]
    require_named_units(structures, places, {"forces": name or "forces"})
    by_structure = [
        as_array(forces, f"forces of structure {k}") for k, forces in enumerate(by_structure)
    ]
    for k, forces in enumerate(by_structure):
        if forces.dtype.kind not in "iuf":
            raise ValueError(f"Forces must be numbers, but those of structure {k} are not.")
        if not np.isfinite(forces).all():
            raise ValueError(f"Forces must be finite, but those of structure {k} are not.")
    return [forces.astype(np.float64) for forces in by_structure]


def _result(structure, name):
    """Return a result of the calculator, computed if possible; None if there is none."""
    calculator = structure.calc
    if calculator is None:
        return None
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        return calculator.get_property(name, structure)
    except PropertyNotImplementedError:
        return None


def _scalars(structure) -> dict[str, float]:
    """Return the numbers of a structure by name, those of its calculator first."""
    scalars = {}
    for name in ("energy", "free_energy"):
        value = _result(structure, name)
        if value is not None:
            scalars[name] = value
    for name, value in structure.info.items():
        if isinstance(name, str) and name not in scalars and np.ndim(value) == 0:
            if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
                scalars[name] = float(value)
    return scalars


def _energy_name(named) -> str:
    """Return the name of the energies."""
    everywhere = [name for name in named[0] if all(name in values for values in named)]
    energies = [name for name in everywhere if is_label(name, ("energy",)) or name.lower() == "e"]
    # The comments of CP2K's trajectories: i = 5, time = 2.500, E = -17.1643447508
    if energies == ["E"] and {"i", "time"} <= set(everywhere):
        raise ValueError(
            "The structures have entries i, time and E, as CP2K writes them, and its energies E "
            "are in hartree. Convert them with ase.units.Hartree, and name them energy."
        )
    for name in _NAMES:
        if name in energies:
            return name
    if len(energies) == 1:
        return energies[0]
    if not energies:
        somewhere = sorted(
            {name for values in named for name in values if is_label(name, ("energy",))}
        )
        for name in _NAMES:
            if name in somewhere:
                return name  # some structures have it; the error counts the others
        raise ValueError(
            f"{len(named)} of {len(named)} structures have no energy, neither of a calculator nor "
            f"as an entry of info. The first has {_listed(named[0])}. Pass the name of the energy."
        )
    raise ValueError(
        f"Several entries could be energies: {', '.join(energies)}. Pass one of these names."
    )


def _listed(values) -> str:
    return ", ".join(values) or "no numbers"


def with_energies(structures, energies) -> list:
    """Return copies of structures with other energies, in eV, and their forces and stresses.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    energies : sequence of float

    Returns
    -------
    list of ase.Atoms
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    labelled = []
    for structure, energy in zip(structures, energies, strict=True):
        known = {} if structure.calc is None else structure.calc.results
        # Energies of other names, such as free ones, would be labels beside the new one.
        others = {name: value for name, value in known.items() if "energ" not in name}
        copy = structure.copy()
        copy.info = {name: v for name, v in copy.info.items() if not is_label(name, ("energy",))}
        copy.calc = SinglePointCalculator(copy, energy=float(energy), **others)
        labelled.append(copy)
    return labelled
