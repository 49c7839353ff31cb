"""Iterations of retraining until old and new structures have a target loss, by weights of the loss.

    python benchmarks/loss_weights.py --data FOLDER [--quick] [--seeds 3] [--epochs 150]

``siau_meam_dev.npz`` of FOLDER. A network on power spectra is trained on energies of 300 crystals
("old"), then on these and 60 liquids or random packings ("new"), as a search adds structures unlike
those before. From then on each structure has the weight |last error per atom|^δ: as a plain power,
or as `LossWeights` limits it (floor, cap, effective sample of a fifth); or new ones have five times
the weight of old ones. Targets, on held-out structures (150 old, 150 new, of other parents): the
root mean square errors per atom to which training without weights brings them after half of the
epochs, means over seeds. Each epoch is one pass in batches of ten; the learning rate is constant.
"""

from _measure import arguments, machine, table

import time
from pathlib import Path

import numpy as np
import torch

from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.solvers import LossWeights
from sk_ednn.structures import Structures, neighbor_pairs

OLD_KINDS, NEW_KINDS = (0, 1, 2, 4), (3, 5)  # crystals; packings and liquids
N_OLD, N_NEW, N_HELD = 300, 60, 150
BATCH, RATE = 10, 1e-3


class Data:
    """Structures of one kind: descriptors of atoms, their elements, and energies."""

    def __init__(self, data, chosen):
        structures = []
        for k in chosen:
            a, b = data["offsets"][k], data["offsets"][k + 1]
            structures.append(
                (data["numbers"][a:b], data["positions"][a:b].astype(float), data["cell"][k])
            )
        descriptor = PowerSpectrum(5.0, n_radial=5, max_l=3, species=(14, 79))
        values = []
        for numbers, positions, cell in structures:
            atoms = Structures.of([_Atoms(numbers, positions, cell)])
            values.append(descriptor.values(neighbor_pairs(atoms, 5.0)))
        self.sizes = np.array([len(v) for v in values])
        self.values = np.concatenate(values)
        self.kinds = np.concatenate([np.asarray(n) == 79 for n, _, _ in structures]).astype(int)
        self.energies = data["energy"][chosen]
        gold = np.array([np.mean(n == 79) for n, _, _ in structures])
        self.content = np.stack([1 - gold, gold], axis=1) * self.sizes[:, None]
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])


class _Atoms:
    def __init__(self, numbers, positions, cell):
        self.numbers, self.positions, self.cell = numbers, positions, cell
        self.pbc = np.ones(3, bool)


class Network(torch.nn.Module):
    """An energy of each atom, by a network for each element."""

    def __init__(self, n_features):
        super().__init__()
        self.parts = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Linear(n_features, 48), torch.nn.SiLU(), torch.nn.Linear(48, 48),
                torch.nn.SiLU(), torch.nn.Linear(48, 1),
            )
            for _ in range(2)
        )  # fmt: skip

    def forward(self, values, kinds):
        both = torch.cat([part(values) for part in self.parts], dim=1)
        return both.gather(1, kinds[:, None])[:, 0]


class Sums:
    """Scaled inputs and targets, and batches of them."""

    def __init__(self, data, mean, scale, per_element):
        self.values = torch.tensor((data.values - mean) / scale, dtype=torch.float32)
        self.kinds = torch.tensor(data.kinds)
        self.targets = torch.tensor(data.energies - data.content @ per_element).float()
        self.sizes = torch.tensor(data.sizes)
        self.starts = data.starts

    def __len__(self):
        return len(self.sizes)

    def errors(self, network, chosen):
        """Return errors per atom of structures."""
        atoms = np.concatenate([np.arange(self.starts[k], self.starts[k + 1]) for k in chosen])
        owner = torch.repeat_interleave(torch.arange(len(chosen)), self.sizes[chosen])
        each = network(self.values[atoms], self.kinds[atoms])
        totals = torch.zeros(len(chosen)).index_add(0, owner, each)
        return (totals - self.targets[chosen]) / self.sizes[chosen]

    def loss(self, network, chosen):
        with torch.no_grad():
            return float(self.errors(network, chosen).square().mean().sqrt())


def split(data, kinds, n_fit, n_held, rng):
    """Return structures to fit and held out ones, of different parents."""
    chosen = np.flatnonzero(np.isin(data["kind"], kinds) & (np.diff(data["offsets"]) <= 40))
    parents = rng.permutation(np.unique(data["parent"][chosen]))
    cut = int(len(parents) * n_fit / (n_fit + n_held) * 0.95)
    fit = rng.permutation(chosen[np.isin(data["parent"][chosen], parents[:cut])])
    held = rng.permutation(chosen[np.isin(data["parent"][chosen], parents[cut:])])
    return fit[:n_fit], held[:n_held]


def train(network, sums, chosen, epochs, weights_of, rng, note=None):
    """Train on structures; weights follow from their last errors."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    errors = sums.errors(network, chosen).detach().numpy().astype(float)
    for epoch in range(epochs):
        weights = weights_of(errors)
        order = rng.permutation(len(chosen))
        for batch in np.array_split(order, len(order) // BATCH):
            difference = sums.errors(network, chosen[batch])
            optimizer.zero_grad()
            weight = torch.tensor(weights[batch], dtype=torch.float32)
            (weight * difference.square()).mean().backward()
            optimizer.step()
            errors[batch] = difference.detach().numpy()
        if note is not None:
            note(epoch + 1)


def plain(exponent):
    def weights_of(errors):
        powers = np.abs(errors) ** exponent
        return powers / powers.mean()

    return weights_of


def ways(n_old, n_new):
    """Return how structures are weighted, by name."""
    by_age = np.concatenate([np.ones(n_old), np.full(n_new, 5.0)])
    found = {"none (δ = 0)": np.ones_like, "5 for new ones": lambda e: by_age / by_age.mean()}
    for exponent in (0.5, 1.0, 2.0, 3.0):
        found[f"plain, δ = {exponent:g}"] = plain(exponent)
    for exponent in (0.5, 1.0, 2.0, 3.0):
        found[f"robust, δ = {exponent:g}"] = LossWeights(exponent)
    return found


def curves(path, seed, epochs):
    """Return held-out losses of old and new ones at each epoch, and the effective sample."""
    rng = np.random.default_rng(seed)
    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    old, old_held = split(data, OLD_KINDS, N_OLD, N_HELD, rng)
    new, new_held = split(data, NEW_KINDS, N_NEW, N_HELD, rng)
    raw = Data(data, np.concatenate([old, new, old_held, new_held]))
    n_old, n_new, n_held = len(old), len(new), len(old_held)
    seen = slice(0, raw.starts[n_old])
    mean, scale = raw.values[seen].mean(axis=0), raw.values[seen].std(axis=0) + 1e-9
    first = slice(0, n_old)
    per_element = np.linalg.lstsq(raw.content[first], raw.energies[first], rcond=None)[0]
    sums = Sums(raw, mean, np.maximum(scale, 1e-3 * scale.max()), per_element)
    torch.manual_seed(seed)
    network = Network(raw.values.shape[1])
    train(network, sums, np.arange(n_old), 100, np.ones_like, rng)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    held = {
        "old": np.arange(n_old + n_new, n_old + n_new + n_held),
        "new": np.arange(n_old + n_new + n_held, len(sums)),
    }
    result = {}
    for name, weights_of in ways(n_old, n_new).items():
        network.load_state_dict(start)
        losses = {age: [sums.loss(network, chosen)] for age, chosen in held.items()}
        effective = []

        def weights(errors, weights_of=weights_of, effective=effective):
            w = weights_of(errors)
            effective.append(w.sum() ** 2 / (w**2).sum() / len(w))
            return w

        def note(_, losses=losses):
            for age, chosen in held.items():
                losses[age].append(sums.loss(network, chosen))

        order = np.random.default_rng(seed)
        train(network, sums, np.arange(n_old + n_new), epochs, weights, order, note)
        result[name] = {**losses, "effective": float(np.mean(effective))}
    return result


def reached(losses, target):
    """Return the first epoch at which a running mean of five losses is at the target."""
    smooth = np.convolve(losses, np.ones(5) / 5, mode="valid")
    hits = np.flatnonzero(smooth <= target)
    return int(hits[0]) + 4 if len(hits) else None


def main():
    options = arguments(__doc__, data="", seeds=3, epochs=150)
    machine()
    torch.set_num_threads(1)
    start = time.process_time()
    seeds, epochs = (1, 20) if options.quick else (options.seeds, options.epochs)
    path = Path(options.data) / "siau_meam_dev.npz"
    each = [curves(path, seed, epochs) for seed in range(seeds)]
    names = list(each[0])
    rows = []
    for name in names:
        row = [name]
        for age in ("old", "new"):
            found = []
            for one in each:
                losses = np.array(one["none (δ = 0)"][age])
                middle = len(losses) // 2
                found.append(reached(one[name][age], losses[middle - 5 : middle + 5].mean()))
            known = [f for f in found if f is not None]
            missed = len(found) - len(known)
            text = f"{np.mean(known):.0f}" if known else "-"
            row.append(f"{text} ({missed} not)" if missed else text)
            last = [1e3 * np.mean(one[name][age][-10:]) for one in each]
            row.append(f"{np.mean(last):.1f} ± {np.std(last):.1f}")
        row.append(f"{100 * np.mean([one[name]['effective'] for one in each]):.0f} %")
        rows.append(row)
    print(f"epochs to the target, and error at the end (meV per atom), {seeds} seeds")
    table(("weights", "old", "old at end", "new", "new at end", "effective sample"), rows)
    print(f"{time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
