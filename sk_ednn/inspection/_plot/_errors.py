"""Plot the distribution of errors, or errors against size."""

from __future__ import annotations

import numpy as np

from .._extensivity import size_transfer
from ._style import COLOURS, GREY, MARKERS, by_group, log_sizes, new_axes, with_unit
from ._totals import TotalsDisplay

# Fewer errors than this are drawn one by one, since a histogram would be too coarse.
_MIN_FOR_HISTOGRAM = 50


class ErrorDisplay(TotalsDisplay):
    """Errors of totals, as a histogram or against the size of the system.

    Create it with `from_estimator` or `from_predictions`; `plot` redraws it.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        Totals.
    sizes : ndarray of shape (n_samples,) or None, default=None
        Numbers of sites or atoms, or areas. Histograms show errors divided by them.
    groups : array-like of shape (n_samples,) or None, default=None
        Labels; each group has its own colour.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    size_transfer_ : dict of str to Bunch
        For ``kind="size"``, the result of `sk_ednn.inspection.size_transfer` for each group.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Figs. 3, 5 and 7.

    Examples
    --------
    Errors in proportion to the number of sites are a bias:

    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from sk_ednn.inspection import ErrorDisplay
    >>> N = np.repeat([64, 256, 1024], 10)
    >>> true = -2.0 * N
    >>> display = ErrorDisplay.from_predictions(
    ...     true, true + 0.001 * N, sizes=N, kind="size", name="energy", unit="J"
    ... )
    >>> print(f"{display.size_transfer_['all'].exponent:.2f}")
    1.00
    """

    def plot(
        self, ax=None, *, kind="histogram", name="total", unit="", per="site", limit=None, bins=40
    ):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        kind : {"histogram", "size"}, default="histogram"
            "size" draws the root mean square error at each size, the fit of bias and noise (line),
            and the slopes of either alone.
        name, unit : str
            Name and unit of the totals, for the labels.
        per : str, default="site"
            Unit of `sizes`.
        limit : float or None, default=None
            Range of histograms; larger errors are in the outermost bins. None for all errors.
        bins : int, default=40
            Number of bins. Fewer than 50 errors are drawn one by one, as strokes.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``kind="size"`` and there are no sizes.
        """
        if kind not in ("histogram", "size"):
            raise ValueError(f"kind must be 'histogram' or 'size', got {kind!r}.")
        if kind == "size" and self.sizes is None:
            raise ValueError("kind='size' draws errors against sizes; pass `sizes`.")
        beside = kind == "histogram" and self.groups is not None
        self.figure_, self.ax_ = new_axes(ax, size=(5.8 if beside else 4.8, 3.8))
        groups = by_group(self.groups, len(self.y_true))
        if kind == "histogram":
            self._plot_histogram(groups, name, unit, per, limit, bins)
        else:
            self._plot_sizes(groups, name, unit, per)
        if kind == "size":
            self.ax_.legend(frameon=False, fontsize=9, loc="upper left")
        elif self.groups is not None:  # outside, since bins and strokes may fill the axes
            beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
            self.ax_.legend(frameon=False, fontsize=9, **beside)
        return self

    def _plot_histogram(self, groups, name, unit, per, limit, bins):
        ax = self.ax_
        errors = self.y_pred - self.y_true
        if self.sizes is not None:
            errors = errors / self.sizes
            name = f"{name} per {per}"
        widest = float(np.abs(errors).max()) or 1.0
        limit = widest if limit is None else limit
        edges = np.linspace(-limit, limit, bins + 1)
        shown = np.clip(errors, -limit, limit)
        tallest, strokes = 0.0, []
        for k, (label, samples) in enumerate(groups):
            colour = COLOURS[k % len(COLOURS)]
            if len(samples) < _MIN_FOR_HISTOGRAM:
                strokes.append((shown[samples], colour, label))
                continue
            heights, *_ = ax.hist(
                shown[samples], edges, weights=np.full(len(samples), 1 / len(samples)),
                color=colour, alpha=0.35 if len(groups) > 1 else 0.6, label=label, zorder=2,
            )  # fmt: skip
            ax.stairs(heights, edges, color=colour, lw=1.2, zorder=3)
            tallest = max(tallest, heights.max())
        height = 0.14 * (tallest or 1.0)
        for row, (values, colour, label) in enumerate(strokes):
            low = -(row + 1.2) * height
            ax.vlines(values, low, low + height, color=colour, lw=1.2, label=label, zorder=3)
        ax.axvline(0.0, color=GREY, lw=0.8, zorder=1)
        # Shares, not counts, so that groups of different sizes can be compared.
        if tallest:
            ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= 1.1 * tallest])
        else:
            ax.set_yticks([])
        ax.set(
            xlabel=with_unit(f"error of {name}", unit),
            ylabel="share of systems" if tallest else "systems",
        )

    def _plot_sizes(self, groups, name, unit, per):
        ax = self.ax_
        self.size_transfer_ = {}
        below: dict[float, float] = {}
        for k, (label, samples) in enumerate(groups):
            transfer = size_transfer(
                self.y_true[samples], self.y_pred[samples], self.sizes[samples]
            )
            self.size_transfer_[label or "all"] = transfer
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            kept = transfer.rmse > 0
            ax.plot(
                transfer.sizes[kept], transfer.rmse[kept], marker, color=colour, mfc="white",
                mew=1.4, ms=6, label=label or "root mean square error", zorder=4,
            )  # fmt: skip
            N = np.geomspace(transfer.sizes[0], transfer.sizes[-1], 100)
            expected = np.sqrt((transfer.bias * N) ** 2 + transfer.noise**2 * N)
            if (expected > 0).all():
                ax.plot(N, expected, color=colour, lw=1.2, zorder=3,
                        label=None if label else "bias and noise")  # fmt: skip
            for power in (1.0, 0.5):
                heights = transfer.rmse[kept] / transfer.sizes[kept] ** power
                below[power] = min(below.get(power, np.inf), heights.min(initial=np.inf))
        ends = np.array([self.sizes.min(), self.sizes.max()], dtype=float)
        if np.isfinite(list(below.values())).all() and ends[1] > ends[0]:
            for power, style, text in ((1.0, ":", f"∝ {per}s"), (0.5, "--", f"∝ root of {per}s")):
                # Just below all points, so that the guides cover nothing.
                guide = 0.6 * below[power] * ends**power
                ax.plot(ends, guide, style, color=GREY, lw=1.1, label=text, zorder=1)
        log_sizes(ax, self.sizes)
        ax.set(xlabel=f"{per}s", ylabel=with_unit(f"error of {name}", unit))
        if (self.y_true != self.y_pred).any():  # a logarithmic axis needs positive errors
            ax.set_yscale("log")
