"""Tiling of bags, in which each instance of a sample is a tile."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np

from .._utils.stacklevel import outside_package
from .._utils.stored import stored
from ..exceptions import NoveltyWarning, TilingError
from ..fields._bags import Bags, check_bags
from ..fields._fields import require_numbers
from ..fields._in_memory import as_array, as_groups
from ..fields._range import InputRange
from ._packed import AbstractPackedTiling, checked_gradient


@stored("BagTiling")
class BagTiling(AbstractPackedTiling):
    """Take each instance of a bag as a tile.

    A sample is an array of shape ``(n_instances, n_features)``. The number of rows may differ
    between samples and may be 0. The tile model sees one row at a time, and its outputs are summed
    over the rows of a sample. It thus learns about single instances (households, trees, cells,
    atoms with the descriptors of any library) from totals of groups.

    Parameters
    ----------
    column : int, default=None
        Column with the kind of each instance. It is not a feature.
    kind : float, default=None
        With `column`, take only the instances of this kind. With one term per kind, each kind has
        a tile model; see `per_kind`.

    Notes
    -----
    Contributions are lists of arrays, one for each sample. ``baseline="size"`` is the mean total
    per instance (of the given kind); ``baseline="content"`` is also linear in the sums of the
    features.

    See Also
    --------
    GridTiling : Tiles of fields on a grid, with their neighbourhood.

    Examples
    --------
    Learn the biomass of a tree from the total biomass of plots:

    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sklearn.linear_model import LinearRegression
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.tiling import BagTiling
    >>> rng = np.random.default_rng(0)
    >>> plots = [rng.uniform(5, 50, size=(n, 1)) for n in rng.integers(0, 40, size=60)]  # in cm
    >>> biomass = [np.sum(0.1 * plot**2) for plot in plots]
    >>> tree = make_pipeline(PolynomialFeatures(2), LinearRegression())
    >>> model = EDNNRegressor(tree, BagTiling()).fit(plots, biomass)
    >>> forest = rng.uniform(5, 50, size=(100_000, 1))
    >>> print(f"{model.predict([forest])[0] / np.sum(0.1 * forest**2):.6f}")
    1.000000
    >>> print(np.round(model.predict_contributions([[[10.0], [30.0]]])[0], 6))
    [10. 90.]
    """

    has_gradient = True

    def __init__(self, column=None, kind=None):
        self.column = column
        self.kind = kind

    @staticmethod
    def bags(X, groups):
        """Split a table of instances into bags.

        Parameters
        ----------
        X : array-like of shape (n_instances, n_features)
        groups : array-like of shape (n_instances,)
            Sample of each instance: numbers or names, none of them missing.

        Returns
        -------
        bags : list of ndarray, or of DataFrame if `X` is one
            One for each distinct value of `groups`, with the instances in their order in `X`.
        names : ndarray of shape (n_samples,)
            The values of `groups`, sorted.

        Examples
        --------
        >>> from sk_ednn.tiling import BagTiling
        >>> bags, names = BagTiling.bags([[1.0], [2.0], [3.0]], ["b", "a", "b"])
        >>> names, [bag.ravel().tolist() for bag in bags]
        (array(['a', 'b'], dtype='<U1'), [[2.0], [1.0, 3.0]])
        """
        require_numbers(X, "X")
        # Tables keep the names of their columns, by which a model compares later ones.
        X = X if hasattr(X, "iloc") else as_array(X, "X")
        groups = as_groups(groups)
        if X.ndim != 2 or groups.shape != X.shape[:1]:
            raise TilingError(
                "bags expects X of shape (n_instances, n_features) and the group of each instance, "
                f"shape (n_instances,); got shapes {X.shape} and {groups.shape}."
            )
        names, number = np.unique(groups, return_inverse=True)
        order = np.argsort(number, kind="stable")
        ends = np.cumsum(np.bincount(number))[:-1]
        if hasattr(X, "iloc"):
            return [X.iloc[rows] for rows in np.split(order, ends)], names
        return np.split(X[order], ends), names

    @classmethod
    def per_kind(cls, tile_model, column, kinds) -> list:
        """Return a list of terms for `EDNNRegressor`, one for each kind of instance.

        Parameters
        ----------
        tile_model : estimator
            Cloned for each term.
        column : int
        kinds : sequence of numbers

        Returns
        -------
        list of (name, tile_model, tiling)

        Examples
        --------
        >>> from sklearn.linear_model import Ridge
        >>> from sk_ednn.tiling import BagTiling
        >>> [name for name, *_ in BagTiling.per_kind(Ridge(), column=0, kinds=[8, 22])]
        ['kind_8', 'kind_22']
        """
        return [(f"kind_{kind:g}", tile_model, cls(column, kind)) for kind in kinds]

    def check(self, X, *, like=None) -> Bags:
        """Check bags and pack them; see `AbstractTiling`.

        Parameters
        ----------
        X : list of array-like of shape (n_instances, n_features)
        like : int, default=None
            Number of columns of the training bags.
        """
        if (self.column is None) != (self.kind is None):
            raise TilingError(
                f"Give both column and kind, or neither; got column={self.column!r}, "
                f"kind={self.kind!r}."
            )
        bags = check_bags(X, caller=self)
        width = bags.values.shape[1]
        if like is not None and width != like:
            raise TilingError(
                f"The model was fitted to bags with {like} column(s), but these have {width}."
            )
        if self.column is not None:
            integral = isinstance(self.column, Integral) and not isinstance(self.column, bool)
            if not integral or not -width <= self.column < width or width < 2:
                raise TilingError(
                    f"column={self.column!r} must be the index of one of the {width} column(s), "
                    "and at least one other column must be left as a feature."
                )
            if not isinstance(self.kind, Real) or self.kind != self.kind:
                raise TilingError(f"kind must be a number, got {self.kind!r}.")
        elif width == 0:
            raise TilingError("Bags need at least one feature, got arrays without columns.")
        return bags

    def describe(self, bags: Bags) -> int:
        """Return the number of columns."""
        return bags.values.shape[1]

    def shape_of_tiles(self, bags: Bags) -> tuple[int, ...]:
        """Return the shape of a tile, ``(n_features,)``."""
        return (bags.values.shape[1] - (self.column is not None),)

    def tile_offsets(self, bags: Bags) -> np.ndarray:
        """Return the index of the first tile of each sample."""
        return bags.offsets if self.column is None else bags.chosen(self.column, self.kind)[1]

    def read(self, bags: Bags, start, stop) -> np.ndarray:
        """Return the features of instances, (stop - start, n_features)."""
        if self.column is None:
            return bags.values[start:stop]
        rows = bags.values[bags.chosen(self.column, self.kind)[0][start:stop]]
        return rows[:, self._features(bags)]

    def n_contents(self, bags: Bags) -> int:
        """Return the number of features, whose sums the baseline may use."""
        return self.shape_of_tiles(bags)[0]

    def gradient_of(self, bags: Bags, tile_gradients, max_tiles) -> list[np.ndarray]:
        """Return the gradient of each total with respect to its bag; see `AbstractTiling`."""
        out = np.zeros(bags.values.shape)
        for block in self.plan(bags, max_tiles):
            values = tile_gradients(self.read(bags, block.start, block.stop))
            if self.column is None:
                out[block.start : block.stop] = values
            else:
                rows = bags.chosen(self.column, self.kind)[0][block.start : block.stop]
                out[rows[:, None], self._features(bags)] = values
        return np.split(out, bags.offsets[1:-1])

    def known_gradients(self, bags: Bags, gradient) -> dict[str, list]:
        """Return target gradients with respect to bags, each of the shape of its bag or None."""
        sizes, width = np.diff(bags.offsets).tolist(), bags.values.shape[1]
        return {
            "features": [
                checked_gradient(values, (n, width), f"gradient[{k}]")
                for k, (values, n) in enumerate(zip(gradient, sizes, strict=True))
            ]
        }

    def push(self, bags: Bags, block, kind, directions) -> list[np.ndarray]:
        """Return the changes of instances along directions of bags; see `AbstractTiling`."""
        offsets = bags.offsets[block.first : block.last + 2]
        first, last = offsets[0], offsets[-1]
        pushed = []
        for by_sample in directions:
            change = np.zeros((last - first, bags.values.shape[1]))
            for start, stop, direction in zip(offsets[:-1], offsets[1:], by_sample, strict=True):
                if direction is not None:
                    change[start - first : stop - first] = direction.reshape(stop - start, -1)
            if self.column is None:
                rows = np.arange(block.start, block.stop)
                pushed.append(change[rows - first])
            else:
                rows = bags.chosen(self.column, self.kind)[0][block.start : block.stop]
                pushed.append(change[rows - first][:, self._features(bags)])
        return pushed

    def range_of(self, bags: Bags) -> InputRange | None:
        """Return the range of each column."""
        if len(bags.values) == 0:
            return None
        least, largest = (f(axis=0).astype(float) for f in (bags.values.min, bags.values.max))
        return InputRange(least, largest, np.zeros(len(least)), noun="bags", part="column")

    def compare_range(self, bags: Bags, values) -> Bags:
        """Warn of bags far outside a stored range; return the bags."""
        observed = self.range_of(bags)
        if observed is not None:
            fitted = replace(InputRange.from_array(values), noun="bags", part="column")
            message = fitted.doubt(observed.least, observed.largest)
            if message is not None:
                warnings.warn(message, NoveltyWarning, stacklevel=outside_package())
        return bags

    def piece(self, bags: Bags, blocks):
        """Return the bags of some adjacent blocks; see `AbstractTiling`."""
        first, last = blocks[0].first, blocks[-1].last
        samples = np.arange(first, last + 1)
        base = int(self.tile_offsets(bags)[first])
        moved = [
            type(block)(
                block.start - base, block.stop - base, block.first - first, block.last - first
            )
            for block in blocks
        ]
        return bags.take(samples), moved, samples

    def _features(self, bags) -> np.ndarray:
        return np.delete(np.arange(bags.values.shape[1]), self.column)
