"""Soft modes are those of springs at rest, without rigid motions."""

import numpy as np
import pytest

pytest.importorskip("ase_ga")
from sk_ednn.search._ase_ga import Operators, numbers_of
from sk_ednn.search._label import Sanity
from sk_ednn.search._soft_modes import soft_modes
from sk_ednn.structures import Structure

RADII = np.array([0.7, 1.1, 0.9, 1.0, 0.8])


def cluster():
    positions = 1.6 * np.random.RandomState(0).normal(size=(5, 3))
    return Structure(np.array([6, 14, 14, 14, 6]), positions, 40 * np.eye(3), np.zeros(3, bool))


def energy(structure, positions):
    """Energy of springs whose lengths at rest are those of the structure."""
    total = 0.0
    for i in range(5):
        for j in range(i):
            r0 = np.linalg.norm(structure.positions[i] - structure.positions[j])
            if r0 < 5.0:
                spring = np.exp(-(r0 - RADII[i] - RADII[j]) / 0.37)
                total += spring / 2 * (np.linalg.norm(positions[i] - positions[j]) - r0) ** 2
    return total


def test_stiffness_is_the_curvature_of_the_springs():
    structure = cluster()
    stiffness, modes = soft_modes(structure, RADII)
    assert modes.shape == (9, 5, 3) and np.all(np.diff(stiffness) >= 0)
    for value, mode in zip(stiffness, modes, strict=True):
        ahead, behind = (energy(structure, structure.positions + s * mode) for s in (1e-4, -1e-4))
        assert (ahead + behind) / 1e-8 == pytest.approx(value, rel=1e-3, abs=1e-6)


def test_modes_are_orthonormal_and_move_no_whole():
    structure = cluster()
    _, modes = soft_modes(structure, RADII)
    flat = modes.reshape(9, 15)
    np.testing.assert_allclose(flat @ flat.T, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(modes.sum(axis=1), 0.0, atol=1e-12)
    about = structure.positions - structure.positions.mean(axis=0)
    np.testing.assert_allclose(np.cross(about, modes).sum(axis=1), 0.0, atol=1e-10)
    crystal = Structure(structure.numbers, structure.positions, 6 * np.eye(3), np.ones(3, bool))
    assert len(soft_modes(crystal, RADII)[1]) == 12  # rotations of a crystal deform it


def test_fixed_atoms_stay():
    _, modes = soft_modes(cluster(), RADII, n_fixed=2)
    assert len(modes) == 9 and not modes[:, :2].any()


@pytest.mark.parametrize("kind", ["crystal", "cluster", "sheet"])
def test_the_operator_moves_atoms_and_keeps_distances_and_the_cell(kind):
    operators = Operators(numbers_of("Si4C4"), kind)
    parent = operators.make("start", [], np.random.RandomState(0))
    boxed = operators.make("again", [parent], np.random.RandomState(0))
    children = [operators.make("soft", [parent], np.random.RandomState(k)) for k in range(6)]
    result = [child for child in children if child is not None]
    assert len(result) >= 3
    for child in result:
        assert Sanity(min_distance=0.5).fault_of_structure(child) is None
        np.testing.assert_array_equal(child.cell, boxed.cell)
        moved = np.linalg.norm(child.positions - boxed.positions, axis=1)
        assert 0.39 < moved.max() < 2.01
