"""The command ``count report``."""

from __future__ import annotations

import typer

from ._count_inputs import (
    about_of,
    check_inputs,
    columns_of_fit,
    described,
    load_counter,
    matched_totals,
    names_of_totals,
    sayer,
)
from ._count_of_fit import are_of_fit, note_on_seen
from ._count_page import Counted, write_page
from ._count_words import counted
from ._paths import check_paths, check_pictures, may_replace


def run(options) -> None:
    """Count in pictures and write the report.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    check_inputs(options)
    from ..images import read_pictures

    if options.output.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"--output must end in .html, got {options.output}.")
    check_paths(options)
    may_replace("--output", options.output, options.force)
    model = load_counter(options.model)
    say = sayer(options)
    pictures = read_pictures(options.pictures, missing_chunks=options.missing_chunks)
    check_pictures(options, pictures)
    true = None
    if options.totals is not None:
        matched = matched_totals(
            pictures, options.totals, say, column=options.column,
            counts=False if options.amounts else None, known=columns_of_fit(options.model),
        )  # fmt: skip
        pictures = matched.pictures
        true = matched.totals.reshape(len(pictures), -1)
        if true.shape[1] != model.n_outputs_:
            raise ValueError(
                f"The model predicts {model.n_outputs_} total(s), but the table has "
                f"{true.shape[1]}. Name the columns with --column."
            )
    say(described(pictures))
    columns = names_of_totals(options.model, model)
    rows = model.count(pictures, done=lambda row: say(counted(row)))

    def map_of(picture):
        """Return the map of a picture, totals last."""
        (of_picture,) = model.predict_contributions([picture])
        return of_picture if of_picture.ndim >= picture.ndim else of_picture[..., None]

    about = about_of(options.model)
    if true is not None:
        note = note_on_seen(sum(are_of_fit(pictures, about)), len(pictures))
        if note:
            typer.echo(note)
    done = Counted(model, options.model.name, about, columns, pictures, rows, true)
    write_page(options.output, done, map_of)
