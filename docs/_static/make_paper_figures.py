"""Draw our counterparts of the figures of Mills et al. 2019.

Run ``python docs/_static/make_paper_figures.py [folder] [--only fig3]``: some minutes on one core.
It prints the numbers of the page "The paper, figure by figure".
"""

import argparse
import copy
import time
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.cli._demo import sheets_model
from sk_ednn.datasets import load_sheets, make_dots, make_ising
from sk_ednn.inspection import (
    ContextSensitivityDisplay,
    ContributionDisplay,
    ErrorDisplay,
    ParityDisplay,
    ScalingDisplay,
    TilingDisplay,
    context_sensitivity,
)
from sk_ednn.metrics import extensive_errors
from sk_ednn.pretrained import load_sheets_model
from sk_ednn.simulation import Metropolis
from sk_ednn.solvers import GradientSolver

FEW = 100  # sheets of a figure that would take too long with all 480


# --- data and models that several figures share -------------------------------------------------


@cache
def spins():
    """Return kernel ridge fitted to 8 x 8 spins, and larger systems."""
    small = make_ising(1000, (8, 8), sampling="flat", random_state=0)
    tests = {n: make_ising(30, (n, n), n_sweeps=100, random_state=n) for n in (8, 16, 32, 64, 128)}
    kernel = KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6)
    model = EDNNRegressor(kernel, GridTiling(focus=1, context=1))
    return model.fit(small.fields, small.energies), tests


@cache
def sheets():
    """Return the predictions of the bundled network for unseen sheets."""
    small, large = load_sheets(), load_sheets(cells="large")
    unseen = np.random.default_rng(0).permutation(len(small.energies))[:480]
    model, parts = load_sheets_model("image"), {}
    for name, data, chosen in (
        ("unseen", small, unseen), ("larger", large, np.arange(len(large.energies))),
    ):  # fmt: skip
        parts[name] = {
            "structures": [data.structures[k] for k in chosen],
            "energies": data.energies[chosen],
            "area": data.cells[chosen, :2].prod(axis=1),
            "n_atoms": np.array([len(data.numbers[k]) for k in chosen]),
            "kind": np.array([data.kind_names[data.kinds[k]].replace("_", " ") for k in chosen]),
        }
        parts[name]["predicted"] = model.predict(parts[name]["structures"])
        off = extensive_errors(
            1e3 * parts[name]["energies"], 1e3 * parts[name]["predicted"], parts[name]["area"]
        )
        print(f"{name}: mean {off.mean:.2f}, median {off.median:.2f}, rmse {off.rmse:.2f}, "
              f"bias {off.bias:.2f} meV/Å²")  # fmt: skip
    return model, parts


# --- figures ------------------------------------------------------------------------------------


def fig1():
    """Draw dots, and the count of each tile."""
    torch.manual_seed(0)
    small = make_dots(1000, (32, 32), random_state=0)
    focus, context = 4, 3
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear((focus + 2 * context) ** 2, 64), torch.nn.SiLU(),
        torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1),
    )  # fmt: skip
    solver = GradientSolver(max_epochs=15, lr=2e-3)
    model = EDNNRegressor(net, GridTiling(focus, context), solver=solver, random_state=0)
    model.fit(small.fields, small.counts)
    image = make_dots(1, (96, 96), n_dots=45, random_state=5)
    figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.9), layout="constrained")
    ContributionDisplay.from_estimator(
        model, image.fields, ax=axes, name="dots in a tile", cmap="YlGnBu"
    )
    axes[0].set_title(f"{image.counts[0]:.0f} dots", fontsize=10)
    axes[1].set_title(f"sum {model.predict(image.fields)[0]:.1f}", fontsize=10)
    large = make_dots(5, (512, 512), random_state=512)
    off = np.abs(model.predict(large.fields) / large.counts - 1)
    print(f"512 x 512: largest relative error {off.max():.1%} of {large.counts.mean():.0f} dots")
    return figure


def fig2():
    """Draw focus and context on a lattice."""
    figure, axes = plt.subplots(1, 2, figsize=(8.2, 4.1), layout="constrained")
    field = make_ising(1, (16, 16), temperature=2.4, n_sweeps=300, random_state=1).fields
    TilingDisplay.from_tiling(GridTiling(4, 2), field, tile=(1, 2), ax=axes[0])
    axes[0].set_title("focus 4, context 2", fontsize=10)
    TilingDisplay.from_tiling(GridTiling(1, 1), field, tile=(8, 0), ax=axes[1])
    axes[1].set_title("focus 1, context 1: as used below", fontsize=10)
    return figure


def fig3():
    """Draw predicted against true energies of spins, and errors against size."""
    model, tests = spins()
    true = np.concatenate([data.energies for data in tests.values()])
    predicted = np.concatenate([model.predict(data.fields) for data in tests.values()])
    n_sites = np.repeat([n * n for n in tests], 30)
    sizes = np.repeat([f"{n} × {n}" for n in tests], 30)
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.1), layout="constrained")
    style = {"name": "energy", "unit": "J", "per": "spin"}
    ParityDisplay.from_predictions(
        true, predicted, sizes=n_sites, groups=sizes, ax=axes[0], show_errors=False, **style
    )
    ErrorDisplay.from_predictions(true, predicted, sizes=n_sites, ax=axes[1], kind="size", **style)
    for n, data in tests.items():
        own = n_sites == n * n
        off = extensive_errors(data.energies, predicted[own])
        print(f"{n} x {n}: median {off.median:.1e}, mean {off.mean:.1e} J")
    return figure


def fig4():
    """Draw a tile of the network of the sheets, and the contributions of all tiles."""
    model, parts = sheets()
    chosen = np.flatnonzero(parts["unseen"]["kind"] == "heterostructure")[:1]
    structures = [parts["unseen"]["structures"][k] for k in chosen]
    fields = model[0].transform(structures)
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.2), layout="constrained")
    TilingDisplay.from_estimator(model, structures, tile=(6, 9), ax=axes[0])
    axes[0].set_title("focus 0.8 Å, context 3.1 Å on either side", fontsize=10)
    # The energy of the composition, some −60 eV per atom, would hide all else.
    bare = copy.copy(model[-1])
    bare.tile_model_ = bare.tile_model_.with_baseline(None)
    ContributionDisplay.from_estimator(
        bare, fields, with_field=False, ax=axes[1], name="contribution", unit="eV"
    )
    return figure


def fig5():
    """Draw parity and errors of unseen sheets."""
    _, parts = sheets()
    unseen = parts["unseen"]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.1), layout="constrained")
    ParityDisplay.from_predictions(
        unseen["energies"], unseen["predicted"], sizes=unseen["n_atoms"], groups=unseen["kind"],
        ax=axes[0], name="energy", unit="eV", per="atom", show_errors=False,
    )  # fmt: skip
    ErrorDisplay.from_predictions(
        1e3 * unseen["energies"], 1e3 * unseen["predicted"], sizes=unseen["area"],
        groups=unseen["kind"], ax=axes[1], name="energy", unit="meV Å⁻²", per="area", limit=12,
    )  # fmt: skip
    axes[1].get_legend().remove()
    return figure


def fig6():
    """Draw the error with blurred context, and with blurred focus."""
    small = load_sheets()
    order = np.random.default_rng(0).permutation(len(small.energies))
    network, parts = sheets()
    ridge = sheets_model()
    ridge.fit([small.structures[k] for k in order[480:1480]], small.energies[order[480:1480]])
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 3.9), layout="constrained")
    for ax, name, model, n_sheets, areas in (
        (axes[0], "network", network, 12, [1, 2, 4, 8, 16]),
        (axes[1], "ridge", ridge, FEW // 2, [4, 16, 64, 128, 256]),
    ):
        some = parts["unseen"]["structures"][:n_sheets]
        spacing = model[0].spacing_
        found = context_sensitivity(
            model, some, parts["unseen"]["energies"][:n_sheets], kinds="blur", areas=areas,
            n_repeats=1 if name == "network" else 2, random_state=0,
        )  # fmt: skip
        scale = 1e3 / parts["unseen"]["area"][0]
        found.errors, found.reference = found.errors * scale, found.reference * scale
        ContextSensitivityDisplay(found).plot(ax, name="energy", unit="meV Å⁻²")
        ends = 0.8 * found.reference, 1.4 * found.errors.max()
        ax.set(xscale="log", yscale="log", ylim=ends)
        ax.set_xticks(areas, [f"{a * spacing[0] * spacing[1]:.2g}" for a in areas], minor=False)
        ax.minorticks_off()
        ax.set_xlabel("blurred area of each tile / Å²")
        ax.set_title(name, fontsize=10)
        ax.legend(frameon=False, fontsize=9)
        print(f"{name}: nothing hidden {found.reference:.2f} meV/Å²; sites {found.n_sites}")
        for region, errors in zip(found.regions, found.errors[0].mean(axis=-1), strict=True):
            shown = ", ".join(f"{a * spacing[0] * spacing[1]:.2g} Å² {e:.3g}"
                              for a, e in zip(areas, errors, strict=True))  # fmt: skip
            print(f"  {region}: {shown}")
    return figure


def fig9():
    """Draw parity and errors of cells larger than those of the training."""
    _, parts = sheets()
    both = {k: np.concatenate([parts[p][k] for p in parts])
            for k in ("energies", "predicted", "area", "n_atoms")}  # fmt: skip
    where = np.repeat(list(parts), [len(part["energies"]) for part in parts.values()])
    cells = np.round(both["area"] / 162.5).astype(int)
    names = np.array(["one cell" if w == "unseen" else f"{n} cells"
                      for w, n in zip(where, cells, strict=True)])  # fmt: skip
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.1), layout="constrained")
    style = {"name": "energy", "unit": "eV"}
    ParityDisplay.from_predictions(
        both["energies"], both["predicted"], sizes=both["n_atoms"], groups=names, per="atom",
        show_errors=False, ax=axes[0], **style,
    )  # fmt: skip
    ErrorDisplay.from_predictions(
        both["energies"], both["predicted"], sizes=cells, kind="size", per="cell",
        ax=axes[1], **style,
    )  # fmt: skip
    axes[1].set_xlabel("cells of 12.5 × 13.0 Å")
    axes[1].set_ylim(top=6)  # room for the legend
    for n in np.unique(cells):
        own = cells == n
        off = extensive_errors(
            1e3 * both["energies"][own], 1e3 * both["predicted"][own], both["area"][own]
        )
        print(f"{n} cell(s), {own.sum()} sheets: mean {off.mean:.2f}, bias {off.bias:.2f} meV/Å²")
    return figure


def fig10():
    """Draw the processor time of a prediction against the number of sites."""
    torch.set_num_threads(1)
    model, _ = spins()
    rng = np.random.default_rng(0)
    lattices = [rng.choice([-1, 1], size=(n, n)) for n in (64, 128, 256, 512, 1024, 2048)]
    network = load_sheets_model("image")
    image = network[0].transform(load_sheets().structures[:1])[0]
    images = [np.tile(image, (k, k, 1)) for k in (1, 2, 3, 4, 6, 8)]
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.9), layout="constrained")
    for ax, name, regressor, X, per in (
        (axes[0], "spins, kernel ridge", model, lattices, "spin"),
        (axes[1], "sheets, network", network[-1], images, "pixel"),
    ):
        sizes = [x.shape[0] * x.shape[1] for x in X]
        regressor.predict(X[0][None])  # a first call loads libraries
        times = [processor_seconds(regressor, x) for x in X]
        shown = ScalingDisplay.from_measurements(sizes, times, kind="time", ax=ax, per=per)
        ax.set(title=name, ylabel="processor time / s")
        print(f"{name}: power {shown.exponents_['all']:.2f}")
        print("   ", ", ".join(f"{n:,}: {t:.3g} s" for n, t in zip(sizes, times, strict=True)))
    return figure


def processor_seconds(regressor, field, n_repeats=5):
    """Return the least processor time of a prediction, by an evaluation without a cache."""
    times = []
    for _ in range(n_repeats):
        regressor.evaluation_ = clone(regressor.evaluation_)
        start = time.process_time()
        regressor.predict(field[None])
        times.append(time.process_time() - start)
    return min(times)


def fig13():
    """Draw Monte Carlo with the model of 8 x 8 spins, and the exact solution."""
    from scipy.special import ellipk

    model, _ = spins()
    critical, side = 2 / np.log(1 + np.sqrt(2)), 64
    T = np.concatenate(
        [np.linspace(1.5, 2.1, 4), np.linspace(2.18, 2.42, 8), np.linspace(2.5, 3.5, 5)]
    )
    sampler = Metropolis(model, T, values=[-1, 1], n_replicas=2, swap_interval=2, random_state=0)
    chain = sampler.run(np.ones((side, side), dtype=np.int8), 500, burn_in=150, interval=2)
    fine = np.concatenate(
        [np.linspace(1.5, critical, 300)[:-1], np.linspace(critical, 3.5, 300)[1:]]
    )

    def energy(T):
        # Onsager's, per spin and J; ellipk takes the square of the modulus.
        K = 1 / T
        k = 2 * np.sinh(2 * K) / np.cosh(2 * K) ** 2
        return -(1 + 2 / np.pi * (2 * np.tanh(2 * K) ** 2 - 1) * ellipk(k**2)) / np.tanh(2 * K)

    def magnetisation(T):
        return np.maximum(1 - np.sinh(2 / np.minimum(T, critical)) ** -4.0, 0) ** (1 / 8)

    found = chain.energies.mean(axis=(0, 2)) / side**2
    magnet = np.abs(chain.magnetisations).mean(axis=(0, 2)) / side**2
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
    for ax, points, exact, label in (
        (axes[0], found, energy, "energy per spin / J"),
        (axes[1], magnet, magnetisation, "|magnetisation| per spin"),
    ):
        ax.plot(fine, exact(fine), color="#8a949c", label="exact, infinite lattice")
        ax.plot(T, points, "o", color="#0072b2", mfc="white", mew=1.4, label="model, 64 × 64")
        ax.axvline(critical, ls=":", color="0.75", zorder=0)
        ax.set(xlabel="kT / J", ylabel=label)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, loc="lower right")
    worst = np.abs(found - energy(T))[np.abs(T - critical) > 0.2].max()
    print(f"away from the transition: energy per spin off by at most {worst:.4f} J")
    return figure


FIGURES = (fig1, fig2, fig3, fig4, fig5, fig6, fig9, fig10, fig13)


def main():
    """Draw all figures, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=Path(__file__).parent / "paper", type=Path)
    parser.add_argument("--only", choices=[draw.__name__ for draw in FIGURES])
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    for draw in FIGURES:
        if options.only in (None, draw.__name__):
            print(f"--- {draw.__name__}: {draw.__doc__}", flush=True)
            start = time.perf_counter()
            figure = draw()
            figure.savefig(options.folder / f"{draw.__name__}.png", dpi=100)
            plt.close(figure)
            print(f"    {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
