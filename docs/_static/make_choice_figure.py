"""Draw the decision picture of the page on choosing a model."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLUMNS = (
    ("What is a system?", "#37474f"),
    ("field and tiling", "#0072b2"),
    ("tile model to begin with", "#009e73"),
)
ROWS = (
    (
        "spins, occupancies, masks\non a grid",
        "GridTiling(1, 1)\nvalues as integers",
        "KernelRidge\n(equal tiles merge)",
    ),
    (
        "labels: species, phases,\nPotts states",
        "OneHotFields, then\nGridTiling(channel_axis=-1)",
        "Ridge on products,\nor KernelRidge",
    ),
    (
        "angles, orientations",
        "AngleFields, then\nGridTiling(channel_axis=-1)",
        "Ridge on products",
    ),
    (
        "densities, potentials\n(cube, CHGCAR)",
        "DensityFields, then\nGridTiling in 3-D",
        "Ridge on PCA products,\nor a network",
    ),
    (
        "photographs with counts",
        "CountRegressor\n(its own tiling)",
        "convolutional network",
    ),
    (
        "atoms with forces",
        "AtomTiling\n(EDNNPotential)",
        "network per species,\nor Ridge on PowerSpectrum",
    ),
    (
        "sheets of atoms,\nenergies alone",
        "GaussianRasterizer,\nthen GridTiling",
        "Ridge on LocalInvariants,\nor ValidCNN",
    ),
    (
        "rows with group totals",
        "BagTiling",
        "any regressor:\ntrees, boosting, linear",
    ),
)


def main():
    """Write choice.png."""
    figure, ax = plt.subplots(figsize=(9.4, 7.2))
    ax.set(xlim=(0, 3), ylim=(len(ROWS) + 0.1, -0.75))
    ax.axis("off")
    for k, (title, colour) in enumerate(COLUMNS):
        ax.text(k + 0.5, -0.45, title, ha="center", weight="bold", color=colour, size=13)
    for row, texts in enumerate(ROWS):
        for k, (text, (_, colour)) in enumerate(zip(texts, COLUMNS, strict=True)):
            frame = dict(fc="white", ec=colour, lw=1.3)
            ax.add_patch(plt.Rectangle((k + 0.07, row + 0.08), 0.86, 0.8, **frame))
            ax.text(k + 0.5, row + 0.48, text, ha="center", va="center", size=9.5, color="#263238")
            if k:
                style = dict(arrowstyle="-|>", color="#78909c", lw=1.4)
                ax.annotate("", (k + 0.07, row + 0.48), (k - 0.07, row + 0.48), arrowprops=style)
    path = Path(__file__).parent / "choice.png"
    figure.savefig(path, dpi=100, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
