"""Plot sensitivity to context, locality, and interactions."""

from __future__ import annotations

import numpy as np

from .._context import context_sensitivity
from .._interaction import interaction_profile
from .._locality import locality_profile
from ._style import (
    COLOURS,
    CONTEXT_COLOUR,
    FOCUS_COLOUR,
    GREY,
    INK,
    MARKERS,
    check_axes,
    new_axes,
    with_unit,
)

_PAST = {"blur": "blurred", "noise": "noise", "occlude": "occluded"}
_DASHES = {"blur": "-", "noise": "--", "occlude": ":"}


class ContextSensitivityDisplay:
    """Error of totals against the number of hidden sites, in the context and in the focus.

    Parameters
    ----------
    result : Bunch
        Result of `sk_ednn.inspection.context_sensitivity`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Fig. 6.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import ContextSensitivityDisplay
    >>> X, y = make_ising(100, (8, 8), random_state=0, return_X_y=True)
    >>> model = EDNNRegressor(tiling=GridTiling(focus=2, context=1)).fit(X, y)
    >>> display = ContextSensitivityDisplay.from_estimator(
    ...     model, X, y, kinds="noise", name="energy", unit="J", random_state=0
    ... )
    >>> display.ax_.get_ylabel()
    'mean absolute error of energy / J'
    """

    def __init__(self, result):
        self.result = result

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, ax=None, name="total", unit="", **options):
        """Measure and draw.

        Parameters
        ----------
        estimator, X, y, **options : as for `sk_ednn.inspection.context_sensitivity`
        ax, name, unit : as for `plot`

        Returns
        -------
        ContextSensitivityDisplay
        """
        check_axes(ax)
        result = context_sensitivity(estimator, X, y, **options)
        return cls(result).plot(ax, name=name, unit=unit)

    def plot(self, ax=None, *, name="total", unit=""):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        name, unit : str
            Name and unit of the totals, for the labels.

        Returns
        -------
        self
        """
        self.figure_, self.ax_ = new_axes(ax, size=(6.4, 3.8))
        from matplotlib.ticker import MaxNLocator

        result = self.result
        colours = {"context": CONTEXT_COLOUR, "focus": FOCUS_COLOUR}
        for k, kind in enumerate(result.kinds):
            for g, region in enumerate(result.regions):
                errors = result.errors[k, g]
                mean = errors.mean(axis=-1)
                # Error bars: the spread over draws of the patches.
                spread = errors.std(axis=-1, ddof=1) if errors.shape[-1] > 1 else None
                self.ax_.errorbar(
                    result.areas, mean, spread, color=colours[region], ls=_DASHES[kind],
                    marker=MARKERS[k], mfc="white", ms=5, mew=1.3, lw=1.4, capsize=2,
                    label=f"{region}, {_PAST[kind]}",
                )  # fmt: skip
        if result.reference:
            self.ax_.axhline(result.reference, color=GREY, lw=1, label="nothing hidden", zorder=0)
        self.ax_.set_ylim(bottom=0)
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.set(
            xlabel="hidden sites of a tile",
            ylabel=with_unit(f"mean absolute error of {name}", unit),
        )
        # Outside, since curves may fill the axes.
        self.ax_.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return self


class LocalityDisplay:
    """Influence of a site on the contribution of a tile, against its distance from the focus.

    Parameters
    ----------
    result : Bunch
        Result of `sk_ednn.inspection.locality_profile`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import LocalityDisplay
    >>> X, y = make_ising(100, (8, 8), random_state=0, return_X_y=True)
    >>> model = EDNNRegressor(tiling=GridTiling(focus=1, context=1)).fit(X, y)
    >>> display = LocalityDisplay.from_estimator(model, X, unit="J", random_state=0)
    >>> display.result.map.shape
    (3, 3)
    """

    def __init__(self, result):
        self.result = result

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None, kind="profile", unit="", **options):
        """Measure and draw.

        Parameters
        ----------
        estimator, X, **options : as for `sk_ednn.inspection.locality_profile`
        ax, kind, unit : as for `plot`

        Returns
        -------
        LocalityDisplay
        """
        check_axes(ax)
        return cls(locality_profile(estimator, X, **options)).plot(ax, kind=kind, unit=unit)

    def plot(self, ax=None, *, kind="profile", unit=""):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        kind : {"profile", "map"}, default="profile"
            Draw the influence against the distance, or as a map of a 2-D window.
        unit : str, default=""
            Unit of the totals ("swap"), or of totals per unit of the field.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``kind="map"`` and the window is not 2-D.
        """
        if kind not in ("profile", "map"):
            raise ValueError(f"kind must be 'profile' or 'map', got {kind!r}.")
        if kind == "map":
            return self._plot_map(ax, unit)
        result = self.result
        self.figure_, self.ax_ = new_axes(ax)
        ax = self.ax_
        ax.axvspan(-0.5, 0.5, color=FOCUS_COLOUR, alpha=0.13, lw=0)
        ax.axvspan(0.5, result.distances[-1] + 0.5, color=CONTEXT_COLOUR, alpha=0.13, lw=0)
        ax.plot(
            result.distances, result.influence, "o-", color=COLOURS[0], mfc="white", mew=1.4,
            clip_on=False, zorder=4,
        )  # fmt: skip
        for k, (x, y, share) in enumerate(
            zip(result.distances, result.influence, result.share, strict=True)
        ):
            if len(result.distances) <= 8 or k % (len(result.distances) // 8 + 1) == 0:
                ax.annotate(
                    f"{share:.0%}", (x, y), (0, 9), textcoords="offset points", fontsize=8.5,
                    ha="center", color=INK, zorder=5,
                )  # fmt: skip
        ax.set_ylim(0, 1.22 * (result.influence.max() or 1.0))
        ax.set_xlim(-0.5, result.distances[-1] + 0.5)
        ax.text(0.0, 0.985, "focus", ha="center", va="top", color=FOCUS_COLOUR, weight="bold",
                transform=ax.get_xaxis_transform(), fontsize=9)  # fmt: skip
        if len(result.distances) > 1:
            ax.text(
                0.5 + result.distances[-1] / 2, 0.985, "context", ha="center", va="top",
                color="#a87410", weight="bold", transform=ax.get_xaxis_transform(), fontsize=9,
            )  # fmt: skip
        from matplotlib.ticker import MaxNLocator

        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(
            xlabel="distance from the focus / sites",
            ylabel=with_unit("mean influence of a site", unit),
            title="labels: share of the influence of all sites",
        )
        ax.title.set(fontsize=9, color=INK)
        return self

    def _plot_map(self, ax, unit):
        result = self.result
        if result.map.ndim != 2:
            raise ValueError(
                f"kind='map' needs a window of two dimensions, this one has {result.map.ndim}. Use "
                "kind='profile'."
            )
        self.figure_, self.ax_ = new_axes(ax, size=(4.4, 3.8), despine=False)
        from matplotlib.patches import Rectangle

        n, m = result.map.shape
        image = self.ax_.imshow(result.map, cmap="viridis", vmin=0, extent=(0, m, n, 0))
        rows, columns = result.focus
        self.ax_.add_patch(
            Rectangle(
                (columns.start, rows.start), columns.stop - columns.start, rows.stop - rows.start,
                fill=False, ec=FOCUS_COLOUR, lw=2.5, joinstyle="round",
            )
        )  # fmt: skip
        self.ax_.set(xticks=[], yticks=[])
        bar = self.figure_.colorbar(image, ax=self.ax_, shrink=0.85)
        bar.set_label(with_unit("mean influence of a site", unit))
        bar.outline.set_visible(False)
        return self


class InteractionDisplay:
    """Interaction between two sites in the total, against their distance.

    Parameters
    ----------
    result : Bunch
        Result of `sk_ednn.inspection.interaction_profile`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import InteractionDisplay
    >>> X, y = make_ising(100, (8, 8), random_state=0, return_X_y=True)
    >>> model = EDNNRegressor(tiling=GridTiling(focus=1, context=1)).fit(X, y)
    >>> display = InteractionDisplay.from_estimator(model, X, n_pairs=10, random_state=0)
    >>> display.result.window
    (3, 3)
    """

    def __init__(self, result):
        self.result = result

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None, unit="", **options):
        """Measure and draw.

        Parameters
        ----------
        estimator, X, **options : as for `sk_ednn.inspection.interaction_profile`
        ax, unit : as for `plot`

        Returns
        -------
        InteractionDisplay
        """
        check_axes(ax)
        return cls(interaction_profile(estimator, X, **options)).plot(ax, unit=unit)

    def plot(self, ax=None, *, unit=""):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        unit : str, default=""
            Unit of the totals.

        Returns
        -------
        self
        """
        result = self.result
        self.figure_, self.ax_ = new_axes(ax)
        from matplotlib.ticker import MaxNLocator

        curves = zip(result.strength, result.std_error, strict=True)
        for axis, (strength, error) in enumerate(curves):
            self.ax_.errorbar(
                result.distances, strength, error, color=COLOURS[axis % len(COLOURS)], capsize=2,
                marker=MARKERS[axis % len(MARKERS)], mfc="none", mew=1.3, ms=9 - 3 * (axis % 3),
                label=f"along axis {axis}",
            )  # fmt: skip
        edge = max(result.window) - 0.5
        if edge < result.distances[-1] + 0.5:
            self.ax_.axvspan(edge, result.distances[-1] + 0.5, color="0.92", lw=0, zorder=0)
            self.ax_.text(
                result.distances[-1] + 0.4, 0.5, "never in one tile", rotation=90, ha="right",
                va="center", color=GREY, fontsize=9, transform=self.ax_.get_xaxis_transform(),
            )  # fmt: skip
        self.ax_.set_xlim(0.5, result.distances[-1] + 0.5)
        self.ax_.set_ylim(bottom=min(0.0, float(np.nanmin(result.strength))))
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.set(
            xlabel="distance of two sites / sites",
            ylabel=with_unit("mean interaction in the total", unit),
        )
        self.ax_.legend(frameon=False, fontsize=9)
        return self
