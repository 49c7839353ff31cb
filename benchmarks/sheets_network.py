"""Networks learn the energies of sheets: the paper's, one without padding, one with forces.

    python benchmarks/sheets_network.py --models paper,valid,whole --minutes 15
    python benchmarks/sheets_network.py --models forces --minutes 60 --save sheets.ednn

"paper" is the paper's network, with tiles of 128 pixels of 0.1 Å and a focus of 64, on energies
alone; "valid" is the one without padding; "whole" is the paper's network on the whole cell as one
tile; "forces" is a small one without padding at 0.2 Å per pixel, on energies and forces; "energies"
is the same without forces. Each trains for the same time on one core, for as many epochs as fit
according to a trial. ``--start sheets.ednn`` continues from a saved model. Errors are those of 480
unseen sheets and of 21 larger cells.
"""

from _measure import arguments, machine, peak_megabytes, table

import argparse
from time import process_time

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetRegressor
from skorch.callbacks import GradientNormClipping, LRScheduler

from sk_ednn import EDNNRegressor, GridTiling, files
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.datasets import load_sheets
from sk_ednn.exceptions import EDNNError
from sk_ednn.metrics import extensive_errors
from sk_ednn.networks import PaperCNN, ValidCNN
from sk_ednn.solvers import GradientSolver

TEST = 480
ONES = {"B": 1.0, "C": 1.0, "N": 1.0}
SMALL = ((48, 5, 2), (96, 4, 2), (96, 3, 1), (96, 3, 1), (96, 3, 1))

SMALL_NETWORK = (
    ValidCNN, {"layers": SMALL, "hidden": 96, "activation": "silu"},
    64, 0.25, GridTiling(4, 16, channel_axis=-1),
)  # fmt: skip

# Name: (module, its parameters, pixels a cell, width of an atom, tiling, with forces, batch, rate)
MODELS = {
    "paper": (PaperCNN, {}, 128, 0.2, GridTiling(64, 32, channel_axis=-1), False, 16, 5e-4),
    "valid": (ValidCNN, {}, 128, 0.2, GridTiling(64, 32, channel_axis=-1), False, 16, 5e-4),
    "whole": (PaperCNN, {}, 128, 0.2, GridTiling(None, 0, channel_axis=-1), False, 16, 5e-4),
    "energies": (*SMALL_NETWORK, False, 8, 1.2e-3),
    "forces": (*SMALL_NETWORK, True, 8, 1.2e-3),
}


def drawn(name):
    """Return the rasteriser of a model."""
    pixels, width = MODELS[name][2:4]
    return GaussianRasterizer(
        (12.5 / pixels, 13 / pixels), width, weights=ONES, channels=tuple(ONES)
    )


def estimator(name, n_samples, epochs, options):
    module, settings, _, _, tiling, _, batch_size, rate = MODELS[name]
    batch_size, rate = options.batch_size or batch_size, options.rate or rate
    first = 1 if options.start else 10  # initial weight of forces
    net = NeuralNetRegressor(
        module,
        **{f"module__{key}": value for key, value in settings.items()},
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=rate,
        max_epochs=epochs,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[
            LRScheduler(
                torch.optim.lr_scheduler.OneCycleLR, max_lr=rate, pct_start=0.15,
                total_steps=epochs * -(-n_samples // batch_size) + 1, step_every="batch",
            ),
            GradientNormClipping(5.0),
        ],
        verbose=0 if epochs == 1 else 1,
    )  # fmt: skip

    def weight(epoch):
        # Forces first, which are many; energies at the end, for which errors are reported.
        return first ** (1 - np.clip((epoch / epochs - 0.4) / 0.5, 0, 1))

    symmetries = ("reflect",) if tiling.focus is None else ("shift", "reflect")
    solver = GradientSolver(
        symmetries=symmetries, gradient_weight=weight, checkpoint=options.checkpoint or None
    )
    if options.start:
        started = files.load(options.start)[-1]
        return started.set_params(
            tile_model=net, solver=solver, warm_start=True, random_state=options.seed
        )
    return EDNNRegressor(net, tiling, solver=solver, baseline="content", random_state=options.seed)


def errors(model, draw, data, chosen):
    """Return mean and median per area, mean per atom, and the mean error of forces (meV/Å)."""
    structures = [data.structures[k] for k in chosen]
    try:
        fields = draw.transform(structures)
        predicted = 1e3 * model.predict(fields)
    except EDNNError:
        return None
    true = 1e3 * data.energies[chosen]
    area = data.cells[chosen, 0] * data.cells[chosen, 1]
    n_atoms = np.array([len(data.numbers[k]) for k in chosen])
    some = range(min(50, len(structures)))
    forces = draw.forces([structures[k] for k in some], model.predict_gradient(fields[: len(some)]))
    off = [np.abs(f - data.forces[chosen[k]]).mean() for k, f in zip(some, forces, strict=True)]
    per_area = extensive_errors(true, predicted, area)
    return [per_area.mean, per_area.median, per_area.rmse, per_area.bias,
            extensive_errors(true, predicted, n_atoms).mean, 1e3 * float(np.mean(off))]  # fmt: skip


def fit(name, sheets, train, epochs, options):
    draw = drawn(name)
    structures = [sheets.structures[k] for k in train]
    fields = draw.fit_transform(structures)
    known = {}
    if MODELS[name][5]:
        forces = [sheets.forces[k] for k in train]
        known["gradient"] = draw.position_gradients(structures, forces)
    model = estimator(name, len(train), epochs, options)
    start = process_time()
    model.fit(fields, sheets.energies[train], **known)
    return draw, model, process_time() - start


def main():
    options = arguments(
        __doc__, models=",".join(MODELS), minutes=15.0, epochs=0, sheets=0, seed=0, save="",
        checkpoint="", start="", batch_size=0, rate=0.0,
    )  # fmt: skip
    machine()
    sheets, large = load_sheets(), load_sheets(cells="large")
    order = np.random.default_rng(options.seed).permutation(len(sheets.energies))
    n_train = 64 if options.quick else options.sheets or len(order) - TEST
    test, train = order[:TEST], order[TEST : TEST + n_train]
    rows = []
    for name in options.models.split(","):
        epochs = options.epochs or epochs_in(name, sheets, train, options)
        draw, model, took = fit(name, sheets, train, epochs, options)
        if options.save:
            save(options.save, draw, model)
        for part, data, chosen in (
            ("unseen", sheets, test), ("larger", large, np.arange(len(large.energies)))
        ):  # fmt: skip
            found = errors(model, draw, data, chosen)
            rows.append([name, part, epochs, took, *(found or ["rejected"] + [""] * 5)])
        print(f"{name}: peak memory of the process so far {peak_megabytes():.0f} MB", flush=True)
    print(f"\nerrors in meV/Å², trained on {n_train:,} sheets; forces in meV/Å")
    table(
        ["model", "sheets", "epochs", "fit, CPU s", "mean", "median", "rmse", "bias",
         "mean, meV/atom", "forces"],
        rows,
    )  # fmt: skip


def epochs_in(name, sheets, train, options):
    """Return the number of epochs that fit into a time, by a trial with a few sheets."""
    trial = argparse.Namespace(**{**vars(options), "checkpoint": "", "start": ""})
    for _ in range(2):  # the first one is a warm-up
        _, _, took = fit(name, sheets, train[:64], 1, trial)
    minutes = 0.1 if options.quick else options.minutes
    return max(2, round(60 * minutes / (took * len(train) / 64)))


def save(path, draw, model):
    """Write the model that `sk_ednn.pretrained` loads to one file."""
    about = {
        "trained on": "energies and forces of 4,175 of the 4,655 bundled sheets",
        "held back": "np.random.default_rng(0).permutation(4655)[:480]",
        "made by": "benchmarks/sheets_network.py",
    }
    # The schedule of the weight of forces is a function, which a file cannot contain.
    model.solver = model.solver_ = GradientSolver()
    model.warm_start = False
    files.save(make_pipeline(draw, model), path, unit="eV", about=about)


if __name__ == "__main__":
    main()
