"""Draw the figures of the guide: ``python docs/_static/make_guide_figures.py [NAME ...]``.

Each function below draws the figure of its name, with fixed seeds; without names all are drawn, in
a few minutes. Labels stay legible at a width of 400 pixels.
"""

import functools
import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising, make_pictures, make_potts
from sk_ednn.encoders import OneHotFields

FOLDER = Path(__file__).parent / "guide"
INK, BLUE, ORANGE, GREEN, GREY = "#22303c", "#0072b2", "#d55e00", "#009e73", "#78909c"
STYLE = {
    "font.size": 13, "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "lines.linewidth": 2.2,
}  # fmt: skip
PAIRS = make_pipeline(PolynomialFeatures(2), Ridge(1e-4))


def panels(n=1, width=6.8, height=3.0, **options):
    """Return a figure with axes in a row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, n, squeeze=False, **options)[0]


def parity(ax, true, predicted, unit, colour=BLUE):
    """Draw predicted against true values, and their equality."""
    ends = [min(np.min(true), np.min(predicted)), max(np.max(true), np.max(predicted))]
    ax.plot(ends, ends, color=GREY, lw=1)
    ax.plot(true, predicted, "o", ms=5, color=colour, alpha=0.7)
    ax.set(xlabel=f"true ({unit})", ylabel=f"predicted ({unit})")


def bare(ax, title):
    """Remove the ticks of a picture."""
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, size=13)


# --- getting started ----------------------------------------------------------------------------


def start_fields():
    """The example of the page: bonds between occupied sites."""
    rng = np.random.default_rng(0)

    def lattices(n, shape):
        X = rng.integers(0, 2, size=(n, *shape)).astype(np.int8)
        return X, -sum((X * np.roll(X, 1, axis)).sum((1, 2)) for axis in (1, 2))

    X, y = lattices(200, (8, 8))
    model = EDNNRegressor(tiling=GridTiling(focus=1, context=1)).fit(X, y)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    left, middle = (figure.add_subplot(grid[0, k]) for k in (0, 1))
    right = figure.add_subplot(grid[1, :])
    field = lattices(1, (20, 20))[0]
    left.imshow(field[0], cmap="Greys", vmin=-0.3, vmax=1.3)
    middle.imshow(model.predict_contributions(field)[0], cmap="viridis")
    bare(left, "occupied sites")
    bare(middle, "contributions")
    for width, colour in ((8, GREY), (32, GREEN), (128, BLUE)):
        fields, energies = lattices(8, (width, width))
        right.loglog(-energies, -model.predict(fields), "o", color=colour, label=f"{width} wide")
    ends = np.array(right.get_xlim())
    right.plot(ends, ends, color=GREY, lw=1, zorder=0)
    right.set(xlabel="true bonds", ylabel="predicted bonds")
    right.legend(handletextpad=0.1, borderpad=0)
    return figure


@functools.cache
def _counter():
    import torch

    from sk_ednn.images import CountRegressor

    torch.set_num_threads(1)
    small = make_pictures(80, (64, 64), n_objects=(5, 80), random_state=0)
    model = CountRegressor(max_epochs=40, n_members=1, random_state=0)
    return model.fit(small.pictures, small.totals)


def start_pictures():
    """Counts of larger pictures against the truth."""
    model = _counter()
    new = make_pictures(20, (128, 160), n_objects=(5, 80), random_state=1)
    figure, (left, right) = panels(2, 7.6, 3.2)
    left.imshow(new.pictures[0], cmap="gray")
    bare(left, "a new picture")
    parity(right, new.totals, model.predict(new.pictures), "objects")
    right.axvspan(0, 20, color=ORANGE, alpha=0.15, lw=0)
    right.text(22, right.get_ylim()[0], "trained below 20", color=ORANGE, va="bottom", size=12)
    return figure


def pictures():
    """A picture with the map of its contributions."""
    model = _counter()
    new = make_pictures(1, (96, 144), n_objects=(30, 40), random_state=1)
    picture, contributions = new.pictures[0], model.predict_contributions(new.pictures)[0]
    figure, axes = panels(2, 8.2, 3.0)
    extent = (-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5)
    axes[0].imshow(picture, cmap="gray")
    axes[1].imshow(contributions, cmap="magma", extent=extent)
    axes[1].plot(*new.positions[0].T[::-1], "+", color="#56b4e9", ms=9, mew=2)
    bare(axes[0], f"{new.totals[0]:.0f} objects")
    bare(axes[1], f"contributions, sum {contributions.sum():.1f}")
    return figure


def start_atoms():
    """Forces of larger cells by the linear potential of the page."""
    potential, shaken = _copper()
    test = [shaken((2, 2, 2), k) for k in range(3)]
    true = np.concatenate([atoms.get_forces() for atoms in test]).ravel()
    predicted = np.concatenate(potential.predict_forces(test)).ravel()
    figure, (ax,) = panels(1, 4.6, 3.4)
    parity(ax, true, predicted, "eV/Å")
    ax.text(0.04, 0.96, "forces of 32 atoms,\ntrained on 8", transform=ax.transAxes, va="top")
    return figure


def _copper():
    from ase.build import bulk
    from ase.calculators.emt import EMT

    from sk_ednn.atoms import EDNNPotential
    from sk_ednn.descriptors import PowerSpectrum
    from sk_ednn.tiling import AtomTiling

    def shaken(repeat, seed, scale=1.0):
        atoms = bulk("Cu", cubic=True).repeat(repeat)
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_forces()
        return atoms

    scales = np.random.default_rng(0).uniform(0.97, 1.04, size=40)
    train = [shaken((1, 1, 2), k, scale) for k, scale in enumerate(scales)]
    tiling = AtomTiling(PowerSpectrum(cutoff=5.0, n_radial=4, max_l=3))
    model = EDNNRegressor(Ridge(1e-6), tiling, random_state=0)
    return EDNNPotential(model).fit(train, stress=False), shaken


# --- method -------------------------------------------------------------------------------------


def fields():
    """Errors of Potts models with and without one channel a state."""
    states = (3, 4, 5, 6)
    channels, plain = GridTiling(1, 1, channel_axis=-1), GridTiling(1, 1)
    errors = {"numbers": [], "one channel a state": []}
    for n_states in states:
        X, y = make_potts(n_states, 400, (6, 6), random_state=0, return_X_y=True)
        for name, model in (
            ("numbers", EDNNRegressor(PAIRS, plain)),
            ("one channel a state", make_pipeline(OneHotFields(), EDNNRegressor(PAIRS, channels))),
        ):
            model.fit(X[:300], y[:300])
            errors[name].append(100 * abs(model.predict(X[300:]) - y[300:]).mean() / y.std())
    figure, (ax,) = panels()
    for (name, values), colour in zip(errors.items(), (ORANGE, BLUE), strict=True):
        ax.semilogy(states, values, "o-", color=colour, label=name)
    ax.set(xlabel="states", ylabel="error, % of spread", xticks=states)
    ax.legend(loc="center left", bbox_to_anchor=(0, 0.62))
    return figure


def focus_and_context():
    """Errors against the context for interactions of several ranges."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 30))
    contexts = range(6)
    figure, (ax,) = panels()
    for distance, colour in ((1, GREEN), (2, BLUE), (4, ORANGE)):
        y = (X * np.roll(X, distance, 1)).sum(1)
        errors = []
        for context in contexts:
            model = EDNNRegressor(PAIRS, GridTiling(1, context)).fit(X[:300], y[:300])
            errors.append(100 * abs(model.predict(X[300:]) - y[300:]).mean() / y.std())
        ax.semilogy(contexts, errors, "o-", color=colour, label=f"pairs {distance} apart")
    ax.set(xlabel="context (sites on each side)", ylabel="error, % of spread")
    ax.legend()
    return figure


def extensive_targets():
    """Errors of standardised and of extensive targets at several sizes."""
    import warnings

    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)

    def data(n, width):
        X = rng.random((n, 6, width))
        return X, (X * np.roll(X, 1, 2)).sum((1, 2))

    X, y = data(300, 6)
    tiling = GridTiling(1, 1)
    models = {"totals": EDNNRegressor(PAIRS, tiling).fit(X, y)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of standardised totals, which are shown here
        models["standardised"] = TransformedTargetRegressor(
            EDNNRegressor(PAIRS, tiling), transformer=StandardScaler()
        ).fit(X, y)
    widths = (6, 12, 24, 48, 96)
    figure, (ax,) = panels()
    for (name, model), colour in zip(models.items(), (BLUE, ORANGE), strict=True):
        shares = []
        for width in widths:
            larger, totals = data(30, width)
            shares.append(100 * np.mean(np.ravel(model.predict(larger)) / totals - 1))
        ax.plot(np.divide(widths, 6), shares, "o-", color=colour, label=name)
    ax.axhline(0, color=GREY, lw=1, zorder=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks(np.divide(widths, 6), labels=[f"{w // 6}" for w in widths])
    ax.set(xlabel="size, relative to the training", ylabel="mean error (%)")
    ax.legend()
    return figure


def theory():
    """The matrix that counts the distinct tiles of each sample."""
    X = make_ising(40, (8, 8), random_state=0).fields
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(X, ((0, 0), (1, 1), (1, 1)), mode="wrap"), (3, 3), axis=(1, 2)
    ).reshape(len(X) * 64, 9)
    _, which = np.unique(windows, axis=0, return_inverse=True)
    counts = np.zeros((len(X), which.max() + 1))
    np.add.at(counts, (np.repeat(np.arange(len(X)), 64), which.ravel()), 1)
    counts = counts[:, np.argsort(-counts.sum(axis=0))]
    figure, (ax,) = panels(1, 7.6, 2.9)
    image = ax.imshow(np.sqrt(counts), cmap="Blues", aspect="auto", interpolation="nearest")
    bar = figure.colorbar(image, ax=ax, label="times in the sample")
    ticks = np.array([0, 1, 4, 16, 64])
    bar.set_ticks(np.sqrt(ticks), labels=ticks)
    ax.set(xlabel=f"{counts.shape[1]} distinct tiles of {counts.sum():,.0f}", ylabel="sample")
    return figure


def tile_models():
    """Errors of several tile models against the number of samples."""
    X, y = make_ising(1200, (8, 8), random_state=0, return_X_y=True)
    sizes = (50, 100, 200, 400, 800)
    models = {
        "kernel ridge": (KernelRidge(kernel="rbf", gamma=0.02, alpha=1e-9), BLUE),
        "products, ridge": (PAIRS, GREEN),
        "random forest": (RandomForestRegressor(20, random_state=0), ORANGE),
        "linear": (LinearRegression(), GREY),
    }
    figure, (ax,) = panels(1, 7.4, 3.2)
    for name, (tile_model, colour) in models.items():
        errors = []
        for n in sizes:
            model = EDNNRegressor(tile_model, GridTiling(1, 1), random_state=0).fit(X[:n], y[:n])
            errors.append(100 * abs(model.predict(X[1000:]) - y[1000:]).mean() / y.std())
        ax.loglog(sizes, errors, "o-", color=colour, label=name)
    ax.set(xlabel="samples of 8 × 8 spins", ylabel="error, % of spread", xticks=sizes)
    ax.set_xticks(sizes, labels=sizes)
    ax.minorticks_off()
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def symmetries():
    """Errors with and without the point group of the lattice, as `benchmarks/symmetries.py`."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from symmetries import CASES, NOISE, errors

    figure, axes = panels(2, 7.4, 3.2)
    shown = {None: ("as they are", GREY), ("reflect", "rotate"): ("symmetric", BLUE)}
    for ax, (name, (*_, counts)) in zip(axes, CASES.items(), strict=True):
        for group, values in errors(name, noise=NOISE).items():
            label, colour = shown[group]
            ax.loglog(counts, 100 * np.median(values, axis=0), "o-", color=colour, label=label)
        ax.set_title(name.replace(" x ", " × "), size=13)
        ax.set(xlabel="labelled fields")
        ax.set_xticks(counts, labels=counts)
        ax.minorticks_off()
        ticks = (0.5, 1, 2, 5, 10, 20)
        ax.set_yticks(ticks, labels=ticks)
    axes[0].set(ylabel="error, % of spread")
    axes[1].legend(borderpad=0)
    return figure


def networks():
    """The training of a network, and its errors at other sizes."""
    import torch
    from torch import nn

    from sk_ednn.datasets import make_dots
    from sk_ednn.solvers import GradientSolver

    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = make_dots(600, (32, 32), random_state=0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.SiLU(), nn.Linear(64, 1))
    solver = GradientSolver(max_epochs=30, lr=2e-3)
    model = EDNNRegressor(net, GridTiling(8, 4), solver=solver, random_state=0)
    model.fit(data.fields, data.counts)
    figure, axes = panels(2, 8.0, 3.1)
    losses = [row["train_loss"] for row in model.tile_model_.estimator.history]
    axes[0].semilogy(np.arange(1, len(losses) + 1), losses, color=BLUE)
    axes[0].set(xlabel="epoch", ylabel="loss of totals")
    large = make_dots(20, (128, 128), random_state=1)
    parity(axes[1], large.counts, model.predict(large.fields), "dots")
    return figure


def inspection():
    """The measured profile of an interaction."""
    from sk_ednn.inspection import interaction_profile

    X = np.random.default_rng(0).choice([-1, 1], size=(500, 24))
    couplings = {1: 1.0, 2: -0.5, 3: 0.25}
    y = sum(J * (X * np.roll(X, r, 1)).sum(1) for r, J in couplings.items())
    model = EDNNRegressor(PAIRS, GridTiling(1, 4)).fit(X, y)
    strength = np.abs(interaction_profile(model, X[:20]).strength[0])
    figure, (ax,) = panels()
    distance = np.arange(1, len(strength) + 1)
    ax.bar(distance, strength, color=BLUE, width=0.5, label="measured in the model")
    true = [4 * abs(couplings.get(r, 0.0)) for r in distance]  # of two flips, between 1 and -1
    ax.plot(distance, true, "_", color=ORANGE, ms=32, mew=3, label="in the data")
    ax.set(xlabel="distance (sites)", ylabel="interaction (J)", xticks=distance)
    ax.legend()
    return figure


def bags():
    """The contribution of single rows, learned from totals of bags."""
    from sk_ednn.tiling import BagTiling

    rng = np.random.default_rng(0)

    def demand(persons):
        return 0.5 + 0.8 * persons**0.7

    districts = [rng.integers(1, 7, size=(n, 1)) for n in rng.integers(20, 200, size=300)]
    metered = [demand(rows).sum() for rows in districts]
    tile_model = make_pipeline(PolynomialFeatures(3), LinearRegression())
    model = EDNNRegressor(tile_model, BagTiling()).fit(districts, metered)
    persons = np.arange(1, 7)
    figure, axes = panels(2, 8.0, 3.1)
    sizes = [len(rows) for rows in districts]
    axes[0].plot(sizes, metered, "o", ms=4, color=GREY, alpha=0.6)
    axes[0].set(xlabel="households", ylabel="MWh, known", title="300 districts")
    axes[1].plot(persons, demand(persons), color=GREY, label="true")
    learned = model.predict_contributions([persons[:, None]])[0]
    axes[1].plot(persons, learned, "o", color=BLUE, label="learned")
    axes[1].set(xlabel="persons", ylabel="MWh, not given", title="one household")
    axes[1].legend()
    return figure


def long_range():
    """Errors against context for screened and unscreened interactions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 40))
    distances = np.arange(1, 20)
    figure, (ax,) = panels()
    for name, weights, colour in (
        ("1/r, unscreened", 1 / distances, ORANGE),
        ("screened, exp(-r)", np.exp(-distances), BLUE),
    ):
        y = sum(w * (X * np.roll(X, r, 1)).sum(1) for r, w in zip(distances, weights, strict=True))
        errors = []
        for context in range(1, 6):
            model = EDNNRegressor(PAIRS, GridTiling(1, context)).fit(X[:400], y[:400])
            errors.append(100 * abs(model.predict(X[400:]) - y[400:]).mean() / y.std())
        ax.semilogy(range(1, 6), errors, "o-", color=colour, label=name)
    ax.set(xlabel="context (sites on each side)", ylabel="error, % of spread")
    ax.set_xticks(range(1, 6))
    ax.legend()
    return figure


def totals_alone():
    """Peaks of the map of a count against the true positions."""
    from sk_ednn.images import peaks

    model = _counter()
    new = make_pictures(1, (96, 96), n_objects=(16, 20), random_state=4)
    contributions = model.predict_contributions(new.pictures)[0]
    positions, shares = peaks(contributions, (4, 4))
    figure, (ax,) = panels(1, 4.6, 4.0)
    ax.imshow(new.pictures[0], cmap="gray")
    true = new.positions[0]
    ax.plot(*true.T[::-1], "+", color="#56b4e9", ms=10, mew=2.2, label="true, not given")
    ax.scatter(*positions.T[::-1], s=220 * np.clip(shares, 0, None), fc="none", ec="#ffb000",
               lw=2.2, label="found by the model")  # fmt: skip
    bare(ax, "")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, handletextpad=0.2)
    return figure


# --- atoms --------------------------------------------------------------------------------------


def atoms():
    """A sheet of atoms, drawn as a field of three channels."""
    from sk_ednn.atoms import GaussianRasterizer
    from sk_ednn.datasets import load_sheets

    sheets = load_sheets()
    k = next(k for k, s in enumerate(sheets.structures) if len(set(s.numbers)) == 3)
    drawn = GaussianRasterizer(
        spacing=(12.5 / 64, 13 / 64), width=0.35, channels=("B", "C", "N")
    ).fit_transform(sheets.structures[k : k + 1])[0]
    figure, axes = panels(3, 8.4, 3.2)
    for channel, (ax, name) in enumerate(zip(axes, ("boron", "carbon", "nitrogen"), strict=True)):
        ax.imshow(drawn[..., channel].T, cmap="magma", origin="lower")
        bare(ax, name)
    return figure


def descriptors():
    """Descriptors of an atom while another leaves its surroundings."""
    from sk_ednn.descriptors import ChebyshevDescriptor, PowerSpectrum, SymmetryFunctions
    from sk_ednn.structures import Structures, neighbor_pairs

    cutoff, distances = 5.0, np.linspace(1.5, 5.6, 60)
    from ase import Atoms

    figure, (ax,) = panels()
    kinds = (
        ("power spectrum", PowerSpectrum(cutoff=cutoff, n_radial=4, max_l=2), BLUE),
        ("symmetry functions", SymmetryFunctions(cutoff=cutoff), ORANGE),
        ("Chebyshev", ChebyshevDescriptor(cutoff), GREEN),
    )
    for name, descriptor, colour in kinds:
        dimers = Structures.of([Atoms("Si2", [[0, 0, 0], [d, 0, 0]]) for d in distances])
        environments = neighbor_pairs(dimers, cutoff=cutoff)
        values = np.asarray(descriptor.with_species([14]).values(environments))
        first = values.reshape(len(distances), 2, -1)[:, 0]  # of the two atoms of each dimer
        size = np.linalg.norm(first - first[-1], axis=1)
        ax.plot(distances, size / size.max(), color=colour, label=name)
    ax.axvline(cutoff, color=GREY, lw=1, ls="--")
    ax.text(cutoff - 0.06, 1.0, "cutoff", color=GREY, ha="right", va="top")
    ax.set(xlabel="distance of a neighbour (Å)", ylabel="signal, relative")
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
    return figure


def potentials():
    """The energy of copper against its volume, by a fitted potential."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    potential, _ = _copper()
    figure, (ax,) = panels()
    scales = np.linspace(0.94, 1.08, 40)
    volumes, curves = [], []
    for scale in scales:
        cell = bulk("Cu", cubic=True)
        cell.set_cell(cell.cell * scale, scale_atoms=True)
        volumes.append(cell.get_volume() / len(cell))
        calculators = EMT(), potential.calculator()
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unlike atoms, which are shown here
            energies = []
            for calculator in calculators:
                cell.calc = calculator
                energies.append(cell.get_potential_energy() / len(cell))
        curves.append(energies)
    volume = bulk("Cu", cubic=True).get_volume() / 4
    ax.axvspan(volume * 0.97**3, volume * 1.04**3, color=GREEN, alpha=0.15, lw=0)
    reference, fitted = np.transpose(curves)
    ax.plot(volumes, reference, color=GREY, label="reference")
    ax.plot(volumes, fitted, "--", color=BLUE, label="potential")
    ax.text(volume * 1.02, ax.get_ylim()[1] * 0.97, "trained here", color=GREEN, ha="center",
            va="top")  # fmt: skip
    ax.set(xlabel="volume of an atom (Å³)", ylabel="energy (eV/atom)")
    ax.legend(loc="lower right")
    return figure


def monte_carlo():
    """Energies of a simulation with a learned model, beside the exact ones."""
    from scipy.special import ellipk

    from sk_ednn.simulation import Metropolis

    small = make_ising(1000, (8, 8), random_state=0)
    model = EDNNRegressor(tiling=GridTiling(1, 1)).fit(small.fields, small.energies)
    temperatures = np.array([1.6, 2.0, 2.2, 2.27, 2.4, 2.7, 3.0, 3.5, 4.0])
    sampler = Metropolis(model, temperatures, values=[-1, 1], n_replicas=6, random_state=0)
    chain = sampler.run(np.ones((32, 32)), n_sweeps=200, burn_in=200, interval=4)
    means = chain.energies.mean(axis=(0, 2)) / 32**2
    grid = np.linspace(1.5, 4.1, 300)
    k = 2 * np.sinh(2 / grid) / np.cosh(2 / grid) ** 2
    elliptic = ellipk(k**2)  # Onsager, the infinite lattice
    exact = -(1 + 2 / np.pi * (2 * np.tanh(2 / grid) ** 2 - 1) * elliptic) / np.tanh(2 / grid)
    figure, (ax,) = panels()
    ax.plot(grid, exact, color=GREY, label="exact, infinite lattice")
    ax.plot(temperatures, means, "o", color=BLUE, ms=7, label="model trained on 8 × 8")
    ax.set(xlabel="temperature (J)", ylabel="energy (J per spin)")
    ax.legend()
    return figure


# --- scale --------------------------------------------------------------------------------------


def evaluation():
    """Distinct tiles against all tiles, for spins and for numbers."""
    widths = np.array([16, 32, 64, 128, 256, 512])
    figure, (ax,) = panels()
    tiling = GridTiling(1, 1)
    for name, make, colour in (
        ("real numbers", lambda n: np.random.default_rng(0).normal(size=(1, n, n)), ORANGE),
        ("three states", lambda n: np.random.default_rng(0).integers(0, 3, (1, n, n)), GREEN),
        ("spins", lambda n: np.random.default_rng(0).integers(0, 2, (1, n, n)), BLUE),
    ):
        counts = []
        for n in widths:
            systems = tiling.check(make(n).astype(np.float32))
            tiles = np.concatenate(
                [np.reshape(tiling.read(systems, block), (-1, 9))
                 for block in tiling.plan(systems, 1 << 20)]
            )  # fmt: skip
            counts.append(len(np.unique(tiles, axis=0)))
        ax.loglog(widths**2, counts, "o-", color=colour, label=name)
    ax.set(xlabel="tiles of 3 × 3", ylabel="distinct tiles")
    ax.legend()
    return figure


def larger_than_memory():
    """A block of a field, and what is read to evaluate it."""
    from matplotlib.patches import Rectangle

    field = make_ising(1, (72, 96), temperature=2.3, n_sweeps=300, random_state=1).fields[0]
    figure, (ax,) = panels(1, 6.4, 4.8)
    ax.imshow(field, cmap="Greys", vmin=-2.5, vmax=6)
    for x, y in ((32, 24), (64, 48)):
        ax.axvline(x - 0.5, color=GREY, lw=1.5)
        ax.axhline(y - 0.5, color=GREY, lw=1.5)
    ax.add_patch(Rectangle((27.5, 19.5), 40, 32, fc=ORANGE, alpha=0.25))
    ax.add_patch(Rectangle((31.5, 23.5), 32, 24, fc=BLUE, alpha=0.45))
    for x, y, words in (
        (15.5, 59.5, "a block"), (47.5, 35.5, "evaluated\nby one task"),
        (47.5, 59.5, "read with it:\nthe context"),
    ):  # fmt: skip
        ax.text(x, y, words, ha="center", va="center", weight="bold",
                bbox=dict(fc="white", ec="none", alpha=0.85, pad=3))  # fmt: skip
    bare(ax, "")
    return figure


FIGURES = [start_fields, start_pictures, start_atoms, fields, focus_and_context, extensive_targets,
           theory, tile_models, symmetries, networks, inspection, bags, long_range, pictures,
           totals_alone, atoms, descriptors, potentials, monte_carlo, evaluation,
           larger_than_memory]  # fmt: skip


def main(names):
    """Draw the figures of these names, or all."""
    import matplotlib
    from PIL import Image

    matplotlib.rcParams.update(STYLE)
    FOLDER.mkdir(exist_ok=True)
    for draw in FIGURES:
        if names and draw.__name__ not in names:
            continue
        buffer = io.BytesIO()
        draw().savefig(buffer, dpi=110, facecolor="white")
        image = Image.open(buffer).convert("RGB").quantize(40)  # a quarter of the size
        path = FOLDER / f"{draw.__name__}.png"
        image.save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
