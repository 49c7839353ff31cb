"""Draw the results of `benchmarks/micrometre.py --results FILE`.

``python docs/_static/make_scaling_figures.py micrometre.json [folder]`` writes ``scaling.png``:
time against atoms, speed-up against workers, energy per atom against size, and peak memory, as in
Figs. 10 and 11 of Mills et al. 2019.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator

from sk_ednn.inspection import ScalingDisplay

TRUE, PREDICTED, INK = "#edae49", "#2a5d8c", "#22303c"


def main(results, folder):
    """Read the results and draw the four panels."""
    rows = sorted(json.loads(Path(results).read_text()), key=lambda row: row["atoms"])
    workers = max(row["workers"] for row in rows)
    of_size = [row for row in rows if row["workers"] == workers]
    atoms = np.array([row["atoms"] for row in of_size])
    figure = Figure(figsize=(10.5, 7.6), layout="constrained")
    (time, speedup), (energy, memory) = figure.subplots(2, 2)

    seconds = np.array([row["seconds"] for row in of_size])
    # Start-up dominates small sheets: the exponent is that of the large ones.
    large = atoms > 1e5 if (atoms > 1e5).sum() > 1 else atoms > 0
    ScalingDisplay.from_measurements(atoms[large], seconds[large], kind="time", ax=time, per="atom")
    time.plot(atoms[~large], seconds[~large], "o", color=PREDICTED, mfc="white", ms=6)
    time.set_xscale("log")
    time.xaxis.set_major_locator(LogLocator())
    time.xaxis.set_major_formatter(LogFormatterSciNotation())
    time.set_title(f"time, {workers} workers", color=INK)

    draw_speedup(speedup, rows)
    draw_energy(energy, atoms, of_size)
    memory.semilogx(atoms, [row["pss"] for row in of_size], "o-", color=PREDICTED, mfc="white")
    memory.set(xlabel="atoms", ylabel="peak memory of all processes / MB", ylim=(0, None))
    memory.set_title("memory (PSS)", color=INK)
    for ax in (time, speedup, energy, memory):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(folder) / "scaling.png", dpi=140)


def draw_speedup(ax, rows):
    """Show the speed-up of the sheet that was evaluated with several numbers of workers."""
    by_cells = {row["cells"]: [r for r in rows if r["cells"] == row["cells"]] for row in rows}
    same = max(by_cells.values(), key=lambda found: len({row["workers"] for row in found}))
    n_workers = [row["workers"] for row in same]
    ScalingDisplay.from_measurements(
        n_workers, [row["seconds"] for row in same], kind="speedup", ax=ax
    )
    ax.set_title(f"speed-up, {same[0]['atoms']:,} atoms", color=INK)


def draw_energy(ax, atoms, rows):
    """Show predicted and true energies per atom."""
    for name, colour, marker, label in (
        ("true_energy", TRUE, "-", "sum of all bonds"),
        ("energy", PREDICTED, "o", "predicted"),
    ):
        values = np.array([row[name] for row in rows]) / atoms
        ax.semilogx(atoms, values, marker, color=colour, mfc="white", label=label)
    off = 1e3 * (rows[-1]["energy"] - rows[-1]["true_energy"]) / atoms[-1]
    ax.set(xlabel="atoms", ylabel="energy per atom / eV")
    ax.set_title(f"energy per atom; the largest sheet is off by {off:.2g} meV", color=INK)
    ax.legend(frameon=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parent)
