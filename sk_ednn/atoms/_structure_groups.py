"""Groups of related structures, which are held out together."""

from __future__ import annotations

import numpy as np

from ..structures._elements import symbol

# Files and compositions are groups, too, unless structures carry a label of this name.
BY_FILE, BY_COMPOSITION = "file", "composition"


def groups_of(structures, places, key, *, columns=()) -> np.ndarray:
    """Return the group of each structure: an entry of ``info``, its file, or its composition.

    Parameters
    ----------
    structures : sequence of ase.Atoms
    places : sequence of str
        File and index of each structure.
    key : str
        Name of the entry, "file" or "composition".
    columns : sequence of str, default=()
        Names that a table has for structures, which are named beside their entries.

    Raises
    ------
    ValueError
        If some structures have no such entry.
    """
    infos = [getattr(structure, "info", {}) for structure in structures]
    lacking = [k for k, info in enumerate(infos) if key not in info]
    if key == BY_FILE and len(lacking) == len(infos):
        return np.array([place.rpartition(", structure ")[0] or place for place in places])
    if key == BY_COMPOSITION and len(lacking) == len(infos):
        return np.array([composition(structure.numbers) for structure in structures])
    if lacking:
        names = sorted({str(name) for info in infos for name in info})
        raise ValueError(
            f"{len(lacking)} of {len(infos)} structures have no {key!r}, the first "
            f"{places[lacking[0]]}. Their entries are: {', '.join(names[:20]) or 'none'}"
            f"{'; columns of the table: ' + ', '.join(columns[:20]) if columns else ''}; "
            f"{BY_FILE!r} takes the files as groups, {BY_COMPOSITION!r} the compositions."
        )
    return np.array([str(info[key]) for info in infos])


def composition(numbers) -> str:
    """Return the composition of a structure.

    Parameters
    ----------
    numbers : ndarray of int
        Atomic numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.atoms._structure_groups import composition
    >>> composition(np.array([79, 14, 79, 79, 14, 79]))
    'SiAu2'
    """
    species, counts = np.unique(numbers, return_counts=True)
    counts //= np.gcd.reduce(counts)
    return "".join(
        symbol(int(z)) + (str(n) if n > 1 else "") for z, n in zip(species, counts, strict=True)
    )
