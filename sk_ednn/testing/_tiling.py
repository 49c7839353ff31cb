"""Check that a tiling implements its interface."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.utils import check_random_state

from ..fields._channels import grid_axes
from ..fields._fields import Fields
from ._require import require, require_equal


def check_tiling(tiling, X, *, random_state=0):
    """Check that a tiling implements the interface of `AbstractTiling`.

    ========= ====================================================================================
    entry     ``check`` returns checked systems unchanged, and ``take`` selects samples
    counts    ``counts`` is the number of tiles of each sample, and each tile is in one block
    adjoint   ``total`` and ``adjoint`` are adjoint
    blocks    tiles read in blocks of any size equal those read at once, and so do their totals
    batch     the tiles of a sample do not depend on the other samples
    place     contributions return to their samples and tiles
    piece     blocks read from a piece of the systems equal those read from the whole
    gradient  the gradient, if there is one, equals differences of sums of functions of tiles
    ========= ====================================================================================

    Tilings of grids must also satisfy:

    ========= ====================================================================================
    shapes    ``read`` returns tiles as described by ``tile_grid`` and ``tile_shape``
    partition each site is in exactly one focus
    affected  ``affected`` returns exactly the tiles that change with a site
    shift     a periodic field shifted by a focus has the same tiles
    ========= ====================================================================================

    Parameters
    ----------
    tiling : AbstractTiling
    X : data that the tiling accepts, or tuple of int
        A few small samples. For a tiling of grids, the shape of a small field, channels included.
    random_state : int, RandomState or None, default=0

    Raises
    ------
    AssertionError
        The message names the violated law.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.testing import check_tiling
    >>> from sk_ednn.tiling import BagTiling
    >>> check_tiling(GridTiling(focus=2, context=3), (8, 6))
    >>> check_tiling(BagTiling(), [np.ones((3, 2)), np.zeros((0, 2))])
    >>> class Overlapping(GridTiling):
    ...     def focus_sites(self, tile_shape):
    ...         return tuple(slice(0, n) for n in tile_shape)
    >>> check_tiling(Overlapping(focus=2, context=1), (8, 6))
    Traceback (most recent call last):
        ...
    AssertionError: partition: ...
    """
    rng = check_random_state(random_state)
    if isinstance(X, tuple) and all(isinstance(n, Integral) for n in X):
        _check_grid_tiling(tiling, X, rng)
        X = [rng.normal(size=X) for _ in range(3)]
    _check_systems(tiling, X, rng)


def _check_systems(tiling, X, rng):
    systems = tiling.check(X)
    require(
        tiling.check(systems) is systems, "entry: check must return checked systems as they are"
    )
    n_samples = systems.n_samples
    tiles = tiling.tiles(systems)
    every, owners = tiles.array(), _owners(tiles)
    shape = tuple(tiling.shape_of_tiles(systems))
    require(
        every.shape[1:] == shape == tuple(tiles.tile_shape),
        f"counts: shape_of_tiles is {shape}, but tiles have the shape {every.shape[1:]}",
    )
    counts = np.bincount(owners, minlength=n_samples)
    require(
        np.array_equal(tiling.counts(systems), counts),
        f"counts: counts is {tiling.counts(systems)}, but samples have {counts} tiles",
    )
    _check_adjoint(tiles, rng)
    for sample in range(n_samples):
        alone = tiling.tiles(systems.take([sample])).array()
        require(
            _same(alone, every[owners == sample]),
            f"batch: the tiles of sample {sample} alone differ from those in a batch",
        )
    for max_tiles in (1, 2, 3, 5, max(1, len(every))):
        _check_plan(tiling, systems, max_tiles, every, owners)
    if tiling.has_gradient and isinstance(X, list) and all(hasattr(x, "dtype") for x in X):
        _check_gradient(tiling, X, rng)


def _owners(tiles) -> np.ndarray:
    entries = tiles.sum_matrix.tocoo()
    require(
        np.array_equal(np.sort(entries.col), np.arange(tiles.n_tiles))
        and (entries.data == 1).all(),
        "counts: each tile must belong to exactly one sample",
    )
    owners = np.empty(tiles.n_tiles, dtype=int)
    owners[entries.col] = entries.row
    return owners


def _check_adjoint(tiles, rng):
    c, r = rng.normal(size=tiles.n_tiles), rng.normal(size=tiles.n_samples)
    left, right = tiles.total(c) @ r, c @ tiles.adjoint(r)
    require(
        abs(left - right) <= 1e-12 * (np.linalg.norm(c) * np.linalg.norm(r)) * max(1, len(c)),
        f"adjoint: <total(c), r> = {left!r} must equal <c, adjoint(r)> = {right!r}",
    )


def _check_plan(tiling, systems, max_tiles, every, owners):
    plan = tiling.plan(systems, max_tiles)
    totals, out = np.zeros((systems.n_samples, 1)), tiling.empty(systems, 1)
    read: list[np.ndarray] = [np.zeros((0, *every.shape[1:]))] * systems.n_samples
    for block in plan:
        tiles = tiling.block_tiles(systems, block)
        samples = np.asarray(tiling.samples(systems, block))
        in_block = _owners(tiles)
        require(
            0 < tiles.n_tiles == block.n_tiles <= max_tiles
            and len(samples) == block.n_samples == tiles.n_samples
            and bool(np.all(np.diff(in_block) >= 0)),
            f"blocks: a block of at most {max_tiles} tile(s) has {tiles.n_tiles}, of "
            f"{tiles.n_samples} sample(s); n_tiles and n_samples are {block.n_tiles} and "
            f"{block.n_samples}, and tiles must be ordered by sample",
        )
        values = tiles.array()
        for number, sample in enumerate(samples):
            read[sample] = np.concatenate([read[sample], values[in_block == number]])
        whole = np.array_equal(
            np.bincount(in_block, minlength=len(samples)),
            np.bincount(owners, minlength=len(read))[samples],
        )
        require(
            bool(tiling.covers(systems, block)) == whole,
            "blocks: covers must return whether a block contains all tiles of its samples",
        )
        marks = values.reshape(len(values), -1) @ np.cos(np.arange(values[0].size))
        tiling.place(out, systems, block, marks[:, None])
        totals[samples] += tiles.total(marks[:, None])
        piece, (moved,), numbers = tiling.piece(systems, [block])
        require(
            _same(tiling.block_tiles(piece, moved).array(), values)
            and np.array_equal(np.asarray(numbers)[tiling.samples(piece, moved)], samples),
            "piece: a block of a piece must have the tiles of the block",
        )
    marks = every.reshape(len(every), -1) @ np.cos(np.arange(int(np.prod(every.shape[1:]))))
    by_sample = tiling.by_sample(systems, out)
    for sample, values in enumerate(read):
        # Blocks may be boxes of a sample, so that its tiles are in another order.
        expected = every[owners == sample]
        require(
            _same_rows(values, expected),
            f"blocks: in blocks of {max_tiles}, the tiles of sample {sample} differ from those "
            "read at once",
        )
        require_equal(
            np.ravel(by_sample[sample]), marks[owners == sample], 1e-9,
            f"place: contributions of sample {sample} are not at its tiles",
        )  # fmt: skip
        require_equal(
            totals[sample], [marks[owners == sample].sum()], 1e-9,
            "blocks: totals of blocks must add up to those at once",
        )  # fmt: skip


def _same(a, b) -> bool:
    """Return True if tiles are equal up to the rounding of products of matrices."""
    return a.shape == b.shape and (
        np.array_equal(a, b) or bool((np.abs(a - b) <= _rounding(b)).all())
    )


def _same_rows(a, b) -> bool:
    """Return True if tiles are equal up to rounding, in any order."""
    if a.shape != b.shape or not a.size:
        return a.shape == b.shape
    atol = _rounding(b)
    a, b = (np.asarray(x, dtype=float).reshape(len(x), -1) for x in (a, b))
    if np.array_equal(a[np.lexsort(a.T[::-1])], b[np.lexsort(b.T[::-1])]):
        return True
    different = cdist(a, b, "chebyshev") > atol
    return not different[linear_sum_assignment(different)].any()


def _rounding(tiles) -> float:
    precision = np.finfo(tiles.dtype if tiles.dtype.kind == "f" else float).eps
    return 1e3 * precision * float(np.abs(tiles).max(initial=0.0))


def _check_gradient(tiling, X, rng):
    """Compare the gradient of a nonlinear function of tiles with central differences."""
    X = [np.array(x, dtype=float) for x in X]

    def totals(X):
        tiles = tiling.tiles(X)
        return tiles.total(np.sin(tiles.array().reshape(tiles.n_tiles, -1)).sum(axis=1))

    systems = tiling.check(X)
    counts, parts = tiling.counts(systems), tiling.gradient_of(systems, np.cos, 3)
    gradients = tiling.gradient_by_sample(systems, parts)
    for sample, (x, gradient) in enumerate(zip(X, gradients, strict=True)):
        if x.size == 0:
            continue
        along = rng.normal(size=x.shape)
        for index in zip(*np.nonzero(np.asarray(gradient) == 0), strict=True):
            changed = x.copy()
            changed[index] += 1e-5
            # Labels that select tiles, such as the kind of an instance, are not variables.
            if not np.array_equal(tiling.counts(tiling.check([changed])), counts[[sample]]):
                along[index] = 0.0
        ends = [totals([*X[:sample], x + h * along, *X[sample + 1 :]]) for h in (1e-5, -1e-5)]
        analytic, numeric = np.vdot(gradient, along), (ends[0] - ends[1])[sample] / 2e-5
        require(
            abs(analytic - numeric) <= 1e-6 * (1 + abs(numeric)),
            f"gradient: the directional derivative of sample {sample} is {analytic!r}, its finite "
            f"difference {numeric!r}",
        )


def _check_grid_tiling(tiling, field_shape, rng):
    field_shape = tuple(int(n) for n in field_shape)
    # Each site has a unique value, so that it can be traced; 0 is outside the field.
    names = 1.0 + np.arange(np.prod(field_shape)).reshape(field_shape)
    X = np.stack([names, rng.permutation(names.ravel()).reshape(field_shape)])
    tiles = tiling.tiles(X)
    grid, tile_shape = tuple(tiling.tile_grid(field_shape)), tuple(tiling.tile_shape(field_shape))
    require(
        tuple(tiles.tile_shape) == tile_shape
        and tiles.values.size == 2 * np.prod(grid) * np.prod(tile_shape),
        f"shapes: expected 2 fields of {grid} tiles of shape {tile_shape} from tile_grid and "
        f"tile_shape, read returned {tiles.n_tiles} of shape {tuple(tiles.tile_shape)}",
    )
    every = tiles.array()
    focus = tiling.focus_sites(tile_shape)
    foci = every[: np.prod(grid)][(slice(None), *focus)]
    if tiling.remainder == "error":
        counts = np.bincount(foci.ravel().astype(int), minlength=names.size + 1)[1:]
        require(
            (counts == 1).all() and foci.size == names.size,
            f"partition: each site must be in exactly one focus; {np.sum(counts == 0)} of "
            f"{names.size} are in none, {np.sum(counts > 1)} in several",
        )
    _check_adjoint(tiles, rng)
    _check_blocks(tiling, X, every, grid)
    _check_affected(tiling, names, grid, rng)
    if tiling.boundary == "periodic":
        channel = tiling.channel_axis
        axes = grid_axes(channel, X.ndim - 1)
        for axis, step in zip(axes, tiling.focus_shape(tile_shape), strict=True):
            moved = tiling.tiles(np.roll(X, step, axis=1 + axis)).array()
            expected = np.roll(every.reshape(2, *grid, -1), 1, axis=1 + axes.index(axis))
            require(
                np.array_equal(moved.reshape(expected.shape), expected),
                f"shift: a field shifted by {step} along axis {axis} must have the same tiles, "
                "shifted by one",
            )


def _check_blocks(tiling, X, every, grid):
    fields = tiling.check(X)
    require(isinstance(fields, Fields), "blocks: check must return Fields")
    for max_tiles in (1, 3, len(every)):
        seen, summed = [], 0.0
        for part in tiling.blocks(X, max_tiles):
            require(
                part.n_tiles <= max_tiles,
                f"blocks: expected at most {max_tiles} tiles, got {part.n_tiles}",
            )
            seen.append(part.array())
            summed = summed + part.counts()
        same = np.concatenate(seen)
        require(
            same.shape == every.shape
            and np.array_equal(_sorted_rows(same), _sorted_rows(np.asarray(every))),
            f"blocks: tiles read in blocks of {max_tiles} differ from those read at once",
        )
        require(
            np.array_equal(summed, np.full(len(X), np.prod(grid))),
            f"blocks: in blocks of {max_tiles}, samples have {summed} tiles, not {np.prod(grid)}",
        )


def _check_affected(tiling, names, grid, rng):
    channel = tiling.channel_axis
    axes = grid_axes(channel, names.ndim)
    before = tiling.tiles(names[None]).array().reshape(*grid, -1)
    for _ in range(4):
        site = [int(rng.randint(names.shape[axis])) for axis in axes]
        index = [slice(None)] * names.ndim
        for axis, position in zip(axes, site, strict=True):
            index[axis] = position
        changed = names.copy()
        changed[tuple(index)] += 0.5
        after = tiling.tiles(changed[None]).array().reshape(*grid, -1)
        expected = np.argwhere((after != before).any(axis=-1))
        affected = np.asarray(tiling.affected(names.shape, [site]))
        require(
            np.array_equal(affected, expected),
            f"affected: a change of site {site} changes the tiles {expected.tolist()}, but "
            f"affected returns {affected.tolist()}",
        )


def _sorted_rows(values) -> np.ndarray:
    rows = values.reshape(len(values), -1)
    return rows[np.lexsort(rows.T[::-1])]
