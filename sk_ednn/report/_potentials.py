"""One page on a potential: parity of energies, forces and stresses, and the worst structures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..atoms._potential_committee import members_of
from ..atoms._potential_data import labelled
from ..atoms._potential_errors import GPA, averages, differences
from ..structures._elements import symbol
from . import _figures, _numbers, _page, _sections
from ._page import Value, number
from ._result import FitReport
from ._svg import drawing, require_matplotlib

TRAINING, HELD_BACK = _sections.TRAINING, _sections.HELD_BACK
# Rows of tables, and points of a figure.
_WORST, _COMPOSITIONS, _POINTS = 10, 20, 20_000
_KINDS = (("energy", "energies", "meV/atom"), ("force", "forces", "meV/Å"),
          ("stress", "stresses", "GPa"))  # fmt: skip


def potential_report(potential, structures, *, test=None, title=None, about=None):
    """Report on one page how a potential was fitted and how accurate it is.

    The page contains the labels that were read, the errors of energies, forces and stresses in
    meV/atom, meV/Å and GPa, their parity, errors by composition, the structures with the largest
    errors, and the curve of the training.

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

    Returns
    -------
    FitReport
        ``numbers["errors"]`` has the errors of each part, as `EDNNPotential.errors` returns them.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    require_matplotlib()
    check_is_fitted(potential)
    given = {TRAINING: structures} | ({} if test is None else {HELD_BACK: test})
    parts = {which: _Part(potential, some) for which, some in given.items()}
    shown_as = HELD_BACK if HELD_BACK in parts else TRAINING
    numbers: dict[str, Any] = {
        "errors": {which: averages(part.errors) for which, part in parts.items()},
        "labels": {which: part.data.labels for which, part in parts.items()},
        "versions": _numbers.versions(),
    }
    numbers["by composition"] = parts[shown_as].by_composition()
    numbers["largest"] = parts[shown_as].largest()
    with drawing():
        sections = [
            _page.section("Data", _data(parts)),
            _page.section("Errors", *_errors(numbers["errors"]), _parity(parts)),
            _page.section("Where it errs", *_where(numbers, shown_as)),
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
    where = "held back" if shown_as == HELD_BACK else "trained on"
    html = _page.page(
        title or f"A potential fitted to {len(parts[TRAINING].data.places):,} structures",
        f"On {n:,} structures {where} it errs in the mean: {summary}.",
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


class _Part:
    """Structures of one part of the data, and the errors of the potential on them."""

    def __init__(self, potential, structures):
        self.data = labelled(structures, names=potential.labels)
        self.predicted, self.errors = differences(potential.potential_, self.data)

    def pairs(self, kind):
        """Return true and predicted values that are known, flat."""
        data, predicted, sizes = self.data, self.predicted, self.data.structures.sizes
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

    def formulas(self):
        """Return the composition of each structure, such as SiAu2."""
        formulas = []
        for structure in self.data.structures:
            numbers, counts = np.unique(structure.numbers, return_counts=True)
            divisor = np.gcd.reduce(counts)
            formulas.append("".join(
                symbol(int(z)) + (str(n) if n > 1 else "")
                for z, n in zip(numbers, counts // divisor, strict=True)
            ))  # fmt: skip
        return np.array(formulas)

    def force_errors(self):
        """Return the mean absolute error of the forces of each structure, NaN where not known."""
        sums = np.abs(self.errors.forces).mean(axis=1)
        return np.add.reduceat(sums, self.data.structures.offsets[:-1]) / (
            self.data.structures.sizes
        )

    def by_composition(self):
        """Return rows (composition, structures, meV/atom, meV/Å), largest errors first."""
        formulas, forces = self.formulas(), self.force_errors()
        rows = []
        for formula in np.unique(formulas):
            of_formula = formulas == formula
            energies = np.abs(self.errors.energies[of_formula])
            rows.append(
                (str(formula), int(of_formula.sum()), _mean(energies), _mean(forces[of_formula]))
            )
        return sorted(rows, key=lambda row: -np.nan_to_num(row[2]))[:_COMPOSITIONS]

    def largest(self):
        """Return rows (place, atoms, meV/atom, meV/Å) of the structures with the largest errors."""
        off, forces = np.abs(self.errors.energies), self.force_errors()
        order = np.argsort(-np.nan_to_num(off), kind="stable")[:_WORST]
        sizes = self.data.structures.sizes
        return [
            (self.data.places[k], int(sizes[k]), float(self.errors.energies[k]), float(forces[k]))
            for k in order
        ]


def _mean(values):
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else float("nan")


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


def _errors(errors):
    rows = []
    for which, of_part in errors.items():
        for kind, names, unit in _KINDS:
            if f"{kind}_mae" in of_part:
                median = of_part.get(f"{kind}_median", float("nan"))
                rows.append([
                    f"{names}, {which} ({unit})", Value(of_part[f"{kind}_mae"]), Value(median),
                    Value(of_part[f"{kind}_rmse"]),
                ])  # fmt: skip
    yield _page.table(rows, ["", "mean absolute", "median", "root mean square"])


def _parity(parts):
    figures = []
    for kind, names, _ in _KINDS:
        pairs = {which: part.pairs(kind) for which, part in parts.items()}
        if any(len(true) for true, _ in pairs.values()):
            figures.append(_page.figure(_drawn_parity(pairs, names, kind), f"parity-{kind}"))
    return _page.figures(*figures)


def _drawn_parity(pairs, names, kind):
    from matplotlib.figure import Figure

    from ..inspection._plot._style import COLOURS, GREY

    unit = {"energy": "eV/atom", "force": "eV/Å", "stress": "GPa"}[kind]
    axes = Figure(figsize=(3.6, 3.6), layout="constrained").subplots()
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


def _where(numbers, which):
    rows = [
        [formula, f"{n:,}", Value(energy), Value(force)]
        for formula, n, energy, force in numbers["by composition"]
    ]
    yield _page.table(
        rows, ["composition", "structures", "meV/atom", "meV/Å"],
        caption=f"Mean absolute errors by composition, {which}",
    )  # fmt: skip
    rows = [[place, f"{n:,}", Value(energy), Value(force)] for place, n, energy, force in
            numbers["largest"]]  # fmt: skip
    yield _page.table(
        rows, ["structure", "atoms", "meV/atom", "meV/Å"],
        caption=f"Largest errors of energies, {which}; signed, with the mean of the forces",
    )  # fmt: skip


def _training(history):
    if not history:
        return None
    from matplotlib.figure import Figure

    from ..inspection._plot._style import COLOURS

    axes = Figure(figsize=(5.2, 3.2), layout="constrained").subplots()
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
    params = {key: repr(value) for key, value in potential.get_params(deep=False).items()}
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
