"""The command ``select``: structures to label next, from a pool."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import typer

from .._utils.writing import replacing
from ..structures._write import write_structures
from ._files import check_readable
from ._inputs import load_model
from ._paths import check_paths, may_replace
from ._structure_names import are_structures
from ._wanted import note

# By whether a model is known: how the other choice differs.
_OTHER_WAY = {
    True: (
        "chosen for atoms that the potential does not know, to improve it; --known with the files "
        "of its structures compares whole structures instead, without a model"
    ),
    False: (
        "chosen for structures unlike the known ones as a whole, for any model; once a potential "
        "is fitted to these, --known MODEL.ednn chooses for atoms that it does not know"
    ),
}
# More of a pool than this part are not advised: they hardly are a choice.
_OF_POOL = 0.5
_STRUCTURES, _TABLES = (".extxyz", ".xyz", ".traj"), (".csv",)


def run(options) -> dict[str, Any]:
    """Select structures, write them or their names, and return what was selected.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    by_model = options.known is not None and Path(options.known).suffix.lower() == ".ednn"
    for option, name in (("", options.fields), ("--known ", options.known)):
        if by_model and name == options.known:
            continue
        if name is not None and not are_structures(name):
            raise ValueError(
                f"{option}{name} is not a file of structures that ASE reads, such as .extxyz or "
                "POSCAR."
            )
    suffix = options.output.suffix.lower()
    if suffix not in _STRUCTURES + _TABLES:
        # Others, such as .cif, have no room for energies, forces and names.
        raise ValueError(
            f"--output {options.output}: expected a name that ends in .extxyz or .traj, for the "
            "structures with their labels, or in .csv, for the names of their files."
        )
    given = [name for name in ("unlike", "cutoff") if getattr(options, name) is not None]
    if by_model and given:
        raise ValueError(
            f"--{given[0]} is for known structures in files. With --known {options.known}, all are "
            "chosen for being unlike those of its fit, by its own cutoff: leave it out."
        )
    check_paths(options)
    may_replace("--output", options.output, options.force)
    from ..atoms._selection import default_unlike, selection
    from ._structures import naming, read

    potential = _potential(options.known) if by_model else None
    pool = read(options.fields)
    known = None if options.known is None or by_model else read(options.known).structures
    unlike = default_unlike(options.known is not None)
    unlike = unlike if options.unlike is None else options.unlike
    with naming(pool.places):
        if potential is not None:
            from ..atoms._selection_by_model import selection_unlike

            chosen = selection_unlike(potential, pool.structures, options.number)
        else:
            cutoff = {} if options.cutoff is None else {"cutoff": options.cutoff}
            chosen = selection(
                pool.structures, options.number, known=known, unlike=unlike,
                random_state=options.seed, **cutoff,
            )  # fmt: skip
    rows = [
        {"structure": pool.places[k], "index": int(k), "distance": _number(distance)}
        for k, distance in zip(chosen.indices, chosen.distances, strict=True)
    ]
    if suffix in _TABLES:
        with replacing(options.output, "w", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["structure", "index", "distance"], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    else:
        write_structures(options.output, [pool.structures[k] for k in chosen.indices])
    random = round((1.0 - unlike) * options.number)
    return {
        "pool": len(pool.structures), "known": 0 if known is None else len(known),
        **({"model": options.known} if by_model else {}),
        "random": random, "unlike": options.number - random, "chosen": rows,
        "left": chosen.left, "more": _more(chosen, len(pool.structures), unlike),
        "output": str(options.output),
    }  # fmt: skip


def _potential(path):
    """Return the potential of ``--known``, which keeps a sample of the atoms of its fit."""
    from ..atoms import EDNNPotential

    check_readable(Path(path))
    potential = load_model(Path(path), None)
    if not isinstance(potential, EDNNPotential) or potential.novelty_ is None:
        raise ValueError(
            f"--known {path}: expected the file of a potential, which keeps a sample of the atoms "
            "of its fit; this model keeps none. Pass the files of the structures that it learned "
            "from."
        )
    return potential


def _more(chosen, n_pool, unlike) -> int:
    """Return how many structures would represent the pool, beyond those chosen; 0 if it is small.

    Parameters
    ----------
    chosen : Selection
    n_pool : int
    unlike : float
        The part of them that is chosen for being unlike others.
    """
    more = math.ceil(chosen.more / unlike) if unlike else 0
    return more if len(chosen.indices) + more <= _OF_POOL * n_pool else 0


def _number(distance) -> float | None:
    return None if np.isnan(distance) else float(distance)


def show(result) -> None:
    """Print how many structures were selected, and how far the others are from these."""
    known = f" and from {result['known']:,} known ones" if result["known"] else ""
    if "model" in result:
        known = f" and those of the fit of {result['model']}"
    typer.echo(
        f"{len(result['chosen']):,} of {result['pool']:,} structures: {result['random']:,} at "
        f"random, and {result['unlike']:,} unlike the others{known}"
    )
    distances = [row["distance"] for row in result["chosen"] if row["distance"] is not None]
    if distances:
        of_model = "model" in result
        what = (
            "the mean novelty of its atoms (1: as the outermost of the fit)" if of_model
            else "in standard deviations of means and extremes over the atoms of a structure"
        )  # fmt: skip
        typer.echo(
            f"distance, {what}, from the nearest of those chosen before: {distances[0]:.3g} for "
            f"the first of these, {distances[-1]:.3g} for the last; at most {result['left']:.3g} "
            "for those left"
        )
        if distances[0] == 0:
            note("All structures of the pool are equal to known ones: a label adds nothing.")
        elif result["more"]:
            larger = ", or a larger --unlike" if result["random"] else ""
            note(
                "Some structures are left that are nearly as far from all others as the first that "
                f"was chosen. With {len(result['chosen']) + result['more']:,} structures, none "
                f"would be more than half as far: choose about so many{larger}."
            )
        if result["known"] or of_model:
            typer.echo(_OTHER_WAY[of_model])
    typer.echo(f"written to {result['output']}")
