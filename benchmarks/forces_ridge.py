"""Forces by a ridge on local invariants: memory of the fit, and time of the forces of an image.

    python benchmarks/forces_ridge.py
    python benchmarks/forces_ridge.py --accuracy --train 1000

Claim: memory of the fit does not grow with the rows of forces. The goal for the forces of 1,475
atoms is 100 ms. Times are the least processor times of one thread, with the ways in turns; with
``--jobs 2`` they are those of the clock.
``--sheets`` and ``--components`` set the size of the fit whose memory is measured. ``--accuracy``
compares 64 and 96 components, fitted to energies and forces, on the same splits.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _measure import added_megabytes, arguments, machine, table

from time import perf_counter, process_time

import numpy as np
from sheets import TEST, errors, force_error
from sklearn.base import clone

from sk_ednn.cli._demo import sheets_model
from sk_ednn.datasets import load_sheets
from sk_ednn.solvers import LinearSolver


class SmallBlocks(LinearSolver):
    """Blocks of 4 MB, so that they do not hide the memory of rows."""

    _block_bytes = 2**22


class RowsInMemory(LinearSolver):
    """All rows of gradients as one array, with scikit-learn's fit."""

    _block_bytes = 2**22
    _normal = ()
    _condensed = ()


def with_components(model, n_components):
    params = {"ednnregressor__tile_model__localinvariants__n_components": n_components}
    return model.set_params(**params)


def memory(options, sheets):
    """Print the memory that fits add to the process, for rising numbers of directions."""
    some = slice(options.sheets)
    structures, rows = sheets.structures[some], []
    model = with_components(sheets_model(n_jobs=1), options.components)
    model.set_params(ednnregressor__tile_model__localinvariants__degree=4)  # for more rows in time
    draw = clone(model[0]).fit(structures)
    known = draw.position_gradients(structures, sheets.forces[some])
    fields = draw.transform(structures)
    for n_directions in (4, 16) if options.quick else (4, 16, 64):
        for name, kind in (("normal equations", SmallBlocks), ("rows", RowsInMemory)):
            regressor = clone(model[-1]).set_params(solver=kind(n_directions), random_state=0)

            def fit(regressor=regressor):
                regressor.fit(fields, sheets.energies[some], gradient=known)

            start = process_time()
            added = added_megabytes(fit)
            n_features = len(regressor.tile_model_.estimator[-1].coef_)
            n_rows = len(structures) * (1 + n_directions)
            rows.append([n_directions, n_rows, n_features, name, added, process_time() - start])
    print(f"\nfit to the energies and forces of {len(structures)} sheets")
    table(["directions", "rows", "features", "way", "added, MB", "processor, s"], rows)


def speed(options, sheets):
    """Print the processor time of forces of an image, for several numbers of components."""
    structures = sheets.structures[: 20 if options.quick else 60]
    side = 2 if options.quick else 5
    large = load_sheets(as_ase=True).structures[0].repeat((side, side, 1))
    parts = {}
    clock = process_time if options.jobs == 1 else perf_counter
    for n_components in (64, 96):
        model = with_components(sheets_model(n_jobs=options.jobs), n_components)
        model.fit(structures, sheets.energies[: len(structures)])
        parts[n_components] = model[0], model[-1], model[0].transform([large])

    def draw(n):
        parts[n][0].transform([large])

    def gradient(n):
        parts[n][1].predict_gradient(parts[n][2])

    def forces(n):
        drawn, regressor, _ = parts[n]
        drawn.forces([large], regressor.predict_gradient(drawn.transform([large])))

    ways = {"draw": draw, "gradient by the field": gradient, "forces, all steps": forces}
    times = {(name, n): [] for name in ways for n in parts}
    added = {}
    for turn in range(3 if options.quick else options.turns + 1):
        for (name, n), found in times.items():
            start = clock()
            ways[name](n)
            if turn:  # the first turn is a warm-up
                found.append(clock() - start)
    for key in times:
        added[key] = added_megabytes(lambda key=key: ways[key[0]](key[1]))
    shape = " × ".join(map(str, parts[96][2].shape[1:3]))
    what = "the processor" if options.jobs == 1 else f"the clock, {options.jobs} jobs"
    print(f"\nforces of {len(large):,} atoms, {shape} pixels, milliseconds of {what}")
    rows = [
        [name, n, 1e3 * min(found), 1e3 * float(np.median(found)), added[name, n]]
        for (name, n), found in times.items()
    ]
    table(["step", "components", "least", "median", "added, MB"], rows)


def accuracy(options, sheets):
    """Print errors of energies and forces of unseen and larger sheets."""
    large, rows = load_sheets(cells="large"), []
    n_splits, most = (1, 60) if options.quick else (options.splits, options.train)
    for seed in range(options.seed, options.seed + n_splits):
        order = np.random.default_rng(seed).permutation(len(sheets.energies))
        train, test = order[TEST : TEST + most], order[: 20 if options.quick else TEST]
        structures = [sheets.structures[k] for k in train]
        for n_components in (64, 96):
            model = with_components(sheets_model(n_jobs=1, seed=seed), n_components)
            draw = clone(model[0]).fit(structures)
            known = draw.position_gradients(structures, [sheets.forces[k] for k in train])
            model.set_params(
                ednnregressor__solver=LinearSolver(2), ednnregressor__random_state=seed
            )

            def fit(model=model, known=known, structures=structures, train=train):
                model.fit(structures, sheets.energies[train], ednnregressor__gradient=known)

            start = process_time()
            added = added_megabytes(fit)
            took = process_time() - start
            unseen = errors(model, sheets, test)
            larger = errors(model, large, np.arange(len(large.energies)))
            forces = force_error(model, sheets, test[:50])
            rows.append([seed, n_components, *unseen[:2], *larger[:2], forces, took, added])
    print(f"\nerrors in meV/Å² and meV/Å, fitted to {most:,} sheets and their forces")
    headers = "split", "components", "unseen mean", "median", "larger mean", "median", "forces"
    table([*headers, "fit, s", "added, MB"], rows)


def main():
    options = arguments(
        __doc__.splitlines()[0], sheets=100, components=24, turns=30, accuracy=False, train=1000,
        splits=1, seed=0, jobs=1,
    )  # fmt: skip
    machine()
    sheets = load_sheets()
    if options.accuracy:
        accuracy(options, sheets)
        return
    memory(options, sheets)
    speed(options, sheets)


if __name__ == "__main__":
    main()
