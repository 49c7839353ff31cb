"""Networks of atoms learn energies, forces and stresses in minutes on one core.

    python benchmarks/potentials.py --data FOLDER --set sheets
    python benchmarks/potentials.py --data FOLDER --set tio2 --limit 900 --force-share 0.25
    python benchmarks/potentials.py --data FOLDER --set si --held-out test/Si.npz

Data sets are files of a folder: ``sheets`` (hex_xtb_dev.npz, hex_large_xtb_dev.npz: planar, 480
held out), ``tio2`` (tio2_dft_dev.npz, filtered as by aenet; 5 % held out, and what the filter drops
apart), ``si`` (mlearn/Si.npz, 5 % held out) and ``siau`` (siau_meam_dev.npz, 10 % of the parents
held out), in eV and Å. With ``--held-out`` all structures are trained on, and those of that file,
or that folder's file of the same name, are predicted. Each set has a recipe; options change it.
Models are ``spectrum``, ``symmetry``, ``chebyshev``, ``deep-pot-frame`` and ``deep-pot``, each also
with ``-context``. Training stops after ``--seconds`` of processor time, neighbour lists included.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _measure import arguments, machine, peak_megabytes

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from sk_ednn.atoms import select_structures
from sk_ednn.descriptors import ChebyshevDescriptor, DeepPotFrame, SymmetryFunctions
from sk_ednn.networks._atomic import AtomicNetwork, DeepPotSE, SpectrumNetwork
from sk_ednn.solvers import LossWeights
from sk_ednn.solvers._potential import PotentialLabels, PotentialTrainer
from sk_ednn.solvers._potential._errors import GPA
from sk_ednn.structures import Structures, neighbor_pairs
from sk_ednn.structures._repulsion import covalent_radii

AREA = 12.5 * 13.0  # Å² of a small sheet
DESCRIPTORS = {
    "symmetry": SymmetryFunctions, "chebyshev": ChebyshevDescriptor, "deep-pot-frame": DeepPotFrame,
}  # fmt: skip
FILES = {
    "sheets": "hex_xtb_dev.npz", "tio2": "tio2_dft_dev.npz", "si": "mlearn/Si.npz",
    "siau": "siau_meam_dev.npz",
}  # fmt: skip
LARGE = {"sheets": "hex_large_xtb_dev.npz", "siau": "siau_meam_large_dev.npz"}
COMMON = {
    "model": "spectrum", "seconds": 600.0, "cutoff": 6.0, "batch": 8, "rate": 2e-3,
    "hidden": "64,64", "channels": 24, "partners": 8, "l_max": 4, "n_radial": 8,
    "energy_weight": "0.1,20", "force_weight": "1,1", "stress_weight": "0.01,1", "force_delta": 1.0,
    "optimizer": "muon", "weight_decay": 0.0, "ema": 0.999, "early_stopping": False, "watch": 0.0,
    "repulsion": 0, "screening": 0, "weighting": 0.0, "committee": 1, "fraction": 0.05, "limit": 0,
    "force_share": 1.0, "closest": 0.0, "set_size": 0, "unlike": 0.0,
}  # fmt: skip
# What differs for each set.
RECIPES = {
    "sheets": {"model": "spectrum-context"},
    "tio2": {"seconds": 700.0, "cutoff": 5.5, "repulsion": 1},
    "si": {"seconds": 200.0, "cutoff": 5.5, "committee": 3},
    "siau": {"seconds": 800.0, "cutoff": 4.7, "committee": 2, "fraction": 0.1, "screening": 1},
}  # fmt: skip


def read(path):
    """Return structures, labels and the arrays of the file."""
    d = dict(np.load(path))
    n = len(d["offsets"]) - 1
    planar = d["positions"].shape[1] == 2
    positions = d["positions"].astype(float)
    forces = d["forces"].astype(float)
    cells, pbc = d["cell"].astype(float), d.get("pbc", np.ones((n, 3), bool))
    if planar:
        positions = np.column_stack([positions, np.zeros(len(positions))])
        # A planar model has no force along z: leave it out of errors and of the loss.
        forces = np.column_stack([forces, np.full(len(forces), np.nan)])
        pbc = np.tile([True, True, False], (n, 1))
    if cells.ndim == 2:
        cells = np.stack([np.diag(cell) for cell in cells])
    structures = Structures(d["numbers"].astype(int), positions, cells, pbc, d["offsets"])
    labels = PotentialLabels.of(structures, d["energy"], forces, d.get("stress"))
    return structures, labels, d


def split(name, structures, d, fraction, number):
    """Return the indices of training structures and of those held out, by the split's number."""
    rng = np.random.default_rng(7 + number)
    if name == "siau":
        parents = np.unique(d["parent"])
        held = np.isin(d["parent"], rng.permutation(parents)[: round(fraction * len(parents))])
        return np.flatnonzero(~held), np.flatnonzero(held)
    order = rng.permutation(len(structures))
    n = 480 if name == "sheets" else max(10, round(fraction * len(structures)))
    return np.sort(order[n:]), np.sort(order[:n])


def closeness(structures):
    """Return the shortest distance of each structure's atoms, in sums of covalent radii."""
    pairs = neighbor_pairs(structures, 3.0)
    radii = covalent_radii(structures.numbers)
    distances = np.linalg.norm(pairs.vectors, axis=1)
    distances /= radii[pairs.centers] + radii[pairs.neighbors]
    shortest = np.full(len(structures), np.inf)
    np.minimum.at(shortest, structures.owners[pairs.centers], distances)
    return shortest


def without_forces(structures, labels, train, share, closest):
    """Return labels in which some training structures alone have forces.

    A part of these, ``closest``, are those whose atoms are closest to each other, and the others
    are drawn at random.
    """
    order = np.random.default_rng(9).permutation(train)
    if closest:
        n_closest = round(closest * share * len(train))
        first = train[np.argsort(closeness(structures.take(train)), kind="stable")[:n_closest]]
        order = np.concatenate([order[~np.isin(order, first)], first])
    n = round((1 - share) * len(train))
    forces = labels.forces.copy()
    forces[np.isin(structures.owners, order[:n])] = np.nan
    return PotentialLabels(labels.energies, forces, labels.stress)


def network(args, cutoff):
    """Return a function that creates the network for some species."""
    context = 8 if args.model.endswith("-context") else 0
    kind = args.model.removesuffix("-context")
    hidden = tuple(int(width) for width in args.hidden.split(","))
    shared = {"hidden": hidden, "context": context}
    if kind == "spectrum":
        return lambda species: SpectrumNetwork(
            species, cutoff, channels=args.channels, partners=args.partners, l_max=args.l_max,
            n_radial=args.n_radial, screening=bool(args.screening), **shared,
        )  # fmt: skip
    if kind == "deep-pot":
        return lambda species: DeepPotSE(species, cutoff, **shared)
    if kind in DESCRIPTORS:
        return lambda species: AtomicNetwork(species, DESCRIPTORS[kind](cutoff), **shared)
    raise SystemExit(f"No model {args.model}.")


def report(title, potentials, structures, labels, rows, *, planar=False, set_size=0):
    """Print errors of the mean of some potentials on some structures.

    With ``set_size``, also how root mean squares vary over random sets of that many of them, as a
    published figure rests on one.
    """
    labels, structures = labels.take(structures, rows), structures.take(rows)
    has_stress = not np.isnan(labels.stress).all()
    predicted = [p.predict(structures, forces=True, stress=has_stress) for p in potentials]
    error = np.mean([p.energies for p in predicted], axis=0) - labels.energies
    forces = np.mean([p.forces for p in predicted], axis=0) - labels.forces
    size = 1e3 * np.abs(error) / structures.sizes
    out = {
        "mae meV/atom": size.mean(),
        "median": np.median(size),
        "rmse": np.sqrt((size**2).mean()),
        "without the worst five": np.sqrt((np.sort(size)[:-5] ** 2).mean()),
        "worst": size.max(),
        "forces mae meV/Å": 1e3 * np.nanmean(np.abs(forces)),
        "rmse meV/Å": 1e3 * np.sqrt(np.nanmean(forces**2)),
    }
    if planar:
        area = structures.cells[:, 0, 0] * structures.cells[:, 1, 1]
        density = 1e3 * np.abs(error) / area
        out = {"mean meV/Å²": density.mean(), "median meV/Å²": np.median(density), **out}
    if has_stress:
        stress = np.mean([p.stress for p in predicted], axis=0) - labels.stress
        out["stress mae GPa"] = GPA * np.nanmean(np.abs(stress))
        out["stress rmse GPa"] = GPA * np.sqrt(np.nanmean(stress**2))
    print(f"{title} ({len(structures)}): " + ", ".join(f"{k} {v:.3g}" for k, v in out.items()))
    if not set_size:
        return
    rng, of_sets = np.random.default_rng(0), []
    squares = np.add.reduceat(np.nanmean(forces**2, axis=1), structures.offsets[:-1])
    for _ in range(4000):
        rows = rng.choice(len(size), set_size, replace=False)
        mean_square = squares[rows].sum() / structures.sizes[rows].sum()
        of_sets.append([np.sqrt((size[rows] ** 2).mean()), 1e3 * np.sqrt(mean_square)])
    quantiles = np.quantile(of_sets, [0.1, 0.25, 0.5, 0.75, 0.9], axis=0).T
    for name, values in zip(("energies, meV/atom", "forces, meV/Å"), quantiles, strict=True):
        print(
            f"    rmse of sets of {set_size}, {name} (10, 25, 50, 75, 90 %): "
            + ", ".join(f"{value:.3g}" for value in values)
        )


def main():
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--set", choices=RECIPES, default="sheets")
    name = first.parse_known_args()[0].set
    recipe = COMMON | RECIPES[name]
    args = arguments(
        __doc__.splitlines()[0],
        data="data",
        set=name,
        seed=0,
        split=0,
        held_out="",
        out="",
        **recipe,
    )
    machine()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = Path(args.data)
    if not (folder / FILES[name]).exists():
        print(f"There is no {folder / FILES[name]}: give the folder of the data with --data.")
        return
    structures, labels, d = read(folder / FILES[name])
    if args.set_size and (args.held_out or not args.limit):
        raise SystemExit(
            "--set-size is for --limit: sets are drawn from what was not learned from."
        )
    train, test = split(name, structures, d, args.fraction, args.split)
    if args.held_out:
        train = np.arange(len(structures))
    if name == "tio2":
        # Structures that aenet's filter drops are not trained on, and are listed separately.
        train = train[d["aenet_used"][train].astype(bool)]
    if args.limit:
        pool = structures.take(train)
        chosen = select_structures(pool, args.limit, unlike=args.unlike, random_state=8)
        train = np.sort(train[chosen])
    everything = labels
    if args.force_share < 1:
        labels = without_forces(structures, labels, train, args.force_share, args.closest)
    cutoff = args.cutoff

    def pair(text):
        return tuple(float(part) for part in text.split(","))

    decay = {"weight_decay": args.weight_decay} if args.weight_decay else None
    groups = d["parent"][train] if "parent" in d else None
    learn, known = structures.take(train), labels.take(structures, train)
    started, potentials = time.process_time(), []
    for member in range(args.committee):
        trainer = PotentialTrainer(
            max_seconds=args.seconds / args.committee, clock="processor", batch_size=args.batch,
            energy_weight=pair(args.energy_weight), force_weight=pair(args.force_weight),
            stress_weight=pair(args.stress_weight), learning_rate=args.rate,
            force_delta=args.force_delta or None,
            repulsion=bool(args.repulsion), ema_decay=args.ema,
            weighting=LossWeights(args.weighting) if args.weighting else None,
            optimizer=args.optimizer, optimizer_params=decay,
            validation_fraction=args.watch, early_stopping=args.early_stopping,
            random_state=args.seed + member,
            callback=lambda record: print(
                json.dumps({k: round(v, 5) for k, v in record.items()}), flush=True
            ),
        )  # fmt: skip
        result = trainer.fit(learn, known, network(args, cutoff), groups=groups)
        potentials.append(result.potential)
    used = time.process_time() - started
    parameters = sum(p.numel() for p in potentials[0].network.parameters())
    print(
        f"{name} {args.model}: {len(train)} structures, {parameters} parameters, {used:.0f} s of "
        f"the processor, {result.history[-1]['epoch']} epochs, {peak_megabytes():.0f} MB at most"
    )
    some = train[:: max(1, len(train) // 300)]
    planar = name == "sheets"
    report("trained on", potentials, structures, labels, some, planar=planar)
    if args.held_out:
        path = Path(args.held_out)
        structures, labels, d = read(path / Path(FILES[name]).name if path.is_dir() else path)
        test = np.arange(len(structures))
    kinds = {"held out": np.ones(len(structures), bool)}
    if planar:
        names = "graphene", "BN", "heterostructures"
        kinds |= {title: d["cls"] == value for value, title in enumerate(names)}
    if name == "tio2":
        used = d["aenet_used"].astype(bool)
        kinds = {"held out": used, "dropped by aenet's filter": ~used}
    if args.set_size:
        rest = np.flatnonzero(kinds["held out"] & ~np.isin(np.arange(len(structures)), train))
        size = args.set_size
        report("all others", potentials, structures, everything, rest, planar=planar, set_size=size)
    for title, kind in kinds.items():
        report(title, potentials, structures, labels, test[kind[test]], planar=planar)
    if name in LARGE and (folder / LARGE[name]).exists():
        structures, labels, _ = read(folder / LARGE[name])
        every = np.arange(len(structures))
        report("larger cells", potentials, structures, labels, every, planar=planar)
    if args.out:
        torch.save([(p.network.state_dict(), p.atomic_energies) for p in potentials], args.out)


if __name__ == "__main__":
    main()
