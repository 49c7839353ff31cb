"""No command writes over what it reads, and none replaces a model unasked."""

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args, get_type_hints

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")

from sk_ednn.cli._paths import READ, WRITTEN, check_paths

posix = pytest.mark.skipif(sys.platform == "win32", reason="links")


@pytest.fixture
def inputs(run, folder, tmp_path, monkeypatch):
    """Copy inputs to a new folder, and return what is in it."""
    for name in ("X.npy", "y.npy", "small.npz", "model.ednn"):
        shutil.copy(folder / name, tmp_path / name)
    (tmp_path / "set.yaml").write_text("focus: 1\n", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(run, inputs):
    """Run a command line among inputs that cannot be read, and must not be touched."""

    def content():
        return {path: path.read_bytes() for path in inputs.rglob("*") if path.is_file()}

    def call(line, words):
        for path in inputs.iterdir():
            if path.suffix in (".npy", ".npz", ".ednn"):
                path.write_bytes(b"unreadable")
        before = content()
        result = run(line, expected=1)
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert words in result.stderr
        assert content() == before

    return call


OVERWRITING = {
    "fit X.npy y.npy -o X.npy": "--output X.npy would overwrite the fields in X.npy",
    "fit X.npy y.npy -o y.npy": "--output y.npy would overwrite the totals in y.npy",
    "fit small.npz -o small.npz": "would overwrite the fields",
    "fit small.npz::X small.npz::y -o small.npz": "would overwrite the fields in small.npz.",
    "fit X.npy y.npy --save-config y.npy": "--save-config y.npy would overwrite the totals",
    "fit X.npy y.npy --config set.yaml --save-config set.yaml": "would overwrite the settings in "
    "set.yaml",
    "fit X.npy y.npy --config set.yaml -o set.yaml": "would overwrite the settings",
    "fit X.npy y.npy -o both --save-config both": "--output both and --save-config both are the "
    "same file",
    "predict model.ednn X.npy -o X.npy": "--output X.npy would overwrite the fields",
    "predict model.ednn X.npy --save-config X.npy": "--save-config X.npy would overwrite the",
    "predict model.ednn X.npy --save-config model.ednn": "would overwrite the model in model.ednn",
    "predict model.ednn small.npz::X -o small.npz --contributions": "would overwrite the fields",
    "predict model.ednn X.npy -o a.npy --save-config a.npy": "--save-config a.npy are the same "
    "file",
    "tile X.npy -o X.npy": "--output X.npy would overwrite the fields",
}


@pytest.mark.parametrize("line", OVERWRITING)
def test_inputs_are_not_written_over(line, call):
    call(line, OVERWRITING[line])


SPELLINGS = {
    "dotted": "./X.npy",
    "around": "sub/../X.npy",
    "absolute": "{folder}/X.npy",
    "symbolic link": "link.npy",
    "link to a link": "sub/link.npy",
    "linked folder": "other/X.npy",
    "hard link": "hard.npy",
}


@posix
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("line", ["predict model.ednn {} -o {}", "fit {} y.npy -o {}",
                                  "tile {} -o {}"])  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_spelling_does_not_matter(spelling, line, turned, inputs, call):
    Path("link.npy").symlink_to("X.npy")
    Path("sub/link.npy").symlink_to("../link.npy")
    Path("other").symlink_to(inputs)
    os.link("X.npy", "hard.npy")
    pair = ["X.npy", SPELLINGS[spelling].format(folder=inputs)]
    call(line.format(*(pair[::-1] if turned else pair)), "would overwrite the fields")


@posix
def test_a_file_that_is_not_there_yet_is_known_through_links(inputs, call):
    Path("later.npy").symlink_to("new.npy")
    call("predict model.ednn X.npy -o later.npy --save-config sub/../new.npy", "are the same file")


@pytest.mark.parametrize("output", ["S.zarr/X/0.npy", "S.zarr/X/../new.npy", "S.zarr/a.npy"])
def test_nothing_is_written_into_a_folder_that_is_read(output, inputs, call):
    Path("S.zarr/X").mkdir(parents=True)
    call(f"predict model.ednn S.zarr::X -o {output}", "is in the folder with the fields, S.zarr")


def test_names_that_differ_by_case_alone_are_one(inputs, call):
    call(
        "fit X.npy y.npy -o New --save-config nEW",
        "--output New and --save-config nEW are the same file",
    )


def test_one_file_under_two_cases_is_one(inputs, monkeypatch):
    """As on a file system that does not tell upper from lower case."""
    there, same = Path.exists, os.path.samefile

    def lower(path):
        return Path(str(path).lower())

    monkeypatch.setattr(Path, "exists", lambda path: there(lower(path)))
    monkeypatch.setattr(os.path, "samefile", lambda a, b: same(lower(a), lower(b)))
    with pytest.raises(ValueError, match="would overwrite the fields"):
        check_paths(SimpleNamespace(fields="small.npz", output=Path("SMALL.npz")))


def test_what_stands_behind_a_path_does_not_hide_it(inputs):
    for name in ("X.npy@:10", "X.npy::a", "X.npy::a@3"):
        with pytest.raises(ValueError, match="would overwrite the fields"):
            check_paths(SimpleNamespace(fields=name, output=Path("X.npy")))


def test_every_path_of_every_command_is_checked():
    """An option that is added must be in one of the two tables."""
    from sk_ednn.cli._app import app

    for command in app.registered_commands:
        hints = get_type_hints(command.callback).items()
        paths = {name for name, hint in hints if Path in (hint, *get_args(hint))}
        # A run has a new folder in that of --run, and the pages have one for runs.
        assert paths <= set(READ) | set(WRITTEN) | {"run", "folder"}, command.callback


def test_different_files_are_not_refused(inputs):
    options = SimpleNamespace(fields="X.npy", targets="y.npy", model="auto", output=Path("a.ednn"),
                            report=Path("a.html"), save_config=Path("a.yaml"))  # fmt: skip
    check_paths(options)
    Path("auto").touch()
    check_paths(SimpleNamespace(fields="X.npy", model="auto", output=Path("auto")))


# --- models that are there --------------------------------------------------------------------


def test_a_model_is_replaced_when_asked_for(folder, run):
    target = folder / "kept.ednn"
    target.write_bytes(b"kept")
    result = run("fit X.npy y.npy -m quadratic -o kept.ednn", expected=1, force=False)
    assert result.stderr.endswith(
        "kept.ednn exists. Add --force to replace it, or choose another name with --output.\n"
    )
    assert target.read_bytes() == b"kept"
    run("fit X.npy y.npy -m quadratic -o kept.ednn --force", force=False)
    assert target.read_bytes() != b"kept"


@pytest.mark.parametrize("force", ["", " --force"])
def test_of_two_commands_that_write_one_model_the_second_is_refused(force, folder, run):
    """Otherwise the later one would replace the model of the other, which was not there before."""
    from sk_ednn._utils.locking import Lock
    from sk_ednn.cli._errors import one_line_errors
    from sk_ednn.cli._paths import may_replace

    lock = Lock(folder / "both.ednn")
    try:
        line = f"fit X.npy y.npy -m quadratic -o both.ednn{force}"
        result = run(line, expected=1, force=False)
        assert "is about to write both.ednn. Wait until it has ended" in result.stderr
    finally:
        lock.release()
    run(f"fit X.npy y.npy -m quadratic -o both.ednn{force}", force=False)
    assert sorted(path.name for path in folder.glob("both*")) == ["both.ednn"]
    (folder / "both.ednn").unlink()
    with one_line_errors():
        assert not may_replace("--output", Path("both.ednn"), force=False)
        with pytest.raises(BlockingIOError):
            Lock("both.ednn")
    Lock("both.ednn").release()
    assert may_replace("--output", Path(os.devnull), force=True)


@pytest.mark.parametrize(("answer", "replaced"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_you_are_asked_whether_to_replace_a_file(
    on_terminal, answer, replaced, tmp_path
):
    (tmp_path / "m.ednn").write_bytes(b"kept")
    line = f"fit X.npy y.npy -m quadratic -o {tmp_path / 'm.ednn'}"
    status, shown = on_terminal(line, answer)
    assert "m.ednn exists. Replace it? [y/N]" in shown
    assert (status == 0) is replaced
    assert ((tmp_path / "m.ednn").read_bytes() != b"kept") is replaced
    assert ("is kept. Choose another name" in shown) is not replaced


def test_force_is_no_setting(folder, run):
    run("fit X.npy y.npy -m quadratic -o set.ednn --save-config set.yaml")
    assert "\nforce:" not in (folder / "set.yaml").read_text(encoding="utf-8")


@posix
def test_predictions_go_through_a_link_and_keep_permissions(folder, run, tmp_path):
    goal = tmp_path / "goal.npy"
    np.save(goal, np.zeros(1))
    goal.chmod(0o640)
    (tmp_path / "link.npy").symlink_to(goal)
    run(f"predict model.ednn large.npy -o {tmp_path / 'link.npy'}")
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(goal).shape == (3,)
    assert goal.stat().st_mode & 0o777 == 0o640
