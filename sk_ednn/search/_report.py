"""Report a search on one page: energies, hull, best structures, committee, operators, timings."""

from __future__ import annotations

import warnings
from collections import Counter
from datetime import datetime

import numpy as np

from ..inspection._plot._style import COLOURS, GREY, INK
from ..report import FitReport
from ..report._figures import Drawn
from ..report._page import Value, figure, figures, note, number, page, section, sections, table
from ..report._svg import drawing, require_matplotlib
from ..structures._elements import symbol
from ._fingerprint import Fingerprint
from ._hull import ConvexHull

# Energies above the lowest one by more are not shown: random starts would flatten the rest.
_SHOWN = 1.5  # eV per atom
_N_DRAWN = 4
_N_FAILURES = 50


def search_report(store, title=None) -> FitReport:
    """Report on a search on one page, also while it is running.

    The page shows energies against calls of the reference method, the convex hull if there are
    several compositions, drawings of the best distinct structures, the spread of the committee
    against its errors, calls for each operator, timings for each pool, and failures with reasons.

    Parameters
    ----------
    store : SearchStore
    title : str, default=None
        None for the compositions.

    Returns
    -------
    FitReport
        With ``numbers`` and ``html``; `save` writes the page.

    Raises
    ------
    ValueError
        If the file contains no search.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.search import CalculatorLabeller, SearchStore, StructureSearch, search_report
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "copper.db"
    ...     search = StructureSearch("Cu", CalculatorLabeller(EMT), store=path, n_initial=10)
    ...     result = search.run(10)
    ...     with SearchStore(path) as store:
    ...         report = search_report(store)
    >>> report.numbers["labels"]
    {'queued': 0, 'labelled': 10, 'failed': 0}
    """
    require_matplotlib()
    identity = store.get("search")
    if identity is None:
        raise ValueError(f"{store.path} contains no search.")
    rows = store.structures()
    n_fixed = len(identity.get("substrate", []))
    labelled = [row for row in rows if row["label"] is not None]
    for row in labelled:
        row["per_atom"] = row["label"].energy / len(row["structure"].numbers)
        row["moving"] = row["structure"].numbers[n_fixed:].tolist()
    timings = _timings(store)
    numbers = {
        "labels": store.counts(),
        "lowest": min((row["per_atom"] for row in labelled), default=None),
        "operators": _operators(rows),
        "timings": timings,
        "failures": [(row["id"], row["why"]) for row in rows if row["state"] == "failed"],
        "hull": [],
    }
    formulas = [_formula(one) for one in _compositions(identity)]
    what = formulas[0] if len(formulas) == 1 else f"{formulas[0]} … {formulas[-1]}"
    parts = []
    with drawing():
        if labelled:
            parts += [section("Energies", figures(figure(_draw_energies(rows), "energies")))]
            if len(formulas) > 1:
                hull, drawn = _hull(labelled, identity)
                numbers["hull"] = hull
                rows_of_hull = [(name, Value(energy), number_) for name, energy, number_ in hull]
                header = ("Composition", "Energy (eV per atom)", "Structure")
                shown = [] if drawn is None else [figures(figure(drawn, "hull"))]
                parts += [section("Convex hull", *shown, table(rows_of_hull, header))]
            parts += [section("Best structures", *_best(labelled, n_fixed))]
        parts += sections("Committee", _committee(store, labelled))
    header = ("Operator", "Labels", "Failed", "New lowest energies")
    counts = [(name, *map(Value, values)) for name, values in numbers["operators"].items()]
    shown = table(counts, header) if counts else note("No structure has been made.")
    parts += [section("Operators", shown)]
    header = ("Tasks", "Number", "Sum (s)", "Median (s)", "Longest (s)", "At a time")
    times = [(name, *map(Value, values)) for name, values in timings.items()]
    parts += [section("Timings", table(times, header) if times else note("No task has ended."))]
    parts += sections("Failures", _failures(numbers["failures"]))
    html = page(
        title or f"Search for {what}",
        f"A structure search ({identity['kind']}) in {store.path.name}.",
        _cards(numbers),
        parts,
        f"Written on {datetime.now().astimezone():%d %B %Y, %H:%M %Z}.",
    )
    return FitReport(numbers, html)


def _cards(numbers) -> list:
    counts = numbers["labels"]
    lowest = numbers["lowest"]
    return [
        ("Lowest energy", "–" if lowest is None else number(lowest, "eV per atom", 6)),
        ("Calls", number(counts["labelled"] + counts["failed"])),
        ("Failed", number(counts["failed"])),
    ]


def _compositions(identity) -> list:
    numbers = identity["numbers"]
    return numbers if isinstance(numbers[0], list) else [numbers]


def _formula(numbers) -> str:
    counts = Counter(numbers)
    return "".join(symbol(z) + (str(n) if n > 1 else "") for z, n in sorted(counts.items()))


# --- numbers --------------------------------------------------------------------------------------


def _operators(rows) -> dict:
    """Return, for each operator, labels, failed ones and how often it lowered the lowest energy."""
    by_operator: dict = {}
    lowest: dict = {}
    for row in rows:
        counts = by_operator.setdefault(row["origin"], [0, 0, 0])
        counts[0] += row["label"] is not None
        counts[1] += row["state"] == "failed"
        if row["label"] is not None:
            key = tuple(sorted(row["structure"].numbers.tolist()))
            counts[2] += row["per_atom"] < lowest.get(key, np.inf)
            lowest[key] = min(row["per_atom"], lowest.get(key, np.inf))
    return {name: tuple(values) for name, values in by_operator.items()}


def _timings(store) -> dict:
    """Return, for each kind of task: number, sum, median, longest, and how many ran at a time."""
    by_kind: dict = {}
    tasks = [task for task in store.tasks() if task[3] is not None]
    if not tasks:
        return by_kind
    span = max(task[2] for task in tasks) - min(task[1] for task in tasks)
    for kind in dict.fromkeys(task[0] for task in tasks):
        seconds = np.array([task[3] for task in tasks if task[0] == kind])
        at_a_time = seconds.sum() / span if span > 0 else float("nan")
        by_kind[kind] = (
            len(seconds), float(seconds.sum()), float(np.median(seconds)), float(seconds.max()),
            float(at_a_time),
        )  # fmt: skip
    return by_kind


# --- parts of the page ----------------------------------------------------------------------------


def _axes(width=7.2, height=3.2, columns=1):
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    axes = drawn.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return drawn, axes


def _draw_energies(rows) -> Drawn:
    drawn, (ax,) = _axes()
    labelled = [(k + 1, row) for k, row in enumerate(rows) if row["label"] is not None]
    calls = np.array([k for k, _ in labelled])
    energies = np.array([row["per_atom"] for _, row in labelled])
    is_start = np.array([row["origin"] == "start" for _, row in labelled])
    for chosen, colour, label in ((is_start, GREY, "random"), (~is_start, COLOURS[0], "selected")):
        if chosen.any():
            ax.plot(calls[chosen], energies[chosen], "o", ms=3.5, color=colour, label=label)
    ax.step(calls, np.minimum.accumulate(energies), where="post", color=INK, label="lowest so far")
    low = energies.min()
    top = min(max(energies.max(), low + 1e-3), low + _SHOWN)
    ax.set_ylim(low - 0.05 * (top - low), top + 0.05 * (top - low))
    ax.set_xlabel("Calls of the reference method")
    ax.set_ylabel("Energy (eV per atom)")
    ax.legend(frameon=False)
    n_above = int(np.sum(energies > top))
    above = f" {n_above} energies above the axis are not shown." if n_above else ""
    caption = f"Energies in the order in which structures were chosen.{above}"
    return Drawn(drawn, caption, "Energies of labelled structures against calls.")


def _hull(labelled, identity):
    elements = sorted({z for one in _compositions(identity) for z in one})
    counts = np.array([[row["moving"].count(z) for z in elements] for row in labelled])
    energies = np.array([row["per_atom"] for row in labelled])
    hull = ConvexHull(counts, energies)
    on = hull.vertices()
    points = [(_formula(labelled[k]["moving"]), float(energies[k]), labelled[k]["id"]) for k in on]
    if len(elements) != 2:
        return points, None
    shares = counts[:, 1] / counts.sum(axis=1)
    ends = [energies[shares == x].min() if np.any(shares == x) else np.nan for x in (0.0, 1.0)]
    if np.isnan(ends).any():
        ends, what = [0.0, 0.0], "Energy (eV per atom)"
    else:
        what = "Formation energy (eV per atom)"
    formation = energies - (1 - shares) * ends[0] - shares * ends[1]
    drawn, (ax,) = _axes(5.0, 3.4)
    order = sorted(on, key=lambda k: shares[k])
    ax.plot(shares, formation, "o", ms=3, color=GREY, label="labelled")
    ax.plot(shares[order], formation[order], "o-", color=COLOURS[0], label="hull")
    low = formation.min()
    high = min(formation.max(), max(0.0, low) + 0.5)
    ax.set_ylim(low - 0.05 * (high - low) - 1e-3, high + 1e-3)
    ax.set_xlabel(f"Share of {symbol(elements[1])}")
    ax.set_ylabel(what)
    ax.legend(frameon=False)
    return points, Drawn(
        drawn, "Labelled structures and their lower convex hull.", "Energies over compositions."
    )


def _best(labelled, n_fixed) -> list:
    """Draw the best distinct structures; of several compositions, the best of each first."""
    fingerprint = Fingerprint(sorted({z for r in labelled for z in r["structure"].numbers}))
    chosen, fingerprints, seen = [], [], set()
    ordered = sorted(labelled, key=lambda row: row["per_atom"])
    several = len({tuple(row["moving"]) for row in labelled}) > 1
    for row in ordered:
        key = tuple(row["moving"])
        if several and key in seen:
            continue
        one = fingerprint(row["structure"])
        if any(Fingerprint.distance(one, other) < 0.01 for other in fingerprints):
            continue
        chosen.append(row)
        fingerprints.append(one)
        seen.add(key)
        if len(chosen) == _N_DRAWN:
            break
    header = ("Structure", "Composition", "Energy (eV per atom)", "Volume (Å³ per atom)", "Group")
    listed = [
        (
            str(row["id"]), _formula(row["moving"]), Value(row["per_atom"]),
            Value(_volume(row["structure"])), _group(row["structure"]),
        ) for row in chosen
    ]  # fmt: skip
    return [figures(figure(_draw_structures(chosen), "structures")), table(listed, header)]


def _volume(structure) -> float:
    if not np.all(structure.pbc):
        return float("nan")
    return abs(float(np.linalg.det(structure.cell))) / len(structure.numbers)


def _group(structure) -> str:
    """Return the symbol of the space group of a crystal within 0.1 Å; a dash for others."""
    if not np.all(structure.pbc):
        return "–"
    try:
        import spglib
    except ImportError:
        return "spglib is not installed"
    scaled = np.linalg.solve(structure.cell.T, structure.positions.T).T
    cell = structure.cell.tolist(), scaled.tolist(), structure.numbers.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of spglib, about itself
        name = spglib.get_spacegroup(cell, symprec=0.1)
    return name or "–"


def _draw_structures(rows) -> Drawn:
    from ase.visualize.plot import plot_atoms

    from ._ase import to_atoms

    drawn, axes = _axes(1.9 * len(rows) + 0.2, 2.3, len(rows))
    for ax, row in zip(axes, rows, strict=True):
        atoms = to_atoms(row["structure"])
        repeats = [2 if repeats and len(atoms) <= 16 else 1 for repeats in atoms.pbc]
        plot_atoms(atoms.repeat(repeats), ax, rotation="-80x,12y,0z", radii=0.45)
        ax.set_title(f"{row['id']}: {row['per_atom']:.4f} eV", fontsize=9)
        ax.set_axis_off()
    return Drawn(
        drawn, "The best distinct structures; small cells are drawn twice along each period.",
        "Atoms of the best structures.",
    )  # fmt: skip


def _committee(store, labelled):
    predicted = [row for row in labelled if row["predicted"] is not None and row["std"]]
    models = store.models()
    if not predicted or not models:
        return None
    drawn, (left, right) = _axes(7.2, 3.2, 2)
    sizes = np.array([len(row["structure"].numbers) for row in predicted])
    spread = np.array([row["std"] for row in predicted]) / sizes
    error = np.array([abs(r["predicted"] - r["label"].energy) for r in predicted]) / sizes
    left.loglog(spread, np.maximum(error, 1e-6), "o", ms=3.5, color=COLOURS[0])
    ends = np.array([spread.min(), spread.max()])
    left.loglog(ends, ends, color=GREY)
    left.set_xlabel("Spread σ when selected (eV per atom)")
    left.set_ylabel("Error (eV per atom)")
    n_labels = [n for _, n, _ in models]
    quantiles = np.array([errors for *_, errors in models])
    right.fill_between(n_labels, quantiles[:, 0], quantiles[:, 2], color=COLOURS[0], alpha=0.2)
    right.plot(n_labels, quantiles[:, 1], "o-", ms=3, color=COLOURS[0])
    right.set_yscale("log")
    right.set_xlabel("Labels")
    right.set_ylabel("Held-out error (eV per atom)")
    share = float(np.mean(error < 2 * spread))
    caption = (
        f"Left: {share:.0%} of the errors are below 2σ. Right: median of the held-out errors of "
        "each surrogate, and the range of eight tenths of them."
    )
    return figures(figure(Drawn(drawn, caption, "Errors of the surrogate."), "committee"))


def _failures(failures):
    if not failures:
        return None
    shown = [(str(k), why) for k, why in failures[:_N_FAILURES]]
    more = len(failures) - len(shown)
    caption = f"{more} more are in the file." if more else None
    return table(shown, ("Structure", "Reason"), caption)
