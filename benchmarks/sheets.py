"""A ridge on local invariants learns the sheets to 2 meV/Å², also on larger ones.

References on the same splits are the composition alone, and a model of the whole cell as one tile,
which sees every pixel but can neither share weights nor predict another size.

With ``--forces`` the ridge learns forces too, along ``--directions`` random directions per sheet,
and is compared with the one that learns energies alone.
"""

from time import perf_counter

from _measure import arguments, machine, peak_megabytes, table

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.cli._demo import sheets_model
from sk_ednn.datasets import load_sheets
from sk_ednn.exceptions import EDNNError
from sk_ednn.metrics import extensive_errors
from sk_ednn.solvers import LinearSolver

TEST = 480


def composition(structures):
    """Return the number of atoms of each species, and the area."""
    counts = [[np.sum(s["numbers"] == z) for z in (5, 6, 7)] for s in structures]
    return np.column_stack([counts, [np.prod(s["cell"][:2]) for s in structures]])


def local(structures, seed):
    return sheets_model(seed=seed)


def composition_alone(structures, seed):
    return make_pipeline(FunctionTransformer(composition), LinearRegression(fit_intercept=False))


def whole_cell(structures, seed):
    ones = {"B": 1.0, "C": 1.0, "N": 1.0}
    draw = GaussianRasterizer((12.5 / 32, 13 / 32), 0.4, weights=ones, channels=tuple(ones))
    few = draw.fit_transform(structures[:300]).reshape(min(300, len(structures)), -1)
    kernel = KernelRidge(kernel="rbf", gamma=4 / np.median(pdist(few, "sqeuclidean")), alpha=1e-3)
    return make_pipeline(
        draw,
        EDNNRegressor(kernel, GridTiling(None, 0, channel_axis=-1), baseline="content"),
    )


MODELS = {
    "sum over tiles, local invariants": local,
    "composition alone": composition_alone,
    "whole cell, RBF kernel": whole_cell,
}


def errors(model, data, chosen):
    """Return errors per area and per atom, in meV; None where the model rejects the sheets."""
    structures = [data.structures[k] for k in chosen]
    try:
        predicted = 1e3 * model.predict(structures)
    except EDNNError:
        return None
    true = 1e3 * data.energies[chosen]
    area = data.cells[chosen, 0] * data.cells[chosen, 1]
    n_atoms = np.array([len(data.numbers[k]) for k in chosen])
    per_area = extensive_errors(true, predicted, area)
    return [
        *(getattr(per_area, k) for k in COLUMNS),
        extensive_errors(true, predicted, n_atoms).mean,
    ]


COLUMNS = ("mean", "median", "rmse", "bias")


def force_error(model, data, chosen):
    """Return the mean absolute error of the components of forces, in meV/Å."""
    structures = [data.structures[k] for k in chosen]
    draw, regressor = model[0], model[-1]
    forces = draw.forces(structures, regressor.predict_gradient(draw.transform(structures)))
    off = [np.abs(f - data.forces[k]).mean() for k, f in zip(chosen, forces, strict=True)]
    return 1e3 * float(np.mean(off))


def forces_too(options, sheets, large):
    """Print errors with and without forces, on the same splits."""
    n_splits, most = (1, 100) if options.quick else (options.splits, len(sheets.energies) - TEST)
    rows = []
    for learned in ("energies", "energies and forces"):
        found, took = [], []
        for seed in range(n_splits):
            order = np.random.default_rng(seed).permutation(len(sheets.energies))
            train, test = order[TEST : TEST + most], order[:TEST]
            structures = [sheets.structures[k] for k in train]
            model = sheets_model(seed=seed)
            known = {}
            if learned != "energies":
                draw = model[0].fit(structures)
                forces = [sheets.forces[k] for k in train]
                known["ednnregressor__gradient"] = draw.position_gradients(structures, forces)
                how = LinearSolver(options.directions, gradient_weight=options.weight)
                model.set_params(ednnregressor__solver=how, ednnregressor__random_state=seed)
            start = perf_counter()
            model.fit(structures, sheets.energies[train], **known)
            took.append(perf_counter() - start)
            unseen, larger = (
                errors(model, sheets, test),
                errors(model, large, np.arange(len(large.energies))),
            )
            some = test[: 5 if options.quick else 50]
            found.append([*unseen[:2], *larger[:2], force_error(model, sheets, some)])
            print(f"split {seed}, {learned}: mean {unseen[0]:.2f}", flush=True)
        rows.append([learned, *np.mean(found, axis=0).tolist(), float(np.mean(took))])
    print(f"\nerrors in meV/Å², trained on {most:,} sheets, average of {n_splits} random split(s);")
    print("forces in meV/Å, of 50 unseen sheets")
    table(["learned", "unseen mean", "median", "larger mean", "median", "forces", "fit, s"], rows)
    print(f"peak memory of the process {peak_megabytes():.0f} MB")


def main():
    options = arguments(__doc__, splits=3, forces=False, directions=2, weight=0.3)
    machine()
    sheets, large = load_sheets(), load_sheets(cells="large")
    if options.forces:
        forces_too(options, sheets, large)
        return
    n_splits, most = (1, 400) if options.quick else (options.splits, len(sheets.energies) - TEST)
    headers = ["model", "sheets", *COLUMNS, "mean, meV/atom", "splits' range of mean", "fit, s"]

    print(f"errors in meV/Å², trained on {most:,} sheets, average of {n_splits} random split(s)\n")
    rows = []
    for name, make in MODELS.items():
        found, took = {"unseen": [], "larger": []}, []
        for seed in range(n_splits):
            order = np.random.default_rng(seed).permutation(len(sheets.energies))
            train = order[TEST : TEST + most]
            structures = [sheets.structures[k] for k in train]
            model = make(structures, seed)
            start = perf_counter()
            model.fit(structures, sheets.energies[train])
            took.append(perf_counter() - start)
            found["unseen"].append(errors(model, sheets, order[:TEST]))
            found["larger"].append(errors(model, large, np.arange(len(large.energies))))
        for part, values in found.items():
            if None in values:
                rows.append([name, part, *["rejected"] * 5, "", ""])
                continue
            means = [row[0] for row in values]
            shown = np.mean(values, axis=0).tolist()
            spread = f"{min(means):.2f} to {max(means):.2f}"
            rows.append([name, part, *shown, spread, float(np.mean(took))])
        print(f"{name}: peak memory of the process so far {peak_megabytes():.0f} MB")
    print()
    table(headers, rows)

    sizes = (100, 200, 400) if options.quick else (125, 250, 500, 1000, 2000, most)
    print("\nlearning curve of the sum over tiles, first split")
    order = np.random.default_rng(0).permutation(len(sheets.energies))
    rows, some = [], order[: 5 if options.quick else 50]
    for size in sizes:
        train = order[TEST : TEST + size]
        model = sheets_model()
        start = perf_counter()
        model.fit([sheets.structures[k] for k in train], sheets.energies[train])
        seconds = perf_counter() - start
        unseen = errors(model, sheets, order[:TEST])
        larger = errors(model, large, np.arange(len(large.energies)))
        rows.append([size, *unseen[:2], *larger[:2], force_error(model, sheets, some), seconds])
    mean = 1e3 * np.mean([np.abs(sheets.forces[k]).mean() for k in some])
    print(f"forces: mean error in meV/Å, fitted to energies alone; their mean size is {mean:.0f}")
    table(["sheets", "unseen mean", "median", "larger mean", "median", "forces", "fit, s"], rows)


if __name__ == "__main__":
    main()
