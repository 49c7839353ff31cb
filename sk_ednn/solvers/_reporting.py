"""Report each epoch of a training to a function, which may end it."""

from __future__ import annotations

import time
from contextlib import contextmanager

from skorch.callbacks import Callback


class Report(Callback):
    """Call a function after each epoch; end the training if it returns True.

    It has to be the last callback of its net, so that the others have seen the epoch.

    Parameters
    ----------
    function : callable
        See `GradientSolver`.

    Attributes
    ----------
    ended : bool
        Whether the function has ended the training.
    """

    def __init__(self, function):
        self.function = function
        self.ended = False

    def on_train_begin(self, net, **kwargs):
        self.began = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        row = {"epoch": len(net.history)}
        row |= {name: float(last[name]) for name in ("train_loss", "valid_loss") if name in last}
        row["learning_rate"] = float(net.optimizer_.param_groups[0]["lr"])
        row["seconds"] = time.perf_counter() - self.began
        if self.function(row):
            self.ended = True
            raise KeyboardInterrupt  # as skorch lets a training be ended

    def __getstate__(self):
        return {"function": None, "ended": self.ended}  # copies of a net report to nobody


@contextmanager
def reporting_to(net, function):
    """Report the epochs of a net within the context, unless the function is None.

    Yields
    ------
    Report or None
    """
    if function is None:
        yield None
        return
    report = Report(function)
    net.callbacks_.append(("report", report))
    try:
        yield report
    finally:
        net.callbacks_.pop()
