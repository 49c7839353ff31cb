"""What the package is for, in three minutes: ``sk-ednn demo``.

Ising systems of 8 x 8 are learned, and 128 x 128 ones predicted, by three tile models. Then real
sheets of carbon and boron nitride are learned from their total energies, and unseen and larger
ones predicted.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

from .._regressor import EDNNRegressor
from ..atoms import GaussianRasterizer, LocalInvariants
from ..datasets import load_sheets, make_ising
from ..exceptions import MissingExtraError
from ..metrics import extensive_errors
from ..tiling import GridTiling

# Mills et al. 2019, Table 1 and section 3.1: 100,000 systems of 8 x 8, 500 epochs. Their MAE is
# the median absolute error.
PAPER_ISING = {"8": 0.028, "128": 2.055}
_ONE_EACH = {"B": 1.0, "C": 1.0, "N": 1.0}  # species apart: each with a channel of its own
# The same, section 3.2: sheets of their own, 18,515 of them, in meV per square angstrom.
PAPER_SHEETS = 1.122


def run(folder: Path, seed: int, console: Console) -> dict:
    """Run both parts, print a table each, write a figure and the numbers.

    Parameters
    ----------
    folder : Path
        Where ``parity.png`` and ``demo.json`` are written.
    seed : int
    console : Console
        Where progress is shown.

    Returns
    -------
    dict
        All numbers shown.
    """
    _require("torch", "torch")
    _require("matplotlib", "plot")
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    ising = _ising(seed, console)
    sheets = _sheets(seed, console)
    figure = folder / "parity.png"
    _plot(ising["parity"], sheets["parity"], figure)
    report = {
        "ising": ising["rows"],
        "sheets": sheets["rows"],
        "seconds": time.perf_counter() - started,
    }
    (folder / "demo.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(f"{report['seconds']:.0f} s in all; figure: {figure}", highlight=False)
    return report


def _require(module, extra):
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MissingExtraError(f"The demo needs {module}: pip install 'sk-ednn[{extra}]'")


@contextmanager
def _step(console, text):
    """Show what is being done, and how long it took."""
    start = time.perf_counter()
    with console.status(text):
        yield
    console.print(f"[dim]{text}: {time.perf_counter() - start:.1f} s[/dim]", highlight=False)


# --- Ising ------------------------------------------------------------------------------------


def _tile_models(seed):
    """Return (name, tile model, number of training systems) of three kinds."""
    import torch
    from skorch import NeuralNetRegressor
    from skorch.callbacks import LRScheduler

    from ..networks import PaperDenseNet

    epochs, batch_size, n_systems = 150, 1000, 20_000
    dense = NeuralNetRegressor(
        PaperDenseNet,
        optimizer=torch.optim.Adam,
        lr=3e-3,
        max_epochs=epochs,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        iterator_train__drop_last=True,
        train_split=None,
        callbacks=[
            LRScheduler(
                torch.optim.lr_scheduler.OneCycleLR,
                max_lr=3e-3,
                total_steps=epochs * (n_systems // batch_size) + 1,
                step_every="batch",
            )
        ],
        verbose=0,
    )
    return [
        ("kernel ridge", KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6), 1000),
        ("regression tree, boosted", DecisionTreeRegressor(random_state=seed), 2000),
        ("dense network of the paper", dense, n_systems),
    ]


def _ising(seed, console) -> dict:
    with _step(console, "sampling 20,000 Ising systems of 8 x 8, and 20 of 128 x 128"):
        small = make_ising(20_000, (8, 8), random_state=seed)
        unseen = make_ising(1000, (8, 8), random_state=seed + 1)
        large = make_ising(20, (128, 128), n_sweeps=100, random_state=seed + 2)
    rows, parity = [], {}
    for name, tile_model, n_train in _tile_models(seed):
        model = EDNNRegressor(tile_model, GridTiling(focus=1, context=1), random_state=seed)
        start = time.perf_counter()
        with _step(console, f"{name}: fitting {n_train:,} totals"):
            model.fit(small.fields[:n_train], small.energies[:n_train])
        seconds = time.perf_counter() - start
        predicted = model.predict(large.fields)
        parity[name] = (large.energies, predicted)
        rows.append(
            {
                "model": name,
                "n_train": n_train,
                "fit_seconds": seconds,
                "8": extensive_errors(unseen.energies, model.predict(unseen.fields)).as_dict(),
                "128": extensive_errors(large.energies, predicted).as_dict(),
            }
        )
    table = Table(
        "tile model (focus 1, context 1)", "trained on", "fit, s", "error 8 x 8, J",
        "error 128 x 128, J", title="Ising: trained on totals of 8 x 8 spins",
        caption="median absolute error per configuration; 1,000 and 20 unseen systems",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row["model"],
            f"{row['n_train']:,}",
            f"{row['fit_seconds']:.1f}",
            f"{row['8']['median']:.2g}",
            f"{row['128']['median']:.2g}",
        )
    table.add_row("Mills et al. 2019", "100,000", "", *(f"{v:.3f}" for v in PAPER_ISING.values()))
    console.print(table)
    return {"rows": rows, "parity": parity}


# --- sheets -----------------------------------------------------------------------------------


def sheets_model(n_jobs=2, seed=0):
    """Return the pipeline that learns sheets: structures in, total energies in eV out.

    A channel for each species, on 32 x 32 pixels of about 0.4 Å; tiles of 16 x 16 that see 4 Å
    around them, described by rotation-invariant features; a ridge on those.
    """
    focus, context, spacing = 16, 10, (12.5 / 32, 13.0 / 32)
    draw = GaussianRasterizer(spacing, width=0.4, weights=_ONE_EACH, channels=tuple(_ONE_EACH))
    describe = LocalInvariants(focus, context, spacing, n_channels=3, random_state=seed)
    regress = EDNNRegressor(
        make_pipeline(describe.set_params(n_jobs=n_jobs), Ridge(2e-4)),
        GridTiling(focus, context, channel_axis=-1),
        baseline="content",
    )
    return make_pipeline(draw.set_params(n_jobs=n_jobs), regress)


def _sheets(seed, console) -> dict:
    sheets, large = load_sheets(), load_sheets(cells="large")
    order = np.random.default_rng(seed).permutation(len(sheets.energies))
    test, train = order[:480], order[480:]
    model = sheets_model()
    start = time.perf_counter()
    with _step(console, f"drawing and fitting {len(train):,} sheets of graphene and boron nitride"):
        model.fit([sheets.structures[k] for k in train], sheets.energies[train])
    seconds = time.perf_counter() - start

    parts = {
        "12.5 x 13.0 Å, unseen": ([sheets.structures[k] for k in test], sheets.energies[test],
                                  sheets.cells[test], sheets.numbers, test),
        "up to 4 times larger": (large.structures, large.energies, large.cells, large.numbers,
                                 np.arange(len(large.energies))),
    }  # fmt: skip
    rows, parity = [], {}
    for name, (structures, energies, cells, numbers, index) in parts.items():
        predicted = model.predict(structures)
        area = cells[:, 0] * cells[:, 1]
        n_atoms = np.array([len(numbers[k]) for k in index])
        parity[name] = (energies / n_atoms, predicted / n_atoms)
        rows.append(
            {
                "sheets": name,
                "n": len(energies),
                "fit_seconds": seconds,
                "meV/Å²": extensive_errors(1e3 * energies, 1e3 * predicted, area).as_dict(),
                "meV/atom": extensive_errors(1e3 * energies, 1e3 * predicted, n_atoms).as_dict(),
            }
        )
    table = Table(
        "cells", "sheets", "mean", "median", "rmse", "bias", "mean, meV/atom",
        title="Sheets: trained on total energies (GFN1-xTB), errors in meV/Å²",
        caption=f"Mills et al. 2019 report a median of {PAPER_SHEETS} on their own data, "
        "18,515 sheets, a deep network",
    )  # fmt: skip
    for row in rows:
        errors = row["meV/Å²"]
        table.add_row(
            row["sheets"],
            str(row["n"]),
            *(f"{errors[k]:.2f}" for k in ("mean", "median", "rmse", "bias")),
            f"{row['meV/atom']['mean']:.2f}",
        )
    console.print(table)
    return {"rows": rows, "parity": parity}


# --- figure -----------------------------------------------------------------------------------


def _plot(ising, sheets, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    markers = ("o", "s", "^")
    for (name, (true, predicted)), marker in zip(ising.items(), markers, strict=False):
        left.plot(true / 128**2, (predicted - true) / 128**2, marker, mfc="none", label=name)
    left.axhline(0, color="0.6", lw=0.8, zorder=0)
    left.set_yscale("symlog", linthresh=1e-8)
    left.set(
        title="128 × 128 spins, trained on 8 × 8",
        xlabel="true energy per site / J",
        ylabel="error per site / J",
    )
    left.legend(fontsize=8)
    for (name, (true, predicted)), marker in zip(sheets.items(), (".", "o"), strict=True):
        right.plot(true, predicted, marker, ms=4, mfc="none" if marker == "o" else None, label=name)
    ends = [min(t.min() for t, _ in sheets.values()), max(t.max() for t, _ in sheets.values())]
    right.plot(ends, ends, color="0.6", lw=0.8, zorder=0)
    right.set(
        title="graphene, boron nitride and both",
        xlabel="true energy per atom / eV",
        ylabel="predicted energy per atom / eV",
    )
    right.legend(fontsize=8)
    figure.savefig(path, dpi=150)
