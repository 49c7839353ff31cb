"""The contract of a tiling: it admits data, counts tiles, and reads them block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator

from ..exceptions import TileModelError
from ..fields._range import InputRange
from ._tiles import Tiles


class Systems(Protocol):
    """A checked batch of systems: what `AbstractTiling.check` returns.

    Attributes
    ----------
    n_samples : int
    dtype : dtype
        Of the numbers that tiles contain.
    lazy : bool
        Whether the systems are read piece by piece.
    fixed_width : bool
        Whether they are rows of features, whose number scikit-learn keeps.
    arrays : list of ndarray
        The memory of systems that are not lazy.
    sizes : ndarray of shape (n_samples,)
        How large each system is, in numbers or things that it has.
    """

    n_samples: int
    dtype: Any
    lazy: bool
    fixed_width: bool
    arrays: list[np.ndarray]
    sizes: np.ndarray

    def take(self, indices) -> Any:
        """Return the batch of the samples at `indices`, in that order."""


class AbstractTiling(BaseEstimator, ABC):
    """Where the tiles of systems are: the contract that any kind of system fits.

    A tiling contains no data. `check` is the only way in, for `fit` and `predict` alike, and
    returns a batch of systems (`Systems`) that all other methods are given. Blocks depend on the
    systems, the tiling and `max_tiles` alone, never on the number of workers. That keeps totals
    the same to the last bit for any number of workers. `sk_ednn.testing.check_tiling` checks a
    tiling against this contract.

    Attributes
    ----------
    has_channels : bool or None
        Whether the last axis of a tile is one of channels; None where a tile is no window of a
        grid but plain features.
    shares_sites : bool
        Whether all tilings of this kind partition the same sites, so that the sizes of several
        terms are one number. Terms of species, say, count different atoms.
    is_grid : bool
        Whether this is an `AbstractGridTiling`, which knows of sites and windows.
    has_gradient : bool
        Whether it has `gradient_of`.
    """

    __module__ = "sk_ednn.tiling"  # the name that messages give

    has_channels: bool | None = None
    shares_sites = False
    is_grid = False
    has_gradient = False

    @abstractmethod
    def check(self, X, *, like=None) -> Any:
        """Check data for this tiling and return them as a batch of systems.

        Parameters
        ----------
        X : data as the user has them, or a batch that was checked already
        like : object, default=None
            What `describe` returned for the systems of the fit, which these must match.

        Raises
        ------
        TilingError, ValueError
            Which sample does not fit, why, and what would.
        """

    @abstractmethod
    def counts(self, systems) -> np.ndarray:
        """Return the number of tiles of each sample, shape (n_samples,), as floats."""

    @abstractmethod
    def shape_of_tiles(self, systems) -> tuple[int, ...]:
        """Return the shape of one tile, which is the same for all systems of a batch."""

    @abstractmethod
    def plan(self, systems, max_tiles: int) -> list:
        """Divide all tiles into blocks of at most `max_tiles`, at least one tile each.

        A block has ``n_samples`` and ``n_tiles``. Samples without tiles may be in no block.
        """

    @abstractmethod
    def samples(self, systems, block) -> np.ndarray:
        """Return the numbers of the samples that a block has tiles of, shape (n,)."""

    @abstractmethod
    def covers(self, systems, block) -> bool:
        """Tell whether a block has all tiles of its samples."""

    @abstractmethod
    def block_tiles(self, systems, block) -> Tiles:
        """Return the tiles of one block, those of one sample after the other.

        Their `sum_matrix` is one over the block's own samples; see `samples`.
        """

    def tiles(self, X) -> Tiles:
        """Return all tiles of a batch of systems.

        Parameters
        ----------
        X : systems, as `check` takes them

        Returns
        -------
        Tiles
        """
        systems = self.check(X)
        parts = list(self.blocks(systems, np.iinfo(np.intp).max))
        if len(parts) == 1:
            return parts[0]
        shape = self.shape_of_tiles(systems)
        values = [part.array() for part in parts] or [np.zeros((0, *shape), systems.dtype)]
        owners = [_owners(part.sum_matrix) for part in parts] or [np.zeros(0, dtype=np.intp)]
        matrix = sum_matrix(np.concatenate(owners), systems.n_samples)
        return Tiles(np.concatenate(values), matrix, shape)

    def blocks(self, X, max_tiles: int) -> Iterator[Tiles]:
        """Yield the tiles in blocks of at most `max_tiles`; their totals add up to the whole.

        Parameters
        ----------
        X : systems, as `check` takes them
        max_tiles : int

        Yields
        ------
        Tiles
            With a `sum_matrix` over all samples of `X`.
        """
        systems = self.check(X)
        for block in self.plan(systems, max_tiles):
            tiles = self.block_tiles(systems, block)
            samples = self.samples(systems, block)
            owners = np.repeat(samples, np.diff(tiles.sum_matrix.indptr))
            matrix = sum_matrix(owners, systems.n_samples)
            yield Tiles(tiles.values, matrix, tiles.tile_shape)

    def probe(self, systems, n_tiles: int) -> Tiles | None:
        """Return some `n_tiles` tiles that lie together, or None where there are none."""
        return next(self.blocks(systems, n_tiles), None)

    # --- what later systems must match ------------------------------------------------------

    def describe(self, systems) -> Any:
        """Return what later systems must have in common with these; see `check`."""
        return None

    def check_model(self, systems, tile_model) -> None:
        """Raise TileModelError where a fitted tile model does not suit the tiles of systems."""
        tile_model.check_shape(self.shape_of_tiles(systems))

    # --- the baseline -----------------------------------------------------------------------

    def focus_sites(self, tile_shape) -> tuple[slice, ...]:
        """Return the slices that cut the focus out of a tile; none where a tile is one site."""
        return ()

    def n_contents(self, systems) -> int:
        """Return the number of features of a focus, beside its size, that the baseline may use.

        They are the sums over the focus of each channel, and without a window the first numbers
        of a tile.
        """
        return 0

    # --- contributions ----------------------------------------------------------------------

    @abstractmethod
    def empty(self, systems, n_outputs) -> list[np.ndarray]:
        """Return arrays that have room for the contributions of all tiles."""

    @abstractmethod
    def place(self, out, systems, block, values) -> None:
        """Write the contributions of a block, (n_tiles, n_outputs), into `empty` arrays."""

    @abstractmethod
    def by_sample(self, systems, out) -> Any:
        """Return what `empty` arrays contain as users expect it: by sample."""

    # --- gradients --------------------------------------------------------------------------

    def gradient_of(self, systems, slopes, max_tiles) -> Any:
        """Return gradients of totals with respect to the systems, from those of contributions.

        Parameters
        ----------
        systems : Systems
        slopes : callable
            From tiles, (n_tiles, *tile_shape), the gradient of each contribution, of their shape.
        max_tiles : int
            Tiles that are differentiated at a time.

        Raises
        ------
        TileModelError
            Where the tiling has no gradients; see `has_gradient`.
        """
        raise TileModelError(
            f"{type(self).__name__} has no gradients with respect to its systems. GridTiling and "
            "BagTiling have."
        )

    def known_gradients(self, systems, gradient) -> dict[str, list]:
        """Return gradients that a fit is given, by kind and sample, as flat arrays or None.

        Parameters
        ----------
        systems : Systems
        gradient : list
            What is known of the gradient of each sample's total, as `gradient_by_sample` has it.

        Returns
        -------
        dict of str to list of ndarray or None
        """
        raise TileModelError(
            f"{type(self).__name__} has no gradients with respect to its systems: leave out "
            "gradient. GridTiling, BagTiling and AtomTiling have."
        )

    def push(self, systems, block, kind, directions) -> list[np.ndarray]:
        """Return how the tiles of a block change along directions of its samples.

        The Jacobian-vector product of the tiles; `gradient_of` is its adjoint.

        Parameters
        ----------
        systems : Systems
        block : block of `plan`
        kind : str
            Of the kinds of `known_gradients`.
        directions : list of list of ndarray or None
            For each direction, that of each sample of the block, flat; None for no change.

        Returns
        -------
        list of ndarray of shape (n_tiles, *tile_shape)
            One for each direction.
        """
        raise NotImplementedError

    def gradient_by_sample(self, systems, parts) -> Any:
        """Return what `gradient_of` returned as users expect it: by sample."""
        return parts

    # --- the range of what was seen ---------------------------------------------------------

    def range_of(self, systems) -> Any:
        """Return the `InputRange` of systems, which later ones are compared with, or None."""
        return None

    def range_from(self, values) -> Any:
        """Return the `InputRange` that was stored as an array."""
        return InputRange.from_array(values)

    def compare_range(self, systems, values, stacklevel=2) -> Any:
        """Warn where systems lie far outside a stored range; return them."""
        return systems

    # --- work elsewhere ---------------------------------------------------------------------

    def piece(self, systems, blocks) -> tuple[Any, list, np.ndarray]:
        """Return what is needed for some blocks: a part of the systems, to send elsewhere.

        Returns
        -------
        systems : Systems
        blocks : list
            The same blocks, of these systems.
        samples : ndarray of int
            The numbers that the samples of the part have in the whole.
        """
        return systems, blocks, np.arange(systems.n_samples)


def sum_matrix(owners, n_samples) -> csr_array:
    """Return S for tiles that each belong, once, to the sample named in `owners`."""
    n_tiles = len(owners)
    indptr = np.zeros(n_samples + 1, dtype=np.intp)
    np.cumsum(np.bincount(owners, minlength=n_samples), out=indptr[1:])
    ordered = np.arange(n_tiles) if _sorted(owners) else np.argsort(owners, kind="stable")
    return csr_array((np.ones(n_tiles), ordered, indptr), shape=(n_samples, n_tiles))


def _owners(matrix) -> np.ndarray:
    """Return the sample of each tile of a sum matrix, where each belongs to one."""
    entries = matrix.tocoo()
    owners = np.empty(matrix.shape[1], dtype=np.intp)
    owners[entries.coords[1]] = entries.coords[0]
    return owners


def _sorted(owners) -> bool:
    return len(owners) < 2 or bool(np.all(owners[1:] >= owners[:-1]))
