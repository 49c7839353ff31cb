"""Ours beside scikit-image, dask-ml and featomic on the same data.

    python benchmarks/compare/libraries.py
    python benchmarks/compare/libraries.py --only soap

Needs ``pip install scikit-image dask-ml featomic`` beside this package, best in a separate
environment. Three tables, some five minutes on one core:

``dots``
    Dots counted in images of 512 x 512, clean and with noise. scikit-image finds them by a
    threshold or by maxima, whose parameters are those with the least error on 300 images of 32 x
    32; ours learns the numbers of 2,000 such images. Errors are
    relative to the mean number.
``rows``
    The energy of 1,024 x 1,024 spins: dask-ml predicts rows of tiles that were cut before, ours the
    field. What dask-ml says about fields.
``soap``
    The power spectrum of featomic and ours, with a ridge per species, on the bundled sheets.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import sys
from pathlib import Path
from time import process_time

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import load_sheets, make_dots, make_ising
from sk_ednn.tiling import AtomTiling

sys.path.insert(0, str(Path(__file__).parents[1]))
from _measure import added_megabytes, table


def timed(function):
    """Return the result of a call and its processor time."""
    start = process_time()
    return function(), process_time() - start


# --- dots -----------------------------------------------------------------------------------


def components(image, threshold):
    from skimage.measure import label

    return label(image > threshold).max()


def maxima(image, threshold):
    from skimage.feature import peak_local_max

    return len(peak_local_max(image, min_distance=2, threshold_abs=threshold, exclude_border=False))


def smoothed_maxima(image, threshold):
    from scipy.ndimage import gaussian_filter

    return maxima(gaussian_filter(image, 1.0, mode="wrap"), threshold)


def dots(seed=0):
    import torch

    from sk_ednn.solvers import GradientSolver

    small = make_dots(2000, (32, 32), random_state=seed)
    large = make_dots(5, (512, 512), random_state=seed + 1)
    rng, rows = np.random.default_rng(seed), []
    for noise in (0.0, 0.3):
        train, test = (
            (data.fields + noise * rng.normal(size=data.fields.shape)).astype(np.float32)
            for data in (small, large)
        )
        for find in (components, maxima, smoothed_maxima):

            def off(threshold, find=find, train=train):
                counted = np.array([find(image, threshold) for image in train[:300]])
                return np.abs(counted - small.counts[:300]).mean()

            def run(find=find, off=off, test=test):
                best = min(np.linspace(0.05, 0.95, 19), key=off)
                return [find(image, best) for image in test]

            counted, took = timed(run)
            rows.append([f"scikit-image, {find.__name__}", noise, *errors(counted, large), took])
        torch.manual_seed(seed)
        net = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(256, 64), torch.nn.SiLU(),
            torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1),
        )  # fmt: skip
        model = EDNNRegressor(
            net, GridTiling(8, 4), solver=GradientSolver(max_epochs=20), random_state=seed
        )
        counted, took = timed(
            lambda model=model, train=train, test=test: model.fit(
                train, small.counts
            ).predict(test)
        )  # fmt: skip
        rows.append(["ours, from totals", noise, *errors(counted, large), took])
    table(["", "noise", "mean error %", "largest %", "processor s"], rows)


def errors(counted, data):
    off = 100 * np.abs(np.asarray(counted) - data.counts) / data.counts.mean()
    return off.mean(), off.max()


# --- rows -----------------------------------------------------------------------------------


def rows(seed=0):
    import dask.array as da
    from dask_ml.wrappers import ParallelPostFit

    small = make_ising(1000, (8, 8), sampling="flat", random_state=seed)
    field = make_ising(1, (1024, 1024), n_sweeps=20, random_state=seed + 1)
    tiling = GridTiling(1, 1)
    pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-6))
    model = EDNNRegressor(pairs, tiling).fit(small.fields, small.energies)
    tile_model, lazy = model.tile_model_, da.from_array(field.fields, chunks=(1, 256, 256))

    def by_rows():
        tiles = tiling.transform(field.fields).reshape(-1, 9)
        wrapped = ParallelPostFit(tile_model.estimator)
        contributions = wrapped.predict(da.from_array(tiles, chunks=(1 << 16, 9)))
        bias = tile_model.baseline.coefficients.ravel()[0] * len(tiles)
        return float(contributions.sum().compute(scheduler="synchronous")) + bias

    def by_fields():
        return float(np.asarray(model.predict(lazy)[0].compute(scheduler="synchronous")))

    table_rows = []
    for name, way in (("dask-ml, tiles as rows", by_rows), ("ours, field", by_fields)):
        total, took = timed(way)
        off = abs(total - field.energies[0])
        table_rows.append([name, off, took, added_megabytes(way)])
    table(["", "error, J", "processor s", "MB"], table_rows)
    try:
        whole = da.from_array(field.fields, chunks=(1, 1024, 1024))
        ParallelPostFit(model).predict(whole).compute()
    except Exception as error:  # the message is the result
        print(f"dask-ml, fields: {type(error).__name__}: {str(error).splitlines()[0][:150]}")
    else:
        print("dask-ml, fields: no error")


# --- SOAP -----------------------------------------------------------------------------------


def featomic_features(structures, gradients=False):
    """Return the power spectrum summed over the atoms of each species, and time it."""
    from featomic import SoapPowerSpectrum

    calculator = SoapPowerSpectrum(
        cutoff={"radius": 5.0, "smoothing": {"type": "ShiftedCosine", "width": 0.5}},
        density={"type": "Gaussian", "width": 0.4},
        basis={
            "type": "TensorProduct", "max_angular": 6,
            "radial": {"type": "Gto", "max_radial": 5},
        },
    )  # fmt: skip
    result = calculator.compute(structures, gradients=["positions"] if gradients else [])
    if gradients:
        return None
    result = result.keys_to_properties(["neighbor_1_type", "neighbor_2_type"])
    parts = []
    for key in result.keys:
        block = result.block(key)
        summed = np.zeros((len(structures), block.values.shape[1]))
        np.add.at(summed, block.samples["system"], block.values)
        parts.append(summed)
    return np.hstack(parts)


def soap(seed=0):
    from ase import Atoms

    from sk_ednn.descriptors import PowerSpectrum
    from sk_ednn.structures import Structures, neighbor_pairs

    sheets = load_sheets()
    chosen = np.random.default_rng(seed).permutation(len(sheets.energies))[:800]
    structures = [
        Atoms(s["numbers"], np.pad(s["positions"], ((0, 0), (0, 1))),
              cell=[*s["cell"][:2], 20.0], pbc=True)  # featomic takes none or all
        for s in (sheets.structures[k] for k in chosen)
    ]  # fmt: skip
    energies, area = sheets.energies[chosen], np.prod(sheets.cells[chosen, :2], axis=1)
    counts = np.array([[np.sum(a.numbers == z) for z in (5, 6, 7)] for a in structures])
    composition = np.linalg.lstsq(counts[:600], energies[:600], rcond=None)[0]
    residual = energies - counts @ composition
    n_atoms = sum(map(len, structures[:100]))
    table_rows = []

    features, _ = timed(lambda: featomic_features(structures))
    _, values = timed(lambda: featomic_features(structures[:100]))
    _, slopes = timed(lambda: featomic_features(structures[:100], gradients=True))
    scale = features[:600].std(axis=0)
    features = features / np.where(scale > 0, scale, 1) / np.sqrt(features.shape[1])
    best = ridge_error(features, residual, area)
    table_rows.append(
        ["featomic SOAP", features.shape[1], *best, n_atoms / values, n_atoms / slopes]
    )

    systems = Structures.of(structures)
    species = [5, 6, 7]
    descriptor = PowerSpectrum(5.0, species=species)
    place = systems.owners * len(species) + np.searchsorted(species, systems.numbers)
    values = descriptor.values(neighbor_pairs(systems, 5.0))
    own = np.zeros((len(systems) * len(species), values.shape[1]))
    np.add.at(own, place, values)
    own = own.reshape(len(systems), -1)
    scale = own[:600].std(axis=0)
    own = own / np.where(scale > 0, scale, 1) / np.sqrt(own.shape[1])
    best = ridge_error(own, residual, area)
    few = systems.take(np.arange(100))
    _, values = timed(lambda: descriptor.values(neighbor_pairs(few, 5.0)))
    model = EDNNRegressor(Ridge(1e-3), AtomTiling(descriptor)).fit(structures[:100], energies[:100])
    _, slopes = timed(lambda: model.predict_gradient(structures[:100]))
    table_rows.append(["ours", own.shape[1], *best, n_atoms / values, n_atoms / slopes])
    table(
        ["600 sheets", "features", "mean meV/Å²", "median", "atoms/s", "with gradients"],
        table_rows,
    )


def ridge_error(features, residual, area):
    """Return mean and median error of 200 sheets for the penalty that is best on 100 others."""
    train, held, test = slice(0, 500), slice(500, 600), slice(600, None)

    def off(alpha, fit, where):
        model = Ridge(alpha, fit_intercept=False).fit(features[fit], residual[fit])
        return 1e3 * np.abs(model.predict(features[where]) - residual[where]) / area[where]

    best = min(10.0 ** np.arange(-9, 1), key=lambda alpha: off(alpha, train, held).mean())
    errors = off(best, slice(0, 600), test)
    return errors.mean(), np.median(errors)


TABLES = {"dots": dots, "rows": rows, "soap": soap}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=TABLES)
    options = parser.parse_args()
    for name in [options.only] if options.only else TABLES:
        print(f"\n{name}", flush=True)
        TABLES[name]()


if __name__ == "__main__":
    main()
