"""Draw the figure of the README: ``python docs/_static/make_figures.py [folder]``.

It shows a field with one tile, the contributions of all tiles, and predicted against true totals.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.kernel_ridge import KernelRidge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising

FOCUS_COLOUR, CONTEXT_COLOUR, INK = "#d1495b", "#edae49", "#22303c"
SPINS = {1: "#dfe7ee", -1: "#5b7c99"}
SIZES = (8, 16, 32, 64, 128)
FRAME, WIDTH = (14, 12), 16  # the visible part of the field


def main(folder):
    """Fit to 8 x 8 spins, predict larger ones, and draw."""
    small = make_ising(1000, (8, 8), random_state=0)
    tests = {n: make_ising(30, (n, n), n_sweeps=100, random_state=n) for n in SIZES}
    shown = make_ising(1, (48, 48), temperature=2.4, n_sweeps=400, random_state=1).fields
    model = EDNNRegressor(
        KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6), GridTiling(focus=1, context=1)
    )
    model.fit(small.fields, small.energies)

    figure = Figure(figsize=(11.2, 3.75))
    top, height = 0.125, 0.79
    width = height * 3.75 / 11.2
    panels = [figure.add_axes((x, top, width, height)) for x in (0.010, 0.302, 0.700)]
    draw_tile(panels[0], shown[0], place=(21, 19))
    bar = figure.add_axes((0.302 + width + 0.008, top + 0.1, 0.010, height - 0.2))
    draw_contributions(figure, panels[1], bar, model.predict_contributions(shown)[0])
    draw_parity(panels[2], model, tests)
    figure.savefig(Path(folder) / "tiling.png", dpi=160)


def draw_tile(ax, spins, place):
    """Show the spins around one tile, and its focus and context."""
    i0, j0 = FRAME
    colours = np.array([[SPINS[int(s)] for s in row] for row in spins])
    for i in range(i0, i0 + WIDTH):
        for j in range(j0, j0 + WIDTH):
            ax.add_patch(Rectangle((j, i), 1, 1, fc=colours[i, j], ec="white", lw=1.0))
    i, j = place
    edge = dict(fill=False, lw=3.2, joinstyle="round")
    ax.add_patch(Rectangle((j - 1, i - 1), 3, 3, ec=CONTEXT_COLOUR, zorder=3, **edge))
    ax.add_patch(Rectangle((j, i), 1, 1, ec=FOCUS_COLOUR, zorder=4, **edge))
    for text, at, to, colour in (
        ("focus", (j + 4.3, i - 2.3), (j + 1.1, i + 0.3), FOCUS_COLOUR),
        ("context", (j + 4.0, i + 4.6), (j + 1.6, i + 2.1), CONTEXT_COLOUR),
    ):
        ax.annotate(
            text, to, at, color=INK, size=12, weight="bold", ha="left", va="center", zorder=6,
            bbox=dict(boxstyle="round,pad=0.35", fc="white", ec=colour, lw=1.6),
            arrowprops=dict(arrowstyle="-|>", color=colour, lw=2.2, shrinkB=0, mutation_scale=16),
        )  # fmt: skip
    ax.set(xlim=(j0, j0 + WIDTH), ylim=(i0 + WIDTH, i0), aspect="equal", xticks=[], yticks=[])
    ax.set_frame_on(False)
    ax.set_title("each tile goes through one model", color=INK, size=11.5)


def draw_contributions(figure, ax, bar_axes, contributions):
    """Show the contribution of each tile."""
    image = ax.imshow(
        contributions, cmap="cividis", vmin=-2, vmax=2, extent=(0, 48, 48, 0), interpolation="none"
    )
    ax.add_patch(
        Rectangle(FRAME[::-1], WIDTH, WIDTH, fill=False, ec="white", lw=1.8, joinstyle="round")
    )
    ax.set(xticks=[], yticks=[])
    ax.set_frame_on(False)
    total = f"{contributions.sum():,.0f}".replace("-", "−")
    ax.set_title(f"contributions, sum {total} J", color=INK, size=11.5)
    bar = figure.colorbar(image, cax=bar_axes, ticks=[-2, -1, 0, 1, 2])
    bar.ax.set_title("J", color=INK, size=10)
    bar.outline.set_visible(False)


def draw_parity(ax, model, tests):
    """Show predicted against true energies for every size."""
    shades = ("#a9c0cc", "#7aa0b8", "#4c7fa3", "#2a5d8c", "#123860")
    worst = 0.0
    for (n, data), shade in zip(tests.items(), shades, strict=True):
        predicted = model.predict(data.fields)
        worst = max(worst, np.abs(predicted - data.energies).max())
        style = dict(ms=5.5, mfc="none", mec=shade, mew=1.3)
        ax.loglog(-data.energies, -predicted, "o", label=f"{n} × {n}", **style)
    ends = np.array([15, 60_000])
    ax.plot(ends, ends, color=FOCUS_COLOUR, lw=1, zorder=0)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.set_xlabel("− true energy / J", color=INK)
    ax.set_ylabel("− predicted energy / J", color=INK)
    ax.set_title("trained on 8 × 8 only", color=INK, size=11.5)
    ax.legend(frameon=False, handletextpad=0.1, loc="upper left", fontsize=9.5, labelspacing=0.35)
    mantissa, exponent = f"{worst:.0e}".split("e")
    ax.text(
        0.96, 0.06, f"largest error of all 150:\n${mantissa} \\times 10^{{{int(exponent)}}}$ J",
        transform=ax.transAxes, ha="right", color=INK, size=10,
    )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
