"""Files that a fit of a potential writes."""

from __future__ import annotations

from . import _config, _runs
from ._report import about_fit


def write_predictions(options, known, parts) -> None:
    """Write energies of the structures that are labelled with them."""
    rows = {
        which: (part.data.energies, part.predicted.energies, part.data.structures.sizes)
        for which, part in known.items()
    }
    places = {which: part.data.places for which, part in known.items()}
    _runs.write_predictions(options, rows, places, indices=parts)


def write(ctx, options, potential, taken, known, groups, key, result) -> None:
    """Write the model, the report, errors of structures and settings; add their names.

    `groups` of each part are those by which errors are shown, by `key`; or both are None.
    """
    from .. import files as model_files

    about = {
        "made by": "sk-ednn fit",
        "errors": {which: result[which] for which in taken},
        "verdict": result["verdict"],
        "labels": {kind: result["labels"][kind] for kind in ("energy", "forces", "stress")},
        **({"thin cells": result["thin_cells"]} if "thin_cells" in result else {}),
        **({"interrupted": result["interrupted"]} if "interrupted" in result else {}),
    }
    result["sha256"] = model_files.save(potential, options.output, unit="eV", about=about)
    if options.report is not None:
        from ..report._potentials import HELD_BACK, TRAINING, report_of

        about = about_fit(ctx, options, result, result["seconds"])
        names = {"train": TRAINING, "test": HELD_BACK}
        page = report_of(
            potential, {names[which]: part for which, part in known.items()}, about=about,
            groups=None if groups is None else {names[k]: each for k, each in groups.items()},
        )  # fmt: skip
        page.save(options.report)
        result["report"] = str(options.report)
    if options.errors is not None:
        from ..atoms._structure_errors import write_structure_errors

        write_structure_errors(options.errors, potential, known, groups, key or "group")
        result["written"] = str(options.errors)
    _config.write(ctx, options.save_config)
