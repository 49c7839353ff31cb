"""Moves of atoms on models whose tiles are atoms equal full evaluation."""

import numpy as np
import pytest

pytest.importorskip("vesin")
pytest.importorskip("sphericart")

from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.utils import Bunch

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.exceptions import TileModelError
from sk_ednn.simulation import AtomMetropolis, AtomTileUpdates
from sk_ednn.tiling import AtomTiling
from tests.tiling.test_atoms import PBC, make_structure, make_structures, pair_energy

DESCRIPTOR = PowerSpectrum(3.2, n_radial=3, max_l=2)


@pytest.fixture(scope="module")
def model():
    X = make_structures(60)
    y = [pair_energy(structure) for structure in X]
    return EDNNRegressor(AtomTiling.per_species(Ridge(1e-3), DESCRIPTOR, ["Si", "Au"])).fit(X, y)


@pytest.mark.filterwarnings("ignore::sk_ednn.exceptions.NoveltyWarning")  # of close atoms
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), pbc=st.sampled_from(sorted(PBC)),
    edge=st.sampled_from([3.4, 6.0, 11.0]), far=st.booleans(),
)  # fmt: skip
def test_moves_equal_full_evaluation(model, seed, pbc, edge, far):
    """In cells narrower than the cutoff and wider than several, within and out of the cell."""
    rng = np.random.default_rng(seed)
    n_atoms = {3.4: 2, 6.0: 6, 11.0: 30}[edge]
    structure = make_structure(rng, n_atoms=n_atoms, pbc=PBC[pbc], edge=edge)
    local = AtomTileUpdates(model, structure)
    np.testing.assert_allclose(local.total, model.predict([structure])[0], rtol=1e-10)
    for _ in range(4):
        atom = int(rng.integers(n_atoms))
        step = rng.normal(size=3) * (8.0 if far else 0.3)
        target = local.positions[atom] + step
        if local.is_close(atom, target, 0.5):
            continue
        before = local.total
        cost = local.propose(atom, target)
        assert local.total == before
        if rng.random() < 0.7:
            local.accept()
            structure.positions[atom] = target
        else:
            positions = structure.positions.copy()
            positions[atom] = target
            moved = Bunch(**{**structure, "positions": positions})
            np.testing.assert_allclose(before + cost, model.predict([moved])[0], rtol=1e-8)
    np.testing.assert_allclose(local.total, model.predict([structure])[0], rtol=1e-9)
    np.testing.assert_array_equal(local.positions, structure.positions)


def test_sampling_with_atoms_as_tiles(model):
    structure = make_structure(np.random.default_rng(1), n_atoms=8, edge=7.0)
    sampler = AtomMetropolis(model, 0.05, step=0.05, closest=1.0, random_state=0)
    chain = sampler.run(structure, 3)
    assert chain.positions.shape == (3, 8, 3) and 0 < chain.acceptance <= 1
    structure.positions[:] = chain.positions[-1]
    np.testing.assert_allclose(chain.energies[-1], model.predict([structure])[0], rtol=1e-9)


def test_what_cannot_be_moved_is_named(model):
    structure = make_structure(np.random.default_rng(1), n_atoms=8, edge=7.0)
    local = AtomTileUpdates(model, structure)
    for atom, position, words in (
        (8, np.zeros(3), "an atom from 0 to 7"),
        (0, np.zeros(2), r"\(x, y, z\)"),
        (0, [0, 0, np.nan], "finite position"),
    ):
        with pytest.raises(ValueError, match=words):
            local.propose(atom, position)
        with pytest.raises(ValueError, match="nothing to accept"):
            local.accept()
    X = np.random.default_rng(0).normal(size=(10, 4))
    grid = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, X.sum(axis=1))
    with pytest.raises(TileModelError, match="whose tiles are atoms"):
        AtomTileUpdates(grid, structure)
