"""Kill a search, its labels, its cluster and copies of its file again and again.

    python benchmarks/search_kills.py [--quick] [--kills 50]

A search for a cluster of atoms runs in a process, with two labels at a time. Soon after it has made
a new label, a fifth of the kills each: SIGKILL for the driver; for a child with a label, then for
the driver and its children; for the driver after its file was copied while it wrote (the log first,
so that pages may not belong together) and up to 5 kB of the copied log's end were cut off; for a
worker of Dask, then for the driver; for the scheduler of Dask, then for all.
Checked after each kill: labels that were in the file are there with the same numbers; a copy has
a beginning of the same history. Checked at the end: no structure has two labels, labels that were
made are in the file but for those that ran at a kill, none failed, and the lowest energy is no
higher than before.
"""

from _measure import arguments, machine

import os
import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from search_throughput import Springs, morse

from sk_ednn.search import FunctionLabeller, GuardedLabeller, Label, SearchStore, StructureSearch


def search(path, log, in_children=False):
    def label(structure):
        time.sleep(0.02)
        energy, forces = morse(structure)
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{structure.positions.tobytes().hex()}\n")
        return Label(energy, forces)

    return StructureSearch(
        "Ar8", GuardedLabeller(FunctionLabeller(label), time_limit=60.0 if in_children else None),
        Springs(), store=path,
        kind="cluster", volume=14.0, n_initial=6, retrain_every=4, candidates_per_label=1,
        max_steps=3, patience=1000,
    )  # fmt: skip


def drive(path, n_labels, in_children, address):
    one = search(path, path.with_suffix(".log"), in_children)
    begun = path.exists()
    if begun:
        with SearchStore(path) as store:
            begun = store.get("search") is not None
    client = None
    if address is not None:
        from distributed import Client

        client = Client(address)
    (one.resume if begun else one.run)(n_labels, client, n_workers=2)


@contextmanager
def cluster(folder):
    """Start a scheduler and two workers of Dask; yield the address, and their processes."""
    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": here}

    def start(*words):
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words], env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    scheduler = start(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--scheduler-file", str(file),
    )  # fmt: skip
    workers = [
        start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard",
              "--local-directory", str(folder / "dask"), "--death-timeout", "60")
        for _ in range(2)
    ]  # fmt: skip
    try:
        while not file.exists():
            time.sleep(0.1)
        from distributed import Client

        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2)
            address = client.scheduler.address
        yield address, scheduler, workers
    finally:
        for process in (scheduler, *workers):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def labels_in(path):
    with SearchStore(path) as store:
        rows = store.structures("labelled")
    return {row["id"]: (row["label"].energy, row["structure"].positions.tobytes()) for row in rows}


def children(pid):
    import psutil

    return psutil.Process(pid).children(recursive=True)


def copied(path, rng):
    """Copy the file and its log while they are written, and tear the end of the log."""
    folder = path.parent / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    # The log first: a checkpoint in between may lose the newest labels, but not mix pages.
    for name in (f"{path.name}-wal", path.name):
        if (path.parent / name).exists():
            shutil.copy(path.parent / name, folder / name)
    log = folder / f"{path.name}-wal"
    if log.exists() and log.stat().st_size > 5000:
        os.truncate(log, log.stat().st_size - int(rng.integers(1, 5000)))
    return folder


def kill_one(path, folder, kind, before, rng):
    """Start or resume the search, kill a part of it, then the rest.

    Returns
    -------
    at_kill : dict
        Labels in the file before the kill.
    copy : Path or None
        Folder with a copy that was made before it.
    """
    with cluster(folder) if kind in ("worker", "scheduler") else nothing() as (address, *parts):
        context = multiprocessing.get_context("fork" if address is None else "spawn")
        process = context.Process(target=drive, args=(path, 10**6, kind == "label", address))
        process.start()
        end = time.monotonic() + 120
        while time.monotonic() < end and process.is_alive():
            time.sleep(0.05)
            if path.exists() and len(labels_in(path)) > len(before):
                break
        time.sleep(float(rng.uniform(0.0, 0.3)))
        at_kill, copy = labels_in(path), None
        if kind == "label":
            victims = children(process.pid)
            if victims:
                os.kill(victims[rng.integers(len(victims))].pid, signal.SIGKILL)
            time.sleep(0.3)
        elif kind == "copy":
            copy = copied(path, rng)
        elif kind == "worker":
            # The process that computes; its nanny starts another one.
            os.kill(children(parts[1][rng.integers(2)].pid)[-1].pid, signal.SIGKILL)
            time.sleep(2.0)
        elif kind == "scheduler":
            parts[0].kill()
            time.sleep(2.0)
        rest = children(process.pid)
        process.kill()
        process.join()
        for child in rest:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    return at_kill, copy


@contextmanager
def nothing():
    yield (None,)


def main():
    options = arguments(__doc__, kills=50)
    machine()
    rng = np.random.default_rng(0)
    kills = 5 if options.quick else options.kills
    counts = dict.fromkeys(("driver", "label", "copy", "worker", "scheduler"), 0)
    lost = mixed = running = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        for kill in range(kills):
            kind = list(counts)[kill % len(counts)]
            before = labels_in(path) if path.exists() else {}
            at_kill, copy = kill_one(path, Path(folder), kind, before, rng)
            counts[kind] += 1
            after = labels_in(path)
            lost += sum(after.get(k) != v for k, v in at_kill.items())
            with SearchStore(path) as store:
                running += store.counts()["queued"]
            if copy is not None:
                part = labels_in(copy / path.name)
                mixed += any(after.get(k) != v for k, v in part.items())
            print(f"{kind}: {len(at_kill)} labels, {len(after)} after", flush=True)
        best = min(energy for energy, _ in after.values())
        with SearchStore(path) as store:
            n_asked = len(store.structures())
        found = search(path, path.with_suffix(".log")).resume(n_asked + 10)
        made = path.with_suffix(".log").read_text(encoding="utf-8").split()
        with SearchStore(path) as store:
            rows, failed = store.structures("labelled"), store.structures("failed")
    places = [row["structure"].positions.tobytes() for row in rows]
    print(f"{sum(counts.values())} kills: {counts}")
    print(f"{len(rows)} labels, {len(failed)} failed; ended by: {found.reason}")
    print(f"finished labels lost or changed: {lost}; copies that mix states: {mixed}")
    print(f"structures with two labels: {len(places) - len(set(places))}")
    again = len(made) - len(set(made))
    print(f"labels computed again: {again}; that ran at the time of a kill: {running}")
    print(f"lowest energy at the last kill {best:.4f}, at the end {found.energy * 8:.4f} eV")
    for row in failed[:5]:
        print("failed:", row["why"])


if __name__ == "__main__":
    main()
