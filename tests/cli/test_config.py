"""Settings in files are flags, and what was run can be run again."""

import html
import inspect
import json
import os
import re
import shlex
import sys

import numpy as np
import pytest

from sk_ednn.files import load

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")
yaml = pytest.importorskip("yaml")

# A value for each setting that there is, none of them the default.
FIT = {
    "fields": "odd.npz::spins",
    "targets": "odd.npz::work",
    "model": "quadratic",
    "symmetries": "reflect",
    "focus": [2, 1],
    "context": [0, 1],
    "boundary": "zero",
    "channel-axis": None,
    "remainder": "pad",
    "baseline": "none",
    "test-fraction": 0.5,
    "seed": 3,
    "jobs": 1,
    "categorical": False,
    "harmonics": 1,
    "angles": None,
    "epochs": None,
    "lr": None,
    "early-stopping": None,
    "device": None,
    "checkpoint": None,
    "keep-on-interrupt": False,
    "unit": "J",
    "density-unit": None,
    "spacing": None,
    "width": None,
    "plane": None,
    "adjust": None,
    "energy": None,
    "forces": False,
    "images": False,
    "cutoff": None,
    "averages": None,
    "repulsion": False,
    "screening": False,
    "weight-decay": None,
    "max-seconds": None,
    "members": None,
    "labels": None,
    "start": None,
    "clock": None,
    "group": None,
    "errors-by": None,
    "output": "from_file.ednn",
    "report": None,
    "errors": None,
    "json": True,
    "quiet": True,
}
PREDICT = {
    "model": "model.ednn",
    "fields": "large.npy",
    "output": "from_file.npz",
    "contributions": True,
    "density-unit": None,
    "interval": None,
    "novelty": None,
    "sort": None,
    "jobs": 1,
    "max-bytes": 10_000_000,
    "json": True,
    "quiet": True,
}


def flags(settings):
    """Return the same settings as a command line."""
    words = []
    for key, value in settings.items():
        if key in ("fields", "targets") or (key == "model" and "max-bytes" in settings):
            words.insert(0 if key == "model" else len(words), str(value))
        elif value is True:
            words.append(f"--{key}")
        elif value is not None and value is not False:
            words += [f"--{key}", ",".join(map(str, value)) if type(value) is list else str(value)]
    return shlex.join(words)


def written(folder, name, settings):
    (folder / name).write_text(yaml.safe_dump(settings), encoding="utf-8")
    return name


def test_a_file_and_flags_make_the_same_model(run, folder):
    written(folder, "fit.yaml", FIT)
    from_file = json.loads(run("fit --config fit.yaml").stdout)
    from_flags = json.loads(run(f"fit {flags(FIT | {'output': 'from_flags.ednn'})}").stdout)
    assert from_file["sha256"] == from_flags["sha256"]
    assert {**from_file, "output": None} == {**from_flags, "output": None}
    assert (folder / "from_file.ednn").read_bytes() == (folder / "from_flags.ednn").read_bytes()
    model = load(folder / "from_file.ednn")
    assert (model.tiling.focus, model.tiling.context) == ((2, 1), (0, 1))
    assert (model.baseline, model.random_state, from_file["n_test"]) == (None, 3, 100)


def test_a_file_and_flags_predict_the_same(run, folder):
    written(folder, "predict.yaml", PREDICT)
    from_file = json.loads(run("predict --config predict.yaml").stdout)
    from_flags = json.loads(run(f"predict {flags(PREDICT | {'output': 'flags.npz'})}").stdout)
    assert from_file["y"] == from_flags["y"] and from_file["output"] == "from_file.npz"
    with np.load(folder / "from_file.npz") as file, np.load(folder / "flags.npz") as flagged:
        assert set(file.files) == {"y", "contributions"}
        for name in file.files:
            np.testing.assert_array_equal(file[name], flagged[name])


@pytest.mark.parametrize(("command", "settings"), [("fit", FIT), ("predict", PREDICT)])
def test_every_setting_goes_round(command, settings, run, folder):
    """From a file, through a run, into another, and through that again."""
    from sk_ednn.cli import _app

    parameters = set(inspect.signature(getattr(_app, command)).parameters)
    names = {key.replace("-", "_") for key in settings} - {"json"} | {"as_json"}
    unsaved = {"ctx", "run", "config", "save_config", "force"}
    assert names == parameters - unsaved  # none is left out here
    report = {"report": "round.html"} if command == "fit" and HAS_MATPLOTLIB else {}
    given = written(folder, "given.yaml", settings | report)
    run(f"{command} --config {given} --save-config first.yaml")
    run(f"{command} --config first.yaml --save-config second.yaml")
    first, second = (
        yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        for name in ("first.yaml", "second.yaml")
    )
    assert first == second == {k: v for k, v in (settings | report).items() if v is not None}


def test_defaults_are_written_too(run, folder):
    run("fit small.npz -o a.ednn -q --save-config defaults.yaml")
    saved = yaml.safe_load((folder / "defaults.yaml").read_text(encoding="utf-8"))
    assert (saved["focus"], saved["seed"], saved["test-fraction"]) == (1, 0, 0.2)
    assert "targets" not in saved and "config" not in saved
    run("fit --config defaults.yaml -o b.ednn")
    assert (folder / "a.ednn").read_bytes() == (folder / "b.ednn").read_bytes()


def test_flags_win_over_the_file(run, folder):
    written(folder, "half.yaml", {"fields": "nowhere.npz", "model": "quadratic", "focus": 2})
    line = "fit small.npz --config half.yaml --focus 1 -o won.ednn --json"
    assert json.loads(run(line).stdout)["strategy"] == "LinearSolver"
    assert load(folder / "won.ednn").tiling.focus == 1
    # Wherever the file stands on the line.
    run("fit small.npz --focus 4 -o won.ednn -q --config half.yaml")
    assert load(folder / "won.ednn").tiling.focus == 4


@pytest.mark.parametrize(
    ("text", "setting"), [("none", None), ("[2, none]", (2, None)), ("2,4", (2, 4)), ("'4'", 4)]
)
def test_a_focus_in_a_file(text, setting, run, folder):
    (folder / "focus.yaml").write_text(f"focus: {text}\ncontext: 0\n", encoding="utf-8")
    run("fit small.npz -m quadratic --config focus.yaml -o focus.ednn -q")
    assert load(folder / "focus.ednn").tiling.focus == setting


BAD = {
    "focsu: 2": "unknown setting 'focsu'. Did you mean focus?",
    "test_fraction: 0.1": "unknown setting 'test_fraction'. Did you mean test-fraction?",
    "config: other.yaml": "unknown setting 'config'. Valid ones: fields, targets, model,",
    "1: 2": "unknown setting 1. Valid ones: fields, ",
    "focus: null": "focus must be an integer, none, or a list with one per axis; got null",
    "focus: []": "focus must be an integer, none, or a list with one per axis; got [].",
    "focus: [2, 1.5]": "focus must be an integer, none, or a list with one per axis; got",
    "focus: true": "focus must be an integer, none, or a list with one per axis; got True",
    "seed: 3.5": "seed must be an integer; got 3.5.",
    "seed: '3'": "seed must be an integer; got '3'.",
    "seed: false": "seed must be an integer; got False.",
    "seed: -1": "seed: ",
    "test-fraction: 2": "test-fraction: ",
    "test-fraction: 1e-1": "test-fraction must be a number, with a point (in YAML 1e-3 is text",
    "unit: 5": "unit must be text; got 5.",
    "output: [a, b]": "output must be text; got ['a', 'b'].",
    "json: maybe": "json must be true or false; got 'maybe'.",
    "a: &a [1, *a]\nb: [*a, *a, *a]": "unknown setting 'a'. Valid ones: fields, ",
    "focus: [1": "cannot be read as YAML: ",
    "seed: 1\nseed: 2": "cannot be read as YAML: 'seed' is a duplicate (line 2, column 1).",
    "seed: 010": "cannot be read as YAML: '010' is 8 in YAML: write 10, or 8 (line 1, column 7).",
    "quiet: on": "cannot be read as YAML: 'on' is true in YAML: write true, or for the text 'on'",
    "[a]: 1": "cannot be read as YAML: the name of a setting must be a word (line 1, column",
    "seed: !!python/object/apply:os.mkdir [owned]": "cannot be read as YAML: could not determine",
    "a: \x00": "cannot be read as YAML: ",
    "[" * 2_000: "cannot be read as YAML: it is nested too deeply.",
    "\xff": "cannot be read as YAML: it is not text in UTF-8.",
    "seed: 2001-13-40": "cannot be read as YAML: month must be in 1..12",
    "seed: !!bool x": "cannot be read as YAML: x.",
    "seed: !!timestamp x": "cannot be read as YAML: ",
    "seed: !!int x": "cannot be read as YAML: ",
    "seed: " + "9" * 5_000: "cannot be read as YAML: Exceeds the limit",
    "!!map [a, b]": "cannot be read as YAML: ",
    # some billion settings in nine lines, were they merged
    "a: &a {x: 1}\n"
    + "".join(
        f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n"
        for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    ): "cannot be read as YAML: << is not supported: write the settings themselves",
    "#" * (1 << 20) + "\n": "has more than 1048576 bytes, so it is not a file of settings.",
    "- focus": "must contain settings, such as 'focus: 2'; got ['focus'].",
    "": "must contain settings, such as 'focus: 2'; got null.",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:20])
def test_a_bad_file_is_refused_in_one_line(text, run, folder):
    (folder / "bad.yaml").write_bytes(text.encode("latin-1"))
    result = run("fit small.npz --config bad.yaml", expected=1)
    message = BAD[text]
    colon = "" if message.startswith(("cannot", "must", "has")) else ":"
    assert result.stderr.startswith(f"error: bad.yaml{colon} {message}")
    assert result.stderr.count("\n") == 1 and len(result.stderr) < 600
    assert result.stdout == "" and not (folder / "owned").exists()


def test_settings_are_not_waited_for(run, folder):
    os.mkfifo(folder / "pipe.yaml")
    result = run("fit small.npz --config pipe.yaml", expected=1)
    assert result.stderr == "error: pipe.yaml is a named pipe. Expected the name of a file.\n"
    result = run("predict pipe.yaml small.npz", expected=1)
    assert result.stderr == "error: pipe.yaml is a named pipe. Expected the name of a file.\n"


def test_files_that_cannot_be_read_or_written(run, folder):
    lines = {
        "fit small.npz --config nowhere.yaml": "error: nowhere.yaml does not exist.",
        "fit small.npz --config .": "error: ",
        "fit small.npz --save-config nowhere/a.yaml": "error: The folder nowhere for",
        "predict model.ednn X.npy --save-config .": "error: . is a folder",
        "predict --config fit.yaml": "error: fit.yaml: unknown setting 'focus'. Valid ones: ",
    }
    written(folder, "fit.yaml", {"focus": 1})
    for line, message in lines.items():
        result = run(line, expected=1)
        assert result.stderr.startswith(message) and result.stderr.count("\n") == 1
    # What a file leaves out is missing as ever, and help is given whatever stands in the file.
    assert "fields" in run("fit --config fit.yaml", expected=2).stderr
    assert "--save-config" in run("fit --help --config nowhere.yaml").stdout


# --- reports ----------------------------------------------------------------------------------

try:
    import matplotlib.figure  # noqa: F401

    HAS_MATPLOTLIB = True
except ImportError:
    HAS_MATPLOTLIB = False


def test_a_report_holds_the_errors_that_are_printed(run, folder):
    pytest.importorskip("matplotlib")
    line = "fit two.npz -m quadratic --unit J -o fit.ednn --report fit.html --json"
    printed = json.loads(run(line).stdout)
    page = (folder / "fit.html").read_text(encoding="utf-8")
    assert printed["report"] == "fit.html"
    for part in ("train", "test"):
        for errors in printed[part]:
            for value in errors.values():
                assert f'<data value="{value!r}">' in page
    assert printed["sha256"] in page
    assert "sk-ednn fit two.npz --model quadratic --unit J --output fit.ednn" in page
    assert "report written to fit.html" in run(line.removesuffix(" --json")).stdout


def test_the_command_in_a_report_makes_the_same_model(run, folder):
    pytest.importorskip("matplotlib")
    written(folder, "long.yaml", FIT | {"report": "long.html", "quiet": False})
    printed = json.loads(run("fit --config long.yaml --seed 4").stdout)
    page = (folder / "long.html").read_text(encoding="utf-8")
    command = html.unescape(re.search(r"sk-ednn (fit [^<]*)", page)[1])
    assert "--seed 4" in command and "--config" not in command
    again = json.loads(run(f"{command} --output again.ednn").stdout)
    assert again["sha256"] == printed["sha256"] and printed["sha256"] in page


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fit.txt", "--report must end in .html, got fit.txt."),
        ("nowhere/fit.html", "The folder nowhere for"),
        (".", "--report must end in .html, got .."),
        (
            "a.html -o ./a.html",
            "--output a.html and --report a.html are the same file. Use different",
        ),
        (
            "a.html --save-config a.html",
            "--report a.html and --save-config a.html are the same file",
        ),
    ],
)
def test_a_report_that_cannot_be_written_costs_no_fit(name, message, run, folder):
    result = run(f"fit small.npz -o unfitted.ednn --report {name}", expected=1)
    assert result.stderr.startswith(f"error: {message}") and result.stderr.count("\n") == 1
    assert not (folder / "unfitted.ednn").exists()


@pytest.mark.parametrize(
    ("missing", "line", "extra"),
    [
        ("matplotlib.figure", "--report a.html", "plot"),
        ("yaml", "--save-config a.yaml", "cli"),
        ("yaml", "--config a.yaml", "cli"),
    ],
)
def test_a_library_that_is_missing_is_named(missing, line, extra, run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    result = run(f"fit small.npz -o unfitted.ednn {line}", expected=1)
    library = missing.partition(".")[0]
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    message = f"needs {library}, which is not installed: pip install 'sk-ednn[{extra}]'.\n"
    assert result.stderr.endswith(message)
    assert not (folder / "unfitted.ednn").exists()
