"""The paper's dense network on the paper's Ising task: Table 1, through `EDNNRegressor.fit`.

The task is 100,000 systems of 8 x 8, batches of 2,000, Adam at 1e-4, 500 epochs. The paper reports
median absolute errors of 0.028 J (context 1), 1.090 J (context 2) and 14.816 J (context 3).

    python benchmarks/ising_network.py                 # a few epochs: speed, and equal loss curves
    python benchmarks/ising_network.py --full          # 500 epochs, three seeds (context 1)
    python benchmarks/ising_network.py --full --results ising.json --figure fig8.png
    python benchmarks/ising_network.py --context 2 --epochs 20
    python benchmarks/ising_network.py --context 3 --epochs 20 --checkpoint build/context3.ckpt
    python benchmarks/ising_network.py --context 3 --full --no-speed --device cuda

With ``--results`` every training is kept in a file when it ends, and not repeated. ``--figure``
draws 128 x 128 systems near criticality, predicted by the networks at their best and at their last
epochs and by kernel ridge.
"""

from _measure import arguments, machine, peak_megabytes, table

import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.kernel_ridge import KernelRidge
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
CRITICAL = 2 / np.log(1 + np.sqrt(2))  # J, Onsager


class BestWeights(Callback):
    """Keep the weights of the epoch with the least validation loss, in memory."""

    def on_train_begin(self, net, **kwargs):
        self.best, self.state, self.epoch = np.inf, None, None

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1].get("valid_loss")
        if loss is not None and loss < self.best:
            self.best, self.epoch = loss, len(net.history)
            self.state = copy.deepcopy(net.module_.state_dict())


def network(epochs, split=None, callbacks=(), device="cpu"):
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
        device=device,
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


def train(context, data, tests, epochs, seed, device, checkpoint=None):
    """Train for all epochs; return the loss curve, and predictions at the last and best epochs."""
    split = ValidSplit(0.02, random_state=seed)
    net = network(epochs, split, [BestWeights()], device)
    net.set_params(verbose=int(checkpoint is not None))
    solver = GradientSolver(checkpoint=checkpoint)
    model = EDNNRegressor(net, GridTiling(1, context), solver=solver, random_state=seed)
    start = time.perf_counter()
    model.fit(data.fields, data.energies)
    took = time.perf_counter() - start
    net = model.tile_model_.estimator
    best = callback_of(net, BestWeights)
    # A resumed training has only the best weights since then.
    states = {"last": net.module_.state_dict()}
    if best.state is not None:
        states["best"] = best.state
    result = {"context": context, "seed": seed, "epochs": epochs, "seconds": took}
    result["curve"] = [float(loss) for loss in net.history[:, "valid_loss"]]
    result["best_epoch"] = best.epoch
    for name, state in states.items():
        net.module_.load_state_dict(copy.deepcopy(state))
        # A new evaluation: the cache contains contributions of other weights.
        model.evaluation_ = type(model.evaluation_)()
        result[name] = {
            test: model.predict(systems.fields).tolist() for test, systems in tests.items()
        }
    return result


def trained(options, data, tests):
    """Return the trainings of all seeds, those of a results file without repeating them."""
    file = Path(options.results) if options.results else None
    results = json.loads(file.read_text()) if file and file.exists() else []
    chosen = []
    for seed in range(options.seeds):
        key = {"context": options.context, "seed": seed, "epochs": options.epochs}
        result = next((r for r in results if key.items() <= r.items()), None)
        if result is None:
            checkpoint = f"{options.checkpoint}.{seed}" if options.checkpoint else None
            result = train(
                options.context, data, tests, options.epochs, seed, options.device, checkpoint
            )
            results.append(result)
            if file:
                part = file.with_suffix(".part")
                part.write_text(json.dumps(results))
                part.replace(file)
        chosen.append(result)
    return chosen


def report(results, tests):
    """Print loss curves, and the errors at the last and at the best epochs."""
    rows = []
    for result in results:
        curve = result["curve"]
        marks = sorted({0, len(curve) - 1, *range(4, len(curve), max(1, len(curve) // 10))})
        print("validation loss by epoch:", ", ".join(f"{k + 1}: {curve[k]:.2e}" for k in marks))
        for name in ("last", "best"):
            if name not in result:
                continue
            epoch = result["epochs"] if name == "last" else result["best_epoch"]
            row = [result["context"], result["seed"], f"{name} ({epoch})"]
            for test, systems in tests.items():
                errors = extensive_errors(systems.energies, np.array(result[name][test]))
                row += [errors.median, errors.bias]
            rows.append([*row, result["seconds"]])
    context = results[0]["context"]
    print(f"paper, context {context}: {PAPER[context]} J median on 8x8")
    headers = [part for test in tests for part in (f"{test} median J", "bias")]
    table(["context", "seed", "epoch", *headers, "fit s"], rows)


def near_criticality(systems, results):
    """Draw 128 x 128 systems, true against predicted energies, and errors by temperature."""
    import matplotlib.pyplot as plt

    small = make_ising(1000, (8, 8), sampling="flat", random_state=0)
    kernel = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6), GridTiling(1, 1))
    predicted = {
        "network, last epoch": [r["last"]["near"] for r in results],
        "network, best epoch": [r["best"]["near"] for r in results if "best" in r],
        "kernel ridge": [kernel.fit(small.fields, small.energies).predict(systems.fields)],
    }
    styles = {"marker": "s", "color": "#d55e00"}, {"marker": "o", "color": "#0072b2"}
    styles = *styles, {"marker": "^", "color": "#009e73"}
    figure, axes = plt.subplots(1, 3, figsize=(11.4, 3.8), layout="constrained")
    nearest = np.argmin(np.abs(systems.temperatures - CRITICAL))
    axes[0].imshow(systems.fields[nearest], cmap="Greys", vmin=-3, vmax=3)
    shown = f"128 × 128 spins, kT = {systems.temperatures[nearest]:.3f} J"
    axes[0].set(xticks=[], yticks=[], title=shown)
    for (name, members), style in zip(predicted.items(), styles, strict=True):
        off = np.abs(np.array(members) - systems.energies)
        medians = ", ".join(f"{m:.2g}" for m in np.median(off, axis=1))
        print(f"near criticality, {name}: medians {medians} J, largest error {off.max():.2g} J")
        for k, member in enumerate(members):
            marks = {**style, "ls": "", "ms": 4.5, "mfc": "none", "label": None if k else name}
            axes[1].plot(systems.energies / 1e3, np.array(member) / 1e3, **marks)
            axes[2].semilogy(systems.temperatures, off[k], **marks)
    axes[1].axline((-24, -24), slope=1, color="0.7", zorder=0)
    axes[1].set(xlabel="energy / 1,000 J", ylabel="predicted energy / 1,000 J")
    axes[1].legend(frameon=False, fontsize=9)
    axes[2].axvline(CRITICAL, color="0.6", ls=":", zorder=0)
    axes[2].text(CRITICAL, 1.0, " critical", transform=axes[2].get_xaxis_transform(), fontsize=9,
                 color="0.4", va="bottom", ha="center")  # fmt: skip
    axes[2].set(xlabel="kT / J", ylabel="absolute error / J")
    for ax in axes[1:]:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def main():
    options = arguments(
        __doc__, context=1, epochs=500, seeds=3, full=False, no_speed=False, checkpoint="",
        results="", figure="", device="cpu",
    )  # fmt: skip
    machine()
    n = 10_000 if options.quick else 100_000
    data = make_ising(n, (8, 8), random_state=0)
    context = options.context
    if not options.no_speed:
        speed(context, data, n_steps=min(5 if context == 1 else 2, n // BATCH))
    if options.full or options.epochs != 500:
        tests = {
            "8x8": make_ising(5000, (8, 8), random_state=1),
            "128x128": make_ising(20, (128, 128), n_sweeps=100, random_state=2),
            "near": make_ising(
                40, (128, 128), temperature=(2.1, 2.5), n_sweeps=200, random_state=8
            ),
        }
        results = trained(options, data, tests)
        report(results, tests)
        if options.figure:
            near_criticality(tests["near"], results).savefig(options.figure, dpi=100)
    print(f"peak memory {peak_megabytes():.0f} MB")


if __name__ == "__main__":
    main()
