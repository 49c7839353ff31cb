"""Figures of a report, each with a caption and a text alternative."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..inspection._plot._errors import ErrorDisplay
from ..inspection._plot._parity import ParityDisplay
from ..inspection._plot._style import CONTEXT_COLOUR, FOCUS_COLOUR, GREY, INK
from ..inspection._plot._tiles import ContributionDisplay, TilingDisplay, shown_field
from ..inspection._plot._training import TrainingDisplay
from ._page import number

# More lines than this would hide a chain.
_MAX_LINES = 64


class Drawn(NamedTuple):
    """A figure, its caption, and its text alternative."""

    figure: Any
    caption: str
    alt: str


def draw_tiling(tiling, field, *, name, which) -> Drawn:
    """Draw the focus regions and one tile of a field, or of a plane in its middle."""
    from matplotlib.figure import Figure

    grid = tiling.tile_grid(field.shape)
    tile_shape = tiling.tile_shape(field.shape)
    focus = tiling.focus_shape(tile_shape)
    context = [part.start for part in tiling.focus_sites(tile_shape)]
    shown = shown_field(field, tiling.channel_axis, None)
    middle = [n // 2 for n in grid]
    sites = tuple((k * f, (k + 1) * f) for k, f in zip(middle, focus, strict=True))
    shown, cut = _middle_plane(shown, grid, focus)
    boundary = tiling.boundary or "unknown"
    if shown.ndim == 1:
        axes = Figure(figsize=(7.2, 2.6), layout="constrained").subplots()
        _draw_chain(axes, shown, sites[0], context[0], grid[0], boundary)
    else:
        axes = Figure(figsize=(4.2, 4.5), layout="constrained").subplots()
        TilingDisplay(shown, sites[-2:], tuple(context[-2:]), grid[-2:], boundary).plot(axes)
    caption = (
        f"{name + ': ' if name else ''}{int(np.prod(grid)):,} tiles of {which}"
        f"{', ' + times(grid) if len(grid) > 1 else ''}. "
        f"Focus of {times(focus)} sites, context of {times(context)} on either side"
        f"{_channels(tiling, field)}{cut}; boundary: {boundary}."
    )
    alt = f"The field cut into focus regions of {times(focus)} sites, one tile with its context."
    return Drawn(axes.figure, caption, alt)


def draw_contributions(tiling, field, contributions, *, name, which, unit, total) -> Drawn:
    """Draw the contributions of tiles beside the field.

    Parameters
    ----------
    tiling : AbstractGridTiling
    field : ndarray of shape field_shape
    contributions : ndarray of shape (*tile_grid)
    name : str
        Name of the term; empty for a single term.
    which : str
        Description of the field.
    unit : str
    total : str
        Name of the totals.
    """
    from matplotlib.figure import Figure

    grid = contributions.shape
    focus = tiling.focus_shape(tiling.tile_shape(field.shape))
    shown = shown_field(field, tiling.channel_axis, None)
    plane, cut = _middle_plane(shown, grid, focus)
    values = contributions[tuple(n // 2 for n in grid[: max(0, len(grid) - 2)])]
    flat = values.ndim == 1
    figure = Figure(figsize=(7.2, 4.2) if flat else (7.6, 3.7), layout="constrained")
    ax = figure.subplots(*((2, 1) if flat else (1, 2)))
    display = ContributionDisplay.from_contributions(values, plane, ax=ax, unit=unit)
    # The caption gives the sum instead; that of a plane would not be the total.
    display.ax_[1].set_title("" if flat else "contributions", fontsize=10)
    if not flat:
        display.ax_[1].set_xlabel("")
    caption = (
        f"{name + ': ' if name else ''}Contributions of tiles to the {total} of {which}{cut}: from "
        f"{number(contributions.min(), unit)} to {number(contributions.max(), unit)}, with the sum "
        f"{number(contributions.sum(), unit)}. The data determine only the sum; another model of "
        "the same accuracy may divide it differently."
    )
    alt = f"Map of the contributions of the tiles of {which}, beside the field."
    return Drawn(figure, caption, alt)


def draw_parity(y_true, y_pred, groups, *, name, unit) -> Drawn:
    """Draw predicted against true totals."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(4.2, 4.1), layout="constrained").subplots()
    ParityDisplay.from_predictions(y_true, y_pred, groups=groups, ax=axes, name=name, unit=unit)
    return Drawn(
        axes.figure,
        f"Predicted against true {name}; MAE: mean absolute error.",
        f"Scatter plot of predicted against true {name}, and the line where both are equal.",
    )


def draw_errors(y_true, y_pred, groups, *, name, unit) -> Drawn:
    """Draw the distribution of errors."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(4.6, 4.1), layout="constrained").subplots()
    ErrorDisplay.from_predictions(y_true, y_pred, groups=groups, ax=axes, name=name, unit=unit)
    legend = axes.get_legend()
    if legend is not None:  # above the axes; beside them it would take a third of the width
        labels = [text.get_text() for text in legend.get_texts()]
        axes.legend(
            legend.legend_handles, labels, frameon=False, ncols=2, loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
        )  # fmt: skip
    return Drawn(
        axes.figure,
        f"Errors of the {name}, predicted minus true; fewer than 50 are drawn one by one.",
        f"Distribution of the errors of the {name}.",
    )


def draw_error_growth(y_true, y_pred, sizes, *, per, name, unit) -> Drawn:
    """Draw errors against the size of systems; `per` is the unit of sizes, such as "atom"."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(4.8, 3.8), layout="constrained").subplots()
    display = ErrorDisplay.from_predictions(
        y_true, y_pred, sizes=sizes, ax=axes, kind="size", name=name, unit=unit, per=per
    )
    transfer = display.size_transfer_["all"]
    return Drawn(
        axes.figure,
        f"Errors of the {name} against size. Bias: {number(transfer.bias, unit)} per {per}; noise: "
        f"{number(transfer.noise, unit)} per square root of {per}s. The bias dominates above "
        f"{transfer.crossover:,.0f} {per}s.",
        f"Root mean square error of the {name} against the number of {per}s.",
    )


def draw_training(estimator) -> Drawn:
    """Draw the history of a network."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(6.0, 3.4), layout="constrained").subplots()
    display = TrainingDisplay.from_estimator(estimator, ax=axes)
    n_epochs = len(display.losses["train"])
    return Drawn(
        axes.figure, f"Loss of {n_epochs:,} epochs.", "Loss of each epoch of the training."
    )


# --- parts ------------------------------------------------------------------------------------


def _middle_plane(field, grid, focus):
    """Return a field of one or two dimensions, and a description of the plane if it is one."""
    if field.ndim <= 2:
        return field, ""
    middle = [n // 2 * f + f // 2 for n, f in zip(grid[:-2], focus[:-2], strict=True)]
    sites = ", ".join(f"{k} along axis {axis}" for axis, k in enumerate(middle))
    return field[tuple(middle)], f" (shown: the plane at site {sites})"


def _draw_chain(ax, field, focus, context, n_tiles, boundary):
    """Draw a 1-D field, its focus regions and one tile."""
    length = len(field)
    ax.stairs(np.asarray(field, dtype=float), np.arange(length + 1), color=INK, baseline=None)
    if n_tiles <= _MAX_LINES:
        for k in range(1, n_tiles):
            ax.axvline(k * length / n_tiles, color=GREY, lw=0.7, zorder=1)
    start, stop = focus
    spans = [(start - context, start), (stop, stop + context)]
    if boundary == "periodic":
        spans += [(a + shift, b + shift) for a, b in spans for shift in (-length, length)]
    label = "context"
    for a, b in spans:
        a, b = max(a, 0), min(b, length)
        if a < b:
            ax.axvspan(a, b, color=CONTEXT_COLOUR, alpha=0.35, lw=0, zorder=0, label=label)
            label = None
    ax.axvspan(start, stop, color=FOCUS_COLOUR, alpha=0.5, lw=0, zorder=0, label="focus")
    ax.set(xlim=(0, length), xlabel="site", ylabel="field")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0))


def _channels(tiling, field) -> str:
    axis = tiling.channel_axis
    return "" if axis is None else f"; the sum of {field.shape[axis]} channels is shown"


def times(numbers) -> str:
    """Return numbers as text such as 8 × 8, without line breaks."""
    return "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}".join(str(int(n)) for n in numbers)
