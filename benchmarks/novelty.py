"""Indicators of uncertainty rank the errors of sheets with more vacancies than in training.

A committee of ridges on local invariants learns sheets with at most one vacancy. Share and distance
of novel tiles, the committee's spread and the ridge's leverage are ranked against the true errors
of sheets with two to four, and a `NoveltyGuard` counts those it would warn of. ``--figure FILE``
draws the calibration of the leverage.
"""

from time import perf_counter

from _measure import arguments, machine, table

import numpy as np

from sk_ednn import EDNNCommittee
from sk_ednn.cli._demo import sheets_model
from sk_ednn.datasets import load_sheets
from sk_ednn.inspection import NoveltyDisplay
from sk_ednn.uncertainty import NoveltyGuard, error_ranking, novelty, leverage

AREA = 12.5 * 13.0  # Å², of every sheet
MOST = 1  # vacancies of a training sheet
ALARM = 0.05


def main():
    options = arguments(__doc__.splitlines()[0], train=1200, test=300, members=8, figure="")
    machine()
    n, n_test, members = options.train, options.test, options.members
    if options.quick:
        n, n_test, members = 250, 60, 3
    sheets = load_sheets()
    rng = np.random.default_rng(0)
    few = rng.permutation(np.flatnonzero(sheets.n_vacancies <= MOST))
    more = rng.permutation(np.flatnonzero(sheets.n_vacancies > MOST))[:n_test]
    n_seen = round(1.25 * n)
    seen, like = few[:n_seen], few[n_seen : n_seen + n_test]
    chosen_of = {"like": like, "more": more}

    # A fifth of the data is held back from the fit and sets the threshold.
    model = sheets_model()
    model.steps[-1] = ("committee", EDNNCommittee(model[-1], members, random_state=0))
    guard = NoveltyGuard(model, indicator="leverage", alarm_rate=ALARM, random_state=0)
    start = perf_counter()
    guard.fit([sheets.structures[k] for k in seen], sheets.energies[seen])
    model, train = guard.estimator_, np.delete(seen, guard.held_out_)
    known = [sheets.structures[k] for k in train]
    print(f"{members} members fitted to {len(train):,} sheets of at most {MOST} vacancy: "
          f"{perf_counter() - start:.0f} s\n")  # fmt: skip

    rows, alarms = [], []
    for name, chosen in chosen_of.items():
        asked = [sheets.structures[k] for k in chosen]
        error = 1e3 * (model.predict(asked) - sheets.energies[chosen]) / AREA
        found = novelty(model, known, asked, random_state=0)
        found["leverage"] = leverage(model, known, asked)
        n_vacancies = sheets.n_vacancies[chosen]
        for label, own in (
            ("all", np.full(len(chosen), True)),
            *((f"{k} vacancies", n_vacancies == k) for k in np.unique(n_vacancies)),
        ):
            ranks = [error_ranking(found[k][own], error[own]).spearman for k in INDICATORS]
            off = np.abs(error[own])
            rows.append([name, label, int(own.sum()), off.mean(), error[own].mean(), *ranks])
        alarms.append([name, float(guard.novelty(asked).novel.mean())])
        best = error_ranking(found["leverage"], error)
        print(f"{name}: mean error of each fifth by leverage, meV/Å²:",
              " ".join(f"{e:.2f}" for e in best.bin_error))  # fmt: skip
    print()
    table(["sheets", "", "n", "mean", "bias", *INDICATORS], rows)
    print(f"\nerrors in meV/Å²; then Spearman correlations. Named at alarm_rate={ALARM}:")
    table(["sheets", "share named"], alarms)
    if options.figure:
        display = NoveltyDisplay.from_predictions(
            np.sqrt(found["leverage"]), error, label="root of the leverage", unit="meV Å⁻²"
        )
        display.figure_.savefig(options.figure, dpi=100)
    if not options.quick:
        rank = rows[[row[:2] for row in rows].index(["more", "all"])][5:]
        assert max(rank) >= 0.5, rank


INDICATORS = ("share", "distance", "spread", "leverage")

if __name__ == "__main__":
    main()
