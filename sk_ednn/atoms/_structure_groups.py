"""Groups of related structures, which are held out together."""

from __future__ import annotations

import numpy as np

# Files are groups, too, unless structures carry a label of this name.
BY_FILE = "file"


def groups_of(structures, places, key) -> np.ndarray:
    """Return the group of each structure: an entry of ``info``, or the name of its file.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    places : sequence of str
        File and index of each structure.
    key : str
        Name of the entry, or "file".

    Raises
    ------
    ValueError
        If some structures have no such entry.
    """
    infos = [getattr(structure, "info", {}) for structure in structures]
    lacking = [k for k, info in enumerate(infos) if key not in info]
    if key == BY_FILE and len(lacking) == len(infos):
        return np.array([place.rpartition(", structure ")[0] for place in places])
    if lacking:
        names = sorted({str(name) for info in infos for name in info})
        raise ValueError(
            f"{len(lacking)} of {len(infos)} structures have no {key!r}, the first "
            f"{places[lacking[0]]}. Their entries are: {', '.join(names[:20]) or 'none'}; "
            f"{BY_FILE!r} takes the files as groups."
        )
    return np.array([str(info[key]) for info in infos])
