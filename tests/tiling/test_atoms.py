"""AtomTiling: its interface, physical symmetries, gradients, and large structures."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("vesin")
pytest.importorskip("sphericart")

from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils import Bunch

from sk_ednn import EDNNCommittee, EDNNRegressor, files
from sk_ednn.descriptors import (
    ChebyshevDescriptor,
    DescriptorFunction,
    PowerSpectrum,
    SphericalExpansion,
    SymmetryFunctions,
)
from sk_ednn.evaluation import Direct, LocalUpdates, Unique
from sk_ednn.exceptions import NoveltyWarning, TilingError
from sk_ednn.solvers import BoostingSolver, LinearSolver
from sk_ednn.structures import Structures
from sk_ednn.testing import check_tiling
from sk_ednn.tiling import AtomTiling
from sk_ednn.uncertainty import novelty

CUTOFF = 3.2
DESCRIPTORS = {
    "power": PowerSpectrum(CUTOFF, n_radial=3, max_l=2),
    "symmetry": SymmetryFunctions(CUTOFF),
    "chebyshev": ChebyshevDescriptor(CUTOFF),
}
PBC = {"crystal": (True, True, True), "slab": (True, True, False), "cluster": (False,) * 3}


def make_structure(rng, n_atoms=6, species=(14, 79), pbc=True, edge=5.0):
    """Return random atoms with a minimum distance in a tilted cell."""
    cell = edge * (np.eye(3) + 0.15 * rng.normal(size=(3, 3)))
    for _ in range(10_000):
        scaled = rng.random((n_atoms, 3))
        apart = scaled[:, None] - scaled[None]
        apart -= np.round(apart)
        distance = np.linalg.norm(apart @ cell, axis=2) + 9 * np.eye(n_atoms)
        if distance.min() > 1.4:
            break
    numbers = rng.choice(species, size=n_atoms)
    return Bunch(numbers=numbers, positions=scaled @ cell, cell=cell, pbc=np.broadcast_to(pbc, 3))


def make_structures(n_structures, seed=0, **params):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, size=n_structures)
    return [make_structure(rng, n_atoms=int(n), **params) for n in sizes]


def pair_energy(structure):
    """Return a sum over pairs within the cutoff, by brute force over images."""
    total = 0.0
    shifts = np.array(list(np.ndindex(5, 5, 5))) - 2
    for i, z_i in enumerate(structure.numbers):
        for shift in shifts[(shifts == 0)[:, ~structure.pbc].all(axis=1)]:
            apart = structure.positions + shift @ structure.cell - structure.positions[i]
            distance = np.linalg.norm(apart, axis=1)
            near = (distance > 1e-6) & (distance < CUTOFF)
            strength = np.where(structure.numbers == 79, 2.0, 1.0) * (2.0 if z_i == 79 else 1.0)
            total += np.sum(strength[near] * (1 - distance[near] / CUTOFF) ** 3)
        total += -3.0 if z_i == 79 else 1.5
    return total


@pytest.fixture(scope="module")
def data():
    X = make_structures(120)
    return X, np.array([pair_energy(structure) for structure in X])


@pytest.mark.parametrize("species", [None, "Au"])
@pytest.mark.parametrize("pbc", PBC)
@pytest.mark.parametrize("name", DESCRIPTORS)
def test_atom_tiling_passes_check_tiling(name, pbc, species):
    X = make_structures(5, pbc=PBC[pbc])
    X[0].numbers[:] = 14  # one without an atom of the term
    check_tiling(AtomTiling(DESCRIPTORS[name].with_species([14, 79]), species=species), X)


MODELS = {
    "linear": make_pipeline(StandardScaler(), Ridge(1e-2)),
    "least squares": make_pipeline(StandardScaler(), Ridge(1e-8)),
    "kernel": make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", gamma=0.01, alpha=1e-3)),
    "forest": RandomForestRegressor(10, max_depth=5, random_state=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_one_term_per_species_learns_pair_energies(name, data):
    X, y = data
    solver = BoostingSolver(n_stages=30) if name == "forest" else None
    terms = AtomTiling.per_species(clone(MODELS[name]), DESCRIPTORS["power"], ["Si", "Au"])
    model = EDNNRegressor(terms, solver=solver, random_state=0).fit(X[:100], y[:100])
    error = model.predict(X[100:]) - y[100:]
    assert np.mean(error**2) < (0.5 if name == "forest" else 0.1) * np.var(y)
    maps = model.predict_contributions(X[100:])
    summed = [a.sum() + b.sum() for a, b in zip(maps["Si"], maps["Au"], strict=True)]
    np.testing.assert_allclose(summed, model.predict(X[100:]), rtol=1e-10, atol=1e-10)
    for structure, contributions in zip(X[100:], maps["Au"], strict=True):
        assert len(contributions) == np.sum(structure.numbers == 79)


def test_gaussian_process_of_all_species_has_std(data):
    X, y = data
    process = make_pipeline(
        StandardScaler(), GaussianProcessRegressor(RBF(10.0) + WhiteKernel(1e-3), optimizer=None)
    )
    model = EDNNRegressor(process, AtomTiling(DESCRIPTORS["power"]), baseline="content")
    model.fit(X[:100], y[:100])
    mean, std = model.predict(X[100:], return_std=True)
    assert np.mean((mean - y[100:]) ** 2) < 0.3 * np.var(y) and (std > 0).all()
    composition = model.tile_model_.baseline.coefficients[:, 0]
    assert composition.shape == (3,)  # atoms, Si, Au


def test_predictions_are_invariant_under_symmetries(data):
    X, y = data
    terms = AtomTiling.per_species(Ridge(1e-3), DESCRIPTORS["chebyshev"], ["Si", "Au"])
    model = EDNNRegressor(terms).fit(X, y)
    rng = np.random.default_rng(5)
    for structure in X[:10]:
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]  # a reflection half of the time
        order = rng.permutation(len(structure.numbers))
        moved = Bunch(
            numbers=structure.numbers[order],
            positions=(structure.positions[order] + rng.normal(size=3)) @ rotation,
            cell=structure.cell @ rotation, pbc=structure.pbc,
        )  # fmt: skip
        doubled = Bunch(
            numbers=np.tile(structure.numbers, 2),
            positions=np.concatenate([structure.positions + k * structure.cell[1] for k in (0, 1)]),
            cell=structure.cell * [[1], [2], [1]], pbc=structure.pbc,
        )  # fmt: skip
        single, turned, double = model.predict([structure, moved, doubled])
        np.testing.assert_allclose(turned, single, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(double, 2 * single, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("pbc", PBC)
@pytest.mark.parametrize("terms", ["per species", "together"])
def test_gradient_with_respect_to_positions_and_strain(terms, pbc):
    X = make_structures(20, pbc=PBC[pbc])
    y = np.array([pair_energy(structure) for structure in X])
    tile_model = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", gamma=0.01, alpha=1e-3))
    if terms == "together":
        model = EDNNRegressor(tile_model, AtomTiling(DESCRIPTORS["power"]), baseline="content")
    else:
        terms = AtomTiling.per_species(tile_model, DESCRIPTORS["power"], ["Si", "Au"])
        model = EDNNRegressor(terms)
    model.fit(X, y)
    structure = max(X, key=lambda structure: len(structure.numbers))
    (gradient,) = model.predict_gradient([structure])
    assert np.abs(gradient.positions.sum(axis=0)).max() < 1e-10

    def energy(positions, cell):
        changed = Bunch(**{**structure, "positions": positions, "cell": cell})
        return model.predict([changed])[0]

    h = 1e-4
    for atom, axis in ((0, 0), (1, 2), (len(structure.numbers) - 1, 1)):
        step = np.zeros_like(structure.positions)
        step[atom, axis] = h
        ends = [energy(structure.positions + s * step, structure.cell) for s in (1, -1)]
        np.testing.assert_allclose(
            gradient.positions[atom, axis], (ends[0] - ends[1]) / (2 * h), rtol=1e-4, atol=1e-5
        )
    for a, b in ((0, 0), (0, 2), (2, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        ends = []
        for sign in (1, -1):
            turn = np.eye(3) + sign * strain
            ends.append(energy(structure.positions @ turn, structure.cell @ turn))
        np.testing.assert_allclose(
            gradient.strain[a, b], (ends[0] - ends[1]) / (2 * h), rtol=1e-4, atol=1e-4
        )


def in_small_regions(model, structures):
    """Cut structures of more than 40 atoms into regions instead of more than 8,192."""
    return replace(model.check_systems(structures), max_atoms=40)


@pytest.mark.parametrize("repeats", [(4, 4, 3), (1, 1, 24), (12, 2, 2)])
@pytest.mark.parametrize("pbc", PBC)
def test_large_structures_are_cut_into_regions(pbc, repeats, data):
    """Including cells narrower than the cutoff, and atoms outside of their cell."""
    X, y = data
    terms = AtomTiling.per_species(Ridge(1e-3), DESCRIPTORS["power"], ["Si", "Au"])
    model = EDNNRegressor(terms, evaluation=Direct(max_tiles=29)).fit(X, y)
    rng = np.random.default_rng(3)
    unit = make_structure(rng, n_atoms=4, edge=3.6 if 1 in repeats else 5.0)
    shifts = np.array(list(np.ndindex(*repeats)))
    positions = (unit.positions[None] + (shifts @ unit.cell)[:, None]).reshape(-1, 3)
    large = Bunch(
        numbers=np.tile(unit.numbers, len(shifts)),
        positions=positions + 0.1 * rng.normal(size=positions.shape)
        + rng.integers(-2, 3, size=positions.shape) @ (unit.cell * np.array(repeats)[:, None])
        * np.all(PBC[pbc]),
        cell=unit.cell * np.array(repeats)[:, None], pbc=np.array(PBC[pbc]),
    )  # fmt: skip
    batch = [X[0], large, X[1]]
    by_regions = tuple(
        predict(in_small_regions(model, batch))
        for predict in (model.predict, model.predict_contributions, model.predict_gradient)
    )
    np.testing.assert_allclose(by_regions[0], model.predict(batch), rtol=1e-10)
    maps = model.predict_contributions(batch)
    for name in ("Si", "Au"):
        np.testing.assert_allclose(by_regions[1][name][1], maps[name][1], rtol=1e-8, atol=1e-10)
    expected = model.predict_gradient(batch)[1]
    np.testing.assert_allclose(by_regions[2][1].positions, expected.positions, atol=1e-9)
    np.testing.assert_allclose(by_regions[2][1].strain, expected.strain, atol=1e-7)


def test_dask_and_workers_give_equal_predictions(data, tmp_path):
    pytest.importorskip("dask")
    from sk_ednn.evaluation import DaskBlocks

    X, y = data
    terms = AtomTiling.per_species(Ridge(1e-3), DESCRIPTORS["power"], ["Si", "Au"])
    model = EDNNRegressor(terms).fit(X, y)
    rng = np.random.default_rng(3)
    unit = make_structure(rng, n_atoms=4)
    shifts = np.array(list(np.ndindex(3, 3, 3)))
    positions = (unit.positions[None] + (shifts @ unit.cell)[:, None]).reshape(-1, 3)
    batch = [*X[:10], Bunch(
        numbers=np.tile(unit.numbers, 27), positions=positions, cell=3 * unit.cell, pbc=unit.pbc
    )]  # fmt: skip
    expected, maps = model.predict(batch), model.predict_contributions(batch)
    blocks = DaskBlocks(Direct(max_tiles=7), blocks_per_task=3, journal=tmp_path / "journal")
    for evaluation in (Direct(n_jobs=2, max_tiles=5), Unique(max_tiles=6), blocks):
        model.evaluation_ = evaluation
        large = in_small_regions(model, batch)
        np.testing.assert_allclose(model.predict(large), expected, rtol=1e-10)
        again = model.predict_contributions(large)
        for name in ("Si", "Au"):
            for of_again, other in zip(again[name], maps[name], strict=True):
                np.testing.assert_allclose(of_again, other, rtol=1e-8, atol=1e-10)


def test_committee_novelty_and_files_of_structures(data, tmp_path):
    X, y = data
    terms = AtomTiling.per_species(Ridge(1e-3), DESCRIPTORS["symmetry"], ["Si", "Au"])
    committee = EDNNCommittee(EDNNRegressor(terms), n_members=3, random_state=0).fit(X, y)
    mean, std = committee.predict(X, return_std=True)
    assert np.corrcoef(mean, y)[0, 1] > 0.9 and (std >= 0).all()
    files.save(committee, tmp_path / "atoms.ednn")
    np.testing.assert_array_equal(files.load(tmp_path / "atoms.ednn").predict(X), mean)
    member = pickle.loads(pickle.dumps(committee.estimators_[0]))
    squeezed = make_structure(np.random.default_rng(9), n_atoms=6, edge=3.4)
    shares = novelty(committee.estimators_[0], X, [*X[:20], squeezed], term="Si").share
    assert shares[-1] > shares[:-1].max()
    np.testing.assert_array_equal(member.predict(X), committee.estimators_[0].predict(X))


def test_network_on_descriptors(data):
    torch = pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from sk_ednn.solvers import GradientSolver

    X, y = data
    net = torch.nn.Sequential(torch.nn.LazyLinear(24), torch.nn.SiLU(), torch.nn.Linear(24, 1))
    terms = AtomTiling.per_species(net, DESCRIPTORS["power"], ["Si", "Au"])
    solver = GradientSolver(max_epochs=40, lr=1e-2, batch_size=10)
    model = EDNNRegressor(terms, solver=solver, random_state=0).fit(X[:100], y[:100])
    assert np.mean((model.predict(X[100:]) - y[100:]) ** 2) < 0.2 * np.var(y)
    (gradient,) = model.predict_gradient(X[:1])
    assert np.abs(gradient.positions.sum(axis=0)).max() < 1e-4


def test_function_descriptor(data):
    X, y = data

    def crowding(structures):
        """Return the number of atoms and the volume, for each atom of a batch of structures."""
        each = np.stack([structures.sizes, structures.volumes], axis=1)
        return each[structures.owners]

    model = EDNNRegressor(
        make_pipeline(PolynomialFeatures(2), LinearRegression()),
        AtomTiling(DescriptorFunction(crowding, 2, cutoff=CUTOFF, species=("Si", "Au"))),
    ).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(NotImplementedError, match="no derivative"):
        model.predict_gradient(X[:1])


def test_errors_name_invalid_structures_and_parameters(data):
    X, y = data
    model = EDNNRegressor(Ridge(), AtomTiling(DESCRIPTORS["power"])).fit(X, y)
    for structures, words in (
        (
            [Bunch(**{**X[0], "numbers": np.full(len(X[0].numbers), 8)})],
            "fitted to structures of Si, Au.* is O",
        ),
        ([Bunch(**{**X[0], "positions": X[0].positions * np.nan})], "tructure 0"),
        (X[0], "one Bunch|list"),
        ([], "at least one structure"),
        (np.zeros((3, 4, 4)), "tructure"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            model.predict(structures)
    with pytest.raises(TilingError, match="no room for its element"):
        EDNNRegressor(Ridge(), AtomTiling(SphericalExpansion(CUTOFF))).fit(X, y)
    with pytest.raises(TilingError, match="needs a descriptor"):
        EDNNRegressor(Ridge(), AtomTiling(None)).fit(X, y)
    with pytest.raises(ValueError, match="chemical symbol"):
        EDNNRegressor(Ridge(), AtomTiling(DESCRIPTORS["power"], species="Xx")).fit(X, y)
    with pytest.raises(TilingError, match="No sample has a tile of the term 'Ge'"):
        EDNNRegressor(AtomTiling.per_species(Ridge(), DESCRIPTORS["power"], ["Si", "Ge"])).fit(X, y)
    with pytest.raises(TilingError, match="sites of a field on a grid"):
        LocalUpdates(model, X[0])
    assert model.predict(Structures.of(X)).shape == (len(X),)


@pytest.mark.parametrize("pbc", ["crystal", "cluster"])
def test_linear_models_learn_forces_and_stress(pbc):
    """Few energies and their gradients say more than the energies alone."""
    X = make_structures(60, pbc=PBC[pbc])
    y = np.array([pair_energy(structure) for structure in X])
    terms = AtomTiling.per_species(
        make_pipeline(StandardScaler(), Ridge(1e-4)), DESCRIPTORS["power"], ["Si", "Au"]
    )
    teacher = EDNNRegressor(terms).fit(X, y)
    energies, gradients = teacher.predict(X), teacher.predict_gradient(X)
    test = make_structures(20, seed=7, pbc=PBC[pbc])
    expected, truth = teacher.predict(test), teacher.predict_gradient(test)
    errors = {}
    for kind in ("energies", "positions", "positions and strain"):
        targets = [
            None if kind == "energies" else Bunch(
                positions=each.positions, strain=each.strain if "strain" in kind else None
            )
            for each in gradients[:8]
        ]  # fmt: skip
        solver = LinearSolver(n_directions=100)
        model = EDNNRegressor(clone(teacher).tile_model, solver=solver)
        model.fit(X[:8], energies[:8], gradient=None if kind == "energies" else targets)
        result = model.predict_gradient(test)
        errors[kind] = (
            np.sqrt(np.mean((model.predict(test) - expected) ** 2)),
            np.mean(
                [
                    np.abs(a.positions - b.positions).mean()
                    for a, b in zip(result, truth, strict=True)
                ]
            ),
        )
    assert errors["positions"][1] < 0.7 * errors["energies"][1]
    assert errors["positions and strain"][1] < 0.7 * errors["energies"][1]


def test_push_is_the_adjoint_of_the_gradient():
    X = make_structures(4)
    tiling = AtomTiling(DESCRIPTORS["power"])
    systems = tiling.check(X)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=tiling.tiles(X).array().shape)
    (block,) = tiling.plan(systems, 10**6)
    parts = tiling.gradient_of(systems, lambda tiles: weights, 10**6)
    gradients = tiling.gradient_by_sample(systems, parts)
    gradients_of_kinds = tiling.known_gradients(systems, gradients)
    for kind, values in gradients_of_kinds.items():
        along = [rng.normal(size=len(each)) for each in values]
        (pushed,) = tiling.push(systems, block, kind, [along])
        left = sum(a @ b for a, b in zip(values, along, strict=True))
        np.testing.assert_allclose(left, np.vdot(pushed, weights), rtol=1e-9)


def test_errors_name_invalid_target_gradients(data):
    X, y = data
    model = EDNNRegressor(Ridge(), AtomTiling(DESCRIPTORS["power"]))
    for gradient, words in (
        ([Bunch(positions=np.zeros((1, 2)))] * len(X), r"positions of gradient\[0\] must be"),
        ([Bunch(strain=np.full((3, 3), np.nan))] * len(X), "contains NaN"),
        ([None] * len(X), "contains None only"),
        ([None] * 3, "has"),
    ):
        with pytest.raises(ValueError, match=words):
            model.fit(X, y, gradient=gradient)


def copper(length):
    """Return a cubic cell of copper, with lengths in some unit."""
    sites = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) * length / 2
    return Bunch(numbers=[29] * 4, positions=sites, cell=[length] * 3, pbc=True)


@pytest.fixture(scope="module")
def of_copper():
    cells = [copper(a) for a in np.linspace(3.4, 3.8, 8)]
    tiling = AtomTiling(PowerSpectrum(cutoff=4.5, n_radial=4, max_l=1))
    return EDNNRegressor(Ridge(), tiling).fit(cells, np.linspace(-1, 1, 8))


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0.36, r"structure 1, atom \d \(Cu\), is 0\.255 Å from its .* were 2\.4 Å or more apart"),
        (1.0, r"is 0\.707 Å from its nearest neighbour"),  # fractions of a cell
        (3.6 * 1.8897, r"8 of 12 atoms .* no neighbour within 4\.3 Å; .* one within 2\.69 Å"),
    ],
    ids=["nm", "fractions", "bohr"],
)
def test_structures_in_other_units_are_doubted(of_copper, length, words, tmp_path):
    files.save(of_copper, tmp_path / "m.ednn")
    given = [copper(3.6), copper(length), copper(length)]
    for model in (of_copper, files.load(tmp_path / "m.ednn")):
        with pytest.warns(NoveltyWarning, match=words):
            model.predict(given)


def test_structures_like_those_of_the_fit_are_not(of_copper):
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoveltyWarning)
        alone = Bunch(numbers=[29], positions=[[0, 0, 0]], cell=None, pbc=False)
        of_copper.predict([copper(3.1), copper(4.1), alone])
        # Without neighbours in the fit, no distance is known.
        atoms = EDNNRegressor(Ridge(), clone(of_copper.tiling)).fit([alone, alone], [1.0, 1.0])
        assert not hasattr(atoms, "input_range_")
        atoms.predict([copper(0.36)])


def test_further_fits_join_the_distances(of_copper):
    model = clone(of_copper).set_params(warm_start=True, solver=BoostingSolver(n_stages=2))
    model.set_params(tile_model=RandomForestRegressor(2))
    model.fit([copper(a) for a in (3.4, 3.5)], [1.0, 2.0])
    model.fit([copper(a) for a in (4.4, 4.5)], [1.0, 2.0])
    np.testing.assert_allclose(model.input_range_[0, :2], np.array([3.4, 4.5]) / np.sqrt(2))
