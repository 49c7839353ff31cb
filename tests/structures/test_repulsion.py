"""The repulsion of nuclei, against a sum over images and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_ednn.structures import Structures, neighbor_pairs, screened_repulsion
from sk_ednn.structures._repulsion import _RADII, without_repulsion

pytest.importorskip("vesin")


def random_structure(seed, n_atoms=5, edge=3.2, pbc=(True, True, False)):
    """Return atoms of several species, some of them very close, in a tilted cell."""
    rng = np.random.default_rng(seed)
    cell = edge * (np.eye(3) + 0.2 * rng.uniform(-1, 1, (3, 3)))
    positions = rng.uniform(size=(n_atoms, 3)) @ cell
    return {
        "numbers": rng.choice([1, 8, 14, 22, 79], n_atoms),
        "positions": positions,
        "cell": cell,
        "pbc": np.array(pbc),
    }


def by_images(one):
    """Return the energy: the formulas of Ziegler, Biersack and Littmark, pair by pair."""
    numbers, positions = one["numbers"], one["positions"]
    shifts = [range(-3, 4) if periodic else range(1) for periodic in one["pbc"]]
    total = 0.0
    for shift in np.stack(np.meshgrid(*shifts), -1).reshape(-1, 3):
        for i, z in enumerate(numbers):
            for j, w in enumerate(numbers):
                r = np.linalg.norm(positions[j] + shift @ one["cell"] - positions[i])
                reach = _RADII[z - 1] + _RADII[w - 1]
                if r == 0 or r >= reach:
                    continue
                x = r * (z**0.23 + w**0.23) / (0.8854 * 0.529177)
                phi = (
                    0.1818 * np.exp(-3.2 * x) + 0.5099 * np.exp(-0.9423 * x)
                    + 0.2802 * np.exp(-0.4028 * x) + 0.02817 * np.exp(-0.2016 * x)
                )  # fmt: skip
                u = r / reach
                taper = 1 - 28 * u**6 + 48 * u**7 - 21 * u**8
                total += 0.5 * 14.399645 * z * w / r * phi * taper
    return total


@given(seed=st.integers(0, 2**31), periodic=st.tuples(*[st.booleans()] * 3))
@settings(max_examples=15, deadline=None)
def test_energies_are_those_of_all_pairs(seed, periodic):
    each = [random_structure(seed + k, pbc=periodic) for k in range(2)]
    batch = Structures.of(each)
    parts = screened_repulsion(batch).contributions
    energies = np.add.reduceat(parts, batch.offsets[:-1])
    np.testing.assert_allclose(energies, [by_images(one) for one in each], rtol=1e-10, atol=1e-9)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_derivatives_are_those_of_the_energy(seed):
    one = random_structure(seed)

    def energy(positions, cell):
        return screened_repulsion(
            Structures.of([one | {"positions": positions, "cell": cell}])
        ).contributions.sum()

    found = screened_repulsion(Structures.of([one]))
    rng = np.random.default_rng(seed)
    move, strain = rng.normal(size=one["positions"].shape), rng.normal(size=(3, 3))
    strain = (strain + strain.T) / 2
    h = 1e-6
    ends = []
    for step in (h, -h):
        turn = np.eye(3) + step * strain
        ends.append(energy((one["positions"] + step * move) @ turn, one["cell"] @ turn))
    slope = (found.positions * move).sum() + (found.strain[0] * strain).sum()
    scale = np.abs(found.positions).sum() + np.abs(found.strain).sum() + 1e-6
    assert abs((ends[0] - ends[1]) / (2 * h) - slope) < 1e-6 * scale
    np.testing.assert_allclose(found.positions.sum(0), 0, atol=1e-12 * scale)


@pytest.mark.parametrize("pair", [(1, 1), (8, 22), (14, 79), (96, 96)])
def test_it_ends_smoothly_at_the_sum_of_the_radii(pair):
    reach = sum(_RADII[z - 1] for z in pair)
    steps = 1e-3 * np.arange(-3, 3)
    batch = Structures.of([
        {"numbers": pair, "positions": [[0, 0, 0], [0, 0, reach + s]], "cell": None, "pbc": False}
        for s in [*steps, -0.5 * reach]
    ])  # fmt: skip
    found = screened_repulsion(batch)
    energies = np.add.reduceat(found.contributions, batch.offsets[:-1])
    # As a cube: energy, slope and curvature vanish together.
    ratio = energies[0] / energies[1]
    assert ratio == pytest.approx((3 / 2) ** 3, rel=0.02)
    assert (energies[3:6] == 0).all() and energies[6] > energies[0] > 0
    assert found.positions[1, 2] < 0 < found.positions[0, 2]


def test_known_neighbours_are_used_if_they_suffice():
    batch = Structures.of([random_structure(k) for k in range(4)])
    found = screened_repulsion(batch)
    for cutoff in (0.5, 4.5):
        again = screened_repulsion(batch, neighbor_pairs(batch, cutoff))
        for one, other in zip(found, again, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_radii_are_those_of_ase_and_end_at_curium():
    data = pytest.importorskip("ase.data")
    np.testing.assert_allclose(_RADII, data.covalent_radii[1:97], atol=1e-9)
    heavy = {"numbers": [6, 98], "positions": [[0, 0, 0], [0, 0, 2.0]], "cell": None, "pbc": False}
    with pytest.raises(ValueError, match=r"no covalent radius of Cf.*up to Cm"):
        screened_repulsion(Structures.of([heavy]))


def test_unknown_labels_stay_unknown():
    batch = Structures.of([random_structure(3, pbc=(True, True, True)), random_structure(4)])
    energies, forces = np.array([1.0, np.nan]), np.zeros((batch.n_atoms, 3))
    forces[2] = np.nan
    stress = np.zeros((2, 6))
    stress[1] = np.nan
    less = without_repulsion(batch, energies, forces, stress)
    for before, after in zip((energies, forces, stress), less, strict=True):
        np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    found = screened_repulsion(batch)
    assert less[0][0] == pytest.approx(1.0 - found.contributions[: batch.offsets[1]].sum())
    np.testing.assert_allclose(less[1][0], found.positions[0])
    sxx = found.strain[0, 0, 0] / batch.volumes[0]
    assert less[2][0, 0] == pytest.approx(-sxx)
