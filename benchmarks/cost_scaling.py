"""The cost of a prediction is linear in the number of tiles, in constant memory."""

from _measure import arguments, machine, peak_megabytes, seconds, table

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import Direct, Unique


def main():
    options = arguments(__doc__)
    machine()
    rng = np.random.default_rng(0)
    spins = rng.choice([-1, 1], size=(400, 8, 8)).astype(np.int8)
    waves = rng.normal(size=(400, 8, 8))
    quadratic = make_pipeline(PolynomialFeatures(2), Ridge())
    kernel = KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6)
    cases = {
        "Unique, kernel ridge, spins": (spins, kernel, Unique(table_size=0)),
        "Direct, kernel ridge, spins": (spins, kernel, Direct()),
        "Direct, quadratic ridge, real": (waves, quadratic, Direct()),
    }
    sides = (32, 128, 512) if options.quick else (64, 256, 1024, 2048)
    for name, (fields, tile_model, evaluation) in cases.items():
        model = EDNNRegressor(tile_model, GridTiling(1, 1), evaluation=evaluation)
        model.fit(fields, (fields * np.roll(fields, 1, 1)).sum(axis=(1, 2), dtype=float))
        rows = []
        for side in sides:
            field = rng.permuted(np.resize(fields, (1, side, side)))
            took = seconds(lambda: model.predict(field), repeat=3)  # noqa: B023
            rows.append([name, side * side, took, took / side**2 * 1e6, peak_megabytes()])
        table(["evaluation", "tiles", "s", "µs a tile", "peak MB"], rows)
        slope = np.polyfit(np.log([r[1] for r in rows]), np.log([r[2] for r in rows]), 1)[0]
        print(f"log-log slope {slope:.3f}\n")


if __name__ == "__main__":
    main()
