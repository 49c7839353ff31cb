"""The laws that every descriptor obeys, over descriptors × structures × cutoffs."""

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.structures import Structures, neighbor_pairs
from tests.descriptors._cases import (
    ALL,
    FRAMES,
    INVARIANT,
    SMOOTH,
    STRUCTURES,
    batch,
    generic,
    structure,
)


def moved(structures, **changes):
    """Return structures with other arrays."""
    return replace(structures, **changes)


def relative(a, b):
    return np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-300)


@pytest.mark.parametrize("cutoff", [2.5, 4.0])
@pytest.mark.parametrize("name", ALL)
def test_push_equals_differences(rng, name, cutoff):
    descriptor = ALL[name](cutoff)
    structures = generic(rng) if name in FRAMES else batch(rng)
    environments = neighbor_pairs(structures, cutoff)
    tangents, h = rng.normal(size=(environments.n_pairs, 3)), 1e-5
    up, down = (
        descriptor.values(replace(environments, vectors=environments.vectors + s * tangents))
        for s in (h, -h)
    )
    assert relative((up - down) / (2 * h), descriptor.push(environments, tangents)) < 1e-6


@pytest.mark.parametrize("cutoff", [2.5, 4.0])
@pytest.mark.parametrize("case", STRUCTURES)
@pytest.mark.parametrize("name", ALL)
def test_pull_is_the_adjoint_of_push(rng, name, case, cutoff):
    descriptor = ALL[name](cutoff)
    environments = neighbor_pairs(batch(rng, (case,)), cutoff)
    tangents = rng.normal(size=(environments.n_pairs, 3))
    pushed = descriptor.push(environments, tangents)
    gradients = rng.normal(size=pushed.shape)
    pulled = descriptor.pull(environments, gradients)
    assert pulled.shape == tangents.shape and pulled.dtype == pushed.dtype == np.float64
    scale = np.abs(pushed * gradients).sum() + 1e-300
    assert abs((pushed * gradients).sum() - (pulled * tangents).sum()) < 1e-12 * scale


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_by_positions_and_strain_equals_differences(rng, name):
    # Neighbour lists are made anew, so that neighbours come and go at the cutoff.
    cutoff, h = 3.5, 1e-4
    descriptor = SMOOTH[name](cutoff)
    structures = batch(rng, ("tilted", "slab", "molecule"))
    weights = rng.normal(size=(structures.n_atoms, *descriptor.tile_shape))

    def energies(positions, cells):
        there = moved(structures, positions=positions, cells=cells)
        parts = descriptor.values(neighbor_pairs(there, cutoff)) * weights
        parts = parts.reshape(len(parts), -1).sum(axis=1)
        return np.bincount(structures.owners, parts)

    environments = neighbor_pairs(structures, cutoff)
    by_positions, by_strain = environments.gradient(descriptor.pull(environments, weights))
    x, cells = structures.positions, structures.cells

    def difference(ways):
        # Of the fourth order, so that rounding and curvature are both below the tolerance.
        near, far = (
            (energies(*ways(k * h)) - energies(*ways(-k * h))) / (2 * k * h) for k in (1, 2)
        )
        return (4 * near - far) / 3

    scale = np.abs(by_positions).max()
    move = rng.normal(size=x.shape)
    by_move = np.bincount(structures.owners, (by_positions * move).sum(axis=1))
    change = difference(lambda s: (x + s * move, cells))
    # The cosine's forces have a kink where a neighbour enters.
    tolerance = 1e-6 if descriptor.get_params().get("cutoff_function") != "cosine" else 1e-4
    np.testing.assert_allclose(change, by_move, atol=tolerance * scale, rtol=tolerance)
    strain = rng.normal(size=(3, 3))
    strain += strain.T
    change = difference(lambda s: (x @ (np.eye(3) + s * strain), cells @ (np.eye(3) + s * strain)))
    np.testing.assert_allclose(
        change, (by_strain * strain).sum(axis=(1, 2)), atol=tolerance * scale, rtol=tolerance
    )


@pytest.mark.parametrize("name", ALL)
def test_rotation_translation_and_order_change_nothing(rng, name):
    cutoff = 3.5
    descriptor = ALL[name](cutoff)
    structures = generic(rng) if name in FRAMES else batch(rng)
    values = descriptor.values(neighbor_pairs(structures, cutoff))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation) * (-1 if name in INVARIANT else 1)
    translation = rng.normal(scale=9, size=(len(structures), 3))[structures.owners]
    order = np.lexsort((rng.random(structures.n_atoms), structures.owners))
    there = moved(
        structures,
        numbers=structures.numbers[order],
        positions=((structures.positions + translation) @ rotation.T)[order],
        cells=structures.cells @ rotation.T,
    )
    turned = descriptor.values(neighbor_pairs(there, cutoff))
    values = values[order]
    if name == "spherical":
        # The norm of each degree is what does not turn.
        values, turned = (
            np.sqrt(np.add.reduceat(c**2, np.arange(4) ** 2, axis=2)) for c in (values, turned)
        )
    assert relative(turned, values) < 1e-10


def test_inversion_changes_the_sign_of_odd_degrees(rng):
    structures = batch(rng)
    inverted = moved(structures, positions=-structures.positions, cells=-structures.cells)
    descriptor = SMOOTH["spherical"](3.5)
    c, d = (descriptor.values(neighbor_pairs(one, 3.5)) for one in (structures, inverted))
    signs = np.repeat([1, -1, 1, -1], [1, 3, 5, 7])
    assert relative(c * signs, d) < 1e-10


def test_reflection_changes_the_sign_of_z_in_a_frame(rng):
    structures = generic(rng)
    mirrored = moved(structures, positions=structures.positions * [1, 1, -1])
    descriptor = FRAMES["frame"](3.5)
    v, w = (descriptor.values(neighbor_pairs(one, 3.5)) for one in (structures, mirrored))
    assert np.abs(v[..., 3]).max() > 0.01
    assert relative(v * [1, 1, 1, -1], w) < 1e-10


@pytest.mark.parametrize("name", SMOOTH)
def test_a_doubled_cell_has_the_same_atoms_twice(rng, name):
    descriptor = SMOOTH[name](3.5)
    one = STRUCTURES["tilted"](rng)
    twice = {
        "numbers": np.tile(one["numbers"], 2),
        "positions": np.vstack([one["positions"], one["positions"] + one["cell"][1]]),
        "cell": one["cell"] * [[1], [2], [1]],
        "pbc": True,
    }
    values, doubled = (descriptor.values(neighbor_pairs([s], 3.5)) for s in (one, twice))
    np.testing.assert_allclose(doubled[: len(values)], values, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(doubled[len(values) :], values, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_some_centers_are_rows_of_all(rng, name):
    descriptor = ALL[name](3.5)
    structures = batch(rng)
    everything = neighbor_pairs(structures, 3.5)
    values = descriptor.values(everything)
    atoms = rng.permutation(structures.n_atoms)[:7]
    some = everything.restricted(atoms)
    np.testing.assert_array_equal(descriptor.values(some), values[atoms])
    none = everything.restricted([])
    assert descriptor.values(none).shape == (0, *descriptor.tile_shape)
    assert descriptor.push(none, np.zeros((0, 3))).shape == (0, *descriptor.tile_shape)
    assert descriptor.pull(none, np.zeros((0, *descriptor.tile_shape))).shape == (0, 3)


@pytest.mark.parametrize("name", ALL)
def test_nothing_near_is_all_zeros(rng, name):
    descriptor = ALL[name](3.5)
    environments = neighbor_pairs(batch(rng, ("lone",)), 3.5)
    values = descriptor.values(environments)
    assert values.shape == (2, *descriptor.tile_shape) and not values.any()
    assert not descriptor.push(environments, np.zeros((0, 3))).any()


@pytest.mark.parametrize("name", ALL)
def test_blocks_change_nothing(rng, name):
    descriptor = ALL[name](3.5)
    environments = neighbor_pairs(batch(rng), 3.5)
    gradients = rng.normal(size=(environments.n_centers, *descriptor.tile_shape))
    tangents = rng.normal(size=(environments.n_pairs, 3))

    def results():
        return (
            descriptor.values(environments),
            descriptor.pull(environments, gradients),
            descriptor.push(environments, tangents),
        )

    expected = results()
    for size in (1, 3000):
        descriptor.block_numbers = size
        for got, whole in zip(results(), expected, strict=True):
            np.testing.assert_allclose(got, whole, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ALL)
def test_environments_may_reach_farther(rng, name):
    descriptor = ALL[name](2.8)
    structures = batch(rng)
    near, far = (neighbor_pairs(structures, cutoff) for cutoff in (2.8, 3.9))
    np.testing.assert_allclose(
        descriptor.values(far), descriptor.values(near), rtol=1e-12, atol=1e-14
    )
    gradients = rng.normal(size=(near.n_centers, *descriptor.tile_shape))
    inside = np.linalg.norm(far.vectors, axis=1) < 2.8
    pulled = descriptor.pull(far, gradients)
    assert inside.sum() == near.n_pairs and not pulled[~inside].any()
    np.testing.assert_allclose(pulled[inside], descriptor.pull(near, gradients), atol=1e-11)


def test_threads_do_not_get_each_others_numbers(rng):
    structures = [
        Structures.of([structure(rng, 12, 6 * np.eye(3), True) for _ in range(6)]) for _ in range(8)
    ]
    descriptor = PowerSpectrum(4.0, 2, 9, species=("B", "C", "N"))

    def describe(batch):
        environments = neighbor_pairs(batch, 4.0)
        values = descriptor.values(environments)
        return values, descriptor.pull(environments, np.ones_like(values))

    alone = [describe(batch) for batch in structures]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, expected in zip(pool.map(describe, structures), alone, strict=True):
                np.testing.assert_array_equal(got[0], expected[0])
                np.testing.assert_array_equal(got[1], expected[1])


def test_memory_does_not_grow_with_the_atoms(rng):
    descriptor = ALL["chebyshev"](4.0)

    def temporary(n_structures):
        structures = [structure(rng, 9, 6 * np.eye(3), True) for _ in range(n_structures)]
        environments = neighbor_pairs(structures, 4.0)
        descriptor.values(environments.restricted([0]))
        tracemalloc.start()
        result = descriptor.values(environments)
        peak = tracemalloc.get_traced_memory()[1] - result.nbytes
        tracemalloc.stop()
        return peak, environments.n_pairs

    (few, _), (many, n_pairs) = temporary(60), temporary(240)
    # What is left that grows: a few numbers a pair, against some 400 without blocks.
    assert many < few + 50 * n_pairs
    assert n_pairs > 20_000


@pytest.mark.parametrize("name", ALL)
def test_parameters_are_those_of_scikit_learn(rng, name):
    descriptor = ALL[name](3.5)
    environments = neighbor_pairs(batch(rng), 3.5)
    values = descriptor.values(environments)
    for copy in (clone(descriptor), pickle.loads(pickle.dumps(descriptor))):
        assert repr(copy) == repr(descriptor)
        np.testing.assert_array_equal(copy.values(environments), values)


def test_species_are_elements_and_not_an_order(rng):
    environments = neighbor_pairs(batch(rng), 3.5)
    values = PowerSpectrum(3.5, 2, 2, species=("N", 5, "C")).values(environments)
    for species in (("B", "C", "N"), (7, 6, 5), [6, "B", 7]):
        again = PowerSpectrum(3.5, 2, 2, species=species).values(environments)
        np.testing.assert_array_equal(again, values)


def test_with_species_returns_a_copy_that_knows_them():
    descriptor = PowerSpectrum(4.0)
    copy = descriptor.with_species(np.array([8, 22, 8]))
    assert copy.species == (8, 22) and descriptor.species is None
    assert copy.with_species([22]).species == (8, 22)
    with pytest.raises(ValueError, match="has the species O, Ti, but the structures contain C"):
        copy.with_species([6, 8])


@pytest.mark.parametrize("name", ALL)
def test_unknown_species_are_named(rng, name):
    descriptor = ALL[name](3.5).set_params(species=("C", "B"))
    if name == "chebyshev-short":
        descriptor.set_params(weights=None)
    if name == "frame":
        descriptor.set_params(max_neighbors=40)
    environments = neighbor_pairs(batch(rng), 3.5)
    shape = (environments.n_centers, *descriptor.tile_shape)
    for call in (
        lambda: descriptor.values(environments),
        lambda: descriptor.pull(environments, np.zeros(shape)),
        lambda: descriptor.push(environments, environments.vectors),
    ):
        with pytest.raises(ValueError, match=r"B, C, but the structures contain N\. Add"):
            call()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cutoff": 0}, "cutoff must be a positive number of Å. Got 0"),
        ({"cutoff": None}, "cutoff must be a positive number"),
        ({"cutoff": 5.0}, r"cutoff of PowerSpectrum is 5 Å.*neighbor_pairs\(structures, 5\)"),
        ({"n_radial": 0}, "n_radial must be an integer of at least 1. Got 0"),
        ({"n_radial": 2.0}, "n_radial must be an integer"),
        ({"max_l": -1}, "max_l must be an integer of at least 0. Got -1"),
        ({"species": None}, r"species of PowerSpectrum are unknown.*with_species\(numbers\)"),
        ({"species": ("B", "C", "N", "C")}, "one or more different elements"),
        ({"species": ()}, "one or more different elements"),
        ({"species": ("B", "Xx")}, "Got 'Xx' instead"),
    ],
)
def test_parameters_that_make_no_sense(rng, changes, words):
    environments = neighbor_pairs(batch(rng, ("tilted",)), 3.5)
    descriptor = PowerSpectrum(3.5, species=("B", "C", "N")).set_params(**changes)
    with pytest.raises(ValueError, match=f"(?s){words}"):
        descriptor.values(environments)


JUNK = [
    None,
    "text",
    [0],
    [24],
    {},
    {"Si": 1},
    True,
    1e300,
    -1,
    0.5,
    float("nan"),
    [["a"]],
    object(),
]


@pytest.mark.parametrize("name", ALL)
def test_any_junk_is_refused_in_words_or_described(rng, name):
    descriptor, structures = ALL[name](3.5), batch(rng, ("tilted",))
    for parameter in set(descriptor.get_params()) - {"function", "pull_function", "push_function"}:
        for junk in JUNK:
            changed = clone(descriptor).set_params(**{parameter: junk})
            try:
                with np.errstate(over="ignore"):
                    with_species = changed.with_species(structures.numbers)
                environments = neighbor_pairs(structures, min(with_species.cutoff, 5.0))
                with np.errstate(over="ignore"):
                    values = with_species.values(environments)
            except ValueError as error:
                assert str(error).strip(), (parameter, junk)
            else:
                assert values.shape == (structures.n_atoms, *with_species.tile_shape)


def test_wrong_shapes_are_refused(rng):
    environments = neighbor_pairs(batch(rng, ("tilted",)), 3.5)
    descriptor = ALL["power"](3.5)
    with pytest.raises(ValueError, match=r"gradients must be of shape \(4, 189\). Got \(4, 3\)"):
        descriptor.pull(environments, np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"tangents must be of shape"):
        descriptor.push(environments, np.zeros((4, 3)))


def test_a_descriptor_does_not_change_its_input(rng):
    structures = batch(rng)
    environments = neighbor_pairs(structures, 3.5)
    for array in (environments.vectors, environments.centers, environments.neighbors):
        array.flags.writeable = False
    for make in ALL.values():
        descriptor = make(3.5)
        gradients = rng.normal(size=(environments.n_centers, *descriptor.tile_shape))
        gradients.flags.writeable = False
        descriptor.pull(environments, gradients)
        descriptor.push(environments, environments.vectors)
    assert isinstance(structures, Structures)
