"""ShiftAveraged: the mean over shifts of the tiles, and where it is exact."""

import pickle

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.fields._shifts import chosen, shared
from sk_ednn.testing import check_extensive_estimator
from tests._cases import left_as_it_was, make_field

QUADRATIC = make_pipeline(PolynomialFeatures(2), Ridge(1e-2))
KERNEL = KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3)
# Name: (estimator, shape of a field, its grid axes, focus).
CASES = {
    "1-D": (EDNNRegressor(KERNEL, GridTiling(4, 1)), (12,), (0,), (4,)),
    "2-D": (EDNNRegressor(KERNEL, GridTiling((2, 3), 1)), (4, 6), (0, 1), (2, 3)),
    "3-D": (EDNNRegressor(QUADRATIC, GridTiling(2, (1, 0, 0))), (4, 2, 4), (0, 1, 2), (2, 2, 2)),
    "channels last": (
        EDNNRegressor(KERNEL, GridTiling(2, 1, channel_axis=-1), baseline="content"),
        (4, 4, 3), (0, 1), (2, 2),
    ),
    "channels first": (
        EDNNRegressor(QUADRATIC, GridTiling((3, 2), 0, channel_axis=0)), (2, 6, 4), (1, 2), (3, 2),
    ),
    "one tile": (EDNNRegressor(KERNEL, GridTiling((None, 2), 0)), (3, 4), (0, 1), (3, 2)),
    "terms": (
        EDNNRegressor(
            [("a", Ridge(1e-2), GridTiling((2, 1), 1)), ("b", QUADRATIC, GridTiling((1, 3), 0))]
        ),
        (4, 6), (0, 1), (2, 3),
    ),
    "committee": (
        EDNNCommittee(EDNNRegressor(KERNEL, GridTiling(2, 1)), 2, random_state=0),
        (4, 6), (0, 1), (2, 2),
    ),
}  # fmt: skip
WITH_MAPS = [name for name in CASES if name != "committee"]
IN_ONE = [name for name in WITH_MAPS if name != "terms"]


def data(shape, n=16, seed=0):
    X = make_field("float64", n, shape, seed)
    return X, np.sin(2 * X + np.roll(X, 1, axis=-1)).reshape(n, -1).sum(axis=1)


def fitted(name, n_shifts="all", **options):
    estimator, shape, axes, focus = CASES[name]
    X, y = data(shape)
    return ShiftAveraged(estimator, n_shifts, **options).fit(X, y), X, axes, focus


def begun(X, site, axes, lead=1):
    """Return fields that begin with a site, by indexing."""
    for axis, first in zip(axes, site, strict=True):
        n = X.shape[lead + axis]
        X = np.take(X, (np.arange(n) + first) % n, axis=lead + axis)
    return X


# ---------------------------------------------------------------------------------------- the mean


@pytest.mark.parametrize("name", CASES)
def test_the_mean_over_all_shifts_is_invariant_under_any(name):
    model, X, axes, focus = fitted(name)
    assert len(model.shifts_) == np.prod(focus)
    total = model.predict(X)
    for site in ((1,) * len(axes), (5, 2, 3)[: len(axes)], (-1, 1, 7)[: len(axes)]):
        moved = model.predict(begun(X, site, axes))
        np.testing.assert_allclose(moved, total, rtol=1e-12, atol=1e-12 * np.abs(total).max())
    single = model.estimator_.predict(begun(X, (1,) * len(axes), axes))
    if np.prod(focus) > 1:  # it is not so without
        assert np.abs(single - model.estimator_.predict(X)).max() > 1e-3


@pytest.mark.parametrize("n_shifts", ["all", 1, 3])
@pytest.mark.parametrize("name", CASES)
def test_predictions_are_the_mean_over_shifted_fields(name, n_shifts):
    model, X, axes, focus = fitted(name, n_shifts, selection="random", random_state=1)
    assert len(model.shifts_) == (np.prod(focus) if n_shifts == "all" else n_shifts)
    expected = np.mean(
        [model.estimator_.predict(begun(X, site, axes)) for site in model.shifts_], axis=0
    )
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)
    np.testing.assert_allclose(model.predict(list(X)), expected, rtol=1e-12)


@pytest.mark.parametrize("name", IN_ONE)
def test_contributions_go_to_the_tiles_they_lie_in(name):
    model, X, axes, focus = fitted(name)
    maps = model.predict_contributions(X)
    assert maps.shape == model.estimator_.predict_contributions(X).shape
    np.testing.assert_allclose(maps.reshape(len(X), -1).sum(1), model.predict(X), rtol=1e-10)
    # Spread evenly over the sites of each shifted focus, then added up over the foci in place.
    expected = np.zeros_like(maps)
    for site in model.shifts_:
        sites = model.estimator_.predict_contributions(begun(X, site, axes)) / np.prod(focus)
        for axis, f in enumerate(focus, start=1):
            sites = np.repeat(sites, f, axis=axis)
        sites = begun(sites, -site, range(len(axes)))
        for axis, f in enumerate(focus, start=1):
            sites = np.add.reduceat(sites, np.arange(0, sites.shape[axis], f), axis=axis)
        expected += sites / len(model.shifts_)
    np.testing.assert_allclose(maps, expected, rtol=1e-10, atol=1e-12)
    of_list = model.predict_contributions(list(X))
    np.testing.assert_allclose(np.stack(of_list), maps, rtol=1e-12)


def test_contributions_of_several_terms_add_up():
    model, X, _, _ = fitted("terms", 5)
    maps = model.predict_contributions(X)
    assert {name: result.shape[1:] for name, result in maps.items()} == {"a": (2, 6), "b": (4, 2)}
    total = sum(result.sum(axis=(1, 2)) for result in maps.values())
    np.testing.assert_allclose(total, model.predict(X), rtol=1e-10)


@pytest.mark.parametrize("name", ["1-D", "2-D", "channels last", "one tile"])
def test_gradients_are_derivatives_and_move_with_the_field(name):
    model, X, axes, _ = fitted(name)
    X = X[:3]
    slopes = model.predict_gradient(X)
    assert slopes.shape == X.shape
    for direction in make_field("float64", 2, X.shape[1:], seed=9):
        step = 1e-5
        ends = [model.predict(X + sign * step * direction) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        result = (slopes * direction).reshape(len(X), -1).sum(axis=1)
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-8)
    site = (1,) * len(axes)
    moved = model.predict_gradient(begun(X, site, axes))
    np.testing.assert_allclose(moved, begun(slopes, site, axes), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.stack(model.predict_gradient(list(X))), slopes, rtol=1e-12)


def test_gradients_of_networks_are_those_of_shifted_fields():
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 4), torch.nn.Tanh(), torch.nn.Flatten())
    net.append(torch.nn.Linear(3, 1))
    X, y = data((4, 6))
    fit = GradientSolver(max_epochs=2, precision="float64")
    model = ShiftAveraged(EDNNRegressor(net, GridTiling(2, 1), solver=fit, random_state=0), "all")
    model.fit(X, y)
    step, direction = 1e-6, make_field("float64", 1, X.shape, seed=3)[0]
    ends = [model.predict(X + sign * step * direction) for sign in (1, -1)]
    result = (model.predict_gradient(X) * direction).sum(axis=(1, 2))
    np.testing.assert_allclose(result, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)
    moved = np.roll(X, (1, 3), (1, 2))
    np.testing.assert_allclose(model.predict(moved), model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("n_shifts", [1, 2, "all"])
def test_averages_are_extensive(n_shifts):
    check_extensive_estimator(
        ShiftAveraged(EDNNRegressor(Ridge(), GridTiling(2, 1)), n_shifts), focus=2
    )


def test_all_shifts_make_every_shift_a_symmetry():
    averaged = ShiftAveraged(EDNNRegressor(QUADRATIC, GridTiling(2, 1)), "all")
    check_extensive_estimator(averaged, focus=1, rtol=1e-11)
    with pytest.raises(AssertionError, match="shift"):
        check_extensive_estimator(EDNNRegressor(QUADRATIC, GridTiling(2, 1)), focus=1)


# -------------------------------------------------------------------------- which shifts there are


def test_even_shifts_are_nested_and_as_far_apart_as_they_can_be():
    seed = np.random.RandomState(0)
    result = {n: {tuple(s) for s in chosen((4, 4), n, "even", seed).tolist()} for n in range(1, 17)}
    assert all(len(result[n]) == n and result[n] <= result[min(n + 1, 16)] for n in result)
    assert result[1] == {(0, 0)} and result[2] == {(0, 0), (2, 2)}
    assert result[4] == {(0, 0), (0, 2), (2, 0), (2, 2)}
    assert all((i + j) % 2 == 0 for i, j in result[8])  # a chess board
    assert result[16] == {(i, j) for i in range(4) for j in range(4)}
    # In units of the focus along each axis.
    assert chosen((8, 2), 2, "even", seed).tolist() == [[0, 0], [4, 1]]


def test_shifts_by_number_along_each_axis():
    seed = np.random.RandomState(0)
    assert chosen((4, 3), (2, 1), "even", seed).tolist() == [[0, 0], [2, 0]]
    assert chosen((5,), [3], "even", seed).tolist() == [[0], [1], [3]]
    drawn = chosen((6, 6), (3, 2), "random", seed)
    assert drawn.shape == (6, 2) and len(np.unique(drawn, axis=0)) == 6
    model, X, axes, _ = fitted("2-D", (2, 1))
    moved = model.predict(begun(X, (1, 0), axes))  # all shifts along the first axis
    np.testing.assert_allclose(moved, model.predict(X), rtol=1e-12)


def test_random_shifts_are_distinct_and_determined_by_the_seed():
    again = [fitted("2-D", 4, selection="random", random_state=3)[0].shifts_ for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert len(np.unique(again[0], axis=0)) == 4
    drawn = {fitted("2-D", 1, selection="random", random_state=k)[0].shifts_.tobytes()
             for k in range(12)}  # fmt: skip
    assert len(drawn) > 2


def test_sharing_preserves_sums_and_moves_whole_foci():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    moved = shared(maps, (5, 4), (3, 4), lead=1)
    np.testing.assert_allclose(moved.sum(axis=(1, 2)), maps.sum(axis=(1, 2)))
    np.testing.assert_array_equal(shared(maps, (3, 8), (3, 4), 1), np.roll(maps, (1, 2), (1, 2)))


# --------------------------------------------------------------------------------- as an estimator


def test_of_does_not_refit():
    X, y = data((4, 6))
    single = EDNNRegressor(KERNEL, GridTiling(2, 1)).fit(X, y)
    with left_as_it_was(single):
        model = ShiftAveraged.of(single, "all")
        total = model.predict(X)
    assert model.estimator_.tile_model_ is single.tile_model_ and model.estimator is single
    fresh = ShiftAveraged(EDNNRegressor(KERNEL, GridTiling(2, 1)), "all").fit(X, y)
    np.testing.assert_array_equal(total, fresh.predict(X))
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), total)
    frozen = ShiftAveraged(FrozenEstimator(single), "all").fit(X[:2], y[:2])
    np.testing.assert_array_equal(frozen.predict(X), total)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), total)


def test_pipelines_are_averaged_at_their_end():
    X, y = data((4, 6))
    pipe = make_pipeline(FunctionTransformer(np.tanh), EDNNRegressor(KERNEL, GridTiling(2, 1)))
    pipe.fit(X, y)
    averaged = ShiftAveraged.of(pipe, "all")
    assert isinstance(averaged[-1], ShiftAveraged) and isinstance(pipe[-1], EDNNRegressor)
    np.testing.assert_allclose(averaged.predict(np.roll(X, 1, axis=2)), averaged.predict(X))
    result = GridSearchCV(pipe, {"ednnregressor__tile_model__alpha": [1e-3, 1.0]}, cv=2).fit(X, y)
    np.testing.assert_allclose(
        ShiftAveraged.of(result, "all").predict(X), ShiftAveraged.of(result.best_estimator_,
        "all").predict(X),
    )  # fmt: skip
    with pytest.raises(TypeError, match="make it the last step"):
        ShiftAveraged(pipe).fit(X, y)


def test_search_and_committee():
    X, y = data((4, 6))
    inner = ShiftAveraged(EDNNRegressor(KERNEL, GridTiling(2, 1)), "all")
    search = GridSearchCV(inner, {"estimator__tiling__focus": [1, 2], "n_shifts": [1, 4]}, cv=2)
    search.fit(X, y)
    assert len(search.best_estimator_.shifts_) <= 4
    committee = EDNNCommittee(inner, 2, random_state=0).fit(X, y)
    for moved in (X, np.roll(X, 1, axis=1)):
        mean, std = committee.predict(moved, return_std=True)
        members = [member.predict(X) for member in committee.estimators_]
        np.testing.assert_allclose(mean, np.mean(members, axis=0))
        np.testing.assert_allclose(std, np.std(members, axis=0, ddof=1))


def test_several_outputs():
    X, y = data((4, 6))
    model = ShiftAveraged(EDNNRegressor(KERNEL, GridTiling(2, 1)), "all")
    model.fit(X, np.stack([y, 2 * y], axis=1))
    assert model.n_outputs_ == 2 and model.predict(X).shape == (16, 2)
    maps = model.predict_contributions(X)
    assert maps.shape == (16, 2, 3, 2)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), model.predict(X), rtol=1e-10)


def test_fields_of_other_sizes():
    model, X, axes, _ = fitted("2-D")
    larger = [*X[:2], *make_field("float64", 2, (6, 9))]
    total = model.predict(larger)
    np.testing.assert_allclose(total[:2], model.predict(X[:2]))
    moved = model.predict([begun(x, (1, 2), axes, lead=0) for x in larger])
    np.testing.assert_allclose(moved, total, rtol=1e-12)


def test_tables_keep_their_column_names():
    X, y = data((12,))
    table = pandas.DataFrame(X, columns=[f"site {k}" for k in range(12)])
    model = ShiftAveraged(EDNNRegressor(KERNEL, GridTiling(4, 1)), "all").fit(table, y)
    assert list(model.feature_names_in_) == list(table.columns)
    alone = ShiftAveraged(EDNNRegressor(KERNEL, GridTiling(4, 1)), "all").fit(X, y)
    np.testing.assert_allclose(model.predict(table), alone.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table.rename(columns={"site 0": "other"}))


def test_weights_groups_and_gradients_are_passed_on():
    X, y = data((4, 6))
    weight = np.linspace(0.1, 3, len(y))
    single = EDNNRegressor(QUADRATIC, GridTiling(2, 1))
    single.set_params(tile_model=Ridge(1e-2))
    model = ShiftAveraged(single, 1).fit(X, y, sample_weight=weight)
    expected = clone(single).fit(X, y, sample_weight=weight).predict(X)
    np.testing.assert_array_equal(model.predict(X), expected)


# ---------------------------------------------------------------------------------- read in pieces


@pytest.mark.parametrize("name", ["1-D", "channels first"])
def test_dask_arrays_are_averaged_lazily(name):
    da = pytest.importorskip("dask.array")
    model, X, _, _ = fitted(name, 3, selection="random", random_state=0)
    lazy = da.from_array(X, chunks=(5, *(3 for _ in X.shape[1:])))
    total = model.predict(lazy)
    assert isinstance(total, da.Array)
    alone = {"scheduler": "synchronous"}
    np.testing.assert_allclose(total.compute(**alone), model.predict(X), rtol=1e-12)
    maps = model.predict_contributions(lazy)
    assert isinstance(maps, da.Array)
    expected = model.predict_contributions(X)
    np.testing.assert_allclose(maps.compute(**alone), expected, rtol=1e-10)
    of_list = model.predict([lazy[0], lazy[3]]).compute(**alone)
    np.testing.assert_allclose(of_list, model.predict(X[[0, 3]]), rtol=1e-12)


class Read:
    """A source that contains an array."""

    spacing = None

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def read(self, slices):
        assert all(0 <= part.start < part.stop <= n
                   for part, n in zip(slices, self.shape, strict=True))  # fmt: skip
        return self.values[tuple(slices)]


@pytest.mark.parametrize("name", ["2-D", "channels first"])
def test_sources_are_rolled_lazily(name):
    pytest.importorskip("dask")
    model, X, _, _ = fitted(name)
    total = model.predict(Read(X)).compute(scheduler="synchronous")
    np.testing.assert_allclose(total, model.predict(X), rtol=1e-12)
    total = model.predict([Read(x) for x in X]).compute(scheduler="synchronous")
    np.testing.assert_allclose(total, model.predict(X), rtol=1e-12)


def test_stored_arrays_are_read_chunk_by_chunk(tmp_path):
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("dask")
    model, X, _, _ = fitted("2-D")
    stored = zarr.create_array(tmp_path / "X.zarr", shape=X.shape, chunks=(4, 2, 4), dtype=X.dtype)
    stored[:] = X
    np.testing.assert_allclose(
        model.predict(stored).compute(scheduler="synchronous"), model.predict(X), rtol=1e-12
    )


def test_boxes_of_a_rolled_source_are_those_of_the_rolled_array():
    from sk_ednn.fields._rolling import RolledSource
    from sk_ednn.fields._sources import source_identity

    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, 7))
    for first in ((0, 0, 0), (0, 2, 0), (0, 4, 6), (0, -1, 3)):
        source, rolled = (
            RolledSource(Read(values), first),
            np.roll(values, np.negative(first), (0, 1, 2)),
        )
        assert source.ndim == 3 and source.shape == values.shape
        for _ in range(20):
            ends = [np.sort(rng.choice(n + 1, 2, replace=False)) for n in values.shape]
            box = tuple(slice(int(a), int(b)) for a, b in ends)
            np.testing.assert_array_equal(source.read(box), rolled[box])
    names = {source_identity(RolledSource(Read(values), (0, k, 0))) for k in range(5)}
    assert len(names) == 5


# --------------------------------------------------------------------------------- what is refused


class NeverFitted(EDNNRegressor):
    def fit(self, X, y):
        raise AssertionError("fitted before it was checked")


@pytest.mark.parametrize("boundary", ["zero", "reflect", "nearest"])
def test_fields_that_are_not_periodic_are_rejected_before_the_fit(boundary):
    X, y = data((4, 6))
    model = ShiftAveraged(NeverFitted(Ridge(), GridTiling(2, 1, boundary=boundary)))
    with pytest.raises(TilingError, match=rf"^tiling: .*boundary='periodic', got '{boundary}'"):
        model.fit(X, y)
    terms = EDNNRegressor([("near", Ridge(), GridTiling(2, 0, boundary=boundary))])
    with pytest.raises(TilingError, match=r"near__tiling: .*changes the field"):
        ShiftAveraged(terms).fit(X, y)
    single = EDNNRegressor(Ridge(), GridTiling(2, 1, boundary=boundary)).fit(X, y)
    with pytest.raises(TilingError, match="changes the field"):
        ShiftAveraged.of(single)


def test_invalid_shifts_and_fields_are_rejected():
    X, y = data((4, 6))
    single = EDNNRegressor(Ridge(), GridTiling(2, 1))
    for n_shifts in ((2,), (3, 1), (0, 1), (1.5, 1)):
        with pytest.raises(ValueError, match=r"each of 2 grid.*the focus, \(2, 2\)"):
            ShiftAveraged(single, n_shifts).fit(X, y)
    with pytest.raises(ValueError, match="n_shifts"):
        ShiftAveraged(single, 0).fit(X, y)
    with pytest.raises(NotFittedError):
        ShiftAveraged.of(single)
    with pytest.raises(NotFittedError):
        ShiftAveraged(single).predict(X)
    model = ShiftAveraged(single, 2, selection="random", random_state=0).fit(X, y)
    with pytest.raises(TilingError, match=r"fields of shape \(6,\)"):
        model.predict(X[0])
    with pytest.raises(TilingError, match="axis 1 has length 5"):
        model.predict(X[:, :, :5])
    channels = [("a", Ridge(), GridTiling(1, 0, channel_axis=0)),
                ("b", Ridge(), GridTiling(1, 0, channel_axis=1))]  # fmt: skip
    with pytest.raises(TilingError, match=r"channel_axis \[0, 1\]"):
        ShiftAveraged(EDNNRegressor(channels)).fit(X, y)
    with left_as_it_was(model), pytest.raises(ValueError):
        model.fit(X, y[:-1])


def test_a_committee_has_neither_contributions_nor_gradients():
    model, _, _, _ = fitted("committee")
    assert not hasattr(model, "predict_contributions") and not hasattr(model, "predict_gradient")
    assert hasattr(ShiftAveraged(), "predict_contributions")
    with pytest.raises(TileModelError, match=r"gradient|derivative"):
        trees = EDNNRegressor(KernelRidge(kernel="laplacian"), GridTiling(2, 1))
        X, y = data((4, 6))
        ShiftAveraged(trees).fit(X, y).predict_gradient(X)
