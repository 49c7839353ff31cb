"""Model files written by runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .._utils.wording import plain
from ._run_verdict import verdict_lines
from ._runs import row_of
from ._words import moment


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
    verdict : str
        How good the model is, if its fit says so.
    """

    path: Path
    run: str
    words: str
    fields: str | None = None
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
        error = "" if row.error is None else f", off by {plain(row.error, 2)}"
        when = "" if row.started is None else f", of {moment(row.started)[:16]}"
        model = f": {row.model}" if row.model else ""
        words = f"{_learned_of(run.result)}{row.data}{model}{error}{when}"
        fields = run.settings.get("fields")
        fields = fields if isinstance(fields, str) else None
        path, verdict = run.file(name), " ".join(verdict_lines(run.result))
        models.append(ModelFile(path, run.id, words, fields, verdict))
    return models


def _learned_of(result) -> str:
    totals = result.get("totals") if isinstance(result, dict) else None
    return f"{', '.join(map(str, totals))} – " if isinstance(totals, dict) and totals else ""
