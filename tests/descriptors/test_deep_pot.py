import numpy as np
import pytest

from sk_ednn.descriptors import DeepPotFrame
from sk_ednn.structures import neighbor_pairs
from tests.descriptors._cases import SPECIES, generic


def test_rows_are_coordinates_in_the_frame(rng):
    structures = generic(rng)
    environments = neighbor_pairs(structures, 4.0)
    rows = {5: 20, 6: 21, 7: 22}
    frame = DeepPotFrame(4.0, rows, cutoff_function=None, species=SPECIES)
    got = frame.values(environments)
    assert got.shape[1:] == frame.tile_shape == (63, 4)
    several = 0
    for center in range(environments.n_centers):
        there = environments.centers == center
        v, numbers = environments.vectors[there], environments.neighbor_numbers[there]
        r = np.linalg.norm(v, axis=1)
        expected = np.zeros((63, 4))
        if len(v) > 1:
            several += 1
            a, b = v[np.argsort(r)[:2]]
            x = a / np.linalg.norm(a)
            y = b - (b @ x) * x
            y /= np.linalg.norm(y)
            axes = np.array([x, y, np.cross(x, y)])
        else:
            axes = np.array([v[0] / r[0] if len(v) else np.zeros(3), *np.zeros((2, 3))])
        start = 0
        for number, n_rows in rows.items():
            of = np.flatnonzero(numbers == number)
            of = of[np.argsort(r[of])]
            local = np.column_stack([1 / r[of], v[of] @ axes.T / r[of, None] ** 2])
            expected[start : start + len(of)] = local
            start += n_rows
        np.testing.assert_allclose(got[center], expected, atol=1e-12)
    assert several > 15


def test_more_neighbors_than_rows_are_an_error(rng):
    crystal = {"numbers": [14], "positions": [[0, 0, 0]], "cell": [2.5, 2.5, 2.5]}
    lone = {"numbers": [14], "positions": [[0, 0, 0]], "pbc": False}
    environments = neighbor_pairs([lone, crystal], 2.6)
    frame = DeepPotFrame(2.6, {"Si": 5}, species=("Si",))
    words = r"structure 1, atom 0, has 6 neighbours of Si.*5 rows.*max_neighbors={'Si': 6}"
    for call in (
        lambda: frame.values(environments),
        lambda: frame.pull(environments, np.zeros((2, 5, 4))),
        lambda: frame.push(environments, np.zeros((6, 3))),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    assert frame.set_params(max_neighbors=6).values(environments).shape == (2, 6, 4)


def test_neighbors_beyond_the_cutoff_need_no_rows():
    crystal = {"numbers": [14], "positions": [[0, 0, 0]], "cell": [2.5, 2.5, 2.5]}
    frame = DeepPotFrame(2.6, 6, species=("Si",))
    assert frame.values(neighbor_pairs([crystal], 4.0)).shape == (1, 6, 4)


def test_atoms_on_a_line_have_one_axis(rng):
    line = rng.normal(size=3)
    line /= np.linalg.norm(line)
    positions = [0 * line, 1.2 * line, -1.3 * line]
    molecule = {"numbers": [6, 7, 7], "positions": positions, "pbc": False}
    environments = neighbor_pairs([molecule], 4.0)
    frame = DeepPotFrame(4.0, 2, cutoff_function=None, species=("C", "N"))
    values = frame.values(environments)
    np.testing.assert_allclose(
        values[0, 2:], [[1 / 1.2, 1 / 1.2, 0, 0], [1 / 1.3, -1 / 1.3, 0, 0]], atol=1e-12
    )
    pulled = frame.pull(environments, np.ones_like(values))
    assert np.isfinite(pulled).all() and np.abs(pulled).max() < 3


def test_the_second_axis_is_not_taken_next_to_the_first():
    positions = [[0, 0, 0], [1, 0, 0], [1.5, 1e-4, 0], [0.3, 0, 2]]
    molecule = {"numbers": [6] * 4, "positions": positions, "pbc": False}
    environments = neighbor_pairs([molecule], 4.0).restricted([0])
    values = DeepPotFrame(4.0, 3, cutoff_function=None, species=("C",)).values(environments)[0]
    r = np.linalg.norm(positions[1:], axis=1)
    np.testing.assert_allclose(values[2, 1:] * r[2] ** 2, [0.3, 2, 0], atol=1e-12)
    np.testing.assert_allclose(values[1, 1:] * r[1] ** 2, [1.5, 0, -1e-4], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_neighbors": 0}, "max_neighbors must be positive integers. Got 0"),
        ({"max_neighbors": {"C": 5}}, "a number for each of species"),
        ({"max_neighbors": {"B": 5, "C": 5, "N": 1.5}}, "positive integers"),
        ({"cutoff_function": "cos"}, "cutoff_function must be one of"),
    ],
)
def test_parameters_that_make_no_sense(rng, changes, words):
    environments = neighbor_pairs(generic(rng), 4.0)
    frame = DeepPotFrame(4.0, species=SPECIES).set_params(**changes)
    with pytest.raises(ValueError, match=words):
        frame.values(environments)
