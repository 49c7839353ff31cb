"""The command ``evaluate``: errors of a model on labelled data."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import typer

from . import _densities, _runs
from ._confidence import LEVEL, coverage
from ._files import check_array_file, check_readable
from ._inputs import load_model, read_fields_for, read_targets
from ._inspect import printable
from ._named_totals import note_tables, read_energies, read_totals
from ._paths import check_paths
from ._picture_names import are_pictures
from ._predict import require_model_of_fields
from ._predicted_structures import UNLIKE, counted, novelty_line
from ._structure_names import are_structures
from ._wanted import note


def run(options) -> dict[str, Any]:
    """Return the errors of a model in the form of ``--json``.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    result = _errors(options)
    _runs.keep_results(options, result)
    return result


def _errors(options) -> dict[str, Any]:
    check_readable(options.model)
    if are_pictures(options.fields):
        _check_options(options)
        return _of_pictures(options)
    structures = are_structures(options.fields)
    densities = _densities.are_densities(options.fields)
    _check_options(options)
    if not (structures or densities):
        check_array_file(options.fields)
    if densities and options.targets is None:
        raise ValueError(
            f"{options.fields} contains no totals: pass their file as the next argument."
        )
    if options.targets is not None:
        check_array_file(options.targets)
    model = load_model(options.model, options.max_bytes)
    if structures:
        from ._structures import naming, read_for

        note_tables(options.fields, options.targets)
        read = read_for(model, options.fields)
        with naming(read.places):
            return {"structures": len(read.structures), **_of_structures(model, read, options)}
    if not densities:
        require_model_of_fields(model, options)
    if densities:
        read = _densities.read_for(model, options)
        X, say = read.densities, partial(_say, options)
        y = read_totals(options.targets, _unit_of(options), read.files, say, "densities").y
    else:
        X = read_fields_for(model, options.fields)
        y = read_targets(options.targets or options.fields, _unit_of(options))
    if len(X) != len(y):
        raise ValueError(
            f"{options.fields} contains {len(X)} fields, but there are {len(y)} totals."
        )
    return {"fields": len(X), **_of_totals(model, X, y, options)}


def _say(options, text) -> None:
    if not options.as_json:
        typer.echo(text, err=True)


def show(result) -> None:
    """Print the errors."""
    if "spreads" in result:  # of a potential
        from ..atoms._structure_errors import NOVEL, parts_by_novelty
        from ._potential_tables import show_errors, show_groups

        part = f"{result['structures']} structures"
        parts = {part: result["errors"]}
        learned = result.get("learned_from")
        if learned is not None and "errors" in learned:
            parts[f"{result['structures'] - learned['structures']} others"] = learned["errors"]
        of = "" if learned is None else "others"
        parts |= parts_by_novelty(result.get("by_novelty", {}), of)
        show_errors(parts, {part: result["spreads"]})
        if "by_novelty" in result:
            typer.echo(NOVEL)
        if learned is not None:
            rest = "the others" if "errors" in learned else "structures that it does not know"
            typer.echo(
                f"{learned['structures']} of these structures were learned from: judge by {rest}"
            )
        if "groups" in result:
            show_groups(result["groups"])
        if "interval" in result:
            typer.echo(result["interval"]["words"])
        if "largest" in result:
            typer.echo(f"largest error of an energy: {result['largest']}")
        if "novelty" in result:
            typer.echo(novelty_line(result["novelty"]))
        if "written" in result:
            typer.echo(f"errors of each structure written to {result['written']}")
        return
    unit = f" {printable(result['unit'])}" if result["unit"] else ""
    several = isinstance(result["errors"], list)
    outputs = zip(
        result["errors"] if several else [result["errors"]],
        result["spread"] if several else [result["spread"]],
        strict=True,
    )
    for k, (errors, spread) in enumerate(outputs):
        which = f"output {k}, " if several else ""
        for name, value in errors.items():
            typer.echo(f"{which}{name}: {value:.4g}{unit}")
        if spread > 0:
            typer.echo(f"{which}spread of the totals, the error of their mean: {spread:.4g}{unit}")
    if "interval" in result:
        typer.echo(result["interval"]["words"])


def _check_options(options, *, of_potential=True) -> None:
    """Raise if options of potentials are given for other models or data."""
    from ._potential_options import check_errors

    check_errors(options.errors)
    check_paths(options)
    for name in ("errors_by", "errors"):
        if getattr(options, name) is not None and not (
            of_potential and are_structures(options.fields)
        ):
            raise ValueError(
                f"--{name.replace('_', '-')} is for potentials and structures of atoms. Leave it "
                "out."
            )


def _of_pictures(options):
    if options.targets is None:
        raise ValueError(
            f"{options.fields}: photographs need a table with the name of each file and its total: "
            f"sk-ednn evaluate {options.model} {options.fields} TABLE."
        )
    if options.density_unit is not None:
        raise ValueError("--density-unit is not for photographs.")
    from ..images import read_pictures
    from ._count_inputs import columns_of_fit, load_counter, matched_totals

    model = load_counter(options.model, options.max_bytes)
    pictures = read_pictures(options.fields)
    table, _, column = options.targets.partition("::")
    matched = matched_totals(
        pictures, table, note, column=column or None, counts=False,
        known=columns_of_fit(options.model),
    )  # fmt: skip
    return {
        "pictures": len(matched.pictures),
        **_of_totals(model, matched.pictures, matched.totals, options),
    }


def _of_structures(model, read, options):
    from ..atoms import energies_of

    y = None
    if options.targets is not None:
        say = partial(_say, options)
        if hasattr(model, "errors"):
            found = read_energies(options.targets, None, read.files, say)
            y, read = found.y, read._replace(columns=found.columns)
        else:
            y = read_totals(options.targets, _unit_of(options), read.files, say, "structures").y
    if not hasattr(model, "errors"):
        _check_options(options, of_potential=False)
        energies = energies_of(read.structures)[0] if y is None else y
        return _of_totals(model, read.structures, energies, options)
    from ..atoms._known_structures import digests_of
    from ..atoms._potential_errors import averages, spreads
    from ..atoms._structure_errors import measured, write_structure_errors
    from ._potential_data import groups_by
    from ._potential_fit import groups_as_dict

    groups = None
    if options.errors_by is not None:
        groups = groups_by(read, options.errors_by)
    part = measured(model, read.structures, y, places=read.places, novelty=True)
    model.warn_if_far(read.structures)
    errors = averages(part.errors)
    result: dict[str, Any] = {"errors": errors, "spreads": spreads(part.data)}
    digests = digests_of(part.data.structures)
    known = np.isin(digests, getattr(model, "digests_", ()))
    if known.any():  # files of older versions have no digests
        others = {} if known.all() else {"errors": part.of(~known)}
        result["learned_from"] = {"structures": int(known.sum()), **others}
    if groups is not None:
        judged = ~known if known.any() and not known.all() else np.ones(len(known), bool)
        result["groups"] = groups_as_dict(part, groups, options.errors_by, judged)
    if part.novelty is not None:
        result["novelty"] = counted(part.novelty)
        # Those learned from are hardly ever novel, and their errors are smaller anyway.
        by_novelty = part.by_novelty(UNLIKE, among=~known)
        result |= {"by_novelty": by_novelty} if by_novelty else {}
    held_out = getattr(model, "held_out_", None)
    if held_out is not None and held_out.suffices(LEVEL):
        half = model._half_width(part.data.structures, part.std, part.novelty, LEVEL)
        off = part.data.energies - part.predicted.energies
        # Intervals are for others than those of the fit, and than those whose errors they rest on.
        own = np.isin(digests, getattr(model, "held_out_digests_", ())) & ~np.isnan(off)
        off[known | own] = np.nan
        result |= coverage(
            held_out, off[:, None], half[:, None], "structure", own=int(own.sum()),
            widths=model._widths(part.data.structures),
        )  # fmt: skip
    if "energy_mae" in errors:
        off = np.abs(part.errors.energies)
        worst = int(np.nanargmax(off))
        result["largest"] = f"{off[worst]:.4g} meV/atom, {read.places[worst]}"
    if options.errors is not None:
        write_structure_errors(
            options.errors, model, {"evaluated": part},
            None if groups is None else {"evaluated": groups}, options.errors_by or "group",
        )  # fmt: skip
        result["written"] = str(options.errors)
    return result


def _of_totals(model, X, y, options) -> dict[str, Any]:
    """Return errors, the standard deviation of the totals to compare them with, and the unit."""
    from ..fields._marks import doubt_of_marks
    from ..uncertainty._intervals import half_width_of, held_out_of
    from ._fit_results import errors_of

    predicted, y = np.asarray(model.predict(X)), np.asarray(y, dtype=float)
    for column in y.reshape(len(y), -1).T:
        doubt = doubt_of_marks(column, "The array of totals")
        if doubt is not None:
            note(doubt)
    n_predicted, n_true = (math.prod(totals.shape[1:]) for totals in (predicted, y))
    if n_predicted != n_true:
        raise ValueError(
            f"{options.model} predicts {n_predicted} total(s) for each system, but "
            f"{options.targets or options.fields} has {n_true}."
        )
    y = y.reshape(predicted.shape)
    held_out, found = held_out_of(model), {}
    if held_out is not None and held_out.suffices(LEVEL):
        half = half_width_of(model, X, held_out, LEVEL)
        kind = "structure" if are_structures(options.fields) else "field"
        found = coverage(held_out, (predicted - y).reshape(half.shape), half, kind)
    return {
        "errors": errors_of(y, predicted),
        "spread": y.std(axis=0).tolist(),
        "unit": _unit_of(options),
        **found,
    }


def _unit_of(options) -> str | None:
    """Return the unit of the totals of a model, if its file states it."""
    from ..files import describe

    return describe(options.model, max_bytes=options.max_bytes)["units"]
