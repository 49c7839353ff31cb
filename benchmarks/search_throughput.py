"""Structures labelled per hour, against what the pools allow.

    python benchmarks/search_throughput.py [--quick] [--labels 150] [--scale 0.1]
        [--simulated 400] [--figure FILE] [--no-clock]

Labels sleep like small DFT calculations: lognormal with a median of 8 s and limits of 2 and 30 s,
relaxations with a median of 4 s, trainings for 20 s. A label needs one relaxation. Measured:
threads, with all times multiplied by ``--scale``. Simulated: the same driver on a clock that jumps
to the next task's end, on up to 16 nodes, also with relaxations ten times shorter, as one node
that feeds eight or sixteen needs them (``--no-clock`` does only this). "In turn" is one task after
the other. The first labels, before the first training, are random starts in all.

The pools allow as many labels per hour as the slower of two lists of work permits: the same labels
on the nodes for labels, each begun as soon as one is free, the last ones included; and the same
relaxations on the nodes for relaxations, those that found known structures included.
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

    def __init__(self, seed=0, shorter=1.0):
        self.shorter = shorter  # relaxations, by this factor
        self._rng = {kind: np.random.RandomState(seed + k) for k, kind in enumerate(KINDS)}
        self.drawn = {kind: [] for kind in KINDS}

    def draw(self, kind):
        seconds = MEDIANS[kind] * np.exp(SPREADS[kind] * self._rng[kind].normal())
        if kind == "label":
            seconds = float(np.clip(seconds, *LIMITS))
        if kind == "relax":
            seconds /= self.shorter
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
            "Ar20", FunctionLabeller(lambda s: Label(*morse(s))), Springs(),
            store=Path(folder) / "s.db", kind="cluster", volume=14.0, n_initial=20,
            retrain_every=20, candidates_per_label=1, max_steps=3, patience=2000,
            random_state=seed,
        )  # fmt: skip
        return search.run(n_labels, pools)


def simulated(n_labels, sizes, in_turn=False, shorter=1.0):
    """Return labels per hour, how many the pools allow, and relaxations per label."""
    durations = Durations(shorter=shorter)
    pools = Simulated(sizes, durations, in_turn)
    found = searched(pools, n_labels)
    return judged(found.n_labels, pools.clock, sizes, durations, in_turn)


def measured(n_labels, sizes, scale, in_turn=False):
    from concurrent.futures import ThreadPoolExecutor

    durations = Durations()
    executors = {kind: InTurn() if in_turn else ThreadPoolExecutor(n) for kind, n in sizes.items()}
    start = time.monotonic()
    found = searched(Sleeping(executors, sizes, durations, scale), n_labels)
    seconds = (time.monotonic() - start) / scale
    return judged(found.n_labels, seconds, sizes, durations, in_turn)


def judged(n_labels, seconds, sizes, durations, in_turn):
    least = [elapsed(durations.drawn[kind], sizes[kind]) for kind in ("label", "relax")]
    if in_turn:
        least = [sum(sum(drawn) for drawn in durations.drawn.values())]
    relaxations = len(durations.drawn["relax"]) / n_labels
    return 3600 * n_labels / seconds, 3600 * n_labels / max(least), relaxations


def elapsed(durations, n_nodes):
    """Return the seconds in which nodes that never wait finish tasks, in their order."""
    free = [0.0] * n_nodes
    for seconds in durations:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def main():
    options = arguments(__doc__, labels=150, scale=0.1, simulated=400, figure="", no_clock=False)
    machine()
    n_labels = 25 if options.quick else options.labels
    cases = [("in turn", 1, 1, True)] + [
        (f"{n} + {m}", n, m, False) for n, m in ((1, 1), (1, 2), (2, 4))
    ]
    points = {"measured": [], "simulated": [], "short relaxations": []}
    if not options.no_clock:
        rows = []
        for case in cases:
            add(case, points["measured"], rows, measured, n_labels, scale=options.scale)
        print(f"measured, {n_labels} labels, times multiplied by {options.scale:g}")
        table(HEADERS, rows)
    n_labels = 100 if options.quick else options.simulated
    more = [("4 + 8", 4, 8, False), ("8 + 16", 8, 16, False)]
    rows = []
    for case in [*cases, *more]:
        add(case, points["simulated"], rows, simulated, n_labels)
    print(f"simulated, {n_labels} labels")
    table(HEADERS, rows)
    rows = []
    few = [("1 + 4", 1, 4, False), ("1 + 8", 1, 8, False), ("2 + 16", 2, 16, False)]
    for case in [*cases[:3], *few]:
        add(case, points["short relaxations"], rows, simulated, n_labels, shorter=10.0)
    print(f"simulated, {n_labels} labels, relaxations ten times shorter")
    table(HEADERS, rows)
    if options.figure:
        draw(points, options.figure)


HEADERS = ("relax + label", "labels per hour", "pools allow", "ratio", "relaxations per label")


def add(case, points, rows, rate_of, n_labels, **more):
    name, relax, label, in_turn = case
    sizes = {"relax": relax, "label": label, "train": 1}
    rate, most, relaxations = rate_of(n_labels, sizes, in_turn=in_turn, **more)
    rows.append((name, rate, most, rate / most, relaxations))
    points.append((0 if in_turn else label, rate, most))


def draw(points, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.8, 3.2), layout="constrained")
    for ax, names, title in zip(
        figure.subplots(1, 2, sharey=True),
        (("measured", "simulated"), ("short relaxations",)),
        ("One relaxation node for two labels", "Relaxations ten times shorter"),
        strict=True,
    ):
        for name, marker in zip(names, ("s", "o") if len(names) == 2 else ("o",), strict=True):
            if not points[name]:
                continue
            nodes, rates, _ = np.array([p for p in points[name] if p[0]]).T
            fill = "none" if marker == "s" else "full"
            label = "simulated" if name != "measured" else name
            ax.plot(nodes, rates, marker, label=label, fillstyle=fill, color="C0")
        nodes, _, allowed = np.array(sorted(p for p in points[names[-1]] if p[0])).T
        ax.plot(nodes, allowed, "-", color="0.6", label="the pools allow")
        ax.axhline(points[names[-1]][0][1], color="0.3", ls=":", label="one task after the other")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        ax.set_xlabel("Nodes for labels")
        ax.set_title(title, fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("Labels per hour")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
