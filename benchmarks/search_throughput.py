"""Structures labelled per hour, against what the pools allow.

    python benchmarks/search_throughput.py [--quick] [--labels 60] [--scale 0.1]
        [--simulated 400] [--figure FILE]

Labels sleep like small DFT calculations: lognormal with a median of 8 s and limits of 2 and 30 s,
relaxations with a median of 4 s, trainings for 20 s. A label needs one relaxation. Measured:
threads, with all times multiplied by ``--scale``. Simulated: the same driver on a clock that jumps
to the next task's end, on up to 16 nodes. The pools allow as many labels as the nodes
of labels, or those of relaxations, finish if they never wait. "In turn" is one task after the
other. The first labels, before the first training, are random starts in both.
"""

from _measure import arguments, machine, table

import heapq
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator

from sk_ednn.search import Evaluation, FunctionLabeller, Label, StructureSearch
from sk_ednn.search._tasks import InTurn, KINDS, Pools

LIMITS = (2.0, 30.0)
MEDIANS = {"label": 8.0, "relax": 4.0, "train": 20.0}
SPREADS = {"label": 0.7, "relax": 0.4, "train": 0.0}


class Springs(BaseEstimator):
    """A surrogate that costs nothing: Morse pairs with three bond lengths."""

    n_members = 3

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, structures, labels, sample_weight=None):
        rng = np.random.RandomState(self.random_state)
        self.lengths_ = 2.4 + rng.normal(size=3) / len(labels)
        self.errors_ = np.full(len(labels), 1.0 / len(labels))
        return self

    def predict(self, structures):
        each = np.array([[morse(s, length)[0] for s in structures] for length in self.lengths_])
        return each.mean(axis=0), each.std(axis=0, ddof=1)

    def evaluate(self, structure):
        each = [morse(structure, length) for length in self.lengths_]
        energies = [energy for energy, _ in each]
        forces = np.mean([f for _, f in each], axis=0)
        return Evaluation(
            float(np.mean(energies)), float(np.std(energies, ddof=1)), forces, np.zeros((3, 3))
        )


def morse(structure, length=2.4):
    apart = structure.positions[:, None] - structure.positions[None]
    r = np.sqrt((apart**2).sum(axis=-1) + np.eye(len(apart)))
    x = np.exp(-1.5 * (r - length))
    off = ~np.eye(len(r), dtype=bool)
    slopes = np.where(off, -0.75 * (2 * x**2 - 2 * x), 0.0)
    return 0.25 * (x**2 - 2 * x)[off].sum(), -((slopes / r)[..., None] * apart).sum(axis=1)


class Durations:
    """Seconds of tasks; those of labels are the same for all numbers of workers."""

    def __init__(self, seed=0):
        self._rng = {kind: np.random.RandomState(seed + k) for k, kind in enumerate(KINDS)}
        self.drawn = {kind: [] for kind in KINDS}

    def draw(self, kind):
        seconds = MEDIANS[kind] * np.exp(SPREADS[kind] * self._rng[kind].normal())
        if kind == "label":
            seconds = float(np.clip(seconds, *LIMITS))
        self.drawn[kind].append(seconds)
        return seconds


class Sleeping(Pools):
    """Pools whose tasks last as long as is drawn, on the machine's clock."""

    def __init__(self, executors, sizes, durations, scale):
        super().__init__(executors, sizes)
        self.durations, self.scale = durations, scale

    def submit(self, kind, function, *args):
        seconds = self.scale * self.durations.draw(kind)
        return super().submit(kind, slept, seconds, function, *args)


def slept(seconds, function, *args):
    end = time.monotonic() + seconds
    result = function(*args)
    time.sleep(max(0.0, end - time.monotonic()))
    return result


class Simulated(Pools):
    """Pools whose tasks last as long as is drawn, on a clock that jumps."""

    def __init__(self, sizes, durations, in_turn=False):
        super().__init__({}, sizes)
        self.durations, self.clock, self._ends = durations, 0.0, []
        self.in_turn = in_turn

    def submit(self, kind, function, *args):
        future = Future()
        seconds = self.durations.draw(kind)
        if self.in_turn:
            self.clock += seconds
        future.set_result((function(*args), seconds))
        end = self.clock if self.in_turn else self.clock + seconds
        heapq.heappush(self._ends, (end, len(self.durations.drawn[kind]), kind, future))
        return future

    def wait(self, futures, timeout):
        end, _, _, future = heapq.heappop(self._ends)
        self.clock = max(self.clock, end)
        return {future}

    def now(self):
        return self.clock


def searched(pools, n_labels, seed=0):
    with tempfile.TemporaryDirectory() as folder:
        search = StructureSearch(
            "Ar12", FunctionLabeller(lambda s: Label(*morse(s))), Springs(),
            store=Path(folder) / "s.db", kind="cluster", volume=14.0, n_initial=20,
            retrain_every=20, candidates_per_label=1, max_steps=3, patience=2000,
            random_state=seed,
        )  # fmt: skip
        return search.run(n_labels, pools)


def simulated(n_labels, sizes, in_turn=False):
    """Return labels per hour, and how many the pools allow."""
    durations = Durations()
    pools = Simulated(sizes, durations, in_turn)
    found = searched(pools, n_labels)
    return found.n_labels * 3600 / pools.clock, allowed(sizes, durations)


def measured(n_labels, sizes, scale, in_turn=False):
    from concurrent.futures import ThreadPoolExecutor

    durations = Durations()
    executors = {kind: InTurn() if in_turn else ThreadPoolExecutor(n) for kind, n in sizes.items()}
    start = time.monotonic()
    found = searched(Sleeping(executors, sizes, durations, scale), n_labels)
    seconds = (time.monotonic() - start) / scale
    return found.n_labels * 3600 / seconds, allowed(sizes, durations)


def allowed(sizes, durations):
    """Return labels per hour of the pool that limits: of labels, or of relaxations."""
    return min(sizes[kind] * 3600 / np.mean(durations.drawn[kind]) for kind in ("label", "relax"))


def main():
    options = arguments(__doc__, labels=60, scale=0.1, simulated=400, figure="")
    machine()
    n_labels = 25 if options.quick else options.labels
    cases = [("in turn", 1, 1, True)] + [
        (f"{n} + {m}", n, m, False) for n, m in ((1, 1), (1, 2), (1, 4))
    ]
    rows, points = [], {"measured": [], "simulated": []}
    for name, relax, label, in_turn in cases:
        sizes = {"relax": relax, "label": label, "train": 1}
        rate, most = measured(n_labels, sizes, options.scale, in_turn)
        rows.append((name, rate, most, rate / most))
        points["measured"].append((0 if in_turn else label, rate, most))
    print(f"measured, {n_labels} labels, times multiplied by {options.scale:g}")
    headers = ("relax + label", "labels per hour", "pools allow", "ratio")
    table(headers, rows)
    rows = []
    for name, relax, label, in_turn in [
        *cases,
        ("4 + 8", 4, 8, False),
        ("8 + 16", 8, 16, False),
    ]:
        sizes = {"relax": relax, "label": label, "train": 1}
        rate, most = simulated(100 if options.quick else options.simulated, sizes, in_turn)
        rows.append((name, rate, most, rate / most))
        points["simulated"].append((0 if in_turn else label, rate, most))
    print(f"simulated, {options.simulated} labels")
    table(headers, rows)
    if options.figure:
        draw(points, options.figure)


def draw(points, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    ax = figure.subplots()
    for name, marker in (("measured", "s"), ("simulated", "o")):
        nodes, rates, _ = np.array([p for p in points[name] if p[0]]).T
        ax.plot(nodes, rates, marker, label=name, fillstyle="none" if marker == "s" else "full")
    nodes, _, allowed = np.array(sorted(p for p in points["simulated"] if p[0])).T
    ax.plot(nodes, allowed, "-", color="0.6", label="the pools allow")
    ax.axhline(points["simulated"][0][1], color="0.3", ls=":", label="one task after the other")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("Nodes for labels")
    ax.set_ylabel("Labels per hour")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
