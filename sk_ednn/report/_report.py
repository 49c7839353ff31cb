"""A fit on one page: its data, its tiling, its errors and whether it is extensive."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from .._utils.writing import replacing
from ..estimators._unwrap import unwrap
from ..fields._sources import as_array
from ..inspection._extensivity import extensivity_report
from . import _numbers, _page, _sections
from ._sections import HELD_BACK, TRAINING
from ._svg import drawing, require_matplotlib

# Larger fields would make a page that no browser shows.
_MOST_SITES = 1 << 22


class FitReport:
    """What `fit_report` found, and the page that shows it.

    Attributes
    ----------
    numbers : dict
        ``data`` and ``errors`` by part ("training", "held back"; errors are a list of one dict for
        each output), ``verdicts`` of each output (`sk_ednn.metrics.judge`, on systems held back
        where there are some), ``model``, ``fit``, ``extensivity`` and ``versions``: what the
        tables of the page are made of.
    html : str
        One page; it refers to nothing outside itself.
    """

    def __init__(self, numbers, html):
        self.numbers = numbers
        self.html = html

    def save(self, path) -> None:
        """Write the page to a file, to be opened by any browser, with no network.

        Parameters
        ----------
        path : str or Path
        """
        with replacing(path, "w", encoding="utf-8") as file:
            file.write(self.html)

    def _repr_html_(self) -> str:
        """Return the page within another, whose styles are not its own."""
        frame = _page.element(
            "iframe", srcdoc=self.html, title="Report of a fit", width="100%", height="700",
            style="border: 0",
        )  # fmt: skip
        return _page.as_html(frame)


def fit_report(
    estimator, X, y, *, test=None, name="totals", unit="", title=None, about=None, sample=None,
    n_probes=8,
) -> FitReport:  # fmt: skip
    """Put together on one page how a model was fitted and how good it is.

    The page holds the data, the tiling, the model and its parameters, the curve of its training,
    predicted and true totals and their errors, the contributions of one field, and by how much it
    is extensive. A figure that cannot be drawn is replaced by a line that says why.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee, or a Pipeline or search around one; fitted
        Or an `EDNNPotential`, for which see `potential_report`; y is None then.
    X : what the estimator predicts
        The systems it was fitted to.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Their totals.
    test : tuple of (X, y), default=None
        Systems held back from the fit, and their totals.
    name, unit : str
        What the totals are, such as "energies" and "eV".
    title : str, default=None
        None for one made of the tile model and the number of systems.
    about : dict of str to str, default=None
        What else is to be said of the fit: where the data are from, the command, the time it took.
    sample : int, default=None
        The field that is drawn, of those held back where there are some. None for the one whose
        total is in the middle.
    n_probes : int, default=8
        Fields that are doubled and shifted to see whether the model is extensive. For each axis
        they are predicted once more for each site of a focus.

    Returns
    -------
    FitReport

    Raises
    ------
    ValueError
        Where the totals are not one, or one row, for each system.
    MissingExtraError
        Where matplotlib is not installed.

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
    if hasattr(estimator, "predict_stress"):
        return _of_potential(estimator, X, y, test, title, about)
    require_matplotlib()
    given = {TRAINING: (X, y)} | ({} if test is None else {HELD_BACK: test})
    parts = {which: _Part(estimator, *data) for which, data in given.items()}
    shown = parts.get(HELD_BACK, parts[TRAINING])
    regressor = shown.regressor
    if sample is None:
        order = np.argsort(shown.y_true[:, 0], kind="stable")
        sample = int(order[len(order) // 2])
    if not 0 <= sample < shown.fields.n_samples:
        raise ValueError(f"sample must be from 0 to {shown.fields.n_samples - 1}, got {sample}.")
    numbers: dict[str, Any] = {"data": {}, "errors": {}}
    for which, part in parts.items():
        numbers["data"][which] = _numbers.data_of(part.fields, part.y_true, part.tiling)
        numbers["errors"][which] = _numbers.errors_of(part.y_true, part.y_pred, part.sites)
    verdicts = _numbers.verdicts_of(
        shown.y_true, shown.y_pred, shown.sites, held_back=HELD_BACK in parts
    )
    numbers["verdicts"] = [verdict.as_dict() for verdict in verdicts]
    numbers["model"] = _numbers.model_of(estimator, regressor)
    numbers["fit"] = _numbers.fit_of(estimator)
    numbers["extensivity"] = _extensivity(regressor, shown, n_probes)
    numbers["versions"] = _numbers.versions()
    labels = _sections.labels_of(name, shown.y_true.shape[1])
    field = _sections.Shown(
        regressor,
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
                *_sections.errors(numbers["errors"], parts, labels, unit),
            ),
            _page.section("Contributions", _sections.contributions(field, labels[0], unit)),
            _page.section("Extensivity", *_sections.laws(numbers["extensivity"], unit)),
            _page.section("How it was made", *_sections.made(about, numbers["versions"])),
        ]
    kind = type(_numbers.last_step(_numbers.terms_of(regressor)[0][1].estimator)).__name__
    html = _page.page(
        title or f"{kind} fitted to {parts[TRAINING].fields.n_samples:,} systems",
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
            "The structures of a potential carry their energies: give y=None, and test=(X, None)."
        )
    held_back = None if test is None else test[0]
    return potential_report(estimator, X, test=held_back, title=title, about=about)


class _Part:
    """Systems of one part of the data, as they came and as they are predicted."""

    def __init__(self, estimator, X, y):
        self.regressor, fields = unwrap(estimator, X)
        self.tiling = _numbers.terms_of(self.regressor)[0][2]
        self.fields = self.tiling.check(fields)
        self.sites = _numbers.sites_of(self.fields, self.tiling)
        y = as_array(y, "y", float)
        if y.ndim not in (1, 2) or len(y) != self.fields.n_samples:
            raise ValueError(
                f"y must have shape (n_samples,) or (n_samples, n_outputs) for "
                f"{self.fields.n_samples} systems, got {y.shape}."
            )
        predicted = np.asarray(estimator.predict(X), dtype=float)
        if predicted.size != y.size:
            raise ValueError(
                f"y has shape {y.shape}, but the model predicts totals of shape {predicted.shape}."
            )
        self.y_true = y.reshape(len(y), -1)
        self.y_pred = predicted.reshape(len(y), -1)

    def field(self, index) -> np.ndarray:
        """Return one field; raise ValueError where it is too large to be shown."""
        if self.sites[index] > _MOST_SITES:
            raise ValueError(
                f"It has {self.sites[index]:,.0f} sites, and fields of up to {_MOST_SITES:,} are "
                "shown."
            )
        values = self.fields.take([index]).stacks[0].values
        if not isinstance(values, np.ndarray):
            values = np.asarray(values.read(tuple(slice(0, n) for n in values.shape)))
        return values[0]


# --- numbers ----------------------------------------------------------------------------------


def _extensivity(regressor, part, n_probes):
    """Return what `extensivity_report` says of some fields, or why it says nothing."""
    n_probes = min(n_probes, part.fields.n_samples)
    chosen = np.unique(np.linspace(0, part.fields.n_samples - 1, n_probes).astype(int))
    try:
        found = extensivity_report(regressor, [part.field(index) for index in chosen])
    except Exception as error:  # a page with all but this is better than none
        return {"why_not": _sections.first_line(error)}
    return {
        "n_probes": len(chosen),
        "copies": found.copies.tolist(),
        "additivity": float(found.additivity),
        "shift_by_focus": found.shift_by_focus.tolist(),
        "shifts": [along.tolist() for along in found.shifts],
    }
