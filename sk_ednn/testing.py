"""The laws of a sum over tiles, as checks of estimators, tilings and evaluations of your own.

Each raises an AssertionError that begins with the name of the law that is broken.
"""

from __future__ import annotations

import pickle
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.utils import check_random_state

from .fields._channels import grid_axes
from .fields._fields import Fields
from .tile_models._tile_model import TileModel
from .tiling import GridTiling

__all__ = ["check_evaluation", "check_extensive_estimator", "check_tiling"]


def check_extensive_estimator(
    estimator, X=None, y=None, *, focus=None, channel_axis=None, rtol=1e-9, random_state=0
):
    """Check that an estimator's predictions are extensive.

    The estimator is cloned, fitted, and asked about periodic fields of other sizes. What is
    checked, by name:

    ========== ==================================================================================
    output     `fit` returns the estimator; `predict` one finite float64 per sample (and output)
    purity     neither `fit` nor `predict` changes the fields or the totals
    copies     a field doubled along an axis has twice the total
    shift      a field shifted by a focus has the same total
    batch      a sample's total does not depend on which others are predicted beside it
    additivity ``predict_contributions``, where there is one, adds up to ``predict``
    refit      a second fit with the same random state, and a pickled copy, predict the same
    ========== ==================================================================================

    Parameters
    ----------
    estimator : estimator
        Takes fields as `EDNNRegressor` does: arrays of shape (n_samples, *field_shape), and lists
        of arrays for fields of different sizes. It must not be fitted yet: it is cloned.
    X : array-like of shape (n_samples, *field_shape), default=None
        To fit; periodic, or at least taken to be. None for 60 fields of 8 x 8 spins.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        None for the energies of the spins; needed if `X` is given.
    focus : int or tuple with one per grid axis, default=None
        The shift that must change nothing. None for that of the estimator's tiling (1 if it has
        none).
    channel_axis : int, default=None
        Axis of a field that is no grid axis.
    rtol : float, default=1e-9
        Of the largest total, what rounding may make. Networks in float32 need 1e-5.
    random_state : int, RandomState or None, default=0

    Raises
    ------
    AssertionError
        Saying which law is broken, for which sample, by how much.

    Examples
    --------
    A constant added to each total is not extensive:

    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.testing import check_extensive_estimator
    >>> check_extensive_estimator(EDNNRegressor())
    >>> class Shifted(EDNNRegressor):
    ...     def predict(self, X):
    ...         return super().predict(X) + 1.0
    >>> check_extensive_estimator(Shifted())
    Traceback (most recent call last):
        ...
    AssertionError: copies: ...
    """
    rng = check_random_state(random_state)
    X, y = _data(X, y, rng)
    axes = grid_axes(channel_axis, X.ndim - 1)
    focus = _focus(estimator, focus, len(axes))
    estimator = clone(estimator)
    if "random_state" in estimator.get_params() and estimator.random_state is None:
        estimator.set_params(random_state=0)

    before = X.copy(), y.copy()
    fitted = estimator.fit(X, y)
    _require(fitted is estimator, "output: fit must return the estimator itself")
    samples = list(X[: min(6, len(X))])
    total = _totals(estimator, X, y)[: len(samples)]
    _require(
        np.array_equal(X, before[0]) and np.array_equal(y, before[1]),
        "purity: fit or predict changed the arrays it was given; work on a copy",
    )
    scale = max(float(np.abs(total).max()), np.finfo(float).tiny)

    _check_batch(estimator, samples, total, rtol * scale)
    for number, axis in enumerate(axes):
        doubled = _predict(estimator, [np.concatenate([x, x], axis=axis) for x in samples])
        _require_equal(
            doubled, 2 * total, rtol * scale,
            f"copies: a periodic field doubled along axis {axis} must have twice the total",
        )  # fmt: skip
        shifted = _predict(estimator, [np.roll(x, focus[number], axis=axis) for x in samples])
        _require_equal(
            shifted, total, rtol * scale,
            f"shift: a periodic field shifted by {focus[number]} (its focus) along axis {axis} "
            "must have the same total",
        )  # fmt: skip
    if hasattr(estimator, "predict_contributions"):
        _check_additivity(estimator, samples, total, rtol * scale)
    again = _predict(clone(estimator).fit(X, y), samples)
    _require_equal(again, total, rtol * scale, "refit: a second fit must predict the same")
    try:
        copied = pickle.loads(pickle.dumps(estimator))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise AssertionError(f"refit: the fitted estimator cannot be pickled: {error}") from error
    _require_equal(
        _predict(copied, samples), total, rtol * scale,
        "refit: a pickled copy must predict the same",
    )  # fmt: skip


def check_tiling(tiling, X, *, random_state=0):
    """Check that a tiling keeps its contract, `AbstractTiling`.

    ========= ====================================================================================
    entry     ``check`` accepts what it returned, and ``take`` leaves the systems that it names
    counts    ``counts`` are the tiles of each sample, and no more than one block has a tile
    adjoint   ``total`` and ``adjoint`` are adjoint
    blocks    tiles read in blocks of any size are those read at once, and their totals add up
    batch     the tiles of a sample do not depend on the others
    place     contributions return to the samples and tiles that they are of
    piece     blocks read from a piece of the systems are those read from the whole
    gradient  where there is one, it is the gradient of sums of functions of tiles
    ========= ====================================================================================

    Of a tiling of grids these as well:

    ========= ====================================================================================
    shapes    ``read`` gives what ``tile_grid`` and ``tile_shape`` say
    partition each site lies in exactly one focus
    affected  ``affected`` names exactly the tiles that change with a site
    shift     a periodic field shifted by a focus has the same tiles
    ========= ====================================================================================

    Parameters
    ----------
    tiling : AbstractTiling
    X : data that the tiling takes, or tuple of int
        A few small samples; for a tiling of grids, the shape of a small field that it allows,
        channels included.
    random_state : int, RandomState or None, default=0

    Raises
    ------
    AssertionError
        Saying which law is broken.

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
    _require(
        tiling.check(systems) is systems, "entry: check must return checked systems as they are"
    )
    n_samples = systems.n_samples
    tiles = tiling.tiles(systems)
    every, owners = tiles.array(), _owners(tiles)
    shape = tuple(tiling.shape_of_tiles(systems))
    _require(
        every.shape[1:] == shape == tuple(tiles.tile_shape),
        f"counts: shape_of_tiles says {shape}, the tiles have {every.shape[1:]}",
    )
    counts = np.bincount(owners, minlength=n_samples)
    _require(
        np.array_equal(tiling.counts(systems), counts),
        f"counts: counts says {tiling.counts(systems)}, the tiles of each sample are {counts}",
    )
    _check_adjoint(tiles, rng)
    for sample in range(n_samples):
        alone = tiling.tiles(systems.take([sample])).array()
        _require(
            np.array_equal(alone, every[owners == sample]),
            f"batch: sample {sample} has other tiles by itself than among the others",
        )
    for max_tiles in (1, 2, 3, 5, max(1, len(every))):
        _check_plan(tiling, systems, max_tiles, every, owners)
    if tiling.has_gradient and isinstance(X, list) and all(hasattr(x, "dtype") for x in X):
        _check_gradient(tiling, X, rng)


def _owners(tiles) -> np.ndarray:
    entries = tiles.sum_matrix.tocoo()
    _require(
        np.array_equal(np.sort(entries.coords[1]), np.arange(tiles.n_tiles))
        and (entries.data == 1).all(),
        "counts: every tile must belong to one sample, once",
    )
    owners = np.empty(tiles.n_tiles, dtype=int)
    owners[entries.coords[1]] = entries.coords[0]
    return owners


def _check_adjoint(tiles, rng):
    c, r = rng.normal(size=tiles.n_tiles), rng.normal(size=tiles.n_samples)
    left, right = tiles.total(c) @ r, c @ tiles.adjoint(r)
    _require(
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
        own = _owners(tiles)
        _require(
            0 < tiles.n_tiles == block.n_tiles <= max_tiles
            and len(samples) == block.n_samples == tiles.n_samples
            and bool(np.all(np.diff(own) >= 0)),
            f"blocks: a block of at most {max_tiles} tile(s) has {tiles.n_tiles}, of "
            f"{tiles.n_samples} sample(s); it says {block.n_tiles} and {block.n_samples}, and they "
            "must lie sample by sample",
        )
        values = tiles.array()
        for number, sample in enumerate(samples):
            read[sample] = np.concatenate([read[sample], values[own == number]])
        whole = np.array_equal(
            np.bincount(own, minlength=len(samples)),
            np.bincount(owners, minlength=len(read))[samples],
        )
        _require(
            bool(tiling.covers(systems, block)) == whole,
            "blocks: covers must say whether a block has all tiles of its samples",
        )
        marks = values.reshape(len(values), -1) @ np.cos(np.arange(values[0].size))
        tiling.place(out, systems, block, marks[:, None])
        totals[samples] += tiles.total(marks[:, None])
        piece, (moved,), numbers = tiling.piece(systems, [block])
        _require(
            np.array_equal(tiling.block_tiles(piece, moved).array(), values)
            and np.array_equal(np.asarray(numbers)[tiling.samples(piece, moved)], samples),
            "piece: a block of a piece must have the tiles of the block",
        )
    marks = every.reshape(len(every), -1) @ np.cos(np.arange(int(np.prod(every.shape[1:]))))
    by_sample = tiling.by_sample(systems, out)
    for sample, values in enumerate(read):
        # Blocks may cut a sample in boxes, so that its tiles come in another order.
        expected = every[owners == sample]
        _require(
            _same_rows(values, expected),
            f"blocks: in blocks of {max_tiles}, sample {sample} has other tiles than at once",
        )
        _require_equal(
            np.ravel(by_sample[sample]), marks[owners == sample], 1e-9,
            f"place: contributions of sample {sample} are not where its tiles are",
        )  # fmt: skip
        _require_equal(
            totals[sample], [marks[owners == sample].sum()], 1e-9,
            "blocks: totals of blocks must add up to those at once",
        )  # fmt: skip


def _same_rows(a, b) -> bool:
    if a.shape != b.shape or not a.size:
        return a.shape == b.shape
    a, b = (np.asarray(x, dtype=float).reshape(len(x), -1) for x in (a, b))
    return np.array_equal(a[np.lexsort(a.T[::-1])], b[np.lexsort(b.T[::-1])])


def _check_gradient(tiling, X, rng):
    """Compare with central differences of a sum over tiles of a function that is not linear."""
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
        for place in zip(*np.nonzero(np.asarray(gradient) == 0), strict=True):
            moved = x.copy()
            moved[place] += 1e-5
            # A number that says which tiles there are is no variable.
            if not np.array_equal(tiling.counts(tiling.check([moved])), counts[[sample]]):
                along[place] = 0.0
        ends = [totals([*X[:sample], x + h * along, *X[sample + 1 :]]) for h in (1e-5, -1e-5)]
        found, expected = np.vdot(gradient, along), (ends[0] - ends[1])[sample] / 2e-5
        _require(
            abs(found - expected) <= 1e-6 * (1 + abs(expected)),
            f"gradient: of sample {sample} along a direction it is {found!r}, the difference "
            f"{expected!r}",
        )


def _check_grid_tiling(tiling, field_shape, rng):
    field_shape = tuple(int(n) for n in field_shape)
    # Each site a number of its own, so that it can be followed; 0 is what lies outside.
    names = 1.0 + np.arange(np.prod(field_shape)).reshape(field_shape)
    X = np.stack([names, rng.permutation(names.ravel()).reshape(field_shape)])
    tiles = tiling.tiles(X)
    grid, tile_shape = tuple(tiling.tile_grid(field_shape)), tuple(tiling.tile_shape(field_shape))
    _require(
        tuple(tiles.tile_shape) == tile_shape
        and tiles.values.size == 2 * np.prod(grid) * np.prod(tile_shape),
        f"shapes: tile_grid and tile_shape say 2 fields of {grid} tiles of {tile_shape}, read gave "
        f"{tiles.n_tiles} of {tuple(tiles.tile_shape)}",
    )
    every = tiles.array()
    focus = tiling.focus_sites(tile_shape)
    foci = every[: np.prod(grid)][(slice(None), *focus)]
    if getattr(tiling, "remainder", "error") == "error":
        counts = np.bincount(foci.ravel().astype(int), minlength=names.size + 1)[1:]
        _require(
            (counts == 1).all() and foci.size == names.size,
            f"partition: each site must lie in exactly one focus; {np.sum(counts == 0)} of "
            f"{names.size} lie in none, {np.sum(counts > 1)} in several",
        )
    _check_adjoint(tiles, rng)
    _check_blocks(tiling, X, every, grid)
    _check_affected(tiling, names, grid, rng)
    if getattr(tiling, "boundary", None) == "periodic":
        channel = getattr(tiling, "channel_axis", None)
        axes = grid_axes(channel, X.ndim - 1)
        for axis, step in zip(axes, tiling.focus_shape(tile_shape), strict=True):
            moved = tiling.tiles(np.roll(X, step, axis=1 + axis)).array()
            expected = np.roll(every.reshape(2, *grid, -1), 1, axis=1 + axes.index(axis))
            _require(
                np.array_equal(moved.reshape(expected.shape), expected),
                f"shift: a field shifted by {step} along axis {axis} must have the same tiles, one "
                "place further",
            )


def check_evaluation(evaluation, *, rtol=1e-12, random_state=0):
    """Check that an evaluation gives the numbers that all evaluations give.

    ========== ==================================================================================
    totals     are those of the tiles added up one by one, in float64
    additivity contributions add up to totals
    order      samples of several shapes come back in the order they were given
    repeatable a second call gives the same bits
    many       3 million contributions of -110 lose no digits
    ========== ==================================================================================

    Parameters
    ----------
    evaluation : AbstractEvaluation
    rtol : float, default=1e-12
        Of the largest total.
    random_state : int, RandomState or None, default=0

    Raises
    ------
    AssertionError
        Saying which law is broken.

    Examples
    --------
    >>> from sk_ednn.evaluation import Direct, Unique
    >>> from sk_ednn.testing import check_evaluation
    >>> check_evaluation(Unique())
    >>> class Hasty(Direct):
    ...     def totals(self, tile_model, tiling, fields):
    ...         return super().totals(tile_model, tiling, fields).astype("float32")
    >>> check_evaluation(Hasty())
    Traceback (most recent call last):
        ...
    AssertionError: totals: ...
    """
    rng = check_random_state(random_state)
    samples = [rng.normal(size=shape) for shape in ((4, 6), (2, 2), (4, 6), (8, 4))]
    tiling = GridTiling(2, 1)
    ridge = Ridge().fit(rng.normal(size=(50, 16)), rng.normal(size=(50, 2)))
    tile_model = TileModel(ridge, (4, 4), n_outputs=2)
    fields = tiling.check(samples)
    expected = np.array(
        [tile_model.predict(tiling.tiles(x[None]).array()).sum(axis=0) for x in samples]
    )
    totals = evaluation.totals(tile_model, tiling, fields)
    _require(
        isinstance(totals, np.ndarray)
        and totals.dtype == np.float64
        and totals.shape == expected.shape,
        f"totals: expected float64 of shape {expected.shape}, got "
        f"{getattr(totals, 'dtype', type(totals).__name__)} of shape {np.shape(totals)}",
    )
    scale = float(np.abs(expected).max())
    permuted = np.sort(totals, axis=0), np.sort(expected, axis=0)
    if not np.allclose(totals, expected, rtol=0, atol=rtol * scale):
        _require(
            not np.allclose(*permuted, rtol=0, atol=rtol * scale),
            "order: totals must come in the order of the samples, whatever their shapes",
        )
    _require_equal(
        totals, expected, rtol * scale, "totals: must be the sum over all tiles, one by one"
    )
    maps = evaluation.contributions(tile_model, tiling, fields)
    for stack, values in zip(fields.stacks, maps, strict=True):
        summed = values.sum(axis=tuple(range(1, values.ndim - 1)))
        _require_equal(
            summed, expected[stack.samples], rtol * scale,
            "additivity: contributions must add up to totals",
        )  # fmt: skip
    again = evaluation.totals(tile_model, tiling, fields)
    _require(np.array_equal(again, totals), "repeatable: a second call must give the same bits")

    constant = Ridge().fit(np.zeros((2, 1)), np.array([-110.0, -110.0]))
    single, large = GridTiling(1, 0), np.zeros((1, 1733, 1733), dtype=np.float32)
    model = TileModel(constant, (1, 1), n_outputs=1)
    total = float(evaluation.totals(model, single, single.check(large))[0, 0])
    exact = -110.0 * 1733**2
    _require(
        abs(total - exact) <= 1e-12 * abs(exact),
        f"many: {1733**2:,} contributions of -110 must add up to {exact:.0f}, got {total!r}: add "
        "up in float64",
    )


# --- parts ----------------------------------------------------------------------------------


def _data(X, y, rng):
    if X is None:
        X = rng.choice(np.array([-1.0, 1.0]), size=(60, 8, 8))
        X[:20] = np.where(rng.uniform(size=(20, 8, 8)) < 0.8, 1.0, -1.0)
        y = -sum(X * np.roll(X, 1, axis=axis) for axis in (1, 2)).sum(axis=(1, 2))
    elif y is None:
        raise ValueError("Give the totals y of the fields X.")
    return np.array(X), np.array(y, dtype=float)


def _focus(estimator, focus, n_axes) -> tuple[int, ...]:
    if focus is None:
        focus = 1
        params = estimator.get_params(deep=True)
        for name, value in sorted(params.items()):
            if name.rpartition("__")[2] == "tiling" and isinstance(value, GridTiling):
                focus = value.focus
    return tuple(np.broadcast_to(focus, (n_axes,)).tolist())


def _totals(estimator, X, y) -> np.ndarray:
    total = estimator.predict(X)
    _require(
        isinstance(total, np.ndarray) and total.shape == y.shape and total.dtype == np.float64,
        f"output: predict must return float64 of shape {y.shape}, got "
        f"{getattr(total, 'dtype', type(total).__name__)} of shape {np.shape(total)}",
    )
    _require(np.isfinite(total).all(), "output: predict returned NaN or infinity")
    return total


def _predict(estimator, samples) -> np.ndarray:
    # A list: 2-D arrays keep the width they were fitted to.
    return np.asarray(estimator.predict(samples), dtype=float)


def _check_batch(estimator, samples, total, atol):
    alone = np.concatenate([_predict(estimator, [x]) for x in samples])
    _require_equal(alone, total, atol, "batch: a field alone must have the total it has in a batch")
    _require_equal(
        _predict(estimator, samples[::-1])[::-1], total, atol,
        "batch: the order of the samples must not matter",
    )  # fmt: skip
    axis = samples[0].ndim - 1
    wide = np.concatenate([samples[0]] * 2, axis=0 if axis else axis)
    mixed = _predict(estimator, [wide, *samples[1:]])[1:]
    _require_equal(
        mixed, total[1:], atol, "batch: a field of another size beside it must not change a total"
    )


def _check_additivity(estimator, samples, total, atol):
    maps = estimator.predict_contributions(samples)
    trailing = total.ndim - 1
    summed = 0.0
    for of_term in maps.values() if isinstance(maps, dict) else [maps]:
        summed = summed + np.array(
            [values.sum(axis=tuple(range(values.ndim - trailing))) for values in of_term]
        )
    _require_equal(summed, total, atol, "additivity: contributions must add up to predictions")


def _check_blocks(tiling, X, every, grid):
    fields = tiling.check(X)
    _require(isinstance(fields, Fields), "blocks: check must return Fields")
    for max_tiles in (1, 3, len(every)):
        seen, summed = [], 0.0
        for part in tiling.blocks(X, max_tiles):
            _require(
                part.n_tiles <= max_tiles,
                f"blocks: at most {max_tiles} tiles were asked for, got {part.n_tiles}",
            )
            seen.append(part.array())
            summed = summed + part.counts()
        same = np.concatenate(seen)
        _require(
            same.shape == every.shape
            and np.array_equal(_sorted_rows(same), _sorted_rows(np.asarray(every))),
            f"blocks: tiles read in blocks of {max_tiles} are not those read at once",
        )
        _require(
            np.array_equal(summed, np.full(len(X), np.prod(grid))),
            f"blocks: in blocks of {max_tiles}, samples have {summed} tiles, not {np.prod(grid)}",
        )


def _check_affected(tiling, names, grid, rng):
    channel = getattr(tiling, "channel_axis", None)
    axes = grid_axes(channel, names.ndim)
    before = tiling.tiles(names[None]).array().reshape(*grid, -1)
    for _ in range(4):
        site = [int(rng.randint(names.shape[axis])) for axis in axes]
        place = [slice(None)] * names.ndim
        for axis, where in zip(axes, site, strict=True):
            place[axis] = where
        changed = names.copy()
        changed[tuple(place)] += 0.5
        after = tiling.tiles(changed[None]).array().reshape(*grid, -1)
        expected = np.argwhere((after != before).any(axis=-1))
        found = np.asarray(tiling.affected(names.shape, [site]))
        _require(
            np.array_equal(found, expected),
            f"affected: a change of site {site} changes the tiles {expected.tolist()}, affected "
            f"says {found.tolist()}",
        )


def _sorted_rows(values) -> np.ndarray:
    rows = values.reshape(len(values), -1)
    return rows[np.lexsort(rows.T[::-1])]


def _require(condition, message):
    if not condition:
        raise AssertionError(message + ".")


def _require_equal(found, expected, atol, law):
    found, expected = np.asarray(found), np.asarray(expected)
    _require(found.shape == expected.shape, f"{law}; shapes are {found.shape} and {expected.shape}")
    off = np.abs(found - expected)
    if not (off <= atol).all():
        worst = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape)
        raise AssertionError(
            f"{law}; sample {worst[0]} has {found[worst]:.12g}, expected {expected[worst]:.12g} "
            f"(off by {off[worst]:.2g}, {atol:.2g} allowed)."
        )
