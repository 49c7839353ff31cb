"""Files of structures in the formats of ASE: named before the work, and replaced at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._utils.optional import needing
from .._utils.writing import replacing_path


def require_format(path, *, several=False) -> None:
    """Raise if a name does not stand for a format that ASE writes, before hours of work.

    Parameters
    ----------
    path : str or Path
    several : bool, default=False
        Whether the file has to contain more than one structure.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> from sk_ednn.structures._write import require_format
    >>> require_format("run.extxyz", several=True)
    >>> require_format("POSCAR", several=True)
    Traceback (most recent call last):
    ...
    ValueError: POSCAR: the format vasp has room for a single structure. Choose a name that ends in
    .extxyz or .traj.
    """
    with needing(f"Writing {path}", extra="atoms"):
        from ase.io.formats import UnknownFileTypeError, filetype, ioformats
    try:
        name = filetype(Path(path).name, read=False)
        kind = ioformats[name]
    except (KeyError, UnknownFileTypeError):
        kind = None
    if kind is None or not kind.can_write:
        raise ValueError(
            f"{path}: no format that ASE writes has such a name. Choose one that ends in .extxyz "
            "or .traj."
        )
    if several and kind.single:
        raise ValueError(
            f"{path}: the format {name} has room for a single structure. Choose a name that ends "
            "in .extxyz or .traj."
        )


def write_structures(path, structures) -> bool:
    """Write structures with the results of their calculators; .xyz files in extended format.

    Files of VASP have a block for each run of atoms of one element, and a potential for each block:
    atoms are sorted by element there unless they are already.

    Parameters
    ----------
    path : str or Path
        Replaced when all is written.
    structures : ase.Atoms or sequence of them

    Returns
    -------
    bool
        Whether atoms were sorted.
    """
    with needing(f"Writing {path}", extra="atoms"):
        from ase.io import write
        from ase.io.formats import filetype
    several = [structures] if hasattr(structures, "numbers") else structures
    blocks = any((np.diff(s.numbers) != 0).sum() >= len(set(s.numbers.tolist())) for s in several)
    kind = "extxyz" if str(path).endswith(".xyz") else filetype(Path(path).name, read=False)
    sort = kind == "vasp" and blocks
    with replacing_path(path) as temporary:
        write(temporary, structures, format=kind, **({"sort": True} if sort else {}))
    return sort
