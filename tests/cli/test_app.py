"""The command line, as one without Python would use it."""

import json

import joblib
import numpy as np
import pytest

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.metrics import extensive_errors

testing = pytest.importorskip("typer.testing")
pytest.importorskip("rich")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files of all kinds, good and bad."""
    folder = tmp_path_factory.mktemp("cli")
    small = make_ising(200, (8, 8), sampling="flat", random_state=0)
    large = make_ising(3, (16, 16), random_state=1)
    X, y = small.fields, small.energies
    np.savez(folder / "small.npz", X=X, y=y)
    np.savez(folder / "odd.npz", spins=X, work=y)
    np.savez(folder / "two.npz", X=X, y=np.stack([y, 2 * y], axis=1))
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    np.save(folder / "column.npy", y[:, None])
    np.save(folder / "large.npy", large.fields)
    np.savez(folder / "large_y.npz", energies=large.energies)
    np.save(folder / "short.npy", y[:10])
    np.save(folder / "words.npy", np.array(["a"] * 200))
    np.save(folder / "scalar.npy", np.array(1.0))
    for name, values in (("nan_X.npy", X), ("inf_y.npy", y)):
        values = values.astype(float)
        values[(3, 2, 1)[: values.ndim]] = np.nan if "nan" in name else np.inf
        np.save(folder / name, values)
    (folder / "broken.joblib").write_bytes(b"nonsense")
    joblib.dump({"a": 1}, folder / "dict.joblib")
    joblib.dump(EDNNRegressor(), folder / "unfitted.joblib")
    model = EDNNRegressor(None, GridTiling(1, 1), random_state=0).fit(X, y)
    joblib.dump(model, folder / "model.joblib")
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    """Run a command line in the folder of the files; return what it printed."""
    monkeypatch.chdir(folder)

    def run(line, expected=0):
        from sk_ednn.cli._app import app

        result = testing.CliRunner().invoke(app, line.split())
        assert result.exit_code == expected, result.output
        # SystemExit is how a command ends; anything else would have been a traceback.
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


def held_back(n, fraction=0.2):
    return np.sort(np.random.default_rng(0).permutation(n)[: round(fraction * n)])


def test_fit_writes_the_model_that_python_would_fit(run, folder):
    report = json.loads(run("fit small.npz -o fitted.joblib --json").stdout)
    fields, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    test = held_back(200)
    train = np.setdiff1d(np.arange(200), test)
    expected = EDNNRegressor(None, GridTiling(1, 1), random_state=0).fit(fields[train], y[train])
    model = joblib.load(folder / "fitted.joblib")
    np.testing.assert_array_equal(model.predict(fields), expected.predict(fields))
    assert (report["n_train"], report["n_test"]) == (160, 40)
    assert report["strategy"] == "KernelSumFit"
    assert report["test"] == extensive_errors(y[test], expected.predict(fields[test])).as_dict()


@pytest.mark.parametrize(
    "files", ["X.npy y.npy", "odd.npz::spins odd.npz::work", "X.npy column.npy"]
)
def test_fit_takes_fields_and_targets_from_where_they_are(run, files):
    result = run(f"fit {files} -m quadratic -q -o other.joblib")
    assert "LinearSumFit on 160 systems; written to other.joblib" in result.stdout
    assert "train" in result.stdout
    assert "test" in result.stdout


def test_fit_reports_each_of_several_outputs(run):
    report = json.loads(run("fit two.npz -m quadratic -o two.joblib --json").stdout)
    assert len(report["test"]) == 2
    assert "test, output 1" in run("fit two.npz -m quadratic -o two.joblib").stdout
    assert run("predict two.joblib large.npy").stdout.count("[") == 3


def test_fit_options_reach_the_model(run, folder):
    run(
        "fit small.npz --focus 2,1 --context 0,1 --boundary zero --baseline none "
        "--test-fraction 0 --seed 3 -o options.joblib -q"
    )
    model = joblib.load(folder / "options.joblib")
    assert model.tiling.get_params() == GridTiling((2, 1), (0, 1), boundary="zero").get_params()
    assert model.baseline is None
    assert model.random_state == 3
    run("fit small.npz --focus none --context 0 -m quadratic -o options.joblib -q")
    assert joblib.load(folder / "options.joblib").tiling.focus is None


def test_predict_prints_what_python_predicts(run, folder):
    expected = joblib.load(folder / "model.joblib").predict(np.load(folder / "large.npy"))
    printed = run("predict model.joblib large.npy").stdout.split()
    np.testing.assert_array_equal([float(value) for value in printed], expected)
    np.testing.assert_allclose(expected, np.load(folder / "large_y.npz")["energies"], atol=1.0)
    report = json.loads(run("predict model.joblib large.npy --json --jobs 2").stdout)
    assert report == {"y": expected.tolist(), "output": None}


def test_predict_writes_files(run, folder):
    model, large = joblib.load(folder / "model.joblib"), np.load(folder / "large.npy")
    result = run("predict model.joblib large.npy -o out.npy")
    assert result.stdout == "3 totals written to out.npy\n"
    np.testing.assert_array_equal(np.load(folder / "out.npy"), model.predict(large))
    run("predict model.joblib large.npy -o out.npz --contributions")
    with np.load(folder / "out.npz") as written:
        assert set(written.files) == {"y", "contributions"}
        np.testing.assert_array_equal(written["contributions"], model.predict_contributions(large))


BAD = {
    "fit nowhere.npz": "nowhere.npz does not exist.",
    "fit odd.npz": "odd.npz holds the arrays spins, work, none of them called X",
    "fit odd.npz::X": "odd.npz holds no array 'X'; it holds spins, work.",
    "fit X.npy": "X.npy must hold targets, an array of shape",
    "fit X.npy short.npy": "X.npy holds 200 fields, but short.npy holds 10 targets.",
    "fit X.npy scalar.npy": "scalar.npy must hold targets",
    "fit X.npy words.npy": "words.npy must hold real numbers; got an array of type <U1.",
    "fit nan_X.npy y.npy": "nan_X.npy holds NaN or infinity, first at [3, 2, 1].",
    "fit X.npy inf_y.npy": "inf_y.npy holds NaN or infinity, first at [3].",
    "fit y.npy y.npy": "y.npy must hold fields",
    "fit small.npz --focus 3": "axis 0 has length 8, not a multiple of focus=3",
    "fit small.npz --focus 0": "focus must be None or an integer of at least 1",
    "fit small.npz --focus two": "--focus must be a whole number, or one per axis",
    "fit small.npz --context 1,1,1": "context=(1, 1, 1) has 3 entries",
    "fit small.npz --boundary round": "boundary must be one of",
    "fit small.npz --baseline all": "--baseline must be one of size, content, none; got 'all'.",
    "fit small.npz --channel-axis 5": "channel_axis=5 needs a field with that axis",
    "fit small.npz --model magic": "--model must be one of kernel, ",
    "fit small.npz -o nowhere/model.joblib": "The folder nowhere does not exist",
    "fit small.npz -o .": ". is a folder",
    "predict nowhere.joblib X.npy": "nowhere.joblib does not exist.",
    "predict broken.joblib X.npy": "broken.joblib cannot be read: it is broken, or was not written",
    "predict dict.joblib X.npy": "dict.joblib holds a dict, not a model fitted by `sk-ednn fit`.",
    "predict unfitted.joblib X.npy": "unfitted.joblib holds a EDNNRegressor, not a model fitted",
    "predict model.joblib y.npy": "y.npy must hold fields",
    "predict model.joblib nan_X.npy": "nan_X.npy holds NaN or infinity, first at [3, 2, 1].",
    "predict model.joblib X.npy -o out.txt": "--output must end in .npy or .npz, got out.txt.",
    "predict model.joblib X.npy -o nowhere/out.npy": "The folder nowhere does not exist",
    "predict model.joblib X.npy --contributions": "--contributions needs --output",
    "predict model.joblib X.npy -o a.npy --contributions": "--contributions needs --output",
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


def test_a_model_of_a_library_that_is_missing_names_it(run, folder):
    # A pickle that asks for sk_nothing.thing.
    (folder / "foreign.joblib").write_bytes(b"\x80\x04csk_nothing\nthing\n.")
    stderr = run("predict foreign.joblib X.npy", expected=1).stderr
    assert "not installed: No module named 'sk_nothing'" in stderr


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
    line = f"fit small.npz -m {model} --test-fraction 0.9 --json -o any.joblib"
    errors = json.loads(run(line).stdout)["train"]
    assert errors["rmse"] < 10  # of 75, the standard deviation of the totals


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
