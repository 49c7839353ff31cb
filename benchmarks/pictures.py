"""Counts in photographs from totals alone, against the mean, blob detection and a plain CNN.

    python pictures.py --data FOLDER --set vgg-cells --minutes 12

The folder has one subfolder per set, with pictures and a ``counts.csv`` (`file,count`). Pictures
are split into folds, those of one slide together; `--fold` selects the test fold. Minutes are
processor time per network, so that other programs on the machine do not count. `--ways` names what
is measured: `ours`, and beside it `ridge`, `blobs` and `cnn`, or `all`.
"""

from _measure import arguments, machine, peak_megabytes, table

import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold

from sk_ednn._utils.clocks import kept_clocks
from sk_ednn.images import CountRegressor, match_totals, read_pictures

# Consecutive pictures of one slide; pictures are halved for the other methods as for ours.
SETS = {"vgg-cells": 1, "adipocytes": 1, "bone-marrow": 4}


def main():
    options = arguments(
        __doc__, data="../data/images", set="vgg-cells", minutes=12.0, folds=4, fold="0", members=2,
        ways="ours",
    )  # fmt: skip
    machine()
    folder = Path(options.data) / options.set
    matched = match_totals(read_pictures(folder), folder / "counts.csv")
    pictures, totals = [picture.loaded() for picture in matched.pictures], matched.totals
    slides = np.arange(len(pictures)) // SETS[options.set]
    folds = list(
        GroupKFold(options.folds, shuffle=True, random_state=0).split(totals, groups=slides)
    )
    print(f"{options.set}: {len(pictures)} pictures, {len(set(slides))} slide(s) or pictures apart")
    rows = []
    for k in map(int, options.fold.split(",")):
        train, test = folds[k]
        print(
            f"fold {k} of {options.folds}: {len(train)} to train, {len(test)} to test", flush=True
        )
        for name in WAYS if options.ways == "all" else options.ways.split(","):
            way = WAYS[name]
            start = time.process_time()
            predicted, said = way(pictures, totals, slides, train, test, options)
            took = (time.process_time() - start) / 60
            rows.append([name, k, *errors(predicted, totals[test]), took, said])
            print(rows[-1], flush=True)
        mean = np.full(len(test), totals[train].mean())
        rows.append(["mean", k, *errors(mean, totals[test]), 0.0, ""])
    table(["way", "fold", "MAE", "bias", "correlation", "CPU min", ""], rows)
    print(f"peak memory {peak_megabytes():.0f} MB")


def errors(predicted, true):
    """Return MAE, bias and correlation."""
    varies = np.ptp(predicted) > 0
    correlation = np.corrcoef(predicted, true)[0, 1] if varies else np.nan
    error = predicted - true
    return float(np.abs(error).mean()), float(error.mean()), float(correlation)


def ours(pictures, totals, slides, train, test, options):
    """Return the counts of `CountRegressor` for test pictures, and its error estimate."""
    minutes = 0.5 if options.quick else options.minutes
    model = CountRegressor(
        n_members=options.members, minutes=minutes, n_jobs=options.members,
        random_state=0, verbose=lambda line: print("  ", line, flush=True),
    )  # fmt: skip
    model.fit([pictures[k] for k in train], totals[train], groups=slides[train])
    some = [pictures[k] for k in test]
    rows = model.count(some)
    predicted = np.array([row.total for row in rows])
    low, high = np.array([(row.low, row.high) for row in rows]).T
    inside = 100 * np.mean((low <= totals[test]) & (totals[test] <= high))
    members = np.array([row.spread for row in rows])
    unlike = sum(row.flag == "unlike" for row in rows)
    share = 0.0 if model.maxima_ is None else model.maxima_.share[0]
    said = (
        f"held back {model.error_:.3g}, 90 % intervals contain {inside:.0f} %, spread "
        f"{members.mean():.2g}, {unlike} unlike, part of local maxima {share:.2f}"
    )
    return predicted, said


def blobs(pictures, totals, slides, train, test, options):
    """Return counts by `skimage.feature.blob_log`, tuned on the training pictures.

    Threshold, size and channel have the smallest error after a linear fit of the counts, which
    corrects for blobs that are missed on average.
    """
    from skimage.feature import blob_log

    def grey(picture, channel):
        values = picture.array().astype(float)
        values = values.mean(-1) if channel < 0 else values[..., channel % values.shape[-1]]
        half = values.shape[0] > 400
        values = values[::2, ::2] if half else values
        values = (values - values.mean()) / (values.std() + 1e-9)
        return values

    rng = np.random.default_rng(0)
    looked = rng.choice(train, min(len(train), 8), replace=False)
    best = (np.inf, None)
    for channel in (-1, 0, 1, 2):
        for sign in (1, -1):
            for sigma in (2, 3, 5):
                for threshold in (0.05, 0.15, 0.4):
                    found = [
                        len(
                            blob_log(
                                sign * grey(pictures[k], channel), sigma * 0.7, sigma * 1.4, 3,
                                threshold,
                            )
                        )
                        for k in looked
                    ]  # fmt: skip
                    if np.ptp(found) == 0:
                        continue
                    line = np.polyfit(found, totals[looked], 1)
                    error = np.abs(np.polyval(line, found) - totals[looked]).mean()
                    if error < best[0]:
                        best = (error, (channel, sign, sigma, threshold))
    channel, sign, sigma, threshold = best[1]

    def count(k):
        values = sign * grey(pictures[k], channel)
        return len(blob_log(values, sigma * 0.7, sigma * 1.4, 3, threshold))

    line = np.polyfit([count(k) for k in train], totals[train], 1)
    return np.polyval(line, [count(k) for k in test]), f"channel, sign, sigma, threshold {best[1]}"


def features(pictures, totals, slides, train, test, options):
    """Return counts by a ridge on local features, summed over the picture."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sk_ednn import EDNNRegressor
    from sk_ednn.images import LocalFeatures
    from sk_ednn.tiling import BagTiling

    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-4, 4, 17)))
    model = make_pipeline(LocalFeatures(focus=16), EDNNRegressor(ridge, BagTiling()))
    model.fit([pictures[k] for k in train], totals[train])
    return model.predict([pictures[k] for k in test]), "LocalFeatures(focus=16)"


def whole(pictures, totals, slides, train, test, options):
    """Return counts by a CNN that regresses the count of the whole picture.

    It has convolutions, a mean over all positions and two dense layers, with the same time, changes
    of light, rotations and flips.
    """
    import torch
    from torch import nn

    from sk_ednn.images._training import bfloat16_pays

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    arrays = np.stack([picture.array() for picture in pictures]).astype(np.float32)
    x = torch.from_numpy(arrays).movedim(-1, 1)
    x = nn.functional.avg_pool2d(x, 2) if x.shape[-1] > 400 else x
    some = torch.as_tensor(train)
    x = (x - x[some].mean((0, 2, 3), keepdim=True)) / x[some].std((0, 2, 3), keepdim=True)
    layers, last = [], x.shape[1]
    for channels, stride in ((24, 2), (32, 1), (48, 2), (48, 1), (48, 2), (48, 1)):
        layers += [nn.Conv2d(last, channels, 3, stride, padding=1), nn.BatchNorm2d(channels)]
        layers += [nn.SiLU()]
        last = channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 48), nn.SiLU()]
    net = nn.Sequential(*layers, nn.Linear(48, 1))
    mean, spread = totals[train].mean(), totals[train].std()
    y = torch.from_numpy((totals - mean) / spread).float()[:, None]
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    net, half = net.to(memory_format=torch.channels_last), bfloat16_pays()
    minutes = 0.5 if options.quick else options.minutes
    start, progress, epochs = time.process_time(), 0.0, 0
    while progress < 1:
        order = rng.permutation(train)
        for first in range(0, len(order) - 3, 4):
            progress = (time.process_time() - start) / 60 / minutes
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 + np.cos(np.pi * min(progress, 1)))
            index = order[first : first + 4]
            batch = torch.rot90(x[index], int(rng.integers(4)), (2, 3))
            batch = batch.flip(-1) if rng.random() < 0.5 else batch
            batch = batch.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                found = net(batch).float()
            loss = nn.functional.huber_loss(found, y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epochs += 1
    net.eval()
    with torch.no_grad():
        out = torch.cat([net(x[k : k + 1]) for k in test])[:, 0].numpy()
    return out * spread + mean, f"{epochs} epochs"


WAYS = {"ours": ours, "ridge": features, "blobs": blobs, "cnn": whole}

if __name__ == "__main__":
    # Processor time, so that other programs do not count.
    with kept_clocks(read=time.thread_time):
        main()
