"""Weights of samples by their last errors, updated after each epoch of a training."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch
from skorch.callbacks import Callback


class Reweighting(Callback):
    """Set the weights of samples from the errors that they had when they were last seen.

    Samples that are held out keep their weights.

    Parameters
    ----------
    loss_weights : LossWeights
    sums : TileSums, BranchSums or FieldSums
        The training data, whose ``weights`` are changed in place.
    sizes : ndarray of shape (n_samples,)
        Tiles of each sample.

    Attributes
    ----------
    state_ : dict of str to Tensor
        ``errors``, of shape (n_samples,): the last error of each sample, NaN if it has none. Kept
        in checkpoints.
    """

    def __init__(self, loss_weights, sums, sizes):
        self.loss_weights = loss_weights
        self.sums = sums
        self.sizes = sizes

    def initialize(self):
        self.base_weights = self.sums.weights.clone()
        n_samples = len(self.base_weights)
        self.state_ = {"errors": torch.full((n_samples,), torch.nan, dtype=torch.float64)}
        return self

    def note(self, samples, errors):
        """Record the errors of the samples of a batch.

        Parameters
        ----------
        samples : ndarray of int of shape (n,)
        errors : Tensor of shape (n, n_outputs)
        """
        size = errors.detach().double().square().mean(dim=1).sqrt().cpu()
        # The loss of a training that diverges raises an error with details.
        if torch.isfinite(size).all():
            self.state_["errors"][torch.from_numpy(samples)] = size

    def on_epoch_begin(self, net, **kwargs):
        errors = self.state_["errors"].numpy()
        seen = np.flatnonzero(~np.isnan(errors))
        if not len(seen):
            return
        weights = self.loss_weights(errors[seen], sizes=self.sizes[seen])
        rows = torch.from_numpy(seen)
        factors = torch.from_numpy(weights).to(self.base_weights)[:, None]
        self.sums.weights[rows] = self.base_weights[rows] * factors
        net.history.record("exponent", float(self.loss_weights.exponent_))


@contextmanager
def reweighting(net, problem, sums):
    """Within the context, reweight the samples of a training if the problem has loss weights."""
    if problem.loss_weights is None:
        yield
        return
    sizes = problem.counts().sum(axis=1)
    callback = Reweighting(problem.loss_weights, sums, sizes).initialize()
    net.callbacks_.append(("reweighting", callback))
    net.solver_.note_errors = callback.note
    try:
        yield
    finally:
        net.callbacks_.pop()
        net.solver_.note_errors = None
