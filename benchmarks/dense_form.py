"""The dense form of a tile network against its tiled ones: prediction, training, memory, agreement.

    python benchmarks/dense_form.py
    python benchmarks/dense_form.py --cases 64:32,8:16 --precision bfloat16

For each focus and context, on one field: a Python loop over tiles, all tiles in one batch, MONAI's
sliding windows where it is installed (for time only: it averages where windows overlap), the
fastest of several batch sizes and memory formats of tiles, and the dense form. Ratios are to the
fastest tiled one, beside the ratio of multiply-adds counted on both.
"""

from functools import partial

from _measure import arguments, machine, peak_megabytes, seconds, table

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.networks import SumOverTiles, ValidCNN, initialise_summed
from sk_ednn.networks._convolutional import tiles_of
from sk_ednn.networks._layout import laid_out
from sk_ednn.networks._padding import padded
from sk_ednn.summing import GradientSumFit

# Focus and context: dimension, sites along an axis of the field.
CASES = {
    (64, 32): (2, 1024), (32, 32): (2, 512), (16, 32): (2, 384), (8, 16): (2, 256),
    (1, 1): (2, 256), (8, 8): (3, 48),
}  # fmt: skip
BATCHES = (4, 16, 64, 256)
LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


def network(focus, context, ndim):
    window = focus + 2 * context
    torch.manual_seed(0)
    if window >= 16:
        return ValidCNN((window,) * ndim, (focus,) * ndim)
    net = nn.Sequential(
        nn.Conv2d(1, 64, window), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 1),
    )  # fmt: skip
    return initialise_summed(net)


def timed(run, share, train, repeat):
    """Median time of `run`, forward only or with the backward pass, for the whole field."""

    def predict():
        with torch.no_grad():
            run()

    def step():
        run().backward()

    return seconds(step if train else predict, repeat=repeat) / share


def in_batches(net, tiles, batch):
    return sum(net(part).sum() for part in tiles.split(batch))


def tiled(net, tiles, train, repeat):
    """Return the times of the tiled ways, and how the fastest of them does it."""
    ndim = tiles.ndim - 2
    few = tiles[: max(1, min(len(tiles), 16))]
    times = {"loop": timed(lambda: sum(net(t[None]).sum() for t in few), len(few) / len(tiles),
                           train, 2)}  # fmt: skip
    best = {}
    for layout in (torch.contiguous_format, LAYOUTS[ndim]):
        net = net.to(memory_format=layout)
        for batch in BATCHES:
            some = tiles[: min(len(tiles), 4 * batch)].to(memory_format=layout)
            if batch > len(tiles) or some.numel() > 2**27:
                continue
            share = len(some) / len(tiles)
            how = f"{batch}, {'channels last' if layout in LAYOUTS.values() else 'plain'}"
            best[how] = timed(partial(in_batches, net, some, batch), share, train, repeat)
    net.to(memory_format=torch.contiguous_format)
    if tiles.numel() * (17 if train else 5) < 2**29:
        times["all at once"] = timed(lambda: net(tiles).sum(), 1, train, repeat)
    fastest = min(best, key=best.get)
    return {**times, "fastest tiled": best[fastest]}, fastest


def monai(net, field, focus, context):
    """Time MONAI's inferer on a padded field."""
    try:
        from monai.inferers import sliding_window_inference
    except ImportError:
        return None
    window = focus + 2 * context

    def run():
        return sliding_window_inference(
            field, (window,) * (field.ndim - 2), 16,
            lambda part: net(part).reshape(-1, 1, *[1] * (part.ndim - 2)).expand_as(part).clone(),
            overlap=2 * context / window,
        ).sum()  # fmt: skip

    return timed(run, 1, False, 2)


def operations(net, x, train):
    """Count the operations of a network on a tensor, with the backward pass or without."""
    with FlopCounterMode(display=False) as counter:
        total = net(x).sum()
        if train:
            total.backward()
    return counter.get_total_flops()


def total_of(sums, field):
    return sums(field).sum()


def compare(focus, context, precision, repeat):
    ndim, length = CASES[focus, context]
    net = network(focus, context, ndim)
    tiling, shape = GridTiling(focus, context), (length,) * ndim
    window = (focus + 2 * context,) * ndim
    field = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    around = padded(field, tiling.padded_positions(shape))
    tiles = tiles_of(around, window, (focus,) * ndim).reshape(-1, 1, *window)
    rows = []
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        for train in (False, True):
            times, how = tiled(net, tiles, train, repeat)
            if not train:
                times["MONAI"] = monai(net, around, focus, context)
            sums = SumOverTiles(net, tiling, window, form="dense", max_bytes=2**34)
            times["dense"] = timed(partial(total_of, sums, field), 1, train, repeat)
            work = operations(net, tiles[:1], train) * len(tiles) / operations(sums, field, train)
            gain = times["fastest tiled"] / times["dense"]
            rows.append([
                f"{focus}, {context} in {ndim}-D", "training" if train else "prediction",
                len(tiles), *(times.get(name) or "" for name in COLUMNS), how, gain, work,
                gain / work, times["loop"] / times["dense"],
            ])  # fmt: skip
    with torch.no_grad():
        exact = float(
            sum(part.double().sum() for part in map(net.double(), tiles.double().split(64)))
        )
        double = float(SumOverTiles(net, tiling, window, form="dense")(field.double()))
    single = float(SumOverTiles(net.float(), tiling, window, form="dense")(field).detach())
    off = abs(double / exact - 1), abs(single / exact - 1)
    print(f"focus {focus}, context {context}: total off by {off[0]:.1e} in float64, {off[1]:.1e} "
          "in float32")  # fmt: skip
    return rows


COLUMNS = ("loop", "all at once", "MONAI", "fastest tiled", "dense")


def overhead(repeat):
    """Compare `EDNNRegressor.predict` with the bare call of the dense form on the padded field."""
    fields = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    fit = GradientSumFit(max_epochs=1, form="tiled")
    model = EDNNRegressor(network(32, 32, 2), GridTiling(32, 32), summing=fit)
    model.fit(fields, fields.sum(axis=(1, 2)))
    large = np.random.default_rng(1).random((1, 1024, 1024)).astype(np.float32)
    dense = model.tile_model_.dense_form(model.tiling_)
    around = padded(torch.from_numpy(large)[None], model.tiling_.padded_positions((1024, 1024)))
    around = laid_out(around)

    def bare():
        with torch.no_grad():
            dense(around)

    ours, plain = [], []
    for _ in range(repeat):  # in turns, so that what else the machine does meets both
        ours.append(seconds(lambda: model.predict(large), repeat=1))
        plain.append(seconds(bare, repeat=1))
    ours, plain = np.median(ours), np.median(plain)
    print(f"predict of 1024 x 1024: {ours:.3f} s, the bare call on the padded field {plain:.3f} s: "
          f"{100 * (ours / plain - 1):+.0f} %")  # fmt: skip


def main():
    options = arguments(__doc__, cases="", precision="float32", repeat=3)
    machine()
    chosen = list(CASES)
    if options.quick:
        chosen = [(8, 16)]
    elif options.cases:
        chosen = [tuple(map(int, case.split(":"))) for case in options.cases.split(",")]
    rows = []
    for case in chosen:
        rows += compare(*case, options.precision, options.repeat)
    table(
        ["focus, context", "", "tiles", *(f"{name}, s" for name in COLUMNS), "batch of fastest",
         "gain", "work ratio", "gain / work", "loop / dense"],
        rows,
    )  # fmt: skip
    overhead(options.repeat)
    print(f"peak memory {peak_megabytes():.0f} MB")


if __name__ == "__main__":
    main()
