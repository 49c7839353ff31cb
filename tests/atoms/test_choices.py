"""Suggested settings suit all cells that they are chosen for."""

import numpy as np
import pytest

from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.atoms._choices import suited_pixels, suited_plane
from sk_ednn.structures import Structure

CELLS = {
    "one size": [[12.5, 13.0]] * 3,
    "repeated": [[2.46, 4.26], [4.92, 4.26], [7.38, 12.78]],
    "repeated, none the unit": [[5.0, 7.5], [7.5, 5.0]],
    "seven digits": [[12.500001, 13.0], [25.000001, 13.0]],
    "strained": [[12.4, 13.1], [12.5, 13.0], [12.63, 12.9]],
    "any": [[11.3, 17.9], [23.7, 9.1], [31.1, 14.5]],
    "small and strained": [[3.55], [3.61], [3.7]],
    "large": [[350.0, 351.7]],
    "tiny": [[0.9, 0.7]],
}


@pytest.mark.parametrize("focus", [None, 4])
@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS)
def test_all_cells_are_whole_numbers_of_pixels_and_foci(cells, focus):
    lengths = np.array(cells)
    lengths = np.broadcast_to(lengths, (len(lengths), 2)) if lengths.shape[1] == 1 else lengths
    given = None if focus is None else (focus, focus)
    spacing, foci, adjust = suited_pixels(lengths, 0.4, 8, given)
    assert focus is None or foci == given
    assert all(1 <= f <= 8 for f in foci) and 0 <= adjust < 0.5
    structures = [Structure([6], [[0.1, 0.1]], cell) for cell in lengths]
    draw = GaussianRasterizer(spacing, 0.4, adjust=adjust, multiple=foci).fit(structures)
    for field, cell in zip(draw.transform(structures), lengths, strict=True):
        assert not any(n % f for n, f in zip(field.shape, foci, strict=True))
        if focus is None and min(cell) > 2:
            assert all(0.3 < edge / n < 0.5 for edge, n in zip(cell, field.shape, strict=True))


def test_cells_of_one_kind_are_not_stretched():
    for name in ("one size", "repeated", "repeated, none the unit", "seven digits", "large"):
        assert suited_pixels(np.array(CELLS[name]), 0.4, 8).adjust == 0.0
    assert 0 < suited_pixels(np.array(CELLS["strained"]), 0.4, 8).adjust < 0.03


def test_the_plane_is_one_of_which_all_are_sheets():
    flat = np.array([[0.1, 0.2, 0.0], [1.8, 1.9, 0.1]])
    box = np.diag([4.0, 5.0, 15.0])

    def turned(axes):
        return Structure([6, 6], flat[:, axes], box[np.ix_(axes, axes)])

    assert suited_plane([turned([0, 1, 2])]) == ("xy", None)
    assert suited_plane([turned([0, 2, 1])]) == ("xz", None)
    assert suited_plane([turned([2, 0, 1])]) == ("yz", None)
    plane, why_not = suited_plane([turned([0, 1, 2]), turned([0, 2, 1])])
    assert plane == "xyz" and "Structure 1 is not flat enough for the plane xy" in why_not
