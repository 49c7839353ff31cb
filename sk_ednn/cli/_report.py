"""The report of ``fit --report``."""

from __future__ import annotations

from pathlib import Path


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
