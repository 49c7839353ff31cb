"""Answers of the command line before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "scipy", "sklearn", "torch", "skorch", "dask", "pandas", "matplotlib", "skops")


def loaded_by(line, folder, heavy=HEAVY):
    """Run a command line in its own process; return its output and which of these it loaded."""
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from sk_ednn.cli import main
        code = main({line.split()!r})
        loaded = set({heavy!r}) & set(sys.modules)
        print("loaded:", code, *sorted(loaded))"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    *said, last = done.stdout.splitlines()
    code, *loaded = last.split()[1:]
    return int(code), loaded, "\n".join(said), done.stderr


@pytest.mark.parametrize(
    "line",
    ["--version", *(f"{command} --help".strip() for command in (
        "", "fit", "predict", "inspect", "tile", "evaluate", "md", "relax", "count", "count fit",
        "count report", "search", "search run", "runs", "runs list", "ui",
    ))],
)  # fmt: skip
def test_help_and_version_import_nothing_heavy(line, tmp_path):
    code, loaded, said, _ = loaded_by(line, tmp_path)
    assert (code, loaded) == (0, [])
    assert "sk-ednn" in said


def test_the_version_is_that_of_the_package(tmp_path):
    import sk_ednn

    assert loaded_by("--version", tmp_path)[2] == f"sk-ednn {sk_ednn.__version__}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fit nowhere.npz", "nowhere.npz does not exist."),
        ("fit X.npy nowhere.csv", "nowhere.csv does not exist."),
        ("fit X.doc", "X.doc: expected a name that ends in .npy"),
        ("fit X.npy -m magic", "--model must be one of auto, kernel"),
        ("fit X.npy -m forest --epochs 3", "--epochs is for --model dense or perceptron; the"),
        ("fit X.npy --report fit.txt", "--report must end in .html, got fit.txt."),
        ("predict nowhere.ednn X.npy", "nowhere.ednn does not exist."),
        ("predict X.npy nowhere.npy", "nowhere.npy does not exist."),
        ("predict folder X.npy", "folder is a folder. Expected the name of a file."),
        ("predict gone.ednn X.npy", "gone.ednn does not exist (it is a broken link)."),
        ("count fit nowhere t.csv", "t.csv does not exist."),
        ("count fit nowhere X.npy", "nowhere does not exist."),
        ("count fit folder folder", "folder is a folder, but the second argument is the table"),
        ("count fit folder X.npy --dots d.csv", "d.csv does not exist."),
        ("count predict nowhere.ednn folder", "nowhere.ednn does not exist."),
        ("count predict gone.ednn folder", "gone.ednn does not exist (it is a broken link)."),
        ("count report nowhere.ednn folder", "nowhere.ednn does not exist."),
        ("search run nowhere.yaml", "nowhere.yaml does not exist."),
        ("search status folder", "folder is a folder. Expected the name of a file."),
        ("inspect nowhere.ednn", "nowhere.ednn does not exist."),
        ("tile nowhere.npy", "nowhere.npy does not exist."),
    ],
)
def test_files_and_words_are_checked_before_anything_heavy_is_imported(line, said, tmp_path):
    for name in ("X.npy", "X.doc"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone.ednn").symlink_to(tmp_path / "removed.ednn")
    heavy = tuple(name for name in HEAVY if name != "numpy")
    code, loaded, _, errors = loaded_by(line, tmp_path, heavy)
    assert (code, loaded) == (1, [])
    assert errors.startswith(f"error: {said}") and errors.count("\n") == 1


@pytest.mark.parametrize("line", ["fit X.npy", "predict X.npy X.npy", "tile X.npy"])
def test_what_is_read_is_said_before_it_is(line, tmp_path):
    (tmp_path / "X.npy").write_bytes(b"nonsense")
    errors = loaded_by(line, tmp_path)[-1].splitlines()
    assert errors[0].startswith("reading X.npy") and errors[-1].startswith("error: X.npy")
    quiet = loaded_by(f"{line} --quiet", tmp_path)[-1].splitlines()
    assert quiet == errors[-1:]


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
