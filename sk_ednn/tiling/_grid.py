"""Tiles of fields on a grid."""

from __future__ import annotations

from itertools import product
from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from .._utils.stored import stored
from ..exceptions import TilingError
from ..fields._array_source import ArraySource
from ..fields._channels import channels_last, from_channels_last
from ..fields._fields import (
    Fields,
    check_fields,
    check_ndim,
    is_list_of_fields,
    require_finite,
)
from ..fields._in_memory import as_array
from ..fields._sources import read_sites
from ._axes import Axis, grid_axes, per_axis
from ._gather import gather, wraps_partly
from ._grid_base import AbstractGridTiling, Block
from ._grid_gradient import join_foci
from ._windows import OUTSIDE, axis_positions, axis_windows, n_windows, windows_by_site


@stored("GridTiling")
class GridTiling(AbstractGridTiling):
    """Cut fields on a grid into focus regions with their context.

    The focus regions partition the field. A tile is a focus with `context` more sites on either
    side, which belong to neighbouring foci. In any number of dimensions::

        |context| focus |context|
                |context| focus |context|

    Parameters
    ----------
    focus : int, None, or tuple with one per axis, default=1
        Sites of a focus. The length of every axis must be a multiple of it. None makes the whole
        axis one focus, the non-local limit; the model then applies to that length only.
    context : int or tuple with one per axis, default=1
        Sites on either side of a focus. It may exceed the length of the axis.
    boundary : {"periodic", "zero", "reflect", "nearest"}, default="periodic"
        Values beyond the ends of an axis: the opposite end, zeros, the mirror image without the
        end site repeated, or the end site.
    channel_axis : int or None, default=None
        Channel axis of one field, not counting the sample axis; None if there are no channels.
        -1 is the last axis.
    remainder : {"error", "pad"}, default="error"
        Treatment of an axis whose length is not a multiple of the focus. "error" raises; "pad"
        extends the last focus beyond the end, where values follow from `boundary`. "pad" does not
        apply to periodic fields.

    Attributes
    ----------
    n_features_in_ : int
        Width of 2-D `X` seen in `fit`. Fields of more dimensions may change their size.

    Notes
    -----
    ``fit`` learns nothing. ``transform`` returns the tiles, of shape
    ``(n_samples, *tile_grid, *window[, n_channels])``, as a read-only view where possible.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, section 2 and Fig. 2.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn import GridTiling
    >>> field = np.arange(16).reshape(1, 4, 4)
    >>> tiles = GridTiling(focus=2, context=1).fit_transform(field)
    >>> tiles.shape
    (1, 2, 2, 4, 4)
    >>> tiles[0, 0, 0]  # the focus 0 1 / 4 5 in its periodic context
    array([[15, 12, 13, 14],
           [ 3,  0,  1,  2],
           [ 7,  4,  5,  6],
           [11,  8,  9, 10]])
    """

    boundary: str

    def __init__(
        self, focus=1, context=1, *, boundary="periodic", channel_axis=None, remainder="error"
    ):
        self.focus = focus
        self.context = context
        self.boundary = boundary
        self.channel_axis = channel_axis
        self.remainder = remainder

    # --- shapes -----------------------------------------------------------------------------

    def tile_grid(self, field_shape) -> tuple[int, ...]:
        """Return the number of tiles of a field of this shape along each axis.

        Parameters
        ----------
        field_shape : tuple of int
            Shape of one field, channel axis included.
        """
        return tuple(
            n_windows(axis.length, axis.focus, self.remainder)
            for axis in self._axes(tuple(field_shape))
        )

    def tile_shape(self, field_shape) -> tuple[int, ...]:
        """Return the shape of a tile of a field of this shape, ``(*window[, n_channels])``."""
        window = tuple(axis.window for axis in self._axes(tuple(field_shape)))
        if self.channel_axis is None:
            return window
        return (*window, field_shape[self._channel(len(field_shape))])

    def padded_positions(self, field_shape) -> list[np.ndarray]:
        """Return the site at each position of a padded field, per grid axis.

        Positions beyond a "zero" boundary are `OUTSIDE`, which is -1. Tile i of an axis covers
        the positions from ``i * focus`` to ``(i + 1) * focus + 2 * context``.
        """
        return [
            axis_positions(*axis, self.boundary, self.remainder)
            for axis in self._axes(tuple(field_shape))
        ]

    def axis_windows(self, field_shape) -> list[np.ndarray]:
        """Return the sites of each window along each grid axis.

        Parameters
        ----------
        field_shape : tuple of int
            Shape of one field, channel axis included.

        Returns
        -------
        list of ndarray of int of shape (n_windows, focus + 2 * context), one for each grid axis
            Sites along the axis, -1 beyond a "zero" boundary. A tile is the product of one
            window of each axis.

        Examples
        --------
        >>> from sk_ednn import GridTiling
        >>> GridTiling(focus=2, context=1).axis_windows((6,))
        [array([[5, 0, 1, 2],
                [1, 2, 3, 4],
                [3, 4, 5, 0]])]
        """
        return [
            axis_windows(*axis, self.boundary, self.remainder)
            for axis in self._axes(tuple(field_shape))
        ]

    def focus_sites(self, tile_shape) -> tuple[slice, ...]:
        """Return the slices that select the focus of a tile of this shape."""
        window = tile_shape if self.channel_axis is None else tile_shape[:-1]
        contexts = per_axis("context", self.context, len(window), least=0)
        return tuple(
            slice(context, length - context)
            for length, context in zip(window, contexts, strict=True)
        )

    def _axes(self, field_shape) -> list[Axis]:
        lengths = self._grid_shape(field_shape)
        if 0 in lengths:
            raise TilingError(
                f"axis {lengths.index(0)} of the field is empty: shape {field_shape}."
            )
        return grid_axes(lengths, self.focus, self.context, self.boundary, self.remainder)

    def _channel(self, ndim) -> int:
        axis = self.channel_axis
        if not isinstance(axis, Integral) or isinstance(axis, bool):
            raise TilingError(f"channel_axis must be an integer or None, got {axis!r}.")
        if not -ndim <= axis < ndim or ndim < 2:
            raise TilingError(
                f"channel_axis={axis} needs a field with that axis and at least one grid axis, "
                f"got fields of {ndim} dimension(s)."
            )
        return int(axis) % ndim

    def _grid_shape(self, field_shape) -> tuple[int, ...]:
        if self.channel_axis is None:
            return field_shape
        channel = self._channel(len(field_shape))
        return field_shape[:channel] + field_shape[channel + 1 :]

    # --- data -------------------------------------------------------------------------------

    def check(self, X, *, like=None) -> Fields:
        """Check fields for this tiling and return them grouped by shape.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape
        like : int, default=None
            Number of axes of the training fields.

        Raises
        ------
        TilingError
            If the length of an axis is not a multiple of the focus (the message names valid
            lengths), if the parameters do not suit the number of dimensions, or if samples differ
            in their channels.
        """
        fields = check_fields(X, caller=self)
        if like is not None:
            check_ndim(fields, like)
        first_tile = None
        for stack in fields.stacks:
            shape = stack.values.shape[1:]
            try:
                tile = self.tile_shape(shape)
            except TilingError as error:
                if not fields.ragged:
                    raise
                where = f"X[{stack.samples[0]}]: "
                raise TilingError(f"{where}{error}", fitted=f"{where}{error.fitted}") from None
            first_tile = first_tile or tile
            if tile != first_tile:
                same_window = self.channel_axis is not None and tile[:-1] == first_tile[:-1]
                noun = "channels" if same_window else "tiles, with focus=None"
                raise TilingError(
                    f"All fields must have the same {noun}: a tile of "
                    f"X[{fields.stacks[0].samples[0]}] has shape {first_tile}, one of "
                    f"X[{stack.samples[0]}] has shape {tile}."
                )
        return fields

    def padded(self, fields: Fields, block: Block) -> np.ndarray:
        """Return the region of a block with its context, (n_samples, *region[, n_channels])."""
        values = fields.stacks[block.stack].values
        axes = self._axes(values.shape[1:])
        positions = self._region_positions(axes, block.region)
        if not isinstance(values, np.ndarray):
            values, positions = self._read_source(values, block.samples, positions)
        elif any(
            wraps_partly(*pair) for pair in zip(positions, [n for n, *_ in axes], strict=True)
        ):
            # Gathering axis by axis would copy the other axes in their full length.
            source = ArraySource(values)
            values, positions = self._read_source(source, block.samples, positions, check=False)
        else:
            values = values[block.samples]
        values = channels_last(values, self.channel_axis, n_batch=1)
        return gather(values, positions)

    def sites(self, field_shape, region) -> list[np.ndarray]:
        """Return the sites that the tiles of a region see, sorted, per axis of the field."""
        positions = self._region_positions(self._axes(tuple(field_shape)), region)
        return self._sites(field_shape, positions)

    def _region_positions(self, axes, region) -> list[np.ndarray]:
        return [
            axis_positions(*axis, self.boundary, self.remainder)[
                part.start * axis.focus : part.stop * axis.focus + 2 * axis.context
            ]
            for axis, part in zip(axes, region, strict=True)
        ]

    def _sites(self, field_shape, positions) -> list[np.ndarray]:
        sites = [np.unique(along[along != OUTSIDE]) for along in positions]
        if self.channel_axis is not None:
            channel = self._channel(len(field_shape))
            sites.insert(channel, np.arange(field_shape[channel]))
        return sites

    def _read_source(self, source, samples, positions, check=True):
        """Read the sites at some positions; return them and the positions relative to them."""
        sites = self._sites(source.shape[1:], positions)
        boxes = [np.arange(samples.start, samples.stop), *sites]
        values = read_sites(source, boxes)
        if check:
            ends = ", ".join(f"{box[0]}:{box[-1] + 1}" for box in boxes)
            require_finite(values, f"X[{ends}]")
        if self.channel_axis is not None:
            sites.pop(self._channel(len(source.shape) - 1))
        relative = [
            np.where(along == OUTSIDE, OUTSIDE, np.searchsorted(read, along))
            for read, along in zip(sites, positions, strict=True)
        ]
        return values, relative

    def read(self, fields: Fields, block: Block) -> np.ndarray:
        """Return the tiles of a block, (n_samples, *block.grid, *tile_shape)."""
        field_shape = fields.stacks[block.stack].values.shape[1:]
        return self.windows(self.padded(fields, block), field_shape)

    def windows(self, padded, field_shape) -> np.ndarray:
        """Return the tiles of regions with their context, as returned by `padded`; a view."""
        axes = self._axes(field_shape)
        along = tuple(range(1, 1 + len(axes)))
        windows = sliding_window_view(padded, [axis.window for axis in axes], axis=along)
        windows = windows[(slice(None), *(slice(None, None, axis.focus) for axis in axes))]
        if self.channel_axis is not None:
            windows = np.moveaxis(windows, 1 + len(axes), -1)
        return windows

    def affected(self, field_shape, changed) -> np.ndarray:
        """Return the tiles that see at least one of the given sites.

        Parameters
        ----------
        field_shape : tuple of int
            Shape of one field, channel axis included.
        changed : array-like of int of shape (n_sites, n_grid_axes)
            Grid indices of the sites.

        Returns
        -------
        ndarray of int of shape (n_affected, n_grid_axes)
            Indices in the tile grid, sorted and unique.

        Examples
        --------
        >>> from sk_ednn import GridTiling
        >>> GridTiling(focus=1, context=1).affected((8,), [[0]]).ravel()  # one spin, three tiles
        array([0, 1, 7])
        """
        axes = self._axes(tuple(field_shape))
        changed = np.asarray(changed)
        if changed.ndim != 2 or changed.shape[1] != len(axes) or changed.dtype.kind not in "iu":
            raise TilingError(
                f"changed must be integers of shape (n_sites, {len(axes)}), got shape "
                f"{changed.shape} and dtype {changed.dtype}."
            )
        lengths = tuple(length for length, _, _ in axes)
        if np.any((changed < 0) | (changed >= lengths)):
            raise TilingError(f"changed must be within the grid {lengths}, got {changed}.")
        by_site = [windows_by_site(*axis, self.boundary, self.remainder) for axis in axes]
        tiles = {
            tile
            for site in changed
            for tile in product(*(of[s] for of, s in zip(by_site, site, strict=True)))
        }
        return np.array(sorted(tiles), dtype=np.intp).reshape(-1, len(axes))

    # --- scikit-learn -----------------------------------------------------------------------

    def fit(self, X, y=None):
        """Check `X`; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        y : ignored

        Returns
        -------
        self
        """
        self._keep_width(X, self.check(X), reset=True)
        return self

    def transform(self, X):
        """Return the tiles of each field.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        ndarray of shape (n_samples, *tile_grid, *window[, n_channels])
            For a list of fields, a list of such arrays without the sample axis.
        """
        fields = self.check(X)
        self._keep_width(X, fields, reset=False)
        whole = self.plan(fields, np.iinfo(np.intp).max)
        parts = [self.read(fields, block) for block in whole]
        return fields.by_sample(parts)

    def inverse_transform(self, X):
        """Reassemble fields from the focus regions of tiles.

        Parameters
        ----------
        X : array-like of shape (n_samples, *tile_grid, *window[, n_channels]), or a list
            As returned by `transform`. Contexts are ignored. Sites added by ``remainder="pad"``
            are kept.

        Returns
        -------
        ndarray of shape (n_samples, *field_shape), or a list of fields
        """
        if is_list_of_fields(X):
            return [self.inverse_transform(tiles[None])[0] for tiles in X]
        tiles = as_array(X, "X")
        n_trailing = tiles.ndim - 1 - (self.channel_axis is not None)
        if n_trailing < 2 or n_trailing % 2:
            raise TilingError(
                "inverse_transform expected tiles of shape (n_samples, *tile_grid, *window"
                f"{'' if self.channel_axis is None else ', n_channels'}), got {tiles.shape}."
            )
        ndim = n_trailing // 2
        tile_shape = tiles.shape[1 + ndim :]
        foci = tiles[(slice(None),) * (1 + ndim) + self.focus_sites(tile_shape)]
        focus = foci.shape[1 + ndim : 1 + 2 * ndim]
        expected = per_axis("focus", self.focus, ndim, least=1, none_allowed=True)
        if any(e is not None and e != f for e, f in zip(expected, focus, strict=True)):
            raise TilingError(
                f"inverse_transform expected a focus of {expected} and context={self.context}, "
                f"got windows of shape {tile_shape[:ndim]}."
            )
        fields = join_foci(foci, ndim)
        if self.channel_axis is not None:
            self._channel(fields.ndim - 1)  # raises if it does not suit the fields
        return from_channels_last(fields, self.channel_axis, n_batch=1)

    def _keep_width(self, X, fields, reset):
        # scikit-learn requires a fixed width of 2-D X only; larger fields may change size.
        if fields.ndim == 1 and not fields.ragged:
            if reset or hasattr(self, "n_features_in_"):
                validate_data(self, X, reset=reset, skip_check_array=True)
        elif reset:
            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)

    def __sklearn_tags__(self) -> Tags:
        """Return the estimator tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        return tags
