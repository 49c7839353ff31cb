"""Networks: the gradient of the loss of the sums, by automatic differentiation.

skorch trains. All that is added to the user's net is what a sample is: not one input but the sum
of the network over the sample's tiles. Everything else (callbacks, schedules, optimizer, module,
subclassed methods) is the user's, and so is the fitted net that comes back.
"""

from __future__ import annotations

import inspect
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.neural_network import MLPRegressor
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from skorch import NeuralNet, NeuralNetRegressor
from skorch.callbacks import LRScheduler
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import BatchSampler, DataLoader

from .._tile_model import TileModel, is_torch
from ..exceptions import TileModelError
from ..networks import NetworkTileModel, TileSums
from ..networks._sum import network_input
from ._base import AbstractSumFit, SumProblem, last_step
from ._features import TileFeatures
from ._perceptron import fit_perceptron

# A batch may hold many tiles. They go through the network in parts of about this many numbers, so
# that what its layers hold stays in the caches: up to twice as fast as all at once.
_PART_NUMBERS = 1 << 16
# Layers whose result for a tile depends on the others beside it.
_MIXING = nn.modules.batchnorm._BatchNorm

_LOSSES = {
    "squared_error": nn.MSELoss,
    "absolute_error": nn.L1Loss,
    "huber": nn.HuberLoss,
    # The totals are rates themselves, not their logarithms: logarithms do not add up.
    "poisson": nn.PoissonNLLLoss,
}


class GradientSumFit(AbstractSumFit):
    """Fit networks to sums by gradient descent on the loss of the totals.

    Takes a skorch `NeuralNetRegressor` (its optimizer, callbacks, batch size and all other
    settings are used), a `torch.nn.Module` or its class, or scikit-learn's `MLPRegressor` (whose
    hyperparameters are used, and which comes back with its ``coefs_``). Where tiles repeat, each
    distinct one is evaluated once per batch.

    A module whose ``__init__`` takes `tile_shape`, `n_channels` or `n_outputs` is given them, so
    that a search over focus and context needs nothing else.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "poisson"} or None, default=None
        Between predicted and true totals. None for what the net says (squared error for bare
        modules). "poisson" is for counts: contributions are then made positive, and the
        estimator's `baseline` must be None.
    positive : bool, default=False
        Whether contributions are kept from being negative, by a softplus behind the network. It
        needs ``baseline=None`` too.
    max_epochs : int, default=100
        For bare modules; a skorch net has its own.
    lr : float, default=3e-3
        Largest learning rate of Adam, in one cycle up and down, for bare modules.
    batch_size : int, default=32
        Samples of a batch, for bare modules.
    device : str, default="cpu"
        For bare modules.
    random_state : int, RandomState or None, default=None
        Seeds weights and batches; torch's global generator is left as it was.
    verbose : int or None, default=None
        For bare modules: whether to print a line per epoch.

    Notes
    -----
    The network is trained on targets that are centred (by the baseline, extensively) and scaled
    so that contributions are about 1; the loss is that of totals in units of their spread.
    ``tile_model_.predict`` scales back.

    A skorch net holds back a fifth of the data by default (its `train_split`); bare modules use
    it all.

    Examples
    --------
    >>> from torch import nn
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.summing import GradientSumFit
    >>> X, y = make_ising(1000, (8, 8), random_state=0, return_X_y=True)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(9, 32), nn.SiLU(), nn.Linear(32, 1))
    >>> fit = GradientSumFit(max_epochs=100, lr=1e-2)
    >>> model = EDNNRegressor(net, GridTiling(focus=1, context=1), summing=fit, random_state=0)
    >>> model = model.fit(X, y)
    >>> large = make_ising(5, (32, 32), n_sweeps=100, random_state=1)
    >>> bool(model.score(large.fields, large.energies) > 0.99)
    True
    """

    _parameter_constraints = {
        "loss": [StrOptions(set(_LOSSES)), None],
        "positive": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose", None],
    }

    def __init__(
        self,
        loss=None,
        *,
        positive=False,
        max_epochs=100,
        lr=3e-3,
        batch_size=32,
        device="cpu",
        random_state=None,
        verbose=None,
    ):
        self.loss = loss
        self.positive = positive
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def suits(self, terms) -> bool:
        """Tell whether all terms end in networks of one kind."""
        finals = [last_step(term.tile_model) for term in terms]
        return all(is_torch(final) for final in finals) or all(
            isinstance(final, MLPRegressor) for final in finals
        )

    def fit(self, problem: SumProblem) -> list[TileModel]:
        """Fit the terms; see `AbstractSumFit.fit`."""
        self._validate_params()
        self._require_suited(problem.terms)
        if len(problem.terms) > 1:
            raise TileModelError(
                "Several networks are fitted as one: put them into one module that adds their "
                "outputs, and use one term."
            )
        (term,) = problem.terms
        final = last_step(term.tile_model)
        positive = self.positive or self.loss == "poisson"
        if positive or getattr(final, "loss", None) == "poisson":
            _require_counts(problem, self if positive else final)
        start = None if problem.start is None else problem.start[0]
        scale, share = _units(problem, positive)
        scale = scale if start is None else start.scale
        own = problem.random_state if self.random_state is None else self.random_state
        random_state = check_random_state(own)
        if isinstance(final, MLPRegressor):
            if self.loss is not None or self.positive:
                raise TileModelError(
                    "loss and positive are for torch networks; an MLPRegressor has its own `loss`."
                )
            return [fit_perceptron(problem, scale, share, random_state)]
        return [self._fit_network(problem, term, positive, start, (scale, share), random_state)]

    def _fit_network(self, problem, term, positive, start, units, random_state) -> TileModel:
        scale, share = units
        features = TileFeatures(term, problem.fields)
        has_channels = getattr(term.tiling, "channel_axis", None) is not None
        in_pipeline = features.final is not term.tile_model
        tiles = term.tiling.tiles(problem.fields).condensed()
        shape = tiles.tile_shape
        if in_pipeline:
            shape = features(tiles.array(np.arange(1))).shape[1:]

        def prepare(array):
            if in_pipeline:
                return torch.tensor(features(array), dtype=torch.float32)
            return network_input(array, has_channels)

        seed = int(random_state.randint(np.iinfo(np.int32).max))
        net = self._as_net(features.final, problem, shape, has_channels and not in_pipeline)
        devices = list(range(torch.cuda.device_count())) if "cuda" in str(net.device) else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            batch_size = len(problem.y) if net.batch_size == -1 else net.batch_size
            y = problem.y / scale * share
            sums = TileSums(tiles, prepare, y, problem.sample_weight, batch_size)
            net = _train(net, sums, problem.groups, start, positive, share)
        return NetworkTileModel(
            estimator=features.assemble(net),
            tile_shape=tiles.tile_shape,
            n_outputs=problem.n_outputs,
            has_channels=has_channels,
            scale=scale,
            positive=positive,
        )

    def _as_net(self, given, problem, shape, has_channels) -> NeuralNet:
        if isinstance(given, NeuralNet):
            net = given
        else:
            net = NeuralNetRegressor(
                given,
                optimizer=torch.optim.Adam,
                optimizer__fused=True,
                lr=self.lr,
                max_epochs=self.max_epochs,
                batch_size=self.batch_size,
                device=self.device,
                train_split=None,
                iterator_train__shuffle=True,
                callbacks=[self._schedule(len(problem.y))],
                verbose=problem.verbose if self.verbose is None else self.verbose,
            )
        if self.loss is not None:
            net.set_params(criterion=_LOSSES[self.loss])
            if self.loss == "poisson":
                net.set_params(criterion__log_input=False)
        if inspect.isclass(net.module):
            window = shape[:-1] if has_channels else shape
            known = {
                "tile_shape": tuple(window),
                "n_channels": shape[-1] if has_channels else 1,
                "n_outputs": problem.n_outputs,
            }
            takes = inspect.signature(net.module).parameters
            already = net.get_params(deep=False)
            net.set_params(
                **{
                    f"module__{name}": value
                    for name, value in known.items()
                    if name in takes and f"module__{name}" not in already
                }
            )
        return net

    def _schedule(self, n_samples) -> LRScheduler:
        # One cycle of the learning rate, up and down, with the whole training as its length.
        n_steps = self.max_epochs * -(-n_samples // self.batch_size)
        return LRScheduler(
            torch.optim.lr_scheduler.OneCycleLR,
            max_lr=self.lr,
            total_steps=n_steps + 1,
            step_every="batch",
        )


def _require_counts(problem, asks):
    if problem.baseline is not None:
        raise TileModelError(
            f"{asks!r} keeps contributions positive, which a baseline would undo: set "
            f"baseline=None in the estimator, got {problem.baseline!r}."
        )
    if (problem.y < 0).any():
        raise TileModelError(
            f"{asks!r} models counts, y must not be negative: its least value is {problem.y.min()}."
        )


def _units(problem, positive) -> tuple[np.ndarray, float]:
    """Return the unit in which a network's outputs are about 1, and its share in that of totals.

    Independent contributions of unit spread make a total of spread sqrt(n_tiles), positive ones a
    total of n_tiles. Totals enter the loss in units of their own spread, so that learning rates and
    penalties mean what they mean for one tile a sample.
    """
    weight = problem.sample_weight
    n_tiles = np.average(problem.terms[0].tiling.counts(problem.fields), weights=weight)
    spread = np.sqrt(np.average(problem.y**2, axis=0, weights=weight))
    share = float(1 / n_tiles if positive else 1 / np.sqrt(n_tiles))
    return np.where(spread > 0, spread, 1.0) * share, share


def _train(net: NeuralNet, sums: TileSums, groups, start, positive, share) -> NeuralNet:
    """Train a net on sums; the same object comes back, of the class it had."""
    kind = type(net)
    net.__class__ = type(kind.__name__, (_SummingNet, kind), {})
    net._groups, net._positive, net._share = groups, positive, share
    try:
        net.initialize()
        if start is not None:
            _go_on(net, start)
        net.partial_fit(sums, None)
    finally:
        net.__class__ = kind
        del net._groups, net._positive, net._share
    return net


def _go_on(net, start):
    """Take over weights, optimizer state and history of an earlier fit."""
    earlier = last_step(start.estimator)
    if not isinstance(earlier, NeuralNet):
        raise TileModelError(
            f"Networks go on from networks, got {type(earlier).__name__}. Set warm_start=False to "
            "fit anew."
        )
    net.module_.load_state_dict(earlier.module_.state_dict())
    if type(net.optimizer_) is type(earlier.optimizer_):
        state = earlier.optimizer_.state_dict()
        net.optimizer_.load_state_dict(
            {**state, "param_groups": net.optimizer_.state_dict()["param_groups"]}
        )
    net.history_ = earlier.history_


class _SummingNet:
    """What a net must do differently while it is trained on sums."""

    def infer(self, x, **fit_params):
        batch = x.to(self.device)
        parts = [batch.tiles]
        if not any(isinstance(layer, _MIXING) for layer in self.module_.modules()):
            n_inputs = max(1, batch.tiles[0].numel())
            parts = batch.tiles.split(min(max(_PART_NUMBERS // n_inputs, 256), 4096))
        outs = [super(_SummingNet, self).infer(part, **fit_params) for part in parts]
        outs = [out[0] if isinstance(out, tuple) else out for out in outs]
        out = outs[0] if len(outs) == 1 else torch.cat(outs)
        out = out[:, None] if out.ndim == 1 else out
        if out.ndim != 2 or len(out) != len(batch.tiles):
            raise TileModelError(
                "The network must return one row of outputs per tile: for input of shape "
                f"{tuple(batch.tiles.shape)} it returned {tuple(out.shape)}."
            )
        return self._share * batch.total(nn.functional.softplus(out) if self._positive else out)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        if y_pred.shape != y_true.shape:
            raise TileModelError(
                f"The network returns {y_pred.shape[1]} output(s) per tile, y has "
                f"{y_true.shape[1]} column(s)."
            )
        if X is None or X.weights is None:
            loss = super().get_loss(y_pred, y_true, X=X, training=training)
        else:
            loss = self._weighted_loss(y_pred, y_true, X, training)
        if training and not torch.isfinite(loss):
            epoch = len(self.history)
            raise TileModelError(
                f"The loss became {loss.item()} in epoch {epoch}. Lower the learning rate, clip "
                "gradients (skorch.callbacks.GradientNormClipping), or scale the fields."
            )
        return loss

    def _weighted_loss(self, y_pred, y_true, X, training):
        criterion = self.criterion_
        if getattr(criterion, "reduction", None) != "mean":
            raise TileModelError(
                f"sample_weight needs a criterion that averages over samples (reduction='mean'), "
                f"got {criterion}."
            )
        criterion.reduction = "none"
        try:
            losses = super().get_loss(y_pred, y_true, X=X, training=training)
        finally:
            criterion.reduction = "mean"
        weights = X.weights.to(losses.device)
        return (losses * weights).sum() / (weights.sum() * losses.shape[1])

    def get_iterator(self, dataset, training=False):
        settings = dict(self.get_params_for("iterator_train" if training else "iterator_valid"))
        size = settings.pop("batch_size", self.batch_size)
        size = len(dataset) if size == -1 else size
        drop_last = settings.pop("drop_last", False)
        shuffle = settings.pop("shuffle", False)
        sampler = settings.pop("sampler", None)
        if sampler is None:
            batches = _Order(len(dataset), size, shuffle, drop_last, settings.get("generator"))
        else:
            batches = BatchSampler(sampler, size, drop_last)
        # A batch is made in one piece, from its samples' numbers: their tiles are merged.
        return DataLoader(_Batches(dataset), sampler=batches, batch_size=None, **settings)

    def get_split_datasets(self, X, y=None, **fit_params):
        split = self.train_split
        if self._groups is not None and isinstance(split, ValidSplit):
            cv = split.cv
            if isinstance(cv, Integral):
                split = ValidSplit(GroupKFold(cv))
            elif isinstance(cv, Real):
                seed = split.random_state
                split = ValidSplit(GroupShuffleSplit(1, test_size=cv, random_state=seed))
            train, valid = split(X, y, groups=self._groups)
            return train, valid
        return super().get_split_datasets(X, y, **fit_params)


class _Order:
    """The samples of each batch, as arrays: torch's own samplers go through lists of integers."""

    def __init__(self, n_samples, batch_size, shuffle, drop_last, generator):
        self.n_samples, self.batch_size = n_samples, batch_size
        self.shuffle, self.drop_last, self.generator = shuffle, drop_last, generator

    def __len__(self):
        whole, rest = divmod(self.n_samples, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self):
        order = np.arange(self.n_samples)
        if self.shuffle:
            order = torch.randperm(self.n_samples, generator=self.generator).numpy()
        for index in range(len(self)):
            yield order[index * self.batch_size : (index + 1) * self.batch_size]


class _Batches(torch.utils.data.Dataset):
    """Look through a subset made by a split, so that whole batches can be asked for."""

    def __init__(self, dataset):
        self.sums, self.indices = dataset, None
        while isinstance(self.sums, torch.utils.data.Subset):
            chosen = np.asarray(self.sums.indices)
            self.indices = chosen if self.indices is None else chosen[self.indices]
            self.sums = self.sums.dataset

    def __len__(self):
        return len(self.sums) if self.indices is None else len(self.indices)

    def __getitem__(self, samples):
        samples = np.asarray(samples)
        return self.sums[samples if self.indices is None else self.indices[samples]]
