"""The times on the cards of models, beside what fits take.

Each model is fitted to three sizes of spins (two values, 9 numbers in a tile) and of random numbers
(all tiles differ), by the command that the page starts, in a separate process. The time on the
card is asked for before each fit, once for a new folder (the probe of the machine alone) and once
with the runs that were made before. Compared is the time of the processor, since fits that wait for
other programs take longer; ``--elapsed`` compares the elapsed time, with the wait that the probe
sees.

    python benchmarks/model_times.py [--quick] [--models kernel,dense] [--elapsed]
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from sk_ednn import GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.runs import RunFolder, launch
from sk_ednn.runs._load import load_of_fields, n_values_of
from sk_ednn.ui._model_cards import CARDS
from sk_ednn.ui._model_times import expected, in_words, pace_of, probe

SPINS, NUMBERS = (300, 900, 2700), (20, 60, 180)


def spins(n):
    """Return fields of two values."""
    data = make_ising(n, (8, 8), random_state=1)
    return data.fields, data.energies


def numbers(n):
    """Return fields of which no tiles are equal, and sums of products of neighbours."""
    X = np.random.default_rng(1).normal(size=(n, 12, 12))
    return X, sum((X * np.roll(X, 1, axis)).sum((1, 2)) for axis in (1, 2))


def main():
    """Fit, and print a row for each fit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the smallest size alone")
    parser.add_argument("--models", default=",".join(card.name for card in CARDS))
    parser.add_argument("--elapsed", action="store_true", help="compare elapsed times")
    parser.add_argument("--limit", type=float, default=600.0, help="longest fit, in s expected")
    asked = parser.parse_args()
    tiling = GridTiling(1, 1)
    ratios, inside = [], []
    print("seconds; expected: low, likely, high of the probe | with earlier runs | taken")
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        for model in asked.models.split(","):
            for kind, make, sizes in (("spins", spins, SPINS), ("numbers", numbers, NUMBERS)):
                for n in sizes[:1] if asked.quick else sizes:
                    X, y = make(n)
                    path = place / f"{kind}{n}.npz"
                    np.savez(path, X=X, y=y)
                    load = load_of_fields(X, tiling, n_values_of(X))
                    first, later = probe(), pace_of(RunFolder(place / "runs").runs())
                    if not asked.elapsed:
                        first, later = (replace(each, wait=1.0) for each in (first, later))
                    new = expected(model, load, first)
                    known = expected(model, load, later)
                    if not new.high < 4 * asked.limit:
                        print(f"{model:10} {kind:7} {n:5}  {in_words(new)}")
                        continue
                    words = ["fit", f"{path}::X", f"{path}::y", "--model", model]
                    run = launch(place / "runs", [*words, "--focus", "1", "--context", "1"])
                    while run.status == "running":
                        time.sleep(0.1)
                    taken = run.duration
                    if not asked.elapsed:
                        taken = min(taken, float(run.resources()["cpu_s"][-1]))
                    shown = (" ".join(f"{s:6.1f}" for s in (t.low, t.likely, t.high))
                             for t in (new, known))  # fmt: skip
                    print(f"{model:10} {kind:7} {n:5}  {' | '.join(shown)} | {taken:6.1f}  "
                          f"{run.status}", flush=True)  # fmt: skip
                    ratios.append((new.likely / taken, known.likely / taken))
                    inside.append([t.low <= taken <= t.high for t in (new, known)])
    for k, name in enumerate(("probe", "with earlier runs")):
        off = np.exp(np.abs(np.log([ratio[k] for ratio in ratios])))
        print(f"{name}: likely times off by a factor of {np.median(off):.2f} (median), "
              f"{off.max():.2f} (most); {sum(pair[k] for pair in inside)} of {len(inside)} "
              f"in the range")  # fmt: skip


if __name__ == "__main__":
    main()
