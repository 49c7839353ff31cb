"""Files of counts: tables, maps, overlays and peaks."""

from __future__ import annotations

import csv
import io
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

# Largest length of an overlay along its longer side.
_LARGEST_OVERLAY = 4096
# Percentiles of the levels of a picture that are drawn black and white.
_DARK, _LIGHT = 1.0, 99.0
# What is drawn fully opaque, as a share of the highest contributions.
_FULL = 0.995
_COLOURS = np.array([[255, 225, 60], [255, 120, 0], [215, 0, 60]], dtype=np.float64)


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


def write_counts(path, rows, columns) -> None:
    """Write a table of counts with intervals and flags: CSV, or Excel if the name says so.

    Parameters
    ----------
    path : str or Path
        Ends in .csv or .xlsx.
    rows : list of Bunch
        Of `CountRegressor.count`.
    columns : sequence of str
        Names of the totals.

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
        write_sheet(path, header, table)
        return
    with replacing(path, "w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for name, *numbers, novelty, flag in table:
            cells = [f"{value:.6g}" if np.isfinite(value) else "" for value in numbers]
            writer.writerow([name, *cells, f"{novelty:.3g}", flag])


def write_peaks(path, contributions, focus) -> None:
    """Write the positions of the peaks of a map as CSV, with the share of each.

    Parameters
    ----------
    path : str or Path
    contributions : ndarray of shape (*tile_grid,)
    focus : tuple of int
    """
    positions, shares = peaks(contributions, focus)
    axes = ("plane", "row", "column")[-contributions.ndim :]
    with replacing(path, "w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*axes, "share"])
        for place, share in zip(positions, shares, strict=True):
            writer.writerow([*(f"{each:.1f}" for each in place), f"{share:.4g}"])


def write_map(path, contributions, focus) -> None:
    """Write a map as TIFF, one pixel a tile; its sum is the total.

    The stored resolution is the number of pixels of the picture per tile.

    Parameters
    ----------
    path : str or Path
    contributions : ndarray of shape (*tile_grid,) or (*tile_grid, n_outputs)
    focus : tuple of int
    """
    with needing("Writing a map as TIFF", extra="images"):
        import tifffile
    values = np.asarray(contributions, dtype=np.float32)
    axes = "ZYX"[-len(focus) :]
    if values.ndim > len(focus):
        values, axes = np.moveaxis(values, -1, 0), "C" + axes
    # Equal maps give equal files: the identifier, random otherwise, is that of the content.
    uuid = uuid5(NAMESPACE_OID, digest((values, focus)))
    described = {"axes": axes, "UUID": str(uuid),
                 "PhysicalSizeX": focus[-1], "PhysicalSizeY": focus[-2],
                 "PhysicalSizeXUnit": "pixel", "PhysicalSizeYUnit": "pixel"}  # fmt: skip
    with replacing(path, "wb+") as file:
        tifffile.imwrite(file, values, photometric="minisblack", metadata=described, ome=True)


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
        if 'PhysicalSizeXUnit="pixel"' not in described:
            return None
        step = described.partition('PhysicalSizeX="')[2].partition('"')[0]
        return file.asarray(), float(step)


def write_overlay(path, picture, contributions, focus) -> None:
    """Draw a map over its picture, as PNG.

    Parameters
    ----------
    path : str or Path
    picture : Picture
    contributions : ndarray of shape (*tile_grid,)
        For a stack the sum over the planes is drawn over their mean.
    focus : tuple of int
    """
    with replacing(path, "wb") as file:
        file.write(overlay_png(picture, contributions, focus))


def overlay_png(picture, contributions, focus) -> bytes:
    """Return the bytes of a PNG with a map over its picture, as `write_overlay` writes it."""
    with needing("Drawing a map", extra="images"):
        from PIL import Image
    values = np.asarray(contributions, dtype=np.float64)
    while values.ndim > 2:
        values = values.sum(axis=0)
    height, width = picture.grid[-2:]
    step = max(1, -(-max(height, width) // _LARGEST_OVERLAY))
    ground = _grey(picture, step)
    rows = np.minimum(np.arange(0, height, step) // focus[-2], values.shape[0] - 1)
    columns = np.minimum(np.arange(0, width, step) // focus[-1], values.shape[1] - 1)
    high = np.quantile(values, _FULL)
    level = (values / high if high > 0 else np.zeros_like(values)).clip(0, 1)[np.ix_(rows, columns)]
    place = level * (len(_COLOURS) - 1)
    left = np.minimum(place.astype(int), len(_COLOURS) - 2)
    part = (place - left)[..., None]
    colour = _COLOURS[left] * (1 - part) + _COLOURS[left + 1] * part
    opacity = (0.75 * np.sqrt(level))[..., None]
    mixed = ground[..., None] * (1 - opacity) + colour * opacity
    out = io.BytesIO()
    Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8)).save(out, format="PNG")
    return out.getvalue()


def _grey(picture, step) -> np.ndarray:
    """Return every `step`-th pixel of a picture in grey, read in strips."""
    strips = []
    *planes, height, width = picture.grid
    rows = max(step, (1 << 22) // max(1, width) // step * step)
    for start in range(0, height, rows):
        box = (*(slice(0, n) for n in planes), slice(start, min(start + rows, height)),
               slice(0, width), slice(0, picture.n_channels))  # fmt: skip
        values = picture.read(box)[..., ::step, ::step, :].astype(np.float64).mean(axis=-1)
        strips.append(values.reshape(-1, *values.shape[-2:]).mean(axis=0))
    grey = np.concatenate(strips)
    low, high = np.percentile(grey, (_DARK, _LIGHT))
    return ((grey - low) / (high - low if high > low else 1.0)).clip(0, 1) * 255
