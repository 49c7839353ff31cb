"""Tiles of fields on a grid."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from .._utils.stored import stored
from ..exceptions import TilingError
from ..fields._fields import (
    Fields,
    check_fields,
    check_ndim,
    is_list_of_fields,
    require_finite,
)
from ..fields._sources import ArraySource, as_array, read_sites
from ._gather import gather, wraps_partly
from ._grid_base import AbstractGridTiling, Block
from ._windows import (
    BOUNDARIES,
    OUTSIDE,
    axis_positions,
    axis_windows,
    legal_focuses,
    legal_sizes,
    n_windows,
)

REMAINDERS = ("error", "pad")


@stored("GridTiling")
class GridTiling(AbstractGridTiling):
    """Cut fields on a grid into focus regions, each seen with its context.

    The focus regions partition the field; a tile is a focus with `context` more sites on either
    side, where its neighbours' sites are seen again. In any number of dimensions::

        |context| focus |context|
                |context| focus |context|

    Parameters
    ----------
    focus : int, None, or tuple with one per axis, default=1
        Sites of a focus. Every axis must be a multiple of it. None makes one tile of the whole
        axis, the non-local limit, which then has that one size only.
    context : int or tuple with one per axis, default=1
        Sites seen on either side of a focus. It may be longer than the axis.
    boundary : {"periodic", "zero", "reflect", "nearest"}, default="periodic"
        What lies beyond the ends of an axis: its other end, zeros, its mirror image (the end site
        not repeated), or the end site again.
    channel_axis : int or None, default=None
        The axis of one field (samples not counted) that holds channels, None where there is none.
        -1 is the last.
    remainder : {"error", "pad"}, default="error"
        What to do with an axis that is not a multiple of the focus: refuse it, or let the last
        focus reach beyond the end, into what `boundary` says is there. Not for periodic fields.

    Attributes
    ----------
    n_features_in_ : int
        Width of 2-D `X` seen in `fit`; fields of more dimensions may change their size.

    Notes
    -----
    ``fit`` learns nothing. As a transformer it returns the tiles themselves, of shape
    ``(n_samples, *tile_grid, *window[, n_channels])``: a read-only view where that is possible.

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
    >>> tiles[0, 0, 0]  # the focus 0 1 / 4 5, with what surrounds it periodically
    array([[15, 12, 13, 14],
           [ 3,  0,  1,  2],
           [ 7,  4,  5,  6],
           [11,  8,  9, 10]])
    """

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
        """Return how many tiles a field of this shape has along each axis.

        Parameters
        ----------
        field_shape : tuple of int
            Shape of one field, its channel axis included.
        """
        return tuple(
            n_windows(length, focus, self.remainder)
            for length, focus, _ in self._axes(tuple(field_shape))
        )

    def tile_shape(self, field_shape) -> tuple[int, ...]:
        """Return the shape of one tile of a field of this shape, ``(*window[, n_channels])``."""
        window = tuple(f + 2 * c for _, f, c in self._axes(tuple(field_shape)))
        if self.channel_axis is None:
            return window
        return (*window, field_shape[self._channel(len(field_shape))])

    def padded_positions(self, field_shape) -> list[np.ndarray]:
        """Return the site behind each place of a padded field, per grid axis.

        `OUTSIDE`, which is -1, where a place lies beyond a "zero" boundary. Tile i of an axis
        covers the places from ``i * focus`` to ``(i + 1) * focus + 2 * context``.
        """
        return [
            _positions(*axis, self.boundary, self.remainder)
            for axis in self._axes(tuple(field_shape))
        ]

    def axis_windows(self, field_shape) -> list[np.ndarray]:
        """Return, for each grid axis, the sites that each window along it sees.

        Parameters
        ----------
        field_shape : tuple of int
            Shape of one field, its channel axis included.

        Returns
        -------
        list of ndarray of int of shape (n_windows, focus + 2 * context), one for each grid axis
            Positions along the axis, -1 beyond a "zero" boundary. A tile is the product of one
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
            axis_windows(length, focus, context, self.boundary, self.remainder)
            for length, focus, context in self._axes(tuple(field_shape))
        ]

    def focus_sites(self, tile_shape) -> tuple[slice, ...]:
        """Return the slices that cut the focus out of a tile of this shape."""
        window = tile_shape if self.channel_axis is None else tile_shape[:-1]
        contexts = _per_axis("context", self.context, len(window), least=0)
        return tuple(
            slice(context, length - context)
            for length, context in zip(window, contexts, strict=True)
        )

    def _axes(self, field_shape) -> list[tuple[int, int, int]]:
        """Return (length, focus, context) per grid axis; raise where they do not fit."""
        if self.boundary not in BOUNDARIES:
            raise TilingError(f"boundary must be one of {BOUNDARIES}, got {self.boundary!r}.")
        if self.remainder not in REMAINDERS:
            raise TilingError(f"remainder must be one of {REMAINDERS}, got {self.remainder!r}.")
        if self.remainder == "pad" and self.boundary == "periodic":
            raise TilingError(
                "remainder='pad' has no meaning for a periodic field, which does not end: choose "
                "another boundary, or a focus that divides every axis."
            )
        lengths = self._grid_shape(field_shape)
        focuses = _per_axis("focus", self.focus, len(lengths), least=1, none_allowed=True)
        contexts = _per_axis("context", self.context, len(lengths), least=0)
        axes = []
        for axis, (length, focus, context) in enumerate(
            zip(lengths, focuses, contexts, strict=True)
        ):
            if length == 0:
                raise TilingError(f"axis {axis} of the field is empty: shape {field_shape}.")
            focus = length if focus is None else focus
            if length % focus and self.remainder == "error":
                hint = "" if self.boundary == "periodic" else " Or set remainder='pad'."
                said = (
                    f"axis {axis} has length {length}, not a multiple of focus={focus}; "
                    f"{legal_sizes(length, focus)}"
                )
                raise TilingError(
                    f"{said}, or a focus of {legal_focuses(length)}.{hint}", fitted=f"{said}."
                )
            axes.append((length, focus, context))
        return axes

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
        X : array-like of shape (n_samples, *field_shape), or list of arrays of such shapes
        like : int, default=None
            Number of axes of the fields of the fit.

        Raises
        ------
        TilingError
            Where an axis is not a multiple of the focus (naming the legal sizes), where the
            parameters do not suit the dimension, or where samples differ in their channels.
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
                what = "channels" if same_window else "tiles, with focus=None"
                raise TilingError(
                    f"All fields must have the same {what}: a tile of "
                    f"X[{fields.stacks[0].samples[0]}] has shape {first_tile}, one of "
                    f"X[{stack.samples[0]}] has shape {tile}."
                )
        return fields

    def padded(self, fields: Fields, block: Block) -> np.ndarray:
        """Return the region of a block with its context: (n_samples, *region[, n_channels])."""
        values = fields.stacks[block.stack].values
        axes = self._axes(values.shape[1:])
        places = self._region_places(axes, block.region)
        if not isinstance(values, np.ndarray):
            values, places = self._read_source(values, block.samples, places)
        elif any(wraps_partly(a, length) for a, (length, *_) in zip(places, axes, strict=True)):
            # Along one axis after the other, the other axes would be copied in their full length.
            source = ArraySource(values)
            values, places = self._read_source(source, block.samples, places, check=False)
        else:
            values = values[block.samples]
        if self.channel_axis is not None:
            values = np.moveaxis(values, 1 + self._channel(values.ndim - 1), -1)
        return gather(values, places)

    def sites(self, field_shape, region) -> list[np.ndarray]:
        """Return the sites that the tiles of a region see: per axis of the field, sorted."""
        places = self._region_places(self._axes(tuple(field_shape)), region)
        return self._sites(field_shape, places)

    def _region_places(self, axes, region) -> list[np.ndarray]:
        return [
            _positions(length, focus, context, self.boundary, self.remainder)[
                part.start * focus : part.stop * focus + 2 * context
            ]
            for (length, focus, context), part in zip(axes, region, strict=True)
        ]

    def _sites(self, field_shape, places) -> list[np.ndarray]:
        sites = [np.unique(along[along != OUTSIDE]) for along in places]
        if self.channel_axis is not None:
            channel = self._channel(len(field_shape))
            sites.insert(channel, np.arange(field_shape[channel]))
        return sites

    def _read_source(self, source, samples, places, check=True):
        """Read the sites at some places of a source; return them and where each place is now."""
        sites = self._sites(source.shape[1:], places)
        boxes = [np.arange(samples.start, samples.stop), *sites]
        values = read_sites(source, boxes)
        if check:
            ends = ", ".join(f"{box[0]}:{box[-1] + 1}" for box in boxes)
            require_finite(values, f"X[{ends}]")
        if self.channel_axis is not None:
            sites.pop(self._channel(len(source.shape) - 1))
        found = [
            np.where(along == OUTSIDE, OUTSIDE, np.searchsorted(own, along))
            for own, along in zip(sites, places, strict=True)
        ]
        return values, found

    def read(self, fields: Fields, block: Block) -> np.ndarray:
        """Return what the tiles of a block see: (n_samples, *block.grid, *tile_shape)."""
        field_shape = fields.stacks[block.stack].values.shape[1:]
        return self.windows(self.padded(fields, block), field_shape)

    def windows(self, padded, field_shape) -> np.ndarray:
        """Return the tiles of regions with their context, as `padded` gives them: a view."""
        axes = self._axes(field_shape)
        grid_axes = tuple(range(1, 1 + len(axes)))
        windows = sliding_window_view(padded, [f + 2 * c for _, f, c in axes], axis=grid_axes)
        windows = windows[(slice(None), *(slice(None, None, f) for _, f, _ in axes))]
        if self.channel_axis is not None:
            windows = np.moveaxis(windows, 1 + len(axes), -1)
        return windows

    def affected(self, field_shape, changed) -> np.ndarray:
        """Return the tiles that see any of some sites.

        Parameters
        ----------
        field_shape : tuple of int
            Shape of one field, its channel axis included.
        changed : array-like of int of shape (n_sites, n_grid_axes)
            Grid indices of the sites.

        Returns
        -------
        ndarray of int of shape (n_affected, n_grid_axes)
            Places in the tile grid, sorted, none twice.

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
                f"{changed.shape} of type {changed.dtype}."
            )
        lengths = tuple(length for length, _, _ in axes)
        if np.any((changed < 0) | (changed >= lengths)):
            raise TilingError(f"changed must lie within the grid {lengths}, got {changed}.")
        seen_by = [_seen_by(*axis, self.boundary, self.remainder) for axis in axes]
        tiles = {
            place
            for site in changed
            for place in product(*(by[s] for by, s in zip(seen_by, site, strict=True)))
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
            Where `X` is a list of fields, a list of such arrays without the sample axis.
        """
        fields = self.check(X)
        self._keep_width(X, fields, reset=False)
        whole = self.plan(fields, np.iinfo(np.intp).max)
        parts = [self.read(fields, block) for block in whole]
        if not fields.ragged:
            return parts[0]
        return _scatter(fields, parts)

    def inverse_transform(self, X):
        """Put the focus regions of tiles together again.

        Parameters
        ----------
        X : array-like of shape (n_samples, *tile_grid, *window[, n_channels]), or a list
            As `transform` returns it. Contexts are not looked at. Sites added by
            ``remainder="pad"`` stay.

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
        grid, focus = foci.shape[1 : 1 + ndim], foci.shape[1 + ndim : 1 + 2 * ndim]
        expected = _per_axis("focus", self.focus, ndim, least=1, none_allowed=True)
        if any(e is not None and e != f for e, f in zip(expected, focus, strict=True)):
            raise TilingError(
                f"inverse_transform expected a focus of {expected} within the context "
                f"{self.context}, got windows of shape {tile_shape[:ndim]}."
            )
        order = [0]
        for axis in range(ndim):
            order += [1 + axis, 1 + ndim + axis]
        order += list(range(1 + 2 * ndim, foci.ndim))
        fields = foci.transpose(order).reshape(
            len(foci),
            *(g * f for g, f in zip(grid, focus, strict=True)),
            *foci.shape[1 + 2 * ndim :],
        )
        if self.channel_axis is not None:
            fields = np.moveaxis(fields, -1, 1 + self._channel(fields.ndim - 1))
        return fields

    def _keep_width(self, X, fields, reset):
        # Only 2-D X has a width that scikit-learn wants kept; larger fields may change size.
        if fields.ndim == 1 and not fields.ragged:
            if reset or hasattr(self, "n_features_in_"):
                validate_data(self, X, reset=reset, skip_check_array=True)
        elif reset:
            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)

    def __sklearn_tags__(self) -> Tags:
        """Say what scikit-learn may expect."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        return tags


def _scatter(fields: Fields, parts) -> list:
    """Return the parts of the stacks, sample by sample, in the order of the batch."""
    out = [None] * fields.n_samples
    for stack, part in zip(fields.stacks, parts, strict=True):
        for place, values in zip(stack.samples, part, strict=True):
            out[place] = values
    return out


def _per_axis(name, value, ndim, *, least, none_allowed=False) -> tuple:
    values = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,) * ndim
    if len(values) != ndim:
        raise TilingError(
            f"{name}={value!r} has {len(values)} entries, but the fields have {ndim} grid "
            f"dimension(s); give one number, or one per axis."
        )
    for entry in values:
        whole = isinstance(entry, Integral) and not isinstance(entry, (bool, np.bool_))
        if not (whole and entry >= least) and not (none_allowed and entry is None):
            raise TilingError(
                f"{name} must be {'None or ' if none_allowed else ''}an integer of at least "
                f"{least}, or one such per axis, got {value!r}."
            )
    return tuple(None if entry is None else int(entry) for entry in values)


@lru_cache(maxsize=256)
def _positions(length, focus, context, boundary, remainder) -> np.ndarray:
    places = axis_positions(length, focus, context, boundary, remainder)
    places.setflags(write=False)
    return places


@lru_cache(maxsize=64)
def _seen_by(length, focus, context, boundary, remainder) -> list[list[int]]:
    """Return, for each site of an axis, the windows that see it."""
    seen_by: list[set[int]] = [set() for _ in range(length)]
    for index, window in enumerate(axis_windows(length, focus, context, boundary, remainder)):
        for site in window:
            if site != OUTSIDE:
                seen_by[site].add(index)
    return [sorted(by) for by in seen_by]
