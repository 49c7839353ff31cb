"""Parameters of nets and features of modules: supported, or rejected with a remedy."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

from sklearn.model_selection import PredefinedSplit  # noqa: E402
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, LRScheduler  # noqa: E402
from skorch.dataset import Dataset, ValidSplit  # noqa: E402
from skorch.helper import predefined_split  # noqa: E402
from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling, files  # noqa: E402
from sk_ednn.exceptions import ModelFileError, TileModelError  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6, 6))
Y = (X * np.roll(X, 1, axis=1)).sum(axis=(1, 2))
COUNTS = (X > 1).sum(axis=(1, 2)).astype(float)
WEIGHT = RNG.integers(1, 4, size=40).astype(float)
FOLD = np.repeat([-1, 0], [30, 10])
WHOLE = GridTiling(focus=None, context=0)


def module(*layers, n_inputs=9):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(n_inputs, 8), *layers, nn.SiLU(), nn.Linear(8, 1)
    )  # fmt: skip


def net(of=None, kind=skorch.NeuralNetRegressor, **params):
    defaults = {"max_epochs": 2, "batch_size": 8, "verbose": 0, "train_split": None, "lr": 1e-3}
    return kind(module() if of is None else of, **{**defaults, **params})


def fitted(tile_model, tiling=None, y=Y, sample_weight=None, **params):
    tiling = GridTiling(1, 1) if tiling is None else tiling
    model = EDNNRegressor(tile_model, tiling, random_state=0, **params)
    return model.fit(X, y, sample_weight=sample_weight)


def losses(model, kind="train_loss"):
    return model.tile_model_.estimator.history[:, kind]


# --- samples held back ---------------------------------------------------------------------------


def test_predefined_validation_sets_are_rejected_with_a_remedy():
    held_back = Dataset(X[:5].astype(np.float32), Y[:5].astype(np.float32))
    with pytest.raises(TileModelError, match=r"train_split=ValidSplit\(.*PredefinedSplit"):
        fitted(net(train_split=predefined_split(held_back)))
    model = fitted(net(train_split=ValidSplit(PredefinedSplit(FOLD))))
    unseen = np.mean((model.predict(X[30:]) - Y[30:]) ** 2)
    assert losses(model, "valid_loss")[-1] == pytest.approx(unseen / np.mean((Y - Y.mean()) ** 2))


def test_splits_of_other_samples_are_rejected():
    split = ValidSplit(PredefinedSplit(FOLD))
    with pytest.raises(TileModelError, match="train_split returned index 39 for 39 samples"):
        fitted(net(train_split=split), sample_weight=np.r_[0, WEIGHT[1:]])
    with pytest.raises(TileModelError, match="has 35 entries for 40 samples"):
        fitted(net(train_split=ValidSplit(PredefinedSplit(FOLD[:35]))))
    with pytest.raises(TileModelError, match="stratified=False"):
        fitted(net(train_split=ValidSplit(5, stratified=True)))


@pytest.mark.parametrize(
    ("kind", "params"),
    [(EarlyStopping, {}), (LRScheduler, {"policy": "ReduceLROnPlateau", "monitor": "valid_loss"}),
     (Checkpoint, {"dirname": "kept"})],
)  # fmt: skip
def test_callbacks_that_need_held_out_samples(kind, params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    callback = kind(**params)
    with pytest.raises(TileModelError, match=r"held-out .*ValidSplit.*'train_loss'"):
        fitted(net(callbacks=[callback]))


def test_callbacks_with_held_out_samples():
    callbacks = [EarlyStopping(), EpochScoring("r2", name="r2", lower_is_better=False)]
    model = fitted(net(callbacks=callbacks, train_split=ValidSplit(4)))
    assert np.isfinite(losses(model, "r2")).all()
    fitted(net(callbacks=[EarlyStopping(monitor="train_loss")]))
    with pytest.raises(TileModelError, match="Do not set use_caching of EpochScoring"):
        fitted(net(callbacks=[EpochScoring("r2", use_caching=False)], train_split=ValidSplit(4)))


def test_warm_start_of_a_net_causes_a_warning():
    with pytest.warns(UserWarning, match="warm_start=True of the EDNNRegressor"):
        fitted(net(warm_start=True))


# --- criteria ------------------------------------------------------------------------------------


class PerSample(nn.Module):
    """A custom loss with one value per sample."""

    def forward(self, predicted, true):
        return ((predicted - true) ** 2).mean(1)


class Weighted(nn.Module):
    """A custom loss with buffers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.tensor([3.0]))

    def forward(self, predicted, true):
        return (self.weight * (predicted - true) ** 2).mean()


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_losses_per_sample_are_averaged(weight):
    expected = losses(fitted(net(), sample_weight=weight))
    for criterion in ({"criterion__reduction": "none"}, {"criterion": PerSample}):
        result = losses(fitted(net(**criterion), sample_weight=weight))
        np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The criterion sums")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_equal_repetitions_for_all_reductions(reduction):
    params = {"optimizer": torch.optim.SGD, "batch_size": -1, "lr": 1e-4, "max_epochs": 3}
    of_net = net(criterion__reduction=reduction, **params)
    one = EDNNRegressor(of_net, random_state=0).fit(X, Y, sample_weight=WEIGHT)
    n = WEIGHT.astype(int)
    two = EDNNRegressor(of_net, random_state=0).fit(X.repeat(n, 0), Y.repeat(n))
    np.testing.assert_allclose(losses(one), losses(two), rtol=1e-4)
    np.testing.assert_allclose(one.predict(X), two.predict(X), rtol=1e-3)


def test_custom_criterion_with_weights():
    for criterion in (Weighted, Weighted(), nn.SmoothL1Loss, nn.HuberLoss(delta=0.1)):
        assert np.isfinite(losses(fitted(net(criterion=criterion)))).all()
    with pytest.raises(TileModelError, match="a loss for each sample, or has a reduction"):
        fitted(net(criterion=Weighted), sample_weight=WEIGHT)


@pytest.mark.parametrize(
    "criterion",
    [nn.GaussianNLLLoss, nn.CosineEmbeddingLoss, nn.TripletMarginLoss, nn.MarginRankingLoss],
)
def test_criteria_with_other_arguments_are_rejected(criterion):
    with pytest.raises(TileModelError, match=f"{criterion.__name__} cannot compare .*MSELoss"):
        fitted(net(criterion=criterion))


@pytest.mark.parametrize(
    "of_net",
    [
        net(criterion=nn.CrossEntropyLoss),
        net(criterion=nn.BCEWithLogitsLoss()),
        net(criterion=nn.KLDivLoss),
        net(kind=skorch.NeuralNetClassifier),
    ],
)
def test_criteria_of_classes_are_rejected(of_net):
    with pytest.raises(TileModelError, match="compares probabilities of classes"):
        fitted(of_net)


def test_poisson_criterion_of_a_net_models_counts():
    with pytest.raises(TileModelError, match=r"criterion__log_input=False, or use"):
        fitted(net(criterion=nn.PoissonNLLLoss), y=COUNTS, baseline=None)
    for given in (
        {"criterion": nn.PoissonNLLLoss, "criterion__log_input": False},
        {"criterion": nn.PoissonNLLLoss(log_input=False)},
    ):
        with pytest.raises(TileModelError, match=r"PoissonNLLLoss of NeuralNet.* baseline=None"):
            fitted(net(**given), y=COUNTS)
        with pytest.raises(TileModelError, match="must not be negative"):
            fitted(net(**given), y=Y, baseline=None)
        model = fitted(net(**given), y=COUNTS, baseline=None)
        assert model.predict_contributions(X).min() > 0


# --- batches -------------------------------------------------------------------------------------


def test_batch_normalisation_of_one_tile_is_rejected():
    normalised = module(nn.BatchNorm1d(8), n_inputs=36)
    for size in (1, 13):  # 40 = 3 * 13 + 1
        fit = GradientSolver(max_epochs=1, batch_size=size)
        with pytest.raises(TileModelError, match="Batch normalisation needs more than one"):
            fitted(normalised, WHOLE, solver=fit)
    model = fitted(net(normalised, batch_size=13, iterator_train__drop_last=True), WHOLE)
    assert np.isfinite(model.predict(X)).all()


def test_drop_last_must_leave_batches():
    with pytest.raises(TileModelError, match="leave none of 40 training sample"):
        fitted(net(batch_size=64, iterator_train__drop_last=True))
    with pytest.raises(TileModelError, match="leave none of 8 held-out sample"):
        fitted(net(iterator_valid__drop_last=True, batch_size=16, train_split=ValidSplit(5)))


# --- modules -------------------------------------------------------------------------------------


class Long(nn.Module):
    """A network on integer labels."""

    def forward(self, x):
        return x.long()


def test_embeddings_of_labels():
    labels = RNG.integers(0, 3, size=X.shape)

    def looked(*layers, n=3):
        return nn.Sequential(
            nn.Flatten(), *layers, nn.Embedding(n, 2), nn.Flatten(), nn.Linear(18, 1)
        )

    fit = GradientSolver(max_epochs=1)
    model = EDNNRegressor(looked(Long()), solver=fit).fit(labels, Y)
    with pytest.raises(TileModelError, match=r"looks up integers.* x\.long\(\)"):
        EDNNRegressor(looked(), solver=fit).fit(labels, Y)
    with pytest.raises(TileModelError, match=r"no entry .* numbers from 0 to 2"):
        EDNNRegressor(looked(Long(), n=2), solver=fit).fit(labels, Y)
    with pytest.raises(TileModelError, match=r"no entry .* numbers from 0 to 3"):
        model.predict(np.maximum(labels, 3 * (labels == 1)))


class LazyNet(nn.Sequential):
    """A network with lazy layers."""

    def __init__(self):
        super().__init__(
            nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.SiLU(), nn.Flatten(), nn.LazyLinear(1)
        )


def test_lazy_layers_are_initialised(tmp_path):
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.SiLU(), nn.Flatten(), nn.LazyLinear(1))
    models = {
        "module": fitted(lazy, GridTiling(2, 1), solver=GradientSolver(max_epochs=1)),
        "class": fitted(LazyNet, GridTiling(2, 1), solver=GradientSolver(max_epochs=1)),
        "net": fitted(net(lazy), GridTiling(2, 1)),
    }
    for model in models.values():
        assert type(model.tile_model_.estimator.module_[-1]) is nn.Linear
        assert np.isfinite(model.predict(X)).all()
    terms = [("a", lazy, GridTiling(2, 1)), ("b", LazyNet, GridTiling(2, 2))]
    both = EDNNRegressor(terms, solver=GradientSolver(max_epochs=1), random_state=0).fit(X, Y)
    assert np.isfinite(both.predict(X)).all()
    assert lazy[-1].has_uninitialized_params()  # the user's is left as it was
    with pytest.raises(ModelFileError, match=r"lazy layers.* or pass the class"):
        files.save(models["module"], tmp_path / "m.ednn")
    files.save(models["class"], tmp_path / "m.ednn")
    with pytest.raises(ModelFileError, match="function that builds it and calls it with a tile"):
        files.load(tmp_path / "m.ednn", modules=[LazyNet])

    def build():
        made = LazyNet().eval()
        made(torch.zeros(1, 1, 4, 4))
        return made

    loaded = files.load(tmp_path / "m.ednn", modules={"LazyNet": build})
    np.testing.assert_array_equal(loaded.predict(X), models["class"].predict(X))


def test_modules_without_weights_are_rejected():
    frozen = module().requires_grad_(False)
    for given in (frozen, nn.Flatten(), net(frozen)):
        with pytest.raises(TileModelError, match="has no weights to train"):
            fitted(given, solver=GradientSolver(max_epochs=1))


def test_dropout_is_active_only_in_training():
    model = fitted(module(nn.Dropout(0.5)), solver=GradientSolver(max_epochs=1))
    np.testing.assert_array_equal(model.predict(X), model.predict(X))


# --- precision -----------------------------------------------------------------------------------


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(16, 1))


class Doubles(nn.Sequential):
    """A module created in double precision."""

    def __init__(self):
        super().__init__(*convolutions())
        self.double()


@pytest.mark.parametrize("form", ["auto", "tiled", "dense"])
@pytest.mark.parametrize(
    "tile_model", [convolutions().double(), Doubles, net(convolutions().double()), net(Doubles)]
)
def test_double_precision_is_kept(tile_model, form, tmp_path):
    fit = GradientSolver(max_epochs=2, batch_size=8, form=form)
    model = fitted(tile_model, GridTiling(2, 1), solver=fit)
    tile = model.tile_model_
    assert tile.precision == "float64"
    assert {p.dtype for p in tile.estimator.module_.parameters()} == {torch.float64}
    # In float32 the derivative would be good to some three digits.
    gradient, step, moved = model.predict_gradient(X[:1])[0], 1e-6, X[:2].copy()
    moved[0, 2, 3] += step
    moved[1] = X[0]
    moved[1, 2, 3] -= step
    difference = np.subtract(*model.predict(moved)) / (2 * step)
    assert gradient[2, 3] == pytest.approx(difference, rel=1e-6)
    explicit = fitted(
        tile_model, GridTiling(2, 1), solver=GradientSolver(**{**fit.get_params(), "precision":
                                                                "float64"})
    )  # fmt: skip
    np.testing.assert_array_equal(explicit.predict(X), model.predict(X))


def test_double_precision_in_files_checkpoints_and_warm_starts(tmp_path):
    fit = GradientSolver(max_epochs=2, checkpoint=tmp_path / "c.ckpt")
    model = fitted(convolutions().double(), GridTiling(2, 1), solver=fit, warm_start=True)
    files.save(model, tmp_path / "m.ednn")
    loaded = files.load(tmp_path / "m.ednn")
    assert loaded.tile_model_.precision == "float64"
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    taken = fitted(convolutions().double(), GridTiling(2, 1), solver=fit)
    np.testing.assert_array_equal(taken.predict(X), model.predict(X))
    loaded.set_params(tile_model=convolutions(), solver__checkpoint=None).fit(X, Y)
    assert loaded.tile_model_.precision == "float64"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (module().half(), r"weights in float16 \(1\.weight\).*precision='bfloat16'"),
        (module().bfloat16(), r"weights in bfloat16 \(1\.weight\)"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.Linear(4, 1).double()),
            r"float32 \(1\.weight\) and float64 \(2\.weight\)",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 1, dtype=torch.complex64)), "complex weights"),
    ],
)
def test_unsupported_precisions_are_rejected(given, message):
    for tile_model in (given, net(given)):
        with pytest.raises(TileModelError, match=message):
            fitted(tile_model, solver=GradientSolver(max_epochs=1))
    terms = [("a", module(), GridTiling(1, 1)), ("b", given, GridTiling(1, 1))]
    with pytest.raises(TileModelError, match=r"float16|float64|complex"):
        EDNNRegressor(terms, solver=GradientSolver(max_epochs=1)).fit(X, Y)


def test_precision_parameter_overrides_that_of_weights():
    mixed = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.Linear(4, 1).double())
    for given in (mixed, module().half(), module().double()):
        fit = GradientSolver(max_epochs=1, precision="float32")
        assert fitted(given, solver=fit).tile_model_.precision == "float32"


def test_lazy_buffers_of_an_instance_are_named():
    """Torch cannot copy them; a class is no problem."""
    from sk_ednn.tiling import BagTiling

    bags = [np.random.default_rng(n).normal(size=(n, 3)) for n in (2, 3, 4, 5)]
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(1))
    for tile_model, tiling in ((lazy, BagTiling()), ([("a", lazy, BagTiling())], None)):
        model = EDNNRegressor(tile_model, tiling, solver=GradientSolver(max_epochs=1))
        with pytest.raises(TileModelError, match=r"lazy buffers, .* Pass the class of the network"):
            model.fit(bags, np.arange(4.0))
