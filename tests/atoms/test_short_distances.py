"""Advice to begin with the repulsion of nuclei where the largest errors are of close atoms."""

import warnings

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("torch")
pytest.importorskip("vesin")

from ase import Atoms
from ase.data import covalent_radii

from sk_ednn.atoms import EDNNPotential, PotentialTrainer
from sk_ednn.atoms._potential_verdict import judged
from sk_ednn.atoms._short_distances import shortest_distances, worst_are_close
from sk_ednn.atoms._structure_errors import measured
from sk_ednn.structures import Structures
from tests._labelled import labelled_atoms, with_labels
from tests._potentials import CUTOFF

SMALL = {"n_radial": 3, "l_max": 2, "channels": 4, "partners": 2, "hidden": (8,)}


def dimer(length, numbers=(29, 79), **more):
    return Atoms(numbers, [[0, 0, 0], [0, 0, length]], **more)


@pytest.mark.parametrize("numbers", [(29, 29), (29, 79), (1, 8), (8, 1)])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.99])
def test_distances_are_in_sums_of_covalent_radii(numbers, share):
    length = share * covalent_radii[list(numbers)].sum()
    cell = [9.0, 9.0, length + 9.0]
    apart = dimer(2 * length, numbers)
    found = shortest_distances(Structures.of([
        dimer(length, numbers), dimer(length + 9.0, numbers, cell=cell), apart,
        dimer(9.0, numbers, cell=[9.0, 9.0, length + 9.0], pbc=True),
    ]))  # fmt: skip
    # ASE's radii are those of the same source.
    assert found[[0, 3]] == pytest.approx(share, rel=1e-6)
    assert found[1] == found[2] == np.inf


def test_unknown_radii_have_no_distance():
    pairs = [dimer(1.0, (110, 110)), dimer(1.0, (110, 1)), dimer(0.31, (1, 1))]
    found = shortest_distances(Structures.of(pairs))
    assert found.tolist() == [np.inf, np.inf, pytest.approx(0.5)]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [12, 40, 400])
def test_it_takes_the_largest_errors_to_be_of_the_closest_atoms(n, sign):
    rng = np.random.default_rng(n)
    distances = rng.uniform(0.6, 1.0, size=n)
    grow = sign * np.exp(-10 * distances)
    assert worst_are_close(grow, distances) == pytest.approx(0.6, abs=0.1)
    assert worst_are_close(1 / grow, distances) is None
    # Where all atoms are as far apart as bonded ones, the closest are not close.
    assert worst_are_close(grow, distances + 0.3) is None
    unknown = np.where(distances < 0.8, np.nan, grow)
    assert worst_are_close(unknown, distances) is None
    chance = [worst_are_close(rng.normal(size=n), distances) for _ in range(200)]
    assert np.mean([each is not None for each in chance]) < 0.25
    assert worst_are_close(grow[:8], distances[:8]) is None  # too few


@pytest.mark.parametrize("repulsion", [None, "potential", "trainer"])
def test_repulsion_is_advised_if_there_is_none(repulsion):
    train, test = labelled_atoms(8), labelled_atoms(20, seed=3)
    for atoms, share in zip(test, np.linspace(0.5, 0.9, 20), strict=True):
        radii = covalent_radii[atoms.numbers[:2]].sum()
        atoms.positions[0] = atoms.positions[1] + [share * radii, 0.0, 0.0]
        with_labels(atoms)
    trainer = PotentialTrainer(max_epochs=1, repulsion=repulsion == "trainer")
    potential = EDNNPotential(
        cutoff=CUTOFF, network_params=SMALL, trainer=trainer, random_state=0,
        repulsion=repulsion == "potential",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        potential.fit(train)
        parts = measured(potential, train), measured(potential, test)
    distances = shortest_distances(parts[1].data.structures)
    large = 1e15 * np.exp(-20 * distances)  # far above all spreads
    for sizes, is_close in ((large, True), (1e30 / large, False)):
        errors = parts[1].errors._replace(
            energies=sizes, stress=np.zeros((20, 6)),
            forces=np.repeat(sizes, 4)[:, None] * np.ones(3),
        )  # fmt: skip
        step = judged(potential, parts[0], parts[1]._replace(errors=errors)).step or ""
        assert ("--repulsion" in step) == (is_close and repulsion is None)
