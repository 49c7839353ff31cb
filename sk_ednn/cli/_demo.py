"""The command ``demo``: two examples in three minutes.

Three tile models learn Ising systems of 8 x 8 and predict larger ones. A ridge learns sheets of
graphene and boron nitride from their total energies, and predicts unseen and larger sheets.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from .._utils.optional import needing
from .._utils.wording import with_article
from .._utils.writing import check_writable, replacing
from ..atoms import GaussianRasterizer, LocalInvariants
from ..datasets import load_sheets, make_ising
from ..estimators._regressor import EDNNRegressor
from ..inspection import ErrorDisplay, ParityDisplay
from ..metrics import extensive_errors
from ..tiling import GridTiling

# Mills et al. 2019, Table 1 and section 3.1: 100,000 systems of 8 x 8, 500 epochs. Their MAE is
# the median absolute error.
PAPER_ISING = {8: 0.028, 128: 2.055}
# The same, section 3.2, for 18,515 other sheets, in meV/Å².
PAPER_SHEETS = 1.122

SIDES = (8, 16, 32, 64, 128)
_ONE_EACH = {"B": 1.0, "C": 1.0, "N": 1.0}  # one channel per species


def run(folder: Path, seed: int, console: Console) -> dict:
    """Run both examples, print a table for each, and write a figure and the results.

    Parameters
    ----------
    folder : Path
        Folder for ``parity.png`` and ``demo.json``.
    seed : int
    console : Console
        Console for progress and tables.

    Returns
    -------
    dict
        All results.

    Raises
    ------
    MissingExtraError
        If a library is missing, before anything is computed.
    """
    with needing("The demo"):
        for library in ("torch", "skorch", "matplotlib.figure"):
            import_module(library)
    folder.mkdir(parents=True, exist_ok=True)
    figure, numbers = folder / "parity.png", folder / "demo.json"
    for path in (figure, numbers):
        check_writable(path)
    started = time.perf_counter()
    ising = _ising(seed, console)
    sheets, parity = _sheets(seed, console)
    _plot(ising, parity, figure)
    report = {"ising": ising, "sheets": sheets, "seconds": time.perf_counter() - started}
    with replacing(numbers, "w", encoding="utf-8") as file:
        file.write(json.dumps(report, indent=1) + "\n")
    console.print(f"{report['seconds']:.0f} s in all; figure: {figure}", highlight=False)
    return report


@contextmanager
def _step(console, text):
    """Show a step, then its time; yield a dict with the time in seconds."""
    took = {"seconds": 0.0}
    start = time.perf_counter()
    with console.status(text):
        yield took
    took["seconds"] = time.perf_counter() - start
    console.print(f"[dim]{text}: {took['seconds']:.1f} s[/dim]", highlight=False)


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
        ("decision tree", DecisionTreeRegressor(random_state=seed), 2000),
        ("dense network", dense, n_systems),
    ]


def _ising(seed, console) -> list[dict[str, Any]]:
    models = _tile_models(seed)
    most = max(n for _, _, n in models)
    with _step(console, f"Sampling {most:,} Ising systems of 8 × 8, and larger ones to test"):
        small = make_ising(most, (8, 8), sampling="flat", random_state=seed)
        unseen = {
            side: make_ising(
                1000 if side == 8 else 20, (side, side), n_sweeps=100, random_state=seed + side
            )
            for side in SIDES
        }
    rows: list[dict[str, Any]] = []
    for name, tile_model, n_train in models:
        model = EDNNRegressor(tile_model, GridTiling(focus=1, context=1), random_state=seed)
        # One thread, since matrices are small, and threads wait for each other on a busy machine.
        with (
            _step(console, f"Fitting {with_article(name)} to {n_train:,} totals") as took,
            threadpool_limits(1),
        ):
            model.fit(small.fields[:n_train], small.energies[:n_train])
        errors = {
            str(side): extensive_errors(test.energies, model.predict(test.fields)).as_dict()
            for side, test in unseen.items()
        }
        rows.append(
            {"model": name, "n_train": n_train, "fit_seconds": took["seconds"], "errors": errors}
        )
    table = Table(
        "tile model",
        title="Ising energies, learned from totals of 8 × 8 spins",
        caption="median absolute errors of the totals of 1,000 and 20 unseen systems",
    )
    for header in ("trained on", "fit / s", "8 × 8 / J", "128 × 128 / J"):
        table.add_column(header, justify="right")
    for row in rows:
        shown = (row["errors"][side]["median"] for side in ("8", "128"))
        table.add_row(
            row["model"],
            f"{row['n_train']:,}",
            f"{row['fit_seconds']:.1f}",
            *(f"{error:.2g}" for error in shown),
        )
    table.add_section()
    table.add_row("Mills et al. 2019", "100,000", "", *(f"{v:.3f}" for v in PAPER_ISING.values()))
    console.print(table)
    return rows


# --- sheets -----------------------------------------------------------------------------------


def sheets_model(n_jobs=2, seed=0):
    """Return a pipeline that predicts total energies in eV of sheets.

    Sheets are drawn on 32 x 32 pixels of about 0.4 Å with one channel per species. The tiles have a
    focus of 16 x 16 pixels and a context of 4 Å; a ridge fits rotation-invariant features of them.
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


def _sheets(seed, console) -> tuple[list[dict[str, Any]], dict]:
    """Return the rows of the table, and (energies, predicted, area, n_atoms) of each part."""
    sheets, large = load_sheets(), load_sheets(cells="large")
    order = np.random.default_rng(seed).permutation(len(sheets.energies))
    test, train = order[:480], order[480:]
    model = sheets_model(seed=seed)
    with _step(console, f"Fitting a ridge to {len(train):,} sheets of graphene and BN") as took:
        model.fit([sheets.structures[k] for k in train], sheets.energies[train])

    rows: list[dict[str, Any]] = []
    parity = {}
    for name, data, chosen in (
        ("same size", sheets, test),
        ("2 to 4 times larger", large, np.arange(len(large.energies))),
    ):
        energies, predicted = (
            data.energies[chosen],
            model.predict([data.structures[k] for k in chosen]),
        )
        area = data.cells[chosen, 0] * data.cells[chosen, 1]
        n_atoms = np.array([len(data.numbers[k]) for k in chosen])
        parity[name] = energies, predicted, area, n_atoms
        in_mev = 1e3 * energies, 1e3 * predicted
        rows.append(
            {
                "sheets": name,
                "n": len(energies),
                "fit_seconds": took["seconds"],
                "meV/Å²": extensive_errors(*in_mev, area).as_dict(),
                "meV/atom": extensive_errors(*in_mev, n_atoms).as_dict(),
            }
        )
    table = Table(
        "unseen sheets",
        title="Energies (GFN1-xTB) of sheets, learned from totals of 12.5 × 13.0 Å",
        caption="absolute errors in meV/Å², mean also in meV/atom. For other sheets, 18,515 of\n"
        f"them, and a deep network, Mills et al. 2019 report a median of {PAPER_SHEETS}.",
    )
    for header in ("number", "mean", "median", "rmse", "bias", "mean / atom"):
        table.add_column(header, justify="right")
    for row in rows:
        errors = row["meV/Å²"]
        table.add_row(
            row["sheets"],
            str(row["n"]),
            *(f"{errors[k]:.2f}" for k in ("mean", "median", "rmse", "bias")),
            f"{row['meV/atom']['mean']:.2f}",
        )
    console.print(table)
    return rows, parity


# --- figure -----------------------------------------------------------------------------------

_COLOURS = ("#0072b2", "#d55e00", "#009e73")


def _plot(ising, parity, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _plot_ising(left, ising)
    _plot_sheets(right, parity)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=160)


def _plot_ising(axes, rows):
    for row, colour, marker in zip(rows, _COLOURS, "osD", strict=True):
        median = [row["errors"][str(side)]["median"] for side in SIDES]
        axes.plot(SIDES, median, marker=marker, color=colour, clip_on=False)
        label = f"{row['model']}, {row['n_train']:,} systems"
        _label(axes, (SIDES[2], median[2]), label, colour, (0, 12), "center")
    axes.plot(*zip(*PAPER_ISING.items(), strict=True), "k*", ms=10, clip_on=False)
    first = next(iter(PAPER_ISING.items()))
    _label(axes, first, "Mills et al. 2019, 100,000 systems", "k", (14, -12), "left")
    axes.axvspan(8 / 1.15, 8 * 1.15, color="0.92", lw=0, zorder=0)
    axes.text(8, 0.99, "trained on", transform=axes.get_xaxis_transform(), ha="center", va="top",
              fontsize=8, color="0.4", rotation=90)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(top=60)
    axes.set_xticks(SIDES, [f"{side} × {side}" for side in SIDES])
    axes.minorticks_off()
    axes.set(
        title="Ising model",
        xlabel="size of a system / spins",
        ylabel="median absolute error of the total energy / J",
    )


def _label(axes, point, text, colour, offset, side):
    axes.annotate(
        text, point, offset, textcoords="offset points", color=colour, fontsize=8, ha=side
    )


def _plot_sheets(axes, parity):
    energies, predicted, area, n_atoms = (
        np.concatenate(parts) for parts in zip(*parity.values(), strict=True)
    )
    groups = np.repeat(
        [f"{len(part[0])} sheets, {name}" for name, part in parity.items()],
        [len(part[0]) for part in parity.values()],
    )
    ParityDisplay.from_predictions(
        energies, predicted, sizes=n_atoms, groups=groups, ax=axes, name="energy", unit="eV",
        per="atom", show_errors=False,
    )  # fmt: skip
    inset = axes.inset_axes((0.58, 0.16, 0.4, 0.34))
    in_mev = 1e3 * energies, 1e3 * predicted
    ErrorDisplay.from_predictions(
        *in_mev, sizes=area, groups=groups, ax=inset, limit=10, name="energy", per="area"
    )
    inset.get_legend().remove()
    inset.set(xlabel="", ylabel="", yticks=[], xticks=[-10, -5, 0, 5, 10])
    inset.set_title("error / meV Å⁻²", fontsize=8)
    inset.tick_params(labelsize=8)
    inset.spines["left"].set_visible(False)
    axes.set(
        title="Graphene, boron nitride and both",
        ylabel="predicted, trained on small sheets / eV",
    )
