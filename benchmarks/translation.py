"""Averaging over shifts makes energies nearly independent of translations of a sheet.

    python benchmarks/translation.py
    python benchmarks/translation.py --minutes 3

Claim: averaged over all shifts of the tiles by whole pixels below the focus, the change of the
bundled network's energy under any translation of a sheet is less than a twentieth of that without.
Also printed are errors of energies and forces, the net force, which should be 0, and the processor
time of an energy with forces. With ``--minutes``, a small network is trained twice for about so
long, without and with random shifts of the fields in training, on 400 coarsely drawn sheets.
"""

from time import perf_counter, process_time

from _measure import THREADS, arguments, machine, table

import numpy as np
import torch
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.atoms import EDNNCalculator, GaussianRasterizer
from sk_ednn.datasets import load_sheets
from sk_ednn.networks import ValidCNN
from sk_ednn.pretrained import load_sheets_model
from sk_ednn.solvers import GradientSolver

TEST = 480
TRANSLATED = 20
NUMBERS = (1, 2, 4, 8, 16)
ONES = {"B": 1.0, "C": 1.0, "N": 1.0}
COARSE = ((24, 5, 2), (48, 4, 2), (48, 3, 1))


class Moved:
    """A sheet, translated."""

    def __init__(self, sheet, by):
        self.numbers, self.cell = sheet.numbers, sheet.cell
        self.positions = np.asarray(sheet.positions, dtype=float)[:, :2] + by


def at_each_shift(model, fields, ask):
    """Return the predictions of a model at every shift of its tiles, (n_shifts, n, ...)."""
    _, regressor = (step for _, step in model.steps)
    shifts = ShiftAveraged.of(regressor, "all").shifts_
    found = []
    for shift in shifts:
        moved = ask(regressor)(np.roll(fields, -shift, (1, 2)))
        found.append(np.roll(moved, shift, (1, 2)) if moved.ndim > 1 else moved)
    return shifts, np.stack(found)


def means(model, shifts, found):
    """Yield the number of shifts and the mean over them, as `ShiftAveraged` chooses them."""
    for n in NUMBERS:
        averaged = ShiftAveraged.of(model.steps[-1][1], n)
        taken = (shifts[:, None] == averaged.shifts_).all(axis=2).any(axis=1)
        assert taken.sum() == n
        yield n, found[taken].mean(axis=0)


def spread(model, sheets, chosen, n_translations, rng):
    """Return the standard deviation of energies over translations, mean over sheets, meV/atom."""
    found = {n: [] for n in NUMBERS}
    for k in chosen:
        sheet = sheets.structures[k]
        places = rng.random((n_translations, 2)) * np.asarray(sheet.cell)[:2]
        fields = model[0].transform([Moved(sheet, by) for by in places])
        for n, energy in means(model, *at_each_shift(model, fields, lambda m: m.predict)):
            found[n].append(1e3 * energy.std(ddof=1) / len(sheet.numbers))
    return {n: float(np.mean(of)) for n, of in found.items()}


def errors(model, sheets, test, with_forces):
    """Return mean errors of energies (meV/Å²) and forces (meV/Å), and the net force (eV/Å)."""
    structures = [sheets.structures[k] for k in test]
    area = sheets.cells[test, 0] * sheets.cells[test, 1]
    fields, found = model[0].transform(structures), {n: [] for n in NUMBERS}
    for n, energy in means(model, *at_each_shift(model, fields, lambda m: m.predict)):
        off = 1e3 * (energy - sheets.energies[test]) / area
        found[n] = [np.abs(off).mean(), off.mean()]
    some = structures[:with_forces]
    slopes = at_each_shift(model, fields[: len(some)], lambda m: m.predict_gradient)
    for n, slope in means(model, *slopes):
        forces = model[0].forces(some, slope)
        off = [np.abs(f - sheets.forces[k]).mean() for k, f in zip(test, forces, strict=False)]
        net = [np.linalg.norm(f.sum(axis=0)) for f in forces]
        found[n] += [1e3 * float(np.mean(off)), float(np.mean(net))]
    return found


def costs(model, atoms):
    """Return the processor time of an energy with forces, in ms, for each number of shifts."""
    found = {}
    for n in NUMBERS:
        atoms.calc = EDNNCalculator(ShiftAveraged.of(model, n))
        times = []
        for _ in range(4):
            atoms.positions[:, :2] += 1e-3
            start = process_time()
            atoms.get_forces()
            times.append(process_time() - start)
        found[n] = 1e3 * min(times)
    return found


def rows_of(name, model, sheets, test, options):
    rng = np.random.default_rng(1)
    n_translated, n_forces = (3, 4) if options.quick else (TRANSLATED, 50)
    apart = spread(model, sheets, test[:n_translated], 4 if options.quick else 20, rng)
    off = errors(model, sheets, test, n_forces)
    time = costs(model, load_sheets(as_ase=True).structures[0])
    return [[name, n, apart[n], *off[n], time[n]] for n in NUMBERS]


def trained(symmetries, sheets, train, epochs):
    """Return a small network of coarse sheets, and its training time."""
    draw = GaussianRasterizer((12.5 / 32, 13 / 32), 0.4, weights=ONES, channels=tuple(ONES))
    solver = GradientSolver(
        max_epochs=epochs, lr=3e-3, batch_size=8, max_norm=5.0, gradient_weight=1.0,
        symmetries=symmetries,
    )  # fmt: skip
    net = ValidCNN(
        (20, 20), focus=(4, 4), n_channels=3, layers=COARSE, hidden=48, activation="silu"
    )
    tiling = GridTiling(4, 8, channel_axis=-1)
    regressor = EDNNRegressor(net, tiling, solver=solver, baseline="content", random_state=0)
    structures = [sheets.structures[k] for k in train]
    fields = draw.fit_transform(structures)
    known = draw.position_gradients(structures, [sheets.forces[k] for k in train])
    start = process_time()
    regressor.fit(fields, sheets.energies[train], gradient=known)
    return make_pipeline(draw, regressor), process_time() - start


def main():
    options = arguments(__doc__, minutes=0.0, test=TEST)
    machine()
    torch.set_num_threads(int(THREADS))
    start, sheets = perf_counter(), load_sheets()
    order = np.random.default_rng(0).permutation(len(sheets.energies))
    test = order[: 8 if options.quick else options.test]
    train = order[TEST : TEST + (16 if options.quick else 400)]
    rows = rows_of("shipped", load_sheets_model("image"), sheets, test, options)
    if options.minutes or options.quick:
        _, two = trained(None, sheets, train[:64], 2)
        epochs = max(2, round(2 * 60 * options.minutes / (two * len(train) / 64)))
        for name, symmetries in (("without", None), ("with", ("shift",))):
            torch.manual_seed(0)
            model, took = trained(symmetries, sheets, train, epochs)
            name = f"{name} shifts in training"
            print(f"{name}: {epochs} epochs of {len(train)} sheets, {took:.0f} s of processor time")
            rows += rows_of(name, model, sheets, test, options)
    print(
        f"\n{len(test)} sheets not trained on: standard deviation of the energy over translations "
        f"of the whole sheet (of {TRANSLATED} sheets), mean error and bias in meV/Å², mean error "
        f"of forces in meV/Å, net force in eV/Å, processor time of energy and forces of 59 atoms, "
        f"{THREADS} thread(s)"
    )
    table(["network", "shifts", "meV/atom", "mean", "bias", "forces", "net", "ms"], rows)
    print(f"{perf_counter() - start:.0f} s in all")
    if not options.quick:
        assert rows[4][2] < rows[0][2] / 20, rows


if __name__ == "__main__":
    main()
