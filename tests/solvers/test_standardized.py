"""Standardisation of the inputs of networks, in training and everything after it."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

from torch import nn  # noqa: E402

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged, files  # noqa: E402
from sk_ednn.evaluation import Direct, Network, Unique  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402

BOUNDARIES = ("periodic", "zero", "reflect", "nearest")
OFFSET = np.array([5e4, -3e3])
FACTOR = np.array([1e3, 0.02])


def make(n=16, shape=(8, 6), seed=0):
    """Return fields with two channels, and totals that depend on both."""
    X = np.random.default_rng(seed).normal(size=(n, *shape, 2))
    return X, (X[..., 0] * np.roll(X[..., 0], 1, 1) + np.sin(X[..., 1])).sum(axis=(1, 2))


def network(kind="conv"):
    torch.manual_seed(0)
    if kind == "conv":
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.SiLU(), nn.Conv2d(4, 4, 3), nn.SiLU(), nn.Flatten(),
            nn.Linear(16, 1),
        )  # fmt: skip
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.Tanh(), nn.Linear(8, 1))


def regressor(kind="conv", boundary="periodic", precision="float64", **params):
    params = {"max_epochs": 3, "batch_size": 5, "lr": 1e-2, **params}
    return EDNNRegressor(
        network(kind), GridTiling(2, 2, channel_axis=-1, boundary=boundary),
        solver=GradientSolver(precision=precision, **params), random_state=0,
    )  # fmt: skip


# --- the law: fits do not hang on units --------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kind", ["conv", "dense"])
@pytest.mark.parametrize("form", ["auto", "tiled"])
def test_training_does_not_depend_on_the_unit_of_fields(kind, boundary, form):
    """With a "zero" boundary only factors are tried, because 0 must remain 0."""
    X, y = make()
    unseen = make(4, (12, 8), seed=1)[0]
    offset = 0 if boundary == "zero" else OFFSET
    one = regressor(kind, boundary, form=form).fit(X, y)
    other = regressor(kind, boundary, form=form).fit(FACTOR * X + offset, y)
    expected, result = one.predict(unseen), other.predict(FACTOR * unseen + offset)
    np.testing.assert_allclose(result, expected, rtol=1e-7, atol=1e-7 * np.std(y))
    gradient, of_other = (
        model.predict_gradient(fields)
        for model, fields in ((one, unseen), (other, FACTOR * unseen + offset))
    )
    np.testing.assert_allclose(
        of_other * FACTOR, gradient, rtol=1e-6, atol=1e-7 * np.abs(gradient).max()
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_standardisation_keeps_digits_beyond_float32(precision):
    X, y = make()
    moved = 1e6 + X  # in float32 a step there is 0.06
    one = regressor(precision=precision).fit(X, y)
    other = regressor(precision=precision).fit(moved, y)
    near = {"float32": 1e-4, "bfloat16": 0.1}[precision] * np.std(y)
    np.testing.assert_allclose(other.predict(moved), one.predict(X), atol=near)
    for kind in (lambda fields: fields, ("shift", "reflect")):
        fits = [regressor(precision=precision, symmetries=kind).fit(f, y) for f in (X, moved)]
        np.testing.assert_allclose(fits[1].predict(moved), fits[0].predict(X), atol=near)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_target_gradients_in_any_unit(boundary):
    X, y = make()
    gradient = np.random.default_rng(2).normal(size=X.shape)
    offset = 0 if boundary == "zero" else OFFSET
    models = []
    for factor, moved in ((np.ones(2), 0 * OFFSET), (np.full(2, 1e3), offset)):
        # The loss of gradients is in units of their spread over all channels.
        model = regressor(boundary=boundary, gradient_weight=2.0)
        models.append(model.fit(factor * X + moved, y, gradient=gradient / factor))
    expected = models[0].predict_gradient(X)
    result = 1e3 * models[1].predict_gradient(1e3 * X + offset)
    np.testing.assert_allclose(result, expected, atol=1e-7 * np.abs(expected).max())


def test_standardisation_of_several_terms_and_ragged_fields():
    X = [make(1, shape, seed)[0][0] for seed, shape in enumerate([(8, 6), (6, 4), (8, 8)] * 3)]
    y = np.array([np.sin(x[..., 0]).sum() for x in X])
    predictions = []
    for factor, offset in ((1.0, 0.0), (FACTOR, OFFSET)):
        terms = [
            ("conv", network(), GridTiling(2, 2, channel_axis=-1)),
            ("wide", network("dense"), GridTiling(2, (2, 2), channel_axis=-1)),
        ]
        model = EDNNRegressor(terms, solver=GradientSolver(max_epochs=2, precision="float64"),
                              random_state=0)  # fmt: skip
        fields = [factor * x + offset for x in X]
        predictions.append(model.fit(fields, y).predict(fields))
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=1e-7)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_perceptron_weights_apply_to_unscaled_fields(solver):
    X, y = make(30)
    tile_model = MLPRegressor(hidden_layer_sizes=(6,), max_iter=8, solver=solver, random_state=0)
    model = EDNNRegressor(tile_model, GridTiling(2, 1, channel_axis=-1, boundary="zero"))
    predictions = []
    for factor in (np.ones(2), FACTOR):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = clone(model).fit(factor * X, y)
        tile = factor * X[:1, :4, :4]
        perceptron = fitted.tile_model_.estimator
        alone = perceptron.predict(tile.reshape(1, -1)) * np.ravel(fitted.tile_model_.scale)
        predicted = fitted.tile_model_.with_baseline(None).predict(tile)
        np.testing.assert_allclose(alone, predicted[0], rtol=1e-12)
        predictions.append(fitted.predict(factor * X))
    np.testing.assert_allclose(predictions[1], predictions[0], rtol=1e-6)


def test_warm_start_of_a_perceptron_keeps_its_predictions():
    """On other fields, too, training starts from the same predictions."""
    X, y = make(30)
    tile_model = MLPRegressor(
        hidden_layer_sizes=(6,), max_iter=20, random_state=0, learning_rate_init=1e-2
    )
    model = EDNNRegressor(tile_model, GridTiling(2, 1, channel_axis=-1), warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = model.fit(X, y).predict(X)
        model.set_params(tile_model__learning_rate_init=1e-12)
        model.fit(5 + 3 * X[:9], y[:9])
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-6)


# --- what it is for ------------------------------------------------------------------------------


def grey_images(seed, n=120, size=64):
    """Return 16-bit images of blobs on a noisy background, and the number of blobs."""
    rng = np.random.default_rng(seed)
    counts, places = rng.integers(8, 31, size=n), np.arange(size)
    images = rng.normal(4000, 400, size=(n, size, size))
    for image, count in zip(images, counts, strict=True):
        for centre in rng.uniform(0, size, size=(count, 2)):
            off = (places - centre[:, None] + size / 2) % size - size / 2
            image += rng.uniform(3000, 6000) * np.multiply.outer(*np.exp(-(off**2) / 8))
    return images.clip(0, 65535).astype(np.uint16), counts.astype(float)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blobs_in_16_bit_images_are_counted(seed):
    """The error must be well below that of the mean."""
    images, counts = grey_images(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2), nn.SiLU(), nn.Conv2d(8, 16, 3, stride=2), nn.SiLU(),
        nn.Flatten(), nn.LazyLinear(1),
    )  # fmt: skip
    fit = GradientSolver(max_epochs=20, batch_size=8, lr=1e-2)
    model = EDNNRegressor(net, GridTiling(8, 6), solver=fit, random_state=seed)
    model.fit(images[:90], counts[:90])
    error = np.abs(model.predict(images[90:]) - counts[90:]).mean()
    assert 2 * error < np.abs(counts[:90].mean() - counts[90:]).mean()


# --- what is standardised, and what is not -------------------------------------------------------


def test_inputs_of_the_network_are_standardised():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.outer = nn.Linear(72, 1)

        def forward(self, x):
            if self.training and isinstance(x, torch.Tensor):
                seen.append(x.detach().numpy().copy())
            return self.outer(x.flatten(1))

    X, y = make(12)
    X = (3000 + 50 * X).astype(np.uint16)
    tiling = GridTiling(2, 2, channel_axis=-1, boundary="zero")
    model = EDNNRegressor(Spy, tiling, solver=GradientSolver(max_epochs=1)).fit(X, y)
    mean, scale = X.mean(axis=(0, 1, 2)), X.std(axis=(0, 1, 2))
    result = np.concatenate(seen)
    inside = np.abs(result) < 20
    assert 0.9 < result[inside].std() < 1.1
    for channel in range(2):
        outside = np.float32(-mean[channel] / scale[channel])  # zeros of the data
        assert np.isclose(result[:, channel].min(), outside, rtol=1e-6)
    kept = model.tile_model_.standardization
    np.testing.assert_allclose([kept.mean, kept.scale], [mean, scale], rtol=1e-12)


def test_standardize_false_and_transformers():
    X, y = make()
    off = regressor(standardize=False).fit(X, y)
    assert off.tile_model_.standardization is None
    net = skorch.NeuralNetRegressor(network("dense"), max_epochs=1, verbose=0, train_split=None)
    piped = EDNNRegressor(make_pipeline(StandardScaler(), net), GridTiling(2, 2, channel_axis=-1))
    assert piped.fit(X, y).tile_model_.standardization is None
    alone = EDNNRegressor(net, GridTiling(2, 2, channel_axis=-1)).fit(X, y)
    assert alone.tile_model_.standardization is not None


def test_samples_of_weight_zero_are_ignored():
    X, y = make()
    weight = np.ones(len(X))
    weight[3:7] = 0
    spoiled = X.copy()
    spoiled[3:7] += 1e9
    one = regressor().fit(spoiled, y, sample_weight=weight)
    two = regressor().fit(np.delete(X, range(3, 7), 0), np.delete(y, range(3, 7)),
                          sample_weight=np.ones(len(X) - 4))  # fmt: skip
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


def test_constant_channel_is_only_centred():
    X, y = make()
    X[..., 1] = 7.5
    model = regressor().fit(X, y)
    kept = model.tile_model_.standardization
    assert (kept.mean[1], kept.scale[1]) == (7.5, 1.0)
    assert np.isfinite(model.predict(X)).all()


class Looked(nn.Module):
    """A network that looks up labels, in one of several ways."""

    def __init__(self, how="embedding"):
        super().__init__()
        self.how = how
        self.table = nn.Embedding(3, 2)
        self.outer = nn.Linear(18 if how in ("embedding", "index") else 27, 1)

    def forward(self, x):
        x = x.flatten(1)
        if self.how == "embedding":
            return self.outer(self.table(x.long()).flatten(1))
        if self.how == "index":
            return self.outer(self.table.weight[x.to(torch.int64)].flatten(1))
        if self.how == "one_hot":
            return self.outer(nn.functional.one_hot(x.long(), 3).flatten(1).to(x))
        return self.outer(torch.cat([(x == k).to(x) for k in range(3)], 1))


@pytest.mark.parametrize(
    ("dtype", "symmetries"), [(np.int8, None), (np.float64, None), (np.int8, ("reflect",))]
)
@pytest.mark.parametrize("how", ["embedding", "index", "one_hot", "equal"])
def test_labels_are_not_standardised(how, dtype, symmetries):
    labels = np.random.default_rng(0).integers(0, 3, size=(40, 6, 6)).astype(dtype)
    y = (labels == 1).sum(axis=(1, 2)).astype(float)
    fit = GradientSolver(max_epochs=60, lr=3e-2, batch_size=8, symmetries=symmetries)
    torch.manual_seed(0)
    model = EDNNRegressor(Looked(how), GridTiling(1, 1), solver=fit, random_state=0)
    model.fit(labels, y)
    assert model.tile_model_.standardization is None
    assert model.score(labels, y) > 0.9
    with pytest.raises(TileModelError, match="no gradient with respect to its input"):
        model.predict_gradient(labels[:1])


def test_labels_in_one_of_two_terms():
    labels = np.random.default_rng(0).integers(0, 3, size=(30, 6, 6))
    y = (labels == 1).sum(axis=(1, 2)).astype(float)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(9, 1))
    model = EDNNRegressor(
        [("looked", Looked(), GridTiling(1, 1)), ("plain", plain, GridTiling(1, 1))],
        solver=GradientSolver(max_epochs=60, lr=3e-2, batch_size=8), random_state=0,
    ).fit(labels, y)  # fmt: skip
    looked, other = (part.standardization for part in model.tile_model_)
    assert looked is None and other.mean == pytest.approx(labels.mean())
    assert model.score(labels, y) > 0.9


# --- what follows a fit --------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_evaluations_of_standardised_networks_agree(boundary):
    X, y = make()
    X = FACTOR * X + OFFSET
    model = regressor(boundary=boundary).fit(X, y)
    unseen = FACTOR * make(3, (10, 12), seed=3)[0] + OFFSET
    expected = None
    for evaluation in (Direct(), Unique(), Network(), Network(max_tiles=4)):
        model.evaluation_ = evaluation
        maps = model.predict_contributions(unseen)
        expected = maps if expected is None else expected
        np.testing.assert_allclose(maps, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    total, gradient = model.tile_model_.total_and_gradient(model.tiling_, unseen[0])
    assert total == pytest.approx(model.predict(unseen[:1])[0], rel=1e-9)
    np.testing.assert_allclose(gradient, model.predict_gradient(unseen[:1])[0], rtol=1e-9)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradients_of_standardised_networks(boundary):
    X, y = make()
    X = FACTOR * X + OFFSET
    model = regressor(boundary=boundary).fit(X, y)
    gradient = model.predict_gradient(X[:1])[0]
    for index in [(0, 0, 0), (0, 0, 1), (3, 4, 0), (7, 5, 1)]:
        step, ends = 1e-4 * FACTOR[index[-1]], []
        for sign in (1, -1):
            moved = X[:1].copy()
            moved[0][index] += sign * step
            ends.append(model.predict(moved)[0])
        close = pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-9 / step)
        assert gradient[index] == close
    tiles = model.tiling_.tiles(X[:1]).array()
    net, step = model.tile_model_.with_baseline(None), np.zeros(tiles.shape)
    step[:, 2, 2, 1] = 1e-4 * FACTOR[1]
    moved = (net.predict(tiles + step) - net.predict(tiles - step))[:, 0] / (2e-4 * FACTOR[1])
    np.testing.assert_allclose(net.input_gradient(tiles)[:, 2, 2, 1], moved, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_standardisation_is_copied_and_stored(kind, tmp_path):
    X, y = make()
    X = FACTOR * X + OFFSET
    model = regressor(kind).fit(X, y)
    files.save(model, tmp_path / "m.ednn")
    loaded = files.load(tmp_path / "m.ednn")
    assert files.save(loaded, tmp_path / "again.ednn") == files.save(model, tmp_path / "m.ednn")
    for other in (loaded, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        np.testing.assert_array_equal(other.predict_gradient(X), model.predict_gradient(X))
        assert other.tile_model_.identity() == model.tile_model_.identity()
    elsewhere = regressor(kind, standardize=False).fit(X, y)
    assert elsewhere.tile_model_.identity() != model.tile_model_.identity()


def test_warm_start_keeps_the_standardisation():
    X, y = make()
    model = regressor().set_params(warm_start=True).fit(X, y)
    kept = model.tile_model_.standardization
    model.fit(100 + 9 * X, y)
    assert model.tile_model_.standardization is kept
    unscaled = regressor(standardize=False).set_params(warm_start=True).fit(X, y)
    unscaled.set_params(solver__standardize=True).fit(X, y)
    assert unscaled.tile_model_.standardization is None


def test_checkpoint_resumes_a_standardised_training(tmp_path):
    X, y = make()
    X = FACTOR * X + OFFSET

    class Stop(skorch.callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2 and not (tmp_path / "stopped").exists():
                (tmp_path / "stopped").touch()
                raise InterruptedError

    def net():
        return skorch.NeuralNetRegressor(
            network().double(), optimizer=torch.optim.Adam, lr=1e-2, max_epochs=4, batch_size=5,
            train_split=None, verbose=0, iterator_train__shuffle=True, callbacks=[Stop()],
        )  # fmt: skip

    tiling = GridTiling(2, 2, channel_axis=-1)
    fit = GradientSolver(checkpoint=tmp_path / "c.ckpt")
    model = EDNNRegressor(net(), tiling, solver=fit, random_state=0)
    with pytest.raises(InterruptedError):
        model.fit(X, y)
    model.fit(X, y)
    again = EDNNRegressor(net(), tiling, solver=GradientSolver(), random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    with pytest.raises(TileModelError, match="of another training"):
        clone(model).set_params(solver__standardize=False).fit(X, y)


def test_standardisation_in_committees_and_shifted_averages():
    X, y = make()
    X = FACTOR * X + OFFSET
    committee = EDNNCommittee(regressor(), n_members=2, random_state=0).fit(X, y)
    means = [each.tile_model_.standardization.mean for each in committee.estimators_]
    assert (means[0] != means[1]).all()
    shifted = ShiftAveraged(regressor()).fit(X, y)
    assert np.isfinite(shifted.predict(X)).all()


def test_lazy_fields_are_standardised():
    da = pytest.importorskip("dask.array")
    X, y = make()
    X = FACTOR * X + OFFSET
    lazy = da.from_array(X, chunks=(5, 4, 6, 2))
    one, other = (regressor(form="dense").fit(fields, y) for fields in (X, lazy))
    np.testing.assert_allclose(other.predict(X), one.predict(X), rtol=1e-9)
    np.testing.assert_allclose(one.predict(lazy).compute(), one.predict(X), rtol=1e-9)
