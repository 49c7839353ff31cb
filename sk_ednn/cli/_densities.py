"""Recognition and reading of files of densities on grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .._utils.file_names import files_of

_ENDINGS = {".cube", ".cub", ".xsf"}
_BEGINNINGS = ("CHG", "AECCAR", "PARCHG", "LOCPOT", "ELFCAR")


def are_densities(name: str) -> bool:
    """Return True if a name is that of files of fields on grids, by the first of them."""
    try:
        path = Path(files_of(name)[0][0])
    except FileNotFoundError:
        return False
    if path.suffix.lower() not in _ENDINGS and not path.name.startswith(_BEGINNINGS):
        return False
    from ..structures._densities import is_density  # not before it may be one

    return is_density(path)


def check_densities(options) -> None:
    """Raise if options or arguments do not suit densities.

    Parameters
    ----------
    options : namespace
        The parameters of `fit`, by name.

    Raises
    ------
    ValueError
    """
    if not are_densities(options.fields):
        if options.density_unit is not None:
            raise ValueError(
                f"--density-unit is for densities, such as .cube and .xsf; {options.fields} "
                "is not such a file."
            )
        return
    if options.targets is None:
        raise ValueError(
            f"{options.fields} contains densities and no totals: name their file as the second "
            "argument, a number for each density, beside the name of its file or sorted by these."
        )
    for option in ("categorical", "angles", "channel_axis", "symmetries"):
        if getattr(options, option) not in (None, False):
            raise ValueError(f"--{option.replace('_', '-')} is not for densities.")


class Read(NamedTuple):
    """Densities, the name of each for messages, and the file of each."""

    densities: list[Any]
    places: list[str]
    files: list[str]


def read(name: str, unit: str | None) -> Read:
    """Read the densities of files."""
    from ..structures import read_densities

    found = Read([], [], [])
    for file, index in files_of(name):
        of_file = read_densities(file if index is None else f"{file}@{index}", unit=unit)
        found.densities.extend(of_file)
        found.files.extend([file] * len(of_file))
        several = len(of_file) > 1
        found.places.extend(f"{file}, {k}" if several else file for k in range(len(of_file)))
    return found


def read_for(estimator, options) -> Read:
    """Return densities for a model, and the file of each.

    Raises
    ------
    ValueError
        If the model is none of densities.
    """
    from .._utils.steps import first_step
    from ..encoders import DensityFields

    if not isinstance(first_step(estimator), DensityFields):
        raise ValueError(
            f"{options.fields} contains densities, and {options.model} is a model of other fields, "
            "without a voxel: fit one to densities, or give an array."
        )
    return read(options.fields, options.density_unit)


def line(densities, y) -> str:
    """Return a line that describes the data, so that users notice mistakes."""
    shapes = sorted({density.shape for density in densities})
    sizes = str(shapes[0]) if len(shapes) == 1 else f"{shapes[0]} to {shapes[-1]}"
    sums = [density.integral for density in densities]
    unit = densities[0].unit
    what = "electrons" if unit == "e/Å^3" else f"integral in {unit} Å^3"
    return (
        f"data: {len(densities)} grids of {sizes} points, {what}: {min(sums):.4g} to "
        f"{max(sums):.4g}, totals from {y.min() + 0.0:.4g} to {y.max() + 0.0:.4g}"
    )
