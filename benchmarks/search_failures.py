"""A reference method that fails in a fifth of its calls, in six ways.

    python benchmarks/search_failures.py [--quick] [--labels 240]

A search for a cluster with four labels at a time and a limit of 2 s each. For a fifth of the
structures, by their positions, the reference method raises an error, hangs with a process that it
started, returns an energy of NaN, returns forces of 1,000 eV/Å, says that it did not converge, or
takes its process with it. Checked: the search ends after all its labels; each structure that must
fail is listed with the reason, and no other; none of them was in a training.
"""

from _measure import arguments, machine, table

import os
import subprocess
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from search_throughput import Springs, morse

from sk_ednn.search import FunctionLabeller, GuardedLabeller, Label, SearchStore, StructureSearch

REASONS = {
    "raises": "RuntimeError: no self-consistency",
    "hangs": "over the time limit",
    "NaN": "the energy is nan",
    "1,000 eV/Å": "a force of",
    "not converged": "did not converge",
    "dies": "the process of the labeller ended",
}


def fault_of(structure):
    """Return how the label of a structure fails; None for four of five structures."""
    number = zlib.crc32(np.round(structure.positions, 9).tobytes()) % (5 * len(REASONS))
    return list(REASONS)[number] if number < len(REASONS) else None


def label(structure):
    energy, forces = morse(structure)
    fault = fault_of(structure)
    if fault == "raises":
        raise RuntimeError("no self-consistency")
    if fault == "hangs":
        subprocess.run(["sleep", "3600"], check=True)
    if fault == "dies":
        os._exit(9)
    if fault == "1,000 eV/Å":
        return Label(energy - 50.0, np.full_like(forces, 1000.0))
    if fault == "NaN":
        return Label(np.nan, forces)
    return Label(energy - 50.0 if fault else energy, forces, converged=fault is None)


class Watched(Springs):
    """A surrogate that refuses what must not be learned."""

    def fit(self, structures, labels, sample_weight=None):
        faults = [fault_of(structure) for structure in structures]
        assert faults == [None] * len(faults), faults
        return super().fit(structures, labels, sample_weight)


def main():
    options = arguments(__doc__, labels=240)
    machine()
    n_labels = 60 if options.quick else options.labels
    start, processor = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        search = StructureSearch(
            "Ar10", GuardedLabeller(FunctionLabeller(label), time_limit=2.0), Watched(),
            store=path, kind="cluster", volume=14.0, candidates_per_label=2, max_steps=5,
            patience=2000,
        )  # fmt: skip
        found = search.run(n_labels, n_workers=4)
        with SearchStore(path) as store:
            failed, labelled = store.structures("failed"), store.structures("labelled")
            n_trainings = len(store.models())
    print(
        f"{found.n_labels} labels asked for, {len(labelled)} made, {len(failed)} failed, "
        f"{n_trainings} trainings; ended by: {found.reason}; {time.monotonic() - start:.0f} s, "
        f"{time.process_time() - processor:.0f} CPU s of the driver"
    )
    counts, wrong = Counter(), sum(fault_of(row["structure"]) is not None for row in labelled)
    for row in failed:
        fault = fault_of(row["structure"])
        counts[fault] += 1
        wrong += fault is None or REASONS[fault] not in row["why"]
    table(("fault", "structures", "listed as"), [(k, counts[k], v) for k, v in REASONS.items()])
    print(f"structures with a wrong entry, or learned though they failed: {wrong}")


if __name__ == "__main__":
    main()
