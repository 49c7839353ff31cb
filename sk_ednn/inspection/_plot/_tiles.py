"""Plot the tiles of a field, and their contributions to the total."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from ...estimators._unwrap import terms_in, unwrap
from ...fields._channels import channels_last
from ...fields._in_memory import as_array
from .._grids import grid_term, require_grid, require_index
from ._style import CONTEXT_COLOUR, FOCUS_COLOUR, GREY, INK, new_axes, two_axes, with_unit

# More lines than this along an axis would hide the field.
_MAX_LINES = 64


class TilingDisplay:
    """A field, the focus regions that partition it, and one tile with its context.

    Create it with `from_tiling`; `plot` redraws it. Context that crosses the edge of a periodic
    field is drawn at the opposite side.

    Parameters
    ----------
    field : ndarray of shape (height, width)
    focus : tuple of (start, stop)
        Sites of the focus of the tile, along each axis.
    context : tuple of int
        Number of sites of context on either side, along each axis.
    grid : tuple of int
        Number of tiles along each axis.
    boundary : str

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, Figs. 2 and 4.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import TilingDisplay
    >>> spins = make_ising(1, (12, 12), random_state=0).fields
    >>> display = TilingDisplay.from_tiling(GridTiling(focus=4, context=2), spins, tile=(1, 2))
    >>> display.grid, display.focus
    ((3, 3), ((4, 8), (8, 12)))
    """

    def __init__(self, field, focus, context, grid, boundary="periodic"):
        self.field = field
        self.focus = focus
        self.context = context
        self.grid = grid
        self.boundary = boundary

    @classmethod
    def from_tiling(cls, tiling, X, *, sample=0, tile=None, channel=None, ax=None, **style):
        """Draw the tiles of one field.

        Parameters
        ----------
        tiling : GridTiling
        X : array-like of shape (n_samples, *field_shape), or list of such fields
            2-D fields, with or without channels.
        sample : int, default=0
            Index of the field.
        tile : tuple of int, default=None
            Index of the tile that is drawn with its context; None for one in the middle.
        channel : int, default=None
            Channel to show; None for the sum of all.
        ax : matplotlib Axes, default=None
        **style : keywords of `plot`

        Returns
        -------
        TilingDisplay

        Raises
        ------
        ValueError
            If the field is not 2-D, or there is no such tile.
        """
        require_grid(tiling, "TilingDisplay")
        fields = tiling.check(X)
        require_index("sample", sample, fields.n_samples)
        whole = fields.unstacked()[sample]
        field = shown_field(whole, tiling.channel_axis, channel)
        grid = tiling.tile_grid(whole.shape)
        if len(grid) != 2:
            raise ValueError(
                f"TilingDisplay draws fields of two dimensions, these have {len(grid)}. "
                + ("Pass a plane, such as X[..., 0], and a tiling of two axes."
                   if len(grid) > 2 else "ContributionDisplay draws fields of one.")
            )  # fmt: skip
        tile = tuple(n // 2 for n in grid) if tile is None else tile
        if not (isinstance(tile, (tuple, list)) and _is_index_in(tile, grid)):
            raise ValueError(
                f"tile must be an index in the tile grid {grid}, such as (0, 0), got {tile!r}."
            )
        tile_shape = tiling.tile_shape(whole.shape)
        lengths = tiling.focus_shape(tile_shape)
        focus = tuple((k * n, (k + 1) * n) for k, n in zip(tile, lengths, strict=True))
        context = tuple(part.start for part in tiling.focus_sites(tile_shape))
        return cls(field, focus, context, grid, tiling.boundary).plot(ax, **style)

    @classmethod
    def from_estimator(cls, estimator, X, **options):
        """Draw the tiles of a fitted model in a field.

        Parameters
        ----------
        estimator : EDNNRegressor, EDNNCommittee, ShiftAveraged, or a Pipeline or search around one
            Fitted. The tiles are those of the first term, of the first member.
        X : samples to predict
        **options : keywords of `from_tiling`

        Returns
        -------
        TilingDisplay
        """
        model, X = unwrap(estimator, X)
        return cls.from_tiling(terms_in(model)[0][1], X, **options)

    def plot(self, ax=None, *, cmap="Greys", legend=True):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None for a new figure.
        cmap : str or Colormap, default="Greys"
        legend : bool, default=True

        Returns
        -------
        self
        """
        self.figure_, self.ax_ = new_axes(ax, size=(4.4, 4.7), despine=False)
        from matplotlib.patches import Patch, Rectangle

        ax = self.ax_
        draw_field(ax, self.field, cmap)
        height, width = self.field.shape
        for length, n, draw in (
            (height, self.grid[0], ax.axhline),
            (width, self.grid[1], ax.axvline),
        ):
            if n <= _MAX_LINES:
                for k in range(1, n):
                    draw(k * length / n, color="white", lw=1.6, zorder=2)
                    draw(k * length / n, color=GREY, lw=0.7, zorder=2)
        (top, bottom), (left, right) = self.focus
        up, aside = self.context
        # Periodic images of the window; those outside the field are clipped.
        shifts = [(0, 0)]
        if self.boundary == "periodic":
            shifts = [(i * height, j * width) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        for i, j in shifts:
            corner = (left - aside + j, top - up + i)
            size = (right - left + 2 * aside, bottom - top + 2 * up)
            ax.add_patch(
                Rectangle(
                    corner, *size, fc=CONTEXT_COLOUR, alpha=0.28, lw=0, zorder=3, clip_on=True
                )
            )
            ax.add_patch(Rectangle(corner, *size, fill=False, ec=CONTEXT_COLOUR, lw=2.6, zorder=4))
        ax.add_patch(
            Rectangle((left, top), right - left, bottom - top, fc=FOCUS_COLOUR, alpha=0.3, lw=0,
                      zorder=4)
        )  # fmt: skip
        ax.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, ec=FOCUS_COLOUR, lw=2.6,
                      zorder=5)
        )  # fmt: skip
        if legend:
            ax.legend(
                handles=[
                    Patch(fc=FOCUS_COLOUR, alpha=0.7, label="focus"),
                    Patch(fc=CONTEXT_COLOUR, alpha=0.7, label="context"),
                ],
                loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False,
            )  # fmt: skip
        return self


class ContributionDisplay:
    """Contributions of tiles to the total, beside the field or alone.

    Create it with `from_estimator` or `from_contributions`; `plot` redraws it.

    Parameters
    ----------
    contributions : ndarray of shape (height, width) or (length,)
        Contribution of each tile.
    field : ndarray of shape (height, width) or (length,), or None, default=None
        The field; None to omit it.

    Attributes
    ----------
    ax_ : matplotlib Axes, or ndarray of two Axes if the field is drawn
    figure_ : matplotlib Figure

    Notes
    -----
    The data determine only the sum of the contributions. A map shows how one model divides it;
    moving part of a contribution to neighbouring tiles changes no total, see
    `sk_ednn.inspection.null_space`.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import ContributionDisplay
    >>> X, y = make_ising(200, (8, 8), random_state=0, return_X_y=True)
    >>> display = ContributionDisplay.from_estimator(EDNNRegressor().fit(X, y), X[:1], unit="J")
    >>> display.contributions.shape, len(display.ax_)
    ((8, 8), 2)
    """

    def __init__(self, contributions, field=None):
        self.contributions = contributions
        self.field = field

    @classmethod
    def from_estimator(
        cls, estimator, X, *, sample=0, term=None, output=0, channel=None, with_field=True, ax=None,
        **style,
    ):  # fmt: skip
        """Predict the contributions of one field and draw them.

        Parameters
        ----------
        estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
        X : samples to predict
        sample : int, default=0
            Index of the field.
        term : str, default=None
            Which term, if the estimator has several.
        output : int, default=0
            Which column of y.
        channel : int, default=None
            Channel of the field to show; None for the sum of all.
        with_field : bool, default=True
            Whether to draw the field, too.
        ax : matplotlib Axes, Figure, or two Axes if the field is drawn; default=None
            A single Axes is divided between field and contributions.
        **style : keywords of `plot`

        Returns
        -------
        ContributionDisplay
        """
        fitted = grid_term(estimator, X, term, "ContributionDisplay")
        tiling = fitted.tiling
        require_index("sample", sample, fitted.systems.n_samples)
        require_index("output", output, fitted.tile_model.n_outputs)
        whole = fitted.systems.unstacked()[sample]
        maps = fitted.regressor.predict_contributions([whole])
        values = np.asarray((maps[term] if isinstance(maps, dict) else maps)[0])
        n_axes = len(tiling.tile_grid(whole.shape))
        if values.ndim > n_axes:
            values = values[..., output]
        field = None
        if with_field:
            field = shown_field(whole, tiling.channel_axis, channel)
        return cls.from_contributions(values, field, ax=ax, **style)

    @classmethod
    def from_contributions(cls, contributions, field=None, *, ax=None, **style):
        """Draw contributions of one or two dimensions.

        Parameters
        ----------
        contributions : array-like of shape (height, width) or (length,)
        field : array-like or None, default=None
        ax : matplotlib Axes, Figure, or two Axes if the field is drawn; default=None
            A single Axes is divided between field and contributions.
        **style : keywords of `plot`

        Returns
        -------
        ContributionDisplay
        """
        contributions = as_array(contributions, "contributions", float)
        if contributions.ndim not in (1, 2):
            raise ValueError(
                "ContributionDisplay draws contributions of one or two dimensions, these have "
                f"shape {contributions.shape}. Pass a plane of them."
            )
        if not (contributions.size and np.isfinite(contributions).all()):
            raise ValueError(
                f"Contributions of shape {contributions.shape} are empty or not all finite. Pass "
                "those of at least one tile, without NaN or infinity."
            )
        if field is not None:
            field = as_array(field, "field")
            if field.ndim != contributions.ndim:
                raise ValueError(
                    f"Expected a field of {contributions.ndim} dimension(s), as the contributions, "
                    f"got shape {field.shape}. Pass a plane or a channel of it."
                )
        return cls(contributions, field).plot(ax, **style)

    def plot(self, ax=None, *, name="contribution", unit="", cmap="cividis", field_cmap="Greys"):
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, Figure, or two Axes if there is a field; default=None
            None for a new figure. A single Axes is divided between field and contributions.
        name, unit : str
            Name and unit of a contribution, for the labels.
        cmap, field_cmap : str or Colormap

        Returns
        -------
        self
        """
        both = self.field is not None
        flat = self.contributions.ndim == 1
        first, last = None, ax
        if both:
            shape, size = ((2, 1), (6, 4)) if flat else ((1, 2), (7.6, 3.9))
            first, last = two_axes(ax, shape=shape, size=size)
        self.figure_, last = new_axes(last, size=(4.4, 3.9), despine=flat)
        self.ax_ = np.array([first, last]) if both else last
        total = f"{self.contributions.sum():,.6g} {unit}".rstrip()
        total = total.replace("-", "\N{MINUS SIGN}")
        if both:
            if flat:
                first.step(np.arange(len(self.field)), self.field, where="mid", color=INK, lw=1)
                first.spines[["top", "right"]].set_visible(False)
                first.set(xlabel="site", ylabel="field")
            else:
                draw_field(first, self.field, field_cmap)
                first.set_title("field", fontsize=10)
        if flat:
            last.bar(np.arange(len(self.contributions)), self.contributions, color="#0072b2")
            last.set(xlabel="tile", ylabel=with_unit(name, unit))
            last.set_title(f"sum {total}; only the sum is determined", fontsize=10)
            return self
        height, width = self.contributions.shape
        image = last.imshow(
            self.contributions, cmap=cmap, interpolation="none", extent=(0, width, height, 0),
            aspect="auto" if not both else _aspect(self.field, self.contributions),
        )  # fmt: skip
        if not both:
            last.set_aspect("equal")
        last.set(xticks=[], yticks=[])
        last.set_title(f"sum {total}", fontsize=10)
        last.set_xlabel("only the sum is determined", fontsize=8.5, color=GREY)
        bar = self.figure_.colorbar(image, ax=last, shrink=0.8)
        bar.set_label(with_unit(name, unit))
        bar.outline.set_visible(False)
        return self


def shown_field(field, channel_axis, channel) -> np.ndarray:
    """Return one channel of a field, or the sum of all."""
    if channel_axis is None:
        if channel is not None:
            raise ValueError(f"The fields have no channel axis; leave out {channel=}.")
        return field
    field = channels_last(field, channel_axis)
    if channel is not None:
        require_index("channel", channel, field.shape[-1])
    return field.sum(axis=-1) if channel is None else field[..., channel]


def _is_index_in(tile, grid) -> bool:
    """Return True if a tile is one index along each axis, counted from the first."""
    if len(tile) != len(grid) or not all(isinstance(k, Integral) for k in tile):
        return False
    return all(0 <= k < n for k, n in zip(tile, grid, strict=True))


def draw_field(ax, field, cmap) -> None:
    """Draw a 2-D field with square sites."""
    if field.ndim != 2:
        raise ValueError(
            f"Expected a field of two dimensions, got shape {field.shape}. Pass a plane of it."
        )
    height, width = field.shape
    values = field.astype(float)
    low, high = values.min(), values.max()
    # Use only the lighter part of the colour map, so that tiles drawn on top stand out.
    ax.imshow(
        values, cmap=cmap, interpolation="none", extent=(0, width, height, 0),
        vmin=low, vmax=high + 0.6 * ((high - low) or 1.0),
    )  # fmt: skip
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])


def _aspect(field, contributions) -> float:
    """Return the aspect that gives a map of tiles the shape of its field."""
    return (field.shape[0] / contributions.shape[0]) / (field.shape[1] / contributions.shape[1])
