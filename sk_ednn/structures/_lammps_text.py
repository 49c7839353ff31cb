"""Files of LAMMPS: the units that they state, and an energy that they do not contain."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Styles of units with lengths in Å; forces are in eV/Å in the first alone.
_FORCES, _LENGTHS = {"metal"}, {"metal", "real"}
# In the first line of data files, and in the header of dumps with "dump_modify units yes".
_OF_DATA = re.compile(r"\bunits\s*=\s*(\w+)")
_OF_DUMPS = re.compile(r"ITEM: UNITS\s*\n\s*(\w+)")
_HEAD = 4096  # characters


def checked(frames, file, kind) -> Iterator:
    """Yield the structures of a data file or dump of LAMMPS in units of ASE.

    Readers of ASE take lengths for Å and forces for eV/Å, whatever the file states, and give
    structures of dumps the energy 0.

    Parameters
    ----------
    frames : iterable of ase.Atoms
    file : str
    kind : str
        The format's name in ASE.

    Raises
    ------
    ValueError
        If the file states other units.
    """
    with open(file, encoding="utf-8", errors="replace") as text:
        head = text.read(_HEAD)
    found = (_OF_DATA if kind == "lammps-data" else _OF_DUMPS).search(head)
    style = None if found is None else found[1].lower()
    if style is not None and style not in _LENGTHS:
        raise ValueError(
            f"it states units {style!r} of LAMMPS, whose lengths are not in Å. Convert it to "
            "units 'metal' first"
        )
    for structure in frames:
        results = {} if structure.calc is None else structure.calc.results
        if "forces" in results and style not in (None, *_FORCES):
            raise ValueError(
                f"it has forces, and states units {style!r} of LAMMPS, whose forces are not in "
                "eV/Å. Convert it to units 'metal' first"
            )
        if kind != "lammps-data":
            results.pop("energy", None)
        yield structure
