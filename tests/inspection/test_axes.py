"""Whatever may be given as `ax` is drawn in, or answered in words before anything is measured."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.inspection import suggest_tiling

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from sk_ednn import inspection  # noqa: E402

DRAW = {
    "TilingDisplay": lambda kind, m, X, y, **o: kind.from_estimator(m, X, **o),
    "ParityDisplay": lambda kind, m, X, y, **o: kind.from_estimator(m, X, y, **o),
    "ErrorDisplay": lambda kind, m, X, y, **o: kind.from_estimator(m, X, y, **o),
    "NoveltyDisplay": lambda kind, m, X, y, **o: kind.from_estimator(m, X[:9], X, y, **o),
    "ContextSensitivityDisplay": lambda kind, m, X, y, **o: kind.from_estimator(
        m, X, y, kinds="noise", random_state=0, **o
    ),
    "LocalityDisplay": lambda kind, m, X, y, **o: kind.from_estimator(m, X, random_state=0, **o),
    "InteractionDisplay": lambda kind, m, X, y, **o: kind.from_estimator(
        m, X, n_pairs=5, random_state=0, **o
    ),
    "ScalingDisplay": lambda kind, m, X, y, **o: kind.from_estimator(m, X, kind="total", **o),
    "TilingPathDisplay": lambda kind, m, X, y, **o: kind.from_estimator(
        m, X, y, max_context=1, cv=2, **o
    ),
    "ContributionDisplay": lambda kind, m, X, y, **o: kind.from_estimator(
        m, X, with_field=False, **o
    ),
}
NONE_ESTIMATED = {"TrainingDisplay"}  # of networks alone; it draws as the others do
ONE = {
    "axes": lambda: plt.subplots()[1],
    "array of one": lambda: plt.subplots(squeeze=False)[1],
    "list of one": lambda: [plt.subplots()[1]],
    "figure": plt.figure,
    "figure of no window": Figure,
    "part of a figure": lambda: plt.figure().subfigures(1, 2)[0],
    "none": lambda: None,
}
WRONG = {
    "two": (lambda: plt.subplots(1, 2)[1], "one Axes, got 2"),
    "list of three": (lambda: list(plt.subplots(3)[1]), "one Axes, got 3"),
    "square": (lambda: plt.subplots(2, 2)[1], "one Axes, got 4"),
    "no axes": (lambda: [], "one Axes, got 0"),
    "text": (lambda: "axes", "got str"),
    "polar": (lambda: plt.subplots(subplot_kw={"projection": "polar"})[1], "projection='polar'"),
    "space": (lambda: plt.subplots(subplot_kw={"projection": "3d"})[1], "projection='3d'"),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted():
    X = np.random.default_rng(0).normal(size=(20, 6, 6))
    y = X.sum(axis=(1, 2))
    return EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, y), X, y


def test_every_display_is_tested():
    displays = {name for name in inspection.__all__ if name.endswith("Display")}
    assert displays == DRAW.keys() | NONE_ESTIMATED


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("given", ONE)
def test_one_axes_in_any_form(name, given, fitted):
    ax = ONE[given]()
    display = DRAW[name](getattr(inspection, name), *fitted, ax=ax)
    assert display.ax_.get_figure() is display.figure_ or given == "part of a figure"
    assert display.ax_.has_data()
    if given == "axes":
        assert display.ax_ is ax


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("given", WRONG)
def test_other_axes_are_rejected(name, given, fitted, monkeypatch):
    make, words = WRONG[given]
    with pytest.raises(ValueError, match=words):
        DRAW[name](getattr(inspection, name), *fitted, ax=make())


@pytest.mark.parametrize("name", ["TilingPathDisplay", "LocalityDisplay", "ScalingDisplay"])
def test_axes_are_checked_before_measurements(name, fitted):
    class Fails:
        """A model that must not be used."""

        def __getattr__(self, name):
            raise AssertionError(name)

    with pytest.raises(ValueError, match="one Axes"):
        DRAW[name](getattr(inspection, name), Fails(), *fitted[1:], ax=plt.subplots(1, 2)[1])


# --- a field and its contributions ------------------------------------------------------------

TWO = {
    "row": lambda: plt.subplots(1, 2)[1],
    "column": lambda: plt.subplots(2, 1)[1],
    "square of two": lambda: plt.subplots(1, 2, squeeze=False)[1],
    "list": lambda: list(plt.subplots(1, 2)[1]),
    "of two figures": lambda: (plt.subplots()[1], plt.subplots()[1]),
    "figure": plt.figure,
    "none": lambda: None,
    "one axes": lambda: plt.subplots()[1],
    "one of a grid": lambda: plt.subplots(2, 2)[1][1, 0],
}


@pytest.mark.parametrize("shape", [(20, 6), (20, 6, 6)])
@pytest.mark.parametrize("given", TWO)
def test_field_and_contributions_are_drawn_in_two_axes(given, shape):
    X = np.random.default_rng(0).normal(size=shape)
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, X.reshape(20, -1).sum(axis=1))
    ax = TWO[given]()
    display = inspection.ContributionDisplay.from_estimator(model, X, ax=ax)
    field, contributions = display.ax_
    assert field is not contributions and field.has_data() and contributions.has_data()
    if given.startswith("one"):
        # They share its place: within its bounds, and nothing else is drawn there.
        outer = ax.get_subplotspec().get_position(ax.figure)
        for inner in display.ax_:
            part = inner.get_subplotspec().get_position(ax.figure)
            assert outer.x0 - 1e-9 <= part.x0 and part.x1 <= outer.x1 + 1e-9
        assert not ax.axison
        ax.figure.canvas.draw()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: plt.subplots(1, 3)[1], "Expected two Axes.*got 3"),
        (lambda: plt.subplots(2, 2)[1], "Expected two Axes.*got 4"),
        (lambda: plt.figure().add_axes((0, 0, 1, 1)), "Expected two Axes.*got 1"),
        (lambda: "two", "got str"),
        (lambda: plt.subplots(1, 2, subplot_kw={"projection": "polar"})[1], "'polar'"),
    ],
)
def test_other_numbers_of_axes_are_rejected(make, words, fitted):
    model, X, _ = fitted
    with pytest.raises(ValueError, match=words):
        inspection.ContributionDisplay.from_estimator(model, X, ax=make())


# --- what cannot be drawn ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, words", [((6,), "ContributionDisplay draws"), ((4, 4, 4), "Pass a plane")]
)
def test_fields_of_other_dimensions_are_rejected(shape, words):
    X = np.random.default_rng(0).normal(size=(12, *shape))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, X.reshape(12, -1).sum(axis=1))
    with pytest.raises(ValueError, match=words):
        inspection.TilingDisplay.from_estimator(model, X)


@pytest.mark.parametrize("name", ["ParityDisplay", "ScalingDisplay", "NoveltyDisplay"])
def test_several_outputs_are_rejected(name, fitted):
    _, X, y = fitted
    y = np.stack([y, -y], axis=1)
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(X, y)
    with pytest.raises(ValueError, match="outputs one at a time"):
        DRAW[name](getattr(inspection, name), model, X, y)


# --- how long a search will take --------------------------------------------------------------


def test_a_verbose_search_estimates_the_remaining_time(fitted, capsys):
    model, X, y = fitted
    suggest_tiling(X, y, estimator=model, focuses=[2, (1, 2), None], max_context=1, cv=2, verbose=1)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("Evaluating at most 6 tilings")
    assert lines[0].startswith("focus 2, context 0: ") and "next about" in lines[0]
    last = [line for line in lines if "context 1:" in line]
    assert last and not any("next about" in line for line in last)
    suggest_tiling(X, y, estimator=model, max_context=0, cv=2)
    assert capsys.readouterr() == ("", "")
