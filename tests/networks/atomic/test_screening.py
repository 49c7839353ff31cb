"""Screening of pairs by third atoms: against its definition, and where it begins."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("sphericart.torch")

from scipy.interpolate import BSpline  # noqa: E402

from sk_ednn.networks._atomic import (  # noqa: E402
    AtomicPotential,
    NeighborTable,
    _screening,
)
from sk_ednn.networks._atomic._screening import Screening, ThirdAtoms  # noqa: E402
from sk_ednn.networks._atomic._species import SpeciesIndex  # noqa: E402
from sk_ednn.structures import Structures, neighbor_pairs  # noqa: E402
from tests._potentials import CUTOFF, NETWORKS, SPECIES, cluster, mixed, potential  # noqa: E402

WIDEST, KNOTS, N_KNOTS = 3.0, 0.2, 15


def batch_of(structures, dtype=torch.float64):
    return NeighborTable(neighbor_pairs(structures, CUTOFF), dtype).batch(range(len(structures)))


def screening(seed=0):
    torch.manual_seed(seed)
    made = Screening(SpeciesIndex(SPECIES)).double()
    with torch.no_grad():
        made.weight.add_(torch.randn(made.weight.shape), alpha=0.3)
    return made


def ellipse(neighbor, other):
    """Return C from the foot of the perpendicular and its length; infinite beyond the ends."""
    half = np.linalg.norm(neighbor) / 2
    along = other @ neighbor / (2 * half) - half
    height = other @ other - (along + half) ** 2
    return height / (half**2 - along**2) if abs(along) < half else np.inf


def edge(r):
    """Return the weight of a third atom at a distance from the centre."""
    x = np.clip((1 - r / CUTOFF) / 0.1, 0, 1)
    return 10 * x**3 - 15 * x**4 + 6 * x**5


def splines(made):
    """Return φ of each three species as a function of C, by scipy."""
    steps = np.log1p(np.exp(4 * made.weight.detach().numpy())).reshape(2, 2, 2, N_KNOTS)
    heights = np.concatenate([np.zeros((2, 2, 2, 3)), steps.cumsum(-1)], -1)
    knots = np.arange(-3, N_KNOTS + 4)
    out = {}
    for kind in np.ndindex(2, 2, 2):
        spline = BSpline(knots, heights[kind], 3)
        out[kind] = lambda c, s=spline: float(s((WIDEST - c) / KNOTS)) if c < WIDEST else 0.0
    return out


def test_factors_are_those_of_the_definition():
    structures, made = mixed(), screening()
    batch, phi = batch_of(structures), splines(made)
    with torch.no_grad():
        factors, *_ = made(ThirdAtoms.of(batch, CUTOFF))
    place = {14: 0, 79: 1}
    n_screened = 0
    for i in range(len(batch)):
        near = batch.mask[i].nonzero()[:, 0].tolist()
        vectors, numbers = batch.vectors[i].numpy(), batch.neighbor_numbers[i].tolist()
        for j in near:
            total = 0.0
            for k in near:
                kind = (int(batch.numbers[i]), numbers[j], numbers[k])
                if k != j:
                    curve = phi[tuple(place[number] for number in kind)]
                    weight = edge(np.linalg.norm(vectors[k]))
                    total += weight * curve(ellipse(vectors[j], vectors[k]))
            assert float(factors[i, j]) == pytest.approx(np.exp(-total), rel=1e-9)
            n_screened += total > 0
    assert n_screened > 50


def test_derivatives_of_sums_are_finite_differences():
    made, batch, step = screening(), batch_of(mixed()), 1e-5
    rng = np.random.default_rng(0)
    moves = torch.as_tensor(rng.standard_normal(batch.vectors.shape))
    thirds = ThirdAtoms.of(batch, CUTOFF)
    assert ((thirds.weights > 0.01) & (thirds.weights < 0.99)).sum() > 5
    by_pairs = torch.as_tensor(rng.standard_normal(batch.mask.shape)) * batch.mask

    def total(thirds):
        factors = torch.where(batch.mask, made(thirds)[0], 1.0)
        return -float((by_pairs * factors.log()).sum())

    with torch.no_grad():
        _, values, slopes = made(thirds)
        of_thirds = by_pairs.view(-1)[thirds.pairs]
        pulled = thirds.pull(of_thirds * slopes, of_thirds * values, batch.vectors)
        totals = [
            total(ThirdAtoms.of(replace(batch, vectors=batch.vectors + h * moves), CUTOFF))
            for h in (step, -step)
        ]
    expected = (totals[0] - totals[1]) / (2 * step)
    assert abs(expected) > 1
    assert float((pulled * moves).sum()) == pytest.approx(expected, rel=1e-6)


def test_third_atoms_do_not_depend_on_blocks(monkeypatch):
    batch = batch_of(mixed())
    whole = ThirdAtoms.of(batch, CUTOFF)
    monkeypatch.setattr(_screening, "_TRIPLES", 100)
    parts = ThirdAtoms.of(batch, CUTOFF)
    for name in ("pairs", "others", "coordinate", "weights", "along_pair", "across"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))


def test_atoms_that_almost_coincide_stay_finite():
    # In float32 nothing is left of 1 - (x - y)² here.
    one = [1.1661149263381958, 1.797062873840332, -0.3053932785987854]
    other = [1.1663486957550049, 1.796903133392334, -0.30544063448905945]
    trimer = cluster([14, 79, 14], [[0, 0, 0], one, other])
    thirds = ThirdAtoms.of(batch_of(Structures.of([trimer]), torch.float32), CUTOFF)
    for name in ("coordinate", "along_pair", "along_other", "across", "edge"):
        assert torch.isfinite(getattr(thirds, name)).all()


def test_pairs_without_third_atoms_are_not_screened():
    plain, screened = potential("spectrum"), potential("screened")
    state = screened.network.state_dict()
    plain.network.load_state_dict({k: v for k, v in state.items() if not k.startswith("screening")})
    dimer = cluster([14, 79], [[0, 0, 0], [0, 0, 2.5]])
    line = cluster([14, 79, 14], [[0, 0, 0], [0, 0, 1.6], [0, 0, 3.2]])
    # An atom that lies beyond the end of a pair is not between its atoms.
    corner = cluster([14, 79, 14], [[0, 0, 0], [0, 0, 3.0], [3.5, 0, 0]])
    structures = Structures.of([dimer, corner, line])
    expected, energies = (model.predict(structures).energies for model in (plain, screened))
    np.testing.assert_allclose(energies[:2], expected[:2], rtol=1e-13)
    assert abs(energies[2] - expected[2]) > 1e-3


@pytest.mark.parametrize("beside", ["the middle", "an end", "the cutoff"])
def test_energy_is_smooth_where_a_third_atom_enters(beside):
    model, half = potential("screened"), 0.485 * CUTOFF if beside == "the cutoff" else 1.3

    def third_difference(h):
        # Through the edge of the widest ellipse, past the end of the segment, or through the cutoff
        # within an ellipse.
        steps, places = h * np.arange(-8, 9), np.zeros((17, 3))
        if beside == "the middle":
            places[:, 1] = half * WIDEST**0.5 + steps
        elif beside == "the cutoff":
            direction = [np.cos(0.8), np.sin(0.8), 0]
            places += np.outer(CUTOFF + steps, direction) - [half, 0, 0]
        else:
            places += [half, 1.8, 0]
            places[:, 0] += steps
        ends = [[-half, 0, 0], [half, 0, 0]]
        trimers = [cluster([14, 79, 14], [*ends, place]) for place in places]
        energies = model.predict(Structures.of(trimers)).energies
        assert np.ptp(energies) > 0
        return np.abs(np.diff(energies, 3)).max() / h**3

    values = [third_difference(h) for h in (2e-2, 1e-2, 5e-3)]
    assert values[2] < 1.5 * values[1] < 2.3 * values[0]


def test_screening_is_a_parameter_of_the_network():
    model = potential("screened")
    assert model.network.params["screening"] is True
    assert "screening.weight" in model.network.state_dict()
    assert "screening.weight" not in potential("spectrum").network.state_dict()
    copy = NETWORKS["screened"](SPECIES).double()
    copy.load_state_dict(model.network.state_dict())
    # The density of a copy is screened by the copy's own weights.
    with torch.no_grad():
        copy.screening.weight.fill_(-50)
    structures = mixed()
    unscreened = AtomicPotential(copy, model.atomic_energies).predict(structures).energies
    assert np.abs(unscreened - model.predict(structures).energies).max() > 1e-3
