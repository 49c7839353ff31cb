"""The interface of tilings: check data, count tiles, and read them block by block."""

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
    """A checked batch of systems, as returned by `AbstractTiling.check`.

    Attributes
    ----------
    n_samples : int
    dtype : dtype
        Data type of the tiles.
    lazy : bool
        Whether the systems are read lazily, piece by piece.
    fixed_width : bool
        Whether they are rows of features, whose number scikit-learn records.
    arrays : list of ndarray
        Arrays that contain the data; empty if lazy.
    sizes : ndarray of shape (n_samples,)
        Size of each system, in numbers or in elements.
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
    """Interface of all tilings, whatever the kind of system.

    A tiling contains no data. `fit` and `predict` pass their data to `check`, which returns a
    batch of systems (`Systems`) for all other methods. Blocks depend only on the systems, the
    tiling and `max_tiles`, never on the number of workers, so that totals are deterministic.
    `sk_ednn.testing.check_tiling` tests a tiling against this interface.

    Attributes
    ----------
    has_channels : bool or None
        Whether the last axis of a tile is a channel axis; None if tiles are feature vectors
        rather than windows of a grid.
    shares_sites : bool
        Whether all tilings of this kind partition the same sites. The terms of a model then have
        one size in common. Terms of species, in contrast, count different atoms.
    is_grid : bool
        Whether this is an `AbstractGridTiling`, which has sites and windows.
    has_gradient : bool
        Whether `gradient_of` is implemented.
    has_round_off : bool
        Whether tiles are computed from the systems, so that their last bits depend on the
        processor, rather than read from them.
    """

    __module__ = "sk_ednn.tiling"  # shown in error messages

    has_channels: bool | None = None
    shares_sites = False
    is_grid = False
    has_gradient = False
    has_round_off = False

    @abstractmethod
    def check(self, X, *, like=None) -> Any:
        """Check data for this tiling and return a batch of systems.

        Parameters
        ----------
        X : data passed by the user, or a batch that was already checked
        like : object, default=None
            Result of `describe` for the training systems, which `X` must match.

        Raises
        ------
        TilingError, ValueError
            If a sample does not suit the tiling. The message names it and a remedy.
        """

    @abstractmethod
    def counts(self, systems) -> np.ndarray:
        """Return the number of tiles of each sample, shape (n_samples,), as floats."""

    @abstractmethod
    def shape_of_tiles(self, systems) -> tuple[int, ...]:
        """Return the shape of a tile, which is the same for all systems of a batch."""

    @abstractmethod
    def plan(self, systems, max_tiles: int) -> list:
        """Divide all tiles into blocks of 1 to `max_tiles` tiles.

        A block has the attributes ``n_samples`` and ``n_tiles``. A sample without tiles need not
        be in any block.
        """

    @abstractmethod
    def samples(self, systems, block) -> np.ndarray:
        """Return the indices of the samples whose tiles are in a block, shape (n,)."""

    @abstractmethod
    def covers(self, systems, block) -> bool:
        """Return True if a block contains all tiles of its samples."""

    @abstractmethod
    def block_tiles(self, systems, block) -> Tiles:
        """Return the tiles of a block, sample by sample.

        Their `sum_matrix` has one row for each sample of the block; see `samples`.
        """

    def tiles(self, X) -> Tiles:
        """Return all tiles of a batch of systems.

        Parameters
        ----------
        X : systems, as accepted by `check`

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
        """Yield the tiles in blocks of at most `max_tiles`.

        Parameters
        ----------
        X : systems, as accepted by `check`
        max_tiles : int

        Yields
        ------
        Tiles
            Their `sum_matrix` has one row for each sample of `X`, so that the totals of the blocks
            add up to those of `X`.
        """
        systems = self.check(X)
        for block in self.plan(systems, max_tiles):
            tiles = self.block_tiles(systems, block)
            samples = self.samples(systems, block)
            owners = np.repeat(samples, np.diff(tiles.sum_matrix.indptr))
            matrix = sum_matrix(owners, systems.n_samples)
            yield Tiles(tiles.values, matrix, tiles.tile_shape)

    def probe(self, systems, n_tiles: int) -> Tiles | None:
        """Return about `n_tiles` adjacent tiles, or None if there are no tiles."""
        return next(self.blocks(systems, n_tiles), None)

    # --- consistency with the training systems ----------------------------------------------

    def describe(self, systems) -> Any:
        """Return the properties that later systems must share, the `like` of `check`."""
        return None

    def check_model(self, systems, tile_model) -> None:
        """Raise TileModelError if a fitted tile model does not accept the tiles of systems."""
        tile_model.check_shape(self.shape_of_tiles(systems))

    # --- the baseline -----------------------------------------------------------------------

    def focus_sites(self, tile_shape) -> tuple[slice, ...]:
        """Return the slices that select the focus of a tile; empty if a tile is a single site."""
        return ()

    def focus_shape(self, tile_shape) -> tuple[int, ...]:
        """Return the number of sites of a focus along each axis; see `focus_sites`."""
        return tuple(part.stop - part.start for part in self.focus_sites(tile_shape))

    def n_contents(self, systems) -> int:
        """Return the number of features that the baseline may use besides the size of a focus.

        For windows, these features are the sums of each channel over the focus; for feature
        vectors, the first numbers of a tile.
        """
        return 0

    # --- contributions ----------------------------------------------------------------------

    @abstractmethod
    def empty(self, systems, n_outputs) -> list[np.ndarray]:
        """Return uninitialised arrays for the contributions of all tiles."""

    @abstractmethod
    def place(self, out, systems, block, values) -> None:
        """Write the contributions of a block, (n_tiles, n_outputs), to the arrays of `empty`."""

    @abstractmethod
    def by_sample(self, systems, out) -> Any:
        """Return contributions, as arrays of `empty`, by sample for the user."""

    # --- gradients --------------------------------------------------------------------------

    def gradient_of(self, systems, tile_gradients, max_tiles) -> Any:
        """Return the gradients of totals with respect to the systems.

        This is the vector-Jacobian product of cutting tiles: gradients with respect to tiles are
        pulled back to the systems and added up; see `sk_ednn.tile_models._gradients`.

        Parameters
        ----------
        systems : Systems
        tile_gradients : callable
            Maps tiles (n_tiles, *tile_shape) to the gradient of each contribution with respect to
            its tile, of the same shape.
        max_tiles : int
            Number of tiles per call.

        Raises
        ------
        TileModelError
            If the tiling has no gradients; see `has_gradient`.
        """
        raise TileModelError(
            f"{type(self).__name__} has no gradients with respect to its systems. Use a "
            "GridTiling, a BagTiling or an AtomTiling."
        )

    def known_gradients(self, systems, gradient) -> dict[str, list]:
        """Return target gradients by kind and sample, as flat arrays or None.

        Parameters
        ----------
        systems : Systems
        gradient : list
            Target gradient of each total, in the form that `gradient_by_sample` returns.

        Returns
        -------
        dict of str to list of ndarray or None
            For each kind, one entry per sample; None if it is not known.
        """
        raise TileModelError(
            f"{type(self).__name__} has no gradients with respect to its systems. Leave out "
            "gradient, or use a GridTiling, a BagTiling or an AtomTiling."
        )

    def push(self, systems, block, kind, directions) -> list[np.ndarray]:
        """Return the changes of the tiles of a block along directions of its samples.

        This is the Jacobian-vector product of cutting tiles; `gradient_of` is its adjoint.

        Parameters
        ----------
        systems : Systems
        block : block of `plan`
        kind : str
            A key of `known_gradients`.
        directions : list of list of ndarray or None
            For each direction, a flat array for each sample of the block; None for no change.

        Returns
        -------
        list of ndarray of shape (n_tiles, *tile_shape)
            One for each direction.
        """
        raise NotImplementedError

    def gradient_by_sample(self, systems, parts) -> Any:
        """Return the result of `gradient_of` by sample for the user."""
        return parts

    # --- input range ------------------------------------------------------------------------

    def range_of(self, systems) -> Any:
        """Return the `InputRange` of systems, with which later ones are compared, or None."""
        return None

    def range_from(self, values) -> Any:
        """Return the `InputRange` that was stored as an array."""
        return InputRange.from_array(values)

    def compare_range(self, systems, values) -> Any:
        """Warn if systems lie far outside a stored range; return the systems."""
        return systems

    # --- distributed work -------------------------------------------------------------------

    def piece(self, systems, blocks) -> tuple[Any, list, np.ndarray]:
        """Return the part of the systems that some blocks need, to send it to a worker.

        Returns
        -------
        systems : Systems
        blocks : list
            The same blocks, relative to these systems.
        samples : ndarray of int
            Index in the whole batch of each sample of the part.
        """
        return systems, blocks, np.arange(systems.n_samples)


def sum_matrix(owners, n_samples) -> csr_array:
    """Return the sum matrix of tiles that each belong, once, to the sample in `owners`."""
    n_tiles = len(owners)
    indptr = np.zeros(n_samples + 1, dtype=np.intp)
    np.cumsum(np.bincount(owners, minlength=n_samples), out=indptr[1:])
    ordered = np.arange(n_tiles) if _sorted(owners) else np.argsort(owners, kind="stable")
    return csr_array((np.ones(n_tiles), ordered, indptr), shape=(n_samples, n_tiles))


def _owners(matrix) -> np.ndarray:
    """Return the sample of each tile of a sum matrix in which each tile belongs to one sample."""
    entries = matrix.tocoo()
    owners = np.empty(matrix.shape[1], dtype=np.intp)
    owners[entries.col] = entries.row
    return owners


def _sorted(owners) -> bool:
    return len(owners) < 2 or bool(np.all(owners[1:] >= owners[:-1]))
