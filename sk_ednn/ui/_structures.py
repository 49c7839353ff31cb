"""Structures of atoms in three dimensions, drawn by three.js in the browser."""

from __future__ import annotations

from itertools import product
from math import cos, pi, sin

import numpy as np
from nicegui import ui

from ..structures._elements import symbol
from ._frame import text

_MOST_ATOMS = 400
_VIEW_DEGREES = 32
# Colours that can be distinguished; elements get them in turn, carbon is always grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#f0e442", "#7d8a94")
_CARBON = "#4c555c"
_CORNERS = tuple(product((0, 1), repeat=3))
_EDGES = [
    (a, b)
    for a, b in product(_CORNERS, repeat=2)
    if sum(b) - sum(a) == 1 and sum(abs(p - q) for p, q in zip(a, b, strict=True)) == 1
]


class StructureView:
    """A structure that can be turned with the mouse; others can be shown in its place.

    Browsers allow some sixteen views on a page, and give them back late: one is used again.

    Parameters
    ----------
    height : int, default=300
        In pixels.
    label : str
        For screen readers; the formula is added.
    """

    def __init__(self, *, height=300, label="Structure in three dimensions"):
        self._label = label
        with ui.element("div").classes("scene") as self._box:
            self._box.props["role"] = "img"
            self._scene = ui.scene(
                width=560,
                height=height,
                grid=False,
                background_color="#eef1f3",
                control_type="trackball",
                camera=ui.scene.perspective_camera(fov=_VIEW_DEGREES),
            ).classes("w-full")
        # The page shows through, which may be light or dark.
        self._scene.on(
            "init", js_handler=f"() => getElement({self._scene.id}).renderer.setClearAlpha(0)"
        )
        self._legend = ui.element("div").classes("line small")

    def show(self, structure):
        """Draw a structure.

        Parameters
        ----------
        structure : Structure or ase.Atoms
        """
        numbers = np.asarray(structure.numbers)
        cell = np.asarray(structure.cell, dtype=float)
        periodic = bool(np.any(structure.pbc)) and abs(np.linalg.det(cell)) > 1e-6
        positions = _inside(structure) if periodic else np.asarray(structure.positions, float)
        centre = cell.sum(axis=0) / 2 if periodic else positions.mean(axis=0)
        positions = positions - centre
        corners = {c: np.array(c) @ cell - centre for c in _CORNERS} if periodic else {}
        reach = max(1.5, *(np.linalg.norm(p) for p in (*positions, *corners.values())))
        colours, formula = colours_of(numbers), formula_of(numbers)
        self._box.props["aria-label"] = f"{self._label}: {formula}"
        self._scene.clear()
        with self._scene as scene:
            for number, place in zip(numbers[:_MOST_ATOMS], positions, strict=False):
                ball = scene.sphere(radius_of(int(number)), 20, 14)
                ball.material(colours[int(number)]).move(*map(float, place))
            for a, b in _EDGES if periodic else ():
                scene.line(corners[a].tolist(), corners[b].tolist()).material("#7d8a94")
        away = 1.1 * float(reach) / sin(pi * _VIEW_DEGREES / 360)
        low, side = sin(pi / 7), pi / 5
        self._scene.move_camera(
            x=away * cos(pi / 7) * sin(side), y=-away * cos(pi / 7) * cos(side), z=away * low,
            look_at_x=0, look_at_y=0, look_at_z=0, duration=0,
        )  # fmt: skip
        self._legend.clear()
        with self._legend:
            for number, colour in colours.items():
                with ui.element("span").classes("line").style("gap:.3rem"):
                    dot = ui.element("span").props("aria-hidden=true")
                    dot.style(f"width:.7rem;height:.7rem;border-radius:50%;background:{colour}")
                    text("span", symbol(number))
            more = len(numbers) - _MOST_ATOMS
            words = f"{formula}; turn with the mouse."
            text("span", words if more <= 0 else f"{words} {more:,} more atoms.", "muted")


def _inside(structure) -> np.ndarray:
    """Return positions within the cell, along the axes that repeat."""
    cell, pbc = np.asarray(structure.cell, float), np.broadcast_to(structure.pbc, 3)
    scaled = np.linalg.solve(cell.T, np.asarray(structure.positions, float).T).T
    return (scaled - np.where(pbc, np.floor(scaled), 0.0)) @ cell


def colours_of(numbers) -> dict[int, str]:
    """Return a colour for each element.

    Examples
    --------
    >>> from sk_ednn.ui._structures import colours_of
    >>> colours_of([14, 6, 14])
    {6: '#4c555c', 14: '#0072b2'}
    """
    elements = sorted(set(map(int, numbers)))
    others = [number for number in elements if number != 6]
    colours = {number: _COLOURS[k % len(_COLOURS)] for k, number in enumerate(others)}
    return {number: _CARBON if number == 6 else colours[number] for number in elements}


def radius_of(number) -> float:
    """Return a radius for drawing, in Å: it grows slowly along the periodic table."""
    return 0.22 if number == 1 else 0.34 + 0.055 * float(np.log2(number))


def formula_of(numbers) -> str:
    """Return the formula of atoms.

    Examples
    --------
    >>> from sk_ednn.ui._structures import formula_of
    >>> formula_of([8, 22, 8])
    'O2Ti'
    """
    counts: dict[str, int] = {}
    for number in numbers:
        name = symbol(int(number))
        counts[name] = counts.get(name, 0) + 1
    return "".join(f"{name}{n if n > 1 else ''}" for name, n in sorted(counts.items()))
