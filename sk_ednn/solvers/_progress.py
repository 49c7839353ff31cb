"""A progress bar over the epochs of a training."""

from __future__ import annotations

from skorch.callbacks import Callback
from tqdm.auto import tqdm


class TrainingBar(Callback):
    """Show the losses of the last epoch and the remaining time."""

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(total=net.max_epochs, initial=len(net.history), unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        losses = {
            name: last[f"{name}_loss"] for name in ("train", "valid") if f"{name}_loss" in last
        }
        self.bar_.set_postfix({name: f"{loss:.3g}" for name, loss in losses.items()}, refresh=False)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        self.bar_.close()

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "bar_"}
