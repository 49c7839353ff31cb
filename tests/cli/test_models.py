"""Tile models by name: all on one scale, and the choice between them."""

import json
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.model_selection import KFold, cross_val_predict

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising, make_potts
from sk_ednn.files import load
from sk_ednn.solvers._held_out import held_out_totals
from sk_ednn.tiling import ChannelScaler

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")

from sk_ednn.cli import _model_choice, _models

NOISE = np.random.default_rng(0).normal(size=(60, 8, 8))
# Fields whose totals are sums of such functions of neighbours, and what is to be found out.
KINDS = {
    "quadratic": lambda X: (X**2).sum(axis=(1, 2)),
    "cubic": lambda X: (X**3).sum(axis=(1, 2)),
    "kernel": lambda X: np.sin(3 * X).sum(axis=(1, 2)),
}


# ------------------------------------------------------------------------------------- scales


@pytest.mark.parametrize("name", [name for name in _models.TILE_MODELS if name != "dense"])
@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_every_tile_model_begins_with_a_scaler_of_channels(name, channel_axis):
    made = _models.tile_model(name, GridTiling(1, 1, channel_axis=channel_axis), (20, 3, 8, 3))
    scaler = made.steps[0][1]
    assert isinstance(scaler, ChannelScaler)
    assert scaler.n_channels == (1 if channel_axis is None else 3)


@pytest.mark.parametrize("name", ["kernel", "quadratic", "cubic", "neighbors", "forest"])
def test_no_fit_depends_on_the_unit_of_the_fields(name):
    X = np.random.default_rng(1).integers(0, 5, size=(40, 6, 6))
    y = X[:, :, :].sum(axis=(1, 2)) + (X * np.roll(X, 1, axis=1)).sum(axis=(1, 2))
    predicted = []
    for fields in (X, 4096 * X + 2.0**13):  # in binary, so that nothing is rounded otherwise
        made = _models.tile_model(name, GridTiling(1, 1), (30, 6, 6))
        model = EDNNRegressor(made, GridTiling(1, 1), random_state=0).fit(fields[:30], y[:30])
        predicted.append(model.predict(fields[30:]))
    np.testing.assert_allclose(*predicted, rtol=1e-6)


def test_kernels_of_scaled_tiles_fall_over_the_distances_there_are():
    made = _models.tile_model("kernel", GridTiling(1, 1), (20, 8, 8))
    model = EDNNRegressor(made, GridTiling(1, 1)).fit(
        4000 + 7 * NOISE[:20], KINDS["cubic"](NOISE)[:20]
    )
    _, kernel = (step for _, step in model.tile_model_.estimator.steps)
    rows = kernel.X_fit_[:400]
    squared = ((rows[:, None] - rows) ** 2).sum(axis=-1)
    assert kernel.gamma is None  # that is 1 / n_features
    assert 0.3 < np.median(squared) / rows.shape[1] / 2 < 1.5


@pytest.mark.parametrize(("n_systems", "kind"), [(9, "Ridge"), (10, "RidgeCV"), (10**6, "Ridge")])
def test_penalties_are_chosen_where_systems_can_be_spared_and_time(n_systems, kind):
    made = _models.tile_model("cubic", GridTiling(1, 2), (n_systems, 8, 8))
    assert type(made.steps[-1][1]).__name__ == kind


def test_a_fit_without_noise_takes_the_smallest_penalty_and_one_with_noise_a_larger():
    rng = np.random.default_rng(0)
    for noise in (0.0, 20.0):
        y = KINDS["quadratic"](NOISE) + noise * rng.normal(size=len(NOISE))
        made = _models.tile_model("cubic", GridTiling(1, 1), NOISE.shape)
        model = EDNNRegressor(made, GridTiling(1, 1)).fit(NOISE, y)
        alpha = model.tile_model_.estimator[-1].alpha_
        assert (alpha > 10) if noise else (alpha < 1e-3)


# ------------------------------------------------------------------------------------- choice


@pytest.mark.parametrize("name", KINDS)
def test_the_tile_model_that_errs_least_is_chosen(name):
    X = 40 + 6 * NOISE
    chosen, why, seconds, _ = _model_choice.suited(GridTiling(1, 0), X, 3.0 * KINDS[name](NOISE))
    assert chosen == name and seconds > 0
    for each in KINDS:
        assert f"{each} " in why.partition("cross-validation errors")[2]


@pytest.mark.parametrize("name", ["quadratic", "cubic"])
@pytest.mark.parametrize(
    ("baseline", "n_outputs"),
    [("size", None), ("size", 1), ("size", 2), ("content", None), ("content", 2), (None, 2)],
)
def test_errors_of_one_pass_are_those_of_fits_to_each_fold(name, baseline, n_outputs):
    X, y = NOISE, 3.0 * KINDS["kernel"](NOISE) + 20.0
    if n_outputs:
        y = np.stack([y, KINDS["cubic"](NOISE)], axis=1)[:, :n_outputs]
    tiling = GridTiling(1, [0, 1])
    folds = list(KFold(3, shuffle=True, random_state=1).split(X))
    # Without the scaler of channels, which sees all systems if there is one pass.
    made = _models.tile_model(name, tiling, X.shape)[1:]
    once = held_out_totals(made, tiling, X, y, baseline, folds)
    each = cross_val_predict(EDNNRegressor(made, tiling, baseline=baseline), X, y, cv=folds)
    assert once.shape == y.shape
    np.testing.assert_allclose(once, each, atol=1e-6 * y.std())


def test_a_model_that_cannot_win_is_not_fitted():
    X, y = NOISE, KINDS["quadratic"](NOISE)
    name, why, *_ = _model_choice.suited(GridTiling(1, 0), X, y)
    assert name == "quadratic"
    assert why.endswith("quadratic less than 0.01 %, cubic not needed, kernel not needed")


class Clock:
    """A clock that goes on by a second with each look at it."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        self.seconds += 1.0
        return self.seconds


def test_tile_models_that_take_too_long_are_left_out_but_one():
    X, y = NOISE, KINDS["kernel"](NOISE)
    chosen, why, *_ = _model_choice.suited(GridTiling(1, 0), X, y, max_seconds=1e4, clock=Clock())
    assert chosen == "kernel" and "left out" not in why
    chosen, why, *_ = _model_choice.suited(GridTiling(1, 0), X, y, max_seconds=1e-3, clock=Clock())
    assert chosen == "quadratic"
    for left in ("cubic", "kernel"):
        assert f"{left} left out (about " in why


def test_long_computations_are_announced():
    said = []
    tiling = GridTiling(1, 0)
    X, y = NOISE, KINDS["kernel"](NOISE)
    fast = _model_choice.suited(tiling, X, y, say=said.append, clock=lambda: 0.0)
    assert len(said) == 1 and fast.seconds == 0.0

    class Slow(Clock):
        def __call__(self):
            self.seconds += 99.0
            return super().__call__()

    slow = _model_choice.suited(tiling, X, y, say=said.append, clock=Slow())
    # A pass takes a look at the clock: 100 s; 4 features of cubic polynomials against 3.
    way_out = "; --max-seconds 60 leaves it out"
    assert said[2] == f"cross-validation of cubic takes about 2.2 min{way_out}"
    assert said[3] == "cross-validation of kernel takes about 3.3 min more"
    assert slow.name == fast.name and slow.seconds > 100


@pytest.mark.parametrize(
    ("kernel", "quadratic", "cubic", "best"),
    [
        (0.3, 1e-12, 1e-13, "quadratic"),  # rounding decides nothing
        (1e-14, 0.5, 1e-9, "cubic"),
        (0.190, 0.194, 0.188, "quadratic"),  # nor a hair's breadth
        (0.190, 0.30, 0.188, "cubic"),
        (0.1, 0.2, 0.3, "kernel"),
        (np.inf, np.inf, 0.3, "cubic"),
    ],
)
def test_of_errors_that_are_alike_the_simplest_model_is_taken(kernel, quadratic, cubic, best):
    errors = {"kernel": kernel, "quadratic": quadratic, "cubic": cubic}
    name, shown = _model_choice.simplest(errors)
    assert name == best and "e-1" not in shown and "inf" not in shown


def test_unique_tiles_are_counted():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 60_000, size=(40, 3, 3)).astype(np.uint16)
    X = np.concatenate([kinds[rng.integers(0, 40, size=200)], kinds])
    said = _model_choice.suited(GridTiling(3, 0), X, X.sum(axis=(1, 2), dtype=float))[1]
    assert said.startswith("40 unique tiles;")
    # 360 of 4,096 tiles are their own kinds, the others one: a sample would hardly see them.
    X = np.zeros((64, 8, 8), dtype=int)
    X.reshape(-1)[rng.choice(X.size, 360, replace=False)] = np.arange(1, 361)
    said = _model_choice.suited(GridTiling(1, 0), X, X.sum(axis=(1, 2), dtype=float))[1]
    assert said.startswith("361 unique tiles;")


def test_many_tiles_are_at_least_those_that_were_counted():
    X, y = NOISE, KINDS["quadratic"](NOISE)
    limits = {"first_tiles": 600, "few_tiles": 1000}
    name, why, *_ = _model_choice.suited(GridTiling(1, 0), X, y, **limits)
    assert why.startswith("at least 2,560 unique tiles, too many for kernel ridge;")
    assert name == "quadratic" and "kernel " not in why.partition(";")[2]
    name, why, *_ = _model_choice.suited(GridTiling(1, 0), X[:10], y[:10], **limits)
    assert why.startswith("640 unique tiles;")


def test_what_would_take_long_is_not_compared(monkeypatch):
    X, y = NOISE, KINDS["quadratic"](NOISE)
    limits = {"few_tiles": 1000, "max_products": 3e5}
    assert _model_choice.suited(GridTiling(1, 1), X, y, **limits)[0] == "quadratic"
    limits["max_products"] = 1e5
    if find_spec("torch") and find_spec("skorch"):
        assert _model_choice.suited(GridTiling(1, 1), X, y, **limits)[0] == "dense"
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it was not installed
    chosen, why, *_ = _model_choice.suited(GridTiling(1, 1), X, y, **limits)
    assert chosen == "perceptron" and "3,840 tiles of 9 numbers have too many pairs" in why


def test_few_systems_are_not_compared():
    name, why, *_ = _model_choice.suited(GridTiling(1, 0), NOISE[:5], NOISE[:5].sum(axis=(1, 2)))
    assert name == "kernel" and "5 systems are too few" in why


def test_the_choice_and_what_it_is_made_by_are_said(run, folder):
    report = json.loads(run("fit small.npz -o auto.ednn --json").stdout)
    assert report["model"] == "quadratic"
    assert report["chosen as"].startswith("512 unique tiles; cross-validation errors")
    said = run("fit few.npz --test-fraction 0 -o auto.ednn").stderr
    assert "1,280 unique tiles; comparing quadratic, cubic, kernel in cross-validation" in said
    assert "tile model: quadratic (1,280 unique" in said and "choose another with --model" in said
    assert load(folder / "auto.ednn").tile_model.steps[0][1].n_channels == 1


def test_a_time_is_for_comparisons_only(run, folder):
    report = json.loads(run("fit few.npz --max-seconds 1000000 -o timed.ednn --json").stdout)
    assert "left out" not in report["chosen as"]
    said = run("fit few.npz -m cubic --max-seconds 100 -o timed.ednn --force", 1).stderr
    assert "--max-seconds is for the comparison of tile models (--model auto)" in said


# ------------------------------------------------------------------------------------- images


def blobs(n, size=64, low=8, high=30, seed=0):
    """Grey 16-bit images of blobs on a noisy background, and how many blobs each has."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    counts = rng.integers(low, high + 1, size=n)
    images = 4000 + 300 * rng.normal(size=(n, size, size))
    for image, count in zip(images, counts, strict=True):
        for y, x in rng.uniform(0, size, size=(count, 2)):
            width = rng.uniform(1.5, 2.0)
            squared = (rows - y) ** 2 + (columns - x) ** 2
            image += rng.normal(3000, 600) * np.exp(-squared / (2 * width**2))
    return np.rint(images).clip(0, 65535).astype(np.uint16), counts.astype(float)


def judged(run, folder, images, counts, options=""):
    np.savez(folder / "blobs.npz", X=images, y=counts)
    report = json.loads(run(f"fit blobs.npz -o blobs.ednn --json {options}").stdout)
    return report, load(folder / "blobs.ednn")


def test_sixteen_bit_images_are_counted_and_not_guessed_at(run, folder):
    images, counts = blobs(48, size=32, low=2, high=8)
    report, model = judged(run, folder, images, counts)
    verdict = report["verdict"]
    assert verdict["held_back"] and verdict["n_systems"] == 10
    unseen, true_counts = blobs(60, size=32, low=2, high=8, seed=1)
    error = np.sqrt(np.mean((model.predict(unseen) - true_counts) ** 2))
    assert error < 0.5 * true_counts.std()
    assert verdict["over_spread"] < 0.5 and "better" not in verdict["words"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "options", ["", "--focus 4 --context 2", "--focus 8 --context 0 -m kernel"]
)
def test_images_of_usual_size_are_counted_twice_as_well_as_by_their_mean(run, folder, options):
    report, model = judged(run, folder, *blobs(120), options)
    unseen, true_counts = blobs(100, seed=1)
    error = np.sqrt(np.mean((model.predict(unseen) - true_counts) ** 2))
    assert error < 0.5 * true_counts.std() or "better" in report["verdict"]["words"]
    assert report["verdict"]["over_spread"] == pytest.approx(error / true_counts.std(), abs=0.3)


def test_what_has_learned_nothing_says_so(run, folder):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60_000, size=(40, 8, 8)).astype(np.uint16)
    np.savez(folder / "nothing.npz", X=images, y=rng.normal(100, 8, size=40))
    result = run("fit nothing.npz -m kernel --context 0 -o nothing.ednn")
    assert "verdict: on 8 systems held back: R² -" in result.stdout
    assert "The model is no better than predicting the mean of the totals." in result.stdout
    whole = run("fit nothing.npz -m kernel --context 0 --test-fraction 0 -o nothing.ednn").stdout
    assert "none were held back" in whole and "next:" not in whole


def test_a_large_error_is_followed_by_what_to_try_next(run, folder):
    X, y = make_potts(4, 300, (6, 6), random_state=0, return_X_y=True)
    np.savez(folder / "potts.npz", X=X, y=y)
    said = run("fit potts.npz --model quadratic -o next.ednn").output
    assert "next: if the hint above is true, add --categorical" in said
    assert "next:" not in run("fit potts.npz --model quadratic --categorical -o next.ednn").output
    rng = np.random.default_rng(0)
    spins = rng.choice([-1, 1], size=(60, 8, 8)).astype(np.int8)
    np.savez(folder / "far.npz", X=spins, y=(spins * np.roll(spins, 3, 1)).sum((1, 2)))
    said = run("fit far.npz --model kernel -o next.ednn").output
    assert "next: the errors of the systems trained on are far smaller: add systems" in said
    np.savez(folder / "far.npz", X=spins, y=(spins * np.roll(spins, 1, 1)).sum((1, 2)))
    said = run("fit far.npz --model quadratic --context 0 -o next.ednn").output
    assert "next: the errors of the systems trained on are of similar size" in said
    assert "try more --context (0 now)" in said


def test_each_output_has_a_verdict(run):
    result = run("fit two.npz -m quadratic -o two.ednn")
    assert "verdict: output 0: on 40 systems held back: R² 1," in result.stdout
    assert "verdict: output 1: on 40 systems held back: R² 1," in result.stdout
    report = json.loads(run("fit two.npz -m quadratic -o two.ednn --json").stdout)
    assert [verdict["over_spread"] < 1e-6 for verdict in report["verdict"]] == [True, True]


def test_spins_are_learned_as_well_as_before(run, folder):
    small = make_ising(200, (8, 8), sampling="flat", random_state=2)
    np.savez(folder / "other.npz", X=small.fields, y=small.energies)
    for name in ("kernel", "quadratic", "neighbors"):
        report = json.loads(run(f"fit other.npz -m {name} -o other.ednn --json").stdout)
        assert report["verdict"]["over_spread"] < 0.05, name


def test_the_time_of_a_named_model_is_told_from_that_of_some_systems():
    X = np.random.default_rng(0).normal(size=(2000, 4, 4))
    y, tiling = X.sum(axis=(1, 2)), GridTiling(1, 1)
    looks = iter((10.0, 17.0, 20.0, 21.0, 30.0, 32.5) * 2)
    for name in ("quadratic", "cubic"):
        seconds = _model_choice.expected_seconds(name, tiling, X, y, clock=lambda: next(looks))
        # 20 more of 2000 systems took 1.5 s more for one pass; a fit and its errors are 2.25.
        assert seconds == pytest.approx(1.5 * 100 * 2.25)
    assert _model_choice.expected_seconds("quadratic", tiling, X[:399], y[:399]) is None
    assert _model_choice.expected_seconds("forest", tiling, X, y) is None


def test_a_fit_with_a_named_model_announces_its_time(run, folder, monkeypatch):
    monkeypatch.setattr(_model_choice, "expected_seconds", lambda *args, **options: 43.0)
    words = "fitting quadratic and measuring its errors take about 40 s"
    assert words in run("fit small.npz -m quadratic -o told.ednn --force").stderr
    assert words not in run("fit small.npz -m quadratic -o told.ednn --force -q").stderr
    monkeypatch.setattr(_model_choice, "expected_seconds", lambda *args, **options: None)
    assert "take about" not in run("fit small.npz -m quadratic -o told.ednn --force").stderr
