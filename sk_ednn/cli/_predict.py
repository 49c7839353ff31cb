"""The command ``predict``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import typer

from .._utils.wording import digits_of, with_article
from .._utils.writing import replacing
from . import _config, _densities, _runs
from ._confidence import within
from ._files import check_array_file, check_readable, write_arrays
from ._inputs import load_model, read_fields_for, say
from ._inspect import printable
from ._order import KEYS, least_trusted_first
from ._paths import check_paths
from ._picture_names import are_pictures
from ._predicted_structures import (
    PredictedStructures,
    counted,
    least_alike,
    novelty_line,
    predicted_by,
    sized,
    title_of,
)
from ._structure_names import are_structures
from ._wanted import note
from ._widths_of_intervals import equal_since_few, why_wider

_ENDINGS = (".csv", ".npy", ".npz")
_WITH_CONFIDENCE = (".csv", ".npz")
_OF_STRUCTURES = (".extxyz", ".xyz", ".traj")


class Predicted(NamedTuple):
    """Totals and their origin.

    Attributes
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    fields : str
        File of the fields.
    unit : str or None
    output : Path or None
        File of the totals.
    places : list of str or None
        File and index of each structure, or the name of each picture.
    kind : str
        Kind of the systems.
    confidence : dict of str to ndarray
        "half_width" of intervals, if errors of systems held out are known, and "novelty", if it
        was requested.
    structures : PredictedStructures or None
        Sizes, deviations and novelty of structures.
    basis : str
        On what the intervals rest, or why there are none.
    order : ndarray of shape (n_samples,) or None
        Indices in the order of ``--sort``; None for that of the data.
    """

    y: np.ndarray
    fields: str
    unit: str | None
    output: Path | None
    places: list[str] | None = None
    kind: str = "structure"
    confidence: Mapping[str, np.ndarray] = MappingProxyType({})
    structures: PredictedStructures | None = None
    basis: str = ""
    order: np.ndarray | None = None

    def columns(self) -> dict[str, np.ndarray]:
        """Return what is known of each structure besides the energy."""
        return {} if self.structures is None else self.structures.columns()

    def as_dict(self) -> dict[str, Any]:
        """Return the output of ``--json``."""
        factor = None if self.structures is None else self.structures.std_factor
        return {
            "y": self.y.tolist(),
            **{
                name: values.tolist()
                for name, values in (*self.columns().items(), *self.confidence.items())
            },
            **({} if factor is None else {"std_factor": factor}),
            "interval": self.basis,
            "output": None if self.output is None else str(self.output),
        }


def run(ctx: typer.Context, options) -> Predicted:
    """Predict, and write the results.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
        The parameters of the command, by name.
    """
    _runs.place_output(
        ctx, options, "predictions.npz" if options.contributions else "predictions.csv"
    )
    _check(options)
    silent = options.quiet or options.as_json
    if not silent:
        typer.echo(f"reading {options.model} and {options.fields}", err=True)
    estimator = load_model(options.model, options.max_bytes)
    X, places = _read(options, estimator)
    _evaluate_with(estimator, verbose=0 if silent else 1)
    if options.jobs is not None and not _evaluate_with(estimator, n_jobs=options.jobs):
        raise ValueError(f"--jobs is for models of tiles, but {options.model} is not one.")
    with _naming(options, places):
        if options.output is not None and options.output.suffix in _OF_STRUCTURES:
            return _written(ctx, options, estimator, X, places)
        y, structures = _totals(ctx, options, estimator, X, places)
    arrays = {"y": y}
    if structures is not None:
        arrays |= structures.columns()
    if options.contributions:
        maps = _contributions(estimator, X, options.model)
        for key, values in maps.items() if isinstance(maps, dict) else [("", maps)]:
            name = "_".join(filter(None, ["contributions", key]))
            if isinstance(values, np.ndarray):
                arrays[name] = values
            else:  # fields of several shapes
                arrays |= {f"{name}_{k}": of_one for k, of_one in enumerate(values)}
    confidence, basis = _confidence(options, estimator, X, y, structures)
    arrays |= confidence
    kind = "picture" if are_pictures(options.fields) else "structure"
    order = None
    if options.sort is not None:
        order = least_trusted_first(options.sort, confidence, structures)
    predicted = Predicted(
        y, options.fields, _unit(options), options.output, places, kind, confidence, structures,
        basis, order,
    )  # fmt: skip
    if options.output is not None and options.output.suffix == ".csv":
        _write_table(options.output, predicted)
    elif options.output is not None:
        write_arrays(options.output, arrays)
        if options.recorder is not None:  # to be read without Python, too
            _write_table(options.recorder.path("totals.csv"), predicted)
    _runs.keep_results(options, _summary(predicted))
    _config.write(ctx, options.save_config)
    return predicted


def _written(ctx, options, potential, structures, places) -> Predicted:
    """Write structures with predicted energies, forces and stresses."""
    from ..atoms import EDNNPotential

    if not isinstance(potential, EDNNPotential):
        raise ValueError(
            f"--output {options.output} is for potentials, but {options.model} predicts only "
            f"totals. Use a name that ends in {', '.join(_ENDINGS)}."
        )
    found = predicted_by(potential, structures, path=options.output)
    confidence, basis = _confidence(options, potential, structures, found.energies, found)
    predicted = Predicted(
        found.energies, options.fields, "eV", options.output, places, confidence=confidence,
        structures=found, basis=basis,
    )  # fmt: skip
    _runs.keep_results(options, _summary(predicted))
    _config.write(ctx, options.save_config)
    return predicted


def _totals(ctx, options, estimator, X, places) -> tuple[np.ndarray, PredictedStructures | None]:
    """Predict totals; of a run with a potential, write forces and stresses beside them."""
    if places is None or are_pictures(options.fields) or not are_structures(options.fields):
        return estimator.predict(X), None
    if not hasattr(estimator, "predict_all"):  # a model of images
        y = estimator.predict(X)
        return y, sized(y, X) if y.ndim == 1 else None
    beside = options.recorder is not None and not _config.is_given(ctx, "output")
    path = options.recorder.path("predictions.extxyz") if beside else None
    found = predicted_by(estimator, X, path=path)
    return found.energies, found


def _summary(predicted) -> dict[str, Any]:
    """Return the result of a run."""
    y = np.asarray(predicted.y)
    return {
        "n_predicted": len(y),
        "unit": predicted.unit,
        "mean": float(y.mean()),
        "least": float(y.min()),
        "largest": float(y.max()),
        "output": str(predicted.output),
    }


def show(predicted) -> None:
    """Print totals with their fields, or the name of the file that contains them."""
    if predicted.output is not None:
        typer.echo(f"{len(predicted.y)} totals written to {predicted.output}")
        _show_basis(predicted)
        return
    unit = f" {printable(predicted.unit)}" if predicted.unit else ""
    widths, novelty = (predicted.confidence.get(name) for name in ("half_width", "novelty"))
    largest = np.abs(_rows(predicted.y)).max(axis=0)
    rows = _rows(predicted.y)
    for index in range(len(rows)) if predicted.order is None else predicted.order:
        values = rows[index]
        wide = [None] * len(values) if widths is None else _rows(widths)[index]
        shown = map(digits_of, values, wide, largest)
        numbers = "  ".join(f"{value}{unit}" for value in shown)
        if predicted.structures is not None:
            numbers += f"  ({predicted.structures.line(index, unit.strip(), wide[0])})"
        if widths is not None:
            size = None if predicted.structures is None else predicted.structures.sizes[index]
            numbers += f"  {within(wide, largest, unit, size)}"
        if novelty is not None:
            numbers += f"  novel tiles: {100 * novelty[index]:.3g} %"
        if predicted.places is None:
            place = f"{predicted.fields}[{index}]"
        else:
            place = predicted.places[index]
        typer.echo(f"{printable(place)}  {numbers}")
    _show_basis(predicted)


def _show_basis(predicted) -> None:
    """Print on what intervals rest, and how many atoms are unlike those of the fit."""
    if "half_width" in predicted.confidence:
        typer.echo(predicted.basis)
    if "novelty" in predicted.confidence:
        typer.echo(
            "novel tiles: unlike those of the fit; in fields like those of the fit about 1 % on "
            "average, and a few % in the most disordered ones"
        )
    if predicted.structures is not None and predicted.structures.novelty is not None:
        typer.echo(novelty_line(counted(predicted.structures.novelty)))
        line = least_alike(predicted.structures.mean_novelty, predicted.places)
        if line is not None:
            typer.echo(line)


# --- steps ------------------------------------------------------------------------------------


def _check(options) -> None:
    """Raise if options are invalid, as far as possible without reading data."""
    output = options.output
    endings = _ENDINGS + (_OF_STRUCTURES if are_structures(options.fields) else ())
    if output is not None and output.suffix not in endings:
        if output.suffix in _OF_STRUCTURES and not Path(options.fields).exists():
            raise FileNotFoundError(f"{options.fields} does not exist.")
        raise ValueError(f"--output must end in {', '.join(endings)}, got {output}.")
    if options.contributions and (output is None or output.suffix != ".npz"):
        raise ValueError("--contributions needs --output with a name that ends in .npz.")
    if options.sort is not None:
        if options.sort not in KEYS:
            raise ValueError(f"--sort must be {' or '.join(KEYS)}, got {options.sort!r}.")
        if options.as_json or (output is not None and output.suffix != ".csv"):
            raise ValueError(
                "--sort is for printed totals and .csv: leave it out, or --json and --output of "
                "other names."
            )
    given = [name for name in ("interval", "novelty") if getattr(options, name) is not None]
    if given and output is not None and output.suffix not in _WITH_CONFIDENCE:
        raise ValueError(
            f"--{given[0]} needs --output with a name that ends in "
            f"{', '.join(_WITH_CONFIDENCE)}, or none; got {output}."
        )
    check_readable(options.model)
    if options.interval is not None:
        check_readable(options.interval)
    if options.novelty is not None:
        if are_structures(options.fields):
            raise ValueError(
                "--novelty is for fields. Leave it out: a potential contains a sample of its "
                "training data, and the novelty of atoms is printed and written anyway."
            )
        check_array_file(options.novelty)
    others = (are_structures, are_pictures, _densities.are_densities)
    if not any(are(options.fields) for are in others):
        check_array_file(options.fields)
    _config.check(options.save_config)
    check_paths(options)


def _read(options, estimator):
    """Return fields, structures, densities or pictures, and the places of all but fields."""
    if _densities.are_densities(options.fields):
        return _densities.read_for(estimator, options)[:2]
    if are_pictures(options.fields):
        from ..images import read_pictures

        if not _takes_pictures(estimator):
            raise ValueError(
                f"Expected a model of pictures for {options.fields}, but {options.model} contains "
                f"{with_article(type(estimator).__name__)} of fields. Use `sk-ednn count fit`."
            )
        pictures = read_pictures(options.fields)
        return pictures, [picture.name for picture in pictures]
    if are_structures(options.fields):
        from ._structures import read_for

        read = read_for(estimator, options.fields)
        return read.structures, read.places
    require_model_of_fields(estimator, options)
    return read_fields_for(estimator, options.fields, _field_ndim(estimator)), None


def require_model_of_fields(estimator, options) -> None:
    """Raise ValueError if a model of structures is to predict fields."""
    if not (hasattr(estimator, "steps") or hasattr(estimator, "calculator")):
        return
    from ._structures import is_of_structures

    if is_of_structures(estimator):
        raise ValueError(
            f"{options.model} is a model of structures, but {options.fields} is not a file of "
            "structures that ASE reads, such as .extxyz, .traj or POSCAR."
        )


def _takes_pictures(estimator) -> bool:
    """Return True if a model, or the first step of a Pipeline, reads pictures."""
    from .._utils.steps import first_step
    from ..images import CountRegressor, LocalFeatures

    return isinstance(first_step(estimator), (CountRegressor, LocalFeatures))


def _naming(options, places):
    """Add the file to errors that name a structure by its index."""
    if places is None or are_pictures(options.fields):
        return nullcontext()
    from ._structures import naming

    return naming(places)


def _field_ndim(estimator) -> int | None:
    """Return the number of axes of a field of the fit; None if unknown.

    It is unknown for a Pipeline, since transformers may change the axes.
    """
    from ..estimators._unwrap import regressors_in

    if hasattr(estimator, "steps"):
        return None
    return next((regressor._field_ndim for regressor in regressors_in(estimator)), None)


def _evaluate_with(estimator, **params) -> bool:
    """Set parameters of the evaluations in a model; return whether there are any."""
    from ..estimators._unwrap import regressors_in

    regressors = regressors_in(estimator)
    for regressor in regressors:
        regressor.evaluation_.set_params(**params)
    return bool(regressors)


def _contributions(estimator, X, path):
    """Return the contributions of tiles, after the transformers of a Pipeline."""
    from .._utils.steps import front_and_last
    from ._fit_results import contributions_of

    last = front_and_last(estimator)[1]
    if not hasattr(last, "predict_contributions"):
        raise ValueError(
            f"{path} contains {with_article(type(last).__name__)}, which predicts only totals. "
            "Leave out --contributions."
        )
    return contributions_of(estimator, X)


def _unit(options) -> str | None:
    """Return the unit in the model file, if it will be shown or written."""
    shown = not options.as_json and (options.output is None or options.output.suffix == ".csv")
    if not shown and options.recorder is None:
        return None
    from .. import files as model_files

    return model_files.describe(options.model, max_bytes=options.max_bytes)["units"]


def _confidence(options, estimator, X, y, structures) -> tuple[dict[str, np.ndarray], str]:
    """Return intervals if they are known, novelty if requested, and on what intervals rest."""
    from ..estimators._sizes import sizes_of
    from ..uncertainty._intervals import half_width_of, held_out_of
    from . import _confidence as confidence

    columns: dict[str, np.ndarray] = {}
    held_out, half = held_out_of(estimator), None
    kind = "field" if structures is None else "structure"
    if options.interval is not None:
        held_out, kind = confidence.errors_in(options.interval), "system"
        half = held_out.half_width(sizes_of(estimator, X)).reshape(np.shape(y))
    elif structures is not None and structures.half_width is not None:
        half = structures.half_width
    elif held_out is not None and held_out.suffices(confidence.LEVEL):
        half = half_width_of(estimator, X, held_out, confidence.LEVEL).reshape(np.shape(y))
    if half is not None:
        columns["half_width"] = half
        if structures is not None and half.ndim == 1:
            columns["half_width_per_atom"] = half / structures.sizes
    if options.novelty is not None:
        say(options, f"comparing tiles with those of {options.novelty}")
        verbose = 0 if options.quiet or options.as_json else 1
        columns["novelty"] = confidence.novelty_of(estimator, options.novelty, X, verbose)
    if are_pictures(options.fields) and half is None:
        return columns, ""  # `sk-ednn count predict` has intervals
    largest = None if half is None else sizes_of(estimator, X).max()
    widths = None if structures is None or half is None else structures.widths
    basis = confidence.basis(held_out, kind, largest, widths)
    if half is None:
        say(options, basis)
    elif structures is not None and options.interval is None:
        why = why_wider(held_out, structures)
        basis += f". {why[0].upper()}{why[1:]}" if why else ""
        doubt = equal_since_few(held_out, structures)
        if doubt and not options.as_json:
            note(doubt)
    return columns, basis


def _write_table(path, predicted) -> None:
    """Write totals, with intervals and novelty if requested, as CSV."""
    rows = _rows(predicted.y)
    several = rows.shape[1] > 1
    names = [f"total {k}" for k in range(rows.shape[1])] if several else ["total"]
    unit = f" ({predicted.unit})" if predicted.unit else ""
    confidence, columns = predicted.confidence, predicted.columns()
    is_scaled = predicted.structures is not None and predicted.structures.std_factor is not None
    more = [title_of(name, predicted.unit, is_scaled=is_scaled) for name in columns]
    if "half_width" in confidence:
        more += [f"{name} plus or minus (90 %){unit}" for name in names]
    if "half_width_per_atom" in confidence:  # by which to sort what is doubtful
        more.append(f"per atom plus or minus (90 %){unit}")
    more += ["novelty"] if "novelty" in confidence else []
    extra = [_rows(values) for values in confidence.values()]
    known = [values.tolist() for values in columns.values()]
    with replacing(path, "w", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        places = predicted.places
        column = [] if places is None else [predicted.kind]
        table.writerow(["index", *column, *(f"{name}{unit}" for name in names), *more])
        for index in range(len(rows)) if predicted.order is None else predicted.order.tolist():
            row = rows[index].tolist()
            place = [] if places is None else [places[index]]
            numbers = [repr(values[index]) for values in known]
            numbers += [f"{value:.6g}" for values in extra for value in values[index]]
            table.writerow([index, *place, *map(repr, row), *numbers])


def _rows(y) -> np.ndarray:
    return np.asarray(y).reshape(len(y), -1)
