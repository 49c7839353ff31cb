"""Trained on small crops with their counts: counts, maps, intervals and speed on large pictures.

    python pictures_large.py --minutes 2

Pictures are drawn, so that positions are known. One model learns from crops of 64 × 64 pixels
(crops of larger pictures, so that objects reach over their edges). Measured are the error of whole
pictures of 4,096 × 4,096 pixels, the correlation of the map with the true counts in boxes of
32 × 32 pixels, time against size, and memory. `--intervals N` trains N small models instead, and
counts how many new totals are in their 90 % intervals; `--speed` omits the errors.
"""

from _measure import arguments, machine, peak_megabytes, table

import tempfile
import time
from pathlib import Path

import numpy as np

from sk_ednn._utils.clocks import kept_clocks
from sk_ednn.datasets import make_pictures
from sk_ednn.images import CountRegressor

SIDE, LARGE = 64, 4096


def main():
    options = arguments(__doc__, minutes=2.0, crops=600, intervals=0, seed=0, speed=False)
    machine()
    if options.intervals:
        return intervals(options)
    train = crops(options.crops, options.seed)
    model = CountRegressor(
        n_members=1, max_epochs=5000, minutes=0.2 if options.quick else options.minutes,
        random_state=options.seed,
    )  # fmt: skip
    start = time.process_time()
    model.fit(train.pictures, train.totals)
    print(
        f"{options.crops} crops, mean count {train.totals.mean():.2f}, "
        f"{(time.process_time() - start) / 60:.1f} min; held back: off by {model.error_:.3g}"
    )
    if options.speed:
        return speed(model, options)
    rows = []
    for density in (10, 40, 75):
        large = make_pictures(
            1, (LARGE // 4 if options.quick else LARGE,) * 2, n_objects=density,
            random_state=options.seed + 100 + density,
        )  # fmt: skip
        found = model.predict_contributions(large.pictures)[0]
        predicted = found.sum()
        n = found.shape[0] // 8
        boxes = found[: n * 8, : n * 8].reshape(n, 8, n, 8).sum(axis=(1, 3))
        edges = [np.arange(n + 1) * 32.0] * 2
        true = np.histogramdd(large.positions[0].clip(0, n * 32 - 0.1), bins=edges)[0]
        rows.append(
            [density, large.totals[0], predicted, 100 * (predicted / large.totals[0] - 1),
             np.corrcoef(boxes.ravel(), true.ravel())[0, 1]]
        )  # fmt: skip
    table(["objects per 128²", "true", "predicted", "error / %", "map, 32² boxes"], rows)
    return speed(model, options)


def crops(n, seed):
    """Return crops of larger pictures with the counts of what has its centre inside."""
    whole = make_pictures(-(-n // 4), (2 * SIDE,) * 2, n_objects=(5, 80), random_state=seed)
    pictures, totals = [], []
    for picture, positions in zip(whole.pictures, whole.positions, strict=True):
        for i, j in np.ndindex(2, 2):
            pictures.append(picture[i * SIDE : (i + 1) * SIDE, j * SIDE : (j + 1) * SIDE])
            cell = np.floor((positions + 0.5) / SIDE).astype(int).clip(0, 1)
            totals.append(float((cell == (i, j)).all(axis=1).sum()))
    whole.pictures, whole.totals = np.stack(pictures[:n]), np.array(totals[:n])
    return whole


def speed(model, options):
    """Print megapixels per second, memory, and the slope of time against size."""
    import zarr

    rows, sides = [], [256, 512, 1024, 2048, 4096] + ([] if options.quick else [8192])
    tile = make_pictures(1, (256, 256), random_state=options.seed).pictures[0]
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "a.zarr")
            array = zarr.create_array(path, shape=(side, side), chunks=(1024, 1024), dtype="u1")
            for first in range(0, side, 1024):
                strip = np.tile(tile, (min(1024, side) // 256, side // 256))
                array[first : first + 1024] = strip
            model.predict(path) if side == sides[0] else None
            taken = []
            for _ in range(3 if side <= 2048 else 1):
                start = time.process_time()
                model.predict(path)
                taken.append(time.process_time() - start)
        rows.append([side, np.min(taken), side**2 / 1e6 / np.min(taken), peak_megabytes()])
    table(["side", "seconds", "megapixels / s", "peak MB"], rows)
    sizes, seconds = np.array(rows)[1:, 0] ** 2, np.array(rows)[1:, 1]
    print(f"slope of time against pixels: {np.polyfit(np.log(sizes), np.log(seconds), 1)[0]:.3f}")


def intervals(options):
    """Print how many new totals are in 90 % intervals, over several trainings."""
    inside, errors = [], []
    for seed in range(options.intervals):
        train, new = crops(200, seed), crops(200, 1000 + seed)
        model = CountRegressor(n_members=4, max_epochs=8, random_state=seed)
        model.fit(train.pictures, train.totals)
        low, high = model.predict_interval(new.pictures)
        inside.append(100 * np.mean((low <= new.totals) & (new.totals <= high)))
        errors.append(np.abs(model.predict(new.pictures) - new.totals).mean())
        print(f"seed {seed}: {inside[-1]:.1f} % inside, off by {errors[-1]:.2f}", flush=True)
    print(
        f"{options.intervals} models, {200 * options.intervals} pictures: "
        f"{np.mean(inside):.1f} % in their 90 % intervals ({min(inside):.1f} to {max(inside):.1f})"
    )


if __name__ == "__main__":
    # Processor time, so that other programs do not count.
    with kept_clocks(read=time.thread_time):
        main()
