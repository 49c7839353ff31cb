"""Report a fit on one page: data, tiling, model, errors and extensivity."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from ..estimators._unwrap import unwrap
from ..fields._in_memory import as_array
from ..inspection._extensivity import additivity_error, extensivity_report
from . import _numbers, _page, _sections
from ._result import FitReport
from ._sections import HELD_BACK, TRAINING
from ._svg import drawing, require_matplotlib


def fit_report(
    estimator, X, y, *, test=None, name="totals", unit="", title=None, about=None, sample=None,
    n_probes=8, max_sites=1 << 22,
) -> FitReport:  # fmt: skip
    """Report on one page how a model was fitted and how accurate it is.

    The page describes the data, the tiling, the model and its parameters, the training curve,
    true and predicted totals, the contributions of one field, and the extensivity of the model.
    A figure that cannot be drawn is replaced by the reason. For bags and structures the page has
    no figures of fields; it lists sizes, and the composition of structures.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee, ShiftAveraged, or a Pipeline or search around one
        Fitted. Or an `EDNNPotential`, for which see `potential_report`; y is None then.
    X : training samples, as for the estimator's `predict`
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Totals of the training samples.
    test : tuple of (X, y), default=None
        Systems held back from the fit, and their totals.
    name, unit : str
        Name and unit of the totals, such as "energies" and "eV".
    title : str, default=None
        None for the tile model and the number of systems.
    about : dict of str to str, default=None
        Further rows of the page, such as the source of the data, the command and the time.
    sample : int, default=None
        Index of the field that is drawn, among the systems held back if there are any. None for
        the one with the median total.
    n_probes : int, default=8
        Number of systems on which extensivity is measured. Fields are doubled and shifted, with
        one prediction for each axis and site of a focus.
    max_sites : int, default=4_194_304
        Fields of more sites are not drawn; pages with larger fields are slow in a browser.

    Returns
    -------
    FitReport

    Raises
    ------
    ValueError
        If there is not one total, or one row of totals, for each system.
    MissingExtraError
        If matplotlib is not installed.

    See Also
    --------
    extensivity_report, ParityDisplay, ErrorDisplay, TilingDisplay, ContributionDisplay

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.report import fit_report
    >>> X, y = make_ising(220, (6, 6), random_state=0, return_X_y=True)
    >>> held_back = X[200:], y[200:]
    >>> model = EDNNRegressor().fit(X[:200], y[:200])
    >>> report = fit_report(model, X[:200], y[:200], test=held_back, name="energies", unit="J")
    >>> print(f"{report.numbers['errors']['held back'][0]['rmse']:.1f} J")
    0.1 J
    >>> bool(max(report.numbers["extensivity"]["copies"]) < 1e-12)
    True
    >>> path = Path(tempfile.mkdtemp()) / "fit.html"
    >>> report.save(path)
    >>> path.read_text(encoding="utf-8").splitlines()[0]
    '<!DOCTYPE html>'
    """
    if test is not None and not (isinstance(test, (tuple, list)) and len(test) == 2):
        raise ValueError(
            f"test must be a tuple of systems and their totals, (X, y), got {type(test).__name__}."
        )
    if hasattr(estimator, "predict_stress"):
        return _of_potential(estimator, X, y, test, title, about)
    require_matplotlib()
    data: dict[str, tuple[Any, Any]] = {TRAINING: (X, y)}
    if test is not None:
        data[HELD_BACK] = test[0], test[1]
    parts = {which: _Part(estimator, *part, max_sites) for which, part in data.items()}
    shown = parts.get(HELD_BACK, parts[TRAINING])
    model = shown.model
    if sample is None:
        order = np.argsort(shown.y_true[:, 0], kind="stable")
        sample = int(order[len(order) // 2])
    if not 0 <= sample < shown.systems.n_samples:
        raise ValueError(f"sample must be from 0 to {shown.systems.n_samples - 1}, got {sample}.")
    numbers: dict[str, Any] = {"data": {}, "errors": {}}
    for which, part in parts.items():
        numbers["data"][which] = _numbers.data_of(part.systems, part.y_true, part.tiling)
        numbers["errors"][which] = _numbers.errors_of(part.y_true, part.y_pred, part.sizes)
    verdicts = _numbers.verdicts_of(
        shown.y_true, shown.y_pred, shown.sizes, held_back=HELD_BACK in parts
    )
    numbers["verdicts"] = [verdict.as_dict() for verdict in verdicts]
    numbers["model"] = _numbers.model_of(estimator, model)
    numbers["fit"] = _numbers.fit_of(estimator)
    numbers["extensivity"] = _extensivity(model, shown, n_probes)
    numbers["versions"] = _numbers.versions()
    labels = _sections.labels_of(name, shown.y_true.shape[1])
    field = _sections.Shown(
        model,
        lambda: shown.field(sample),
        f"field {sample} of the {'training' if test is None else 'held-back'} data",
    )
    with drawing():
        sections = [
            _page.section("Data", *_sections.data(numbers["data"], labels, unit)),
            _page.section("Tiling", _sections.tilings(field)),
            _page.section("Model", *_sections.model(estimator, numbers)),
            *_page.sections("Training", _sections.training(estimator)),
            _page.section(
                "Errors",
                *_sections.verdicts(verdicts, labels),
                *_sections.errors(numbers, parts, labels, unit),
            ),
            _page.section("Contributions", _sections.contributions(field, labels[0], unit)),
            _page.section("Extensivity", *_sections.laws(numbers["extensivity"], unit)),
            _page.section("Provenance", *_sections.provenance(about, numbers["versions"])),
        ]
    if not shown.tiling.is_grid:  # there is no field to draw
        sections = [part for part in sections if part[0] not in ("Tiling", "Contributions")]
    kind = type(_numbers.last_step(_numbers.terms_of(model)[0][1].estimator)).__name__
    html = _page.page(
        title or f"{kind} fitted to {parts[TRAINING].systems.n_samples:,} systems",
        _sections.lead(numbers, verdicts, labels, unit),
        _sections.cards(numbers, unit),
        sections,
        f"sk-ednn {numbers['versions']['sk-ednn']}, "
        f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.",
    )
    return FitReport(numbers, html)


def _of_potential(estimator, X, y, test, title, about):
    """Return the page of a potential, whose structures carry their labels."""
    from ._potentials import potential_report

    if y is not None or (test is not None and test[1] is not None):
        raise ValueError(
            "The structures of a potential contain their energies: pass y=None, and test=(X, None)."
        )
    held_back = None if test is None else test[0]
    return potential_report(estimator, X, test=held_back, title=title, about=about)


class _Part:
    """Systems of one part of the data, with true and predicted totals."""

    def __init__(self, estimator, X, y, max_sites):
        self.model, systems = unwrap(estimator, X)
        self.tiling = _numbers.terms_of(self.model)[0][2]
        self.systems = self.tiling.check(systems)
        self.sizes = _numbers.sizes_of(self.systems, self.tiling)
        self.max_sites = max_sites
        y = as_array(y, "y", float)
        if y.ndim not in (1, 2) or len(y) != self.systems.n_samples:
            raise ValueError(
                f"y must have shape (n_samples,) or (n_samples, n_outputs) for "
                f"{self.systems.n_samples} systems, got {y.shape}."
            )
        predicted = np.asarray(estimator.predict(X), dtype=float)
        if predicted.size != y.size:
            raise ValueError(
                f"y has shape {y.shape}, but the model predicts totals of shape {predicted.shape}."
            )
        self.y_true = y.reshape(len(y), -1)
        self.y_pred = predicted.reshape(len(y), -1)

    def field(self, index) -> np.ndarray:
        """Return one field; raise ValueError if it is too large to draw."""
        if self.sizes[index] > self.max_sites:
            raise ValueError(
                f"the field has {self.sizes[index]:,.0f} sites, more than the {self.max_sites:,} "
                "that a report draws."
            )
        values = self.systems.take([index]).stacks[0].values
        if not isinstance(values, np.ndarray):
            values = np.asarray(values.read(tuple(slice(0, n) for n in values.shape)))
        return values[0]


# --- numbers ----------------------------------------------------------------------------------


def _extensivity(model, part, n_probes):
    """Return the extensivity of some systems, or the reason why it cannot be measured."""
    n_probes = min(n_probes, part.systems.n_samples)
    chosen = np.unique(np.linspace(0, part.systems.n_samples - 1, n_probes).astype(int))
    try:
        if not part.tiling.is_grid:
            systems = part.systems.take(chosen)
            error = additivity_error(model, systems, np.asarray(model.predict(systems)))
            return {
                "n_probes": len(chosen), "copies": [], "additivity": error, "shift_by_focus": [],
                "shifts": [],
            }  # fmt: skip
        report = extensivity_report(model, [part.field(index) for index in chosen])
    except Exception as error:  # a report without this section is better than none
        return {"why_not": _sections.first_line(error)}
    return {
        "n_probes": len(chosen),
        "copies": report.copies.tolist(),
        "additivity": float(report.additivity),
        "shift_by_focus": report.shift_by_focus.tolist(),
        "shifts": [changes.tolist() for changes in report.shifts],
    }
