"""Structures from files, by way of ASE."""

from os import PathLike, fspath

from .._optional import needing


def is_path(x):
    """Tell whether this names a file."""
    return isinstance(x, (str, PathLike))


def read_structures(path):
    """Read all structures of a file that ASE can read: extxyz, POSCAR, CIF, a trajectory.

    Parameters
    ----------
    path : str or path-like
        With ASE's ``@`` some of them, as in ``"run.extxyz@::10"``.

    Returns
    -------
    list of ase.Atoms

    Raises
    ------
    MissingExtraError
        Where ASE is not installed.
    ValueError
        If there are no structures in the file.
    """
    with needing(f"Reading structures from {fspath(path)!r}"):
        from ase.io import iread
    structures = list(iread(fspath(path)))
    if not structures:
        raise ValueError(f"There are no structures in {fspath(path)!r}.")
    return structures


def read_one(path, k):
    """Read the one structure of a file, which is number `k` of a list."""
    structures = read_structures(path)
    if len(structures) > 1:
        raise ValueError(
            f"X[{k}], {fspath(path)!r}, holds {len(structures)} structures, and a path in a list "
            "stands for one. Give the path itself in place of the list, or choose one, as in "
            f"'{fspath(path)}@0'."
        )
    return structures[0]
