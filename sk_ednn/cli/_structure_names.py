"""Names of files of structures, told from those of arrays before anything is imported."""

from __future__ import annotations

from pathlib import Path

from .._utils.file_names import files_of
from ._densities import are_densities

# Endings and beginnings that need no look into the file.
_ENDINGS = {".extxyz", ".xyz", ".traj", ".cif", ".vasp", ".poscar", ".xsf", ".pdb", ".gen", ".xml"}
_BEGINNINGS = ("POSCAR", "CONTCAR", "XDATCAR", "OUTCAR", "vasprun")
# Arrays, tables and pictures, which ASE is not asked about.
_OTHERS = {
    ".npy", ".npz", ".h5", ".hdf5", ".hdf", ".zarr", ".csv", ".tsv", ".txt",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif",
}  # fmt: skip
# Options of `fit` that mean something for structures alone.
_OPTIONS = (
    "spacing", "width", "plane", "adjust", "energy", "forces", "images", "cutoff", "averages",
    "max_seconds", "labels", "start",
)  # fmt: skip
_ARRAY_FOLDERS = ("zarr.json", ".zarray", ".zgroup")


def are_structures(name: str) -> bool:
    """Tell whether a name stands for files of structures of atoms.

    By the first file: its name and, where that does not tell, its first lines. False where there
    is no such file, ASE knows nothing of it, or it contains a density.
    """
    folder = Path(name)
    if folder.suffix.lower() in _OTHERS or any((folder / n).exists() for n in _ARRAY_FOLDERS):
        return False
    if (folder / "type.raw").is_file():  # of DeePMD-kit
        return True
    try:
        path = Path(files_of(name)[0][0])
    except FileNotFoundError:
        return False
    if path.suffix.lower() in _OTHERS:
        return False
    if are_densities(name):
        return False
    if path.suffix.lower() in _ENDINGS or path.name.startswith(_BEGINNINGS):
        return True
    if not path.is_file() or not path.stat().st_size:
        return False
    from ..structures._files import is_known_to_ase

    return is_known_to_ase(path)


def check_structure_options(asked) -> None:
    """Raise where options are given that are not for what is fitted.

    Parameters
    ----------
    asked : namespace
        The parameters of `fit`, by name.

    Raises
    ------
    ValueError
    """
    if are_structures(asked.fields):
        if asked.channel_axis is not None:
            raise ValueError(
                "--channel-axis is for fields; species are the channels of structures."
            )
        if asked.targets is not None and are_structures(asked.targets):
            raise ValueError(
                f"{asked.targets} contains structures, and the second argument is for totals. Name "
                "several files by their folder, or by a pattern in quotation marks, as "
                "'runs/*.extxyz'."
            )
        return
    for name in _OPTIONS:
        if getattr(asked, name):
            name = name.replace("_", "-")
            raise ValueError(
                f"--{name} is for structures of atoms; {asked.fields} is no file of them that ASE "
                "reads, such as .extxyz, .traj or POSCAR."
            )
