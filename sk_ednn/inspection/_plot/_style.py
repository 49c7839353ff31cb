"""What the figures have in common."""

from __future__ import annotations

import numpy as np

from ..._utils.optional import needing

# Okabe and Ito's, which also the colour-blind tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
INK, GREY = "#22303c", "#8a949c"
FOCUS_COLOUR, CONTEXT_COLOUR = "#d1495b", "#edae49"


def new_axes(ax, *, size=(4.8, 3.8), despine=True):
    """Return the figure and the axes to draw in, new ones where `ax` is None.

    `ax` may also be a Figure, which gets axes, or an array or list that holds one Axes.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    ValueError
        Where `ax` is something else, or several Axes.
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
    """Raise where `new_axes` would: before a measurement that may take long."""
    if ax is not None and not hasattr(ax, "add_subplot"):
        _one_of(ax)


def two_axes(ax, *, shape, size) -> list:
    """Return two axes to draw in, new ones where `ax` is None.

    `ax` may be two Axes in any arrangement, a Figure, or one Axes, whose place the two then share.

    Parameters
    ----------
    ax : None, Figure, Axes, or array or list of Axes
    shape : tuple of int
        How they are put, (1, 2) or (2, 1), where they are made here.
    size : tuple of float
        Of a new figure.
    """
    plt = _pyplot()
    if ax is None:
        return list(plt.subplots(*shape, figsize=size, layout="constrained")[1])
    if hasattr(ax, "add_subplot"):
        return list(ax.subplots(*shape))
    given = [_checked(one) for one in _listed(ax)]
    if len(given) == 2:
        return given
    place = given[0].get_subplotspec() if len(given) == 1 else None
    if place is None:
        raise ValueError(
            "Two Axes are needed, for the field and for the contributions, or one of a grid, which "
            f"is then divided; got {len(given)}. Or leave the field out."
        )
    given[0].set_axis_off()
    cells = place.subgridspec(*shape)
    return [given[0].figure.add_subplot(cells[k]) for k in range(2)]


def _pyplot():
    without = "The numbers are there without it, in the attributes of the display."
    with needing("Drawing", otherwise=without):
        import matplotlib.pyplot as plt
    return plt


def _one_of(ax):
    given = _listed(ax)
    if len(given) != 1:
        raise ValueError(
            f"This is drawn in one Axes, got {len(given)} of them: give one, such as ax[0]."
        )
    return _checked(given[0])


def _listed(ax) -> list:
    several = isinstance(ax, (list, tuple, np.ndarray))
    return list(np.ravel(np.array(ax, dtype=object))) if several else [ax]


def _checked(ax):
    # Polar axes, and those of three dimensions, are called otherwise and have other edges.
    if getattr(ax, "name", None) == "rectilinear" and hasattr(ax, "spines"):
        return ax
    kind = f"one with projection={ax.name!r}" if hasattr(ax, "spines") else type(ax).__name__
    raise ValueError(f"ax must be an Axes of matplotlib with straight axes, got {kind}.")


def with_unit(name, unit) -> str:
    """Return an axis label: the name, and the unit where there is one."""
    return name if not unit else f"{name} / {unit}"


def log_sizes(ax, sizes) -> None:
    """Make the x axis logarithmic; say the sizes themselves where they are few.

    Of sizes whose numbers would run into each other the larger one is said.
    """
    from matplotlib.ticker import NullFormatter

    ax.set_xscale("log")
    values = np.unique(sizes)
    if 1 < len(values) <= 6:
        whole = (values == values.round()).all()
        named = [(v, f"{v:,.0f}" if whole else f"{v:,.6g}") for v in values]
        # In points; a digit is some 0.6 of its height wide, and margins take a tenth of the axis.
        points = 0.9 * 72 * ax.bbox.width / ax.figure.dpi
        along = points / np.log(values[-1] / values[0])
        width = 0.6 * ax.xaxis.get_ticklabels()[0].get_fontsize()
        kept = [named[-1]]
        for value, name in named[-2::-1]:
            apart = along * np.log(kept[-1][0] / value)
            if apart >= width * (len(name) + len(kept[-1][1]) + 2) / 2:
                kept.append((value, name))
        ax.set_xticks(*zip(*kept[::-1], strict=True))
        ax.xaxis.set_minor_formatter(NullFormatter())


def by_group(groups, n_samples) -> list[tuple[str | None, np.ndarray]]:
    """Return (label, indices of samples) of each group, in the order they first come."""
    if groups is None:
        return [(None, np.arange(n_samples))]
    groups = np.asarray(groups)
    if groups.shape != (n_samples,):
        raise ValueError(
            f"groups must name one group for each of {n_samples} samples, got shape {groups.shape}."
        )
    names, first = np.unique(groups, return_index=True)
    return [(str(name), np.flatnonzero(groups == name)) for name in names[np.argsort(first)]]
