"""Losses of networks: criteria by name, and the loss of totals and of gradients in a batch."""

from __future__ import annotations

import inspect

import torch
from skorch import NeuralNet
from torch import nn

from ..exceptions import TileModelError
from ..networks._trial import out_of_memory

LOSSES = {
    "squared_error": nn.MSELoss,
    "absolute_error": nn.L1Loss,
    "huber": nn.HuberLoss,
    # Used with log_input=False: totals are rates, because logarithms of rates do not add up.
    "poisson": nn.PoissonNLLLoss,
}

# Losses for classes. Some accept totals without an error but do not fit them.
_CLASS_LOSSES = (
    nn.BCELoss, nn.BCEWithLogitsLoss, nn.CrossEntropyLoss, nn.HingeEmbeddingLoss, nn.KLDivLoss,
    nn.MultiLabelMarginLoss, nn.MultiLabelSoftMarginLoss, nn.MultiMarginLoss, nn.NLLLoss,
    nn.SoftMarginLoss,
)  # fmt: skip


def with_loss(net, loss) -> NeuralNet:
    """Return a net with a loss of `LOSSES`; None keeps its criterion."""
    if loss is not None:
        net.set_params(criterion=LOSSES[loss])
        if loss == "poisson":
            net.set_params(criterion__log_input=False)
    return net


def models_counts(net) -> bool:
    """Return True if the criterion of a net is the likelihood of counts.

    Raises
    ------
    TileModelError
        If the criterion is for logarithms of rates, or for classes.
    """
    criterion = net.criterion
    kind = criterion if inspect.isclass(criterion) else type(criterion)
    if issubclass(kind, _CLASS_LOSSES):
        raise TileModelError(
            f"{kind.__name__} compares probabilities of classes, but totals are numbers. Use a "
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
            "PoissonNLLLoss expects logarithms of rates, but logarithms of contributions do not "
            "add up. Set criterion__log_input=False, or use GradientSolver('poisson')."
        )
    return True


def loss_of_totals(criterion, evaluate, y_true, weights):
    """Return the loss of totals, a scalar; losses per sample are averaged.

    Parameters
    ----------
    criterion : torch.nn.Module
        Its `reduction` is changed during the call if there are weights.
    evaluate : function
        Returns the criterion of the predicted and true totals.
    y_true : Tensor of shape (n_samples, n_outputs)
    weights : Tensor of shape (n_samples, 1) or None
        Sample weights.

    Raises
    ------
    TileModelError
        If the criterion does not suit totals or sample weights.
    """
    reduction = getattr(criterion, "reduction", None)
    if weights is not None and reduction in ("mean", "sum"):
        criterion.reduction = "none"
    try:
        losses = evaluate()
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        if isinstance(error, TileModelError) or out_of_memory(error):
            raise
        raise TileModelError(
            f"The criterion {type(criterion).__name__} cannot compare predicted and true "
            f"totals, both of shape {tuple(y_true.shape)}: {error}. Use one that takes only "
            "these two, such as nn.MSELoss, nn.L1Loss or nn.HuberLoss."
        ) from error
    finally:
        if weights is not None and reduction in ("mean", "sum"):
            criterion.reduction = reduction
    if weights is None:
        return losses.mean()
    if losses.ndim == 0 or len(losses) != len(weights):
        raise TileModelError(
            "sample_weight needs a criterion that returns a loss for each sample, or has a "
            f"reduction that can be set to 'none'; {criterion} returned shape "
            f"{tuple(losses.shape)} for {len(weights)} samples."
        )
    losses = losses.reshape(len(losses), -1)
    weighted = (losses * weights.to(losses)).sum()
    return weighted if reduction == "sum" else weighted / (weights.sum() * losses.shape[1])


def loss_of_gradients(gradients, batch) -> torch.Tensor:
    """Return the mean squared error of the gradients of a batch of fields.

    Parameters
    ----------
    gradients : list of Tensor
    batch : FieldBatch
        With target gradients.
    """
    squares = torch.stack([
        (gradient - torch.as_tensor(target.values).to(gradient)).square().mean()
        for gradient, target in zip(gradients, batch.gradients, strict=True)
    ])  # fmt: skip
    sizes = squares.new_tensor([float(gradient.numel()) for gradient in gradients])
    weights = sizes if batch.weights is None else sizes * batch.weights[:, 0].to(sizes)
    return (squares * weights).sum() / weights.sum()
