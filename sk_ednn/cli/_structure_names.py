"""Recognition of files of structures by their names, before anything is imported."""

from __future__ import annotations

from pathlib import Path

from .._utils.file_names import files_of
from ._densities import are_densities

# Extensions and prefixes of files of structures.
_ENDINGS = {".extxyz", ".xyz", ".traj", ".cif", ".vasp", ".poscar", ".xsf", ".pdb", ".gen", ".xml"}
_BEGINNINGS = ("POSCAR", "CONTCAR", "XDATCAR", "OUTCAR", "vasprun")
# Extensions of arrays, tables and pictures, for which ASE is not used.
_OTHERS = {
    ".npy", ".npz", ".h5", ".hdf5", ".hdf", ".zarr", ".csv", ".tsv", ".txt",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif",
}  # fmt: skip
# Trajectories in netCDF, which ASE reads, name their convention near the beginning.
_NETCDF, _CONVENTION, _BEGIN_BYTES = (".nc", ".nc4", ".cdf"), b"AMBER", 1 << 16
# Options of `fit` that are for structures only.
_OPTIONS = (
    "spacing", "width", "plane", "adjust", "energy", "forces", "images", "cutoff", "averages",
    "repulsion", "screening", "weight_decay", "members", "labels", "start", "group", "errors_by",
    "errors", "clock",
)  # fmt: skip
_ARRAY_FOLDERS = ("zarr.json", ".zarray", ".zgroup")


def are_structures(name: str) -> bool:
    """Return True if a name means files of structures of atoms.

    The first file decides, by its name or its first lines. False if there is no such file, ASE
    does not know its format, or it contains a density.
    """
    folder = Path(name)
    if folder.suffix.lower() in _OTHERS or any((folder / n).exists() for n in _ARRAY_FOLDERS):
        return False
    if (folder / "type.raw").is_file():  # a system of DeePMD-kit
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
    if path.suffix.lower() in _NETCDF:
        with path.open("rb") as file:
            return _CONVENTION in file.read(_BEGIN_BYTES)
    from ..structures._files import is_known_to_ase

    return is_known_to_ase(path)


def check_structure_options(options) -> None:
    """Raise if options are given that are not for the kind of data.

    Parameters
    ----------
    options : namespace
        The parameters of `fit`, by name.

    Raises
    ------
    ValueError
    """
    if are_structures(options.fields):
        if options.channel_axis is not None:
            raise ValueError(
                "--channel-axis is for fields. Structures have one channel per species."
            )
        given = [
            f"--{name}"
            for name in ("categorical", "angles", "symmetries")
            if getattr(options, name)
        ]
        if given:
            raise ValueError(
                f"{given[0]} is for the values of fields. Structures are drawn as densities of "
                "their species, or learned by a potential."
            )
        if options.targets is not None and are_structures(options.targets):
            raise ValueError(
                f"The second argument must be a file of totals, but {options.targets} contains "
                "structures. For several files pass their folder, or a pattern in quotation marks "
                "such as 'runs/*.extxyz'."
            )
        return
    for name in _OPTIONS:
        if getattr(options, name):
            name = name.replace("_", "-")
            raise ValueError(
                f"--{name} is for structures of atoms, but {options.fields} is not a file of "
                "structures that ASE reads, such as .extxyz, .traj or POSCAR."
            )
    if options.max_seconds is not None and options.model != "auto":
        raise ValueError(
            "--max-seconds is for the comparison of tile models (--model auto), and for potentials "
            f"of structures; the model is {options.model}. Networks end after --epochs."
        )
