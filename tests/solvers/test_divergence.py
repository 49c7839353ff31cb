"""Warnings of trainings that fail without an error."""

import warnings

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

from skorch.callbacks import Callback, EarlyStopping  # noqa: E402
from skorch.dataset import ValidSplit  # noqa: E402
from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402
from sk_ednn.solvers._divergence import warn_above_mean  # noqa: E402

X = np.random.default_rng(0).normal(size=(40, 4, 4))
Y = X.sum(axis=(1, 2))
ENDED = r"The training of {} ended with a loss of .*learned nothing.*Lower the learning rate"


class Off(nn.Module):
    """A linear network with a fixed offset per tile."""

    def __init__(self, offset=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(9, 1))
        self.offset = offset

    def forward(self, x):
        return self.layers(x) + self.offset


def net(offset=0.0, **params):
    defaults = {"max_epochs": 2, "batch_size": 8, "verbose": 0, "train_split": None, "lr": 1e-4}
    return skorch.NeuralNetRegressor(Off(offset), **{**defaults, **params})


def fitted(tile_model, y=Y, sample_weight=None, **params):
    torch.manual_seed(0)
    solver = GradientSolver(max_epochs=2, lr=1e-4, random_state=0, **params)
    if isinstance(tile_model, MLPRegressor):
        solver = None
    tiling = None if isinstance(tile_model, list) else GridTiling(1, 1)
    model = EDNNRegressor(tile_model, tiling, solver=solver, random_state=0)
    return model.fit(X, y, sample_weight=sample_weight)


CRITERIA = {
    "mean": {},
    "sum": {"criterion__reduction": "sum"},
    "none": {"criterion__reduction": "none"},
    "absolute": {"criterion": nn.L1Loss},
    "huber": {"criterion": nn.HuberLoss},
}


@pytest.mark.filterwarnings("ignore:The criterion sums")
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_far_above_that_of_the_mean_causes_a_warning(criterion, weighted):
    weight = np.random.default_rng(1).uniform(0.5, 2, len(Y)) if weighted else None
    with pytest.warns(UserWarning, match=ENDED.format("Off")):
        fitted(net(50.0, **CRITERIA[criterion]), sample_weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "The criterion sums")
        fitted(net(0.0, **CRITERIA[criterion]), sample_weight=weight)


@pytest.mark.parametrize("terms", [1, 2])
def test_divergence_of_bare_modules_and_several_terms_causes_a_warning(terms):
    tile_model = Off(50.0)
    if terms == 2:
        tile_model = [("a", Off(50.0), GridTiling(1, 1)), ("b", Off(), GridTiling(1, 0))]
        tile_model[1][1].layers[1] = nn.Linear(1, 1)
    with pytest.warns(UserWarning, match=ENDED.format("(Off|ModuleList)")):
        fitted(tile_model)


def test_divergence_of_a_perceptron_causes_a_warning():
    made = MLPRegressor((4,), max_iter=2, learning_rate_init=1e3, solver="sgd", batch_size=8)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            fitted(made)
        except ValueError as error:  # where the loss became infinite
            said.append(warnings.WarningMessage(f"{error} ended with a loss", UserWarning, "", 0))
    assert any("ended with a loss" in str(each.message) or "became" in str(each.message)
               for each in said)  # fmt: skip


class Spoils(Callback):
    """Make a network worse after its first epoch."""

    def on_epoch_end(self, net, **kwargs):
        net.module_.offset = 50.0


def test_loss_of_the_best_epoch_counts_with_early_stopping():
    stops = EarlyStopping("train_loss", patience=9, load_best=True)
    worse = net(0.0, max_epochs=4, callbacks=[stops, Spoils()])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = fitted(worse)
    losses = model.tile_model_.estimator.history[:, "train_loss"]
    assert min(losses) < 4 < max(losses)


def test_counts_are_compared_by_their_likelihood():
    counts = np.random.default_rng(2).poisson(5.0, size=40).astype(float)
    for offset, said in ((0.0, False), (80.0, True)):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            model = EDNNRegressor(
                Off(offset), GridTiling(1, 1), baseline=None, random_state=0,
                solver=GradientSolver("poisson", max_epochs=2, lr=1e-4),
            )  # fmt: skip
            model.fit(X, counts)
        assert any("ended with a loss" in str(each.message) for each in found) == said


@pytest.mark.parametrize(
    ("loss", "of_mean", "of_truth", "warns"),
    [
        (3.9, 1.0, 0.0, False),
        (4.1, 1.0, 0.0, True),
        (-90.0, -100.0, -104.0, False),
        (-80.0, -100.0, -104.0, True),
        (1.0, 0.0, 0.0, False),  # totals that do not vary
        (float("nan"), float("nan"), 0.0, False),
    ],
)
def test_threshold_of_warn_above_mean(loss, of_mean, of_truth, warns):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_above_mean(loss, of_mean, of_truth, "Net", 0.1)
    assert bool(found) == warns


def test_summed_losses_cause_a_warning_with_a_remedy():
    with pytest.warns(UserWarning, match=r"batch_size=8, and .*criterion__reduction='mean'"):
        fitted(net(criterion__reduction="sum"))
    with pytest.warns(UserWarning, match="grows with all samples"):
        fitted(net(criterion__reduction="sum", batch_size=-1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fitted(net(train_split=ValidSplit(4)))
