"""Cells that are orthogonal, or flat, up to the rounding of a file or of a rotation."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import AtomsSource, GaussianRasterizer
from sk_ednn.simulation import AtomUpdates
from sk_ednn.structures import Structure

BOX = np.array([3.2, 2.4, 4.0])
AXES = {"xy": [0, 1], "xz": [0, 2], "yz": [1, 2], "xyz": [0, 1, 2]}


def structure(plane, rounding=0.0, seed=0):
    """A sheet in the plane, or atoms anywhere, in a box whose edges are off by that much, in Å."""
    rng = np.random.default_rng(seed)
    positions = rng.random((6, 3)) * BOX
    cell = np.diag(np.where([axis in plane for axis in "xyz"], BOX, 15.0))
    for axis, name in enumerate("xyz"):
        if name not in plane:
            positions[:, axis] *= 0.05
    off = np.random.default_rng(5).choice([-1.0, 1.0], (3, 3)) * (1 - np.eye(3))
    return Structure(np.array([5, 6, 6, 7, 7, 5]), positions, cell + rounding * off)


def rasterizer(plane, dtype="float64"):
    return GaussianRasterizer(0.2, 0.25, plane=plane, channels=("B", "C", "N"), dtype=dtype)


@pytest.mark.parametrize("plane", AXES)
@pytest.mark.parametrize("rounding", [1e-16, 1e-8, 5e-8, 1e-6])
def test_a_rounded_cell_is_drawn_like_the_exact_one(plane, rounding):
    exact, rounded = structure(plane), structure(plane, rounding)
    draw = rasterizer(plane).fit([exact])
    again = rasterizer(plane).fit([rounded])
    assert again.angles_ == draw.angles_ == (90.0,) * len(draw.angles_)
    expected = draw.transform([exact])
    for fitted in (draw, again):
        # A position is off by as much as the edges are, and a Gaussian changes by 2.4 a width.
        np.testing.assert_allclose(fitted.transform([rounded]), expected, atol=70 * rounding)
    source = AtomsSource(draw, rounded)
    box = tuple(slice(n // 3, n) for n in source.shape)
    np.testing.assert_array_equal(source.read(box), draw.transform([rounded])[0][box])
    slope = np.random.default_rng(1).normal(size=expected[0].shape)
    forces, of_exact = (draw.forces([each], [slope])[0] for each in (rounded, exact))
    np.testing.assert_allclose(forces, of_exact, atol=1e4 * rounding)


@pytest.mark.parametrize("plane", AXES)
def test_nothing_jumps_where_rounding_becomes_a_slant(plane):
    """Some tolerance parts the two; fields on both sides of it are the same but for it."""
    fields, straight = [], []
    for rounding in np.geomspace(1e-7, 1e-3, 60):
        near = structure(plane, 0.0)
        near.cell[AXES[plane][0], AXES[plane][1]] = rounding
        draw = rasterizer(plane).fit([near])
        straight.append(draw.angles_[-1] == 90.0)
        fields.append(draw.transform([near])[0])
    edge = straight.index(False)
    assert 0 < edge and not any(straight[edge:])
    change = [np.abs(b - a).max() for a, b in pairwise(fields)]
    # Steps of the rounding grow by 17 % each, and so may what it changes.
    assert change[edge - 1] < 3 * max(change[edge], 1e-6)


def test_turned_cells_are_orthogonal():
    ase = pytest.importorskip("ase")
    exact = structure("xy")
    atoms = ase.Atoms(exact.numbers, exact.positions, cell=exact.cell, pbc=True)
    draw = rasterizer("xy").fit([exact])
    expected = draw.transform([exact])
    for angle in (90, 37, 180, 271.5):
        turned = atoms.copy()
        turned.rotate(angle, "z", rotate_cell=True)
        np.testing.assert_allclose(draw.transform([turned]), expected, atol=1e-10)
    for angle in (30, 60, 120):  # there and back leaves 1e-16 everywhere
        again = atoms.copy()
        again.rotate(angle, (1, 2, 3), rotate_cell=True)
        again.rotate(-angle, (1, 2, 3), rotate_cell=True)
        np.testing.assert_allclose(draw.transform([again]), expected, atol=1e-10)
        assert AtomsSource(draw, again).shape == (16, 12, 3)


@pytest.mark.parametrize("digits", [6, 7, 8])
@pytest.mark.parametrize("name", ["POSCAR", "cell.cif", "cell.extxyz", "cell.xsf"])
def test_cells_from_files_are_orthogonal(name, digits, tmp_path):
    ase_io, ase = pytest.importorskip("ase.io"), pytest.importorskip("ase")
    exact = structure("xy")
    cell = np.round(exact.cell + 0.4 * 10.0**-digits, digits)
    atoms = ase.Atoms(exact.numbers, exact.positions, cell=cell, pbc=True)
    ase_io.write(tmp_path / name, atoms)
    draw = rasterizer("xy").fit([exact])
    np.testing.assert_allclose(
        draw.transform(str(tmp_path / name)), draw.transform([exact]), atol=1e-3
    )


@pytest.mark.parametrize("turn", [0, 90, 23])
@pytest.mark.parametrize("rounding", [0.0, 1e-8, 1e-6])
def test_atoms_move_in_rounded_and_turned_cells(turn, rounding):
    train = [structure("xy", seed=seed) for seed in range(8)]
    regressor = EDNNRegressor(KernelRidge(kernel="rbf"), GridTiling(4, 2, channel_axis=-1))
    model = make_pipeline(rasterizer("xy"), regressor)
    model.fit(train, np.random.default_rng(1).normal(size=8))
    start = structure("xy", rounding, seed=9)
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    by = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    start = Structure(start.numbers, start.positions @ by, start.cell @ by)
    local = AtomUpdates(model, start)
    assert local.total == pytest.approx(model.predict([start])[0], rel=1e-9)
    assert local.propose(1, local.positions[1]) == pytest.approx(0.0, abs=1e-12)
    moved = Structure(start.numbers, start.positions.copy(), start.cell)
    moved.positions[1, :2] += (0.3, -0.5)
    change = local.propose(1, moved.positions[1])
    assert change == pytest.approx(np.diff(model.predict([start, moved]))[0], rel=1e-6, abs=1e-10)
