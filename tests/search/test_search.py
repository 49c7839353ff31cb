"""The loop ends, whatever labellers and workers do, and resumes where it stopped."""

import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("ase_ga")
from sk_ednn.exceptions import DataWarning
from sk_ednn.search import (
    CalculatorLabeller,
    CommitteeSurrogate,
    FunctionLabeller,
    GuardedLabeller,
    Label,
    SearchStore,
    StructureSearch,
)
from sk_ednn.solvers import LossWeights
from tests.search._pairs import DISTANCE, Pairs, bound, lowest


def search(path, function=bound, surrogate=None, **more):
    surrogate = surrogate or CommitteeSurrogate(Pairs(), n_members=3)
    labeller = function if isinstance(function, GuardedLabeller) else FunctionLabeller(function)
    settings = {"n_initial": 6, "retrain_every": 4, "candidates_per_label": 2, "max_steps": 30}
    return StructureSearch(
        "Ar4", labeller, surrogate, store=path, kind="cluster", volume=14.0, **settings | more
    )


def test_the_minimum_is_found_and_a_seed_gives_one_search(tmp_path):
    one = search(tmp_path / "a.db").run(20)
    two = search(tmp_path / "b.db").run(20)
    assert one.reason == "labels" and one.n_labels == 20 == len(one.energies)
    np.testing.assert_array_equal(one.energies, two.energies)
    assert one.energy == one.energies.min() == pytest.approx(lowest(4) / 4, abs=0.01)
    other = search(tmp_path / "c.db", random_state=1).run(8)
    assert not np.array_equal(other.energies, one.energies[:8])


def test_it_ends_at_the_target(tmp_path):
    target = lowest(4) / 4 + 0.02
    result = search(tmp_path / "a.db").run(60, target=target)
    assert result.reason == "target" and result.n_labels < 60 and result.energy <= target


@pytest.mark.parametrize("kind", ["threads", "executor", "dask"])
def test_wherever_tasks_run_each_label_is_asked_for_once(tmp_path, kind):
    with_loss = search(tmp_path / "a.db", loss_weights=LossWeights(1.0))
    if kind == "threads":
        result = with_loss.run(14, n_workers=2)
    elif kind == "executor":
        with ThreadPoolExecutor(3) as pool:
            result = with_loss.run(14, pool, n_workers=2)
    else:
        distributed = pytest.importorskip("distributed")
        with distributed.Client(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as client:
            result = with_loss.run(14, client, n_workers=2)
    assert result.n_labels == 14 == len(result.energies)
    with SearchStore(tmp_path / "a.db") as store:
        assert len(store.tasks("label")) == 14
        assert store.counts() == {"queued": 0, "labelled": 14, "failed": 0}


def failing(structure):
    """Fail in all ways but hanging, for some structures by their positions."""
    kind = int(abs(structure.positions.sum()) * 1e6) % 8
    label = bound(structure)
    if kind == 0:
        raise RuntimeError("no SCF")
    if kind == 1:
        return Label(np.nan, label.forces)
    if kind == 2:
        return Label(label.energy, np.full_like(label.forces, 1000.0))
    if kind == 3:
        return Label(label.energy - 1e6, label.forces, converged=False)
    return label


def test_failed_labels_are_listed_and_never_learned(tmp_path):
    result = search(tmp_path / "a.db", failing).run(24)
    assert result.n_labels == 24 and result.reason == "labels"
    with SearchStore(tmp_path / "a.db") as store:
        failed, labelled = store.structures("failed"), store.structures("labelled")
        assert max(n for _, n, _ in store.models()) <= len(labelled)
    assert len(failed) + len(labelled) == 24 and failed
    assert all(row["why"] for row in failed)
    assert result.energy > -10  # not that of the label that did not converge


def test_a_labeller_that_always_fails_ends_the_search(tmp_path):
    result = search(tmp_path / "a.db", lambda structure: Label(np.nan)).run(9)
    assert (result.structure, result.n_labels, result.reason) == (None, 9, "labels")


def test_resume_goes_on_and_other_searches_are_refused(tmp_path):
    path = tmp_path / "a.db"
    first = search(path).run(8)
    with pytest.raises(ValueError, match="contains a search"):
        search(path).run(8)
    more = search(path).resume(12)
    assert more.n_labels == 12
    np.testing.assert_array_equal(more.energies[:8], first.energies)
    other = search(path)
    other.composition = "Ar5"
    with pytest.raises(ValueError, match=r"this one is of .*18, 18, 18, 18, 18"):
        other.resume(20)
    with pytest.raises(ValueError, match="contains no search"):
        search(tmp_path / "new.db").resume(8)


def test_labels_of_two_methods_are_not_mixed(tmp_path):
    from functools import partial

    from ase.calculators.emt import EMT
    from ase.calculators.lj import LennardJones

    def emt(calculator):
        return StructureSearch("Cu2", CalculatorLabeller(calculator), store=tmp_path / "a.db",
                               volume=12.0, n_initial=2)  # fmt: skip

    emt(EMT).run(2)
    with pytest.raises(ValueError, match=r"a\.db were made by ase.*emt\.EMT, .*lj\.LennardJones"):
        emt(LennardJones).resume(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        emt(partial(EMT)).resume(3)
        emt(lambda: EMT()).resume(4)  # which may be anything
    with pytest.warns(DataWarning, match="other settings"):
        emt(partial(EMT, fixed_cutoff=5.0)).resume(5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_workers": 1.5}, "whole number of workers"),
        ({"n_workers": True}, "whole number of workers"),
        ({"target": np.nan}, "'target' parameter of run"),
    ],
)
def test_settings_of_a_run_that_cannot_be_meant_are_refused(tmp_path, given, words):
    with pytest.raises(ValueError, match=words):
        search(tmp_path / "a.db").run(2, **given)
    assert not SearchStore(tmp_path / "a.db").counts()["labelled"]


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_a_seed_is_a_whole_number(tmp_path, seed):
    with pytest.raises(ValueError, match="'random_state' parameter of StructureSearch"):
        search(tmp_path / "a.db", random_state=seed).run(2)


def test_what_is_no_labeller_is_named(tmp_path):
    wrong = StructureSearch("Ar4", bound, store=tmp_path / "a.db", kind="cluster", volume=14.0)
    with pytest.raises(TypeError, match=r"must be an AbstractLabeller, .* got a function"):
        wrong.run(2)


@pytest.mark.parametrize("kind", ["cluster", "crystal"])
def test_a_thickness_of_what_is_not_flat_is_refused(tmp_path, kind):
    one = search(tmp_path / "a.db", thickness=2.0)
    one.kind = kind
    with pytest.raises(ValueError, match=f'thickness=2 is for .*leave it out for kind="{kind}"'):
        one.run(5)
    assert not (tmp_path / "a.db").exists()


def test_a_second_search_on_a_store_is_refused_while_the_first_one_runs(tmp_path):
    path, refused = tmp_path / "a.db", []

    def label(structure):
        if not refused:
            for again in (search(path).resume, search(path).run):
                with pytest.raises(ValueError, match=r"a\.db is the store of a search that is run"):
                    again(8)
                refused.append(again)
            with SearchStore(path) as store:  # whoever looks, or asks for something, is not
                store.command("resume")
        return bound(structure)

    assert search(path, label).run(7).n_labels == 7 and len(refused) == 2
    assert search(path).resume(8).n_labels == 8
    assert {each.name for each in tmp_path.iterdir()} == {"a.db"}  # and no lock


def test_it_stops_when_asked_and_when_nothing_is_new(tmp_path):
    with SearchStore(tmp_path / "a.db") as store:
        store.command("stop")
    assert search(tmp_path / "a.db").run(20).reason == "stopped"
    # Two atoms have one minimum: all relaxations end there.
    pair = search(tmp_path / "b.db", patience=12)
    pair.composition = "Ar2"
    assert pair.run(300).reason == "exhausted"


RUN = """
import sys, time
sys.path.insert(0, sys.argv[2])
from tests.search._pairs import bound
from tests.search.test_search import search

def slow(structure):
    time.sleep(0.05)
    return bound(structure)

search(sys.argv[1], slow).run(500, n_workers=2)
"""


def test_a_killed_search_loses_no_finished_label(tmp_path):
    path, root = tmp_path / "a.db", Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", RUN, str(path), str(root)]) as process:
        try:
            n_labelled = 0
            while process.poll() is None and n_labelled < 8:
                time.sleep(0.1)
                with SearchStore(path) as store:
                    n_labelled = store.counts()["labelled"]
        finally:
            process.send_signal(signal.SIGKILL)
    with SearchStore(path) as store:
        before = {row["id"]: row["label"].energy for row in store.structures("labelled")}
        n_asked = len(store.structures())
    assert len(before) >= 8
    result = search(path).resume(n_asked + 3)
    with SearchStore(path) as store:
        after = {row["id"]: row["label"].energy for row in store.structures("labelled")}
        assert store.counts()["queued"] == 0
    assert before.items() <= after.items()
    assert result.n_labels == n_asked + 3


def slow(structure):
    time.sleep(0.05)
    return bound(structure)


def connected(client, file, timeout):
    """Return a client of a scheduler that may still be starting."""
    end = time.monotonic() + 120
    while True:
        try:
            return client(scheduler_file=str(file), timeout=timeout)
        except (OSError, ValueError):  # the file is not there, not complete, or nobody answers
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.fixture
def scheduler(tmp_path):
    """Start a scheduler of Dask and a worker with two threads, in separate processes."""
    distributed = pytest.importorskip("distributed")
    file, started = tmp_path / "scheduler.json", []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words], cwd=Path(__file__).parents[2],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        return process

    killed = start(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file",
        str(file),
    )  # fmt: skip
    start(
        "worker", "--scheduler-file", str(file), "--nthreads", "2", "--no-nanny", "--no-dashboard",
        "--local-directory", str(tmp_path), "--death-timeout", "120",
    )  # fmt: skip
    try:
        # The time limit of a new client is that of a reconnection, too: a short one, in many tries.
        with connected(distributed.Client, file, timeout="3s") as client:
            client.wait_for_workers(1, timeout=60)
            yield client, killed
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_lost_scheduler_ends_the_search_and_costs_no_structure(tmp_path, scheduler):
    client, killed = scheduler
    path = tmp_path / "a.db"
    ended = threading.Event()

    def kill_after_five_labels():
        while not ended.wait(0.05):
            if not path.exists():
                continue
            with SearchStore(path) as store:
                if store.counts()["labelled"] >= 5:
                    killed.kill()
                    return

    thread = threading.Thread(target=kill_after_five_labels)
    thread.start()
    try:
        with pytest.raises(ConnectionError, match=r"scheduler of Dask was lost.*resume"):
            search(path, slow).run(200, client, n_workers=2)
    finally:
        ended.set()
        thread.join()
    with SearchStore(path) as store:
        kept = store.counts()
    assert kept["failed"] == 0 and 5 <= kept["labelled"] < 200 and kept["queued"] > 0
    result = search(path, slow).resume(kept["labelled"] + 4)
    assert result.n_labels >= kept["labelled"] + 4
    with SearchStore(path) as store:
        assert store.counts()["failed"] == 0 == store.counts()["queued"]


class Continuing(Pairs):
    """A member that tells how often its training was continued."""

    fits: ClassVar[list] = []

    def __init__(self, warm_start=False, random_state=None):
        super().__init__(random_state)
        self.warm_start = warm_start

    def fit(self, structures, y, **targets):
        self.n_fits_ = self.n_fits_ + 1 if self.warm_start else 1
        self.fits.append(self.n_fits_)
        return super().fit(structures, y, **targets)


@pytest.mark.parametrize("retrain", [None, {}])
def test_surrogates_continue_their_training_if_they_should(retrain, tmp_path):
    Continuing.fits.clear()
    surrogate = CommitteeSurrogate(Continuing(), n_members=3, retrain=retrain)
    search = StructureSearch(
        "Ar4", FunctionLabeller(bound), surrogate, store=tmp_path / "s.db", kind="cluster",
        volume=14.0, n_initial=6, retrain_every=4, candidates_per_label=2, max_steps=30,
    )  # fmt: skip
    search.run(18)
    n = len(Continuing.fits) // 3
    assert n > 2
    expected = range(1, n + 1) if retrain is not None else [1] * n
    assert Continuing.fits == np.repeat(expected, 3).tolist()


class Longer(Pairs):
    """Its bonds are a tenth too long, however many labels it sees."""

    def fit(self, structures, y, *, forces=None, stress=None, sample_weight=None):
        super().fit(structures, y, forces=forces)
        self.distance_ += 0.1 * DISTANCE
        return self


def test_minima_are_those_of_the_reference_method_whatever_the_surrogate(tmp_path):
    result = search(tmp_path / "a.db", surrogate=CommitteeSurrogate(Longer(), n_members=3)).run(30)
    assert result.energy == pytest.approx(lowest(4) / 4, abs=0.002)
    with SearchStore(tmp_path / "a.db") as store:
        rows = store.structures("labelled")
    best = min(rows, key=lambda row: row["label"].energy)
    # On the surrogate alone no bond would be shorter than its own.
    apart = np.linalg.norm(
        best["structure"].positions[:, None] - best["structure"].positions, axis=-1
    )
    assert apart[apart > 0].max() < 1.05 * DISTANCE


def test_labels_without_forces_are_no_obstacle(tmp_path):
    def energies(structure):
        return Label(bound(structure).energy)

    result = search(tmp_path / "a.db", energies, surrogate=CommitteeSurrogate(NoForces(), 3)).run(
        16
    )
    assert result.n_labels == 16 and result.reason == "labels"


class NoForces(Pairs):
    def fit(self, structures, y, *, forces=None, stress=None, sample_weight=None):
        self.distance_ = DISTANCE + np.random.RandomState(self.random_state).normal() / len(y)
        return self
