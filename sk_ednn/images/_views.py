"""Turned and flipped views of pictures, over which predictions are averaged."""

from __future__ import annotations

import numpy as np

# Quarter turns in the plane, and whether the result is flipped; the first 2 and 4 are groups.
_VIEWS = (
    (0, False), (2, False), (0, True), (2, True), (1, False), (3, False), (1, True), (3, True),
)  # fmt: skip
NUMBERS_OF_VIEWS = (1, 2, 4, 8)


def suited_views(n_views, symmetric) -> int:
    """Return a number of views; "auto" stands for all of pictures that may be turned."""
    if n_views == "auto":
        return NUMBERS_OF_VIEWS[-1] if symmetric else 1
    return int(n_views)


def views(n_views):
    """Yield the views as pairs of quarter turns and flip.

    Parameters
    ----------
    n_views : {1, 2, 4, 8}

    Examples
    --------
    >>> from sk_ednn.images._views import views
    >>> list(views(2))
    [(0, False), (2, False)]
    """
    if n_views not in NUMBERS_OF_VIEWS:
        raise ValueError(f"Expected 1, 2, 4 or 8 views, got {n_views!r}.")
    yield from _VIEWS[:n_views]


class InViews:
    """A model of pictures whose contributions are averaged over views of its input.

    The tiles stay where they are: the padded region is turned, and the contributions are turned
    back. With all eight views, contributions of a turned picture are turned contributions.

    Parameters
    ----------
    model : NetworkTileModel
    n_views : {1, 2, 4, 8}

    Examples
    --------
    A model whose contribution is the first pixel of each tile prefers no corner in all views:

    >>> import numpy as np
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.images._views import InViews
    >>> class First:
    ...     n_outputs = 1
    ...
    ...     def dense_predict(self, padded, tiling):
    ...         return padded[0, ::2, ::2].reshape(-1, 1)
    >>> pixels, tiling = np.arange(4.0).reshape(1, 2, 2, 1), GridTiling(2, 0)
    >>> [InViews(First(), n).dense_predict(pixels, tiling).item() for n in (1, 8)]
    [0.0, 1.5]
    """

    def __init__(self, model, n_views):
        self.model = model
        self.n_views = n_views

    @property
    def n_outputs(self) -> int:
        """Number of totals."""
        return self.model.n_outputs

    def dense_predict(self, padded, tiling) -> np.ndarray:
        """Return the mean contributions of all tiles of a region with its context.

        Parameters
        ----------
        padded : ndarray of shape (1, *padded, n_channels)
            Of `GridTiling.padded`.
        tiling : GridTiling

        Returns
        -------
        ndarray of shape (n_tiles, n_outputs), float64
        """
        total = 0.0
        for turns, is_flipped in views(self.n_views):
            view = np.rot90(padded, turns, (-3, -2))
            view = view[..., ::-1, :, :] if is_flipped else view
            view = np.ascontiguousarray(view)
            lengths = np.array(view.shape[1:-1]) - 2 * np.asarray(tiling.context)
            grid = lengths // np.asarray(tiling.focus)
            out = self.model.dense_predict(view, tiling).reshape(*grid, self.n_outputs)
            out = out[..., ::-1, :, :] if is_flipped else out
            total = total + np.rot90(out, -turns, (-3, -2))
        return np.reshape(total, (-1, self.n_outputs)) / self.n_views
