"""The report of ``fit --report``, and the lines on files that end the output of a fit."""

from __future__ import annotations

from pathlib import Path

import typer

from . import _config


def check_name(path: Path | None) -> None:
    """Raise if the name of a report does not end in .html."""
    if path is not None and path.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"--report must end in .html, got {path}.")


def check_report(path: Path | None) -> None:
    """Raise if a report cannot be written, before the fit.

    Raises
    ------
    MissingExtraError
    """
    if path is None:
        return
    from ..report._svg import require_matplotlib

    require_matplotlib()


def about_fit(ctx, options, result, seconds) -> dict[str, str]:
    """Return how a model was made, for its report.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
    result : dict
        "sha256" of the model file, and "interrupted" if the training was.
    seconds : float
        Duration of the fit.
    """
    return {
        "command": _config.command_line(ctx),
        "model file": str(options.output),
        "sha256": result["sha256"],
        "time of the fit": f"{seconds:.3g} s",
        **({"interrupted": result["interrupted"]} if "interrupted" in result else {}),
    }


def write_report(path: Path, estimator, parts, unit, about) -> None:
    """Write a report on a fit.

    Parameters
    ----------
    path : Path
    estimator : EDNNRegressor, or Pipeline that ends in one
    parts : dict of str to (X, y)
        "train", and "test" for held-out systems if there are any.
    unit : str or None
    about : dict of str to str
    """
    from ..estimators._unwrap import regressors_in
    from ..report import fit_report

    for regressor in regressors_in(estimator):
        regressor.evaluation_.set_params(verbose=0)  # reports predict many times
    page = fit_report(
        estimator, *parts["train"], test=parts.get("test"), unit=unit or "", about=about
    )
    page.save(path)


def show_files(summary, result) -> None:
    """Print a summary of a fit, and the files that it wrote.

    Parameters
    ----------
    summary : str
    result : dict
        "output" and "replaced", and "interrupted" and "report" where there are any.
    """
    instead = ", replacing the existing file" if result["replaced"] else ""
    typer.echo(f"{summary}; written to {result['output']}{instead}")
    if "interrupted" in result:
        typer.echo(f"{result['interrupted']} (also noted in the file)")
    if "report" in result:
        typer.echo(f"report written to {result['report']}")
