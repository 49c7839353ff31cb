"""Errors of potentials, as they are printed."""

from __future__ import annotations

import typer

from ._report import show_files

# Groups whose errors are printed.
_GROUPS = 12


def show(result) -> None:
    """Print the result of a fit."""
    from ..atoms._structure_errors import NOVEL, parts_by_novelty

    parts = [which for which in ("train", "test") if which in result]
    errors = {which: result[which] for which in parts}
    of_test = parts_by_novelty(result.get("by_novelty", {}), "test")
    errors |= of_test
    show_errors(errors, result["spreads"])
    if of_test:
        typer.echo(NOVEL)
    if "groups" in result:
        show_groups(result["groups"])
    typer.echo(f"verdict: {result['verdict']['words']}")
    if "next" in result:
        typer.echo(f"next: {result['next']}")
    if "interval" in result:
        typer.echo(result["interval"]["words"])
    show_files(
        f"{result['model']}, {result['epochs']} epochs on {result['n_train']} structures in "
        f"{result['seconds']:.3g} s, {result['processor_seconds']:.3g} s of the processor",
        result,
    )
    if "written" in result:
        typer.echo(f"errors of each structure written to {result['written']}")


def show_groups(groups) -> None:
    """Print the errors of groups of structures, the largest mean first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    kinds = {
        "unlike": "novel", "energy_mae": "energy (meV/atom): mean", "energy_median": "median",
        "energy_worst": "worst", "force_mae": "forces (meV/Å): mean",
        "stress_mae": "stress (GPa): mean",
    }  # fmt: skip
    rows = groups["errors"]
    kinds = {kind: unit for kind, unit in kinds.items() if any(kind in row for row in rows)}
    key = escape(groups["by"])
    table = Table(key, "structures", *kinds.values(), title=f"errors by {key}")
    for row in rows[:_GROUPS]:
        numbers = [f"{row[kind]:.4g}" if kind in row else "" for kind in kinds]
        table.add_row(escape(row["name"]), f"{row['structures']:,}", *numbers)
    Console().print(table)
    typer.echo(_explained(groups["by"]))
    if groups.get("left_out"):
        typer.echo(f"without the {groups['left_out']:,} structures that were learned from")
    if len(rows) > _GROUPS:
        typer.echo(f"the first {_GROUPS} of {len(rows):,} groups")


def _explained(key) -> str:
    """Return what a group of structures is, and how to choose others."""
    is_ = {
        "file": "the structures of one file",
        "composition": "structures of one composition, of any number of atoms",
    }.get(key, f"structures with one value of {key}")
    return (
        f"a group: {is_} (--errors-by takes any entry of info, a column of the table of energies, "
        "composition or file)"
    )


def show_errors(errors, spreads) -> None:
    """Print a table of errors of energies, forces and stresses.

    Parameters
    ----------
    errors : dict of str to dict
        Errors by part of the data.
    spreads : dict of str to dict
        Results of `spreads` in `_potential_errors` by part of the data.
    """
    from rich.console import Console
    from rich.table import Table

    from ..atoms._potential_errors import table_of

    header, *rows = table_of(errors, spreads)
    table = Table(*header)
    for title, *numbers in rows:
        table.add_row(title, *("" if value is None else f"{value:.4g}" for value in numbers))
    Console().print(table)
    typer.echo(
        "spread: the rmse of the composition alone, with forces and stresses of zero; compare the "
        "column rmse with it"
    )
