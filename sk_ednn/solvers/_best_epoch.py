"""Remember the best epoch of a training, for one that is interrupted."""

from __future__ import annotations

import math

from skorch.callbacks import Callback, EarlyStopping


class BestEpoch(Callback):
    """Keep a copy of a network's weights after the epoch of least loss, until the training ends.

    The loss is that of the samples held back where there are any, else that of the training. A
    training that runs to its end forgets the copy, and is as without this callback.

    Attributes
    ----------
    epoch_ : int
        From 1; 0 where no epoch has ended with a finite loss.
    loss_ : float
    weights_ : dict of str to Tensor
        On the device of the network.
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
        return {**vars(self), "weights_": {}}  # copies of a net are made for other purposes


def n_finished(net) -> int:
    """Return how many epochs of a net have ended: the last may have been interrupted."""
    return sum("train_loss" in row for row in net.history)


def keep_best(net) -> int | None:
    """Give a net whose training was interrupted the weights of its best epoch; return which it is.

    Parameters
    ----------
    net : NeuralNet
        After its training.

    Returns
    -------
    int or None
        From 1; 0 where no epoch has ended, and None where the training had. The weights then stay
        as they are.
    """
    del net.history[n_finished(net) :]  # of an epoch without an end nothing can be drawn
    for _, callback in net.callbacks_:
        if isinstance(callback, BestEpoch):
            if callback.weights_:
                net.module_.load_state_dict(callback.weights_)
            return None if callback.epoch_ and not callback.weights_ else callback.epoch_
        if isinstance(callback, EarlyStopping) and callback.load_best:
            return callback.best_epoch_ or 0  # it has loaded it
    return 0
