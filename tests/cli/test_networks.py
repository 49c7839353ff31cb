"""Options of networks, and trainings that are interrupted."""

import contextlib
import json
import re
import signal

import numpy as np
import pytest

from sk_ednn import EDNNRegressor
from sk_ednn.files import load

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")
pytest.importorskip("skorch")

from sk_ednn.solvers import GradientSolver

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")

OPTIONS = {
    "--epochs 3": ("dense", "perceptron"),
    "--lr 0.01": ("dense", "perceptron"),
    "--early-stopping 4": ("dense", "perceptron"),
    "--keep-on-interrupt": ("dense", "perceptron"),
    "--device cpu": ("dense",),
    "--checkpoint a.ckpt": ("dense",),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("model", ["auto", "kernel", "cubic", "forest", "perceptron", "dense"])
def test_options_of_networks_are_refused_by_name_elsewhere(option, model, run):
    if model in OPTIONS[option]:
        return
    said = run(f"fit small.npz -m {model} {option}", expected=1).stderr
    takers = " or ".join(OPTIONS[option])
    name = option.partition(" ")[0]
    assert said == f"error: {name} is for --model {takers}; the model is {model}.\n"


@pytest.fixture
def seen(monkeypatch):
    """The estimators that were to be fitted."""
    results, fit = [], EDNNRegressor.fit

    def look(estimator, X, y, *args):
        results.append(estimator)
        return fit(estimator, X, y, *args)

    monkeypatch.setattr(EDNNRegressor, "fit", look)
    return results


def test_options_reach_the_training(run, folder, seen):
    run("fit small.npz -m dense --epochs 2 --lr 0.01 --early-stopping 4 --device cpu "
        "--checkpoint here.ckpt -o net.ednn")  # fmt: skip
    solver = seen[-1].solver
    expected = GradientSolver(
        max_epochs=2, lr=0.01, early_stopping=4, device="cpu", checkpoint=folder / "here.ckpt"
    )
    assert {**solver.get_params(), "checkpoint": None} == {
        **expected.get_params(), "checkpoint": None,
    }  # fmt: skip
    assert (folder / "here.ckpt").exists()
    run("fit small.npz -m perceptron --epochs 2 --lr 0.01 --early-stopping 4 -o net.ednn")
    params = seen[-1].tile_model[-1].get_params()
    assert (params["max_iter"], params["learning_rate_init"]) == (2, 0.01)
    assert (params["early_stopping"], params["n_iter_no_change"]) == (True, 4)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--device moon", "device='moon' is not available"),
        ("--lr 0", "The 'lr' parameter of GradientSolver"),
        ("--checkpoint small.npz", "--checkpoint small.npz would overwrite the fields"),
    ],
)
def test_what_networks_cannot_do_is_one_line(line, said, run):
    assert f"error: {said}" in run(f"fit small.npz -m dense {line}", expected=1).stderr


def test_the_remainder_may_be_padded(run, folder):
    np.savez(folder / "odd_size.npz", X=np.ones((20, 7, 7)), y=np.arange(20.0))
    said = run("fit odd_size.npz --focus 2 --boundary zero -m quadratic", expected=1).stderr
    assert "not a multiple of focus=2" in said and "remainder" in said
    run("fit odd_size.npz --focus 2 --boundary zero --remainder pad -m quadratic -o pad.ednn")
    assert load(folder / "pad.ednn").tiling.remainder == "pad"
    said = run("fit odd_size.npz --focus 2 --remainder pad -m quadratic", expected=1).stderr
    assert "remainder='pad' has no effect on a periodic field" in said


# ------------------------------------------------------------------------------- interrupted


@pytest.fixture
def interrupted(monkeypatch):
    """Press Ctrl-C at the end of a fit that keeps what it has, as training loops do."""
    fit = EDNNRegressor.fit

    def pressed(estimator, X, y):
        fit(estimator, X, y)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return estimator

    monkeypatch.setattr(EDNNRegressor, "fit", pressed)


@pytest.mark.parametrize("model", ["dense", "perceptron"])
def test_what_was_interrupted_is_kept_where_that_is_asked_for_and_says_so(
    model, run, folder, interrupted
):
    (folder / "half.ednn").unlink(missing_ok=True)
    line = f"fit small.npz -m {model} --epochs 2 -o half.ednn"
    assert "nothing was written" in run(line, expected=130).stderr
    assert not (folder / "half.ednn").exists()
    report = json.loads(run(f"{line} --keep-on-interrupt --json").stdout)
    assert report["interrupted"].startswith("interrupted")
    result = json.loads(run("inspect half.ednn --json").stdout)
    assert result["about"]["interrupted"] == report["interrupted"]


def test_an_interrupted_training_names_the_checkpoint_that_it_left(run, folder, interrupted):
    line = "fit small.npz -m dense --epochs 2 -o half.ednn"
    said = run(f"{line} --checkpoint left.ckpt", expected=130).stderr
    assert "no model was written; the same command resumes from left.ckpt" in said
    assert (folder / "left.ckpt").exists()


class Struck:
    """Ctrl-C within a training, at one of its backward passes, counted from 1."""

    def __init__(self, monkeypatch, call):
        import torch

        backward = torch.Tensor.backward

        def counted(*args, **kwargs):
            self.n_calls += 1
            if self.n_calls == call:
                signal.raise_signal(signal.SIGINT)
            return backward(*args, **kwargs)

        self.n_calls = 0
        monkeypatch.setattr(torch.Tensor, "backward", counted)


@pytest.mark.filterwarnings("ignore:Training interrupted")
@pytest.mark.parametrize("model", ["dense", "perceptron"])
def test_the_best_epoch_so_far_is_written_and_named(model, run, folder, monkeypatch):
    # A rate at which the loss does not always fall.
    line = f"fit small.npz -m {model} --epochs 9 --lr 0.3 --seed 0 --json -o best.ednn --force"
    with monkeypatch.context() as patch:
        counting = Struck(patch, call=-1)
        run(line)
        per_epoch = counting.n_calls // 9
    with monkeypatch.context() as patch:
        Struck(patch, 6 * per_epoch + min(2, per_epoch))
        result = json.loads(run(f"{line} --keep-on-interrupt").stdout)
    said = re.fullmatch(r"interrupted in epoch 7; kept is epoch (\d), the best so far",
                        result["interrupted"])  # fmt: skip
    assert said, result["interrupted"]
    best, kept = int(said[1]), load(folder / "best.ednn")
    assert 1 <= best <= 6
    X = np.load(folder / "small.npz")["X"]
    if model == "perceptron":
        losses = kept.tile_model_.estimator[-1].loss_curve_
    else:
        losses = kept.tile_model_.estimator.history[:, "train_loss"]
    assert (len(losses), best) == (6, 1 + int(np.argmin(losses)))
    assert np.isfinite(kept.predict(X)).all()


@pytest.mark.parametrize(("answer", "kept"), [("y\n", True), ("n\n", False)])
def test_on_a_terminal_you_are_asked_whether_to_keep_the_network(
    answer, kept, on_terminal, folder, interrupted
):
    (folder / "chosen.ednn").unlink(missing_ok=True)
    line = "fit small.npz -m perceptron --epochs 2 -o chosen.ednn"
    status, shown = on_terminal(line, answer)
    assert "interrupted after all 2 epochs. Write it? [y/N]" in shown
    assert status == (0 if kept else 130)
    assert (folder / "chosen.ednn").exists() is kept


@pytest.fixture
def heeded():
    """Let Ctrl-C raise, whatever a shell in whose background tests run, or a library, changed."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_perceptron_keeps_its_best_on_ctrl_c_as_scikit_learn_has_it(monkeypatch, heeded):
    from sklearn.neural_network import MLPRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 8))
    made = MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, early_stopping=True, random_state=0)
    with monkeypatch.context() as patch:
        Struck(patch, call=5)  # an epoch is one batch
        with pytest.warns(UserWarning, match="interrupted by user"):
            model = EDNNRegressor(made).fit(X, X.sum(axis=1))
    assert np.isfinite(model.predict(X)).all()
    assert len(model.tile_model_.estimator.validation_scores_) == 4
    Struck(monkeypatch, call=1)
    with pytest.raises(KeyboardInterrupt):
        EDNNRegressor(made).fit(X, X.sum(axis=1))
