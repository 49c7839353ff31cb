"""The first lines of ``inspect``: what a model predicts, how well, and how to use it."""

from __future__ import annotations

import re
import shlex
from typing import Any

from ._fit_couplings import rows_of
from ._potential_options import POTENTIALS

_SHAPE = re.compile(r"\(\d{1,9}(?:, \d{1,9})*,?\)")
# Parameters of a file are texts: the class of a step, by the last part of its name.
_ENCODERS = {
    "AngleFields": "angles, as their cosines and sines",
    "OneHotFields": "labels, as one channel each",
}
_SYMMETRIES = re.compile(r"\('[a-z]{1,9}'(?:, '[a-z]{1,9}')*,?\)")
_NUMBER = re.compile(r"[0-9.]{1,20}")
_PICTURES = ("CountRegressor", "LocalFeatures")


def summary_of(description: dict[str, Any], path) -> list[tuple[str, str]]:
    """Return rows of a name and a text.

    Parameters
    ----------
    description : dict
        From `sk_ednn.files.describe`: texts of a file that is not trusted.
    path : Path
    """
    parameters = description.get("parameters") or {}
    if not isinstance(parameters, dict):
        return []
    classes = {str(value) for value in parameters.values()}
    rows = []
    kind = str(parameters.get("model")).strip("'")
    if kind in POTENTIALS:
        far = str(parameters.get("cutoff"))
        rows.append(("model", f"{kind}: predicts energies, forces and stresses of structures"))
        if _NUMBER.fullmatch(far):
            rows.append(("range", f"atoms see others within a cutoff of {far} Å"))
        rows += _verdict(description)
        return [*rows, _next("predict", path, "STRUCTURES.extxyz")]
    if any(name in classes for name in _PICTURES):
        rows.append(("model", "predicts totals of pictures, such as counts"))
        return [*rows, *_verdict(description), _next("count predict", path, "PICTURES")]
    if "GridTiling" not in classes:
        return _verdict(description)
    drawn = "GaussianRasterizer" in classes
    what = "structures, drawn as fields" if drawn else "fields"
    rows += [("model", f"predicts totals of {what}"), *_tiles(parameters, classes)]
    rows += [
        ("values", f"{words}; pass fields of these")
        for name, words in _ENCODERS.items()
        if name in classes
    ]
    rows += [
        ("symmetries", re.sub(r"[(')]", "", str(text)).rstrip(","))
        for name, text in parameters.items()
        if "tile_model." in name
        and name.split(".")[-1] == "symmetries"
        and _SYMMETRIES.fullmatch(str(text))
    ]
    files = "STRUCTURES.extxyz" if drawn else "FIELDS.npy"
    about = description.get("about")
    if isinstance(about, dict):
        rows += rows_of(about.get("couplings"), description.get("units"))
    return [*rows, *_verdict(description), _next("predict", path, files)]


def _tiles(parameters, classes) -> list[tuple[str, str]]:
    """Return what a model of fields sees, and how far."""
    shapes = [
        (name, text)
        for name, text in parameters.items()
        if name.split(".")[-1] == "tile_shape" and _SHAPE.fullmatch(str(text))
    ]
    if len(shapes) != 1:
        return [("tiles", "of several terms")] if shapes else []
    ((name, text),) = shapes
    window = [int(number) for number in re.findall(r"\d+", text)]
    before = name.removesuffix("tile_shape")
    n_channels = window.pop() if parameters.get(f"{before}has_channels") == "True" else None
    sites = f"{' × '.join(map(str, window))} sites"
    if n_channels is not None:
        sites += f" with {n_channels} channel{'s' * (n_channels != 1)}"
    rows = [("tiles", sites)]
    # Averages of a whole field, and filters of it, connect all of its sites.
    if window and not any(name.endswith("Context") for name in classes):
        reach = [width - 1 for width in window]
        far = f"{reach[0]}" if len(set(reach)) == 1 else " × ".join(map(str, reach))
        rows.append(("range", f"at most {far} sites along an axis: tiles see no further"))
    return rows


def _verdict(description) -> list[tuple[str, str]]:
    about = description.get("about")
    verdict = about.get("verdict") if isinstance(about, dict) else None
    if isinstance(verdict, dict) and isinstance(verdict.get("words"), str):
        return [("verdict", verdict["words"])]
    return []


def _next(command, path, what) -> tuple[str, str]:
    return "next", f"sk-ednn {command} {shlex.quote(str(path))} {what}"
