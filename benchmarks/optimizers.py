"""Seven optimizers, and ours, reach different losses in the same time on Si-Au and TiO2.

    python benchmarks/optimizers.py --seconds 60
    python benchmarks/optimizers.py --set tio2 --data FOLDER --seconds 60

A `SpectrumNetwork` learns the energies and forces of some structures of the bundled Si-Au set, or
of TiO2 (``tio2_dft_dev.npz`` in ``--data``), from the same initial weights with each optimizer.
Each trains for the same processor time, at a constant rate, the best of ``--rates`` rates around
the usual one in trials of an eighth of that time. Prints the lowest loss of the structures that are
held out (whole parents for Si-Au), with its errors, and the processor time of an iteration.
``--threads`` prints the elapsed time of an iteration on 1 and 2 threads instead: other programs
must leave the cores free.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _measure import arguments, machine, table

import time
from pathlib import Path

import numpy as np
import torch

from sk_ednn.datasets import load_siau
from sk_ednn.networks._atomic import SpectrumNetwork
from sk_ednn.solvers._potential import PotentialLabels, PotentialTrainer
from sk_ednn.structures import Structures

# Usual learning rates; SGD has momentum 0.9.
OPTIMIZERS = {
    "sgd": 1e-4, "adagrad": 1e-2, "adadelta": 1.0, "rmsprop": 1e-3, "adam": 2e-3, "adamw": 2e-3,
    "nadam": 2e-3, "muon": 2e-3,
}  # fmt: skip
PARAMETERS = {"sgd": {"momentum": 0.9}}
# In eV and eV/Å; a tenth of these structures is held out.
WEIGHTS = {"energy_weight": 1.0, "force_weight": 1.0, "stress_weight": 0.0}
BATCH = 8


def siau(n, rng):
    """Return structures and labels of Si-Au to learn from and to hold out, whole parents."""
    data = load_siau()
    parents = rng.permutation(np.unique(data.parents))
    held = np.isin(data.parents, parents[: len(parents) // 10])
    out = []
    for mask, size in ((~held, n), (held, max(n // 5, 1))):
        chosen = np.sort(rng.permutation(np.flatnonzero(mask))[:size])
        structures = Structures.of([{**data.structures[k], "pbc": True} for k in chosen])
        forces = np.concatenate([data.forces[k] for k in chosen])
        out += [structures, PotentialLabels.of(structures, data.energies[chosen], forces)]
    return out


def tio2(path, n, rng):
    """Return structures and labels of TiO2 to learn from and to hold out."""
    d = np.load(path)
    sizes = np.diff(d["offsets"])
    usable = rng.permutation(np.flatnonzero(d["aenet_used"]))
    out = []
    for chosen in (usable[:n], usable[n : n + max(n // 5, 1)]):
        chosen = np.sort(chosen)
        rows = np.concatenate([np.arange(d["offsets"][k], d["offsets"][k + 1]) for k in chosen])
        offsets = np.concatenate([[0], np.cumsum(sizes[chosen])])
        structures = Structures(
            d["numbers"][rows].astype(int), d["positions"][rows].astype(float),
            d["cell"][chosen].astype(float), np.ones((len(chosen), 3), bool), offsets,
        )  # fmt: skip
        forces = d["forces"][rows].astype(float)
        out += [structures, PotentialLabels.of(structures, d["energy"][chosen], forces)]
    return out


def trained(data, name, rate, **ends):
    """Train a network and return the history of its epochs."""
    structures, labels, held, true = data
    trainer = PotentialTrainer(
        batch_size=BATCH, optimizer=name, optimizer_params=PARAMETERS.get(name),
        learning_rate=rate, schedule="constant", warm_up=0.0, force_delta=1.0, random_state=0,
        max_epochs=ends.get("epochs"), max_seconds=ends.get("seconds"),
        clock="processor", **WEIGHTS,
    )  # fmt: skip
    result = trainer.fit(
        structures, labels, lambda species: SpectrumNetwork(species, 5.0, channels=16),
        validation=(held, true),
    )  # fmt: skip
    return result.history


def best(data, name, rate, seconds, n_rates):
    """Return the best rate of some around the usual one, and the history of a training with it."""
    rates = rate * 4.0 ** (np.arange(n_rates) - n_rates // 2)
    losses = []
    for each in rates if n_rates > 1 else []:
        try:
            history = trained(data, name, each, seconds=seconds / 8)
            losses.append(min(record["valid_loss"] for record in history))
        except Exception as error:
            if "diverged" not in str(error):
                raise
            losses.append(np.inf)
    chosen = float(rates[int(np.argmin(losses))]) if losses else rate
    return chosen, trained(data, name, chosen, seconds=seconds)


def seconds_per_iteration(data, name, rate, clock, threads=1, repeat=2):
    """Return the least time of an iteration, by a clock."""
    structures, labels, *_ = data
    chosen = np.arange(min(len(structures), 5 * BATCH))
    part = structures.take(chosen), labels.take(structures, chosen)
    ends = []
    trainer = PotentialTrainer(
        batch_size=BATCH, optimizer=name, optimizer_params=PARAMETERS.get(name),
        learning_rate=rate, max_epochs=1 + repeat, max_seconds=None, random_state=0,
        callback=lambda record: ends.append(clock()), n_threads=threads, **WEIGHTS,
    )  # fmt: skip
    trainer.fit(*part, lambda species: SpectrumNetwork(species, 5.0, channels=16))
    # Epochs after the first, without neighbour lists and standardisation.
    return min(np.diff(ends)) / -(-len(chosen) // BATCH)


def main():
    args = arguments(
        __doc__.splitlines()[0], set="siau", data="data", seconds=60.0, limit=400, rates=3,
        optimizers=",".join(OPTIMIZERS), threads=False,
    )  # fmt: skip
    machine()
    torch.set_num_threads(1)
    seconds, limit = (2.0, 24) if args.quick else (args.seconds, args.limit)
    rng = np.random.default_rng(0)
    if args.set == "tio2":
        path = Path(args.data) / "tio2_dft_dev.npz"
        if not path.exists():
            print(f"There is no {path}: give the folder of the data with --data.")
            return
        data = tio2(path, limit, rng)
    else:
        data = siau(limit, rng)
    print(f"{args.set}: {len(data[0])} structures, {len(data[2])} held out, {seconds:.0f} s each")
    rows = []
    if args.threads:
        for name in args.optimizers.split(","):
            each = [
                seconds_per_iteration(data, name, OPTIMIZERS[name], time.perf_counter, n, 3)
                for n in (1, 2)
            ]
            rows.append([name, *(f"{1e3 * value:.0f}" for value in each)])
        table(["optimizer", "ms, 1 thread", "ms, 2 threads"], rows)
        return
    for name in args.optimizers.split(","):
        rate, history = best(data, name, OPTIMIZERS[name], seconds, 1 if args.quick else args.rates)
        record = min(history, key=lambda record: record["valid_loss"])
        iteration = seconds_per_iteration(data, name, rate, time.process_time)
        rows.append([
            name, f"{rate:.2g}", len(history), f"{record['valid_loss']:.3g}",
            f"{record['valid_energy_mae']:.1f}", f"{record['valid_force_mae']:.0f}",
            f"{1e3 * iteration:.0f}",
        ])  # fmt: skip
        print(rows[-1], flush=True)
    table(["optimizer", "rate", "epochs", "best loss", "meV/atom", "meV/Å",
           "ms/iteration"], rows)  # fmt: skip


if __name__ == "__main__":
    main()
