"""Colours, axes and labels of all displays."""

from __future__ import annotations

import numpy as np

from ..._utils.optional import needing

# The colour-blind safe palette of Okabe and Ito.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
INK, GREY = "#22303c", "#8a949c"
FOCUS_COLOUR, CONTEXT_COLOUR = "#d1495b", "#edae49"


def new_axes(ax, *, size=(4.8, 3.8), despine=True):
    """Return the figure and axes to draw in; create them if `ax` is None.

    `ax` may also be a Figure, to which axes are added, or an array or list of one Axes.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If `ax` is anything else, or several Axes.
    """
    plt = _pyplot()
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    elif hasattr(ax, "add_subplot"):
        ax = ax.add_subplot()
    else:
        ax = _one_of(ax)
    if despine:
        ax.spines[["top", "right"]].set_visible(False)
    return ax.figure, ax


def check_axes(ax) -> None:
    """Raise as `new_axes` would, before a measurement that may take long."""
    if ax is not None and not hasattr(ax, "add_subplot"):
        _one_of(ax)


def two_axes(ax, *, shape, size) -> list:
    """Return two axes to draw in; create them if `ax` is None.

    `ax` may be two Axes in any arrangement, a Figure, or one Axes of a grid, which is divided.

    Parameters
    ----------
    ax : None, Figure, Axes, or array or list of Axes
    shape : tuple of int
        Arrangement of new axes, (1, 2) or (2, 1).
    size : tuple of float
        Size of a new figure, in inches.
    """
    plt = _pyplot()
    if ax is None:
        return list(plt.subplots(*shape, figsize=size, layout="constrained")[1])
    if hasattr(ax, "add_subplot"):
        return list(ax.subplots(*shape))
    axes = [_checked(item) for item in _listed(ax)]
    if len(axes) == 2:
        return axes
    subplot = axes[0].get_subplotspec() if len(axes) == 1 else None
    if subplot is None:
        raise ValueError(
            "Expected two Axes, for the field and the contributions, or one Axes of a grid, which "
            f"is divided; got {len(axes)}. To draw the contributions alone set with_field=False."
        )
    axes[0].set_axis_off()
    cells = subplot.subgridspec(*shape)
    return [axes[0].figure.add_subplot(cells[k]) for k in range(2)]


def _pyplot():
    without = "The attributes of the display contain the numbers without it."
    with needing("Drawing", otherwise=without):
        import matplotlib.pyplot as plt
    return plt


def _one_of(ax):
    axes = _listed(ax)
    if len(axes) != 1:
        raise ValueError(f"Expected one Axes, got {len(axes)}. Pass one of them, such as ax[0].")
    return _checked(axes[0])


def _listed(ax) -> list:
    several = isinstance(ax, (list, tuple, np.ndarray))
    return list(np.ravel(np.array(ax, dtype=object))) if several else [ax]


def _checked(ax):
    # Polar and 3-D axes have other names and other spines.
    if getattr(ax, "name", None) == "rectilinear" and hasattr(ax, "spines"):
        return ax
    kind = f"one with projection={ax.name!r}" if hasattr(ax, "spines") else type(ax).__name__
    raise ValueError(f"ax must be a rectilinear matplotlib Axes, got {kind}.")


def with_unit(name, unit) -> str:
    """Return an axis label: the name, and the unit if there is one."""
    return name if not unit else f"{name} / {unit}"


def log_sizes(ax, sizes) -> None:
    """Make the x axis logarithmic; label up to six distinct sizes by their values.

    Where two labels would overlap, only the larger size is kept.
    """
    from matplotlib.ticker import NullFormatter

    ax.set_xscale("log")
    values = np.unique(sizes)
    if 1 < len(values) <= 6:
        whole = (values == values.round()).all()
        labels = [(v, f"{v:,.0f}" if whole else f"{v:,.6g}") for v in values]
        # In points: a digit is about 0.6 of the font size wide, margins are a tenth of the axis.
        points = 0.9 * 72 * ax.bbox.width / ax.figure.dpi
        per_log = points / np.log(values[-1] / values[0])
        width = 0.6 * ax.xaxis.get_ticklabels()[0].get_fontsize()
        kept = [labels[-1]]
        for value, label in labels[-2::-1]:
            distance = per_log * np.log(kept[-1][0] / value)
            if distance >= width * (len(label) + len(kept[-1][1]) + 2) / 2:
                kept.append((value, label))
        ax.set_xticks(*zip(*kept[::-1], strict=True))
        ax.xaxis.set_minor_formatter(NullFormatter())


def by_group(groups, n_samples) -> list[tuple[str | None, np.ndarray]]:
    """Return (label, indices of samples) of each group, in order of first occurrence."""
    if groups is None:
        return [(None, np.arange(n_samples))]
    groups = np.asarray(groups)
    if groups.shape != (n_samples,):
        raise ValueError(
            f"groups must have one label for each of {n_samples} samples, got shape {groups.shape}."
        )
    names, first = np.unique(groups, return_index=True)
    return [(str(name), np.flatnonzero(groups == name)) for name in names[np.argsort(first)]]
