"""Labels chosen by a committee against random ones, for sheets and for Si-Au.

    python benchmarks/search_active_atoms.py --data FOLDER [--quick] [--seeds 5] [--labels 160]
        [--figure FILE]

``hex_xtb_dev.npz`` and ``siau_meam_dev.npz`` of FOLDER. The model is ridge regression on power
spectra of atoms, one coefficient for each element and feature, so that its total is linear in the
sums over atoms: those are computed once. Twenty random labels, then ten at a time, from a pool of
800 sheets or of about 900 structures of Si-Au; 400 sheets, or structures of other parents, are the
test set. In "rare" pools eleven twelfths are alike: graphene without vacancies, or crystals that
were never hot; the test set contains all kinds. Mean absolute errors of totals per atom, means over
seeds with their standard deviation. ``--figure`` draws the curves, and those of the Ising systems
of ``search_active.py``.
"""

from _measure import arguments, machine, table

import time
import warnings
from pathlib import Path

import numpy as np
from search_active import curve as ising_curve
from search_active import pools as ising_pools
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.exceptions import NoveltyWarning
from sk_ednn.search import ActiveLearning
from sk_ednn.structures import Structures, neighbor_pairs

CUTOFF = 4.5


class _Atoms:
    def __init__(self, numbers, positions, cell):
        self.numbers, self.positions, self.cell = numbers, positions, cell
        self.pbc = np.array([True, True, True])


def sums_of(data, species):
    """Return sums of descriptors, one block for each element, scaled; and sizes."""
    descriptor = PowerSpectrum(CUTOFF, n_radial=5, max_l=3, species=species)
    rows, squares = [], 0.0
    for k in range(len(data["energy"])):
        a, b = data["offsets"][k], data["offsets"][k + 1]
        numbers, places = np.asarray(data["numbers"][a:b]), data["positions"][a:b].astype(float)
        cell = data["cell"][k]
        if places.shape[1] == 2:
            places = np.concatenate([places, np.full((len(places), 1), 10.0)], axis=1)
        atoms = _Atoms(numbers, places, np.diag(cell) if cell.ndim == 1 else cell)
        values = descriptor.values(neighbor_pairs(Structures.of([atoms]), CUTOFF))
        squares = squares + (values**2).sum(axis=0)
        blocks = [[(numbers == z).sum(), *values[numbers == z].sum(axis=0)] for z in species]
        rows.append(np.concatenate(blocks))
    sizes = np.diff(data["offsets"])
    scale = np.sqrt(squares / sizes.sum())
    # Atoms are counted by the first column of each block.
    scale = np.tile(np.concatenate([[0.3], np.maximum(scale, 1e-3 * scale.max())]), len(species))
    return np.array(rows) / scale, sizes


def loaded(path, chosen):
    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    offsets = data["offsets"]
    atoms = np.concatenate([np.arange(offsets[k], offsets[k + 1]) for k in chosen])
    found = {name: data[name][chosen] for name in ("energy", "cell", *_KINDS & set(data))}
    found["numbers"], found["positions"] = data["numbers"][atoms], data["positions"][atoms]
    found["offsets"] = np.concatenate([[0], np.cumsum(np.diff(offsets)[chosen])])
    return found


_KINDS = {"cls", "nvac", "kind", "parent"}


def sheets(folder, quick):
    """Return sums, energies, sizes, the test set, which are alike, and the number of elements."""
    n = 300 if quick else 2000
    path = folder / "hex_xtb_dev.npz"
    with np.load(path) as file:
        chosen = np.sort(np.random.default_rng(0).permutation(len(file["energy"]))[:n])
    data = loaded(path, chosen)
    x, sizes = sums_of(data, (5, 6, 7))
    test = np.zeros(n, bool)
    test[np.random.default_rng(1).permutation(n)[: n // 5]] = True
    return x, data["energy"], sizes, test, (data["cls"] == 0) & (data["nvac"] == 0), 3


def silicon_gold(folder, quick):
    path = folder / "siau_meam_dev.npz"
    with np.load(path) as file:
        small = np.flatnonzero(np.diff(file["offsets"]) <= 40)
    if quick:
        small = small[::4]
    data = loaded(path, small)
    x, sizes = sums_of(data, (14, 79))
    parents = np.unique(data["parent"])
    held = np.random.default_rng(1).permutation(parents)[: len(parents) // 4]
    test = np.isin(data["parent"], held)
    return x, data["energy"], sizes, test, np.isin(data["kind"], (0, 1, 2)), 2


def atoms_curve(case, rare, strategy, n_labels, seed):
    x, energies, sizes, test, alike, n_species = case
    rng = np.random.default_rng(seed)
    left = rng.permutation(np.flatnonzero(~test))
    if rare:
        same, others = left[alike[left]], left[~alike[left]]
        left = np.concatenate([same, others[: len(same) // 11]])
    left = rng.permutation(left[:800])
    fields = x[:, None, :]  # one site with the sums of a structure as channels
    model = EDNNRegressor(Ridge(100.0), GridTiling(1, 0, channel_axis=-1), weighting="total")
    # Energies above those of the elements, by content alone, so that ridge has little to shrink.
    content = x[:, :: x.shape[1] // n_species]
    known = np.linalg.lstsq(content[left], energies[left], rcond=None)[0]
    rest = energies - content @ known
    pool = fields[left]
    totals = {row.tobytes(): total for row, total in zip(pool, rest[left], strict=True)}
    errors = {}

    def note(learning):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoveltyWarning)
            predicted = learning.model_.predict(fields[test])
        error = (predicted - rest[test]) / sizes[test]
        errors[len(learning.indices_)] = 1e3 * float(np.abs(error).mean())

    learning = ActiveLearning(
        model, pool, lambda field: totals[field.tobytes()], strategy=strategy, random_state=seed,
        n_initial=20, batch_size=10,
    )  # fmt: skip
    learning.run(min(n_labels, len(left)), note)
    return errors


def main():
    options = arguments(__doc__, data="", seeds=5, labels=160, figure="")
    machine()
    seeds, n_labels = (2, 60) if options.quick else (options.seeds, options.labels)
    start = time.process_time()
    folder, drawn = Path(options.data), {}
    for name, load in (("sheets", sheets), ("Si-Au", silicon_gold)):
        case = load(folder, options.quick)
        print(f"{name}: {len(case[1])} structures, {case[0].shape[1]} features, "
              f"{time.process_time() - start:.0f} CPU s", flush=True)  # fmt: skip
        for rare in (False, True):
            curves = {
                strategy: [
                    atoms_curve(case, rare, strategy, n_labels, seed) for seed in range(seeds)
                ]
                for strategy in ("committee", "random")
            }
            show(f"{name}, {'rare' if rare else 'as generated'}", "meV per atom", curves, drawn)
    if options.figure:
        for case in ("flat", "rare"):
            curves = {
                strategy: [
                    ising_curve(*ising_pools(seed)[case], strategy, 60, seed)
                    for seed in range(seeds)
                ]
                for strategy in ("committee", "random")
            }
            show(f"Ising, {case}", "J", curves, drawn)
        draw(drawn, options.figure)
    print(f"{time.process_time() - start:.0f} CPU s")


def show(title, unit, curves, drawn):
    drawn[title] = unit, curves
    print(f"{title}: mean absolute errors, {unit}" if unit != "J" else title)
    rows = []
    for n in list(curves["random"][0])[::2]:
        each = [np.array([one[n] for one in found if n in one]) for found in curves.values()]
        better = np.mean([a[n] < b[n] for a, b in zip(*curves.values(), strict=True)])
        rows.append((n, *(f"{v.mean():.3g} ± {v.std():.2g}" for v in each), f"{better:.0%}"))
    table(("labels", *curves, "seeds with committee better"), rows)


def draw(drawn, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.subplots(2, 3)
    for column, name in enumerate(("sheets", "Si-Au", "Ising")):
        titles = [title for title in drawn if title.startswith(name)]
        for ax, title in zip(axes[:, column], titles, strict=True):
            unit, curves = drawn[title]
            for strategy, color in (("committee", "C0"), ("random", "0.5")):
                labels = np.array(list(curves[strategy][0]))
                errors = np.array([list(one.values()) for one in curves[strategy]])
                middle, band = errors.mean(axis=0), errors.std(axis=0)
                ax.plot(labels, middle, color=color, label=strategy)
                low = np.maximum(middle - band, 0.3 * middle)
                ax.fill_between(labels, low, middle + band, color=color, alpha=0.2, lw=0)
            ax.set_yscale("log")
            ax.set_title(title, fontsize="medium")
            ax.set_ylabel(f"Error ({unit})")
            ax.spines[["top", "right"]].set_visible(False)
        axes[1, column].set_xlabel("Labels")
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
