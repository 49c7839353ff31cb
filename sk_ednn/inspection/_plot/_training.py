"""Plot the loss of a network during training."""

from __future__ import annotations

import numpy as np

from ..._utils.steps import front_and_last
from ...estimators._unwrap import terms_in, unwrap
from ...exceptions import TileModelError
from ._style import COLOURS, new_axes

_LOSSES = {"train": "train_loss", "validation": "valid_loss"}


class TrainingDisplay:
    """Training and validation loss of each epoch.

    Create it with `from_estimator`; `plot` redraws it.

    Parameters
    ----------
    losses : dict of str to ndarray of shape (n_epochs,)
        "train", and "validation" if samples were held back. Squared errors are in units of the
        variance of the totals.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from torch import nn
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.inspection import TrainingDisplay
    >>> from sk_ednn.solvers import GradientSolver
    >>> X = np.random.default_rng(0).normal(size=(30, 12))
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> fit = GradientSolver(max_epochs=20, lr=0.1, batch_size=5)
    >>> model = EDNNRegressor(net, GridTiling(1, 1), solver=fit, random_state=0)
    >>> display = TrainingDisplay.from_estimator(model.fit(X, X.sum(axis=1)))
    >>> bool(display.losses["train"][-1] < 0.01 * display.losses["train"][0])
    True
    """

    def __init__(self, losses):
        self.losses = losses

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **style):
        """Draw the history of a fitted network.

        Parameters
        ----------
        estimator : EDNNRegressor, or a Pipeline or search around one
        ax : matplotlib Axes, default=None
        **style : keywords of `plot`

        Returns
        -------
        TrainingDisplay

        Raises
        ------
        TileModelError
            If the tile model has no history of losses.
        """
        net, history = history_of(estimator)
        if not history:
            raise TileModelError(
                "TrainingDisplay needs the history of a trained network; "
                f"{type(net).__name__} has none."
            )
        losses = {
            name: np.array([float(epoch[key]) for epoch in history])
            for name, key in _LOSSES.items()
            if all(key in epoch for epoch in history)
        }
        return cls(losses).plot(ax, **style)

    def plot(self, ax=None, **style):
        """Draw the losses; keywords are those of ``Axes.plot``. Return the display."""
        self.figure_, self.ax_ = new_axes(ax)
        for (name, losses), colour in zip(self.losses.items(), COLOURS, strict=False):
            epochs = np.arange(1, len(losses) + 1)
            self.ax_.plot(epochs, losses, **{"color": colour, "label": name, **style})
        if "validation" in self.losses:
            best = int(np.argmin(self.losses["validation"]))
            value = self.losses["validation"][best]
            self.ax_.plot(
                best + 1, value, "o", color=COLOURS[1], label=f"best, epoch {best + 1}: {value:.2g}"
            )
        self.ax_.set(xlabel="epoch", ylabel="loss", yscale="log")
        if len(self.losses) > 1:
            self.ax_.legend(frameon=False)
        return self


def history_of(estimator) -> tuple:
    """Return the tile model of a fitted estimator and its losses by epoch, or None."""
    model, _ = unwrap(estimator)
    tile_model, _ = terms_in(model)[0]
    _, net = front_and_last(tile_model.estimator)
    history = getattr(net, "history_", None)
    if not history and getattr(net, "loss_curve_", None):  # an MLPRegressor
        history = [{"train_loss": loss} for loss in net.loss_curve_]
    return net, history
