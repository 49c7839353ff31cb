"""The paper's dense network on the paper's Ising task: Table 1, through `EDNNRegressor.fit`.

The task is 100,000 systems of 8 x 8, batches of 2,000, Adam at 1e-4, 500 epochs. The paper reports
median absolute errors of 0.028 J (context 1), 1.090 J (context 2) and 14.816 J (context 3).

    python benchmarks/ising_network.py                 # a few epochs: speed, and equal loss curves
    python benchmarks/ising_network.py --full          # 500 epochs, three seeds (context 1)
    python benchmarks/ising_network.py --context 2 --epochs 20
    python benchmarks/ising_network.py --context 3 --epochs 20 --checkpoint build/context3.ckpt
"""

from _measure import arguments, machine, peak_megabytes, table

import copy
import time

import numpy as np
import torch
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.tile_models._base import module_input
from sk_ednn.datasets import make_ising
from sk_ednn.metrics import extensive_errors
from sk_ednn.networks import PaperDenseNet
from sk_ednn.solvers import GradientSolver

BATCH, RATE, PAPER = 2000, 1e-4, {1: 0.028, 2: 1.090, 3: 14.816}


class BestWeights(Callback):
    """Keep the weights of the epoch with the least validation loss, in memory."""

    def on_train_begin(self, net, **kwargs):
        self.best, self.state, self.epoch = np.inf, None, None

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1].get("valid_loss")
        if loss is not None and loss < self.best:
            self.best, self.epoch = loss, len(net.history)
            self.state = copy.deepcopy(net.module_.state_dict())


def network(epochs, split=None, callbacks=()):
    return NeuralNetRegressor(
        PaperDenseNet,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=RATE,
        max_epochs=epochs,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=split,
        callbacks=list(callbacks),
        verbose=0,
    )


def tile_by_tile(fields, y, context, weights, n_steps):
    """Train in the simplest way: every tile of every system through the network.

    Initial weights, batches and the unit of the totals are those of the estimator, so that losses
    can be compared.
    """
    tiles = GridTiling(1, context).tiles(fields)
    share = fields[0].size ** -0.5
    target = torch.as_tensor(y / np.sqrt(np.mean(y**2)), dtype=torch.float32)[:, None]
    module = PaperDenseNet((1 + 2 * context,) * 2)
    module.load_state_dict(weights)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=True)
    losses, times = [], []
    for step in range(n_steps):
        start = time.perf_counter()
        batch = slice(step * BATCH, (step + 1) * BATCH)
        windows = tiles.values[batch].reshape(-1, *tiles.tile_shape)
        inputs = torch.from_numpy(module_input(windows, has_channels=False))
        predicted = module(inputs).reshape(-1, fields[0].size).sum(1, keepdim=True)
        loss = torch.nn.functional.mse_loss(share * predicted, target[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        times.append(time.perf_counter() - start)
    return losses, float(np.median(times))


class Watch(Callback):
    """Record the initial weights, and the loss of every batch."""

    def on_train_begin(self, net, **kwargs):
        self.weights, self.losses = copy.deepcopy(net.module_.state_dict()), []

    def on_batch_end(self, net, training, **kwargs):
        self.losses.append(float(net.history[-1, "batches", -1, "train_loss"]))


def speed(context, data, n_steps):
    """Compare an epoch over distinct tiles with one over all tiles, in one run."""
    epochs = 4 if context == 1 else 2
    net = network(epochs, callbacks=[Watch()]).set_params(iterator_train__shuffle=False)
    model = EDNNRegressor(net, GridTiling(1, context), baseline=None, random_state=0)
    model.fit(data.fields, data.energies)
    fitted = model.tile_model_.estimator
    watch = callback_of(fitted, Watch)
    slow, slow_time = tile_by_tile(data.fields, data.energies, context, watch.weights, n_steps)
    per_epoch = float(np.median([fitted.history[k, "dur"] for k in range(1, epochs)]))
    n_batches = -(-len(data.fields) // BATCH)
    difference = max(abs(a - b) / b for a, b in zip(watch.losses[:n_steps], slow, strict=True))
    table(
        ["context", "distinct", "s/epoch", "tile by tile", "ratio", "largest loss difference"],
        [
            [
                context,
                GridTiling(1, context).tiles(data.fields).unique()[0].n_tiles,
                per_epoch,
                slow_time * n_batches,
                slow_time * n_batches / per_epoch,
                f"{difference:.1e}",
            ]
        ],
    )


def callback_of(net, kind):
    """Return the callback of a fitted net, a copy of the original one."""
    return next(callback for callback in net.callbacks if isinstance(callback, kind))


def train(context, data, test, large, epochs, seed, checkpoint=None):
    """Train for all epochs, and return errors with the best and with the last weights."""
    split = ValidSplit(0.02, random_state=seed)
    net = network(epochs, split, [BestWeights()]).set_params(verbose=int(checkpoint is not None))
    solver = GradientSolver(checkpoint=checkpoint)
    model = EDNNRegressor(net, GridTiling(1, context), solver=solver, random_state=seed)
    start = time.perf_counter()
    model.fit(data.fields, data.energies)
    took = time.perf_counter() - start
    net = model.tile_model_.estimator
    best = callback_of(net, BestWeights)
    rows = []
    # A resumed training has only the best weights since then.
    states = [("last", net.module_.state_dict())] + [("best", best.state)] * (
        best.state is not None
    )
    for name, state in states:
        net.module_.load_state_dict(copy.deepcopy(state))
        # A new evaluation: the cache contains contributions of other weights.
        model.evaluation_ = type(model.evaluation_)()
        small_errors = extensive_errors(test.energies, model.predict(test.fields))
        large_errors = extensive_errors(large.energies, model.predict(large.fields))
        epoch = epochs if name == "last" else best.epoch
        rows.append(
            [context, seed, f"{name} ({epoch})", small_errors.median, small_errors.mean,
             small_errors.bias, large_errors.median, large_errors.bias, took]
        )  # fmt: skip
    curve = [float(loss) for loss in net.history[:, "valid_loss"]]
    marks = sorted({0, len(curve) - 1, *range(4, len(curve), max(1, len(curve) // 10))})
    print("validation loss by epoch:", ", ".join(f"{k + 1}: {curve[k]:.2e}" for k in marks))
    return rows


def main():
    options = arguments(
        __doc__, context=1, epochs=500, seeds=3, full=False, no_speed=False, checkpoint=""
    )
    machine()
    n = 10_000 if options.quick else 100_000
    data = make_ising(n, (8, 8), random_state=0)
    context = options.context
    if not options.no_speed:
        speed(context, data, n_steps=min(5 if context == 1 else 2, n // BATCH))
    if options.full or options.epochs != 500:
        test = make_ising(5000, (8, 8), random_state=1)
        large = make_ising(20, (128, 128), n_sweeps=100, random_state=2)
        rows = []
        for seed in range(options.seeds):
            checkpoint = f"{options.checkpoint}.{seed}" if options.checkpoint else None
            rows += train(context, data, test, large, options.epochs, seed, checkpoint)
        print(f"paper, context {context}: {PAPER[context]} J median on 8x8")
        table(
            ["context", "seed", "epoch", "8x8 median J", "mean", "bias", "128x128 median J",
             "bias", "fit s"],
            rows,
        )  # fmt: skip
    print(f"peak memory {peak_megabytes():.0f} MB")


if __name__ == "__main__":
    main()
