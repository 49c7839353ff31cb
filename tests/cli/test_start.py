"""Answers of the command line before anything heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "scipy", "sklearn", "torch", "skorch", "dask", "pandas", "matplotlib", "skops")


def answers(lines, folder, heavy=HEAVY):
    """Run command lines one after another in a new process.

    Return for each its exit code, which of some modules it loaded, and what it printed on standard
    output and on standard error.
    """
    code = f"""if True:
        import contextlib, io, json, sys
        sys.path.insert(0, {str(ROOT)!r})
        from sk_ednn.cli import main
        results, before = [], set()
        for line in {[line.split() for line in lines]!r}:
            out, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                code = main(line)
            loaded = set({heavy!r}) & set(sys.modules)
            results.append((code, sorted(loaded - before), out.getvalue(), errors.getvalue()))
            before = loaded
        print(json.dumps(results))"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return dict(zip(lines, json.loads(done.stdout), strict=True))


def test_help_and_version_import_nothing_heavy(tmp_path):
    lines = ["--version", *(f"{command} --help".strip() for command in (
        "", "fit", "predict", "inspect", "tile", "evaluate", "md", "relax", "count", "count fit",
        "count report", "search", "search run", "runs", "runs list", "ui",
    ))]  # fmt: skip
    for line, (code, loaded, said, _) in answers(lines, tmp_path).items():
        assert (line, code, loaded) == (line, 0, [])
        assert "sk-ednn" in said


def test_the_version_is_that_of_the_package(tmp_path):
    import sk_ednn

    said = answers(["--version"], tmp_path)["--version"][2]
    assert said == f"sk-ednn {sk_ednn.__version__}\n"


WRONG = {
    "fit nowhere.npz": "nowhere.npz does not exist.",
    "fit X.npy nowhere.csv": "nowhere.csv does not exist.",
    "fit X.doc": "X.doc: expected a name that ends in .npy",
    "fit X.npy -m magic": "--model must be one of auto, kernel",
    "fit X.npy -m forest --epochs 3": "--epochs is for --model dense or perceptron; the",
    "fit X.npy --report fit.txt": "--report must end in .html, got fit.txt.",
    "predict nowhere.ednn X.npy": "nowhere.ednn does not exist.",
    "predict X.npy nowhere.npy": "nowhere.npy does not exist.",
    "predict folder X.npy": "folder is a folder. Expected the name of a file.",
    "predict gone.ednn X.npy": "gone.ednn does not exist (it is a broken link).",
    "count fit nowhere t.csv": "t.csv does not exist.",
    "count fit nowhere X.npy": "nowhere does not exist.",
    "count fit folder folder": "folder is a folder, but the second argument is the table",
    "count fit folder X.npy --dots d.csv": "d.csv does not exist.",
    "count predict nowhere.ednn folder": "nowhere.ednn does not exist.",
    "count predict gone.ednn folder": "gone.ednn does not exist (it is a broken link).",
    "count report nowhere.ednn folder": "nowhere.ednn does not exist.",
    "search run nowhere.yaml": "nowhere.yaml does not exist.",
    "search status folder": "folder is a folder. Expected the name of a file.",
    "inspect nowhere.ednn": "nowhere.ednn does not exist.",
    "tile nowhere.npy": "nowhere.npy does not exist.",
}


def test_files_and_words_are_checked_before_anything_heavy_is_imported(tmp_path):
    for name in ("X.npy", "X.doc"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone.ednn").symlink_to(tmp_path / "removed.ednn")
    heavy = tuple(name for name in HEAVY if name != "numpy")
    for line, (code, loaded, _, errors) in answers(list(WRONG), tmp_path, heavy).items():
        assert (line, code, loaded) == (line, 1, [])
        assert errors.startswith(f"error: {WRONG[line]}") and errors.count("\n") == 1


def test_what_is_read_is_said_before_it_is(tmp_path):
    (tmp_path / "X.npy").write_bytes(b"nonsense")
    lines = ["fit X.npy", "predict X.npy X.npy", "tile X.npy"]
    said = answers([*lines, *(f"{line} --quiet" for line in lines)], tmp_path)
    for line in lines:
        errors = said[line][-1].splitlines()
        assert errors[0].startswith("reading X.npy") and errors[-1].startswith("error: X.npy")
        assert said[f"{line} --quiet"][-1].splitlines() == errors[-1:]


@pytest.mark.parametrize(
    ("words", "found"),
    [("sk-ednn in", "inspect"), ("sk-ednn fit --chan", "--channel-axis"),
     ("sk-ednn fit --model qua", "quadratic"), ("sk-ednn tile --boundary re", "reflect")],
)  # fmt: skip
def test_the_shell_completes_commands_options_and_values(words, found, tmp_path):
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from sk_ednn.cli import main
        main([])"""
    environment = {"_SK_EDNN_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert found in done.stdout.split()
