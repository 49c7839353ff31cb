"""Plot totals or times against size, or speed-up against the number of workers."""

from __future__ import annotations

import copy
import time

import numpy as np
from sklearn.base import clone

from ...estimators._unwrap import terms_in, unwrap
from ...fields._in_memory import as_array
from .._grids import grid_axes
from ._style import COLOURS, GREY, MARKERS, by_group, check_axes, log_sizes, new_axes, with_unit

_KINDS = ("total", "time", "speedup")


class ScalingDisplay:
    """Totals against size, time against size, or speed-up against the number of workers.

    Create it with `from_measurements` or `from_estimator`; `plot` redraws it.

    Parameters
    ----------
    sizes : ndarray of shape (n,)
        Sizes of systems; numbers of workers for ``kind="speedup"``.
    values : ndarray of shape (n,)
        Totals, or times in seconds.
    kind : {"total", "time", "speedup"}
    groups : array-like of shape (n,) or None, default=None
        Labels; each group has its own colour.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    exponents_ : dict of str to float
        For each group, the exponent of a power law in the size, fitted to all totals or times (1:
        extensive, linear); NaN for speed-ups, or if values change sign.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Figs. 9 to 11.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sk_ednn.inspection import ScalingDisplay
    >>> display = ScalingDisplay.from_measurements([1e4, 1e5, 1e6], [0.02, 0.2, 2.0], kind="time")
    >>> print(f"{display.exponents_['all']:.2f}")
    1.00
    """

    def __init__(self, sizes, values, *, kind, groups=None):
        self.sizes = sizes
        self.values = values
        self.kind = kind
        self.groups = groups

    @classmethod
    def from_measurements(cls, sizes, values, *, kind="total", groups=None, ax=None, **style):
        """Draw measurements.

        Parameters
        ----------
        sizes, values : array-like of shape (n,)
        kind : {"total", "time", "speedup"}, default="total"
        groups : array-like of shape (n,), default=None
        ax : matplotlib Axes, default=None
        **style : keywords of `plot`

        Returns
        -------
        ScalingDisplay

        Raises
        ------
        ValueError
            If shapes differ, or sizes or times are not positive.
        """
        sizes, values = as_array(sizes, "sizes", float), as_array(values, "values", float)
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {_KINDS}, got {kind!r}.")
        if sizes.ndim != 1 or sizes.shape != values.shape or len(sizes) == 0:
            raise ValueError(
                "sizes and values must have the same shape (n,), got "
                f"{sizes.shape} and {values.shape}."
                + (" Draw outputs one at a time." if values.ndim == 2 else "")
            )
        if not (sizes > 0).all() or (kind != "total" and not (values > 0).all()):
            raise ValueError("Sizes, numbers of workers and times must be positive.")
        return cls(sizes, values, kind=kind, groups=groups).plot(ax, **style)

    @classmethod
    def from_estimator(
        cls, estimator, X, *, kind="time", n_jobs=None, n_repeats=3, sizes=None, ax=None, **style
    ):
        """Predict systems of several sizes one by one, or with several numbers of workers.

        Parameters
        ----------
        estimator : EDNNRegressor, EDNNCommittee, ShiftAveraged, or a Pipeline or search around one
            Fitted.
        X : list of systems of several sizes
        kind : {"total", "time", "speedup"}, default="time"
            "speedup" predicts all of `X` at once.
        n_jobs : sequence of int, default=None
            Numbers of workers; required for "speedup".
        n_repeats : int, default=3
            Number of measurements, of which the shortest counts, since other load only adds to
            it. Each starts with empty caches.
        sizes : array-like of shape (n_samples,), default=None
            None for the number of sites, instances or atoms.
        ax : matplotlib Axes, default=None
        **style : keywords of `plot`

        Returns
        -------
        ScalingDisplay
        """
        check_axes(ax)
        if kind == "speedup":
            if n_jobs is None:
                raise ValueError("kind='speedup' needs n_jobs, such as n_jobs=[1, 2, 4].")
            inner, fields = unwrap(estimator, X)
            times = [_shortest(_fresh(inner, n_jobs=n), fields, n_repeats) for n in n_jobs]
            return cls.from_measurements(n_jobs, times, kind=kind, ax=ax, **style)
        inner, fields = unwrap(estimator, X)
        _, tiling = terms_in(inner)[0]
        systems = tiling.check(fields)
        samples = systems.unstacked() if tiling.is_grid else list(fields)
        if sizes is None and tiling.is_grid:
            axes = grid_axes(tiling, samples[0].ndim)
            sizes = [np.prod([x.shape[axis] for axis in axes]) for x in samples]
        elif sizes is None:
            sizes = systems.sizes
        if kind == "total":
            values = inner.predict(samples)
        else:
            inner.predict([samples[0]])  # the first call loads libraries, which is not timed
            values = [_shortest(_fresh(inner), [x], n_repeats) for x in samples]
        return cls.from_measurements(sizes, values, kind=kind, ax=ax, **style)

    def plot(self, ax=None, *, name="total", unit="", per="site"):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        name, unit : str
            Name and unit of the totals, for the labels.
        per : str, default="site"
            Unit of the sizes.

        Returns
        -------
        self
        """
        self.figure_, self.ax_ = new_axes(ax)
        self.exponents_, lined = {}, False
        groups = by_group(self.groups, len(self.sizes))
        for k, (label, samples) in enumerate(groups):
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            style = {"marker": marker, "mfc": "white", "mew": 1.4, "ms": 6, "color": colour}
            samples = samples[np.argsort(self.sizes[samples], kind="stable")]
            sizes, values = self.sizes[samples], self.values[samples]
            if self.kind == "speedup":
                values = values[0] * sizes[0] / values
                self.exponents_[label or "all"] = np.nan
                self.ax_.plot(sizes, values, label=label or "measured", **style)
                continue
            exponent = _exponent(sizes, values)
            self.exponents_[label or "all"] = exponent
            shown = f"size to the power {exponent:.2f}"
            if np.isnan(exponent):
                shown = label
            elif label is not None:
                shown = f"{label}: {shown}"
            self.ax_.plot(sizes, np.abs(values), ls="none", label=shown, **style)
            # A line of slope one through the middle: extensive totals, or linear time.
            ends = np.array([sizes[0], sizes[-1]])
            if (values != 0).all():
                middle = np.exp(np.mean(np.log(np.abs(values) / sizes)))
                named = {} if lined else {"label": f"in proportion to {per}s"}
                self.ax_.plot(ends, middle * ends, "--", color=colour, lw=1, zorder=1, **named)
                lined = True
        self._dress(groups, name, unit, per)
        return self

    def _dress(self, groups, name, unit, per):
        ax = self.ax_
        if self.kind == "speedup":
            ends = np.array([self.sizes.min(), self.sizes.max()])
            ax.plot(ends, ends, color=GREY, lw=1, ls="--", label="ideal", zorder=1)
            ax.set(xlabel="workers", ylabel="speed-up", xlim=(0.9 * ends[0], 1.05 * ends[1]))
            ax.set_ylim(bottom=0)
            ax.set_xticks(np.unique(self.sizes))
        else:
            negative = self.kind == "total" and (self.values < 0).all()
            ylabel = with_unit(f"\N{MINUS SIGN} {name}" if negative else name, unit)
            if self.kind == "total" and not negative and (self.values < 0).any():
                ylabel = f"|{name}|" + (f" / {unit}" if unit else "")
            if self.kind == "time":
                ylabel = "time / s"
            log_sizes(ax, self.sizes)
            ax.set(yscale="log", xlabel=f"{per}s", ylabel=ylabel)
        ax.legend(frameon=False, fontsize=9, loc="upper left")


def _exponent(sizes, values) -> float:
    same_sign = (values > 0).all() or (values < 0).all()
    if not same_sign or len(np.unique(sizes)) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(np.abs(values)), 1)[0])


def _shortest(model, X, n_repeats) -> float:
    times = []
    for _ in range(n_repeats):
        cold = _fresh(model)
        start = time.perf_counter()
        cold.predict(X)
        times.append(time.perf_counter() - start)
    return min(times)


def _fresh(model, **params):
    """Return a shallow copy with empty caches."""
    model = copy.copy(model)
    if hasattr(model, "estimators_"):
        model.estimators_ = [_fresh(member, **params) for member in model.estimators_]
    elif hasattr(model, "estimator_"):
        model.estimator_ = _fresh(model.estimator_, **params)
    else:
        model.evaluation_ = clone(model.evaluation_).set_params(**params)
    return model
