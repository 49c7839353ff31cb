"""Files of counts: tables, maps and peaks."""

from __future__ import annotations

import csv
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from .._utils.hashing import digest
from .._utils.optional import needing
from .._utils.writing import replacing
from ._excel import require_openpyxl, write_sheet
from ._peaks import peaks

# Tables of counts are written under names that end so.
ENDINGS_OF_TABLES = (".csv", ".xlsx")
# In maps: pixels of the picture along a side of a tile.
_NAMESPACE, _STEP = "sk_ednn map", "PixelsPerTile"


def require_table_name(path) -> None:
    """Raise if a table of counts cannot be written under a name.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ValueError
        If the name ends neither in .csv nor in .xlsx.
    MissingExtraError
        If it ends in .xlsx, and openpyxl is not installed.
    """
    if Path(path).suffix.lower() not in ENDINGS_OF_TABLES:
        raise ValueError(
            f"A table of counts ends in {' or '.join(ENDINGS_OF_TABLES)}, got {path}. Use .csv for "
            "programs, .xlsx for Excel and other spreadsheets."
        )
    if Path(path).suffix.lower() == ".xlsx":
        require_openpyxl(path)


def write_counts(path, rows, columns, about=()) -> None:
    """Write a table of counts with intervals and flags: CSV, or Excel if the name says so.

    Parameters
    ----------
    path : str or Path
        Ends in .csv or .xlsx.
    rows : list of Bunch
        Of `CountRegressor.count`.
    columns : sequence of str
        Names of the totals.
    about : sequence of (str, str), default=()
        What is meant by what, on a second sheet of a workbook.

    Raises
    ------
    ValueError, MissingExtraError
        As `require_table_name` does.
    """
    require_table_name(path)
    header = ["file"]
    for name in columns:
        header += [name, f"{name} low", f"{name} high", f"{name} spread"]
    header += ["novelty", "flag"]
    table = []
    for row in rows:
        parts = (np.ravel(row[key]) for key in ("total", "low", "high", "spread"))
        numbers = [float(f"{value:.6g}") for value in np.stack(list(parts), axis=1).ravel()]
        table.append([row.name, *numbers, float(f"{row.novelty:.3g}"), row.flag])
    if Path(path).suffix.lower() == ".xlsx":
        write_sheet(path, header, table, about)
        return
    with replacing(path, "w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for name, *numbers, novelty, flag in table:
            cells = [f"{value:.6g}" if np.isfinite(value) else "" for value in numbers]
            writer.writerow([name, *cells, f"{novelty:.3g}", flag])


def write_peaks(path, contributions, focus) -> None:
    """Write the positions of the peaks of a map as CSV, with the share of each.

    The columns ``X``, ``Y`` and, for stacks, ``Z`` are those of ImageJ's tables. They are in pixels
    (and planes) from the centre of the first one, where points of ImageJ and indices of arrays
    begin, too.

    Parameters
    ----------
    path : str or Path
    contributions : ndarray of shape (*tile_grid,)
    focus : tuple of int
    """
    positions, shares = peaks(contributions, focus)
    with replacing(path, "w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*("X", "Y", "Z")[: contributions.ndim], "share"])
        for place, share in zip(positions, shares, strict=True):
            writer.writerow([*(f"{each:.1f}" for each in place[::-1]), f"{share:.4g}"])


def write_map(path, contributions, focus, pixel_size=None) -> None:
    """Write a map as TIFF, one pixel a tile; its sum is the total.

    The stored size of a pixel is that of a tile in µm, and in pixels of the picture where their
    size is not known.

    Parameters
    ----------
    path : str or Path
    contributions : ndarray of shape (*tile_grid,) or (*tile_grid, n_outputs)
    focus : tuple of int
    pixel_size : PixelSize, default=None
        Of the picture.
    """
    with needing("Writing a map as TIFF", extra="images"):
        import tifffile
    values = np.asarray(contributions, dtype=np.float32)
    axes = "ZYX"[-len(focus) :]
    if values.ndim > len(focus):
        values, axes = np.moveaxis(values, -1, 0), "C" + axes
    # Equal maps give equal files: the identifier, random otherwise, is that of the content.
    uuid = uuid5(NAMESPACE_OID, digest((values, focus, pixel_size)))
    described = {"axes": axes, "UUID": str(uuid), **_sizes(focus, pixel_size),
                 "MapAnnotation": {"Namespace": _NAMESPACE, _STEP: str(focus[-1])}}  # fmt: skip
    options = {}
    if pixel_size is not None:  # for programs that read no OME
        per_cm = pixel_size.times(focus).per_cm
        options = {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
    with replacing(path, "wb+") as file:
        tifffile.imwrite(
            file, values, photometric="minisblack", metadata=described, ome=True, **options
        )


def _sizes(focus, pixel_size) -> dict:
    """Return the size of a tile as OME has it."""
    if pixel_size is None:
        lengths, unit = {"X": focus[-1], "Y": focus[-2]}, "pixel"
    else:
        tile = pixel_size.times(focus)
        lengths, unit = {"X": tile.x, "Y": tile.y}, "µm"
        lengths |= {"Z": tile.z} if tile.z is not None and len(focus) > 2 else {}
    sizes = {f"PhysicalSize{axis}": length for axis, length in lengths.items()}
    return sizes | {f"PhysicalSize{axis}Unit": unit for axis in lengths}


def read_map(path) -> tuple[np.ndarray, float] | None:
    """Return a map of `write_map` and the pixels of a tile; None where a file is no such map.

    Parameters
    ----------
    path : str or Path
    """
    with needing("Reading a map", extra="images"):
        import tifffile
    with tifffile.TiffFile(path) as file:
        described = file.ome_metadata or ""
        if f'K="{_STEP}"' in described:
            step = described.partition(f'K="{_STEP}">')[2].partition("<")[0]
        elif 'PhysicalSizeXUnit="pixel"' in described:  # of before
            step = described.partition('PhysicalSizeX="')[2].partition('"')[0]
        else:
            return None
        return file.asarray(), float(step)
