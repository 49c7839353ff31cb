"""Networks of atoms: gradients, symmetries and sums, over networks, cells and boundaries."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("sphericart.torch")

from sk_ednn.descriptors import SphericalExpansion  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.networks._atomic import (  # noqa: E402
    AtomicPotential,
    Density,
    NeighborTable,
    SpectrumNetwork,
    energies_and_gradients,
    energy_forces_stress,
    standardize,
)
from sk_ednn.networks._atomic._layers import Standardized  # noqa: E402
from sk_ednn.structures import Structures, neighbor_pairs  # noqa: E402
from tests._potentials import (  # noqa: E402
    CUTOFF,
    NETWORKS,
    SPECIES,
    cluster,
    mixed,
    moved,
    potential,
    structure,
)

STEP = 1e-4
every = pytest.mark.parametrize("name", NETWORKS)
with_context = pytest.mark.parametrize("context", [0, 3])


@every
@with_context
def test_forces_and_stress_are_finite_differences(name, context):
    rng = np.random.default_rng(1)
    structures, model = mixed(), potential(name, context)
    predicted = model.predict(structures, forces=True, stress=True)
    direction = rng.standard_normal((structures.n_atoms, 3))
    strain = rng.standard_normal((len(structures), 3, 3))
    strain = (strain + strain.transpose(0, 2, 1)) / 2
    strain[structures.volumes == 0] = 0
    energies = []
    for step in (-2 * STEP, -STEP, STEP, 2 * STEP):
        shape = np.eye(3) + step * strain
        positions = structures.positions + step * direction
        positions = np.einsum("nb,nab->na", positions, shape[structures.owners])
        cells = structures.cells @ shape.transpose(0, 2, 1)
        energies.append(model.predict(moved(structures, positions, cells)).energies)
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * STEP)
    work = -(predicted.forces * direction).sum(1)
    expected = np.add.reduceat(work, structures.offsets[:-1])
    stress = np.nan_to_num(predicted.stress)
    full = stress[:, [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    expected += structures.volumes * (full * strain).sum((1, 2))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(slope, expected, atol=1e-6 * np.abs(expected).max())


@every
@with_context
def test_invariances(name, context):
    rng = np.random.default_rng(2)
    structures, model = mixed(), potential(name, context)
    before = model.predict(structures, forces=True, stress=True, per_atom=True)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))  # a rotation or a reflection
    shift = rng.standard_normal((len(structures), 3))
    other = moved(
        structures, structures.positions @ turn.T + shift[structures.owners],
        structures.cells @ turn.T,
    )  # fmt: skip
    after = model.predict(other, forces=True, per_atom=True)
    np.testing.assert_allclose(after.contributions, before.contributions, atol=1e-10)
    np.testing.assert_allclose(after.forces, before.forces @ turn.T, atol=1e-10)
    # The order of atoms.
    order = np.concatenate([
        rng.permutation(np.arange(a, b))
        for a, b in zip(structures.offsets[:-1], structures.offsets[1:], strict=True)
    ])  # fmt: skip
    shuffled = moved(structures, structures.positions[order], numbers=structures.numbers[order])
    after = model.predict(shuffled, forces=True)
    np.testing.assert_allclose(after.energies, before.energies, atol=1e-10)
    np.testing.assert_allclose(after.forces, before.forces[order], atol=1e-10)


@every
@with_context
def test_doubled_cells_have_twice_the_energy(name, context):
    rng = np.random.default_rng(3)
    one = structure(rng, "tilted", n=4)
    numbers = np.tile(one["numbers"], 2)
    positions = np.vstack([one["positions"], one["positions"] + one["cell"][0]])
    cell = one["cell"] * [[2.0], [1.0], [1.0]]
    both = Structures.of([one, {"numbers": numbers, "positions": positions, "cell": cell}])
    predicted = potential(name, context).predict(both, forces=True, stress=True)
    np.testing.assert_allclose(predicted.energies[1], 2 * predicted.energies[0], rtol=1e-12)
    np.testing.assert_allclose(predicted.forces[4:8], predicted.forces[:4], atol=1e-12)
    np.testing.assert_allclose(predicted.stress[1], predicted.stress[0], atol=1e-12)


@every
def test_forces_of_a_structure_add_up_to_zero_and_contributions_to_the_energy(name):
    structures = mixed()
    predicted = potential(name, 3).predict(structures, forces=True, per_atom=True)
    starts = structures.offsets[:-1]
    assert np.abs(np.add.reduceat(predicted.forces, starts)).max() < 1e-12
    totals = np.add.reduceat(predicted.contributions, starts)
    np.testing.assert_allclose(totals, predicted.energies, rtol=1e-14)


@every
@with_context
def test_batches_and_blocks_equal_one_by_one(name, context):
    structures, model = mixed(), potential(name, context)
    together = model.predict(structures, forces=True, stress=True, per_atom=True)
    singles = [
        model.predict(structures.take([k]), forces=True, stress=True, per_atom=True)
        for k in range(len(structures))
    ]
    # Blocks of a few atoms: those of a structure share its context and add to the same forces.
    model.block_pairs, model.listed_atoms = 25, 9
    in_blocks = model.predict(structures, forces=True, stress=True, per_atom=True)
    energies = model.predict(structures).energies
    np.testing.assert_allclose(energies, together.energies, atol=1e-12)
    for name in ("energies", "forces", "stress", "contributions"):
        whole = getattr(together, name)
        np.testing.assert_allclose(
            np.concatenate([getattr(single, name) for single in singles]), whole, atol=1e-12
        )
        np.testing.assert_allclose(getattr(in_blocks, name), whole, atol=1e-12)


@every
def test_the_order_of_species_changes_nothing(name):
    model = potential(name, 3)
    state = model.network.state_dict()
    other = NETWORKS[name](SPECIES[::-1], 3).double()
    other.load_state_dict(state)
    structures = mixed()
    after = AtomicPotential(other, model.atomic_energies).predict(structures)
    np.testing.assert_array_equal(after.energies, model.predict(structures).energies)


@every
def test_networks_are_made_again_from_their_parameters(name):
    model, structures = potential(name, 3), mixed()
    other = type(model.network)(**model.network.params).double()
    other.load_state_dict(model.network.state_dict())
    after = AtomicPotential(other, model.atomic_energies).predict(structures)
    np.testing.assert_array_equal(after.energies, model.predict(structures).energies)


@every
def test_unseen_species_are_named(name):
    model = potential(name)
    rng = np.random.default_rng(0)
    with pytest.raises(TileModelError, match=r"\[14, 79\].*contain \[22\]"):
        model.predict([structure(rng, numbers=[14, 22, 14, 79])])


@every
def test_energy_is_smooth_where_a_neighbour_enters(name):
    model = potential(name)

    def third_difference(h):
        r = CUTOFF + h * np.arange(-8, 9)
        ends = np.outer(r, [0.3, 0.4, 0.75**0.5])
        dimers = Structures.of([cluster([14, 79], [[0, 0, 0], end]) for end in ends])
        energies = model.predict(dimers).energies
        assert np.ptp(energies) > 0
        return np.abs(np.diff(energies, 3)).max() / h**3

    # A jump of the second derivative would double it with each halving, one of the first would
    # quadruple it.
    values = [third_difference(h) for h in (2e-2, 1e-2, 5e-3)]
    assert values[2] < 1.5 * values[1] < 2.3 * values[0]


@every
@with_context
@pytest.mark.parametrize("n_species", [1, 2])
def test_losses_of_forces_and_stress_are_differentiated_exactly(name, context, n_species):
    model = potential(name, context)
    structures = mixed().take([0, 4, 7])
    if n_species == 1:
        structures = Structures(
            np.full_like(structures.numbers, SPECIES[0]), structures.positions, structures.cells,
            structures.pbc, structures.offsets,
        )  # fmt: skip
    batch = NeighborTable(neighbor_pairs(structures, CUTOFF), torch.float64).batch([2, 0, 1])
    parameters = [p for p in model.network.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(p.shape, generator=generator).double() for p in parameters]

    def loss():
        result = energy_forces_stress(model.network, batch, create_graph=True)
        return (
            result.energies.square().sum()
            + result.forces.square().sum()
            + result.virial.square().sum()
        )

    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
    expected = sum(
        float((g * d).sum()) for g, d in zip(gradients, directions, strict=True) if g is not None
    )
    values = []
    for step in (-2e-5, -1e-5, 1e-5, 2e-5):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=step)
        values.append(float(loss().detach()))
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=-step)
    slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-5
    assert abs(slope - expected) < 1e-6 * abs(expected)


@pytest.mark.parametrize("activation", ["silu", "tanh", "softplus", "gelu"])
@pytest.mark.parametrize("name", ["spectrum", "screened", "symmetry"])
@with_context
def test_the_derivative_that_is_written_out_is_that_of_autograd(name, context, activation):
    params = potential(name, context).network.params | {"activation": activation}
    torch.manual_seed(0)
    network = type(potential(name, context).network)(**params).double()
    structures = mixed()
    table = NeighborTable(neighbor_pairs(structures, CUTOFF), torch.float64)
    standardize(network, table, 0)
    batch = table.batch(range(len(structures)))

    class ByAutograd(type(network)):
        def feature_map(self, batch):
            return None

    plain = ByAutograd(**params).double()
    plain.load_state_dict(network.state_dict())

    def derivatives_of(network):
        energies, gradients = energies_and_gradients(network, batch, create_graph=True)
        loss = energies.sin().sum() + (gradients + gradients.square()).sum()
        by_parameters = torch.autograd.grad(loss, list(network.parameters()))
        return [energies.detach(), gradients.detach(), *by_parameters]

    for mine, expected in zip(derivatives_of(network), derivatives_of(plain), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-10)


def test_radial_functions_are_the_same_with_and_without_memory():
    structures = mixed()
    environments = neighbor_pairs(structures, CUTOFF)
    density = Density(SPECIES, CUTOFF)
    prepared = []
    for n_bytes in (0, 1 << 20):
        batch = NeighborTable(environments, torch.float64, cache_bytes=n_bytes).batch([5, 2])
        one = density.prepare(batch)
        prepared.append((one.values, one.pull(torch.ones_like(one.values)), density.values(batch)))
    for without, kept in zip(*prepared, strict=True):
        torch.testing.assert_close(without, kept, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(prepared[0][0], prepared[0][2])


def test_context_tells_structures_apart_that_neighbourhoods_do_not():
    # Two copies of a dimer, and a dimer beside another one out of reach.
    def dimers(second):
        far = [[0, 0, 0], [0, 0, 2.2], [20, 0, 0], [20, 0, second]]
        return cluster([14, 79, 14, 79], far)

    structures = Structures.of([dimers(2.2), dimers(2.8)])
    for context, differs in ((0, False), (3, True)):
        model = potential("spectrum", context)
        first = model.predict(structures, per_atom=True).contributions[[0, 4]]
        assert (abs(first[0] - first[1]) > 1e-6) == differs


def test_density_is_the_spherical_expansion():
    structures = mixed()
    environments = neighbor_pairs(structures, CUTOFF)
    batch = NeighborTable(environments, torch.float64).batch(range(len(structures)))
    prepared = Density(SPECIES, CUTOFF, 5, 3).prepare(batch)
    expansion = SphericalExpansion(CUTOFF, 5, 3, species=SPECIES)
    values = expansion.values(environments)[batch.atoms.numpy()]
    np.testing.assert_allclose(prepared.values.transpose(1, 2).numpy(), values, atol=1e-12)
    assert torch.equal(Density(SPECIES, CUTOFF, 5, 3).values(batch), prepared.values)
    gradients = torch.randn(prepared.values.shape, dtype=torch.float64)
    pulled = prepared.pull(gradients)[batch.mask]
    restricted = environments.restricted(batch.atoms.numpy())
    expected = expansion.pull(restricted, gradients.transpose(1, 2).numpy())
    np.testing.assert_allclose(pulled.numpy(), expected, atol=1e-11)
    assert not prepared.pull(gradients)[~batch.mask].any()


def test_float32_is_close_and_sums_are_float64():
    structures = mixed()
    double = potential("spectrum", 3)
    single = potential("spectrum", 3, dtype=torch.float32)
    a, b = (m.predict(structures, forces=True) for m in (double, single))
    assert b.energies.dtype == b.forces.dtype == np.float64
    np.testing.assert_allclose(a.energies, b.energies, atol=2e-4)
    np.testing.assert_allclose(a.forces, b.forces, atol=2e-3)


def test_constant_features_stay_finite():
    # Perfect crystals: every atom of a species sees the same.
    crystal = {"numbers": [14], "positions": [[0, 0, 0]], "cell": 2.6 * np.eye(3)}
    structures = Structures.of([crystal, crystal])
    model = potential("symmetry", structures=structures)
    predicted = model.predict(mixed(), forces=True)
    assert np.isfinite(predicted.energies).all()
    assert np.isfinite(predicted.forces).all()


def test_features_that_training_data_do_not_vary_move_other_data_little():
    layer = Standardized(3, 1)
    layer.set_moments(torch.tensor([1.0, 5.0, 0.0]), torch.tensor([2.0, 0.0, 1e-4]))
    assert layer.scale.tolist() == pytest.approx([2.0, 2.0, 2e-3])
    layer.set_moments(torch.zeros(3), torch.zeros(3))
    assert layer.scale.tolist() == [1.0, 1.0, 1.0]


def test_weights_that_change_after_a_prediction_are_used():
    structures, model = mixed(), potential("spectrum")
    model.network.requires_grad_(False)
    before = model.predict(structures).energies
    other = potential("spectrum", seed=1)
    model.network.load_state_dict(other.network.state_dict())
    after = model.predict(structures).energies
    np.testing.assert_array_equal(after, other.predict(structures).energies)
    assert np.abs(after - before).max() > 1e-3
    single = copy.deepcopy(model.network).float()
    values = AtomicPotential(single, model.atomic_energies).predict(structures).energies
    np.testing.assert_allclose(values, after, atol=1e-3)


def test_a_table_needs_all_atoms():
    environments = neighbor_pairs(mixed(), CUTOFF)
    with pytest.raises(ValueError, match="neighbours of all 37 atoms, got those of 2"):
        NeighborTable(environments.restricted([0, 5]))


def test_bad_parameters_are_named():
    with pytest.raises(TileModelError, match="partners must be from 1 to channels=4, got 5"):
        SpectrumNetwork([14], channels=4, partners=5)
    with pytest.raises(TileModelError, match="activation must be one of silu"):
        SpectrumNetwork([14], activation="relu")
    with pytest.raises(TileModelError, match="hidden=\\(\\)"):
        SpectrumNetwork([14], hidden=())


def test_an_isolated_atom_has_no_gradient():
    model = potential("spectrum")
    alone = cluster([14], [[0, 0, 0]])
    table = NeighborTable(neighbor_pairs(Structures.of([alone]), CUTOFF), torch.float64)
    _, gradients = energies_and_gradients(model.network, table.batch([0]))
    assert gradients.shape == (1, 1, 3)
    assert not gradients.any()
