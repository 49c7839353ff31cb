"""Plot predicted against true totals."""

from __future__ import annotations

import numpy as np

from ._style import COLOURS, GREY, MARKERS, by_group, new_axes, with_unit
from ._totals import TotalsDisplay

# More points than this are drawn as translucent dots.
_MANY = 150


class ParityDisplay(TotalsDisplay):
    """Predicted against true totals.

    Create it with `from_estimator` or `from_predictions`; `plot` redraws it.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n_samples,)
        Totals.
    sizes : ndarray of shape (n_samples,) or None, default=None
        Divisors of the totals: numbers of sites or atoms, or areas.
    groups : array-like of shape (n_samples,) or None, default=None
        Labels; each group has its own colour.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each group.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Figs. 3, 5 and 7.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sk_ednn.inspection import ParityDisplay
    >>> display = ParityDisplay.from_predictions(
    ...     [-8.0, -16.0, -36.0], [-8.1, -16.0, -35.8], sizes=[4, 8, 16], name="energy", unit="eV"
    ... )
    >>> display.ax_.get_xlabel(), display.y_pred.tolist()
    ('true energy per site / eV', [-8.1, -16.0, -35.8])
    """

    def plot(self, ax=None, *, name="total", unit="", per="site", show_errors=True):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        name, unit : str
            Name and unit of the totals, for the labels.
        per : str, default="site"
            Unit of `sizes`.
        show_errors : bool, default=True
            Whether the legend contains the mean absolute error of each group.

        Returns
        -------
        self
        """
        self.figure_, self.ax_ = new_axes(ax, size=(4.4, 4.2))
        ax = self.ax_
        true, predicted = self.y_true, self.y_pred
        if self.sizes is not None:
            true, predicted = true / self.sizes, predicted / self.sizes
            name = f"{name} per {per}"
        ends = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
        margin = 0.04 * (np.ptp(ends) or abs(ends[0]) or 1.0)
        ends = ends + np.array([-margin, margin])
        ax.plot(ends, ends, color=GREY, lw=0.9, zorder=1, label="_equal")
        self.lines_ = []
        for k, (label, samples) in enumerate(by_group(self.groups, len(true))):
            error = float(np.mean(np.abs(predicted[samples] - true[samples])))
            shown = f"MAE {error:.2g} {unit}".rstrip()
            if not show_errors:
                shown = label
            elif label is not None:
                shown = f"{label}: {shown}"
            many = len(samples) > _MANY
            style = (
                {"marker": ".", "ms": 4.5, "alpha": 0.5, "mew": 0}
                if many
                else {"marker": MARKERS[k % len(MARKERS)], "ms": 5.5, "mfc": "none", "mew": 1.2}
            )
            self.lines_ += ax.plot(
                true[samples], predicted[samples], ls="none", color=COLOURS[k % len(COLOURS)],
                label=shown, zorder=2 + k, **style,
            )  # fmt: skip
        ax.set(
            xlim=ends,
            ylim=ends,
            xlabel=with_unit(f"true {name}", unit),
            ylabel=with_unit(f"predicted {name}", unit),
        )
        ax.set_aspect("equal", adjustable="box")
        # Points lie along the diagonal, so this corner is free.
        if show_errors or self.groups is not None:
            legend = ax.legend(loc="upper left", frameon=False, fontsize=9, handletextpad=0.3)
            for handle in legend.legend_handles:
                handle.set_alpha(1.0)
        return self
