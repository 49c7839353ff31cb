"""Invariance of the features of tiles, and their sums."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer, LocalInvariants
from sk_ednn.structures import Structure

SPACING = 0.4
CONTEXT = 6
SMALL = {"degree": 4, "n_components": 10, "scale": 0.7}


# One pixel a tile, so that tiles may have any number of features: all checks apply.
@parametrize_with_checks([LocalInvariants(1, 0, 1.0, n_channels=None, degree=2, n_components=3)])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture
def fields(rng):
    """Two species drawn on square pixels, float64, which leaves the laws nothing to hide in."""
    structures = [
        {
            "numbers": rng.choice([5, 7], 30),
            "positions": rng.random((30, 2)) * 9.6,
            "cell": [9.6] * 2,
        }
        for _ in range(6)
    ]
    draw = GaussianRasterizer(SPACING, width=0.4, channels=("B", "N"), dtype="float64")
    return draw.fit_transform(structures)


def tiling(focus):
    return GridTiling(focus, CONTEXT, channel_axis=-1)


def tiles(fields, focus=8):
    return tiling(focus).tiles(fields).array().reshape(-1, (focus + 2 * CONTEXT) ** 2 * 2)


def fitted(fields, focus=8, **params):
    model = LocalInvariants(focus, CONTEXT, SPACING, n_channels=2, **SMALL | params)
    return model.fit(tiles(fields, focus))


def summed(model, fields):
    """Features of whole fields, whatever tiles they were cut into, and not scaled."""
    parts = model.transform(tiles(fields, model.focus)) / model.scale_
    return parts.reshape(len(fields), -1, parts.shape[1]).sum(axis=1)


def assert_equal(actual, expected, tolerance=1e-11):
    size = np.abs(expected).max(axis=0)
    assert (np.abs(actual - expected) <= tolerance * size).all()


SYMMETRIES = {
    "quarter turn": lambda a: np.rot90(a, axes=(1, 2)),
    "half turn": lambda a: np.rot90(a, 2, axes=(1, 2)),
    "mirror in x": lambda a: a[:, ::-1],
    "mirror in y": lambda a: a[:, :, ::-1],
    "transposition": lambda a: a.transpose(0, 2, 1, 3),
}


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_a_turned_or_mirrored_tile_has_the_same_features(symmetry, fields):
    model = fitted(fields)
    window = tiles(fields).reshape(-1, 20, 20, 2)
    moved = SYMMETRIES[symmetry](window).reshape(len(window), -1)
    assert_equal(model.transform(moved), model.transform(tiles(fields)))


def test_any_turn_of_the_atoms_leaves_the_features_where_pixels_resolve_them(rng):
    # Atoms around the middle of a cell that is empty otherwise, so that they may turn as one.
    positions, numbers = rng.normal(0, 1.2, size=(8, 2)), rng.choice([5, 7], 8)
    draw = GaussianRasterizer(0.3, width=0.5, channels=("B", "N"), dtype="float64")

    def turned(angle):
        c, s = np.cos(angle), np.sin(angle)
        there = positions @ [[c, s], [-s, c]] + 9.6
        return {"numbers": numbers, "positions": there, "cell": [19.2, 19.2]}

    drawn = draw.fit_transform([turned(angle) for angle in (0.0, 0.3, 1.1, 2.0)])
    window = GridTiling(64, 11, channel_axis=-1).tiles(drawn).array().reshape(4, -1)
    model = LocalInvariants(64, 11, 0.3, n_channels=2, scale=0.5, degree=3, n_components=8)
    features = model.fit_transform(window) / model.scale_
    linear = features[:, : 2 * len(model.mean_)]
    assert_equal(linear[1:], linear[:1], 1e-5)


def test_a_shift_by_whole_pixels_leaves_the_sum(fields):
    model = fitted(fields)
    expected = summed(model, fields)
    for shift in [(1, 0), (0, 3), (5, -2)]:
        assert_equal(summed(model, np.roll(fields, shift, axis=(1, 2))), expected)


def test_a_shift_by_whole_pixels_leaves_the_sum_to_rounding_in_float32(fields):
    model = fitted(fields.astype(np.float32))
    expected = summed(model, fields.astype(np.float32))
    shifted = np.roll(fields, (3, 1), axis=(1, 2)).astype(np.float32)
    assert expected.dtype == np.float64
    assert_equal(summed(model, shifted), expected, 2e-4)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_doubled_cell_has_twice_the_features(axis, fields):
    model = fitted(fields)
    assert_equal(summed(model, np.concatenate([fields] * 2, axis)), 2 * summed(model, fields))


@pytest.mark.parametrize("focus", [4, 12, 24])
def test_the_sum_does_not_depend_on_how_it_is_cut(focus, fields):
    assert_equal(
        summed(fitted(fields, focus), fields), summed(fitted(fields, 8), fields), tolerance=1e-8
    )


def test_features_are_what_the_docstring_says(fields):
    model = fitted(fields, focus=12)
    some = tiles(fields, 12)[:3]
    amplitudes = model._modes(some.reshape(3, 24, 24, 2))
    density = some.reshape(3, 24, 24, 2)[:, 6:-6, 6:-6].reshape(3, -1, 2)
    linear, quadratic = [], []
    for amplitude, rho in zip(amplitudes, density, strict=True):
        invariants, row = list(amplitude[: model._modes.n_modes[0]].reshape(-1, 144)), 0
        for m, n_modes in enumerate(model._modes.n_modes):
            vectors = amplitude[row : row + n_modes].reshape(-1, 144).astype(complex)
            row += n_modes
            if m:
                vectors += 1j * amplitude[row : row + n_modes].reshape(-1, 144)
                row += n_modes
            for a in range(len(vectors)):
                for b in range(a, len(vectors)):
                    invariants.append(np.real(vectors[a] * vectors[b].conj()))
        components = model.components_ @ (np.array(invariants) - model.mean_[:, None])
        i, j = np.triu_indices(len(components))
        linear.append((rho.T @ np.transpose(invariants)).ravel())
        quadratic.append((rho.T @ (components[i] * components[j]).T).ravel())
    expected = np.hstack([linear, quadratic]) * model.scale_
    np.testing.assert_allclose(model.transform(some), expected, rtol=1e-9, atol=1e-12)


def test_components_have_the_variance_that_whitening_gives_them(fields):
    for whitening in (0.0, 0.5, 1.0):
        model = fitted(fields, focus=24, whitening=whitening)
        density, invariants = model._sums.invariants(tiles(fields, 24))
        weights = density.sum(axis=1).ravel()
        components = np.einsum("ki,tip->ktp", model.components_, invariants).reshape(10, -1)
        covariance = np.cov(components, aweights=weights, bias=True)
        relative = model.explained_variance_ / model.explained_variance_[0]
        np.testing.assert_allclose(covariance, np.diag(relative ** (1 - whitening)), atol=1e-9)


def test_scale_gives_the_blocks_their_variance(fields):
    model = fitted(fields, quadratic_weight=0.5)
    variance = model.transform(tiles(fields)).var(axis=0)
    n_linear = 2 * len(model.mean_)
    np.testing.assert_allclose(variance[:n_linear].sum(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(variance[n_linear:].sum(), 0.5, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_workers_change_no_bit(dtype, fields):
    rows = np.tile(tiles(fields), (4, 1)).astype(dtype)
    model = fitted(fields.astype(dtype), n_jobs=1)
    other = fitted(fields.astype(dtype), n_jobs=2)
    np.testing.assert_array_equal(model.components_, other.components_)
    np.testing.assert_array_equal(model.scale_, other.scale_)
    np.testing.assert_array_equal(model.transform(rows), other.transform(rows))


def test_blocks_change_no_bit(fields):
    model = fitted(fields.astype(np.float32))
    rows = tiles(fields).astype(np.float32)
    expected = model.transform(rows)
    assert expected.dtype == np.float32
    model._block_bytes = 1
    np.testing.assert_array_equal(model.transform(rows), expected)


def test_subsample_is_drawn_from_random_state(fields):
    one, same, other = (fitted(fields, subsample=9, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.components_, same.components_)
    assert not np.array_equal(one.mean_, other.mean_)
    every = fitted(fields, subsample=None)
    np.testing.assert_array_equal(every.mean_, fitted(fields, subsample=10**6).mean_)


def test_components_are_at_most_the_rank(fields):
    few = fitted(fields, n_components=10_000)
    assert few.n_components_ == len(few.explained_variance_) <= len(few.mean_)
    assert (few.explained_variance_ > 0).all()
    none = fitted(fields, n_components=0)
    assert none.transform(tiles(fields)).shape[1] == 2 * len(none.mean_)
    assert len(none.get_feature_names_out()) == 2 * len(none.mean_)


def test_empty_fields_have_no_features(fields):
    assert not fitted(np.zeros_like(fields)).transform(tiles(0 * fields)).any()
    assert not fitted(fields).transform(tiles(0 * fields)).any()


def test_in_a_sum_over_tiles_a_ridge_on_them_is_extensive(fields, rng):
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    describe = LocalInvariants(8, CONTEXT, SPACING, n_channels=2, **SMALL)
    model = EDNNRegressor(make_pipeline(describe, Ridge(1e-6)), tiling(8)).fit(
        fields, rng.random(6)
    )
    twice = model.predict(np.concatenate([fields] * 2, axis=1))
    np.testing.assert_allclose(twice, 2 * model.predict(fields), rtol=1e-10)


@pytest.mark.parametrize("front", [(), (StandardScaler(),), ("passthrough", MinMaxScaler())])
@pytest.mark.parametrize(
    ("params", "focus", "context", "message"),
    [
        ((4, 1), 2, 2, "sums over other pixels than the focus of the tiling, 2 × 2"),
        ((2, 1), 2, 2, "expects tiles of 4 × 4 pixels, but the tiling cuts tiles of 6 × 6"),
        ((2, 2), (2, 2, 1), (2, 2, 0), "describes two-dimensional fields"),
        ((2, 2), None, 2, "sums over other pixels than the focus of the tiling, 8 × 8"),
    ],
)
def test_other_focus_context_or_dimension_than_the_tiling_is_rejected(
    params, focus, context, message, front, rng
):
    """Also behind scalers, and if windows have as many pixels as expected."""
    X = rng.random((6, 8, 8, 8) if focus == (2, 2, 1) else (6, 8, 8))
    describe = LocalInvariants(*params, SPACING, n_channels=None, **SMALL)
    model = EDNNRegressor(make_pipeline(*front, describe, Ridge()), GridTiling(focus, context))
    with pytest.raises(ValueError, match=message):
        model.fit(X, rng.random(6))


@pytest.mark.parametrize("params", [{}, {"n_components": 0}, {"degree": 1}, {"subsample": 5}])
@pytest.mark.parametrize("focus", [8, (4, 6)])
def test_pull_is_the_derivative_of_the_features(fields, focus, params, rng):
    model = LocalInvariants(focus, 3, SPACING, n_channels=2, **SMALL | params)
    X = GridTiling(focus, 3, channel_axis=-1).tiles(fields).array()
    X = X.reshape(len(X), -1)[:30]
    model.fit(X)
    slope = rng.normal(size=(len(X), len(model.scale_)))
    pulled = model.pull(X, slope)
    assert pulled.shape == X.shape and pulled.dtype == np.float64
    for direction in rng.normal(size=(2, *X.shape)) * X.std():
        step = 1e-3
        ends = [model.transform(X + k * step * direction) for k in (-2, -1, 1, 2)]
        expected = np.tensordot([1, -8, 8, -1], ends, axes=1) / (12 * step)
        result, expected = (pulled * direction).sum(axis=1), (slope * expected).sum(axis=1)
        np.testing.assert_allclose(result, expected, rtol=1e-7, atol=1e-9 * np.abs(result).max())


@pytest.mark.parametrize("params", [{}, {"n_components": 0}, {"degree": 1}])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_push_is_the_adjoint_of_pull(fields, params, dtype, rng):
    model = LocalInvariants(8, 3, SPACING, n_channels=2, **SMALL | params)
    X = GridTiling(8, 3, channel_axis=-1).tiles(fields.astype(dtype)).array()
    X = X.reshape(len(X), -1)[:20]
    model.fit(X)
    direction, slope = rng.normal(size=X.shape), rng.normal(size=(len(X), len(model.scale_)))
    pushed = model.push(X, direction)
    assert pushed.dtype == dtype and pushed.shape == slope.shape
    result, expected = (pushed * slope).sum(), (direction * model.pull(X, slope)).sum()
    size = np.linalg.norm(pushed) * np.linalg.norm(slope)
    assert abs(result - expected) < 100 * np.finfo(dtype).eps * size
    # Of one tile as among others, to the last bit.
    np.testing.assert_array_equal(model.push(X[3:4], direction[3:4]), pushed[3:4])


@pytest.mark.parametrize("is_shared", [False, True])
def test_pull_does_not_depend_on_blocks_or_workers(is_shared, fields, rng):
    """Blocks use the memory of earlier ones again, in each thread."""
    model, X = fitted(fields), tiles(fields)
    gradient = rng.normal(size=(1 if is_shared else len(X), len(model.scale_)))
    gradient = np.broadcast_to(gradient, (len(X), gradient.shape[1]))
    of_each = [model.pull(X[k : k + 1], gradient[k : k + 1]) for k in range(len(X))]
    expected = np.concatenate(of_each)
    tolerance = 1e-12 * np.abs(expected).max()
    for block_bytes in (1, 2**22, 2**30):
        model._block_bytes = block_bytes
        results = [model.set_params(n_jobs=n_jobs).pull(X, gradient) for n_jobs in (1, 2)]
        np.testing.assert_array_equal(*results)
        np.testing.assert_allclose(results[0], expected, rtol=1e-10, atol=tolerance)


@pytest.mark.parametrize("kernel", [False, True])
def test_models_on_them_have_forces(kernel, rng):
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    cell = np.array([4.8, 4.8])
    structures = [Structure(rng.choice([5, 7], 8), rng.random((8, 2)) * cell, cell)
                  for _ in range(12)]  # fmt: skip
    draw = GaussianRasterizer(
        SPACING, width=0.4, channels=("B", "N"), dtype="float64", cutoff=9.0
    ).fit(structures)
    last = [StandardScaler(), KernelRidge(kernel="rbf", alpha=1e-2)] if kernel else [Ridge(1e-4)]
    describe = LocalInvariants(4, CONTEXT, SPACING, n_channels=2, **SMALL)
    model = EDNNRegressor(make_pipeline(describe, *last), tiling(4), baseline="content")
    model.fit(draw.transform(structures), rng.normal(size=12))
    some = structures[0]
    gradients = model.predict_gradient(draw.transform([some]))
    (forces,) = draw.forces([some], gradients)
    direction, step, ends = rng.normal(size=forces.shape), 1e-4, []
    for k in (-2, -1, 1, 2):
        moved = Structure(some.numbers, some.positions + k * step * direction, some.cell)
        ends.append(model.predict(draw.transform([moved]))[0])
    expected = -np.dot([1, -8, 8, -1], ends) / (12 * step)
    assert np.sum(forces * direction) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"focus": 4}, r"16 × 16 pixels and 2 channel\(s\).*focus=\(4, 4\), context=\(6, 6\)"),
        ({"context": 5}, r"18 × 18 pixels.* X has 800 features\. Use the focus and context"),
        ({"n_channels": 1}, r"It would fit n_channels=2\."),
        ({"n_channels": None, "focus": 7}, r"19 × 19 pixels and a whole number of channel"),
        ({"focus": (8, 8, 8)}, r"'focus' parameter of LocalInvariants .* two of them"),
        ({"focus": (8, 0)}, r"'focus' .* one integer of at least 1"),
        ({"context": (6, 1.5)}, r"'context' .* one integer of at least 0"),
        ({"spacing": (0.4, -0.4)}, r"'spacing' .* one positive number .* got \(0.4, -0.4\)"),
        ({"focus": 0}, r"The 'focus' parameter of LocalInvariants must be"),
        ({"scale": 0.0}, r"The 'scale' parameter of LocalInvariants must be"),
        ({"degree": -1}, r"The 'degree' parameter of LocalInvariants must be"),
        ({"whitening": 1.5}, r"The 'whitening' parameter of LocalInvariants must be"),
        ({"subsample": 0}, r"The 'subsample' parameter of LocalInvariants must be"),
    ],
)
def test_errors_say_what_is_wrong(params, words, fields):
    model = clone(fitted(fields)).set_params(**params)
    with pytest.raises(ValueError, match=words):
        model.fit(tiles(fields))


def test_tiles_of_another_width_are_refused(fields):
    with pytest.raises(ValueError, match="LocalInvariants is expecting 800 features"):
        fitted(fields).transform(tiles(fields, 4))


# --- tiles that are not such ------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 3, None])
def test_fields_of_three_dimensions_are_refused(n_channels):
    """Rows of 27 numbers could be 3 x 3 pixels of 3 channels; the tiling decides."""
    X = np.random.default_rng(0).random((6, 4, 4, 4))
    invariants = LocalInvariants(1, 1, 0.4, n_channels=n_channels, degree=2, n_components=0)
    model = EDNNRegressor(make_pipeline(invariants, Ridge()), GridTiling(1, 1))
    with pytest.raises(
        ValueError,
        match=r"two-dimensional fields, but these tiles have 3 dimension\(s\), 3 × 3 × 3 sites",
    ):
        model.fit(X, X.sum(axis=(1, 2, 3)))


@pytest.mark.parametrize(
    "tiling, words",
    [
        (
            GridTiling(1, 2, channel_axis=-1),
            "tiles of 3 × 3 pixels, but the tiling cuts .* 5 × 5",
        ),
        (GridTiling((1, 2), 1, channel_axis=-1), "other pixels than the focus .*, 1 × 2"),
        (GridTiling(2, 1, channel_axis=-1), "other pixels than the focus .*, 2 × 2"),
        (GridTiling(1, 1, channel_axis=0), "the fields have 4. Use n_channels=4"),
    ],
)
def test_the_tiling_has_to_be_the_same(tiling, words):
    X = np.random.default_rng(0).random((6, 4, 4, 4))
    invariants = LocalInvariants(1, 1, 0.4, n_channels=1, degree=2, n_components=0)
    model = EDNNRegressor(make_pipeline(invariants, Ridge()), tiling)
    with pytest.raises(ValueError, match=words):
        model.fit(X, X.sum(axis=(1, 2, 3)))


def test_a_focus_of_three_axes_is_refused():
    with pytest.raises(ValueError, match="Three-dimensional fields are not supported"):
        LocalInvariants((1, 1, 1), 1, 0.4).fit(np.ones((3, 27)))
