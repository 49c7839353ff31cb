"""Networks: the gradient of the loss of the sums, by automatic differentiation.

skorch trains, see `_training`. Here stands what is to be trained, on what, and in which units.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from skorch import NeuralNet
from torch import nn

from .._utils.stored import stored
from ..exceptions import TileModelError
from ..networks import NetworkTileModel
from ..networks._layout import plain_module
from ..networks._over_fields import FORMS
from ..networks._trial import precision_of, require_real
from ..tile_models._base import is_torch
from ._base import AbstractSolver, SumProblem, last_step
from ._batches import batches_of_one, batches_of_several, example_tiles, try_out
from ._checkpoint import Checkpoint, file_of, training_digest
from ._divergence import warn_of_divergence, warn_of_summed_losses
from ._features import TileFeatures
from ._perceptron import fit_perceptron
from ._skorch import (
    LOSSES,
    SCHEDULES,
    bare_net,
    callbacks_explained,
    counts_are_modelled,
    module_of,
    require_device,
    told_of_input,
    warn_of_warm_start,
    with_loss,
)
from ._training import Training, go_on, has_own_infer, solver_class

PRECISIONS = ("auto", "float32", "bfloat16", "float64")


@stored("GradientSolver", former=("GradientSumFit",), functions=("gradient_weight", "symmetries"))
class GradientSolver(AbstractSolver):
    """Fit networks to sums by gradient descent on the loss of the totals.

    Takes a skorch `NeuralNetRegressor` (its optimizer, callbacks, batch size and all other
    settings are used), a `torch.nn.Module` or its class, or scikit-learn's `MLPRegressor` (whose
    hyperparameters are used, and which comes back with its ``coefs_``). Where tiles repeat, each
    distinct one is evaluated once per batch.

    A module whose ``__init__`` takes `tile_shape`, `focus`, `n_channels` or `n_outputs` is given
    them, so that a search over focus and context needs nothing else.

    Several terms, each a bare module with a tiling of its own, are trained as one network: such as
    one that sees a small window finely and one that sees a large window pooled.

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
        Largest learning rate of Adam, for bare modules.
    schedule : {"one_cycle", "cosine", "constant"}, default="one_cycle"
        How the learning rate changes over the training of a bare module: up to `lr` and down to
        nothing, from `lr` down, or not.
    batch_size : int, default=32
        Samples of a batch, for bare modules.
    max_norm : float or None, default=None
        Largest norm of the gradient of the loss, for bare modules; longer ones are shortened.
    early_stopping : bool or int, default=False
        Whether to hold back `validation_fraction` of the samples, to stop when the loss on them
        has not fallen for so many epochs (True for 10), and to keep the weights of the best
        epoch. For bare modules.
    validation_fraction : float, default=0.1
        Samples of one group (see `EDNNRegressor.fit`) stay together.
    device : str, default="cpu"
        For bare modules: "auto" is the first CUDA device, or the CPU where there is none.
    precision : {"auto", "float32", "bfloat16", "float64"}, default="auto"
        Precision of the network. "auto" keeps that of its weights: float32, or float64 after
        ``.double()``. With "bfloat16" weights and sums stay in float32.
    standardize : bool, default=True
        Give networks fields of mean 0 and variance 1: with a channel axis each channel by itself,
        over all sites of the training fields. Mean and scale belong to the fitted tile model.
        Networks that take numbers for labels (``nn.Embedding``, ``one_hot``; anything that rounds
        its input, turns it into integers or compares it for equality) get the fields as they are,
        and so do those that put it into functions with constants of their own before any layer that
        learns (``x > 1.5``, ``cos``, ``log``, ``abs``), and networks behind the transformers of a
        Pipeline. Networks that begin with an activation or a product get standardised fields, and a
        warning.
    form : {"auto", "dense", "tiled"}, default="auto"
        Whether to run the network over whole fields, where `sk_ednn.networks.as_convolution` can,
        or over tiles. "auto" takes the cheaper, "dense" raises where it is not exact.
    compile : bool or dict, default=False
        Whether to train through what `torch.compile` makes of a bare module, or of its dense form;
        or its options, such as ``{"mode": "reduce-overhead"}`` for CUDA graphs. A skorch net has
        its own. The fitted network is the plain one.
    max_bytes : int, default=2**30
        What layers may hold between the forward and the backward pass; beyond it, they are
        computed again.
    symmetries : sequence of {"shift", "reflect", "rotate"}, or function, default=None
        What totals do not change under, drawn anew for every batch; see
        `sk_ednn.networks.RandomSymmetry`. A function takes and returns a Tensor of fields
        (n, n_channels, *grid), as they are in the data, in float64.
    gradient_weight : float or function, default=1.0
        Weight of the loss of gradients, where `fit` was given any, relative to that of totals,
        each in units of its spread; or a function of the epoch, counted from 0.
    checkpoint : str or Path, default=None
        File that the training is saved to after every epoch, and taken up from if it exists. Or a
        folder, there already or ending in a separator: each training has a file of its own in it,
        so that a `GridSearchCV` that was killed goes on where it was.
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
    it all unless they stop early.

    Where tiles repeat, each distinct one is evaluated once for a batch. Where they do not and the
    network has an exact dense form that saves work, no context is computed twice.

    A training that is killed and called again with the same `checkpoint`, data and `random_state`
    gives, on the CPU, the same weights to the last bit as one that was not. The file of a
    training that has ended is taken as it is.

    Examples
    --------
    >>> from torch import nn
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.solvers import GradientSolver
    >>> X, y = make_ising(1000, (8, 8), random_state=0, return_X_y=True)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(9, 32), nn.SiLU(), nn.Linear(32, 1))
    >>> fit = GradientSolver(max_epochs=100, lr=1e-2)
    >>> model = EDNNRegressor(net, GridTiling(focus=1, context=1), solver=fit, random_state=0)
    >>> model = model.fit(X, y)
    >>> large = make_ising(5, (32, 32), n_sweeps=100, random_state=1)
    >>> bool(model.score(large.fields, large.energies) > 0.99)
    True
    """

    _parameter_constraints = {
        "loss": [StrOptions(set(LOSSES)), None],
        "positive": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions(set(SCHEDULES))],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "early_stopping": ["boolean", Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "device": [str],
        "precision": [StrOptions(set(PRECISIONS))],
        "standardize": ["boolean"],
        "form": [StrOptions(set(FORMS))],
        "compile": ["boolean", dict],
        "max_bytes": [Interval(Real, 1, None, closed="left")],
        "symmetries": ["array-like", str, callable, None],
        "gradient_weight": [Interval(Real, 0, None, closed="left"), callable],
        "checkpoint": [str, Path, None],
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
        schedule="one_cycle",
        batch_size=32,
        max_norm=None,
        early_stopping=False,
        validation_fraction=0.1,
        device="cpu",
        precision="auto",
        standardize=True,
        form="auto",
        compile=False,
        max_bytes=2**30,
        symmetries=None,
        gradient_weight=1.0,
        checkpoint=None,
        random_state=None,
        verbose=None,
    ):
        self.loss = loss
        self.positive = positive
        self.max_epochs = max_epochs
        self.lr = lr
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_norm = max_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.device = device
        self.precision = precision
        self.standardize = standardize
        self.form = form
        self.compile = compile
        self.max_bytes = max_bytes
        self.symmetries = symmetries
        self.gradient_weight = gradient_weight
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    learns_gradients = True

    def suits(self, terms) -> bool:
        """Tell whether all terms end in networks of one kind."""
        finals = [last_step(term.tile_model) for term in terms]
        return all(is_torch(final) for final in finals) or all(
            isinstance(final, MLPRegressor) for final in finals
        )

    def fit(self, problem: SumProblem) -> list:
        """Fit the terms; see `AbstractSolver.fit`."""
        self._validate_params()
        self._require_suited(problem.terms)
        finals = [last_step(term.tile_model) for term in problem.terms]
        final = finals[0]
        positive = self.positive or self.loss == "poisson"
        asks = repr(self)
        if isinstance(final, NeuralNet):
            warn_of_warm_start(final)
            if self.loss is None and counts_are_modelled(final):
                positive, asks = True, f"PoissonNLLLoss of {type(final).__name__}"
        of_perceptron = getattr(final, "loss", None) == "poisson"  # since scikit-learn 1.7
        if of_perceptron:
            asks = repr(final)
        if positive or of_perceptron:
            _require_counts(problem, asks)
        scale, share = _units(problem, positive)
        scale = scale if problem.start is None else problem.start[0].scale
        own = problem.random_state if self.random_state is None else self.random_state
        random_state = check_random_state(own)
        if len(finals) > 1:
            return self._fit_branches(problem, positive, (scale, share), random_state)
        (term,) = problem.terms
        if isinstance(final, MLPRegressor):
            if self.loss is not None or self.positive or problem.gradient is not None:
                raise TileModelError(
                    "loss, positive and gradients are for torch networks; an MLPRegressor has its "
                    "own `loss`, of totals alone."
                )
            return [fit_perceptron(problem, scale, share, random_state, self.standardize)]
        return [self._fit_network(problem, term, positive, (scale, share), random_state)]

    def _fit_network(self, problem, term, positive, units, random_state) -> NetworkTileModel:
        scale, _ = units
        features = TileFeatures(term, problem.systems)
        in_pipeline = features.final is not term.tile_model
        has_channels = term.tiling.has_channels
        tile_shape = problem.tile_shape(term)
        shape = tile_shape
        if in_pipeline:
            shape = features(np.zeros((1, *tile_shape))).shape[1:]
        with _seeded(random_state):
            net = self._as_net(
                features.final, problem, term, shape, None if in_pipeline else has_channels
            )
            how = self._train(net, problem, positive, units, features if in_pipeline else None)
        return self._tile_model(problem, 0, features.assemble(net), scale, how)

    def _fit_branches(self, problem, positive, units, random_state) -> list:
        """Fit several bare modules as one network, whose output is their sum."""
        scale, _ = units
        for term in problem.terms:
            if isinstance(term.tile_model, NeuralNet) or not is_torch(term.tile_model):
                raise TileModelError(
                    f"Several networks are trained as one, with the settings of GradientSolver: "
                    f"give torch modules or their classes, got {type(term.tile_model).__name__} "
                    f"for term {term.name!r}."
                )
        with _seeded(random_state):
            modules = [self._module(problem, term) for term in problem.terms]
            net = with_loss(self._bare(nn.ModuleList(modules), problem), self.loss)
            how = self._train(net, problem, positive, units)
        tile_models: list = []
        for number, module in enumerate(net.module_):
            branch = copy.copy(net)
            branch.module_ = module
            tile_models.append(self._tile_model(problem, number, branch, scale, how))
        return tile_models

    def _module(self, problem, term) -> nn.Module:
        tiling, shape = term.tiling, problem.tile_shape(term)
        has_channels = tiling.has_channels
        return module_of(term.tile_model, tiling, shape, shape, has_channels, problem.n_outputs)

    def _tile_model(self, problem, number, estimator, scale, how) -> NetworkTileModel:
        term = problem.terms[number]
        return NetworkTileModel(
            estimator=estimator,
            tile_shape=problem.tile_shape(term),
            n_outputs=problem.n_outputs,
            has_channels=term.tiling.has_channels,
            scale=scale,
            positive=how.positive,
            precision=how.precision,
            standardization=how.standardizations[number],
        )

    def _train(self, net, problem, positive, units, features=None) -> Training:
        """Train a net in place; return how it was trained."""
        kind = type(net)
        if has_own_infer(kind) and self.form == "dense":
            raise TileModelError(
                f"{kind.__name__} calls its module in a way of its own (`infer`), which must be "
                "given tiles: leave form at 'auto'."
            )
        require_device(net.device)
        scale, share = units
        how = Training(
            share,
            positive=positive,
            examples=[example_tiles(problem, term, features) for term in problem.terms],
            form="tiled" if has_own_infer(kind) else self.form,
            groups=problem.groups,
            max_bytes=self.max_bytes,
        )
        net.__class__, net.solver_ = solver_class(kind), how
        try:
            net.initialize()
            warn_of_summed_losses(net)
            how.precision = self._precision(net, problem.start)
            net.module_.to(how.dtype)
            if problem.start is not None:
                go_on(net, problem.start)
            how.standardizations = try_out(self, net, problem, features)
            if len(problem.terms) == 1:
                sums = batches_of_one(self, net, problem, features, scale)
            else:
                sums = batches_of_several(self, net, problem, scale)
            epochs = net.max_epochs
            if self.checkpoint is not None:
                checkpoint = self._checkpoint(net, problem, how)
                epochs = checkpoint.found(epochs)
                net.callbacks_.append(("checkpoint", checkpoint))
            if epochs > 0:
                with callbacks_explained(net):
                    net.partial_fit(sums, None, epochs=epochs)
            else:
                net.notify("on_train_begin", X=sums, y=None)
            warn_of_divergence(net, sums)
        finally:
            if isinstance(dict(getattr(net, "callbacks_", ())).get("checkpoint"), Checkpoint):
                net.callbacks_.pop()[1].close()
            # What torch.compile makes of a module cannot be pickled, copied or traced.
            if hasattr(net, "module_"):
                net.module_ = plain_module(net.module_)
            net.__class__ = kind
            del net.solver_
        return how

    def _precision(self, net, start) -> str:
        """Return the precision of a training: as asked for, as before, or that of the weights."""
        if self.precision != "auto":
            require_real(net.module_)
            return self.precision
        if start is not None and hasattr(start[0], "precision"):
            return start[0].precision
        return precision_of(net.module_)

    def _checkpoint(self, net, problem, how) -> Checkpoint:
        inputs = [
            None if each is None else (each.mean.tolist(), each.scale.tolist())
            for each in how.standardizations
        ]
        digest = training_digest(net, problem, (how.precision, self.loss, how.positive, inputs))
        settings = {**self.get_params(), "checkpoint": None, "random_state": None, "verbose": None}
        if self.random_state is not None or problem.random_state is not np.random.mtrand._rand:
            settings["random_state"] = torch.initial_seed()  # of this training, see `_seeded`
        of_net = {**net.get_params(deep=False), "verbose": None}
        return Checkpoint(
            file_of(self.checkpoint, digest, settings, of_net), digest, len(net.history)
        )

    def _as_net(self, given, problem, term, shape, has_channels) -> NeuralNet:
        net = given if isinstance(given, NeuralNet) else self._bare(given, problem)
        return told_of_input(
            with_loss(net, self.loss),
            term.tiling, problem.tile_shape(term), shape, has_channels, problem.n_outputs,
        )  # fmt: skip

    def _bare(self, module, problem) -> NeuralNet:
        """Return a net that trains a module as the parameters say."""
        return bare_net(self, module, problem)


@contextmanager
def _seeded(random_state):
    """Seed torch's global generators for what is done within, and put them back."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(random_state.randint(np.iinfo(np.int32).max)))
        yield


def _require_counts(problem, asks):
    if problem.baseline is not None:
        raise TileModelError(
            f"{asks} keeps contributions positive, which a baseline would undo: set "
            f"baseline=None in the estimator, got {problem.baseline.kind!r}."
        )
    if (problem.y < 0).any():
        raise TileModelError(
            f"{asks} models counts, y must not be negative: its least value is {problem.y.min()}."
        )


def _units(problem, positive) -> tuple[np.ndarray, float]:
    """Return the unit in which a network's outputs are about 1, and its share in that of totals.

    Independent contributions of unit spread make a total of spread sqrt(n_tiles), positive ones a
    total of n_tiles. Totals enter the loss in units of their own spread, so that learning rates and
    penalties mean what they mean for one tile a sample.
    """
    weight = problem.sample_weight
    n_tiles = np.average(problem.counts().sum(axis=1), weights=weight)
    spread = np.sqrt(np.average(problem.y**2, axis=0, weights=weight))
    share = float(1 / n_tiles if positive else 1 / np.sqrt(n_tiles))
    return np.where(spread > 0, spread, 1.0) * share, share
