"""Warn where a training went wrong without an error: by long steps, or a loss above a constant's.

A network whose weights blew up and came to rest looks like any other that was fitted.
"""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace

import numpy as np
import torch
from skorch.callbacks import EarlyStopping

# How many times the loss of the mean, counted from that of the truth, is far above it: of squared
# errors, where they are more than twice as large.
_FAR_ABOVE = 4.0


def warn_of_summed_losses(net) -> None:
    """Warn where a net's criterion adds up the losses of a batch, which lengthens its steps.

    Parameters
    ----------
    net : NeuralNet
        Initialised.
    """
    if getattr(net.criterion_, "reduction", None) != "sum":
        return
    size = "all samples" if net.batch_size == -1 else f"batch_size={net.batch_size}"
    warnings.warn(
        "The criterion adds up the losses of a batch (reduction='sum'), so that its gradient grows "
        f"with {size}, and lr={net.lr:g} may be too long a step. Set criterion__reduction='mean' "
        "of the net: it has the same minimum, at steps that do not hang on the size of a batch.",
        UserWarning,
        stacklevel=5,
    )


def warn_of_divergence(net, sums) -> None:
    """Warn where the training of a net on sums ended far above the loss of predicting the mean.

    Parameters
    ----------
    net : NeuralNet
        While it is one that is trained on sums.
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
        of_mean = _loss(net, mean.expand_as(sums.y), sums)
        of_truth = _loss(net, sums.y, sums)
    except Exception:  # of a criterion that compares something else than numbers: nothing is known
        return
    if getattr(net.criterion_, "reduction", None) == "sum":
        sizes = np.array([batch.get("train_batch_size", 0) for batch in row["batches"]], float)
        share = (sizes**2).sum() / max(sizes.sum(), 1.0) / len(sums.y)
        of_mean, of_truth = of_mean * share, of_truth * share
    learns_gradients = getattr(sums, "gradients", None) is not None
    if learns_gradients and _is_far_above(row["train_loss"], of_mean, of_truth):
        of_mean += net.solver_.gradient_weight(len(rows) - 1)  # that of no gradient at all
    warn_above_mean(row["train_loss"], of_mean, of_truth, type(net.module_).__name__, net.lr)


def warn_above_mean(loss, of_mean, of_truth, name, lr) -> None:
    """Warn where a loss is far above that of predicting the mean of the totals.

    Parameters
    ----------
    loss, of_mean, of_truth : float
        Of the fitted network, of a constant, and of predictions without an error.
    name : str
        Of the network.
    lr : float
    """
    if not _is_far_above(loss, of_mean, of_truth):
        return
    warnings.warn(
        f"The training of {name} ended with a loss of {loss:.3g}, where predicting the mean of the "
        f"totals has {of_mean:.3g}: it has learned nothing, and may have diverged. Lower the "
        f"learning rate (now {lr:g}), clip gradients (skorch.callbacks.GradientNormClipping, or "
        "max_norm of GradientSolver), or train longer.",
        UserWarning,
        stacklevel=6,
    )


def _is_far_above(loss, of_mean, of_truth) -> bool:
    worth = of_mean - of_truth
    return worth > 0 and math.isfinite(worth) and loss - of_truth > _FAR_ABOVE * worth


def _loss(net, predicted, sums) -> float:
    batch = SimpleNamespace(weights=None if sums.weights is None else sums.weights.to(net.device))
    with torch.no_grad():
        return float(net.get_loss(predicted.to(net.device), sums.y.to(net.device), X=batch))
