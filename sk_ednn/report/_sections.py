"""Sections of a report, made from its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..inspection._plot._style import with_unit
from ..inspection._plot._training import history_of
from . import _figures, _numbers, _page
from ._page import Value, number

# Number of outputs drawn; the tables contain all of them.
MAX_OUTPUTS = 6
_MAX_NOTE = 300
TRAINING, HELD_BACK = "training", "held back"
_LAWS = ["change", "kind", "unit", "largest difference"]


class Shown(NamedTuple):
    """The field that is drawn.

    Attributes
    ----------
    model : EDNNRegressor, EDNNCommittee or ShiftAveraged
    read : function
        Returns the field, or raises ValueError if it is too large.
    which : str
        Description of the field.
    """

    model: Any
    read: Callable[[], np.ndarray]
    which: str


def first_line(error) -> str:
    """Return the message of an error on one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _MAX_NOTE else f"{words[: _MAX_NOTE - 1]}…"


def part_of_page(make, *args):
    """Return part of a page, or a note with the error that prevented it."""
    try:
        return make(*args)
    except Exception as error:  # a page without this part is better than none
        return _page.note(f"Not shown: {first_line(error)}")


def labels_of(name, n_outputs) -> list[str]:
    """Return the name of each output."""
    return [name] if n_outputs == 1 else [f"{name} (output {k})" for k in range(n_outputs)]


def lead(numbers, verdicts, labels, unit) -> str:
    """Summarise the errors in one sentence, followed by doubts."""
    where = list(numbers["errors"])[-1]
    errors = numbers["errors"][where][0]
    n_systems = numbers["data"][where]["systems"]
    systems = f"{n_systems:,} systems " + ("held back" if where == HELD_BACK else "trained on")
    spread = numbers["data"][where]["totals"][0]["std"]
    share = number(100 * errors["rmse"] / spread, "%", 3) if spread else None
    doubts = " ".join(
        verdict.doubts if len(labels) == 1 else f"{label}: {verdict.doubts}"
        for label, verdict in zip(labels, verdicts, strict=True)
        if verdict.doubts
    )
    return (
        f"On {systems}, the median error of {labels[0]} is {number(errors['median'], unit, 3)} and "
        f"the root mean square error {number(errors['rmse'], unit, 3)}"
        f"{f', {share} of their standard deviation' if share else ''}. {doubts}"
    ).rstrip()


def cards(numbers, unit) -> list[tuple[str, str]]:
    """Return names and values of the headline numbers."""
    counts = [("systems trained on", f"{numbers['data'][TRAINING]['systems']:,}")]
    if HELD_BACK in numbers["data"]:
        counts.append(("systems held back", f"{numbers['data'][HELD_BACK]['systems']:,}"))
    where, (first, *_) = list(numbers["errors"].items())[-1]
    per = numbers["data"][where]["per"]
    return [
        *counts,
        (f"RMSE, {where}", number(first["rmse"], unit, 3)),
        (f"RMSE per {per}, {where}", number(first["per_site"], unit, 3)),
        (f"R², {where}", number(first["r2"])),
    ]


def data(parts, labels, unit):
    """Tabulate the systems and totals of each part."""
    summaries = list(parts.values())
    first = summaries[0]
    rows = [["systems", *(f"{summary['systems']:,}" for summary in summaries)]]
    if "shapes" in first:
        rows.append(["sites of a field", *(_shape(summary["shapes"]) for summary in summaries)])
    else:
        rows.append([f"{first['per']}s", *(_sizes(summary["sizes"]) for summary in summaries)])
    if "composition" in first:
        rows.append(["composition", *(_formula(s["composition"]) for s in summaries)])
    else:
        for key in ("channels", "features"):
            if first.get(key) is not None:
                rows.append([key, *(str(summary[key]) for summary in summaries)])
        rows.append(["data type", *(summary["dtype"] for summary in summaries)])
        rows.append(["values", *(_between(summary["values"]) for summary in summaries)])
    for k, label in enumerate(labels):
        totals = [summary["totals"][k] for summary in summaries]
        rows.append([with_unit(label, unit), *map(_between, totals)])
        spread = (f"{number(total['mean'])} ± {number(total['std'])}" for total in totals)
        rows.append([f"{with_unit(label, unit)}, mean ± std", *spread])
    yield _page.table(rows, ["", *parts])
    hint = first["hint"]
    if hint is not None:
        encoder = "OneHotFields" if "labels" in hint else "AngleFields"
        yield _page.note(f"A hint: {hint}, by sk_ednn.encoders.{encoder}.")


def tilings(shown):
    """Draw the tiles of a field, for each term."""

    def draw(k, name, tiling):
        drawn = _figures.draw_tiling(tiling, shown.read(), name=name, which=shown.which)
        return _page.figure(drawn, f"tiling-{k}")

    terms = enumerate(_numbers.terms_of(shown.model))
    return _page.figures(*(part_of_page(draw, k, name, tiling) for k, (name, _, tiling) in terms))


def model(estimator, numbers):
    """Tabulate the parts of the model, the results of the fit, and all parameters."""
    yield _page.with_class(_page.table(list(numbers["model"].items())), "code")
    if numbers["fit"]:
        rows = [(key, _text(value)) for key, value in numbers["fit"].items()]
        yield _page.table(rows, caption="Results of the fit")
    parameters = _page.table(list(_numbers.parameters_of(estimator).items()))
    yield _page.element(
        "details",
        None,
        _page.element("summary", "All parameters, named as in set_params"),
        _page.with_class(parameters, "code"),
    )


def training(estimator):
    """Draw the training curve; None if the model was not trained by epochs."""
    if not history_of(estimator)[1]:
        return None
    return part_of_page(
        lambda: _page.figures(_page.figure(_figures.draw_training(estimator), "training"))
    )


def verdicts(results, labels):
    """Write the verdict on each output."""
    for label, verdict in zip(labels, results, strict=True):
        words = f"{verdict.words[0].upper()}{verdict.words[1:]}"
        yield _page.element("p", words if len(labels) == 1 else f"{label}: {verdict.words}")


def errors(numbers, parts, labels, unit):
    """Tabulate and draw the errors of totals.

    Parameters
    ----------
    numbers : dict
        See `FitReport`.
    parts : dict of str to object with `y_true`, `y_pred` and `sizes`
    labels : list of str
        Name of each output.
    unit : str
    """
    keys = ("median", "mean", "rmse", "bias", "per_site", "r2")
    rows = [
        [where if len(labels) == 1 else f"{where}: {label}", *(Value(column[key]) for key in keys)]
        for where, columns in numbers["errors"].items()
        for label, column in zip(labels, columns, strict=True)
    ]
    per = numbers["data"][TRAINING]["per"]
    header = ["", "median |error|", "mean |error|", "RMSE", "bias", f"RMSE per {per}", "R²"]
    name = with_unit(labels[0] if len(labels) == 1 else "totals", unit)
    caption = f"Errors of {name}, predicted minus true; the bias is their mean"
    yield _page.table(rows, header, caption)
    true, predicted, sizes = (
        np.concatenate([getattr(part, name) for part in parts.values()])
        for name in ("y_true", "y_pred", "sizes")
    )
    groups = np.repeat(list(parts), [len(part.y_true) for part in parts.values()])
    some = sizes > 0  # empty bags have no error per instance

    def draw_growth(y_true, y_pred, sizes, **options):
        return _figures.draw_error_growth(
            y_true[some], y_pred[some], sizes[some], per=per, **options
        )

    def draw(figure, make, k, third):
        drawn = make(true[:, k], predicted[:, k], third, name=labels[k], unit=unit)
        return _page.figure(drawn, f"{figure}-{k}")

    for k in range(min(len(labels), MAX_OUTPUTS)):
        figures = [
            ("draw-parity", _figures.draw_parity, groups),
            ("draw-errors", _figures.draw_errors, groups),
        ]
        if len(np.unique(sizes[some])) > 1:
            figures.append(("draw-error-growth", draw_growth, sizes))
        yield _page.figures(*(part_of_page(draw, name, make, k, x) for name, make, x in figures))
    if len(labels) > MAX_OUTPUTS:
        yield _page.note(f"The first {MAX_OUTPUTS} of {len(labels)} outputs are drawn.")


def contributions(shown, label, unit):
    """Draw the contributions of the tiles of a field, for each term, to the first output."""
    member = _numbers.first_member(shown.model)
    which = shown.which
    if hasattr(shown.model, "estimators_"):
        which = f"{which}, by the first member of the committee"
    elif member is not shown.model:
        which = f"{which}, without an average over shifts"

    def draw():
        field = shown.read()
        maps = member.predict_contributions([field])
        figures = []
        for k, (name, _, tiling) in enumerate(_numbers.terms_of(member)):
            values = np.asarray((maps[name] if isinstance(maps, dict) else maps)[0])
            if values.ndim > len(tiling.tile_grid(field.shape)):
                values = values[..., 0]
            drawn = _figures.draw_contributions(
                tiling, field, values, name=name, which=which, unit=unit, total=label
            )
            figures.append(_page.figure(drawn, f"contributions-{k}"))
        return _page.figures(*figures)

    return part_of_page(draw)


def laws(extensivity, unit):
    """Tabulate how far the model is from extensive."""
    if "why_not" in extensivity:
        yield _page.note(f"Not measured: {extensivity['why_not']}")
        return
    n_axes = len(extensivity["copies"])
    rows = [["sum of contributions", "law", "relative", Value(extensivity["additivity"])]]
    if n_axes == 0:
        yield _page.element(
            "p",
            f"Measured on {extensivity['n_probes']} systems, relative to the root mean square of "
            "their totals. Only fields on a grid are doubled and shifted.",
        )
        yield _page.table(rows, _LAWS)
        return
    yield _page.element(
        "p",
        f"Measured on {extensivity['n_probes']} fields; relative changes are relative to the root "
        "mean square of their totals. A model of periodic fields obeys the laws up to round-off, "
        "whatever it has learned. A shift by less than a focus may change a total; the change "
        "measures the error of the model.",
    )
    along = [f", axis {axis}" if n_axes > 1 else "" for axis in range(n_axes)]
    periodic = bool(extensivity["shifts"])
    for where, value in zip(along, extensivity["copies"], strict=True):
        kind = "law" if periodic else "surface"
        rows.append([f"doubled field{where}", kind, "relative", Value(value)])
    for where, value in zip(along, extensivity["shift_by_focus"], strict=False):
        rows.append([f"shift by a focus{where}", "law", "relative", Value(value)])
    for where, values in zip(along, extensivity["shifts"], strict=False):
        if len(values) > 1:
            per = f"in {unit}" if unit else "in units of y"
            rows.append([f"shift by less than a focus{where}", "no law", per, Value(max(values))])
    yield _page.table(rows, _LAWS)
    if not periodic:
        yield _page.note(
            "The fields are not periodic: a doubled field has less surface than two, and fields "
            "are not shifted."
        )


def provenance(about, versions):
    """Tabulate the origin of the fit, and the versions of libraries."""
    if about:
        yield _page.table([(key, str(value)) for key, value in about.items()])
    yield _page.table(list(versions.items()), ["library", "version"])


# --- words ------------------------------------------------------------------------------------


def _shape(shapes) -> str:
    text = _figures.times(shapes[0])
    if len(shapes) > 1:
        text += f" to {_figures.times(shapes[-1])}, {len(shapes)} shapes"
    return text


def _sizes(sizes) -> str:
    if sizes["least"] == sizes["greatest"]:
        return number(sizes["least"])
    return f"{_between(sizes)}, mean {number(sizes['mean'])}"


def _formula(composition) -> str:
    total = sum(composition.values())
    return ", ".join(f"{name} {100 * n / total:.3g}\N{NO-BREAK SPACE}%"
                     for name, n in composition.items())  # fmt: skip


def _between(bounds) -> str:
    if bounds is None:
        return "read in pieces, range unknown"
    return f"{number(bounds['least'])} to {number(bounds['greatest'])}"


def _text(value) -> str:
    return number(value) if isinstance(value, (int, float)) else str(value)
