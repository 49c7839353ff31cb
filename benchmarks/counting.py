"""A model trained on totals of 32 x 32 crops counts the dots of 1,024 x 1,024 fields."""

from _measure import arguments, machine, peak_megabytes, table

import time

import numpy as np
import torch

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_dots
from sk_ednn.solvers import GradientSolver

FOCUS, CONTEXT = 8, 4


def network():
    n = FOCUS + 2 * CONTEXT
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(n * n, 64), torch.nn.SiLU(),
        torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1),
    )  # fmt: skip


def main():
    options = arguments(__doc__, seeds=3)
    machine()
    rows = []
    for seed in range(1 if options.quick else options.seeds):
        torch.manual_seed(seed)
        train = make_dots(1000 if options.quick else 4000, (32, 32), random_state=seed)
        test = make_dots(5, (1024, 1024), random_state=100 + seed)
        model = EDNNRegressor(
            network(),
            GridTiling(FOCUS, CONTEXT),
            solver=GradientSolver(max_epochs=10 if options.quick else 20),
            random_state=seed,
        )
        start = time.perf_counter()
        model.fit(train.fields, train.counts)
        took = time.perf_counter() - start
        counted = model.predict(test.fields)
        # The four tiles around a dot should account for it, those without a dot near for nothing.
        near = dots_near(test, model.predict_contributions(test.fields))
        rows.append(
            [
                seed,
                took,
                int(np.mean(test.counts)),
                float(np.max(np.abs(counted / test.counts - 1))),
                *near,
            ]
        )
    table(
        ["seed", "fit s", "dots a field", "largest relative error", "tile with dots", "without"],
        rows,
    )
    print(f"peak memory {peak_megabytes():.0f} MB")


def dots_near(test, contributions):
    """Return the mean contribution of tiles with a dot's centre in the focus, and of those far."""
    holds, empty = [], []
    for centres, tiles in zip(test.positions, contributions, strict=True):
        occupied = np.zeros(tiles.shape, dtype=bool)
        seen = np.zeros(tiles.shape, dtype=bool)
        index = np.asarray(centres).astype(int) // FOCUS % tiles.shape[0]
        occupied[tuple(index.T)] = True
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                seen |= np.roll(occupied, (dx, dy), (0, 1))
        holds.append(tiles[occupied].mean())
        empty.append(np.abs(tiles[~seen]).mean() if (~seen).any() else np.nan)
    return float(np.mean(holds)), float(np.nanmean(empty))


if __name__ == "__main__":
    main()
