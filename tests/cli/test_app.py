"""The command line, as one without Python would use it."""

import contextlib
import json
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.cli._errors import one_line_errors
from sk_ednn.cli._inspect_summary import summary_of
from sk_ednn.encoders import IntensiveContext
from sk_ednn.files import load, save
from sk_ednn.metrics import extensive_errors
from sk_ednn.tiling import ChannelScaler

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")


def test_fit_writes_the_model_that_python_would_fit(run, folder):
    report = json.loads(run("fit small.npz -o fitted.ednn --json").stdout)
    fields, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    test, train = np.split(np.random.default_rng(0).permutation(200), [40])
    test = np.sort(test)
    ridge = RidgeCV(np.logspace(-6, 8, 15), cv=5)
    tile_model = make_pipeline(ChannelScaler(), PolynomialFeatures(2), ridge)
    expected = EDNNRegressor(tile_model, GridTiling(1, 1), random_state=0)
    expected.fit(fields[train], y[train])
    model = load(folder / "fitted.ednn")
    np.testing.assert_array_equal(model.predict(fields), expected.predict(fields))
    assert (report["n_train"], report["n_test"]) == (160, 40)
    assert (report["model"], report["strategy"]) == ("quadratic", "LinearSolver")
    assert report["test"] == extensive_errors(y[test], expected.predict(fields[test])).as_dict()


@pytest.mark.parametrize(
    "files", ["X.npy y.npy", "odd.npz::spins odd.npz::work", "X.npy column.npy"]
)
def test_fit_takes_fields_and_targets_from_where_they_are(run, files):
    result = run(f"fit {files} -m quadratic -q -o other.ednn")
    assert "LinearSolver on 160 systems; written to other.ednn" in result.stdout
    assert "train" in result.stdout
    assert "test" in result.stdout


def test_fit_takes_the_only_arrays_that_may_be_meant_and_says_so(run):
    result = run("fit odd.npz -m quadratic -q -o other.ednn")
    assert "odd.npz::spins" not in result.stderr  # a usual name
    assert "note: odd.npz::work is used, the only suitable one of the arrays" in result.stderr
    assert "LinearSolver on 160 systems" in result.stdout


def test_fit_reports_each_of_several_outputs(run):
    report = json.loads(run("fit two.npz -m quadratic -o two.ednn --json").stdout)
    assert len(report["test"]) == 2
    assert "test, output 1" in run("fit two.npz -m quadratic -o two.ednn").stdout
    printed = run("predict two.ednn large.npy").stdout
    *lines, last = [line.partition("  (90 %")[0].split() for line in printed.splitlines()]
    assert [len(line) for line in lines] == [3, 3, 3] and last[:2] == ["intervals", "of"]


def test_fit_options_reach_the_model(run, folder):
    run(
        "fit small.npz --focus 2,1 --context 0,1 --boundary zero --baseline none "
        "--test-fraction 0 --seed 3 -o options.ednn -q"
    )
    model = load(folder / "options.ednn")
    assert model.tiling.get_params() == GridTiling((2, 1), (0, 1), boundary="zero").get_params()
    assert model.baseline is None
    assert model.random_state == 3
    run("fit small.npz --focus none --context 0 -m quadratic -o options.ednn -q")
    assert load(folder / "options.ednn").tiling.focus is None


def test_predict_prints_what_python_predicts(run, folder):
    expected = load(folder / "model.ednn").predict(np.load(folder / "large.npy"))
    lines = [line.split() for line in run("predict model.ednn large.npy").stdout.splitlines()]
    assert [name for name, _ in lines] == [f"large.npy[{k}]" for k in range(3)]
    assert [value for _, value in lines] == [f"{value:.6g}" for value in expected]
    np.testing.assert_allclose(expected, np.load(folder / "large_y.npz")["energies"], atol=1.0)
    report = json.loads(run("predict model.ednn large.npy --json --jobs 2").stdout)
    words = "no intervals: the model file has no errors of fields held out of the training"
    assert report == {"y": expected.tolist(), "interval": words, "output": None}


def test_predict_writes_files(run, folder):
    model, large = load(folder / "model.ednn"), np.load(folder / "large.npy")
    result = run("predict model.ednn large.npy -o out.npy")
    assert result.stdout == "3 totals written to out.npy\n"
    np.testing.assert_array_equal(np.load(folder / "out.npy"), model.predict(large))
    run("predict model.ednn large.npy -o out.npz --contributions")
    with np.load(folder / "out.npz") as written:
        assert set(written.files) == {"y", "contributions"}
        np.testing.assert_array_equal(written["contributions"], model.predict_contributions(large))


def test_totals_come_from_a_table_too(run, folder):
    assert json.loads(run("fit X.npy totals.csv -o a.ednn --json").stdout)["n_train"] == 160
    run("fit X.npy y.npy -o b.ednn -q")
    fields = np.load(folder / "large.npy")
    np.testing.assert_array_equal(
        load(folder / "a.ednn").predict(fields), load(folder / "b.ednn").predict(fields)
    )


def test_what_is_fitted_and_what_is_replaced_is_said(run):
    result = run("fit X.npy y.npy -o said.ednn")
    assert "data: 200 fields of shape (8, 8), totals from -" in result.stderr
    assert "place of the file" not in result.stdout
    again = run("fit X.npy y.npy -o said.ednn").stdout
    assert "replacing the existing file" in again
    said = run("fit channel.npz -o said.ednn --focus 2,2,1 --context 1,1,0").stderr
    assert (
        "fields of shape (8, 8, 1)" in said
        and "If these are channels" in said
        and "--channel-axis -1" in said
    )


def test_a_fit_that_is_interrupted_writes_nothing(run, folder, monkeypatch):
    """Also where the training loop keeps what it has and ends as if nothing had been."""

    def interrupted(estimator, X, y):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return estimator

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(EDNNRegressor, "fit", interrupted)
    result = run("fit small.npz -m quadratic -o stopped.ednn", expected=130)
    assert "interrupted; nothing was written" in result.stderr
    assert not (folder / "stopped.ednn").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_inspect_says_first_what_matters(run):
    short, long = run("inspect model.ednn").stdout, run("inspect model.ednn --all").stdout
    assert "tiling.context: 1" in short and "sha256: " in short
    assert "versions" not in short and "tile_model_" not in short and "--all prints" in short
    assert "versions: numpy" in long and "part: config.json" in long
    assert set(short.splitlines()[:-1]) <= set(long.splitlines())


def test_main_returns_the_exit_code(folder, monkeypatch, capsys):
    from sk_ednn.cli import main

    monkeypatch.chdir(folder)
    assert main(["tile", "X.npy", "--focus", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["focus"] == "(2, 2)"
    assert main(["tile", "X.npy", "--focus", "3"]) == 1
    assert main(["tile", "--nothing"]) == 2


def test_it_is_a_module_that_runs(folder):
    command = [sys.executable, "-m", "sk_ednn", "tile", "X.npy", "--quiet", "--focus"]
    done = subprocess.run([*command, "3"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: axis 0 has length 8, not a multiple of focus=3")


BAD = {
    "fit nowhere.npz": "nowhere.npz does not exist.",
    "fit many.npz::spins many.npz": "many.npz has the arrays spins, work, heat, but none",
    "fit odd.npz::X": "odd.npz has no array 'X'; it has spins, work.",
    "fit X.npy": "X.npy must contain targets, an array of shape",
    "fit X.npy short.npy": "X.npy contains 200 fields of shape (8, 8), but short.npy",
    "fit X.npy scalar.npy": "scalar.npy must contain targets, one per field; got a",
    "fit X.npy totals.csv::work": "totals.csv has no column 'work'; it has system, energy.",
    "fit X.npy words.npy": "words.npy must contain real numbers; got an array of type <U1.",
    "fit nan_X.npy y.npy": "nan_X.npy contains NaN or infinity, first at [3, 2, 1].",
    "fit X.npy inf_y.npy": "inf_y.npy contains NaN or infinity, first at [3].",
    "fit y.npy y.npy": "y.npy must contain fields",
    "fit small.npz --focus 3": "axis 0 has length 8, not a multiple of focus=3",
    "fit small.npz --focus 0": "focus must be None or an integer of at least 1",
    "fit small.npz --focus two": "--focus must be an integer, or one per axis",
    "fit small.npz --context 1,1,1": "context=(1, 1, 1) has 3 entries",
    "fit small.npz --boundary round": "boundary must be one of",
    "fit small.npz --baseline all": "--baseline must be one of size, content, none; got 'all'.",
    "fit small.npz --channel-axis 5": "channel_axis=5 needs a field with that axis",
    "fit small.npz --model magic": "--model must be one of auto, kernel, ",
    "fit small.npz -o nowhere/model.ednn": "The folder nowhere for model.ednn does not exist",
    "fit small.npz -o .": ". is a folder",
    "predict nowhere.ednn X.npy": "nowhere.ednn does not exist.",
    "predict broken.ednn X.npy": "broken.ednn cannot be read: it is not a model file.",
    "predict old.joblib X.npy": "old.joblib looks like a pickle, as written by joblib",
    "predict committee.ednn X.npy -o a.npz --contributions": "committee.ednn contains an EDNNC",
    "fit small.npz -o m.joblib": "Model files are not pickles: use the extension .ednn, such as",
    "inspect nowhere.ednn": "nowhere.ednn does not exist.",
    "inspect old.joblib": "old.joblib looks like a pickle, as written by joblib and older versions",
    "inspect X.npy": "X.npy cannot be read: it is not a model file.",
    "tile X.npy --focus 3": "axis 0 has length 8, not a multiple of focus=3; use 6 or 9 sites",
    "tile X.npy --sample 999": "--sample must be from 0 to 199, got 999.",
    "tile X.npy -o cut.txt": "--output must end in .pdf, .png, .svg, got cut.txt.",
    "tile cube.npy -o cut.png": "TilingDisplay draws fields of two dimensions, these have 3.",
    "predict model.ednn y.npy": "y.npy must contain fields",
    "predict model.ednn nan_X.npy": "nan_X.npy contains NaN or infinity, first at [3, 2, 1].",
    "predict model.ednn X.npy -o out.txt": "--output must end in .csv, .npy, .npz, got out.txt.",
    "predict model.ednn X.npy -o nowhere/out.npy": "The folder nowhere for out.npy does not exist",
    "predict model.ednn X.npy --contributions": "--contributions needs --output",
    "predict model.ednn X.npy -o a.npy --contributions": "--contributions needs --output",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_answered_in_one_line(line, run):
    result = run(line, expected=1)
    assert result.stderr.startswith(f"error: {BAD[line]}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("line", ["fit", "predict", "fit small.npz --test-fraction 2", "nothing"])
def test_bad_usage_exits_with_2(line, run):
    assert "Usage" in run(line, expected=2).stderr


def test_inspect_says_what_a_file_holds(run, folder):
    run("fit small.npz -o seen.ednn --unit J -q")
    result = json.loads(run("inspect seen.ednn --json").stdout)
    assert result["units"] == "J"
    assert result["training"]["strategy"] == "LinearSolver"
    assert result["about"]["errors of totals"]["test"]["rmse"] > 0
    assert result["parameters"]["tiling.focus"] == "1"
    assert result["size"] == (folder / "seen.ednn").stat().st_size
    shown = run("inspect seen.ednn").stdout
    assert "parameters: tiling.focus" in shown and result["digest"][:20] in shown


def test_inspect_begins_with_what_to_do(run, folder):
    """The command that it prints works, with the data of the fit for new data."""
    X = np.load(folder / "X.npy")
    np.savez(folder / "turn.npz", X=np.pi * (X > 0), y=np.load(folder / "y.npy"))
    run("fit turn.npz -m quadratic --angles 2pi --context 2,1 -o turn.ednn -q")
    lines = run("inspect turn.ednn").stdout.splitlines()
    lines = [line for line in lines if not line.startswith("coupling")]
    rows = dict(line.split(": ", 1) for line in lines[:6])
    assert list(rows) == ["model", "tiles", "range", "values", "verdict", "next"]
    assert rows["tiles"] == "5 × 3 sites with 2 channels"
    assert rows["range"] == "at most 4 × 2 sites along an axis: tiles see no further"
    assert "angles" in rows["values"] and "held back" in rows["verdict"]
    run(rows["next"].removeprefix("sk-ednn ").replace("FIELDS.npy", "turn.npz"))


@pytest.mark.parametrize("far", [False, True])
def test_inspect_claims_no_range_of_what_sees_the_whole_field(far, run, folder):
    X, y = np.load(folder / "X.npy").astype(float), np.load(folder / "y.npy")
    regressor = EDNNRegressor(Ridge(), GridTiling(1, 1, channel_axis=-1 if far else None))
    model = make_pipeline(IntensiveContext(channel_axis=None), regressor) if far else regressor
    save(model.fit(X, y), folder / "far.ednn")
    shown = run("inspect far.ednn").stdout
    assert ("range: " in shown) != far and "tiles: 3 × 3 sites" in shown


@pytest.mark.parametrize(
    "parameters",
    [None, [], {"a": 1}, {"b": "GridTiling", "tile_shape": "(1, 2"}, {"a": {}, "cutoff": "x" * 99},
     {"a": "GridTiling", "tile_shape": "(9,)", "x.tile_shape": "()"}, {"model": "'spectrum'"}],
)  # fmt: skip
def test_summaries_take_any_parameters(parameters):
    for about in (None, "text", {"verdict": 3}, {"verdict": {"words": 3}}):
        rows = summary_of({"parameters": parameters, "about": about}, "m.ednn")
        assert all(isinstance(part, str) for row in rows for part in row)


def test_inspect_shows_no_control_characters(run, folder):
    model = EDNNRegressor(Ridge()).fit(np.load(folder / "X.npy"), np.load(folder / "y.npy"))
    save(model, folder / "odd.ednn", about={"\x1b[2J": "\x1b]0;title\x07 [red]x[/red]"})
    shown = run("inspect odd.ednn").stdout
    assert "\x1b" not in shown and "\x07" not in shown and "[red]x" in shown


def test_inspect_shows_what_is_nested_deeply(run, folder):
    about = 1
    for _ in range(400):
        about = {"a": about}
    model = EDNNRegressor(Ridge()).fit(np.load(folder / "X.npy"), np.load(folder / "y.npy"))
    save(model, folder / "deep.ednn", about=about)
    assert ".a.a: 1" in run("inspect deep.ednn").stdout
    assert "schema" in run("inspect deep.ednn --all").stdout


def test_ill_conditioned_features_are_said_once_and_in_words(capsys):
    with warnings.catch_warnings(), one_line_errors():
        warnings.simplefilter("always")
        for number in ("7.3e-17", "5.1e-17"):
            text = f"An ill-conditioned matrix detected: slice 0 has rcond = {number}."
            warnings.warn(LinAlgWarning(text), stacklevel=1)
    said = capsys.readouterr().err
    assert "rcond" not in said and said.count("collinear up to rounding") == 1


def test_tile_says_and_draws_how_fields_are_cut(run, folder):
    shown = run("tile X.npy --focus 4 --context 2").stdout
    assert "fields: 200 of shape (8, 8)" in shown
    assert "tiles: 4 of shape (8, 8), 2 x 2" in shown
    assert "multiples of 4" in shown and "a focus of 1, 2, 4 or 8" in shown
    pytest.importorskip("matplotlib")
    report = json.loads(run("tile X.npy --focus 2,4 -o cut.png --json").stdout)
    assert report["focus"] == "(2, 4)"
    assert (folder / "cut.png").read_bytes().startswith(b"\x89PNG")


def test_info_lists_libraries_and_models(run):
    report = json.loads(run("info --json").stdout)
    assert report["versions"]["numpy"] == np.__version__
    assert set(report["models"]) >= {"kernel", "quadratic", "forest", "dense"}
    shown = run("info").stdout
    assert "scikit-learn" in shown
    assert "random forest" in shown


@pytest.mark.parametrize("model", ["forest", "boosting", "neighbors", "perceptron", "dense"])
def test_every_tile_model_fits(model, run):
    if model == "dense":
        pytest.importorskip("torch")
    line = f"fit small.npz -m {model} --test-fraction 0.9 --json -o any.ednn"
    errors = json.loads(run(line).stdout)["train"]
    assert errors["rmse"] < 10  # of 75, the standard deviation of the totals


@pytest.mark.parametrize(
    ("line", "missing", "extra"),
    [
        ("demo -o unshown", "skorch", "torch"),
        ("demo -o unshown", "matplotlib.figure", "plot"),
        ("tile X.npy -o unshown.png", "matplotlib.figure", "plot"),
    ],
)
def test_what_draws_or_trains_names_the_library_it_lacks(
    line, missing, extra, run, folder, monkeypatch
):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, missing, None)
    said = run(line, expected=1).stderr
    library = missing.partition(".")[0]
    assert said.endswith(
        f" needs {library}, which is not installed: pip install 'sk-ednn[{extra}]'.\n"
    )
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not list(folder.glob("unshown*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_demo_writes_a_figure_and_its_numbers(run, folder):
    pytest.importorskip("matplotlib")
    pytest.importorskip("skorch")
    report = json.loads(run("demo -o shown --json").stdout)
    assert (folder / "shown" / "parity.png").stat().st_size > 10_000
    assert json.loads((folder / "shown" / "demo.json").read_text(encoding="utf-8")) == report
    kernel, tree, network = report["ising"]
    assert kernel["errors"]["128"]["median"] < 1e-3
    assert tree["errors"]["128"]["median"] < 0.1
    assert network["errors"]["8"]["median"] < 0.1
    same, larger = report["sheets"]
    assert same["meV/Å²"]["mean"] < 2.0
    assert larger["meV/Å²"]["mean"] < 2.0


@pytest.mark.filterwarnings("default")  # and not an error, as they are in tests
def test_warnings_are_lines_without_a_place_in_the_code(run, folder):
    with np.load(folder / "small.npz") as small:
        y = small["y"]
        np.savez(folder / "standard.npz", X=small["X"], y=(y - y.mean()) / y.std())
    # Told before a part is held back, behind which mean and spread are others.
    warned = run("fit standard.npz --model quadratic --quiet -o standard.ednn").stderr
    assert warned.startswith("warning: y has mean 0") and ".py" not in warned
    assert warned.count("warning:") == 1


@pytest.mark.filterwarnings("default")
def test_deprecations_of_libraries_are_not_shown(capsys):
    """As in Python, where they are shown to those who write the code that causes them."""
    with one_line_errors():
        warnings.warn("Setting the shape is deprecated", DeprecationWarning, stacklevel=1)
        warnings.warn("The default will change", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: The default will change\n"


def test_objects_and_text_are_no_arrays(run, folder):
    np.save(folder / "objects.npy", np.array([np.zeros(2), np.zeros(3)], dtype=object))
    (folder / "text.npz").write_text("words")
    for name, why in {
        "objects.npy": "it contains Python objects or texts, not numbers. To fit fields of diff",
        "text.npz": "File is not a zip file.",
    }.items():
        said = run(f"predict model.ednn {name}", expected=1).stderr
        assert said.startswith(f"error: {name} cannot be read: {why}")
        assert "allow_pickle" not in said


def test_one_array_is_not_fields_and_totals_at_once(folder, run):
    np.save("alone.npy", np.random.default_rng(0).normal(size=(30, 6)))
    for line in ("fit alone.npy", "fit alone.npy alone.npy"):
        assert "Pass the totals as the second argument" in run(line, 1).stderr


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("model", ["quadratic", "auto"])
@pytest.mark.parametrize("which", ["X", "y"])
def test_marks_of_missing_values_are_said_once(which, model, run, folder):
    """Also where cross-validation fits to many parts of the data."""
    with np.load(folder / "real.npz") as real:
        arrays = {name: real[name].astype(float) for name in ("X", "y")}
    arrays[which][(2, 1, 1)[: arrays[which].ndim]] = -9999
    np.savez(folder / "marked.npz", **arrays)
    said = run(f"fit marked.npz --model {model} --quiet -o marked.ednn --force").stderr
    assert said.count("it seems to mark missing values") == 1
    assert f"warning: {which} contains -9999 at [2" in said


def test_a_unit_that_cannot_be_written_is_refused_before_the_fit(run, folder):
    """As a terminal whose locale is C passes it."""
    unit = "µeV".encode().decode("ascii", "surrogateescape")
    said = run(f"fit small.npz --unit {unit} -o unit.ednn", 1).stderr
    assert said.startswith(r"error: --unit '\udcc2\udcb5eV': this is no text in the encoding")
    assert "reading" not in said and not (folder / "unit.ednn").exists()
