"""Model files written by runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ._runs import PREDICTIONS, row_of, verdict_in


@dataclass(frozen=True)
class ModelFile:
    """A model file of a run.

    Attributes
    ----------
    path : Path
    run : str
        Id of the run.
    words : str
        For a list of them.
    fields : str or None
        File of the fields of the fit.
    errors : Path or None
        Predictions of the systems that were held back, if these are enough for intervals.
    verdict : str
        How good the model is, if its fit says so.
    """

    path: Path
    run: str
    words: str
    fields: str | None = None
    errors: Path | None = None
    verdict: str = ""


def model_files(site, kinds) -> list[ModelFile]:
    """Return the models of all runs of some kinds, the newest first.

    Parameters
    ----------
    site : Site
    kinds : collection of str
    """
    models = []
    for run in site.runs():
        if run.kind not in kinds or run.status == "running":
            continue
        name = next((name for name in run.files() if name.endswith(".ednn")), None)
        if name is None:
            continue
        row = row_of(run)
        error = "" if row.error is None else f", error {row.error:.3g}"
        when = run.started.replace("T", " ")[:16]
        model = f": {row.model}" if row.model else ""
        words = f"{row.data}{model}{error} ({when} UTC)"
        files, fields = run.files(), run.settings.get("fields")
        errors = None
        if PREDICTIONS in files and _n_held_back(run) >= site.tools.fewest_errors:
            errors = run.file(PREDICTIONS)
        fields = fields if isinstance(fields, str) else None
        path, verdict = run.file(name), verdict_in(run.result) or ""
        models.append(ModelFile(path, run.id, words, fields, errors, verdict))
    return models


def _n_held_back(run) -> int:
    n_test = run.result.get("n_test") if isinstance(run.result, dict) else None
    return n_test if isinstance(n_test, int) else 0
