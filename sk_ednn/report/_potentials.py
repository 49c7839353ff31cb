"""One page on a potential: parity of energies, forces and stresses, and the worst structures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..atoms._potential_committee import members_of
from ..atoms._potential_errors import GPA, table_of
from ..atoms._potential_verdict import judged
from ..atoms._structure_errors import NOVEL, Measured, measured, parts_by_novelty
from ..structures._elements import symbol
from . import _figures, _numbers, _page, _sections, _trust
from ._page import Value, number
from ._result import FitReport
from ._svg import drawing, require_matplotlib

TRAINING, HELD_BACK = _sections.TRAINING, _sections.HELD_BACK
# Rows of tables, and points of a figure.
_WORST, _GROUPS, _STRUCTURES, _POINTS = 10, 20, 1_000, 20_000
# Means over groups of fewer structures say little.
_LARGE = 5
# Parameters of a potential that are those of its trainer, if all are None.
_LIMITS = ("max_epochs", "max_seconds")
_KINDS = (("energy", "energies", "meV/atom"), ("force", "forces", "meV/Å"),
          ("stress", "stresses", "GPa"))  # fmt: skip


def potential_report(
    potential, structures, *, test=None, title=None, about=None, names=None, groups=None
):
    """Report on one page how a potential was fitted and how accurate it is.

    The page contains the labels that were read, the errors of energies, forces and stresses in
    meV/atom, meV/Å and GPa, also of structures with novel atoms and of others, a verdict, their
    parity, errors beside intervals, by composition, by number of atoms and by group, those of each
    structure that was held out with its interval and novelty, and the curve of the training.

    Parameters
    ----------
    potential : EDNNPotential
        Fitted.
    structures : sequence of structures or names of files, or a name
        Training structures, with their labels.
    test : the same, default=None
        Structures held out from the fit.
    title : str, default=None
    about : dict of str to str, default=None
        Further rows of the page, by name.
    names : dict of str to sequence of str, default=None
        Name of each structure of the parts "training" and "held back", such as its file and index
        there. None for those of files that are read, or the index.
    groups : dict of str to sequence, default=None
        Kind or origin of each structure of these parts, by which errors are shown, too.

    Returns
    -------
    FitReport
        ``numbers["errors"]`` has the errors of each part, as `EDNNPotential.errors` returns them.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    check_is_fitted(potential)
    given = {TRAINING: structures} | ({} if test is None else {HELD_BACK: test})
    parts = {
        which: measured(
            potential, some, places=(names or {}).get(which), novelty=which == HELD_BACK
        )
        for which, some in given.items()
    }
    return report_of(potential, parts, title=title, about=about, groups=groups)


def report_of(potential, parts, *, title=None, about=None, groups=None):
    """Return the report of a potential whose errors were measured; see `potential_report`.

    Parameters
    ----------
    potential : EDNNPotential
    parts : dict of str to Measured
        Of the parts "training" and, if there is one, "held back", with its novelty.
    title, about, groups
        As in `potential_report`.
    """
    require_matplotlib()
    shown_as = HELD_BACK if HELD_BACK in parts else TRAINING
    shown = parts[shown_as]
    found = judged(potential, parts[TRAINING], parts.get(HELD_BACK))
    as_shown = {"train": TRAINING, "test": HELD_BACK}
    numbers: dict[str, Any] = {
        "errors": {as_shown[which]: errors for which, errors in found.errors.items()},
        "labels": {which: part.data.labels for which, part in parts.items()},
        "versions": _numbers.versions(),
        "verdict": found.verdict,
    }
    numbers |= {} if found.step is None else {"next": found.step}
    of_novel = parts_by_novelty(found.by_novelty, HELD_BACK)
    numbers |= {"by novelty": of_novel} if of_novel else {}
    of_parts = {as_shown[which]: spread for which, spread in found.spreads.items()}
    numbers["by composition"] = _rows_by(shown, shown.formulas())
    numbers["by number of atoms"] = _rows_by(shown, shown.data.structures.sizes)
    if groups is not None:
        numbers["by group"] = _rows_by(shown, groups[shown_as])
    numbers["structures"] = _rows_of(shown)
    trust = _trust.of(potential, shown)
    with drawing():
        sections = [
            _page.section("Data", _data(parts)),
            _page.section(
                "Errors",
                *_verdict(found),
                *_errors({**numbers["errors"], **of_novel}, of_parts),
                _parity(parts),
            ),
            _page.section("Where it errs", *_where(numbers, shown_as, trust)),
            *_page.sections("Training", _training(potential.history_)),
            _page.section("Model", _model(potential)),
            _page.section("How it was made", *_sections.provenance(about, numbers["versions"])),
        ]
    errors, n = numbers["errors"][shown_as], len(parts[shown_as].data.places)
    summary = ", ".join(
        f"{names} by {number(errors[f'{kind}_mae'], unit, 3)}"
        for kind, names, unit in _KINDS
        if f"{kind}_mae" in errors
    )
    lead = f"On {n:,} structures held back it errs in the mean: {summary}."
    if shown_as == TRAINING:
        lead = (
            "Its errors were not measured, because no structures were held back. On the "
            f"{n:,} structures that it learned from it errs in the mean: {summary}."
        )
    html = _page.page(
        title or f"A potential fitted to {len(parts[TRAINING].data.places):,} structures",
        lead,
        [
            (f"{names}, {shown_as}", number(errors[f"{kind}_mae"], unit, 3))
            for kind, names, unit in _KINDS
            if f"{kind}_mae" in errors
        ],
        sections,
        f"sk-ednn {numbers['versions']['sk-ednn']}, "
        f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.",
    )
    return FitReport(numbers, html)


def _rows_by(part: Measured, groups) -> list[tuple]:
    """Return rows (group, structures, meV/atom, meV/Å, GPa), largest errors of energies first."""
    return [
        (group, n, *(errors.get(f"{kind}_mae", np.nan) for kind, _, _ in _KINDS))
        for group, n, errors in part.by_group(groups)
    ]


def _rows_of(part: Measured) -> list[tuple]:
    """Return rows (place, atoms, meV/atom, meV/Å, GPa), largest errors of energies first."""
    columns = part.by_structure()
    order = _trust.order_of(part)
    sizes = part.data.structures.sizes
    return [
        (
            part.data.places[k], int(sizes[k]),
            *(float(columns[name][k]) for name in ("energy", "force_mae", "stress_mae")),
        )
        for k in order
    ]  # fmt: skip


def _pairs(part: Measured, kind):
    """Return true and predicted values that are known, flat."""
    data, predicted, sizes = part.data, part.predicted, part.data.structures.sizes
    if kind == "energy":
        true, estimates = data.energies / sizes, predicted.energies / sizes
    elif kind == "force":
        true, estimates = data.forces.ravel(), predicted.forces
    else:
        true, estimates = GPA * data.stress.ravel(), predicted.stress
    if estimates is None:
        return np.zeros(0), np.zeros(0)
    estimates = np.ravel(estimates) * (GPA if kind == "stress" else 1.0)
    both = ~np.isnan(true) & ~np.isnan(estimates)
    return true[both], estimates[both]


# --- sections ---------------------------------------------------------------------------------


def _data(parts):
    rows = [["structures", *(f"{len(part.data.places):,}" for part in parts.values())]]
    rows.append(["atoms", *(f"{part.data.structures.n_atoms:,}" for part in parts.values())])
    rows.append(["species", *(", ".join(part.data.labels["species"]) for part in parts.values())])
    for kind in ("energy", "forces", "stress"):
        cells = []
        for part in parts.values():
            of_kind = part.data.labels[kind]
            cells.append(
                f"{of_kind['known']:,} known"
                + (f", {of_kind['from']!r}" if of_kind["known"] else "")
            )
        rows.append([f"{kind} ({parts[TRAINING].data.labels[kind]['unit']})", *cells])
    return _page.table(rows, ["", *parts])


def _verdict(found):
    words, step = found.verdict["words"], found.step
    yield _page.element("p", f"{words[0].upper()}{words[1:]}")
    if step is not None:
        yield _page.note(f"{step[0].upper()}{step[1:]}.")


def _errors(errors, of_parts):
    _, *rows = table_of(errors, of_parts)
    rows = [
        [title, *(Value(np.nan if value is None else value) for value in values)]
        for title, *values in rows
    ]
    yield _page.table(
        rows, ["", "mean absolute", "median", "root mean square", "spread"],
        caption="Forces and stresses by component; the spread is the error of the composition "
        "alone, with forces and stresses of zero"
        + (f"; {NOVEL}" if len(errors) > len(of_parts) else ""),
    )  # fmt: skip


def _parity(parts):
    known = {}
    for kind, names, _ in _KINDS:
        pairs = {which: _pairs(part, kind) for which, part in parts.items()}
        if any(len(true) for true, _ in pairs.values()):
            known[kind] = names, pairs
    edge = 3.0 if len(known) == 3 else 4.2  # in inches, so that they fill a row of the page
    return _page.figures(*(
        _page.figure(_drawn_parity(pairs, names, kind, edge), f"parity-{kind}")
        for kind, (names, pairs) in known.items()
    ))  # fmt: skip


def _drawn_parity(pairs, names, kind, edge):
    from matplotlib.figure import Figure

    from ..inspection._plot._style import COLOURS, GREY

    unit = {"energy": "eV/atom", "force": "eV/Å", "stress": "GPa"}[kind]
    axes = Figure(figsize=(edge, edge), layout="constrained").subplots()
    ends = []
    for k, (which, (true, estimates)) in enumerate(pairs.items()):
        if not len(true):
            continue
        chosen = np.random.default_rng(0).permutation(len(true))[:_POINTS]
        axes.plot(
            true[chosen], estimates[chosen], ".", ms=3, alpha=0.5, color=COLOURS[k], label=which
        )
        ends += [true.min(), true.max()]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=GREY, lw=1, zorder=0)
    axes.set_xlabel(f"true / {unit}")
    axes.set_ylabel(f"predicted / {unit}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    caption = f"{names.capitalize()}, predicted against true."
    return _figures.Drawn(axes.figure, caption, caption)


def _where(numbers, which, trust):
    if trust.half_width is not None:
        drawn = _trust.drawn(trust)
        yield _page.figures(_page.figure(drawn, "intervals"))
    units = [unit for _, _, unit in _KINDS]
    for name in ("composition", "number of atoms", "group"):
        groups = numbers.get(f"by {name}", ())
        if len(groups) > 1 or (name == "composition" and groups):
            rows = [[str(group), f"{n:,}", *map(Value, values)] for group, n, *values in groups]
            table = _page.table(
                rows[:_GROUPS], [name, "structures", *units],
                caption=f"Mean absolute errors by {name}, {which}: of the structures' energies, "
                f"and of all components of forces and stresses{_cut(rows, _GROUPS)}",
            )  # fmt: skip
            sizes = [n for _, n, *_ in groups]
            if np.median(sizes) >= _LARGE:
                yield table
            else:
                words = f"Errors by {name}: {len(sizes):,} groups of up to {max(sizes):,}"
                summary = _page.element("summary", words if len(sizes) > 1 else f"Errors by {name}")
                yield _page.element("details", None, summary, table)
    rows = [
        [place, f"{n:,}", *map(Value, values), *more]
        for (place, n, *values), more in zip(numbers["structures"], trust.cells(), strict=True)
    ]
    header = ["structure", "atoms", *units, *trust.titles]
    yield _page.table(
        rows[:_WORST], header,
        caption=f"Largest errors of energies, {which}: predicted minus true energy, and the mean "
        f"of the components of forces and stresses{trust.explained}",
    )  # fmt: skip
    if len(rows) > _WORST:
        summary = _page.element("summary", f"All structures, {which}{_cut(rows, _STRUCTURES)}")
        table = _page.table(rows[:_STRUCTURES], header)
        yield _page.element("details", None, summary, table)


def _cut(rows, most) -> str:
    return f"; the first {most:,} of {len(rows):,}" if len(rows) > most else ""


def _training(history):
    if not history:
        return None
    from matplotlib.figure import Figure

    from ..inspection._plot._style import COLOURS

    axes = Figure(figsize=(9.6, 3.4), layout="constrained").subplots()
    members = sorted({row.get("member", 1) for row in history})
    for k, (key, name) in enumerate(
        {"energy": "energies", "force": "forces", "stress": "stresses", "valid_loss": "held out"}
        .items()
    ):  # fmt: skip
        for member in members:
            rows = [row for row in history if row.get("member", 1) == member]
            values = [row.get(key, np.nan) for row in rows]
            if np.isfinite(values).any():
                label = name if member == members[0] else None
                axes.semilogy([row["epoch"] for row in rows], values, color=COLOURS[k], label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    seconds = sum(
        max(row["seconds"] for row in history if row.get("member", 1) == member)
        for member in members
    )
    each = "" if len(members) == 1 else f" of {len(members)} networks, one line each"
    caption = (
        f"Losses{each} of {len(history):,} epochs, {seconds:.3g} s: energies and stresses "
        "in eV² per atom, forces in (eV/Å)²."
    )
    return _page.figures(_page.figure(_figures.Drawn(axes.figure, caption, caption), "training"))


def _model(potential):
    given = potential.get_params(deep=False)
    trainer = given["trainer"]
    if trainer is not None:
        if all(given[name] is None for name in _LIMITS):
            given |= {name: getattr(trainer, name) for name in _LIMITS}
        rest = {k: v for k, v in trainer.get_params(deep=False).items() if k not in _LIMITS}
        given["trainer"] = type(trainer)(**rest)
    params = {key: repr(value) for key, value in given.items()}
    members = members_of(potential.potential_)
    fitted = members[0]
    if hasattr(fitted, "network"):
        n_weights = sum(each.numel() for each in fitted.network.parameters())
        params["weights of the network"] = (
            f"{n_weights:,}" if len(members) == 1 else f"{len(members)} × {n_weights:,}"
        )
        params["energies of atoms (eV)"] = ", ".join(
            f"{symbol(number)} {energy:.6g}" for number, energy in fitted.atomic_energies.items()
        )
    return _page.with_class(_page.table(list(params.items())), "code")
