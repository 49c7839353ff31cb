"""Structures of atoms in three dimensions, drawn by three.js in the browser."""

from __future__ import annotations

from itertools import product
from math import cos, pi, sin

import numpy as np
from nicegui import ui

from ..structures._elements import symbol
from ._frame import text

_MOST_ATOMS = 400
# Colours that are told apart; elements get them in turn, carbon is always grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#f0e442", "#7d8a94")
_CARBON = "#4c555c"
_CORNERS = tuple(product((0, 1), repeat=3))
_EDGES = [
    (a, b)
    for a, b in product(_CORNERS, repeat=2)
    if sum(b) - sum(a) == 1 and sum(abs(p - q) for p, q in zip(a, b, strict=True)) == 1
]


def scene_of(atoms, *, height=300, label="Structure in three dimensions"):
    """Draw a structure that can be turned with the mouse.

    Parameters
    ----------
    atoms : Structure or ase.Atoms
    height : int, default=300
        In pixels.
    label : str
        For screen readers; the formula is added.
    """
    structure = atoms
    numbers = np.asarray(structure.numbers)
    positions = np.asarray(structure.positions, dtype=float)
    cell = np.asarray(structure.cell, dtype=float)
    colours = colours_of(numbers)
    periodic = bool(np.any(structure.pbc)) and abs(np.linalg.det(cell)) > 1e-6
    if periodic:
        inside = np.linalg.solve(cell.T, positions.T).T
        inside -= np.floor(inside * np.asarray(structure.pbc)) * np.asarray(structure.pbc)
        positions = inside @ cell
    centre = cell.sum(axis=0) / 2 if periodic else positions.mean(axis=0)
    extent = np.abs(positions - centre).max() if len(positions) else 1.0
    if periodic:
        extent = max(extent, np.abs(cell).sum(axis=0).max() / 2)
    extent = max(extent, 1.5)
    formula = formula_of(numbers)
    with ui.element("div").classes("scene") as box:
        box.props["role"], box.props["aria-label"] = "img", f"{label}: {formula}"
        with ui.scene(
            width=560, height=height, grid=False, background_color="#eef1f3", show_stats=False,
            control_type="trackball",
        ).classes("w-full") as scene:  # fmt: skip
            for number, place in zip(numbers[:_MOST_ATOMS], positions - centre, strict=False):
                ball = scene.sphere(radius_of(int(number)), 20, 14)
                ball.material(colours[int(number)]).move(*map(float, place))
            if periodic:
                corners = {
                    c: (np.array(c) @ cell - centre).tolist() for c in product((0, 1), repeat=3)
                }
                for a, b in _EDGES:
                    scene.line(corners[a], corners[b]).material("#7d8a94")
            away = 2.6 * float(extent)
            scene.move_camera(
                x=away * sin(pi / 5), y=-away * cos(pi / 5), z=0.55 * away,
                look_at_x=0, look_at_y=0, look_at_z=0, duration=0,
            )  # fmt: skip
    with ui.element("div").classes("line small"):
        for number, colour in colours.items():
            with ui.element("span").classes("line").style("gap:.3rem"):
                dot = ui.element("span").props("aria-hidden=true")
                dot.style(f"width:.7rem;height:.7rem;border-radius:50%;background:{colour}")
                text("span", symbol(number))
        text("span", f"{formula}; turn with the mouse.", "muted")
    if len(numbers) > _MOST_ATOMS:
        text("p", f"The first {_MOST_ATOMS} of {len(numbers):,} atoms are drawn.", "small muted")


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
    found: dict[str, int] = {}
    for number in numbers:
        name = symbol(int(number))
        found[name] = found.get(name, 0) + 1
    return "".join(f"{name}{n if n > 1 else ''}" for name, n in sorted(found.items()))
