"""A ridge trained on totals of 430 atoms predicts porous graphene of up to a million atoms.

    python benchmarks/porous.py
    python benchmarks/porous.py --file big.npz --figure porous.png
    python benchmarks/porous.py --file big.npz --splits 5 --sizes sizes.png

A ridge on local invariants learns the binding energies of 35 by 35 Å sheets and predicts unseen
sheets of the same size, of 70 by 70 Å, 175 by 175 Å and 525 by 525 Å, and those of a ``--file`` in
the format of `sk_ednn.datasets.load_porous`. The reference is the number of atoms alone. With
``--splits`` this is repeated with other training sheets; ``--sizes`` draws the range of the errors
against the number of atoms.
"""

from time import perf_counter

from _measure import arguments, machine, peak_megabytes, table

import numpy as np
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer, LocalInvariants
from sk_ednn.datasets import load_porous
from sk_ednn.metrics import extensive_errors

TEST = 60
PIXELS, FOCUS, CONTEXT = 80, 16, 9  # of a sheet of 35 Å; a tile sees 3.9 Å around it


def local(seed):
    spacing = 35 / PIXELS
    describe = LocalInvariants(FOCUS, CONTEXT, spacing, scale=0.6, random_state=seed, n_jobs=2)
    return make_pipeline(
        GaussianRasterizer(spacing, width=0.4, weights={"C": 1.0}, n_jobs=2),
        EDNNRegressor(
            make_pipeline(describe, Ridge(1e-6)), GridTiling(FOCUS, CONTEXT), baseline="content"
        ),
    )


def atoms_and_area(structures):
    return np.array([[len(s["numbers"]), np.prod(s["cell"][:2])] for s in structures])


def atoms_alone(seed):
    return make_pipeline(FunctionTransformer(atoms_and_area), LinearRegression(fit_intercept=False))


def main():
    options = arguments(__doc__, seed=0, splits=1, file="", figure="", sizes="")
    machine()
    small, large = load_porous(), load_porous(cells="large")
    widths = large.cells[:, 0]
    larger = {}
    for width in np.unique(widths)[: 2 if options.quick else None]:
        larger[f"{width:.0f} Å"] = large, np.flatnonzero(widths == width)
    if options.file:
        own = load_porous(options.file)
        for width in np.unique(own.cells[:, 0]):
            chosen = np.flatnonzero(own.cells[:, 0] == width)
            larger[f"{width:,.0f} Å, of the file"] = own, chosen
    splits = []
    for seed in range(options.seed, options.seed + options.splits):
        order = np.random.default_rng(seed).permutation(len(small.energies))
        train = order[TEST : TEST + 40 if options.quick else None]
        parts = {"35 Å, unseen": (small, order[:TEST]), **larger}
        splits.append(one_split(seed, small, train, parts))
        print(f"peak memory so far {peak_megabytes():.0f} MB", flush=True)
    if options.splits > 1:
        ranges(splits)
    if options.figure:
        draw(splits[0]["local invariants"]).savefig(options.figure, dpi=100)
    if options.sizes:
        draw_sizes(splits).savefig(options.sizes, dpi=100)


def one_split(seed, small, train, parts):
    """Fit both models, print their errors, and return the predictions of each model by part."""
    rows, shown = [], {}
    for name, make in (("local invariants", local), ("atoms and area", atoms_alone)):
        model = make(seed)
        start = perf_counter()
        model.fit([small.structures[k] for k in train], small.energies[train])
        print(f"{name}: fitted to {len(train)} sheets in {perf_counter() - start:.1f} s")
        shown[name] = []
        for part, (data, chosen) in parts.items():
            start = perf_counter()
            predicted = model.predict([data.structures[k] for k in chosen])
            took = perf_counter() - start
            area = data.cells[chosen, 0] * data.cells[chosen, 1]
            n_atoms = np.array([len(data.numbers[k]) for k in chosen])
            in_mev = 1e3 * data.energies[chosen], 1e3 * predicted
            found = extensive_errors(*in_mev, area)
            per_atom = extensive_errors(*in_mev, n_atoms)
            shown[name].append((part, n_atoms, data.energies[chosen], predicted, area))
            rows.append([name, part, len(chosen), int(n_atoms.sum()), found.mean, found.median,
                         found.bias, per_atom.mean, n_atoms.sum() / took])  # fmt: skip
    print(f"\nseed {seed}, errors in meV/Å²")
    table(["model", "sheets", "n", "atoms", "mean", "median", "bias", "mean, meV/atom", "atoms/s"],
          rows)  # fmt: skip
    return shown


def errors_by_size(splits, name):
    """Return the mean number of atoms of each size, and errors of shape (splits, sizes).

    Errors are the mean absolute error and the bias, both in meV/Å².
    """
    n_atoms = [part[1].mean() for part in splits[0][name]]
    found = [
        [extensive_errors(1e3 * part[2], 1e3 * part[3], part[4]) for part in split[name]]
        for split in splits
    ]
    return (
        np.array(n_atoms),
        np.array([[errors.mean for errors in row] for row in found]),
        np.array([[errors.bias for errors in row] for row in found]),
    )


def ranges(splits):
    """Print the least and the largest mean error and bias of all splits."""
    print(f"\n{len(splits)} splits, meV/Å²: least and largest mean absolute error, and bias")
    rows = []
    for name in splits[0]:
        n_atoms, means, biases = errors_by_size(splits, name)
        for k, part in enumerate(splits[0][name]):
            row = [name, part[0], len(part[1]), round(n_atoms[k])]
            rows.append([*row, *(f(x[:, k]) for x in (means, biases) for f in (np.min, np.max))])
    table(["model", "sheets", "n", "atoms", "least", "largest", "bias from", "to"], rows)


def draw_sizes(splits):
    """Draw the errors per area against the number of atoms, over all splits."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10.2, 4.1), layout="constrained")
    for name, colour in (("atoms and area", "#8a949c"), ("local invariants", "#0072b2")):
        n_atoms, means, biases = errors_by_size(splits, name)
        axes[0].fill_between(n_atoms, means.min(axis=0), means.max(axis=0), color=colour, alpha=0.2)
        axes[0].loglog(n_atoms, np.median(means, axis=0), "o-", color=colour, mfc="white")
        label = "ridge" if name == "local invariants" else "the number of atoms and the area alone"
        axes[0].annotate(label, (n_atoms[1], 1.6 * means[:, 1].max()), color=colour, fontsize=9)
    independent = np.median(means[:, 0]) * np.sqrt(n_atoms[0] / n_atoms)
    axes[0].loglog(n_atoms, independent, "--", color="0.5", zorder=0)
    axes[0].annotate(
        "as if errors were\nindependent", (n_atoms[2], 0.85 * independent[2]), ha="right", va="top",
        color="0.4", fontsize=9,
    )  # fmt: skip
    axes[0].set(xlabel="atoms", ylabel="mean absolute error / meV Å⁻²")
    for k, row in enumerate(biases):
        axes[1].semilogx(n_atoms, row, "o-", mfc="white", ms=4.5, label=f"split {k + 1}")
    axes[1].axhline(0, color="0.7", zorder=0)
    axes[1].set(xlabel="atoms", ylabel="mean error / meV Å⁻²")
    axes[1].legend(frameon=False, fontsize=9, ncols=2)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def draw(shown):
    """Draw parity of energies per atom and errors per area, by the size of the sheets."""
    import matplotlib.pyplot as plt

    from sk_ednn.inspection import ErrorDisplay, ParityDisplay

    n_atoms, energies, predicted, area = (
        np.concatenate([part[k] for part in shown]) for k in (1, 2, 3, 4)
    )
    groups = np.repeat([part[0] for part in shown], [len(part[1]) for part in shown])
    figure, axes = plt.subplots(1, 2, figsize=(10.6, 4.1), layout="constrained")
    ParityDisplay.from_predictions(
        energies, predicted, sizes=n_atoms, groups=groups, ax=axes[0], name="energy", unit="eV",
        per="atom", show_errors=False,
    )  # fmt: skip
    ErrorDisplay.from_predictions(
        1e3 * energies, 1e3 * predicted, sizes=area, groups=groups, ax=axes[1], name="energy",
        unit="meV Å⁻²", per="area",
    )  # fmt: skip
    return figure


if __name__ == "__main__":
    main()
