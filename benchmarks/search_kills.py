"""Kill a search, its labels and copies of its file again and again.

    python benchmarks/search_kills.py [--quick] [--kills 50]

A search for a cluster runs in a forked process, with two labels at a time. Soon after it has made a
new label, a third of the kills each: SIGKILL for the driver; for a child with a label, then for the
driver and its children; or for the driver after its file was copied while it wrote (the log first,
so that pages may not belong together) and up to 5 kB of the copied log's end were cut off.
Checked after each kill: labels that were in the file are there with the same numbers; a copy has
a beginning of the same history. Checked at the end: no structure has two labels, labels that were
made are in the file but for those that ran at a kill, and the lowest energy is no higher than
before.
"""

from _measure import arguments, machine

import os
import multiprocessing
import shutil
import signal
import tempfile
import time
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


def drive(path, n_labels, in_children):
    one = search(path, path.with_suffix(".log"), in_children)
    begun = path.exists()
    if begun:
        with SearchStore(path) as store:
            begun = store.get("search") is not None
    (one.resume if begun else one.run)(n_labels, n_workers=2)


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


def main():
    options = arguments(__doc__, kills=50)
    machine()
    rng = np.random.default_rng(0)
    kills = 6 if options.quick else options.kills
    counts = {"driver": 0, "label": 0, "copy": 0}
    lost = mixed = running = 0
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        for kill in range(kills):
            kind = list(counts)[kill % 3]
            before = labels_in(path) if path.exists() else {}
            process = fork.Process(target=drive, args=(path, 10**6, kind == "label"))
            process.start()
            end = time.monotonic() + 120
            while time.monotonic() < end and process.is_alive():
                time.sleep(0.05)
                if path.exists() and len(labels_in(path)) > len(before):
                    break
            time.sleep(float(rng.uniform(0.0, 0.3)))
            at_kill = labels_in(path)
            if kind == "label":
                victims = children(process.pid)
                if victims:
                    os.kill(victims[rng.integers(len(victims))].pid, signal.SIGKILL)
                time.sleep(0.3)
            elif kind == "copy":
                copy = copied(path, rng)
            rest = children(process.pid)
            process.kill()
            process.join()
            for child in rest:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            counts[kind] += 1
            after = labels_in(path)
            lost += sum(after.get(k) != v for k, v in at_kill.items())
            with SearchStore(path) as store:
                running += store.counts()["queued"]
            if kind == "copy":
                part = labels_in(copy / path.name)
                mixed += any(after.get(k) != v for k, v in part.items())
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
