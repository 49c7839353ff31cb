"""BagTiling with every solver and evaluation, and the tools around them."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.evaluation import AutoEvaluation, Direct, LocalUpdates, Unique
from sk_ednn.exceptions import NoveltyWarning, TileModelError, TilingError
from sk_ednn.solvers import BoostingSolver, KernelSolver, LinearSolver
from sk_ednn.testing import check_tiling
from sk_ednn.tiling import BagTiling
from sk_ednn.uncertainty import novelty

N_FEATURES = 3
MODELS = {
    "linear": make_pipeline(PolynomialFeatures(2), Ridge(1e-3)),
    "scaled": make_pipeline(StandardScaler(), PolynomialFeatures(2), LinearRegression()),
    "lasso": Lasso(1e-4),
    "kernel": KernelRidge(kernel="rbf", gamma=0.3, alpha=1e-4),
    "process": GaussianProcessRegressor(RBF(2.0) + WhiteKernel(1e-3), optimizer=None),
    "tree": DecisionTreeRegressor(max_depth=4, random_state=0),
    "forest": RandomForestRegressor(5, max_depth=4, random_state=0),
    "perceptron": MLPRegressor(hidden_layer_sizes=(16,), max_iter=300, random_state=0),
}


def make_bags(n_samples=60, seed=0, most=9, n_features=N_FEATURES, least=0):
    """Return bags of rows, some of them empty."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, n_features)) for n in rng.integers(least, most, size=n_samples)]


def of_row(rows):
    """Return the contribution of each instance."""
    return 2.0 + rows[:, 0] ** 2 - 0.7 * rows[:, 1] * rows[:, 2]


def totals(bags, function=of_row):
    return np.array([function(bag).sum() for bag in bags])


def regressor(name, **params):
    solver = BoostingSolver(n_stages=15) if name in ("tree", "forest") else None
    return EDNNRegressor(clone(MODELS[name]), BagTiling(), solver=solver, random_state=0, **params)


@pytest.fixture(scope="module")
def fitted():
    bags = make_bags()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: regressor(name).fit(bags, totals(bags)) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_solvers_learn_instances_from_totals(name, fitted):
    """With shuffled totals as a control, from which nothing can be learned."""
    train, test = make_bags(), make_bags(80, seed=1, least=1)
    y = totals(test)
    error = np.mean((fitted[name].predict(test) - y) ** 2) / np.var(y)
    assert error < 0.35
    wrong = totals(train)[np.random.default_rng(0).permutation(len(train))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = regressor(name).fit(train, wrong)
    assert np.mean((other.predict(test) - y) ** 2) / np.var(y) > 2 * error


@pytest.mark.parametrize("name", MODELS)
def test_totals_are_sums_of_contributions_and_extensive(name, fitted):
    model, bags = fitted[name], make_bags(20, seed=2)
    y = model.predict(bags)
    contributions = model.predict_contributions(bags)
    assert [len(values) for values in contributions] == [len(bag) for bag in bags]
    np.testing.assert_allclose(
        [values.sum() for values in contributions], y, rtol=1e-10, atol=1e-10
    )
    doubled = model.predict([np.concatenate([bag, bag]) for bag in bags])
    np.testing.assert_allclose(doubled, 2 * y, rtol=1e-12, atol=1e-12)
    turned = model.predict([bag[::-1] for bag in bags])
    np.testing.assert_allclose(turned, y, rtol=1e-10, atol=1e-10)
    assert y[[len(bag) == 0 for bag in bags]].tolist() == [0.0] * sum(len(b) == 0 for b in bags)


@pytest.mark.parametrize("max_tiles", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("kind", ["direct", "unique", "auto", "dask"])
def test_evaluations_agree_for_all_block_sizes(kind, max_tiles, fitted):
    bags = make_bags(30, seed=3, most=12)
    model = pickle.loads(pickle.dumps(fitted["linear"]))
    expected, maps = model.predict(bags), model.predict_contributions(bags)
    if kind == "dask":
        pytest.importorskip("dask")
        from sk_ednn.evaluation import DaskBlocks

        model.evaluation_ = DaskBlocks(Direct(max_tiles=max_tiles), blocks_per_task=2)
    else:
        evaluation = {"direct": Direct, "unique": Unique, "auto": AutoEvaluation}[kind]
        model.evaluation_ = evaluation(max_tiles=max_tiles, n_jobs=2)
    np.testing.assert_allclose(model.predict(bags), expected, rtol=1e-12, atol=1e-12)
    for values, other in zip(model.predict_contributions(bags), maps, strict=True):
        np.testing.assert_allclose(values, other, rtol=1e-12, atol=1e-12)


def test_journal_resumes_blocks_of_bags(tmp_path, fitted):
    pytest.importorskip("dask")
    from sk_ednn.evaluation import DaskBlocks

    bags = make_bags(30, seed=3)
    model = pickle.loads(pickle.dumps(fitted["linear"]))
    evaluation = DaskBlocks(Direct(max_tiles=5), blocks_per_task=3, journal=tmp_path / "journal")
    model.evaluation_ = evaluation
    first = model.predict(bags)
    model.tile_model_.estimator[-1].coef_ *= 1.0  # the same content
    assert list((tmp_path / "journal").iterdir())
    n_lines = sum(len(p.read_bytes().splitlines()) for p in (tmp_path / "journal").iterdir())
    np.testing.assert_array_equal(model.predict(bags), first)
    assert n_lines == sum(
        len(p.read_bytes().splitlines()) for p in (tmp_path / "journal").iterdir()
    )


@pytest.mark.parametrize("name", ["linear", "scaled", "kernel", "process", "perceptron"])
@pytest.mark.parametrize("baseline", ["size", "content", None])
def test_gradients_of_totals(name, baseline):
    bags = make_bags(40, least=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = regressor(name, baseline=baseline).fit(bags, totals(bags))
    some = bags[:3]
    gradients = model.predict_gradient(some)
    for number, (bag, gradient) in enumerate(zip(some, gradients, strict=True)):
        assert gradient.shape == bag.shape
        for place in np.ndindex(*bag.shape):
            ends = []
            for sign in (1, -1):
                moved = [b.copy() for b in some]
                moved[number][place] += sign * 1e-5
                ends.append(model.predict(moved)[number])
            np.testing.assert_allclose(
                gradient[place], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-6
            )


def test_linear_model_equals_fit_on_summed_features():
    bags, rng = make_bags(50), np.random.default_rng(0)
    weights = rng.uniform(0.5, 2, size=50)
    y = totals(bags) + rng.normal(size=50)
    model = EDNNRegressor(Ridge(0.3), BagTiling(), baseline=None)
    model.fit(bags, y, sample_weight=weights)
    sums = np.array([bag.sum(axis=0) for bag in bags])
    counts = np.array([len(bag) for bag in bags])
    design = np.hstack([sums, counts[:, None]])
    penalty = np.diag([0.3] * N_FEATURES + [0.0])  # the count is not penalised
    solution = np.linalg.solve(
        design.T @ (weights[:, None] * design) + penalty, design.T @ (weights * y)
    )
    ridge = model.tile_model_.estimator
    np.testing.assert_allclose([*ridge.coef_, ridge.intercept_], solution, rtol=1e-8)


def test_kernel_ridge_equals_fit_with_summed_kernel():
    bags = make_bags(25)
    y = totals(bags)
    model = EDNNRegressor(
        KernelRidge(kernel="rbf", gamma=0.3, alpha=1e-2), BagTiling(), baseline=None
    ).fit(bags, y)

    def kernel(a, b):
        return np.exp(-0.3 * ((a[:, None] - b[None]) ** 2).sum(axis=2)).sum()

    between = np.array([[kernel(a, b) for b in bags] for a in bags])
    dual = np.linalg.solve(between + 1e-2 * np.eye(25), y)
    test = make_bags(6, seed=5)
    expected = np.array([[kernel(a, b) for b in bags] for a in test]) @ dual
    np.testing.assert_allclose(model.predict(test), expected, rtol=1e-7, atol=1e-8)


# --- kinds: one term for each --------------------------------------------------------------


def with_kinds(n_samples=80, seed=0, kinds=(8, 22)):
    """Return bags with a column of kinds, and totals with one function for each kind."""
    rng = np.random.default_rng(seed)
    bags, y = [], []
    for _ in range(n_samples):
        n = rng.integers(0, 7)
        kind, x = rng.choice(kinds, size=n), rng.normal(size=n)
        bags.append(np.stack([x, kind], axis=1).reshape(n, 2))
        y.append(np.where(kind == kinds[0], -10.0 + x, 35.0 - 2 * x).sum())
    return bags, np.array(y)


@pytest.mark.parametrize("baseline", ["size", "content", None])
@pytest.mark.parametrize(
    "tile_model",
    [LinearRegression(), Ridge(1e-8), Lasso(1e-9, tol=1e-12, max_iter=100_000),
     make_pipeline(PolynomialFeatures(2, include_bias=False), Ridge(1e-8))],
    ids=["least squares", "ridge", "lasso", "quadratic"],
)  # fmt: skip
def test_each_kind_has_a_count(tile_model, baseline):
    """Two kinds with different means cannot be fitted with the count of the first kind alone."""
    bags, y = with_kinds()
    terms = BagTiling.per_kind(tile_model, 1, (8, 22))
    model = EDNNRegressor(terms, baseline=baseline).fit(bags, y)
    test, expected = with_kinds(50, seed=1)
    np.testing.assert_allclose(model.predict(test), expected, atol=2e-3)
    of_each = model.predict([[[0.0, 8.0]], [[0.0, 22.0]], np.zeros((0, 2))])
    np.testing.assert_allclose(of_each, [-10.0, 35.0, 0.0], atol=2e-3)
    maps = model.predict_contributions(test)
    assert [len(values) for values in maps["kind_8"]] == [
        int((bag[:, 1] == 8).sum()) for bag in test
    ]


def test_collinear_kinds_get_the_minimum_norm_baseline():
    """For TiO2 alone, for example, counts are collinear and each kind gets a share."""
    x = np.random.default_rng(0).normal(size=(30, 3))
    bags = [np.stack([row, [22, 8, 8]], axis=1) for row in x]
    terms = BagTiling.per_kind(Ridge(1.0), 1, (22, 8))
    model = EDNNRegressor(terms).fit(bags, np.full(30, -90.0))
    shares = [tile_model.baseline.coefficients[0, 0] for tile_model, _ in model.fitted_terms()]
    np.testing.assert_allclose(shares[0] + 2 * shares[1], -90.0)
    assert all(share < -10 for share in shares)


@pytest.mark.parametrize("tile_model", ["kernel", "tree"])
def test_other_solvers_accept_kinds(tile_model):
    bags, y = with_kinds(120)
    terms = BagTiling.per_kind(clone(MODELS[tile_model]), 1, (8, 22))
    solver = BoostingSolver(n_stages=40) if tile_model == "tree" else KernelSolver()
    model = EDNNRegressor(terms, solver=solver, random_state=0).fit(bags, y)
    test, expected = with_kinds(50, seed=1)
    assert np.mean((model.predict(test) - expected) ** 2) < 0.02 * np.var(expected)


def test_error_names_a_kind_without_instances():
    bags, y = with_kinds(20)
    terms = BagTiling.per_kind(Ridge(), 1, (8, 22, 79))
    with pytest.raises(TilingError, match="No sample has a tile of the term 'kind_79'"):
        EDNNRegressor(terms).fit(bags, y)


def test_networks_of_several_kinds_are_trained_together():
    torch = pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from sk_ednn.solvers import GradientSolver

    bags, y = with_kinds(200)
    net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.SiLU(), torch.nn.Linear(16, 1))
    terms = BagTiling.per_kind(net, 1, (8, 22))
    solver = GradientSolver(max_epochs=60, lr=1e-2, batch_size=20)
    model = EDNNRegressor(terms, solver=solver, random_state=0).fit(bags, y)
    test, expected = with_kinds(50, seed=1)
    assert np.mean((model.predict(test) - expected) ** 2) < 0.01 * np.var(expected)
    single = [model.predict([bag])[0] for bag in test]
    np.testing.assert_allclose(model.predict(test), single, rtol=1e-4, atol=1e-4)


def test_network_on_instances():
    torch = pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from sk_ednn.solvers import GradientSolver

    bags = [10 + 3 * bag for bag in make_bags(200)]
    y = totals(bags, lambda rows: np.tanh((rows[:, 0] - 10) / 3) + 5)
    net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    solver = GradientSolver(max_epochs=40, lr=1e-2)
    model = EDNNRegressor(net, BagTiling(), solver=solver, random_state=0).fit(bags, y)
    np.testing.assert_allclose(model.tile_model_.standardization.mean, 10, atol=1)
    test = [10 + 3 * bag for bag in make_bags(50, seed=1)]
    expected = totals(test, lambda rows: np.tanh((rows[:, 0] - 10) / 3) + 5)
    assert np.mean((model.predict(test) - expected) ** 2) < 0.02 * np.var(expected)
    gradients = model.predict_gradient(test)
    assert [g.shape for g in gradients] == [bag.shape for bag in test]
    with pytest.raises(TileModelError, match="need fields on a grid"):
        EDNNRegressor(net, BagTiling(), solver=GradientSolver(form="dense")).fit(bags, y)


# --- other estimators and tools ------------------------------------------------------------


def test_committee_search_and_files_of_bags(tmp_path):
    from sk_ednn import files

    bags = make_bags(80)
    y = totals(bags)
    committee = EDNNCommittee(regressor("linear"), n_members=3, random_state=0).fit(bags, y)
    mean, std = committee.predict(bags, return_std=True)
    assert mean.shape == std.shape == (80,) and (std >= 0).all()
    assert cross_val_score(regressor("linear"), bags, y, cv=4).min() > 0.99
    search = GridSearchCV(
        regressor("linear"), {"tile_model__ridge__alpha": [1e-3, 1e6], "baseline": ["size"]}, cv=3
    ).fit(bags, y)
    assert search.best_params_["tile_model__ridge__alpha"] == 1e-3
    for model in (search.best_estimator_, committee):
        files.save(model, tmp_path / "bags.ednn")
        loaded = files.load(tmp_path / "bags.ednn")
        np.testing.assert_array_equal(loaded.predict(bags), model.predict(bags))


def test_novelty_and_range_warning(fitted, recwarn):
    bags = make_bags(40)
    strange = [bag.copy() for bag in make_bags(5, seed=9, least=2)]
    strange[0][0] = 30.0
    model = fitted["linear"]
    share = novelty(model, bags, [*bags, *strange]).share
    assert share[[len(bag) > 0 for bag in bags] + [False] * 5].max() == 0
    assert share[40] > 0
    with pytest.warns(NoveltyWarning, match="The bags have values .* of column"):
        model.predict(strange)


def test_errors_name_invalid_bags_and_parameters():
    bags, y = make_bags(10), np.zeros(10)
    model = EDNNRegressor(Ridge(), BagTiling())
    for X, words in (
        (np.zeros((10, 3)), r"list of bags.*got an array of shape \(10, 3\).*BagTiling.bags"),
        ([*bags[:9], np.zeros(3)], r"X\[9\] must be an array of shape"),
        ([*bags[:9], np.zeros((2, 4))], r"X\[0\] has 3 column\(s\), X\[9\] has 4"),
        ([*bags[:9], np.full((1, 3), np.nan)], r"X\[9\] contains NaN"),
        ([*bags[:9], [[1, 2], [3]]], r"X\[9\] must be an array of shape"),
        ([*bags[:9], np.array([["a", "b", "c"]])], r"X\[9\] must be real numbers"),
        ([np.zeros((0, 3))] * 10, "No sample has a tile"),
        ([], "at least one bag"),
        (bags[:9], "X has 9, y has 10"),
    ):
        with pytest.raises(ValueError, match=words):
            model.fit(X, y)
        assert not hasattr(model, "tile_model_")
    model.fit(bags, y + [len(bag) for bag in bags])
    with pytest.raises(TilingError, match="fitted to bags with 3 column"):
        model.predict([np.zeros((2, 4))])
    for tiling, words in (
        (BagTiling(column=1), "both column and kind"),
        (BagTiling(column=3, kind=1), "must be the index of one of the 3 column"),
        (BagTiling(column=True, kind=1), "must be the index"),
        (BagTiling(column=0, kind=float("nan")), "kind must be a number"),
    ):
        with pytest.raises(TilingError, match=words):
            EDNNRegressor(Ridge(), tiling).fit(bags, y)
    with pytest.raises(TilingError, match="sites of a field on a grid"):
        LocalUpdates(model, bags[0])
    with pytest.raises(TileModelError, match="dense form"):
        from sk_ednn.evaluation import Network

        EDNNRegressor(Ridge(), BagTiling(), evaluation=Network()).fit(bags, y).predict(bags)


def test_grids_and_bags_in_one_model_are_rejected():
    X, y = np.random.default_rng(0).normal(size=(10, 4, 3)), np.zeros(10)
    terms = [("grid", Ridge(), GridTiling()), ("bags", Ridge(), BagTiling())]
    with pytest.raises((TilingError, ValueError)):
        EDNNRegressor(terms).fit(X, y)


def test_bag_tiling_passes_check_tiling():
    check_tiling(BagTiling(), make_bags(7, seed=4))
    check_tiling(BagTiling(column=-1, kind=22), with_kinds(9)[0])


@pytest.mark.parametrize("how", ["list", "bags"])
def test_columns_of_tables_are_compared_by_name(how, tmp_path):
    """As scikit-learn does for tables, and not by position."""
    from sk_ednn.files import load, save

    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    table = pandas.DataFrame(rng.normal(size=(len(groups), 3)), columns=list("abc"))
    y = table["a"].groupby(groups).sum().to_numpy()

    def bags(table):
        if how == "bags":
            return BagTiling.bags(table, groups)[0]
        return [rows for _, rows in table.groupby(groups)]

    model = EDNNRegressor(Ridge(1e-9), BagTiling()).fit(bags(table), y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(model.predict(bags(table)), y, atol=1e-6)
    arrays = [each.to_numpy() for each in bags(table)]
    np.testing.assert_allclose(model.predict(arrays), y, atol=1e-6)
    save(model, tmp_path / "model.ednn")
    committee = EDNNCommittee(model, n_members=2, random_state=0).fit(bags(table), y)
    other, renamed = bags(table[["c", "b", "a"]]), bags(table.rename(columns={"b": "d"}))
    for fitted in (model, load(tmp_path / "model.ednn"), committee):
        for X, words in ((other, "these have c, b, a"), (renamed, "these have a, d, c")):
            for ask in (fitted.predict, lambda X, fitted=fitted: fitted.score(X, y)):
                with pytest.raises(TilingError, match=f"columns a, b, c, in this order, .*{words}"):
                    ask(X)
    with pytest.raises(TilingError, match=r"are a, b, c in X\[0\], but c, b, a in X\[1\]"):
        model.fit([bags(table)[0], *other[1:]], y)
    assert not hasattr(model.fit(arrays, y), "feature_names_in_")


def test_bags_splits_a_table():
    X = np.arange(12.0).reshape(6, 2)
    bags, names = BagTiling.bags(X, ["b", "a", "b", "c", "a", "b"])
    assert names.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(bags[0], X[[1, 4]])
    np.testing.assert_array_equal(bags[1], X[[0, 2, 5]])
    with pytest.raises(TilingError, match="the group of each instance"):
        BagTiling.bags(X, [1, 2])


@pytest.mark.parametrize("baseline", ["size", "content", None])
def test_linear_models_learn_gradients_of_bags(baseline):
    """Three totals of a quadratic function say little, and their gradients determine it."""
    bags = make_bags(3, least=4)
    y = totals(bags)
    gradients = [
        np.stack([2 * bag[:, 0], -0.7 * bag[:, 2], -0.7 * bag[:, 1]], axis=1) for bag in bags
    ]
    tile_model = make_pipeline(PolynomialFeatures(2, include_bias=False), Ridge(1e-8))
    test = make_bags(30, seed=3)
    errors = []
    for gradient in (None, gradients):
        solver = LinearSolver(n_directions=100)
        model = EDNNRegressor(tile_model, BagTiling(), baseline=baseline, solver=solver)
        model.fit(bags, y, gradient=gradient)
        errors.append(np.abs(model.predict(test) - totals(test)).max())
    assert errors[1] < 0.02 * errors[0]
    wrong = [np.zeros((2, 3))] * 3
    with pytest.raises(ValueError, match=r"gradient\[0\] must be an array of shape"):
        model.fit(bags, y, gradient=wrong)
