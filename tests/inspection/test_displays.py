"""The figures show the numbers they were given, with labels and units."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.exceptions import MissingExtraError, TileModelError, TilingError
from tests._cases import make_field, make_ising

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

from sk_ednn.inspection import (  # noqa: E402
    ContextSensitivityDisplay,
    ContributionDisplay,
    ErrorDisplay,
    InteractionDisplay,
    LocalityDisplay,
    NoveltyDisplay,
    ParityDisplay,
    ScalingDisplay,
    TilingDisplay,
    TilingPathDisplay,
    TrainingDisplay,
)

PAIRS = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))


@pytest.fixture(autouse=True)
def closed():
    """Leave no figure open, and draw each whole: labels that do not fit are errors only then."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
        plt.close(number)


@pytest.fixture(scope="module")
def ising():
    X, y = make_ising(60, (6, 6))
    return EDNNRegressor(PAIRS, GridTiling(2, 1)).fit(X, y), X, y


def test_parity_shows_totals_by_group(ising):
    model, X, y = ising
    groups = np.where(y > np.median(y), "high", "low")
    display = ParityDisplay.from_estimator(
        model, X, y, sizes=np.full(60, 36), groups=groups, name="energy", unit="J", per="spin"
    )
    assert display.ax_.get_xlabel() == "true energy per spin / J"
    assert display.ax_.get_ylabel() == "predicted energy per spin / J"
    first = groups == groups[0]
    x, predicted = display.lines_[0].get_data()
    np.testing.assert_allclose(x, y[first] / 36)
    np.testing.assert_allclose(predicted, model.predict(X)[first] / 36)
    error = np.abs(predicted - x).mean()
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels[0] == f"{groups[0]}: MAE {error:.2g} J" and len(labels) == 2
    assert display.ax_.get_xlim() == display.ax_.get_ylim()


def test_axes_can_be_passed(ising):
    model, X, y = ising
    figure, axes = plt.subplots()
    for display in (
        ParityDisplay.from_estimator(model, X, y, ax=axes),
        ErrorDisplay.from_estimator(model, X, y, ax=axes),
    ):
        assert display.ax_ is axes and display.figure_ is figure


def test_errors_as_a_histogram():
    rng = np.random.default_rng(0)
    true, errors = np.zeros(210), rng.normal(size=210)
    errors[0] = 100.0
    groups = ["many"] * 200 + ["few"] * 10
    display = ErrorDisplay.from_predictions(true, errors, groups=groups, limit=3, unit="eV")
    bars = [patch.get_height() for patch in display.ax_.patches if hasattr(patch, "get_height")]
    assert sum(bars) == pytest.approx(1)  # what is beyond the limit is not left out
    assert bars[-1] >= 0.999 / 200
    strokes = [c for c in display.ax_.collections if len(getattr(c, "get_segments", list)()) == 10]
    assert len(strokes) == 1
    x = np.sort([segment[0][0] for segment in strokes[0].get_segments()])
    np.testing.assert_allclose(x, np.sort(np.clip(errors[200:], -3, 3)))
    assert display.ax_.get_xlabel() == "error of total / eV"


def test_errors_against_size():
    N = np.repeat([16.0, 64.0, 256.0], 6)
    display = ErrorDisplay.from_predictions(
        np.zeros(18), 0.01 * N, sizes=N, kind="size", unit="J", per="spin"
    )
    transfer = display.size_transfer_["all"]
    assert transfer.bias == pytest.approx(0.01) and transfer.noise == pytest.approx(0)
    points = display.ax_.lines[0].get_data()
    np.testing.assert_allclose(points[1], [0.16, 0.64, 2.56])
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    exact = ErrorDisplay.from_predictions(N, N, sizes=N, kind="size")  # no error to draw
    assert exact.ax_.get_yscale() == "linear"
    with pytest.raises(ValueError, match="pass `sizes`"):
        ErrorDisplay.from_predictions([0.0, 1.0], [0.0, 1.0], kind="size")
    with pytest.raises(ValueError, match="kind must be"):
        ErrorDisplay.from_predictions([0.0], [0.0], kind="pie")


@pytest.mark.parametrize("display", [ParityDisplay, ErrorDisplay])
def test_invalid_totals_sizes_and_groups_are_rejected(display):
    with pytest.raises(ValueError, match=r"of shape \(n_samples,\)"):
        display.from_predictions(np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="sizes must be positive"):
        display.from_predictions([1.0, 2.0], [1.0, 2.0], sizes=[1.0, -1.0])
    with pytest.raises(ValueError, match="one label for each"):
        display.from_predictions([1.0, 2.0], [1.0, 2.0], groups=["a"])


def test_profiles_show_their_numbers(ising):
    model, X, y = ising
    locality = LocalityDisplay.from_estimator(model, X, unit="J", random_state=0)
    curve = next(line for line in locality.ax_.lines if len(line.get_xdata()) == 2)
    np.testing.assert_allclose(curve.get_ydata(), locality.result.influence)
    shares = [t.get_text() for t in locality.ax_.texts if "%" in t.get_text()]
    assert shares == [f"{share:.0%}" for share in locality.result.share]
    assert locality.plot(kind="map", unit="J").ax_.images[0].get_array().shape == (4, 4)

    hidden = ContextSensitivityDisplay.from_estimator(
        model, X, y, kinds=("noise", "occlude"), n_repeats=1, name="energy", unit="J"
    )
    drawn = [line for line in hidden.ax_.lines if len(line.get_xdata()) == len(hidden.result.areas)]
    np.testing.assert_allclose(drawn[0].get_ydata(), hidden.result.errors[0, 0, :, 0])
    texts = [t.get_text() for t in hidden.ax_.get_legend().get_texts()]
    assert "focus, occluded" in texts and "nothing hidden" in texts

    display = InteractionDisplay.from_estimator(model, X, n_pairs=4, unit="J", random_state=0)
    assert len(display.ax_.get_legend().get_texts()) == 2


def test_a_map_needs_a_window_of_two_dimensions():
    X = make_field("float64", 20, (8,))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, X.sum(axis=1))
    display = LocalityDisplay.from_estimator(model, X)
    with pytest.raises(ValueError, match="kind='profile'"):
        display.plot(kind="map")


def test_tiles_are_drawn_at_their_sites():
    X = make_field("float64", 1, (8, 12))
    display = TilingDisplay.from_tiling(GridTiling((2, 4), (1, 3)), X, tile=(0, 2))
    assert display.focus == ((0, 2), (8, 12)) and display.context == (1, 3)
    # The window reaches over two edges: it comes in again at the other sides.
    corners = {patch.get_xy() for patch in display.ax_.patches if not patch.get_fill()}
    assert {(5, -1), (5, 7), (-7, -1), (8, 0)} <= corners
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["focus", "context"]
    closed_field = GridTiling((2, 4), (1, 3), boundary="zero")
    single = TilingDisplay.from_tiling(closed_field, X, tile=(0, 2))
    assert {p.get_xy() for p in single.ax_.patches if not p.get_fill()} == {(5, -1), (8, 0)}
    with pytest.raises(ValueError, match="an index in the tile grid"):
        TilingDisplay.from_tiling(GridTiling(4, 1), X, tile=(5, 5))
    with pytest.raises(ValueError, match="fields of two dimensions"):
        TilingDisplay.from_tiling(GridTiling(4, 1), X[:, 0])


def test_contributions_are_predicted(ising):
    model, X, _ = ising
    display = ContributionDisplay.from_estimator(model, X, sample=3, unit="J")
    expected = model.predict_contributions(X)[3]
    np.testing.assert_allclose(display.contributions, expected)
    np.testing.assert_array_equal(display.field, X[3])
    np.testing.assert_allclose(display.ax_[1].images[0].get_array(), expected)
    title = display.ax_[1].get_title().replace("\N{MINUS SIGN}", "-")
    assert title == f"sum {expected.sum():,.6g} J"
    assert "only the sum is determined" in display.ax_[1].get_xlabel()
    assert not isinstance(
        ContributionDisplay.from_estimator(model, X, with_field=False).ax_, np.ndarray
    )


def test_contributions_of_channels_terms_and_chains():
    X = make_field("float64", 20, (4, 6, 2))
    terms = [
        ("a", Ridge(), GridTiling(2, 1, channel_axis=-1)),
        ("b", Ridge(), GridTiling(1, 0, channel_axis=-1)),
    ]
    model = EDNNRegressor(terms).fit(X, X.sum(axis=(1, 2, 3)))
    with pytest.raises(ValueError, match="name one of them with `term`"):
        ContributionDisplay.from_estimator(model, X)
    display = ContributionDisplay.from_estimator(model, X, term="a", channel=1)
    assert display.contributions.shape == (2, 3)
    np.testing.assert_array_equal(display.field, X[0, ..., 1])
    chain = make_field("float64", 10, (8,))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(chain, chain.sum(axis=1))
    display = ContributionDisplay.from_estimator(model, chain)
    assert [bar.get_height() for bar in display.ax_[1].patches] == display.contributions.tolist()
    with pytest.raises(ValueError, match="one or two dimensions"):
        ContributionDisplay.from_contributions(np.zeros((2, 2, 2)))


@pytest.mark.parametrize("index", [3, -4, 0.0, "0", (), True])
@pytest.mark.parametrize("name", ["sample", "output", "channel"])
def test_error_names_an_index_that_does_not_exist(name, index):
    X = make_field("float64", 3, (4, 4, 3))
    tiling = GridTiling(1, 0, channel_axis=-1)
    model = EDNNRegressor(Ridge(), tiling).fit(X, X.sum(axis=(1, 2)))
    with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 2, got"):
        ContributionDisplay.from_estimator(model, X, **{name: index})
    if name != "output":
        with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 2"):
            TilingDisplay.from_tiling(tiling, X, **{name: index})


def test_figures_of_impossible_parts_are_rejected(ising):
    model, X, _ = ising
    for tile in (3, (-1, 0), (0, 3), (1.0, 0.5), (0, 0, 0), "00"):
        with pytest.raises(ValueError, match=r"tile must be an index in the tile grid \(3, 3\)"):
            TilingDisplay.from_tiling(GridTiling(2, 1), X, tile=tile)
    with pytest.raises(ValueError, match="have no channel axis"):
        ContributionDisplay.from_estimator(model, X, channel=0)
    with pytest.raises(TilingError, match=r"needs an instance, such as GridTiling\(\)"):
        TilingDisplay.from_tiling(GridTiling, X)
    draw = ContributionDisplay.from_contributions
    for empty in (np.full((2, 2), np.nan), np.zeros((0, 3)), [np.inf]):
        with pytest.raises(ValueError, match="empty or not all finite"):
            draw(empty)
    for values, field in ((np.zeros(3), np.zeros((3, 3))), (np.zeros((3, 3)), np.zeros(9))):
        with pytest.raises(ValueError, match=r"Expected a field of \d dimension"):
            draw(values, field)


def test_scaling_of_totals_and_times(ising):
    model, X, _ = ising
    larger = [np.tile(X[0], (k, k)) for k in (1, 2, 3, 4)]
    totals = ScalingDisplay.from_estimator(model, larger, kind="total", name="energy", unit="J")
    assert totals.exponents_["all"] == pytest.approx(1, abs=1e-9)  # copies are extensive
    np.testing.assert_array_equal(totals.sizes, [36, 144, 324, 576])
    times = ScalingDisplay.from_estimator(model, larger, n_repeats=1)
    assert (times.values > 0).all() and times.ax_.get_ylabel() == "time / s"
    evaluation = model.evaluation_
    speedup = ScalingDisplay.from_estimator(model, larger, kind="speedup", n_jobs=[1, 2])
    assert model.evaluation_ is evaluation and evaluation.n_jobs is None
    assert speedup.ax_.get_xlabel() == "workers"
    with pytest.raises(ValueError, match="needs n_jobs"):
        ScalingDisplay.from_estimator(model, larger, kind="speedup")


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_fitted(power):
    sizes = np.array([10.0, 100.0, 1000.0])
    both = np.concatenate([sizes, sizes])
    display = ScalingDisplay.from_measurements(
        both, np.concatenate([sizes**power, 3 * sizes]), kind="time", groups=["a"] * 3 + ["b"] * 3
    )
    assert display.exponents_ == pytest.approx({"a": power, "b": 1.0})
    speedup = ScalingDisplay.from_measurements([1, 2, 4], [8.0, 4.0, 4.0], kind="speedup")
    np.testing.assert_allclose(speedup.ax_.lines[0].get_ydata(), [1, 2, 2])
    with pytest.raises(ValueError, match="must be positive"):
        ScalingDisplay.from_measurements([1, 2], [0.0, 1.0], kind="time")
    with pytest.raises(ValueError, match="kind must be one of"):
        ScalingDisplay.from_measurements([1, 2], [0.0, 1.0], kind="colour")


def test_the_path_of_tilings_is_drawn():
    X, y = make_ising(60, (6, 6))
    display = TilingPathDisplay.from_data(
        X, y, estimator=EDNNRegressor(PAIRS, GridTiling(1, 1)), focuses=[1, 2], max_context=1, cv=3,
        name="mean absolute error", unit="J",
    )  # fmt: skip
    result = display.result
    for label, line in zip((1, 2), display.lines_, strict=True):
        of_focus = np.array(result.focuses) == label
        np.testing.assert_array_equal(line.get_xdata(), np.array(result.contexts)[of_focus])
        np.testing.assert_allclose(line.get_ydata(), -result.mean_scores[of_focus])
    assert display.ax_.get_ylabel() == "mean absolute error / J"
    assert (result.focus, result.context) == (1, 1)


def test_novelty_display():
    X = make_field("float64", 30, (6, 6))
    y = (X**2).sum(axis=(1, 2))
    committee = EDNNCommittee(EDNNRegressor(PAIRS), 3, random_state=0).fit(X, y)
    far = np.concatenate([X[:10], 5 * X[10:20]])
    true = (far**2).sum(axis=(1, 2)) + np.r_[np.zeros(10), np.full(10, 9.0)]
    for indicator in ("share", "distance", "spread"):
        display = NoveltyDisplay.from_estimator(
            committee, X, far, true, indicator=indicator, n_bins=2, unit="eV", sizes=np.full(20, 36)
        )
        assert display.ranking_.spearman > 0.3
        assert display.ax_.get_ylabel() == "absolute error per site / eV"
    single = EDNNRegressor(PAIRS).fit(X, y)
    with pytest.raises(ValueError, match="indicator='spread' needs an EDNNCommittee"):
        NoveltyDisplay.from_estimator(single, X, far, true, indicator="spread")


def test_without_matplotlib_displays_contain_the_numbers():
    code = """if True:
        import sys
        sys.modules["matplotlib"] = sys.modules["matplotlib.pyplot"] = None
        from sk_ednn.exceptions import MissingExtraError, TileModelError, TilingError
        from sk_ednn.inspection import ParityDisplay, size_transfer
        print(size_transfer([0., 0.], [1., 2.], [1., 2.]).bias)
        try:
            ParityDisplay.from_predictions([1., 2.], [1., 2.])
        except MissingExtraError as error:
            print(error)"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "1.0"
    assert "sk-ednn[plot]" in done.stdout
    assert issubclass(MissingExtraError, ImportError)


def test_the_history_of_training_is_drawn():
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    X = np.random.default_rng(0).normal(size=(30, 8))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1))
    fit = GradientSolver(max_epochs=6, early_stopping=3)
    model = EDNNRegressor(net, GridTiling(1, 1), solver=fit, random_state=0)
    display = TrainingDisplay.from_estimator(model.fit(X, (X**2).sum(axis=1)))
    history = model.tile_model_.estimator.history
    train, valid, best = display.ax_.lines
    np.testing.assert_array_equal(train.get_ydata(), history[:, "train_loss"])
    np.testing.assert_array_equal(valid.get_ydata(), history[:, "valid_loss"])
    assert best.get_xdata()[0] == np.argmin(history[:, "valid_loss"]) + 1
    with pytest.raises(TileModelError, match="Ridge has none"):
        TrainingDisplay.from_estimator(
            EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, X.sum(axis=1))
        )
