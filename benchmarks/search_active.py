"""Labels chosen by a committee against random ones, at equal labels.

    python benchmarks/search_active.py [--quick] [--seeds 5] [--labels 60]

A pool of 600 Ising systems of 8 × 8, flat in energy, and kernel ridge: ten random labels, then five
at a time. The test set are 500 others. In "rare" eleven twelfths of the pool are nearly
ferromagnetic, and the rest are like the test set. Means over seeds, with their standard deviation.
"""

from _measure import arguments, machine, table

import time

import numpy as np
from sklearn.kernel_ridge import KernelRidge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.search import ActiveLearning


def pools(seed):
    """Return the pool and the test set of each case."""
    flat, totals = make_ising(1100, (8, 8), random_state=seed, return_X_y=True)
    cold = np.where(np.random.default_rng(seed).random((600, 8, 8)) < 0.04, -1, 1).astype(
        flat.dtype
    )
    for k in range(0, 600, 12):  # a twelfth of the pool is not like the rest
        cold[k] = flat[k]
    return {
        "flat": (flat[:600], flat[600:], totals[600:]),
        "rare": (cold, flat[600:], totals[600:]),
    }


def energy(spins):
    return -float(np.sum(spins * (np.roll(spins, 1, 0) + np.roll(spins, 1, 1))))


def curve(pool, test, totals, strategy, n_labels, seed):
    model = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.05, alpha=1e-6), GridTiling(1, 1))
    errors = {}

    def note(learning):
        error = learning.model_.predict(test) - totals
        errors[len(learning.indices_)] = float(np.sqrt(np.mean(error**2)))

    learning = ActiveLearning(
        model, pool, energy, strategy=strategy, random_state=seed, n_initial=10, batch_size=5
    )
    learning.run(n_labels, note)
    return errors


def main():
    options = arguments(__doc__, seeds=5, labels=60)
    machine()
    seeds = 2 if options.quick else options.seeds
    start = time.process_time()
    for case in ("flat", "rare"):
        curves = {"committee": [], "random": []}
        for seed in range(seeds):
            for strategy, found in curves.items():
                found.append(curve(*pools(seed)[case], strategy, options.labels, seed))
        print(f"{case}: root mean square errors of totals (J), {seeds} seeds")
        rows = []
        for n in list(curves["random"][0])[::2]:
            each = {name: np.array([one[n] for one in found]) for name, found in curves.items()}
            rows.append((n, *(f"{v.mean():.3g} ± {v.std():.2g}" for v in each.values())))
        table(("labels", *curves), rows)
    print(f"{time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
