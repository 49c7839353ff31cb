"""The page on a fit that ``fit --report`` writes."""

from __future__ import annotations

from pathlib import Path


def check_name(path: Path | None) -> None:
    """Raise where a report would be taken for something else."""
    if path is not None and path.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"--report must end in .html, got {path}.")


def check_report(path: Path | None) -> None:
    """Raise where no report can be made: before the fit, not after.

    Raises
    ------
    MissingExtraError
    """
    if path is None:
        return
    from ..report._svg import require_matplotlib

    require_matplotlib()


def write_report(path: Path, estimator, parts, unit, about) -> None:
    """Write a page on a fit.

    Parameters
    ----------
    path : Path
    estimator : EDNNRegressor, or Pipeline that ends in one
    parts : dict of str to (X, y)
        "train", and "test" where systems were held back.
    unit : str or None
    about : dict of str to str
    """
    from ..estimators._unwrap import regressors_in
    from ..report import fit_report

    for regressor in regressors_in(estimator):
        regressor.evaluation_.set_params(verbose=0)  # a report predicts many times
    page = fit_report(
        estimator, *parts["train"], test=parts.get("test"), unit=unit or "", about=about
    )
    page.save(path)
