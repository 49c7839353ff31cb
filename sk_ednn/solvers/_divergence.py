"""Warnings of trainings that fail without an error.

A network whose weights diverged and then remained constant looks like any other fitted network.
"""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace

import numpy as np
import torch
from skorch.callbacks import EarlyStopping

from .._utils.stacklevel import outside_package

# Factor by which the loss, less that of the true totals, must exceed that of the mean: for squared
# errors, the error is then twice as large.
_FAR_ABOVE = 4.0


def warn_of_summed_losses(net) -> None:
    """Warn if the criterion of a net sums the losses of a batch, which makes steps larger.

    Parameters
    ----------
    net : NeuralNet
        Initialised.
    """
    if getattr(net.criterion_, "reduction", None) != "sum":
        return
    size = "all samples" if net.batch_size == -1 else f"batch_size={net.batch_size}"
    warnings.warn(
        "The criterion sums the losses of a batch (reduction='sum'), so that its gradient grows "
        f"with {size}, and lr={net.lr:g} may be too large. Set criterion__reduction='mean' of the "
        "net, which has the same minimum with steps that do not depend on the size of a batch.",
        UserWarning,
        stacklevel=outside_package(),
    )


def warn_of_divergence(net, sums) -> None:
    """Warn if a training ended with a much larger loss than that of predicting the mean.

    Parameters
    ----------
    net : NeuralNet
        Within `trained_on_sums`.
    sums : Dataset
        All samples, with ``y`` and ``weights``.
    """
    rows = [row for row in net.history if "train_loss" in row]
    if not rows:
        return
    row = rows[-1]
    for _, callback in net.callbacks_:
        if isinstance(callback, EarlyStopping) and callback.load_best and callback.best_epoch_:
            row = net.history[callback.best_epoch_ - 1]
    sums = getattr(sums, "branches", [sums])[0]  # those of several terms have the same samples
    weights = sums.weights
    mean = sums.y.mean(0) if weights is None else (weights * sums.y).sum(0) / weights.sum()
    try:
        loss_of_mean = _loss(net, mean.expand_as(sums.y), sums)
        loss_of_truth = _loss(net, sums.y, sums)
    except Exception:  # a custom criterion may not accept these arguments
        return
    if getattr(net.criterion_, "reduction", None) == "sum":
        sizes = np.array([batch.get("train_batch_size", 0) for batch in row["batches"]], float)
        share = (sizes**2).sum() / max(sizes.sum(), 1.0) / len(sums.y)
        loss_of_mean, loss_of_truth = loss_of_mean * share, loss_of_truth * share
    learns_gradients = getattr(sums, "gradients", None) is not None
    if learns_gradients and _is_far_above(row["train_loss"], loss_of_mean, loss_of_truth):
        loss_of_mean += net.solver_.gradient_weight(len(rows) - 1)  # the loss of gradients of 0
    name = type(net.module_).__name__
    warn_above_mean(row["train_loss"], loss_of_mean, loss_of_truth, name, net.lr)


def warn_above_mean(loss, loss_of_mean, loss_of_truth, name, lr) -> None:
    """Warn if a loss is much larger than that of predicting the mean of the totals.

    Parameters
    ----------
    loss, loss_of_mean, loss_of_truth : float
        Losses of the fitted network, of the mean, and of the true totals.
    name : str
        Name of the network.
    lr : float
    """
    if not _is_far_above(loss, loss_of_mean, loss_of_truth):
        return
    warnings.warn(
        f"The training of {name} ended with a loss of {loss:.3g}, but predicting the mean of the "
        f"totals has a loss of {loss_of_mean:.3g}. The network has learned nothing and may have "
        f"diverged. Lower the learning rate (now {lr:g}), clip gradients "
        "(skorch.callbacks.GradientNormClipping, or max_norm of GradientSolver), or train longer.",
        UserWarning,
        stacklevel=outside_package(),
    )


def _is_far_above(loss, loss_of_mean, loss_of_truth) -> bool:
    excess = loss_of_mean - loss_of_truth
    return excess > 0 and math.isfinite(excess) and loss - loss_of_truth > _FAR_ABOVE * excess


def _loss(net, predicted, sums) -> float:
    batch = SimpleNamespace(weights=None if sums.weights is None else sums.weights.to(net.device))
    with torch.no_grad():
        return float(net.get_loss(predicted.to(net.device), sums.y.to(net.device), X=batch))
