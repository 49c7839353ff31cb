"""Arguments stay the caller's: what is done to them after a call changes nothing that was made."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.evaluation import LocalUpdates, Unique
from sk_ednn.simulation import AtomUpdates, Metropolis
from sk_ednn.solvers import BoostingSolver
from sk_ednn.structures import Structure
from sk_ednn.uncertainty import TileNovelty
from tests._cases import TILINGS, fitted, make_field, make_ising


def spoil(*arrays):
    """Overwrite what was handed over."""
    for array in arrays:
        array.flags.writeable = True
        array[...] = True if array.dtype == bool else 3


# --- fits -----------------------------------------------------------------------------------

KEEPERS = {  # models that keep rows of the training data
    "kernel": KernelRidge(kernel="rbf"),
    "process": GaussianProcessRegressor(),
    "neighbours": KNeighborsRegressor(1, algorithm="brute"),
    "neighbours in a tree": KNeighborsRegressor(1, algorithm="kd_tree"),
    "support vectors": SVR(),
    "neighbours as features": make_pipeline(KNeighborsTransformer(n_neighbors=2), Ridge()),
    "linear": Ridge(),
}
# Tiles that are the fields themselves, or views of them.
BARE = {
    "sites": ((12, 6), GridTiling(1, 0)),
    "whole fields": ((12, 4, 3), GridTiling(None, 0)),
    "rows": ((12, 4, 3), GridTiling((1, None), 0)),
    "channels": ((12, 4, 3), GridTiling(1, 0, channel_axis=-1)),
    "windows": ((12, 4, 3), GridTiling(1, 1)),
}


@pytest.mark.parametrize("name", KEEPERS)
@pytest.mark.parametrize("case", BARE)
def test_fit_keeps_no_reference_to_its_arguments(name, case, rng):
    shape, tiling = BARE[case]
    X, new = rng.normal(size=shape), rng.normal(size=shape)
    y, weight = X.reshape(len(X), -1).sum(axis=1), np.ones(len(X))
    keeper = make_pipeline(KEEPERS[name])
    weight = None if "neighbours" in name else weight
    steps = BoostingSolver(3) if name.startswith(("neighbours", "support")) else None
    steps = None if "features" in name else steps
    model = EDNNRegressor(clone(keeper), tiling, solver=steps, random_state=0)
    model.fit(X, y, weight)
    before = model.predict(new)
    spoil(X, y, *([] if weight is None else [weight]))
    np.testing.assert_array_equal(model.predict(new), before)


def test_novelty_keeps_no_reference_to_its_arguments(rng):
    X = rng.normal(size=(12, 6))
    tiling = GridTiling(1, 0)
    model = EDNNRegressor(KernelRidge(kernel="rbf"), tiling).fit(X, X.sum(axis=1))
    novelty, new = TileNovelty(model, X), X[:2].copy() + 0.1
    before = novelty.compare(new)
    spoil(X)
    np.testing.assert_array_equal(novelty.compare(new).distance, before.distance)


def test_forces_are_copied():
    positions, forces = np.array([[0.5, 0.5], [2.0, 1.0]]), np.ones((2, 2))
    cell, numbers = np.array([3.2, 3.2]), np.array([5, 7])
    structure = Structure(numbers, positions, cell)
    draw = GaussianRasterizer(0.2, 0.25).fit([structure])
    (gradients,) = draw.position_gradients([structure], [forces])
    slope = np.random.default_rng(0).normal(size=(1, 16, 16))
    values, pulled = gradients.values.copy(), gradients.pull(slope)
    spoil(positions, forces, cell, numbers)
    np.testing.assert_array_equal(gradients.values, values)
    np.testing.assert_array_equal(gradients.pull(slope), pulled)


def test_a_shift_average_copies_the_model(rng):
    X = rng.normal(size=(20, 8))
    for model in (EDNNRegressor(tiling=GridTiling(2, 1)), EDNNCommittee(n_members=2)):
        model.fit(X, X.sum(axis=1))
        averaged = ShiftAveraged.of(model, "all")
        before = averaged.predict(X)
        model.fit(X, -5 * X.sum(axis=1))
        np.testing.assert_array_equal(averaged.predict(X), before)


# --- updates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spins", "levels", "float32", "float64"])
@pytest.mark.parametrize("name", ["1-D", "2-D", "channels last", "channels first"])
def test_local_updates_keep_no_reference_to_their_arguments(kind, name, rng):
    model, (tiling, _, shape) = fitted("kernel", name), TILINGS[name]
    field = make_field(kind, 1, shape)[0]
    channel = None if tiling.channel_axis is None else tiling.channel_axis % len(shape)
    grid = [n for axis, n in enumerate(shape) if axis != channel]
    n_channels = [] if channel is None else [shape[channel]]
    after = field.copy() if channel is None else np.moveaxis(field.copy(), channel, -1)
    sites = np.array([[[0] * len(grid)], [[n - 1 for n in grid]]])
    values = np.ones((2, 1, *n_channels), dtype=field.dtype)
    after[(0,) * len(grid)] = 1
    after = after if channel is None else np.moveaxis(after, -1, channel)

    local = LocalUpdates(model, field)
    mask = np.array([True, False])
    changes = local.propose(sites, values)
    spoil(field, sites, values, changes)
    local.accept(mask)
    spoil(mask)
    local.field[...] = 3
    np.testing.assert_array_equal(local.field, after)
    np.testing.assert_allclose(local.total, model.predict([after])[0], atol=1e-10)


def test_tables_of_tiles_are_copied():
    X, y = make_ising(50, (6, 6))
    evaluation = Unique()
    model = EDNNRegressor(evaluation=evaluation).fit(X, y)
    tiles = X[:1, :3, :3]
    first = evaluation.tile_contributions(model.tile_model_, tiles)
    before = first.copy()
    spoil(first)
    again = evaluation.tile_contributions(model.tile_model_, tiles)
    np.testing.assert_array_equal(again, before)


REFUSED = {
    "outside": ([[9, 9]], [-1]),
    "shape": ([[0, 0]], [-1, -1]),
    "twice": ([[0, 0], [0, 0]], [-1, -1]),
    "not a number": ([[0, 0]], [np.nan]),
    "too large": ([[0, 0]], [1000]),
    "text": ([[0, 0]], ["up"]),
    "nowhere": (np.zeros((0, 2), dtype=int), []),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_a_rejected_proposal_leaves_no_trace(refused):
    X, y = make_ising(50, (6, 6))
    model = EDNNRegressor().fit(X, y)
    local = LocalUpdates(model, X[0])
    before = local.total
    local.propose([[0, 0]], [-X[0, 0, 0]])
    with pytest.raises(ValueError):
        local.propose(*REFUSED[refused])
    with pytest.raises(ValueError, match="no proposal to accept"):
        local.accept()
    np.testing.assert_array_equal(local.field, X[0])
    assert local.total == before


# --- simulations ------------------------------------------------------------------------------


def pairs():
    positions = np.random.default_rng(0).random((10, 2, 2)) * 3.2
    structures = [Structure([6, 6], of_structure, [3.2, 3.2]) for of_structure in positions]
    draw = GaussianRasterizer(0.4, 0.4, dtype="float64")
    model = make_pipeline(draw, EDNNRegressor(tiling=GridTiling(2, 1)))
    return model.fit(structures, positions.sum(axis=(1, 2)))


def test_moves_of_atoms_keep_no_reference_to_their_arguments():
    model, positions = pairs(), np.array([[0.5, 0.5], [2.0, 2.0]])
    numbers, cell = np.array([6, 6]), np.array([3.2, 3.2])
    local = AtomUpdates(model, Structure(numbers, positions, cell))
    spoil(positions, numbers, cell)
    where = np.array([1.0, 0.3])
    local.propose(0, where)
    spoil(where)
    local.accept()
    local.positions[...] = 9.0
    expected = np.array([[1.0, 0.3], [2.0, 2.0]])
    np.testing.assert_array_equal(local.positions, expected)
    moved = Structure([6, 6], expected, [3.2, 3.2])
    np.testing.assert_allclose(local.total, model.predict([moved])[0], rtol=1e-9)


@pytest.mark.parametrize("atom, position", [(5, [0, 0]), (0.5, [0, 0]), (0, [np.inf, 0]), (0, [1])])
def test_a_rejected_move_of_an_atom_leaves_no_trace(atom, position):
    local = AtomUpdates(pairs(), Structure([6, 6], [[0.5, 0.5], [2.0, 2.0]], [3.2, 3.2]))
    local.propose(0, [1.0, 1.0])
    with pytest.raises(ValueError, match="Expected"):
        local.propose(atom, position)
    with pytest.raises(ValueError, match="nothing to accept"):
        local.accept()


@pytest.mark.parametrize("context", [1, 2])  # from a table, and from the ledger
def test_a_chain_keeps_no_reference_to_its_arguments(context):
    X, y = make_ising(50, (6, 6))
    model = EDNNRegressor(tiling=GridTiling(1, context)).fit(X, y)
    start, temperatures, values = X[0].copy(), np.array([2.0, 3.0]), np.array([-1, 1])
    buffer = np.empty(2)

    def spoils_its_argument(fields):
        fields[...] = 1
        return fields.sum(axis=(1, 2))

    def fills_a_buffer(fields):
        np.sum(fields, axis=(1, 2), out=buffer)
        return buffer

    sampler = Metropolis(model, temperatures, values=values, random_state=0)
    observables = {"a": spoils_its_argument, "b": fills_a_buffer}
    chain = sampler.run(start, 5, observables=observables)
    spoil(start, temperatures, values)
    np.testing.assert_array_equal(chain.observables["a"], 36)
    np.testing.assert_array_equal(chain.observables["b"], chain.magnetisations)
    np.testing.assert_array_equal(chain.temperatures, [2.0, 3.0])
    assert set(np.unique(chain.fields)) <= {-1, 1}
    totals = model.predict(chain.fields.reshape(-1, 6, 6))
    np.testing.assert_allclose(totals, chain.energies[-1].ravel(), atol=1e-8)
