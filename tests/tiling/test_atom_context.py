"""The intensive context of atoms, for any tile model: extensive, with gradients and files."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("vesin")

from sk_ednn import EDNNRegressor
from sk_ednn.descriptors import DeepPotFrame, PowerSpectrum, SymmetryFunctions
from sk_ednn.encoders import ContextProducts
from sk_ednn.evaluation import DaskBlocks, Direct
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.files import load, save
from sk_ednn.testing import check_tiling
from sk_ednn.tiling import AtomTiling
from tests._potentials import SPECIES, structure

SPECTRUM = PowerSpectrum(4.0, n_radial=2, max_l=1)
AVERAGED = SymmetryFunctions(3.5, radial=[(1.0, 2.0)], angular=[])
N_CONTEXT = 2 * 2 + 2  # by element, of pairs with each element, and the composition


def structures(n=14, seed=0):
    rng = np.random.default_rng(seed)
    cells = ("cubic", "tilted", "left-handed")
    made = [structure(rng, cells[k % 3], "periodic", n=3 + k % 4) for k in range(n)]
    made[0]["numbers"] = np.array([14, 79, 14])
    return made


def doubled(one):
    cell = np.array(one["cell"], dtype=float)
    longer = cell.copy()
    longer[1] *= 2
    positions = np.concatenate([one["positions"], one["positions"] + cell[1]])
    return {
        "numbers": np.tile(one["numbers"], 2), "positions": positions, "cell": longer,
        "pbc": one["pbc"],
    }  # fmt: skip


def tiling(**params):
    return AtomTiling(SPECTRUM, context=AVERAGED, **params)


def products(model):
    return make_pipeline(StandardScaler(), ContextProducts(N_CONTEXT), model)


MODELS = {
    "linear": lambda: EDNNRegressor(products(Ridge(1e-3)), tiling(), baseline="content"),
    "terms": lambda: EDNNRegressor(
        AtomTiling.per_species(products(Ridge(1e-3)), SPECTRUM, SPECIES, context=AVERAGED)
    ),
    "kernel": lambda: EDNNRegressor(
        make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", gamma=0.01, alpha=1e-3)), tiling()
    ),
    "forest": lambda: EDNNRegressor(RandomForestRegressor(4, random_state=0), tiling()),
}
SMOOTH = ("linear", "terms", "kernel")


@pytest.fixture(scope="module")
def fitted():
    systems = structures()
    y = np.random.default_rng(1).normal(size=len(systems)) - 3.0 * np.arange(len(systems))
    return {name: make().fit(systems, y) for name, make in MODELS.items()}


def test_the_contract_of_tilings():
    check_tiling(tiling(), structures(6))


def test_tiles_end_with_the_averages():
    systems = tiling().check(structures())
    rows = tiling().tiles(systems).array()
    plain = AtomTiling(AVERAGED)
    assert tiling().n_contexts(systems) == N_CONTEXT
    local = AtomTiling(SPECTRUM).tiles(systems).array()
    np.testing.assert_array_equal(rows[:, : local.shape[1]], local)
    of_atoms = plain.tiles(systems).array()  # the element, then the pairs
    for k in range(systems.n_samples):
        mask = systems.structures.owners == k
        element, pairs = of_atoms[mask, :2], of_atoms[mask, 2:]
        expected = np.concatenate([element.mean(0), (element.T @ pairs / mask.sum()).ravel()])
        np.testing.assert_allclose(rows[mask, -N_CONTEXT:], np.tile(expected, (mask.sum(), 1)))


def test_summed_products_are_products_of_sums_over_the_number_of_atoms():
    systems = tiling().check(structures())
    rows = tiling().tiles(systems).array()
    made = ContextProducts(N_CONTEXT).fit_transform(rows)[:, rows.shape[1] :]
    for k in range(systems.n_samples):
        mask = systems.structures.owners == k
        sums = rows[mask, :-N_CONTEXT].sum(0)
        averaged = rows[mask, -N_CONTEXT:].sum(0)
        expected = np.outer(sums, averaged) / mask.sum()
        np.testing.assert_allclose(made[mask].sum(0), expected.ravel(), rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_doubling_doubles(fitted, name):
    systems = structures(8, seed=3)
    small, large = (fitted[name].predict(each) for each in (systems, list(map(doubled, systems))))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-12)
    # Of a structure that is not repeated, more than the sum of its parts.
    assert abs(small).max() > 1e-3


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_finite_differences(fitted, name):
    model, systems, h = fitted[name], structures(3, seed=4), 1e-5
    gradients = model.predict_gradient(systems)
    rng = np.random.default_rng(0)
    for one, gradient in zip(systems, gradients, strict=True):
        move, strain = rng.normal(size=one["positions"].shape), rng.normal(size=(3, 3))
        strain = (strain + strain.T) / 2

        def moved(step, one=one, move=move):
            return {**one, "positions": one["positions"] + step * move}

        def strained(step, one=one, strain=strain):
            grown = np.eye(3) + step * strain
            return {**one, "positions": one["positions"] @ grown, "cell": one["cell"] @ grown}

        for change, along in (
            (moved, (gradient.positions * move).sum()),
            (strained, (gradient.strain * strain).sum()),
        ):
            up, down = model.predict([change(h), change(-h)])
            assert along == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-5)


def test_products_pull_and_push_are_adjoint(rng):
    step = ContextProducts(3).fit(X := rng.normal(size=(5, 8)))
    tangent, gradients = rng.normal(size=X.shape), rng.normal(size=step.transform(X).shape)
    pushed, pulled = step.push(X, tangent), step.pull(X, gradients)
    assert (pushed * gradients).sum() == pytest.approx((pulled * tangent).sum(), rel=1e-12)
    h = 1e-6
    numeric = (step.transform(X + h * tangent) - step.transform(X - h * tangent)) / (2 * h)
    np.testing.assert_allclose(pushed, numeric, atol=1e-8)


def test_forces_and_stress_are_learned_with_it():
    """The energy (Σρ)²/N has forces that no sum over neighbourhoods has."""
    systems = structures(24, seed=5)
    source = tiling().check(systems)
    averages = tiling()._averages.values(source)
    # Of all atoms: the pairs with gold of silicon and of gold.
    density = averages[:, 3] + averages[:, 5]
    y = source.sizes * density**2
    gradients = np.zeros_like(averages)
    gradients[:, [3, 5]] = (2 * source.sizes * density)[:, None]
    positions, strain = np.zeros((source.structures.n_atoms, 3)), np.zeros((len(systems), 3, 3))
    tiling()._averages.pull(source, gradients, positions, strain)
    parts = np.split(positions, source.structures.offsets[1:-1])
    gradient = [{"positions": p, "strain": s} for p, s in zip(parts, strain, strict=True)]
    errors = {}
    for name, tile_model, one in (
        ("local", make_pipeline(StandardScaler(), Ridge(1e-8)), AtomTiling(AVERAGED)),
        ("context", make_pipeline(StandardScaler(), ContextProducts(N_CONTEXT), Ridge(1e-8)),
         AtomTiling(AVERAGED, context=AVERAGED)),
    ):  # fmt: skip
        model = EDNNRegressor(tile_model, one, random_state=0)
        model.fit(systems[:16], y[:16], gradient=gradient[:16])
        result = np.concatenate([g.positions for g in model.predict_gradient(systems[16:])])
        errors[name] = np.abs(result - np.concatenate(parts[16:])).mean()
    assert errors["context"] < 1e-3 * errors["local"]


def test_files_and_large_structures(fitted, tmp_path):
    systems = structures(4, seed=6)
    expected = {name: model.predict(systems) for name, model in fitted.items()}
    save(fitted["terms"], tmp_path / "m.ednn")
    np.testing.assert_array_equal(load(tmp_path / "m.ednn").predict(systems), expected["terms"])
    # As if these few atoms were too many for one list of neighbours.
    for name, model in fitted.items():
        large = replace(model.check_systems(systems), max_atoms=3)
        np.testing.assert_allclose(model.predict(large), expected[name], rtol=1e-10)


def test_dask_reads_pieces_with_the_averages_of_the_whole():
    dask = pytest.importorskip("dask")
    systems, y = structures(4, seed=6), np.arange(14.0)
    expected = MODELS["linear"]().fit(structures(), y).predict(systems)
    evaluation = DaskBlocks(Direct(max_tiles=2), blocks_per_task=2)
    model = MODELS["linear"]().set_params(evaluation=evaluation).fit(structures(), y)
    large = replace(model.check_systems(systems), max_atoms=3)
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_allclose(model.predict(large), expected, rtol=1e-10)


def test_local_updates_and_wrong_contexts_are_refused(fitted):
    from sk_ednn.simulation import AtomTileUpdates

    with pytest.raises(TileModelError, match="averages of an AtomTiling with a context"):
        AtomTileUpdates(fitted["linear"], structures(1)[0])
    with pytest.raises(TilingError, match="context of an AtomTiling must be a descriptor"):
        AtomTiling(SPECTRUM, context=8).check(structures(2))
    frame = AtomTiling(DeepPotFrame(4.0, 60), species=14, context=AVERAGED)
    with pytest.raises(TilingError, match="no context can be appended"):
        frame.tiles(frame.check(structures(2)))
    with pytest.raises(ValueError, match="nothing is left to multiply"):
        ContextProducts(4).fit(np.zeros((3, 4)))
