"""Plot errors against an indicator of novelty."""

from __future__ import annotations

import numpy as np

from ...estimators._unwrap import unwrap
from ...fields._in_memory import as_array
from ...uncertainty._novelty import error_ranking, novelty
from ._style import COLOURS, GREY, check_axes, new_axes, with_unit


class NoveltyDisplay:
    """Absolute errors against the share of novel tiles or another indicator.

    Create it with `from_estimator` or `from_predictions`; `plot` redraws it.

    Parameters
    ----------
    indicator : ndarray of shape (n_samples,)
    errors : ndarray of shape (n_samples,)
        ``predicted - true``.
    label : str, default="indicator"
        Name of the indicator.
    n_bins : int, default=5

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    ranking_ : Bunch
        Result of `sk_ednn.uncertainty.error_ranking`, with the rank correlation.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from sk_ednn.inspection import NoveltyDisplay
    >>> spread = np.linspace(0.1, 1.0, 30)
    >>> errors = spread * np.random.default_rng(0).normal(size=30)
    >>> display = NoveltyDisplay.from_predictions(spread, errors, label="spread", unit="eV")
    >>> print(f"{display.ranking_.spearman:.2f}")
    0.51
    """

    def __init__(self, indicator, errors, *, label="indicator", n_bins=5):
        self.indicator = indicator
        self.errors = errors
        self.label = label
        self.n_bins = n_bins

    @classmethod
    def from_estimator(
        cls, estimator, X_train, X, y, *, indicator="share", sizes=None, n_bins=5, ax=None,
        name=None, unit="", **options,
    ):  # fmt: skip
        """Measure novelty, predict, and draw.

        Parameters
        ----------
        estimator, X_train, X, **options : as for `sk_ednn.uncertainty.novelty`
        y : array-like of shape (n_samples,)
            True totals.
        indicator : {"share", "distance", "spread"}, default="share"
            Share of novel tiles, mean distance of tiles to the nearest training tile, or spread
            between the members of a committee.
        sizes : array-like of shape (n_samples,), default=None
            Divisors of errors and spread, for systems of several sizes.
        n_bins : int, default=5
        ax, name, unit : as for `plot`

        Returns
        -------
        NoveltyDisplay

        Raises
        ------
        ValueError
            If ``indicator="spread"`` and the estimator is not a committee.
        """
        check_axes(ax)
        labels = {
            "share": "share of novel tiles",
            "distance": "mean distance to a training tile",
            "spread": with_unit("spread of the committee", unit),
        }
        if indicator not in labels:
            raise ValueError(f"indicator must be one of {tuple(labels)}, got {indicator!r}.")
        values = novelty(estimator, X_train, X, **options)[indicator]
        if values is None:
            raise ValueError(
                "indicator='spread' needs an EDNNCommittee, got "
                f"{type(unwrap(estimator)[0]).__name__}. Use 'share' or 'distance'."
            )
        errors = np.asarray(estimator.predict(X), dtype=float) - as_array(y, "y", float)
        if sizes is not None:
            errors = errors / as_array(sizes, "sizes", float)
            values = values / np.asarray(sizes, dtype=float) if indicator == "spread" else values
        return cls.from_predictions(
            values, errors, label=labels[indicator], n_bins=n_bins, ax=ax,
            name=name or ("error" if sizes is None else "error per site"), unit=unit,
        )  # fmt: skip

    @classmethod
    def from_predictions(
        cls, indicator, errors, *, label="indicator", n_bins=5, ax=None, name="error", unit=""
    ):
        """Draw errors against an indicator.

        Parameters
        ----------
        indicator : array-like of shape (n_samples,)
        errors : array-like of shape (n_samples,)
            ``predicted - true``; only absolute values matter.
        label : str, default="indicator"
        n_bins : int, default=5
        ax, name, unit : as for `plot`

        Returns
        -------
        NoveltyDisplay
        """
        indicator = as_array(indicator, "indicator", float)
        errors = as_array(errors, "errors", float)
        display = cls(indicator, errors, label=label, n_bins=n_bins)
        return display.plot(ax, name=name, unit=unit)

    def plot(self, ax=None, *, name="error", unit=""):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        name, unit : str
            Name and unit of the errors, for the labels.

        Returns
        -------
        self
        """
        self.ranking_ = error_ranking(self.indicator, self.errors, n_bins=self.n_bins)
        self.figure_, self.ax_ = new_axes(ax, size=(6.0, 3.8))
        ranking = self.ranking_
        self.ax_.plot(
            self.indicator, np.abs(self.errors), ".", color=COLOURS[0], alpha=0.45, mew=0, ms=7,
            label="systems", clip_on=False, zorder=2,
        )  # fmt: skip
        self.ax_.plot(
            ranking.bin_indicator, ranking.bin_error, "s-", color=COLOURS[1], mfc="white", mew=1.4,
            label=f"mean of each {_ORDINAL.get(self.n_bins, f'1/{self.n_bins}')}", zorder=3,
        )  # fmt: skip
        self.ax_.axhline(
            np.mean(np.abs(self.errors)), color=GREY, lw=1, ls="--", label="mean of all", zorder=1
        )
        self.ax_.set_ylim(bottom=0)
        self.ax_.set(xlabel=self.label, ylabel=with_unit(f"absolute {name}", unit))
        self.ax_.set_title(f"Spearman correlation {ranking.spearman:.2f}", fontsize=10)
        self.ax_.ticklabel_format(scilimits=(-3, 4))
        self.ax_.locator_params(axis="x", nbins=6)
        # Outside, since points may fill the axes.
        self.ax_.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return self


_ORDINAL = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 8: "eighth", 10: "tenth"}
