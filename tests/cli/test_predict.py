"""Totals of any fitted model, each with the field that it is of."""

import csv
import json

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn._utils.wording import rounded
from sk_ednn.cli import main
from sk_ednn.files import save

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")

RNG = np.random.default_rng(0)
CHAINS = RNG.normal(size=(60, 8))
SUMS = np.sum(CHAINS * np.roll(CHAINS, 1, axis=1), axis=1) + 1 / 3
REGRESSOR = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(1e-6)), GridTiling(2, 1))
MODELS = {
    "regressor": REGRESSOR,
    "pipeline": make_pipeline(StandardScaler(), REGRESSOR),
    "committee": EDNNCommittee(REGRESSOR, n_members=2, random_state=0),
    "committee in a pipeline": make_pipeline(
        StandardScaler(), EDNNCommittee(REGRESSOR, n_members=2, random_state=0)
    ),
    "shift averaged": ShiftAveraged(REGRESSOR, 2),
    "shift averaged in a pipeline": make_pipeline(StandardScaler(), ShiftAveraged(REGRESSOR, 2)),
    "transformed target": TransformedTargetRegressor(REGRESSOR, transformer=StandardScaler()),
    "two terms": EDNNRegressor(
        [("a", Ridge(), GridTiling(1, 0)), ("b", Ridge(), GridTiling(2, 1))]
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def stored(request, folder):
    model = MODELS[request.param].fit(CHAINS, SUMS)
    path = folder / "stored.ednn"
    save(model, path, unit="eV")
    np.save(folder / "chains.npy", CHAINS)
    return request.param, model


@pytest.mark.filterwarnings("ignore:y has mean 0")
def test_any_fitted_model_predicts_and_is_inspected(stored, run):
    _, model = stored
    report = json.loads(run("predict stored.ednn chains.npy --json --jobs 2").stdout)
    np.testing.assert_allclose(report["y"], model.predict(CHAINS), rtol=1e-12)
    assert "units: eV" in run("inspect stored.ednn").stdout


@pytest.mark.filterwarnings("ignore:y has mean 0")
def test_contributions_are_asked_for_where_there_are_any(stored, run, folder):
    name, model = stored
    line = "predict stored.ednn chains.npy -o maps.npz --contributions"
    if "committee" in name or "target" in name:
        said = run(line, expected=1).stderr
        assert "predicts only totals. Leave out --contributions" in said
        return
    run(line)
    with np.load(folder / "maps.npz") as written:
        maps = [written[key] for key in written.files if key != "y"]
        total = sum(each.sum(axis=1) for each in maps)
        np.testing.assert_allclose(total, model.predict(CHAINS), rtol=1e-9)
        assert len(maps) == (2 if "terms" in name else 1)


@pytest.fixture
def quadratic(folder):
    model = REGRESSOR.fit(CHAINS, SUMS)
    save(model, folder / "quadratic.ednn", unit="eV")
    np.save(folder / "chains.npy", CHAINS)
    return model


def test_totals_are_printed_to_six_digits_with_their_field_and_unit(quadratic, run):
    lines = run("predict quadratic.ednn chains.npy").stdout.splitlines()
    expected = quadratic.predict(CHAINS)
    assert lines[3] == f"chains.npy[3]  {expected[3]:.6g} eV"
    assert len(lines) == len(expected)


def test_a_table_has_an_index_a_unit_and_all_digits(quadratic, run, folder):
    run("predict quadratic.ednn chains.npy -o predicted.csv")
    with open(folder / "predicted.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["index", "total (eV)"]
    assert [int(index) for index, _ in rows] == list(range(60))
    np.testing.assert_array_equal([float(v) for _, v in rows], quadratic.predict(CHAINS))


def test_a_table_of_several_outputs_has_a_column_for_each(run, folder):
    y = np.stack([SUMS, 2 * SUMS], axis=1)
    save(REGRESSOR.fit(CHAINS, y), folder / "several.ednn")
    np.save(folder / "chains.npy", CHAINS)
    run("predict several.ednn chains.npy -o several.csv")
    header, first, *_ = (folder / "several.csv").read_text(encoding="utf-8").splitlines()
    assert header == "index,total 0,total 1" and first.count(",") == 2


def test_one_field_is_distinguished_from_many_by_the_model(run, folder):
    fields = RNG.normal(size=(30, 6, 6))
    model = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(fields, fields.sum(axis=(1, 2)))
    save(model, folder / "plane.ednn")
    np.save(folder / "one.npy", fields[4])
    np.save(folder / "many.npy", fields)
    result = run("predict plane.ednn one.npy --quiet")
    assert "note: one.npy is read as one field of shape (6, 6)" in result.stderr
    assert result.stdout.split()[1] == f"{model.predict(fields[4:5])[0]:.6g}"
    assert "note" not in run("predict plane.ednn many.npy").stderr
    # A file of 1-D fields is a batch for a model of such, and one of as many axes is refused.
    line = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(CHAINS, SUMS)
    save(line, folder / "line.ednn")
    np.save(folder / "chains.npy", CHAINS)
    np.save(folder / "chain.npy", CHAINS[0])
    assert len(run("predict line.ednn chains.npy").stdout.splitlines()) == 60
    assert len(run("predict line.ednn chain.npy").stdout.splitlines()) == 1
    assert "error: " in run("predict line.ednn many.npy", expected=1).stderr


def test_tile_says_how_two_axes_are_taken(run, folder):
    np.save(folder / "plane.npy", np.zeros((6, 8)))
    result = run("tile plane.npy --focus 2 --json")
    assert json.loads(result.stdout)["fields"] == "6 of shape (8,)"
    assert "6 fields with one axis. Use --single for one field of shape (6, 8)" in result.stderr
    single = run("tile plane.npy --focus 2 --json --single")
    assert json.loads(single.stdout)["fields"] == "1 of shape (6, 8)" and single.stderr == ""


def test_a_fitted_model_names_sizes_and_no_focuses(quadratic, run, folder):
    np.save(folder / "odd.npy", np.zeros((2, 9)))
    save(EDNNRegressor(Ridge(), GridTiling((2, 2), 1)).fit(np.zeros((9, 4, 4)), np.arange(9.0)),
         folder / "even.ednn")  # fmt: skip
    np.save(folder / "odd.npy", np.zeros((2, 9, 4)))
    said = run("predict even.ednn odd.npy", expected=1).stderr
    assert said == "error: axis 0 has length 9, not a multiple of focus=2; use 8 or 10 sites.\n"
    assert "or a focus of" in run("tile odd.npy --focus 2", expected=1).stderr


def test_interval_grows_with_the_size_and_novelty_names_strange_tiles(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8, 8))
    np.savez("train.npz", X=X, y=X.sum(axis=(1, 2)) + 0.1 * rng.normal(size=60))
    assert (
        main(["fit", "train.npz", "-m", "quadratic", "--context", "0", "--run", "runs", "-q"]) == 0
    )
    (run,) = (tmp_path / "runs").iterdir()
    strange = np.concatenate([X[:1], X[:1]])
    strange[1, 3, 3] = 50.0
    for name, fields in (("same", strange), ("double", np.tile(X[:1], (1, 2, 1)))):
        np.save(f"{name}.npy", fields)
        options = ["--interval", str(run / "predictions.csv"), "--novelty", "train.npz::X", "-q"]
        command = ["predict", str(run / "model.ednn"), f"{name}.npy", "-o", f"{name}.npz"]
        assert main([*command, *options]) == 0
    same, double = np.load("same.npz"), np.load("double.npz")
    assert np.isclose(double["half_width"][0], 2 * same["half_width"][0])
    assert 0.05 < same["half_width"][0] < 0.5
    assert same["novelty"][0] == 0 and np.isclose(same["novelty"][1], 1 / 64)
    capsys.readouterr()
    command = ["predict", str(run / "model.ednn"), "same.npy", *options]
    assert main(command) == 0
    width = f"(90 % within ± {same['half_width'][1]:.2g})"
    assert f"{width}  novel tiles: 1.56 %" in capsys.readouterr().out.splitlines()[1]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    for name in ("y", "half_width", "novelty"):
        np.testing.assert_array_equal(said[name], same[name])
    assert main([*command, "-o", "y.npy"]) == 1
    assert "--interval needs --output with a name that ends in .csv" in capsys.readouterr().err


def test_predict_has_intervals_from_the_model_file_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8, 8))
    y = X.sum(axis=(1, 2)) + 0.1 * rng.normal(size=60)
    np.savez("train.npz", X=X, y=np.column_stack([y, 2 * y]))
    np.save("new.npy", np.tile(X[:3], (1, 2, 1)))
    assert main(["fit", "train.npz", "-m", "quadratic", "--context", "0", "-q",
                 "--unit", "J", "--run", "runs"]) == 0  # fmt: skip
    (run,) = (tmp_path / "runs").iterdir()
    capsys.readouterr()
    command = ["predict", str(run / "model.ednn"), "new.npy", "-q"]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    half = np.array(result["half_width"])
    assert half.shape == (3, 2) and (half > 0).all()
    assert main([*command, "--json", "--interval", str(run / "predictions.csv")]) == 0
    by_table = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(by_table["half_width"], half)
    words = "intervals of 90 %: from the errors of 12 fields held out of the training; they grow"
    assert words in result["interval"]
    assert main(command) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert f"(90 % within ± {half[0, 0]:.2g} J, {half[0, 1]:.2g} J)" in lines[0]
    # As many digits as the interval leaves, for each output.
    for line, totals, widths in zip(lines, result["y"], half, strict=True):
        shown = "  ".join(f"{rounded(*pair)} J" for pair in zip(totals, widths, strict=True))
        assert f"  {shown}  (90 %" in line
    assert last.startswith(words)
    assert main([*command, "-o", "t.csv"]) == 0
    assert "total 1 plus or minus (90 %) (J)" in (tmp_path / "t.csv").read_text().splitlines()[0]
    # One output, none held out.
    np.savez("train.npz", X=X, y=y)
    assert main(["fit", "train.npz", "-m", "quadratic", "--context", "0", "-q",
                 "--test-fraction", "0"]) == 0  # fmt: skip
    capsys.readouterr()
    assert main(["predict", "model.ednn", "new.npy"]) == 0
    captured = capsys.readouterr()
    assert "no intervals: the model file has no errors of fields held out" in captured.err
    assert "±" not in captured.out


def test_interval_needs_a_table_of_predictions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(20, 4, 4))
    np.savez("a.npz", X=X, y=X.sum(axis=(1, 2)))
    assert main(["fit", "a.npz", "-m", "quadratic", "--context", "0", "-q"]) == 0
    (tmp_path / "t.csv").write_text("part,size,true,predicted\ntest,16,1,1\n")
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    for name, words in (("t.csv", "larger --test-fraction"), ("wrong.csv", "predictions.csv")):
        assert main(["predict", "model.ednn", "a.npz", "--interval", name]) == 1
        assert words in capsys.readouterr().err


def test_totals_with_a_mark_of_missing_values_are_noted(run, folder):
    save(REGRESSOR.fit(CHAINS, SUMS), folder / "plain.ednn")
    np.save(folder / "chains.npy", CHAINS)
    totals = SUMS.copy()
    np.save(folder / "all.npy", totals)
    totals[3] = -9999
    np.save(folder / "marked.npy", totals)
    assert "seems to mark" not in run("evaluate plain.ednn chains.npy all.npy").stderr
    shown = run("evaluate plain.ednn chains.npy marked.npy").stderr
    assert "note: The array of totals contains -9999 at [3]" in shown
