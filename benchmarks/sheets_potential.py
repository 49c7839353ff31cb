"""Training and errors of the bundled potential of sheets.

    python benchmarks/sheets_potential.py --minutes 10 --save sheets_potential.ednn
    python benchmarks/sheets_potential.py --minutes 0 --start sheets_potential.ednn
    python benchmarks/sheets_potential.py --minutes 10 --larger 8

A network per species on the power spectrum of learned channels, with an intensive context of eight
averages, is trained on energies and forces of 4,175 sheets for ``--minutes`` on one core. Errors
per area are those of the 480 sheets that the image network was not trained on either, and of 21
larger cells, beside those of that network. With ``--larger N`` every other larger cell is in the
training, too, N times, and errors are those of the others.
"""

from _measure import arguments, machine, table

from time import process_time

import numpy as np

from sk_ednn import files
from sk_ednn.atoms import EDNNPotential, PotentialTrainer
from sk_ednn.datasets import load_sheets
from sk_ednn.pretrained import load_sheets_model

TEST = 480
ABOUT = {
    "trained on": "energies and forces of 4,175 of the 4,655 bundled sheets",
    "held back": "np.random.default_rng(0).permutation(4655)[:480]",
    "made by": "benchmarks/sheets_potential.py",
}


def flat(forces):
    """Return forces in the plane as forces in three dimensions."""
    return [np.pad(each, ((0, 0), (0, 1))) for each in forces]


def parts(sheets):
    """Return the training sheets, and those held back."""
    order = np.random.default_rng(0).permutation(len(sheets.energies))
    return np.sort(order[TEST:]), np.sort(order[:TEST])


def errors(model, sheets, chosen):
    """Return the mean and median error in meV/Å², and that of forces, if any, in meV/Å."""
    structures = [sheets.structures[k] for k in chosen]
    area = sheets.cells[chosen, :2].prod(axis=1)
    off = 1e3 * np.abs(model.predict(structures) - sheets.energies[chosen]) / area
    row = [off.mean(), np.median(off), np.nan]
    if hasattr(model, "predict_forces"):
        found = np.concatenate(model.predict_forces(structures))[:, :2]
        true = np.concatenate([sheets.forces[k] for k in chosen])
        row[2] = 1e3 * np.abs(found - true).mean()
    return row


def main():
    options = arguments(__doc__, minutes=10.0, context=8, larger=0, start="", save="")
    machine()
    sheets, large = load_sheets(as_ase=True), load_sheets(cells="large", as_ase=True)
    train, test = parts(sheets)
    if options.start:
        potential = files.load(options.start).set_params(warm_start=True, verbose=1)
    else:
        potential = EDNNPotential(context=options.context, random_state=0, verbose=1)
    start = process_time()
    minutes = 0.1 if options.quick else options.minutes
    large_train = np.arange(1, len(large.energies), 2) if options.larger else np.arange(0)
    large_test = np.setdiff1d(np.arange(len(large.energies)), large_train)
    if minutes > 0:
        trainer = PotentialTrainer(clock="processor")
        potential.set_params(max_seconds=60 * minutes, trainer=trainer)
        learned = [(sheets, k) for k in train]
        learned += options.larger * [(large, k) for k in large_train]
        potential.fit(
            [data.structures[k] for data, k in learned],
            np.array([data.energies[k] for data, k in learned]),
            forces=flat([data.forces[k] for data, k in learned]),
        )
    seconds = process_time() - start
    rows = []
    for name, model in (("atoms", potential), ("images", load_sheets_model("image"))):
        for which, data, chosen in (
            ("480 sheets", sheets, test), (f"{len(large_test)} larger", large, large_test)
        ):  # fmt: skip
            rows.append([name, which, *(f"{value:.3f}" for value in errors(model, data, chosen))])
    table(["model", "cells", "mean meV/Å²", "median", "forces meV/Å"], rows)
    print(f"{seconds:.0f} s of the processor, {len(potential.history_)} epochs")
    if options.save:
        about = ABOUT | {"epochs": len(potential.history_), "CPU s": round(seconds)}
        potential.set_params(warm_start=False, verbose=0)
        files.save(potential, options.save, unit="eV", about=about)


if __name__ == "__main__":
    main()
