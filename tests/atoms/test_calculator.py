"""A fitted model drives ASE: its forces and stress are derivatives of its energy."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline

pytest.importorskip("ase")

import ase
from ase import units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from sk_ednn import EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.atoms import EDNNCalculator, GaussianRasterizer
from sk_ednn.exceptions import NoveltyWarning, TileMemoryError, TileModelError
from sk_ednn.uncertainty import novelty

CELL = np.array([4.0, 4.8])
SPACING = 0.2
FOCUS = 4


def sheet(seed, n_atoms=8, cell=CELL):
    """Atoms at random, none too near to another."""
    rng = np.random.default_rng(seed)
    positions = np.empty((0, 2))
    while len(positions) < n_atoms:
        new = rng.random(2) * cell
        away = positions - new
        away -= cell * np.round(away / cell)
        if (np.hypot(*away.T) > 0.9).all():
            positions = np.vstack([positions, new])
    numbers = rng.permutation([5, 7] * (n_atoms // 2))
    return ase.Atoms(
        numbers, np.pad(positions, ((0, 0), (0, 1))), cell=[*cell, 10.0], pbc=(1, 1, 0)
    )


def pair_energy(atoms):
    """Soft repulsion between all images within reach, in eV."""
    cell, xy = atoms.cell.lengths()[:2], atoms.positions[:, :2]
    away = xy[:, None] - xy[None]
    shifts = np.array([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)]) * cell
    squares = ((away[:, :, None] - away[0, 0] + shifts) ** 2).sum(-1)
    return 2.0 * (np.exp(-squares / 0.8**2)).sum() - 2.0 * len(atoms)


def thermal(atoms, kelvin, seed=0):
    """Set momenta in the plane, at random."""
    width = np.sqrt(atoms.get_masses() * units.kB * kelvin)[:, None]
    atoms.set_momenta(width * [1, 1, 0] * np.random.default_rng(seed).normal(size=(len(atoms), 3)))


def fitted(tile_model, strained=False, n_train=40, **options):
    rng = np.random.default_rng(5)
    cells = [CELL * (1 + strained * rng.uniform(-0.02, 0.02, 2)) for _ in range(n_train)]
    train = [sheet(k, cell=cell) for k, cell in enumerate(cells)]
    draw = GaussianRasterizer(
        SPACING, 0.35, channels=("B", "N"), weights={"B": 1.0, "N": 1.5}, cutoff=9.0,
        dtype="float64", adjust=0.025 * strained, multiple=FOCUS,
    )  # fmt: skip
    model = EDNNRegressor(tile_model, GridTiling(FOCUS, 3, channel_axis=-1), **options)
    return make_pipeline(draw, model).fit(train, [pair_energy(atoms) for atoms in train])


def strained(atoms, i, j, by):
    """Return a copy of a sheet, cell and atoms strained by a symmetric matrix."""
    deform = np.eye(3)
    deform[i, j] += by / 2
    deform[j, i] += by / 2
    copy = atoms.copy()
    copy.set_cell(atoms.cell @ deform, scale_atoms=True)
    return copy


def slanted_pair_energy(atoms):
    """As `pair_energy`, in any cell."""
    vectors = atoms.cell.array[:2, :2]
    away = atoms.positions[:, None, :2] - atoms.positions[None, :, :2]
    shifts = np.array([[i, j] for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2)]) @ vectors
    squares = ((away[:, :, None] + shifts) ** 2).sum(-1)
    return 2.0 * (np.exp(-squares / 0.8**2)).sum() - 2.0 * len(atoms)


def strain_gradient(atoms):
    """Derivative of the energy with respect to strain, (2, 2)."""
    out = np.empty((2, 2))
    for i, j in ((0, 0), (1, 1), (0, 1)):
        out[i, j] = out[j, i] = derivative(
            lambda by, i=i, j=j: slanted_pair_energy(strained(atoms, i, j, by))
        )
    return out


@pytest.fixture(scope="module")
def kernel():
    return fitted(KernelRidge(kernel="rbf", gamma=0.01, alpha=1e-4), baseline="content")


@pytest.fixture(scope="module")
def stretched():
    tile_model = KernelRidge(kernel="poly", gamma=0.01, degree=2, alpha=1e-3)
    return fitted(tile_model, strained=True, n_train=200, baseline="content")


@pytest.fixture(scope="module")
def network():
    torch = pytest.importorskip("torch")
    from sk_ednn.networks import ValidCNN
    from sk_ednn.solvers import GradientSolver

    torch.manual_seed(0)
    net = ValidCNN(
        (10, 10), focus=(FOCUS,) * 2, n_channels=2, activation="silu",
        layers=((6, 3, 2), (8, 3, 1)), hidden=8,
    )  # fmt: skip
    return fitted(net, solver=GradientSolver(max_epochs=3), baseline="content", random_state=0)


@pytest.fixture(scope="module")
def averaged(network):
    return ShiftAveraged.of(network, 3)


MODELS = ["kernel", "network", "stretched", "averaged"]


def on_borders():
    """Atoms at the borders of pixels, of tiles and of the cell, which they cross by a step."""
    atoms = sheet(99)
    atoms.positions[0, :2] = 0.5 * SPACING, 7.5 * SPACING  # half way between two pixels
    atoms.positions[1, :2] = 4 * SPACING, 8 * SPACING  # where four tiles meet
    atoms.positions[2, :2] = CELL  # the corner of the cell
    atoms.positions[3, :2] = (CELL[0], 2.0)
    return atoms


def derivative(energy, step=1e-3):
    """Central, of fourth order, at 0."""
    return np.dot([1, -8, 8, -1], [energy(k * step) for k in (-2, -1, 1, 2)]) / (12 * step)


# ------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("name", MODELS)
def test_forces_are_the_derivative_of_the_energy_across_all_borders(name, request):
    atoms = on_borders()
    atoms.calc = EDNNCalculator(request.getfixturevalue(name), precision="float64")
    forces, start = atoms.get_forces(), atoms.positions.copy()
    for atom, axis in ((0, 0), (1, 1), (2, 0), (2, 1), (3, 0)):

        def energy(by, atom=atom, axis=axis):
            atoms.positions = start
            atoms.positions[atom, axis] += by
            return atoms.get_potential_energy()

        assert -forces[atom, axis] == pytest.approx(derivative(energy), rel=1e-6, abs=1e-7)
    assert not forces[:, 2].any()


def test_stress_is_the_derivative_of_the_energy(stretched):
    atoms = on_borders()
    atoms.calc = EDNNCalculator(stretched)
    stress, cell, volume = atoms.get_stress(), atoms.cell.array.copy(), atoms.get_volume()
    for axis in (0, 1):

        def energy(strain, axis=axis):
            strained = cell.copy()
            strained[axis, axis] *= 1 + strain
            atoms.set_cell(strained, scale_atoms=True)
            return atoms.get_potential_energy()

        expected = derivative(energy) / volume
        assert stress[axis] == pytest.approx(expected, rel=1e-6)
    assert not stress[2:5].any() and abs(stress[5]) > 0
    atoms.set_cell(cell, scale_atoms=True)
    np.testing.assert_allclose(atoms.get_stress(voigt=False)[0, 1], stress[5], rtol=1e-9)


def test_the_stress_of_a_model_of_many_cells_is_that_of_its_energies(stretched):
    errors, true = [], []
    for seed in range(1200, 1210):
        atoms = sheet(seed)
        cell = atoms.cell.array.copy()
        atoms.calc = EDNNCalculator(stretched)
        predicted = atoms.get_stress()[:2] * atoms.get_volume()
        for axis in (0, 1):

            def energy(strain, atoms=atoms, axis=axis, cell=cell):
                copy, strained = atoms.copy(), cell.copy()
                strained[axis, axis] *= 1 + strain
                copy.set_cell(strained, scale_atoms=True)
                return pair_energy(copy)

            errors.append(predicted[axis] - derivative(energy))
            true.append(derivative(energy))
    assert abs(np.mean(errors)) < 0.15 * abs(np.mean(true))
    assert np.std(errors) < 0.7 * np.std(true)


@pytest.mark.slow
def test_networks_that_learn_strain_derivatives_predict_better_stress():
    pytest.importorskip("torch")
    from sk_ednn.networks import ValidCNN
    from sk_ednn.solvers import GradientSolver

    rng = np.random.default_rng(5)
    train = [sheet(k, cell=CELL * (1 + rng.uniform(-0.02, 0.02, 2))) for k in range(30)]
    energies = [pair_energy(atoms) for atoms in train]
    gradients = [strain_gradient(atoms) for atoms in train]
    draw = GaussianRasterizer(
        SPACING, 0.35, channels=("B", "N"), adjust=0.025, multiple=FOCUS
    ).fit(train)  # fmt: skip
    fields, off = draw.transform(train), {}
    unseen = [sheet(1000 + k) for k in range(8)]
    true = np.array([strain_gradient(atoms) for atoms in unseen])
    for learn in (None, gradients):
        gradient = draw.position_gradients(train, strain_gradients=learn)
        net = ValidCNN(
            (10, 10), focus=(FOCUS,) * 2, n_channels=2, activation="silu",
            layers=((8, 3, 2), (16, 3, 1)), hidden=16,
        )  # fmt: skip
        solver = GradientSolver(max_epochs=30, lr=1e-2, batch_size=8)
        model = EDNNRegressor(
            net, GridTiling(FOCUS, 3, channel_axis=-1), solver=solver, random_state=0,
            baseline="content",
        )  # fmt: skip
        model.fit(fields, energies, gradient=gradient if learn else None)
        pipe, results = make_pipeline(draw, model), []
        for atoms in unseen:
            atoms.calc = EDNNCalculator(pipe)
            results.append(atoms.get_stress(voigt=False)[:2, :2] * atoms.get_volume())
        off[learn is not None] = np.abs(results - true).mean()
    assert off[True] < 0.6 * off[False], off


@pytest.mark.parametrize("name", MODELS)
def test_energies_are_predictions_and_add_up(name, request):
    model = request.getfixturevalue(name)
    atoms = sheet(7)
    atoms.calc = EDNNCalculator(model)
    energy = atoms.get_potential_energy()
    assert energy == pytest.approx(model.predict([atoms])[0], rel=1e-6)
    tiles = atoms.calc.get_property("tile_energies", atoms)
    assert tiles.shape == (5, 6) and tiles.sum() == pytest.approx(energy, rel=1e-6)
    atoms.get_forces()
    assert atoms.get_potential_energy() == energy
    assert atoms.get_potential_energy(force_consistent=True) == energy
    twice = atoms.repeat((2, 1, 1))
    twice.calc = atoms.calc
    assert twice.get_potential_energy() == pytest.approx(2 * energy, rel=1e-6)
    np.testing.assert_allclose(twice.get_forces()[: len(atoms)], atoms.get_forces(), atol=1e-5)


def test_averaged_over_all_shifts_energies_do_not_depend_on_where_a_sheet_begins(network):
    atoms, rng = sheet(8), np.random.default_rng(0)
    energies, forces = {}, {}
    for model in (network, ShiftAveraged.of(network, "all")):
        kind = type(model[-1])
        atoms.calc = EDNNCalculator(model, precision="float64")
        energies[kind], forces[kind] = [], []
        start = atoms.positions.copy()
        for pixels in ((0, 0), (1, 0), (2, 3), (-7, 5)):
            atoms.positions = start + np.append(np.multiply(SPACING, pixels), 0)
            energies[kind].append(atoms.get_potential_energy())
            forces[kind].append(atoms.get_forces())
        atoms.positions = start
    apart = {kind: np.ptp(result) for kind, result in energies.items()}
    assert apart[ShiftAveraged] < 1e-11 * abs(energies[ShiftAveraged][0]) < apart[EDNNRegressor]
    first, *others = forces[ShiftAveraged]
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-10)
    # Fields of Gaussians depend little on where pixels are: in between it hardly changes either.
    atoms.calc, start = EDNNCalculator(model, precision="float64"), atoms.positions.copy()
    between = []
    for by in rng.random((5, 2)) * SPACING:
        atoms.positions = start + np.append(by, 0)
        between.append(atoms.get_potential_energy())
    assert np.ptp(between) < 0.2 * apart[EDNNRegressor]


def test_tile_energies_and_forces_of_averages_are_those_of_the_regressor(averaged):
    atoms = sheet(4)
    atoms.calc = EDNNCalculator(averaged)
    tiles = atoms.calc.get_property("tile_energies", atoms)
    fields = averaged[0].transform([atoms])
    np.testing.assert_allclose(tiles, averaged[-1].predict_contributions(fields)[0], rtol=1e-6)
    forces = averaged[0].forces([atoms], averaged[-1].predict_gradient(fields))[0]
    np.testing.assert_allclose(atoms.get_forces()[:, :2], forces, atol=1e-5)
    inner = make_pipeline(averaged[0], ShiftAveraged(EDNNRegressor()))
    with pytest.raises(NotFittedError):
        EDNNCalculator(inner)


# ------------------------------------------------------------------------------- conventions


def test_results_are_kept_until_something_changes(kernel):
    atoms, calls = sheet(1), []
    calculator = EDNNCalculator(kernel)
    inner = calculator.calculate
    calculator.calculate = lambda *args: (calls.append(args[1]), inner(*args))
    atoms.calc = calculator
    for _ in range(2):
        forces = atoms.get_forces()
        atoms.get_potential_energy()
    assert calls == [["forces"]]
    forces[:] = 0
    assert atoms.get_forces().any()  # a copy was handed out
    atoms.positions[0, 0] += 0.1
    assert atoms.calc.calculation_required(atoms, ["energy"])
    atoms.get_potential_energy()
    assert "forces" not in calculator.results and len(calls) == 2


def test_what_it_does_not_know_it_does_not_implement(kernel, stretched):
    atoms = sheet(1)
    atoms.calc = EDNNCalculator(kernel)
    with pytest.raises(PropertyNotImplementedError, match="adjust=0"):
        atoms.get_stress()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()
    assert "stress" in EDNNCalculator(stretched).implemented_properties
    flat = ase.Atoms(atoms.numbers, atoms.positions, cell=[*CELL, 0], pbc=(1, 1, 0))
    flat.calc = EDNNCalculator(stretched)
    assert flat.get_forces().any()
    with pytest.raises(PropertyNotImplementedError):
        flat.get_stress()


def changed(**changes):
    atoms = sheet(1)
    for name, value in changes.items():
        if name == "cell":
            atoms.set_cell(value)
        elif name == "position":
            atoms.positions[3] = value
        elif name == "number":
            atoms.numbers[3] = value
        else:
            setattr(atoms, name, value)
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (changed(position=np.nan), r"Positions must be finite.* atom 3"),
        (changed(position=1e12), r"Positions must be within 1e\+10 Å.* atom 3"),
        (changed(number=6), r"Expected the species B, N.* atom 3, is C"),
        (changed(cell=[4.1, 4.8, 10]), r"4.1 Å along x.*multiple of 4.*nearest spacing is 0.205"),
        (changed(cell=[[4, 0.3, 0], [0, 4.8, 0], [0, 0, 10]]), "fitted cells are 90°"),
        (changed(pbc=False), "fitted structures are periodic along x and y"),
        (changed(position=[1.0, 1.0, 2.5]), r"atom 3, is at z = 2.5 Å.*slab from -1 to 1 Å"),
        (ase.Atoms(cell=[4, 4.8, 10], pbc=(1, 1, 0)), "has no atoms"),
    ],
)
def test_invalid_structures_are_rejected(kernel, atoms, message):
    atoms.calc = EDNNCalculator(kernel, slab=(-1, 1))
    for _ in range(2):  # a failed calculation leaves no result behind
        with pytest.raises(ValueError, match=message):
            atoms.get_potential_energy()
    assert not atoms.calc.results


def test_cells_whose_field_does_not_fit_in_memory_are_named(kernel):
    """Such as of a cell in another unit."""
    draw = kernel.steps[0][1]
    with pytest.raises(TileMemoryError, match=r"A field of \d+ × \d+ pixels .*Check the cells"):
        draw.transform([changed(cell=[4e6, 4.8e6, 10])])
    atoms = changed(cell=[4e6, 4.8e6, 10])
    atoms.calc = EDNNCalculator(kernel)
    with pytest.raises(MemoryError, match="Check the cells"):
        atoms.get_potential_energy()


def test_slabs_of_model_and_calculator_both_hold(kernel):
    draw, regressor = (step for _, step in kernel.steps)
    train = [sheet(k) for k in range(10)]
    draw = clone(draw).set_params(slab=(-2, 0.5)).fit(train)
    model = make_pipeline(draw, regressor)
    for slab, inside in ((None, 0.25), ((-1, 1), 0.25), ((-1, 1), -0.9), ((-3, 0.3), -1.5)):
        atoms = changed(position=[1.0, 1.0, inside])
        atoms.calc = EDNNCalculator(model, slab=slab)
        assert np.isfinite(atoms.get_potential_energy())
        for outside in (0.6, -2.1):
            atoms.positions[3, 2] = outside
            with pytest.raises(ValueError, match="outside of the slab"):
                atoms.get_potential_energy()
    atoms.positions[3, 2] = 0.4
    with pytest.raises(ValueError, match=r"slab from -2 to 0\.3 Å"):
        atoms.get_potential_energy()
    assert draw.slab == (-2, 0.5)


def test_a_slab_lies_along_the_normal_of_the_plane(kernel):
    regressor = kernel.steps[-1][1]

    def upright(k):
        flat = sheet(k)
        lengths = flat.cell.lengths()[[0, 2, 1]]
        return ase.Atoms(flat.numbers, flat.positions[:, [0, 2, 1]], cell=lengths, pbc=(1, 0, 1))

    draw = clone(kernel.steps[0][1]).set_params(plane="xz").fit([upright(k) for k in range(10)])
    atoms = upright(1)
    atoms.calc = EDNNCalculator(make_pipeline(draw, regressor), slab=(-1, 1))
    flat = sheet(1)
    flat.calc = EDNNCalculator(kernel)
    assert atoms.get_potential_energy() == pytest.approx(flat.get_potential_energy(), rel=1e-12)
    atoms.positions[3, 1] = 2.5
    with pytest.raises(ValueError, match=r"atom 3, is at y = 2\.5 Å"):
        atoms.get_potential_energy()
    draw = clone(draw).set_params(plane="xyz", spacing=0.4, multiple=1).fit([sheet(1)])
    with pytest.raises(ValueError, match="plane='xyz' has no normal"):
        EDNNCalculator(make_pipeline(draw, regressor), slab=(-1, 1))


def test_what_is_no_model_is_refused(kernel):
    with pytest.raises(TypeError, match=r"Expected a fitted Pipeline.*got KernelRidge"):
        EDNNCalculator(KernelRidge())
    with pytest.raises(ValueError, match="precision must be one of"):
        EDNNCalculator(kernel, precision="half")
    for slab in ((1, -1), (0, 1, 2), ("low", "up"), (0, np.nan)):
        with pytest.raises(ValueError, match="a lower and an upper bound of z"):
            EDNNCalculator(kernel, slab=slab)
    train = [sheet(k) for k in range(10)]
    draw = kernel.steps[0][1]
    many = make_pipeline(draw, EDNNRegressor(tiling=GridTiling(4, 0, channel_axis=-1)))
    with pytest.raises(TileModelError, match="one with 2"):
        EDNNCalculator(many.fit(train, np.arange(20.0).reshape(10, 2)))


def test_pixels_are_kept_while_the_cell_changes(stretched):
    atoms = sheet(3)
    atoms.calc = EDNNCalculator(stretched)
    atoms.get_potential_energy()
    assert atoms.calc.grid == (20, 24)
    cell = atoms.cell.array.copy()
    atoms.set_cell(cell * 1.024, scale_atoms=True)
    atoms.get_potential_energy()
    with pytest.raises(ValueError, match=r"stretched by \[3.0, 3.0\] %.*adjust=0.025"):
        atoms.set_cell(cell * 1.03, scale_atoms=True)
        atoms.get_potential_energy()
    atoms.set_cell(cell, scale_atoms=True)
    other = atoms.repeat((2, 1, 1))
    other.calc = atoms.calc
    other.get_potential_energy()
    assert atoms.calc.grid == (40, 24)


# -------------------------------------------------------------------------------- simulations


def test_relaxation_lowers_the_energy_until_forces_are_small(kernel):
    atoms = sheet(11)
    atoms.calc = EDNNCalculator(kernel)
    before = atoms.get_potential_energy()
    with BFGS(atoms, logfile=None) as relax:
        assert relax.run(fmax=0.02, steps=200)
    assert atoms.get_potential_energy() < before - 0.05
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.02


def test_energy_error_falls_fourfold_when_the_step_is_halved(kernel):
    drifts = []
    for step in (0.8, 0.4, 0.2):
        atoms = sheet(12)
        atoms.calc = EDNNCalculator(kernel)
        thermal(atoms, 600)
        energies = [atoms.get_total_energy()]
        dyn = VelocityVerlet(atoms, timestep=step * units.fs)
        dyn.attach(lambda a=atoms, e=energies: e.append(a.get_total_energy()))
        dyn.run(round(24 / step))
        drifts.append(np.std(energies))
    assert drifts[0] < 0.05
    assert drifts[0] / drifts[1] == pytest.approx(4, rel=0.2)
    assert drifts[1] / drifts[2] == pytest.approx(4, rel=0.2)


def test_langevin_holds_the_temperature(kernel):
    atoms = sheet(13).repeat((2, 2, 1))
    atoms.calc = EDNNCalculator(kernel)
    with BFGS(atoms, logfile=None) as relax:
        relax.run(fmax=0.1, steps=40)
    thermal(atoms, 450)  # a part of it becomes potential energy
    rng = np.random.default_rng(1)
    dyn = Langevin(
        atoms, 1.0 * units.fs, temperature_K=300, friction=0.05 / units.fs, rng=rng, fixcm=False
    )
    temperatures = []
    dyn.attach(lambda: temperatures.append(atoms.get_temperature()))
    dyn.run(100)
    assert np.mean(temperatures[30:]) == pytest.approx(300, rel=0.25)


def test_novel_tiles_are_reported_and_warned_of_once(kernel):
    train = [sheet(k) for k in range(40)]
    atoms = train[0].copy()
    atoms.calc = EDNNCalculator(kernel, training=train, novel_above=0.05)
    atoms.get_potential_energy()
    assert atoms.calc.results["novel"] == 0.0
    atoms.positions[:, :2] = 2.0 + 0.1 * np.random.default_rng(0).normal(size=(8, 2))
    with pytest.warns(NoveltyWarning, match="% of the tiles are unlike") as warned:
        for _ in range(3):
            atoms.positions[0, 0] += 0.01
            atoms.get_forces()
    assert [each.category for each in warned].count(NoveltyWarning) == 1
    share = atoms.calc.get_property("novel", atoms)
    assert share == novelty(kernel, train, [atoms]).share[0] > 0.05


def test_tiles_are_looked_at_every_so_often(kernel):
    train = [sheet(k) for k in range(10)]
    atoms = train[0].copy()
    atoms.calc = EDNNCalculator(kernel, training=train, novel_above=1.0, check_every=3)
    looked = []
    for _ in range(7):
        atoms.positions[0, 0] += 0.01
        atoms.get_forces()
        looked.append("novel" in atoms.calc.results)
    assert looked == [True, False, False, True, False, False, True]
    atoms.positions[0, 0] += 0.01
    assert 0 <= atoms.calc.get_property("novel", atoms) <= 1
