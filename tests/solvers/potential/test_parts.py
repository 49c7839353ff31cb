"""Parts of the training of potentials: what is held out, rates, weights, losses, baselines."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vesin")

from sk_ednn.networks._atomic import EnergyForcesStress, NeighborTable  # noqa: E402
from sk_ednn.solvers._potential import PotentialLabels  # noqa: E402
from sk_ednn.solvers._potential._composition import fit_atomic_energies  # noqa: E402
from sk_ednn.solvers._potential._loss import Deltas, Targets, losses  # noqa: E402
from sk_ednn.solvers._potential._schedule import SCHEDULES, rate_factor, weight_at  # noqa: E402
from sk_ednn.structures import neighbor_pairs  # noqa: E402
from tests._potentials import CUTOFF, mixed  # noqa: E402


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_stay_between_their_bounds_and_end_low(schedule):
    rates = [rate_factor(schedule, x, 0.01, 0.1) for x in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1.0, abs=2e-3)
    assert min(rates) >= 0
    assert rates[-1] == pytest.approx(1.0 if schedule == "constant" else 0.01)


def test_weights_are_followed_geometrically_or_from_zero_linearly():
    assert [weight_at((0.01, 1.0), x) for x in (0, 0.5, 1)] == pytest.approx([0.01, 0.1, 1.0])
    assert [weight_at((0.0, 1.0), x) for x in (0, 0.5, 1)] == pytest.approx([0.0, 0.5, 1.0])
    assert weight_at(3, 0.7) == 3.0


def test_losses_are_those_of_the_definition():
    structures = mixed().take([0, 1, 3])
    n, n_atoms = len(structures), structures.n_atoms
    rng = np.random.default_rng(0)
    energies, forces = rng.normal(size=n), rng.normal(size=(n_atoms, 3))
    stress, virial = rng.normal(size=(n, 6)) / 100, rng.normal(size=(n, 3, 3))
    energies[1] = np.nan
    forces[2] = forces[5, 0] = np.nan
    labels = PotentialLabels.of(structures, energies, forces, stress)
    targets = Targets(labels, energies, None, torch.float64, "cpu")
    batch = NeighborTable(neighbor_pairs(structures, CUTOFF), torch.float64).batch(range(n))
    zeros = torch.zeros(n_atoms, 3, dtype=torch.float64)
    predicted = EnergyForcesStress(
        zeros[:, 0], torch.zeros(n, dtype=torch.float64), zeros, torch.as_tensor(virial)
    )
    rows = torch.arange(n)
    result = losses(predicted, batch, rows, targets, Deltas())
    assert float(result["energy"]) == pytest.approx(np.nanmean(energies**2 / structures.sizes))
    assert float(result["force"]) == pytest.approx(np.nanmean(forces**2))
    six = virial[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    error = six - stress * structures.volumes[:, None]
    expected = np.mean(error**2 / structures.sizes[:, None])
    assert float(result["stress"]) == pytest.approx(expected)
    # Beyond the delta errors count linearly, and the two pieces meet with one slope.
    robust = losses(predicted, batch, rows, targets, Deltas(energy=0.05, force=0.5))
    size = np.abs(forces)
    bent = np.where(size <= 0.5, size**2, 0.5 * (2 * size - 0.5))
    assert float(robust["force"]) == pytest.approx(np.nanmean(bent))
    per_atom = np.abs(energies) / structures.sizes
    bent = np.where(per_atom <= 0.05, per_atom**2, 0.05 * (2 * per_atom - 0.05))
    assert float(robust["energy"]) == pytest.approx(np.nanmean(bent * structures.sizes))


def test_predictions_that_are_not_numbers_are_no_missing_labels():
    structures = mixed().take([0])
    labels = PotentialLabels.of(structures, energies=[1.0])
    targets = Targets(labels, labels.energies, None, torch.float64, "cpu")
    batch = NeighborTable(neighbor_pairs(structures, CUTOFF), torch.float64).batch([0])
    nothing = torch.full((1,), torch.nan, dtype=torch.float64)
    predicted = EnergyForcesStress(nothing, nothing, None, None)
    result = losses(predicted, batch, torch.arange(1), targets, Deltas())
    assert torch.isnan(result["energy"])


def test_atomic_energies_are_the_least_squares_of_energies_per_atom():
    structures = mixed()
    true = np.where(structures.numbers == 14, -4.0, -3.0)
    energies = np.add.reduceat(true, structures.offsets[:-1])
    energies[2] = np.nan
    assert fit_atomic_energies(structures, energies, [14, 79]) == pytest.approx(
        {14: -4.0, 79: -3.0}
    )
    unknown = fit_atomic_energies(structures, np.full(len(structures), np.nan), [14, 79])
    assert unknown == {14: 0.0, 79: 0.0}
