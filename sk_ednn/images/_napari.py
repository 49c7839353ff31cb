"""Counts in napari: a widget that adds maps as layers, and a reader of maps and peaks.

The functions return plain tuples (data, options, kind of layer), so that nothing of napari is
imported; ``napari.yaml`` lists them.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._utils.wording import plain
from ._arrays import as_picture
from ._checks import PictureError
from ._geometry import Geometry
from ._labels import AXES_OF_DOTS
from ._output import read_map
from ._peaks import peaks

if TYPE_CHECKING:
    import napari

_PEAKS, _MAP = " peaks.csv", ".tif"


def count_in_layer(
    image: napari.layers.Image, model: Path = Path("model.ednn")
) -> list[napari.types.LayerDataTuple]:
    """Count in an image layer, for napari's widget.

    Parameters
    ----------
    image : napari.layers.Image
    model : path-like
        A file of `sk-ednn count fit`.

    Returns
    -------
    list of tuple
        Layers, see `layers_of_counts`.
    """
    values = np.asarray(image.data)
    if not getattr(image, "rgb", False):
        values = values[..., None]
    origin = np.asarray(image.translate, dtype=float)
    return layers_of_counts(values, model, image.name, image.scale, origin)


def layers_of_counts(values, model, name="picture", scale=1.0, origin=0.0) -> list[tuple]:
    """Return the map and the peaks of a picture as layers.

    Parameters
    ----------
    values : ndarray of shape (*grid, n_channels)
    model : path-like
        A file of `sk-ednn count fit`.
    name : str, default="picture"
        Name of the layer that is counted in.
    scale, origin : float or sequence of float, default=1.0, 0.0
        Size of a pixel, and the place of the first one, along each axis.

    Returns
    -------
    list of tuple
        For each total an image layer with the contributions, and a points layer with the peaks and
        their shares; the name of the first one has the count and its interval.

    Raises
    ------
    PictureError
        If the model is none of pictures, or for other channels or axes.
    """
    counter = _counter(str(Path(model).resolve()), Path(model).stat().st_mtime_ns)
    focus = np.array(Geometry(*counter.geometry_).focus, dtype=float)
    scale, origin = (np.broadcast_to(each, focus.shape) for each in (scale, origin))
    (row,) = counter.count([as_picture(values, name, channel_axis=-1)], maps=True)
    maps = row.map if row.map.ndim > len(focus) else row.map[..., None]
    layers: list[tuple] = []
    for k, (total, low, high) in enumerate(
        zip(*(np.ravel(row[key]) for key in ("total", "low", "high")), strict=True)
    ):
        text = f"{name}: {plain(total)}" + (
            f" ({plain(low)} to {plain(high)})" if low == low else ""
        )
        text += f", {row.flag}" if row.flag else ""
        positions, shares = peaks(maps[..., k], focus)
        layers += [
            (maps[..., k], _placed(text, focus, scale, origin), "image"),
            _points(positions, shares, f"{name} peaks", scale, origin),
        ]
    return layers


def napari_get_reader(path):
    """Return the reader of a map or of a table of peaks; None where a file is neither."""
    if not isinstance(path, (str, Path)):
        return None
    path = Path(path)
    if path.name.endswith(_PEAKS):
        return lambda _: [_read_peaks(path)]
    if path.suffix == _MAP and (saved_map := read_map(path)) is not None:
        return lambda _: [_map_layer(path.stem, *saved_map)]
    return None


def _read_peaks(path) -> tuple:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = reader.fieldnames or (), list(reader)
    axes = [name for known in AXES_OF_DOTS for name in names if name.lower() in known]
    positions = np.array([[float(row[name]) for name in axes] for row in rows])
    shares = np.array([float(row["share"]) for row in rows])
    return _points(positions.reshape(-1, len(axes)), shares, path.stem, 1.0, 0.0)


def _map_layer(name, values, step) -> tuple:
    focus = np.array([1.0] * (values.ndim - 2) + [step, step])
    return values, _placed(name, focus, 1.0, 0.0), "image"


def _placed(name, focus, scale, origin) -> dict:
    """Return the options of a layer whose pixels are tiles, placed over the picture."""
    return {
        "name": name, "scale": focus * scale, "translate": origin + (focus - 1) / 2 * scale,
        "colormap": "inferno", "blending": "additive", "opacity": 0.7,
    }  # fmt: skip


def _points(positions, shares, name, scale, origin) -> tuple:
    options = {"name": name, "features": {"share": shares}, "size": 6, "symbol": "ring"}
    return positions * scale + origin, options, "points"


@lru_cache(maxsize=2)
def _counter(path, changed):
    from ..files import load
    from ._count import CountRegressor

    model = load(path)
    if not isinstance(model, CountRegressor):
        raise PictureError(f"{path}: a {type(model).__name__}, no model of `sk-ednn count fit`.")
    return model
