"""A ridge trained on totals of 430 atoms predicts porous graphene of up to a million atoms.

    python benchmarks/porous.py
    python benchmarks/porous.py --file big.npz --figure porous.png

A ridge on local invariants learns the binding energies of 35 by 35 Å sheets and predicts unseen
sheets of the same size, of 70 by 70 Å, 175 by 175 Å and 525 by 525 Å, and those of a ``--file`` in
the format of `sk_ednn.datasets.load_porous`. The reference is the number of atoms alone.
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
    options = arguments(__doc__, seed=0, file="", figure="")
    machine()
    small, large = load_porous(), load_porous(cells="large")
    order = np.random.default_rng(options.seed).permutation(len(small.energies))
    n_train = 40 if options.quick else len(order) - TEST
    test, train = order[:TEST], order[TEST : TEST + n_train]
    widths = large.cells[:, 0]
    parts = {"35 Å, unseen": (small, test)}
    for width in np.unique(widths)[: 2 if options.quick else None]:
        parts[f"{width:.0f} Å"] = large, np.flatnonzero(widths == width)
    if options.file:
        own = load_porous(options.file)
        for width in np.unique(own.cells[:, 0]):
            chosen = np.flatnonzero(own.cells[:, 0] == width)
            parts[f"{width:,.0f} Å, of the file"] = own, chosen
    rows, shown = [], []
    for name, make in (("local invariants", local), ("atoms and area", atoms_alone)):
        model = make(options.seed)
        start = perf_counter()
        model.fit([small.structures[k] for k in train], small.energies[train])
        print(f"{name}: fitted to {n_train} sheets in {perf_counter() - start:.1f} s")
        for part, (data, chosen) in parts.items():
            start = perf_counter()
            predicted = model.predict([data.structures[k] for k in chosen])
            took = perf_counter() - start
            area = data.cells[chosen, 0] * data.cells[chosen, 1]
            n_atoms = np.array([len(data.numbers[k]) for k in chosen])
            in_mev = 1e3 * data.energies[chosen], 1e3 * predicted
            found = extensive_errors(*in_mev, area)
            per_atom = extensive_errors(*in_mev, n_atoms)
            if make is local:
                shown.append((part, n_atoms, data.energies[chosen], predicted, area))
            rows.append([name, part, len(chosen), int(n_atoms.sum()), found.mean, found.median,
                         found.bias, per_atom.mean, n_atoms.sum() / took])  # fmt: skip
        print(f"peak memory so far {peak_megabytes():.0f} MB", flush=True)
    print("\nerrors in meV/Å²")
    table(["model", "sheets", "n", "atoms", "mean", "median", "bias", "mean, meV/atom", "atoms/s"],
          rows)  # fmt: skip
    if options.figure:
        draw(shown).savefig(options.figure, dpi=100)


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
