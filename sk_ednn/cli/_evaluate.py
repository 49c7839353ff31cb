"""The command ``evaluate``: errors of a model on labelled data."""

from __future__ import annotations

from typing import Any

import numpy as np
import typer

from . import _densities, _runs
from ._files import check_array_file, check_readable
from ._inputs import load_model, read_fields, read_targets
from ._picture_names import are_pictures
from ._structure_names import are_structures
from ._wanted import note


def run(asked) -> dict[str, Any]:
    """Return the errors of a model in the form of ``--json``.

    Parameters
    ----------
    asked : namespace
        The parameters of the command, by name.
    """
    found = _errors(asked)
    _runs.keep_results(asked, found)
    return found


def _errors(asked) -> dict[str, Any]:
    check_readable(asked.model)
    if are_pictures(asked.fields):
        return _of_pictures(asked)
    structures = are_structures(asked.fields)
    densities = _densities.are_densities(asked.fields)
    if not (structures or densities):
        check_array_file(asked.fields)
    if densities and asked.targets is None:
        raise ValueError(f"{asked.fields} contains no totals: name their file behind it.")
    if asked.targets is not None:
        check_array_file(asked.targets)
    model = load_model(asked.model, asked.max_bytes)
    if structures:
        from ._structures import naming, read_for

        read = read_for(model, asked.fields)
        with naming(read.places):
            return {"structures": len(read.structures), **_of_structures(model, read, asked)}
    X = _densities.read_for(model, asked)[0] if densities else read_fields(asked.fields)
    y = read_targets(asked.targets or asked.fields)
    if len(X) != len(y):
        raise ValueError(f"{asked.fields} contains {len(X)} fields, but there are {len(y)} totals.")
    return {"fields": len(X), "errors": _of_totals(model, X, y)}


def show(found) -> None:
    """Print the errors."""
    if "energy_mae" in found.get("errors", {}):
        from ._potentials import show_errors

        show_errors({f"{found['structures']} structures": found["errors"]})
        if "largest" in found:
            typer.echo(f"largest error of an energy: {found['largest']}")
        return
    for name, value in found["errors"].items():
        typer.echo(f"{name}: {value:.4g}")


def _of_pictures(asked):
    if asked.targets is None:
        raise ValueError(
            f"{asked.fields}: photographs need a table with the name of each file and its total: "
            f"sk-ednn evaluate {asked.model} {asked.fields} TABLE."
        )
    if asked.density_unit is not None:
        raise ValueError("--density-unit is not for photographs.")
    from ..files import describe
    from ..images import TableError, match_totals, read_pictures
    from ._count import load_counter

    model = load_counter(asked.model, asked.max_bytes)
    columns = (describe(asked.model)["about"] or {}).get("totals")
    pictures = read_pictures(asked.fields)
    try:
        matched = match_totals(pictures, asked.targets, columns=columns, counts=False)
    except TableError:
        if model.n_outputs_ > 1:
            raise
        # The only column of numbers, by whatever name.
        matched = match_totals(pictures, asked.targets, counts=False)
    for line in matched.notes:
        note(line)
    return {
        "pictures": len(matched.pictures),
        "errors": _of_totals(model, matched.pictures, matched.totals),
    }


def _of_structures(model, read, asked):
    from ..atoms import energies_of

    if not hasattr(model, "errors"):
        energies, _ = energies_of(read.structures)
        return {"errors": _of_totals(model, read.structures, energies)}
    y = None if asked.targets is None else read_targets(asked.targets)
    errors = model.errors(read.structures, y)
    found: dict[str, Any] = {"errors": errors}
    if "energy_mae" in errors and y is None:
        true, _ = energies_of(read.structures, (model.labels or {}).get("energy"))
        sizes = np.array([len(each) for each in read.structures])
        off = np.abs(model.predict(read.structures) - true) / sizes
        worst = int(np.nanargmax(off))
        found["largest"] = f"{1e3 * off[worst]:.4g} meV/atom, {read.places[worst]}"
    return found


def _of_totals(model, X, y) -> dict[str, float]:
    from ..metrics import extensive_errors

    return extensive_errors(y, model.predict(X)).as_dict()
