"""Labels and angles from the command line: encoded in the fit, and by the file ever after."""

import json
import math
import warnings

import numpy as np
import pytest
from scipy.linalg import LinAlgWarning
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, files
from sk_ednn.cli._encoders import period_of
from sk_ednn.cli._fit import _known_sums
from sk_ednn.datasets import make_ising, make_potts
from sk_ednn.encoders import AngleFields, OneHotFields
from sk_ednn.estimators._data_warnings import hint_of_kind
from sk_ednn.simulation import Metropolis

pytest.importorskip("typer")
pytest.importorskip("skops")


@pytest.fixture(scope="module")
def states(folder):
    X, y = make_potts(4, 120, (6, 6), random_state=0, return_X_y=True)
    np.savez(folder / "potts.npz", X=X, y=y)
    angles = np.random.default_rng(0).uniform(0, 360, size=(120, 6, 6))
    turns = np.radians(angles)
    energy = -sum(np.cos(turns - np.roll(turns, 1, axis)).sum((1, 2)) for axis in (1, 2))
    np.savez(folder / "degrees.npz", X=angles, y=energy)
    np.savez(folder / "radians.npz", X=turns, y=energy)
    return {"potts": X, "degrees": angles, "radians": turns}


CASES = {
    "potts": "--categorical",
    "degrees": "--angles 360",
    "radians": "--angles 2pi",
}


@pytest.mark.parametrize("name", CASES)
def test_encoded_fields_are_fitted_better_and_predicted_from_the_file(name, run, folder, states):
    line = f"fit {name}.npz --model quadratic --json"
    results = {}
    for how, options in (("raw", ""), ("encoded", CASES[name])):
        results[how] = json.loads(run(f"{line} -o {name}-{how}.ednn {options}").stdout)
    assert results["encoded"]["test"]["rmse"] < 0.1 * results["raw"]["test"]["rmse"]
    model = files.load(folder / f"{name}-encoded.ednn")
    predicted = json.loads(run(f"predict {name}-encoded.ednn {name}.npz --json").stdout)["y"]
    np.testing.assert_allclose(predicted, model.predict(states[name]))
    run(f"predict {name}-encoded.ednn {name}.npz --contributions -o {name}.npz.out.npz")
    held = np.load(folder / f"{name}.npz.out.npz")["contributions"]
    np.testing.assert_allclose(held.sum(axis=(1, 2)), predicted)


@pytest.mark.parametrize("model", ["auto", "kernel"])
def test_a_report_is_written_of_encoded_fields(model, run, folder, states):
    pytest.importorskip("matplotlib")
    run(f"fit potts.npz --categorical --model {model} -o r.ednn --report r.html")
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert "OneHotFields" in page and "A hint" not in page


def test_a_label_that_was_not_there_is_named(run, folder, states):
    np.save(folder / "strange.npy", states["potts"][:2] + 1)
    run("fit potts.npz --categorical --model quadratic -o labels.ednn --quiet")
    said = run("predict labels.ednn strange.npy", 1).output
    assert "contain 4, not among the categories 0, 1, 2, 3" in said


@pytest.mark.parametrize(
    "options, words",
    [
        ("--categorical --angles 360", "use --categorical or --angles, not both"),
        ("--categorical --channel-axis -1", "leave out --channel-axis"),
        ("--harmonics 2", "--harmonics is for angles"),
        ("--categorical --harmonics 2", "--harmonics is for angles"),
        ("--angles half", "a period such as 360"),
        ("--angles -360", "a period such as 360"),
    ],
)
def test_options_that_do_not_go_together(options, words, run, states):
    assert words in run(f"fit potts.npz {options} -o none.ednn", 1).output


@pytest.mark.parametrize("written", ["360", "'360'", "360.0"])
def test_a_file_of_settings_may_say_a_period(written, run, folder, states):
    settings = f"fields: degrees.npz\nmodel: quadratic\noutput: set.ednn\nangles: {written}\n"
    (folder / "angles.yaml").write_text(settings, encoding="utf-8")
    run("fit --config angles.yaml")
    assert files.load(folder / "set.ednn")[0].period == 360


@pytest.mark.parametrize(
    "text, period",
    [("360", 360), ("2pi", 2 * math.pi), ("pi", math.pi), ("2 * PI", 2 * math.pi), ("1e2", 100)],
)
def test_periods_as_they_are_written(text, period):
    assert period_of(text) == pytest.approx(period)


@pytest.mark.parametrize("text", ["", "pi2", "nan", "inf", "0", "two pi", "-pi"])
def test_what_is_no_period(text):
    with pytest.raises(ValueError, match="must be a period"):
        period_of(text)


def test_a_second_harmonic_is_asked_for_and_helps(run, folder):
    turns = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(500, 24))  # rings
    bonds = turns - np.roll(turns, 1, 1)
    np.savez(folder / "nematic.npz", X=turns, y=-(np.cos(bonds) + 0.1 * np.cos(2 * bonds)).sum(1))
    line = "fit nematic.npz --angles 2pi --model quadratic"
    first = json.loads(run(f"{line} -o first.ednn --json").stdout)
    assert 0.01 < first["verdict"]["over_spread"] < 0.2
    assert "term that is missing in the model: try --harmonics 2 (1 now)" in first["next"]
    second = json.loads(run(f"{line} --harmonics 2 -o second.ednn --json").stdout)
    assert second["test"]["rmse"] < 0.1 * first["test"]["rmse"] and "next" not in second
    assert files.load(folder / "second.ednn")[0].harmonics == 2


# --- hints ------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
HINTS = {
    "Potts": (RNG.integers(3, size=(9, 4, 4)), "integers 0, 1, 2"),
    "twelve labels": (RNG.integers(12, size=(99, 8)), "integers 0, 1, 2"),
    "labels as floats": (RNG.integers(1, 6, size=(99, 8)).astype(float), "integers 1, 2, 3, 4, 5"),
    "species": (RNG.choice([5, 6, 7], size=(9, 4, 4)), "integers 5, 6, 7"),
    "radians": (RNG.uniform(0, 2 * np.pi, size=(99, 8)), "turn of 2 pi, from 0"),
    "radians about 0": (RNG.uniform(-np.pi, np.pi, size=(99, 8)), "turn of 2 pi, from -3.142"),
    "degrees": (RNG.uniform(0, 360, size=(99, 8)).astype(np.float32), "turn of 360, from 0"),
    "whole degrees": (RNG.integers(360, size=(99, 8)), "turn of 360, from 0"),
}
NO_HINTS = {
    "Ising": make_ising(9, (4, 4), random_state=0).fields,
    "occupancies": RNG.integers(2, size=(9, 8)),
    "booleans": RNG.integers(2, size=(9, 8)) > 0,
    "spin 1": RNG.integers(-1, 2, size=(9, 8)),
    "spin 2": RNG.integers(-2, 3, size=(99, 8)),
    "grey images": RNG.integers(256, size=(99, 8)).astype(np.uint8),
    "noise": RNG.normal(size=(99, 8)),
    "parts": RNG.uniform(size=(99, 8)),
    "densities to 6": np.clip(RNG.exponential(size=(99, 8)), 0, 6.2),
    "three levels": RNG.choice([0.0, 0.5, 1.0], size=(99, 8)),
    "constant": np.full((3, 8), 2),
}


@pytest.mark.parametrize("name", HINTS)
def test_values_that_look_like_labels_or_angles(name):
    values, words = HINTS[name]
    assert words in hint_of_kind(values)


@pytest.mark.parametrize("name", NO_HINTS)
def test_values_that_do_not(name):
    assert hint_of_kind(NO_HINTS[name]) is None


def test_the_hint_is_said_where_nothing_else_is(run, states):
    said = run("fit potts.npz --model quadratic -o hinted.ednn").output
    assert (
        "hint: the fields contain the integers 0, 1, 2, 3" in said and "with --categorical" in said
    )
    assert "with --angles 360" in run("fit degrees.npz --model quadratic -o hinted.ednn").output
    assert "with --angles 2pi" in run("fit radians.npz --model quadratic -o hinted.ednn").output
    assert "hint:" not in run("fit potts.npz --categorical --model quadratic -o hinted.ednn").output
    assert "hint:" not in run("fit small.npz --model quadratic -o hinted.ednn").output


@pytest.mark.parametrize("quiet", ["-q", "--json"])
def test_what_numbers_may_mean_is_said_without_progress_too(quiet, run, folder, states):
    X = np.random.default_rng(0).random((20, 8, 8, 1))
    np.savez(folder / "grey.npz", X=X, y=X.sum((1, 2, 3)))
    said = run(f"fit potts.npz --model quadratic -o hinted.ednn {quiet}").stderr
    assert "hint: " in said and "reading" not in said
    said = run(f"fit grey.npz --model quadratic -o hinted.ednn {quiet}").stderr
    assert "warning: " in said and "--channel-axis -1" in said
    assert (
        "--channel-axis"
        not in run(
            f"fit grey.npz --channel-axis -1 --model quadratic -o hinted.ednn {quiet}"
        ).stderr
    )


def test_degrees_that_are_taken_for_radians_are_warned_of(run, states):
    said = run("fit degrees.npz --angles 2pi --model quadratic -o degrees.ednn -q").stderr
    assert "Check their unit" in said
    said = run("fit radians.npz --angles 2pi --model quadratic -o radians.ednn -q").stderr
    assert "Check their unit" not in said
    assert "Check their unit" in run("predict radians.ednn degrees.npz -q").stderr


def test_a_report_has_the_hint(run, folder, states):
    pytest.importorskip("matplotlib")
    run("fit potts.npz --model quadratic -o hinted.ednn --report hinted.html")
    page = (folder / "hinted.html").read_text(encoding="utf-8")
    assert "A hint: the fields contain the integers 0, 1, 2, 3" in page


def test_spins_of_three_values_may_be_labels(run, tmp_path, monkeypatch):
    """Products of values have no term of two squares; the next step names what has."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.integers(-1, 2, (400, 6, 6))
    squares = X.astype(float) ** 2
    y = sum((squares * np.roll(squares, 1, axis) - X * np.roll(X, 1, axis)).sum(axis=(1, 2))
            for axis in (1, 2))  # fmt: skip
    np.savez("spins1.npz", X=X, y=y)
    said = run("fit spins1.npz -m quadratic -o q.ednn").stdout
    assert "--categorical, with which each value has terms of its own" in " ".join(said.split())
    said = run("fit spins1.npz -m quadratic --categorical -o c.ednn").stdout
    assert "terms of its own" not in said
    # With fewer systems than unknowns, exact for those alone that are learned from.
    np.savez("few.npz", X=X[:40], y=y[:40])
    said = run("fit few.npz -m quadratic --categorical -o f.ednn").stdout
    assert "add systems" in said or "fewer of them than unknowns" in " ".join(said.split())


# ----------------------------------------------------------------- a choice between both


def of_few_values(kind, n=90):
    """Return spins 1 on a chain, and energies without or with squares of neighbours."""
    rng = np.random.default_rng(0)
    X = rng.integers(-1, 2, size=(n, 24)).astype(np.int8)
    s = X.astype(float)
    y = -(s * np.roll(s, 1, axis=1)).sum(axis=1) + 0.3 * (s**2).sum(axis=1)
    if kind == "squares":
        y += 0.6 * (s**2 * np.roll(s**2, 1, axis=1)).sum(axis=1)
    return X, y


@pytest.mark.parametrize("dtype", ["i1", "f4"])
def test_auto_gives_each_value_a_channel_where_that_errs_less(dtype, run, folder):
    X, y = of_few_values("squares")
    np.savez(folder / "squares.npz", X=X.astype(dtype), y=y)
    # Without the kernel, which is exact as well, since tiles are few.
    done = run("fit squares.npz --context 3 -o squares.ednn --json --test-fraction 0.3")
    result = json.loads(done.stdout)
    assert result["model"] == "quadratic" and result["categorical"]
    assert result["verdict"]["over_spread"] < 1e-4
    assert "quadratic --categorical less than 0.01 %" in result["chosen as"]
    assert "values -1, 0, 1 alone" in done.stderr


def test_a_model_that_chose_channels_takes_raw_fields_ever_after(run, folder):
    X, y = of_few_values("squares")
    larger = np.tile(X[:3], 2)
    np.savez(folder / "squares.npz", X=X, y=y)
    np.save(folder / "larger.npy", larger)
    run("fit squares.npz --context 3 -o squares.ednn --test-fraction 0.3")
    found = run("predict squares.ednn larger.npy --novelty squares.npz::X --json")
    totals = json.loads(found.stdout)
    np.testing.assert_allclose(totals["y"], 2 * y[:3], rtol=1e-6)
    assert np.max(totals["novelty"]) < 0.05
    model = files.load(folder / "squares.ednn")
    chain = Metropolis(model, 2.0, random_state=0).run(larger[0], 2)
    np.testing.assert_allclose(chain.energies[-1, 0], model.predict(chain.fields[0]))
    assert "range: at most 6 sites" in run("inspect squares.ednn").stdout
    np.save(folder / "strange.npy", larger + 1)
    assert "not among the categories -1, 0, 1" in run("predict squares.ednn strange.npy", 1).output


def test_auto_keeps_amounts_where_these_err_no_more(run, folder):
    X, y = of_few_values("amounts")
    np.savez(folder / "amounts.npz", X=X, y=y)
    result = json.loads(run("fit amounts.npz --context 1 -o amounts.ednn --json").stdout)
    assert result["model"] == "quadratic" and result["categorical"] is False
    assert files.load(folder / "amounts.ednn").tiling.channel_axis is None


@pytest.mark.parametrize("levels", [2, 9])
def test_fields_of_two_or_of_many_values_are_fitted_as_before(levels, run, folder):
    X = np.random.default_rng(0).integers(0, levels, size=(40, 24))
    np.savez(folder / "others.npz", X=X, y=(X * np.roll(X, 1, axis=1)).sum(axis=1))
    result = json.loads(run("fit others.npz -o others.ednn --json").stdout)
    assert "categorical" not in result and "--categorical" not in result["chosen as"]


def test_a_hint_of_labels_is_not_printed_where_they_are_compared(run, folder, states):
    compared = run("fit potts.npz -o potts.ednn --context 1")
    assert "hint:" not in compared.stderr and "comparing" in compared.stderr
    assert "hint:" in run("fit potts.npz -m quadratic -o potts.ednn --force").stderr


def test_channels_that_add_up_to_one_are_not_warned_of():
    """Their collinear products are known, and the penalty decides between them; others may be."""
    for first, n_warnings in ((OneHotFields(), 0), (AngleFields(), 1)):
        estimator = make_pipeline(first, EDNNRegressor())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with _known_sums(estimator):
                warnings.warn(LinAlgWarning("ill-conditioned"), stacklevel=1)
            warnings.warn(LinAlgWarning("after it"), stacklevel=1)
        assert len(caught) == 1 + n_warnings
