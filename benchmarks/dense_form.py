"""The dense form of a network against its tiled forms: prediction, training, memory, agreement.

    python benchmarks/dense_form.py
    python benchmarks/dense_form.py --cases 64:32,8:16 --precision bfloat16

For each focus and context, on one field, the rows are a Python loop over tiles, all tiles in one
batch, MONAI's sliding windows if it is installed (for the time only: it averages where windows
overlap), the fastest of several batch sizes and memory formats of tiles, and the dense form. The
gain is over the fastest tiled form, the median of ratios of runs in turns, beside the ratio of
multiply-adds counted on both. Megabytes are the peak memory that a run adds to the process; the
tiles exist before. The last column but one is the dense form's time in bfloat16 over that in
float32: more than 1 on processors without instructions for it. The last, with ``--compile``, is the
time with `torch.compile` over that without.
"""

import warnings
from copy import deepcopy
from functools import partial

from _measure import added_megabytes, arguments, in_turns, machine, ratio, seconds, table

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.networks import SumOverTiles, ValidCNN, initialise_summed
from sk_ednn.networks._dense_run import tiles_of
from sk_ednn.networks._layout import laid_out
from sk_ednn.networks._padding import padded
from sk_ednn.solvers import GradientSolver

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


def step(run, train):
    """Return a function that runs the network, with the backward pass or without."""

    def predict():
        with torch.no_grad():
            run()

    def learn():
        run().backward()

    return learn if train else predict


def in_batches(net, tiles, batch):
    return sum(net(part).sum() for part in tiles.split(batch))


def fastest_tiled(net, tiles, train):
    """Try batch sizes and memory formats on some of the tiles, and return the fastest of each.

    As (function for all tiles, name).
    """
    best = {}
    for layout, called in ((torch.contiguous_format, "plain"), (LAYOUTS[tiles.ndim - 2], "last")):
        net.to(memory_format=layout)
        for batch in BATCHES:
            some = tiles[: min(len(tiles), 4 * batch)].to(memory_format=layout)
            if batch > len(tiles) or some.numel() > 2**27:
                continue
            taken = seconds(step(partial(in_batches, net, some, batch), train), repeat=3)
            best[batch, layout, called] = taken / len(some)
    batch, layout, called = min(best, key=best.get)
    net.to(memory_format=layout)
    laid = tiles.to(memory_format=layout) if layout is not torch.contiguous_format else tiles
    return partial(in_batches, net, laid, batch), f"{batch}, {called}"


def monai(net, field, focus, context):
    """Return MONAI's inferer on a padded field as a function, or None if it is not installed."""
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

    return run


def operations(net, x, train):
    """Count the operations of a network on a tensor, with the backward pass or without."""
    # The counter misses some calls of oneDNN.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a GPU setting that the flag implies
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            total = net(x).sum()
            if train:
                total.backward()
    return counter.get_total_flops()


def total_of(sums, field):
    return sums(field).sum()


def agreement(net, tiling, tiles, field):
    """Return the difference of the dense form's total from that of the tiles in float64, as text.

    Relative to the total, and to the sum of absolute contributions, the scale of round-off, since
    the contributions of an untrained network nearly cancel.
    """
    window = tuple(tiles.shape[2:])
    parts = []
    with torch.no_grad():
        net.double()
        exact = torch.cat([net(part) for part in tiles.double().split(64)])
        for name, dtype in (
            ("float64", torch.float64), ("float32", torch.float32), ("bfloat16", torch.bfloat16)
        ):  # fmt: skip
            wide = torch.float64 if dtype == torch.float64 else torch.float32
            sums = SumOverTiles(net.to(wide), tiling, window, form="dense")
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                off = abs(float(sums(field.to(wide))) - float(exact.sum()))
            parts.append(f"{off / abs(exact.sum()):.1e} ({off / exact.abs().sum():.1e}) in {name}")
    net.float()
    return ", ".join(parts)


def compare(focus, context, precision, repeat, compiled):
    ndim, length = CASES[focus, context]
    net = network(focus, context, ndim)
    tiling, shape = GridTiling(focus, context), (length,) * ndim
    window = (focus + 2 * context,) * ndim
    field = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    around = padded(field, tiling.padded_positions(shape))
    tiles = tiles_of(around, window, (focus,) * ndim).reshape(-1, 1, *window)
    rows = []
    few = tiles[:16]
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        for train in (False, True):
            sums = SumOverTiles(net, tiling, window, form="dense", max_bytes=2**34)
            work = operations(net, tiles[:1], train) * len(tiles) / operations(sums, field, train)
            tiled, how = fastest_tiled(net, tiles, train)
            loop = seconds(step(lambda: sum(net(t[None]).sum() for t in few), train), repeat=3)
            loop *= len(tiles) / len(few)
            # The next runs change the memory layout of the weights, so each has separate turns.
            others = {
                "all at once": None,
                "MONAI": None if train else monai(net, around, focus, context),
            }
            if tiles.numel() * (17 if train else 5) < 2**29:
                others["all at once"] = lambda: net(tiles).sum()
            others = {
                name: seconds(step(run, train), repeat=2) if run else ""
                for name, run in others.items()
            }
            dense_net = deepcopy(net)
            sums = SumOverTiles(dense_net, tiling, window, form="dense", max_bytes=2**34)
            times = in_turns(
                {"tiled": step(tiled, train), "dense": step(partial(total_of, sums, field), train)},
                repeat,
            )  # fmt: skip
            gain, dense = ratio(times["tiled"], times["dense"]), np.median(times["dense"])
            with torch.autocast("cpu", torch.bfloat16):
                half = seconds(step(partial(total_of, sums, field), train), repeat=3)
            generated = ""
            if compiled:
                made = SumOverTiles(
                    deepcopy(net), tiling, window, form="dense", max_bytes=2**34, compile={}
                )
                ways = {
                    "compiled": step(partial(total_of, made, field), train),
                    "plain": step(partial(total_of, sums, field), train),
                }
                generated = in_turns(ways, repeat)
                generated = ratio(generated["compiled"], generated["plain"])
            held = {}
            for name, run in (("tiled", tiled), ("dense", partial(total_of, sums, field))):
                held[name] = added_megabytes(step(run, train))
            rows.append([
                f"{focus}, {context} in {ndim}-D", "training" if train else "prediction",
                len(tiles), loop, *others.values(), np.median(times["tiled"]), dense, how,
                gain, work, gain / work, loop / dense, *held.values(), half / dense, generated,
            ])  # fmt: skip
    print(f"focus {focus}, context {context}: total off by {agreement(net, tiling, tiles, field)}")
    return rows


COLUMNS = ("loop", "all at once", "MONAI", "fastest tiled", "dense")


def overhead(repeat):
    """Compare `EDNNRegressor.predict` with the bare call of the dense form on the padded field."""
    fields = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    fit = GradientSolver(max_epochs=1, form="tiled")
    model = EDNNRegressor(network(32, 32, 2), GridTiling(32, 32), solver=fit)
    model.fit(fields, fields.sum(axis=(1, 2)))
    large = np.random.default_rng(1).random((1, 1024, 1024)).astype(np.float32)
    dense = model.tile_model_.dense_form(model.tiling_)
    around = padded(torch.from_numpy(large)[None], model.tiling_.padded_positions((1024, 1024)))
    around = laid_out(around)

    def bare():
        with torch.no_grad():
            dense(around)

    times = in_turns({"ours": lambda: model.predict(large), "bare": bare}, repeat)
    extra = ratio(times["ours"], times["bare"]) - 1
    ours, plain = np.median(times["ours"]), np.median(times["bare"])
    print(f"predict of 1024 x 1024: {ours:.3f} s, the bare call on the padded field {plain:.3f} s: "
          f"{100 * extra:+.0f} %")  # fmt: skip


def main():
    options = arguments(__doc__, cases="", precision="float32", repeat=7, compile=False)
    machine()
    chosen = list(CASES)
    if options.quick:
        chosen = [(8, 16)]
    elif options.cases:
        chosen = [tuple(map(int, case.split(":"))) for case in options.cases.split(",")]
    rows = []
    for case in chosen:
        rows += compare(*case, options.precision, options.repeat, options.compile)
    table(
        ["focus, context", "", "tiles", *(f"{name}, s" for name in COLUMNS), "batch of fastest",
         "gain", "work ratio", "gain / work", "loop / dense", "tiled, MB", "dense, MB",
         "bfloat16 / float32", "compiled / dense"],
        rows,
    )  # fmt: skip
    overhead(options.repeat)


if __name__ == "__main__":
    main()
