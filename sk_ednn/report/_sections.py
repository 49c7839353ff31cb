"""The sections of a report, from its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..inspection._plot._style import with_unit
from ..inspection._plot._training import history_of
from . import _figures, _numbers, _page
from ._page import Value, number

# Outputs drawn; the tables have all of them.
MOST_OUTPUTS = 6
_LONGEST_NOTE = 300
TRAINING, HELD_BACK = "training", "held back"


class Shown(NamedTuple):
    """The field that is drawn.

    Attributes
    ----------
    regressor : EDNNRegressor or EDNNCommittee
    read : function
        Returns the field, or raises ValueError where it is too large.
    which : str
    """

    regressor: Any
    read: Callable[[], np.ndarray]
    which: str


def first_line(error) -> str:
    """Return what went wrong, in a line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _LONGEST_NOTE else f"{words[: _LONGEST_NOTE - 1]}…"


def part_of_page(make, *given):
    """Return part of a page, or a line that says why there is none."""
    try:
        return make(*given)
    except Exception as error:  # a page with all but this is better than none
        return _page.note(f"Not shown: {first_line(error)}")


def labels_of(name, n_outputs) -> list[str]:
    """Return what each output is called."""
    return [name] if n_outputs == 1 else [f"{name} (output {k})" for k in range(n_outputs)]


def lead(numbers, verdicts, labels, unit) -> str:
    """Say in a sentence how good the model is, and whether it is any good."""
    where = list(numbers["errors"])[-1]
    found = numbers["errors"][where][0]
    n_systems = numbers["data"][where]["systems"]
    systems = f"{n_systems:,} systems " + ("held back" if where == HELD_BACK else "trained on")
    spread = numbers["data"][where]["totals"][0]["std"]
    share = number(100 * found["rmse"] / spread, "%", 3) if spread else None
    doubts = " ".join(
        verdict.doubts if len(labels) == 1 else f"{label}: {verdict.doubts}"
        for label, verdict in zip(labels, verdicts, strict=True)
        if verdict.doubts
    )
    return (
        f"On {systems}, {labels[0]} are wrong by {number(found['median'], unit, 3)} in the median "
        f"and {number(found['rmse'], unit, 3)} in the root mean square"
        f"{f', {share} of their standard deviation' if share else ''}. {doubts}"
    ).rstrip()


def cards(numbers, unit) -> list[tuple[str, str]]:
    """Return what is seen first, names and values."""
    found = [("systems trained on", f"{numbers['data'][TRAINING]['systems']:,}")]
    if HELD_BACK in numbers["data"]:
        found.append(("systems held back", f"{numbers['data'][HELD_BACK]['systems']:,}"))
    where, (first, *_) = list(numbers["errors"].items())[-1]
    return [
        *found,
        (f"RMSE, {where}", number(first["rmse"], unit, 3)),
        (f"RMSE per site, {where}", number(first["per_site"], unit, 3)),
        (f"R², {where}", number(first["r2"])),
    ]


def data(parts, labels, unit):
    """Say what the fields and totals of each part are."""
    every = list(parts.values())
    rows = [
        ["systems", *(f"{found['systems']:,}" for found in every)],
        ["sites of a field", *(_shape(found["shapes"]) for found in every)],
        ["channels", *(str(found["channels"]) for found in every)],
        ["type of the values", *(found["dtype"] for found in every)],
        ["values", *(_between(found["values"]) for found in every)],
    ]
    if every[0]["channels"] is None:
        del rows[2]
    for k, label in enumerate(labels):
        totals = [found["totals"][k] for found in every]
        rows.append([with_unit(label, unit), *map(_between, totals)])
        spread = (f"{number(each['mean'])} ± {number(each['std'])}" for each in totals)
        rows.append([f"{with_unit(label, unit)}, mean ± std", *spread])
    yield _page.table(rows, ["", *parts])
    hint = every[0]["hint"]
    if hint is not None:
        where = "OneHotFields" if "labels" in hint else "AngleFields"
        yield _page.note(f"A hint: {hint}, by sk_ednn.encoders.{where}.")


def tilings(shown):
    """Draw how a field is cut, for each term."""

    def draw(k, name, tiling):
        drawn = _figures.draw_tiling(tiling, shown.read(), name=name, which=shown.which)
        return _page.figure(drawn, f"tiling-{k}")

    terms = enumerate(_numbers.terms_of(shown.regressor))
    return _page.figures(*(part_of_page(draw, k, name, tiling) for k, (name, _, tiling) in terms))


def model(estimator, numbers):
    """Say what was fitted, and what the fit left behind."""
    yield _page.with_class(_page.table(list(numbers["model"].items())), "code")
    if numbers["fit"]:
        rows = [(key, _text(value)) for key, value in numbers["fit"].items()]
        yield _page.table(rows, caption="What the fit left behind")
    everything = _page.table(list(_numbers.parameters_of(estimator).items()))
    yield _page.element(
        "details",
        None,
        _page.element("summary", "All parameters, as set_params names them"),
        _page.with_class(everything, "code"),
    )


def training(estimator):
    """Draw the curve of the training; None where there is no training by epochs."""
    if not history_of(estimator)[1]:
        return None
    return part_of_page(
        lambda: _page.figures(_page.figure(_figures.draw_training(estimator), "training"))
    )


def verdicts(found, labels):
    """Say what is to be thought of the model."""
    for label, verdict in zip(labels, found, strict=True):
        words = f"{verdict.words[0].upper()}{verdict.words[1:]}"
        yield _page.element("p", words if len(labels) == 1 else f"{label}: {verdict.words}")


def errors(found, parts, labels, unit):
    """Say and draw how totals are predicted.

    Parameters
    ----------
    found : dict of str to list of dict
        Errors by part and output.
    parts : dict of str to object with `y_true`, `y_pred` and `sites`
    labels : list of str
        What each output is called.
    unit : str
    """
    keys = ("median", "mean", "rmse", "bias", "per_site", "r2")
    rows = [
        [where if len(labels) == 1 else f"{where}: {label}", *(Value(each[key]) for key in keys)]
        for where, columns in found.items()
        for label, each in zip(labels, columns, strict=True)
    ]
    header = ["", "median |error|", "mean |error|", "RMSE", "bias", "RMSE per site", "R²"]
    what = with_unit(labels[0] if len(labels) == 1 else "totals", unit)
    caption = f"Errors of {what}, predicted minus true; the bias is their mean"
    yield _page.table(rows, header, caption)
    true, predicted, sites = (
        np.concatenate([getattr(part, name) for part in parts.values()])
        for name in ("y_true", "y_pred", "sites")
    )
    groups = np.repeat(list(parts), [len(part.y_true) for part in parts.values()])

    def draw(make, k, third):
        drawn = make(true[:, k], predicted[:, k], third, name=labels[k], unit=unit)
        return _page.figure(drawn, f"{make.__name__.replace('_', '-')}-{k}")

    for k in range(min(len(labels), MOST_OUTPUTS)):
        makers = [(_figures.draw_parity, groups), (_figures.draw_errors, groups)]
        if len(np.unique(sites)) > 1:
            makers.append((_figures.draw_error_growth, sites))
        yield _page.figures(*(part_of_page(draw, make, k, third) for make, third in makers))
    if len(labels) > MOST_OUTPUTS:
        yield _page.note(f"The first {MOST_OUTPUTS} of {len(labels)} outputs are drawn.")


def contributions(shown, label, unit):
    """Draw what each tile of a field holds, for each term, of the first output."""
    member = _numbers.first_member(shown.regressor)
    which = shown.which
    if member is not shown.regressor:
        which = f"{which}, by the first member of the committee"

    def draw():
        field = shown.read()
        maps = member.predict_contributions([field])
        made = []
        for k, (name, _, tiling) in enumerate(_numbers.terms_of(member)):
            values = np.asarray((maps[name] if isinstance(maps, dict) else maps)[0])
            if values.ndim > len(tiling.tile_grid(field.shape)):
                values = values[..., 0]
            drawn = _figures.draw_contributions(
                tiling, field, values, name=name, which=which, unit=unit, total=label
            )
            made.append(_page.figure(drawn, f"contributions-{k}"))
        return _page.figures(*made)

    return part_of_page(draw)


def laws(found, unit):
    """Say how extensive the model was found to be."""
    if "why_not" in found:
        yield _page.note(f"Not measured: {found['why_not']}")
        return
    yield _page.element(
        "p",
        f"Measured on {found['n_probes']} fields; what is relative is so to the root mean square "
        "of their totals. A model of periodic fields keeps the laws up to rounding errors, "
        "whatever it has learnt. A shift by less than a focus may change a total: by how much, "
        "measures the model's error.",
    )
    several = len(found["copies"]) > 1
    along = [f", axis {axis}" if several else "" for axis in range(len(found["copies"]))]
    periodic = bool(found["shifts"])
    law, no_law = "law", "no law"
    rows = [["contributions added up", law, "relative", Value(found["additivity"])]]
    for where, value in zip(along, found["copies"], strict=True):
        kind = law if periodic else "surface"
        rows.append([f"field doubled{where}", kind, "relative", Value(value)])
    for where, value in zip(along, found["shift_by_focus"], strict=False):
        rows.append([f"field shifted by a focus{where}", law, "relative", Value(value)])
    for where, values in zip(along, found["shifts"], strict=False):
        if len(values) > 1:
            per = f"in {unit}" if unit else "in units of y"
            rows.append([f"field shifted by less{where}", no_law, per, Value(max(values))])
    yield _page.table(rows, ["what is done", "kind", "unit", "largest change"])
    if not periodic:
        yield _page.note(
            "The fields are not periodic: a doubled one has less surface than two, and they are "
            "not shifted."
        )


def made(about, versions):
    """Say where the fit comes from, and which libraries it was made with."""
    if about:
        yield _page.table([(key, str(value)) for key, value in about.items()])
    yield _page.table(list(versions.items()), ["library", "version"])


# --- words ------------------------------------------------------------------------------------


def _shape(shapes) -> str:
    text = _figures.times(shapes[0])
    if len(shapes) > 1:
        text += f" to {_figures.times(shapes[-1])}, {len(shapes)} shapes"
    return text


def _between(found) -> str:
    if found is None:
        return "read in pieces, not looked at"
    return f"{number(found['least'])} to {number(found['greatest'])}"


def _text(value) -> str:
    return number(value) if isinstance(value, (int, float)) else str(value)
