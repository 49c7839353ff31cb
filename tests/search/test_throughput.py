"""No node waits: labels per hour on a clock that jumps are those that the nodes allow."""

import heapq
from concurrent.futures import Future

import pytest

pytest.importorskip("ase_ga")
from sk_ednn.search import CommitteeSurrogate, FunctionLabeller, StructureSearch
from sk_ednn.search._tasks import Pools
from tests.search._pairs import Pairs, bound

SECONDS = {"label": (6.0, 14.0), "relax": (1.0, 3.8), "train": (20.0, 20.0)}


class Clock(Pools):
    """Tasks run when they are submitted; their results arrive when their time is over."""

    def __init__(self, sizes):
        super().__init__({}, sizes)
        self.time, self.ends, self.seconds = 0.0, [], {kind: [] for kind in SECONDS}

    def submit(self, kind, function, *args):
        future = Future()
        # Alternately the two durations, so that tasks overtake one another.
        seconds = SECONDS[kind][len(self.seconds[kind]) % 2]
        future.set_result((function(*args), seconds))
        self.seconds[kind].append(seconds)
        heapq.heappush(
            self.ends, (self.time + seconds, sum(map(len, self.seconds.values())), future)
        )
        return future

    def wait(self, futures, timeout):
        self.time, _, future = heapq.heappop(self.ends)
        return {future}

    def now(self):
        return self.time


def test_labels_wait_neither_for_relaxations_nor_for_training(tmp_path):
    # Relaxations take 96 % of what their nodes have: wasting some of them would show.
    relax, label = 2, 8
    pools = Clock({"relax": relax, "label": label, "train": 1})
    search = StructureSearch(
        "Ar20", FunctionLabeller(bound), CommitteeSurrogate(Pairs(), n_members=3),
        store=tmp_path / "a.db", kind="cluster", volume=14.0, n_initial=12, retrain_every=10,
        candidates_per_label=1, max_steps=2, patience=1000,
    )  # fmt: skip
    result = search.run(160, pools)
    assert result.n_labels == 160
    busy = sum(pools.seconds["label"]) / (label * pools.time)
    # The last labels end one after the other: up to 14 s of some 200 s.
    assert busy > 0.9
