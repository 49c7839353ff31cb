"""Files to work on, and ways to run the command line among them."""

import os
import select
import sys

import joblib
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.files import save


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files of all kinds, good and bad."""
    folder = tmp_path_factory.mktemp("cli")
    small = make_ising(200, (8, 8), sampling="flat", random_state=0)
    large = make_ising(3, (16, 16), random_state=1)
    X, y = small.fields, small.energies
    np.savez(folder / "small.npz", X=X, y=y)
    np.savez(folder / "odd.npz", spins=X, work=y)
    np.savez(folder / "many.npz", spins=X, work=y, heat=y)
    np.savez(folder / "two.npz", X=X, y=np.stack([y, 2 * y], axis=1))
    for name, n in (("few", 20), ("real", 200)):
        noise = np.random.default_rng(0).normal(size=(n, 8, 8))
        np.savez(folder / f"{name}.npz", X=noise, y=(noise**2).sum(axis=(1, 2)))
    np.savez(folder / "cubes.npz", X=noise, y=(noise**3).sum(axis=(1, 2)))
    np.savez(folder / "channel.npz", X=X[..., None], y=y)
    rows = "".join(f"s{k},{total!r}\n" for k, total in enumerate(y.tolist()))
    (folder / "totals.csv").write_text("system,energy\n" + rows, encoding="utf-8")
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
    np.save(folder / "cube.npy", np.zeros((2, 4, 4, 4)))
    (folder / "broken.ednn").write_bytes(b"nonsense")
    committee = EDNNCommittee(EDNNRegressor(Ridge()), n_members=2, random_state=0)
    save(committee.fit(X[:20], y[:20]), folder / "committee.ednn")
    model = EDNNRegressor(None, GridTiling(1, 1), random_state=0).fit(X, y)
    save(model, folder / "model.ednn")
    joblib.dump(model, folder / "old.joblib")
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    """Run a command line in the folder of the files; return what it printed."""
    monkeypatch.chdir(folder)

    def run(line, expected=0, *, force=True):
        from typer.testing import CliRunner

        from sk_ednn.cli._app import app

        words = line.split()
        if force and words[:1] == ["fit"] and "--force" not in words:
            words.append("--force")  # tests fit into the same files again and again
        if expected == 1 and words[:1] in (["fit"], ["predict"], ["tile"]):
            words.append("--quiet")  # what is wrong, and not what was done before
        result = CliRunner().invoke(app, words)
        assert result.exit_code == expected, result.output
        # SystemExit is how a command ends; anything else would have been a traceback.
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


@pytest.fixture
def on_terminal(folder, monkeypatch):
    """Run a command line on a terminal with an answer to its question.

    Returns its exit status, and what the terminal shows.
    """
    pty = pytest.importorskip("pty")  # Windows has none
    monkeypatch.chdir(folder)

    def run(line, answer):
        from sk_ednn.cli._app import app

        keyboard, terminal = pty.openpty()
        os.write(keyboard, answer.encode())
        with open(terminal) as stdin, open(os.dup(terminal), "w") as stderr:
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(sys, "stderr", stderr)
            with pytest.raises(SystemExit) as ended:
                app(line.split())
            stderr.flush()
            monkeypatch.undo()
            shown = b""
            while select.select([keyboard], [], [], 0.2)[0]:
                shown += os.read(keyboard, 1 << 16)
        os.close(keyboard)
        return ended.value.code, shown.decode()

    return run
