"""The weights of the best epoch of an interrupted training."""

from __future__ import annotations

import math

from skorch.callbacks import Callback, EarlyStopping


class BestEpoch(Callback):
    """Keep a copy of the weights of the epoch with the lowest loss until the training ends.

    The loss is that of the held-out samples, if any, else that of the training. A training that
    runs to its end discards the copy, so that the callback has no effect.

    Attributes
    ----------
    epoch_ : int
        Best epoch, counted from 1; 0 if no epoch has ended with a finite loss.
    loss_ : float
        Loss of that epoch.
    weights_ : dict of str to Tensor
        Weights after that epoch, on the device of the network.
    """

    def on_train_begin(self, net, **kwargs):
        self.epoch_, self.loss_ = 0, math.inf
        self.weights_ = {}
        self._n_before = len(net.history)

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        loss = last.get("valid_loss", last["train_loss"])
        if not loss < self.loss_:
            return
        self.epoch_, self.loss_ = len(net.history), loss
        state = net.module_.state_dict()
        if not self.weights_:
            self.weights_ = {name: value.detach().clone() for name, value in state.items()}
            return
        for name, value in state.items():
            self.weights_[name].copy_(value.detach())

    def on_train_end(self, net, **kwargs):
        if n_finished(net) - self._n_before >= net.max_epochs:
            self.weights_ = {}

    def __getstate__(self):
        return {**vars(self), "weights_": {}}  # copies of a net do not need them


def n_finished(net) -> int:
    """Return the number of completed epochs; the last may have been interrupted."""
    return sum("train_loss" in row for row in net.history)


def keep_best(net) -> int | None:
    """Load the weights of the best epoch into a net whose training was interrupted.

    Parameters
    ----------
    net : NeuralNet
        After its training.

    Returns
    -------
    int or None
        The best epoch, counted from 1. The weights are left unchanged if it is 0, because no epoch
        has ended, or None, because the training was completed.
    """
    del net.history[n_finished(net) :]  # an interrupted epoch has no losses to plot
    for _, callback in net.callbacks_:
        if isinstance(callback, BestEpoch):
            if callback.weights_:
                net.module_.load_state_dict(callback.weights_)
            return None if callback.epoch_ and not callback.weights_ else callback.epoch_
        if isinstance(callback, EarlyStopping) and callback.load_best:
            return callback.best_epoch_ or 0  # the callback has loaded its weights
    return 0
