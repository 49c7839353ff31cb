"""The nets that are trained: made of what a user gave, as the settings say."""

from __future__ import annotations

import inspect
import warnings
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import torch
from sklearn.utils._param_validation import InvalidParameterError
from skorch import NeuralNet, NeuralNetRegressor
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from skorch.dataset import ValidSplit
from skorch.exceptions import SkorchException
from torch import nn

from ..exceptions import TileModelError
from ._best_epoch import BestEpoch
from ._progress import TrainingBar

SCHEDULES = ("one_cycle", "cosine", "constant")

LOSSES = {
    "squared_error": nn.MSELoss,
    "absolute_error": nn.L1Loss,
    "huber": nn.HuberLoss,
    # The totals are rates themselves, not their logarithms: logarithms do not add up.
    "poisson": nn.PoissonNLLLoss,
}

# Losses for classes: some accept totals without an error, and train to nothing.
_CLASS_LOSSES = (
    nn.BCELoss, nn.BCEWithLogitsLoss, nn.CrossEntropyLoss, nn.HingeEmbeddingLoss, nn.KLDivLoss,
    nn.MultiLabelMarginLoss, nn.MultiLabelSoftMarginLoss, nn.MultiMarginLoss, nn.NLLLoss,
    nn.SoftMarginLoss,
)  # fmt: skip


def bare_net(settings, module, problem) -> NeuralNet:
    """Return a net that trains a module.

    Parameters
    ----------
    settings : GradientSolver
    module : torch.nn.Module or its class
    problem : SumProblem
    """
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    callbacks, n_train, split = [], len(problem.y), None
    if settings.early_stopping:
        patience = 10 if settings.early_stopping is True else int(settings.early_stopping)
        seed = settings.random_state if isinstance(settings.random_state, Integral) else 0
        split = ValidSplit(settings.validation_fraction, random_state=seed)
        if problem.groups is None:
            n_train -= int(np.ceil(settings.validation_fraction * n_train))
        callbacks.append(EarlyStopping(patience=patience, load_best=True))
    else:
        callbacks.append(BestEpoch())
    if settings.schedule != "constant":
        callbacks.append(_schedule(settings, n_train))
    if settings.max_norm is not None:
        callbacks.append(GradientNormClipping(settings.max_norm))
    options = settings.compile if isinstance(settings.compile, dict) else {}
    verbose = problem.verbose if settings.verbose is None else settings.verbose
    if verbose == 1:
        callbacks.append(TrainingBar())
    return NeuralNetRegressor(
        module,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=settings.lr,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        device=device,
        train_split=split,
        iterator_train__shuffle=True,
        callbacks=callbacks,
        verbose=max(verbose - 1, 0),
        compile=settings.compile is not False,
        **{f"compile__{name}": value for name, value in options.items()},
    )


def compile_options(net) -> dict | None:
    """Return what a net has its module compiled with; None where it has not."""
    return net.get_params_for("compile") if net.compile else None


def _schedule(settings, n_samples) -> LRScheduler:
    # The whole training is the length of the schedule, or a little less: how many samples are
    # in the groups that are held back is not known here.
    # A warm start begins another one: last_epoch, which skorch would take from the history.
    n_steps = settings.max_epochs * -(-n_samples // settings.batch_size)
    if settings.schedule == "cosine":
        return LRScheduler(
            torch.optim.lr_scheduler.CosineAnnealingLR,
            T_max=n_steps,
            step_every="batch",
            last_epoch=-1,
        )
    return LRScheduler(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=settings.lr,
        total_steps=n_steps + 1,
        step_every="batch",
        last_epoch=-1,
    )


def with_loss(net, loss) -> NeuralNet:
    """Return a net with one of the losses, None for its own."""
    if loss is not None:
        net.set_params(criterion=LOSSES[loss])
        if loss == "poisson":
            net.set_params(criterion__log_input=False)
    return net


def counts_are_modelled(net) -> bool:
    """Tell whether a net's own criterion is the likelihood of counts.

    Raises
    ------
    TileModelError
        Where the criterion is for logarithms of rates, or for classes.
    """
    criterion = net.criterion
    kind = criterion if inspect.isclass(criterion) else type(criterion)
    if issubclass(kind, _CLASS_LOSSES):
        raise TileModelError(
            f"{kind.__name__} compares probabilities of classes, and totals are numbers: take a "
            "criterion such as nn.MSELoss, nn.L1Loss, nn.HuberLoss, or nn.PoissonNLLLoss for "
            "counts."
        )
    if not issubclass(kind, nn.PoissonNLLLoss):
        return False
    logarithms = getattr(criterion, "log_input", True)
    if inspect.isclass(criterion):
        logarithms = net.get_params_for("criterion").get("log_input", True)
    if logarithms:
        raise TileModelError(
            "PoissonNLLLoss takes its input for logarithms of rates, and logarithms of "
            "contributions do not add up: set criterion__log_input=False, or use "
            "GradientSolver('poisson')."
        )
    return True


def warn_of_warm_start(net) -> None:
    """Warn where a net is to go on from where it was, which only the estimator can do."""
    if net.warm_start:
        warnings.warn(
            "warm_start=True of a skorch net has no effect, as each fit trains a clone of it: set "
            "warm_start=True of the EDNNRegressor.",
            UserWarning,
            stacklevel=5,
        )


def require_weights(module) -> None:
    """Raise where a module has nothing to learn."""
    if not any(weights.requires_grad for weights in module.parameters()):
        raise TileModelError(
            f"{type(module).__name__} has no weights to train: all are frozen (requires_grad is "
            "False), or there are none."
        )


def require_split(split, sums, train, valid) -> None:
    """Raise where what a net's `train_split` returns is no part of the samples.

    Parameters
    ----------
    split : function
        The net's `train_split`.
    sums : Dataset
        All samples.
    train, valid : Dataset or None
    """
    for part in (train, valid):
        while isinstance(part, torch.utils.data.Subset):
            if len(part.indices) and np.max(part.indices) >= len(part.dataset):
                raise TileModelError(
                    f"train_split names sample {np.max(part.indices)}, there are "
                    f"{len(part.dataset)}: samples of weight 0 are left out before."
                )
            part = part.dataset
        if part is not None and part is not sums:
            raise TileModelError(
                "train_split returns another data set, and the net is trained on sums over "
                "tiles. Append the fields and totals to validate on to X and y, and say which they "
                "are: train_split=ValidSplit(sklearn.model_selection.PredefinedSplit(test_fold)) "
                "with test_fold 0 for these and -1 for all others."
            )
    test_fold = getattr(getattr(split, "cv", None), "test_fold", None)
    if test_fold is not None and len(test_fold) != len(sums):
        raise TileModelError(
            f"test_fold of PredefinedSplit has {len(test_fold)} entries for {len(sums)} samples; "
            "samples of weight 0 are left out before."
        )


@contextmanager
def callbacks_explained(net):
    """Say what to do where a callback asks for what a training on sums does not have."""
    try:
        yield
    except (KeyError, ValueError, SkorchException) as error:
        if "valid_loss" in str(error) and not net.train_split:
            raise TileModelError(
                f"A callback asks for a loss on samples held back ({error.args[0]}), and there are "
                "none: set train_split of the net, as to skorch.dataset.ValidSplit(5), or let the "
                "callback monitor 'train_loss'."
            ) from error
        if isinstance(error, InvalidParameterError) and "Got None" in str(error):
            raise TileModelError(
                f"A callback scores samples without their totals ({error}): leave use_caching of "
                "EpochScoring as it is, so that it is given the totals that the net has seen."
            ) from error
        raise


def told_of_input(net, *of_input) -> NeuralNet:
    """Return a net whose module, where it is a class, is told what it asks for of its input."""
    if inspect.isclass(net.module):
        already = net.get_params(deep=False)
        asked = {f"module__{name}": value for name, value in _asked(net.module, *of_input).items()}
        net.set_params(**{name: value for name, value in asked.items() if name not in already})
    return net


def module_of(module, *of_input) -> nn.Module:
    """Return a module; where its class was given, made with what it asks for of its input."""
    return module(**_asked(module, *of_input)) if inspect.isclass(module) else module


def _asked(kind, tiling, tile_shape, shape, has_channels, n_outputs) -> dict:
    """Return what a module's class asks for by the names of its parameters."""
    known = {
        "tile_shape": tuple(shape[:-1] if has_channels else shape),
        "focus": tiling.focus_shape(tile_shape),
        "n_channels": shape[-1] if has_channels else 1,
        "n_outputs": n_outputs,
    }
    takes = inspect.signature(kind).parameters
    return {name: value for name, value in known.items() if name in takes}


def require_device(name) -> None:
    """Raise where a device is not there, saying which are."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise TileModelError(
            f"device={name!r} is not there; these are: {', '.join(there)}."
        ) from error
