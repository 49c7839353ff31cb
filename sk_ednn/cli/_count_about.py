"""What a workbook of counts says about itself."""

from __future__ import annotations

from .._utils.wording import rough_interval, share_of_totals


def about_counts(
    columns, verdict, notes, held_back, confidence, recount="", how=""
) -> list[tuple[str, str]]:
    """Return how good a model is, and the meaning of the columns of its table of counts.

    Parameters
    ----------
    columns : sequence of str
        Names of the totals.
    verdict : dict
        With ``words``.
    notes : list of str
        On differences between pictures.
    held_back : int
        Pictures from which the errors are known.
    confidence : float
        Of the intervals.
    recount : str, default=""
        Which pictures to count by hand first, see `recount_first`.
    how : str, default=""
        How the pictures were counted, see `how_counted`.

    Examples
    --------
    >>> from sk_ednn.cli._count_about import about_counts
    >>> rows = about_counts(["cells"], {"words": "cells is learned"}, [], 30, 0.9)
    >>> rows[0]
    ('the model', 'cells is learned')
    >>> rows[2]
    ('cells low, cells high', 'nine of ten true totals of pictures like those of the fit lie
    between')
    """
    if held_back:
        share, rough = share_of_totals(confidence), rough_interval(held_back)
        between = f"{share} true totals of pictures like those of the fit lie between"
        between += f"; {rough}" if rough else ""
    else:
        between = "empty, since no pictures were held back from the fit"
    rows = [("the model", verdict["words"]), *(("the model", note) for note in notes)]
    if recount:
        what, _, which = recount.partition(": ")
        rows.append((what, which))
    for name in columns:
        rows += [
            (name, "the total: a sum of small contributions, and therefore not a whole number"),
            (f"{name} low, {name} high", between),
            (
                f"{name} spread",
                "how far the models that are averaged differ: not the error to expect, which low "
                "and high show. Where it is half their distance or more, check the count by hand",
            ),
        ]
    rows += [("how this was counted", how)] if how else []
    return [
        *rows,
        ("novelty", "how far the picture is from those of the fit; from 1 on it is flagged"),
        (
            "flag: unlike",
            "the picture differs from those of the fit, as in magnification or light: check its "
            "count by hand",
        ),
        (
            "flag: range",
            "it is fuller, or emptier, than all pictures of the fit, by more than 2 % of the "
            "difference between the fullest and the emptiest one, each per area: check its count "
            "by hand",
        ),
    ]
