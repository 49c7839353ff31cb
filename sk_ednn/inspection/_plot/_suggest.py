"""Plot the scores along a path of tilings."""

from __future__ import annotations

import numpy as np

from .._suggest import suggest_tiling
from ._style import COLOURS, FOCUS_COLOUR, MARKERS, check_axes, new_axes, with_unit


class TilingPathDisplay:
    """Cross-validation scores against the context, with a curve for each focus.

    Create it with `from_data` or `from_estimator`; `plot` redraws it.

    Parameters
    ----------
    result : Bunch
        Result of `sk_ednn.inspection.suggest_tiling`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each focus.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.inspection import TilingPathDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 16))
    >>> y = X.sum(axis=1) + 0.1 * rng.normal(size=60)
    >>> model = EDNNRegressor(Ridge(), GridTiling())
    >>> display = TilingPathDisplay.from_data(X, y, estimator=model, unit="eV")
    >>> display.result.contexts, display.result.context
    ([0, 1], 0)
    """

    def __init__(self, result):
        self.result = result

    @classmethod
    def from_data(cls, X, y, *, ax=None, name="mean absolute error", unit="", **options):
        """Search and draw.

        Parameters
        ----------
        X, y, **options : as for `sk_ednn.inspection.suggest_tiling`
        ax, name, unit : as for `plot`

        Returns
        -------
        TilingPathDisplay
        """
        check_axes(ax)
        return cls(suggest_tiling(X, y, **options)).plot(ax, name=name, unit=unit)

    @classmethod
    def from_estimator(cls, estimator, X, y, **options):
        """Search with an estimator, fitted or not, and draw.

        Parameters
        ----------
        estimator : EDNNRegressor, or Pipeline with one
            Cloned; its tiling is varied.
        X, y, **options : as for `from_data`

        Returns
        -------
        TilingPathDisplay
        """
        return cls.from_data(X, y, estimator=estimator, **options)

    def plot(self, ax=None, *, name="mean absolute error", unit=""):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        name, unit : str
            Name and unit of the scores, for the labels. If no score is positive, as for errors in
            scikit-learn's convention, signs are reversed.

        Returns
        -------
        self
        """
        self.figure_, self.ax_ = new_axes(ax)
        from matplotlib.ticker import MaxNLocator

        result = self.result
        sign = -1.0 if (result.mean_scores <= 0).all() else 1.0
        contexts = np.array([np.max(context) for context in result.contexts])
        labels = [str(focus) for focus in result.focuses]
        self.lines_ = []
        for k, label in enumerate(dict.fromkeys(labels)):
            curve = [index for index, other in enumerate(labels) if other == label]
            # Errors of differences to the best, since scores of one fold are correlated.
            bars = self.ax_.errorbar(
                contexts[curve], sign * result.mean_scores[curve], result.std_errors[curve],
                color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)], mfc="white",
                mew=1.4, capsize=2, label=f"focus {label}",
            )  # fmt: skip
            self.lines_.append(bars[0])
        path = list(zip(result.focuses, result.contexts, strict=True))
        chosen = path.index((result.focus, result.context))
        self.ax_.plot(
            contexts[chosen], sign * result.mean_scores[chosen], "o", ms=13, mfc="none", mew=1.6,
            color=FOCUS_COLOUR, label="suggested", zorder=4,
        )  # fmt: skip
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.set(xlabel="context / sites", ylabel=with_unit(name, unit))
        self.ax_.legend(frameon=False, fontsize=9)
        return self
