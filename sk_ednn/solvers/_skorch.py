"""Construction and checks of skorch nets."""

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

from .._utils.stacklevel import outside_package
from ..exceptions import TileModelError
from ._best_epoch import BestEpoch
from ._progress import TrainingBar

SCHEDULES = ("one_cycle", "cosine", "constant")


def bare_net(settings, module, problem) -> NeuralNet:
    """Return a net that trains a module with the parameters of a `GradientSolver`.

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
    """Return the options of torch.compile of a net; None if it does not compile its module."""
    return net.get_params_for("compile") if net.compile else None


def _schedule(settings, n_samples) -> LRScheduler:
    # The schedule spans the whole training, or a little more, because the number of samples in
    # held-out groups is not known here. last_epoch=-1 makes a warm start begin a new schedule;
    # skorch would take it from the history.
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


def warn_of_warm_start(net) -> None:
    """Warn if warm_start is set for a net, where it has no effect."""
    if net.warm_start:
        warnings.warn(
            "warm_start=True of a skorch net has no effect, because each fit trains a clone of "
            "it. Set warm_start=True of the EDNNRegressor.",
            UserWarning,
            stacklevel=outside_package(),
        )


def require_weights(module) -> None:
    """Raise TileModelError if a module has no weights to train."""
    if not any(weights.requires_grad for weights in module.parameters()):
        raise TileModelError(
            f"{type(module).__name__} has no weights to train: there are none, or all are frozen "
            "(requires_grad is False)."
        )


def require_split(split, sums, train, valid) -> None:
    """Raise TileModelError if the `train_split` of a net returns other data than its samples.

    Parameters
    ----------
    split : callable
        The `train_split`.
    sums : Dataset
        All samples.
    train, valid : Dataset or None
    """
    for part in (train, valid):
        while isinstance(part, torch.utils.data.Subset):
            if len(part.indices) and np.max(part.indices) >= len(part.dataset):
                raise TileModelError(
                    f"train_split returned index {np.max(part.indices)} for "
                    f"{len(part.dataset)} samples. Samples of weight 0 are dropped before the "
                    "split."
                )
            part = part.dataset
        if part is not None and part is not sums:
            raise TileModelError(
                "train_split returned another data set, but the net is trained on sums over "
                "tiles. Append the validation fields and totals to X and y, and mark them with "
                "train_split=ValidSplit(sklearn.model_selection.PredefinedSplit(test_fold)), where "
                "test_fold is 0 for these and -1 for all others."
            )
    test_fold = getattr(getattr(split, "cv", None), "test_fold", None)
    if test_fold is not None and len(test_fold) != len(sums):
        raise TileModelError(
            f"test_fold of PredefinedSplit has {len(test_fold)} entries for {len(sums)} samples. "
            "Samples of weight 0 are dropped before the split."
        )


@contextmanager
def translated_callback_errors(net):
    """Translate errors of callbacks that need data which a training on sums does not have."""
    try:
        yield
    except (KeyError, ValueError, SkorchException) as error:
        if "valid_loss" in str(error) and not net.train_split:
            raise TileModelError(
                f"A callback needs the loss on held-out samples ({error.args[0]}), but there are "
                "none. Set train_split of the net, for example to skorch.dataset.ValidSplit(5), or "
                "let the callback monitor 'train_loss'."
            ) from error
        if isinstance(error, InvalidParameterError) and "Got None" in str(error):
            raise TileModelError(
                f"A callback scores samples without their totals ({error}). Do not set "
                "use_caching of EpochScoring, so that it gets the totals that the net has seen."
            ) from error
        raise


def with_input_shape(net, *input_shape) -> NeuralNet:
    """Return a net with `_shape_params` set, if its module is a class, unless they are set."""
    if inspect.isclass(net.module):
        set_by_user = net.get_params(deep=False)
        for name, value in _shape_params(net.module, *input_shape).items():
            if f"module__{name}" not in set_by_user:
                net.set_params(**{f"module__{name}": value})
    return net


def instantiated(module, *input_shape) -> nn.Module:
    """Return a module; a class is instantiated with `_shape_params`."""
    return module(**_shape_params(module, *input_shape)) if inspect.isclass(module) else module


def _shape_params(module_class, tiling, tile_shape, shape, has_channels, n_outputs) -> dict:
    """Return those of the shapes of input and output that are parameters of a module's class."""
    values = {
        "tile_shape": tuple(shape[:-1] if has_channels else shape),
        "focus": tiling.focus_shape(tile_shape),
        "n_channels": shape[-1] if has_channels else 1,
        "n_outputs": n_outputs,
    }
    parameters = inspect.signature(module_class).parameters
    return {name: value for name, value in values.items() if name in parameters}


def require_device(name) -> None:
    """Raise TileModelError if a device is not available."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        available = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            available.append("mps")
        raise TileModelError(
            f"device={name!r} is not available. Available are {', '.join(available)}."
        ) from error
