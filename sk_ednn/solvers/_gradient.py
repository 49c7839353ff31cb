"""Networks: gradient descent on the loss of the sums, by automatic differentiation.

This module defines the parameters and the units; `_networks` builds and fits the networks, and
`_training` makes skorch train them on sums.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.utils._param_validation import Interval, StrOptions
from skorch import NeuralNet

from .._utils.stored import stored
from ..exceptions import TileModelError
from ..networks._over_fields import FORMS
from ..tile_models._base import is_torch
from ._base import AbstractSolver, last_step
from ._network_loss import LOSSES, models_counts
from ._networks import fit_branches, fit_network
from ._perceptron import fit_perceptron
from ._problem import SumProblem
from ._skorch import SCHEDULES, warn_of_warm_start
from ._training import Training

PRECISIONS = ("auto", "float32", "bfloat16", "float64")


@stored(
    "GradientSolver",
    former=("GradientSumFit",),
    functions=("callback", "gradient_weight", "symmetries"),
)
class GradientSolver(AbstractSolver):
    """Fit networks to sums by gradient descent on the loss of the totals.

    The tile model is a skorch `NeuralNetRegressor` (with its optimizer, callbacks, batch size and
    all other parameters), a `torch.nn.Module` or its class, or scikit-learn's `MLPRegressor` (with
    its hyperparameters; the fitted model has ``coefs_``).

    A module class whose ``__init__`` has parameters `tile_shape`, `focus`, `n_channels` or
    `n_outputs` is instantiated with these, so that a search over focus and context needs no
    further code.

    Several terms, each a bare module with a tiling, are trained as one network. For example, one
    term sees a small window in detail and another a large window pooled.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "poisson"} or None, default=None
        Loss of predicted and true totals. None uses the criterion of the skorch net, and squared
        error for bare modules. "poisson" is for counts: contributions are then positive, and the
        estimator's `baseline` must be None.
    positive : bool, default=False
        Whether to make contributions positive by a softplus after the network. This also requires
        ``baseline=None``.
    max_epochs : int, default=100
        Number of epochs, for bare modules. A skorch net has its own parameter.
    lr : float, default=3e-3
        Maximum learning rate of Adam, for bare modules.
    schedule : {"one_cycle", "cosine", "constant"}, default="one_cycle"
        Learning rate schedule for bare modules: up to `lr` and down to 0, down from `lr` to 0, or
        constant.
    batch_size : int, default=32
        Samples per batch, for bare modules.
    max_norm : float or None, default=None
        Maximum norm of the gradient of the loss, for bare modules. Larger gradients are clipped.
    early_stopping : bool or int, default=False
        Whether to hold out `validation_fraction` of the samples, to stop when the loss on them
        has not decreased for this number of epochs (True means 10), and to keep the weights of
        the best epoch. For bare modules.
    validation_fraction : float, default=0.1
        Fraction of the samples held out. Samples of a group (see `EDNNRegressor.fit`) stay
        together.
    device : str, default="cpu"
        Device of bare modules. "auto" is the first CUDA device if there is one, else the CPU.
    precision : {"auto", "float32", "bfloat16", "float64"}, default="auto"
        Precision of the network. "auto" keeps that of its weights: float32, or float64 after
        ``.double()``. With "bfloat16", weights and sums remain in float32.
    standardize : bool, default=True
        Whether networks see fields of mean 0 and variance 1, standardised per channel over all
        sites of the training fields. Mean and scale are part of the fitted tile model. Three kinds
        of networks see unscaled fields: those that treat numbers as labels (``nn.Embedding``,
        ``one_hot``, or any rounding, conversion to integers or test for equality); those that
        apply functions with fixed constants before the first learned layer (``x > 1.5``, ``cos``,
        ``log``, ``abs``); and those behind the transformers of a Pipeline. Networks that start
        with an activation or a product see standardised fields, and a warning is issued.
    form : {"auto", "dense", "tiled"}, default="auto"
        Whether to run the network over whole fields, if `sk_ednn.networks.as_convolution`
        supports it, or over tiles. "auto" takes the cheaper form; "dense" raises if the dense form
        is not exact.
    compile : bool or dict, default=False
        Whether to train a bare module, or its dense form, with `torch.compile`; or the options of
        `torch.compile`, such as ``{"mode": "reduce-overhead"}`` for CUDA graphs. A skorch net has
        its own parameter. The fitted network is not compiled.
    max_bytes : int, default=2**30
        Maximum memory of layer outputs between the forward and the backward pass. Outputs beyond
        it are recomputed.
    symmetries : sequence of {"shift", "reflect", "rotate"}, or function, default=None
        Symmetries of the totals for data augmentation, drawn for every batch; see
        `sk_ednn.networks.RandomSymmetry`. A function takes and returns a Tensor of unscaled
        fields (n, n_channels, *grid) in float64.
    gradient_weight : float or function, default=1.0
        Weight of the loss of gradients, if passed to `fit`, relative to that of totals, each in
        units of its spread; or a function of the epoch, counted from 0.
    checkpoint : str or Path, default=None
        File to which the training is saved after every epoch, and from which it resumes if the
        file exists. Or a folder, which exists or whose name ends in a separator: each training
        then has a file in it, so that an interrupted `GridSearchCV` can resume.
    callback : callable, default=None
        Called after each epoch with a dict: ``epoch`` (from 1), ``train_loss``, ``valid_loss`` if
        samples are held out, ``learning_rate`` and ``seconds``. Returning True ends the training,
        and keeps the weights of the best epoch.
    random_state : int, RandomState or None, default=None
        Seed of weights and batches. The global generator of torch is not changed.
    verbose : int or None, default=None
        Verbosity of bare modules: 1 shows a progress bar, 2 prints a line per epoch.

    Notes
    -----
    The network is trained on targets that are centred (extensively, by the baseline) and scaled so
    that contributions are about 1. The loss is that of totals in units of their spread.
    ``tile_model_.predict`` undoes the scaling.

    A skorch net by default holds out a fifth of the data (its `train_split`). Bare modules use all
    data unless `early_stopping` is set.

    If tiles repeat, each distinct tile is evaluated once per batch. If they do not, and the network
    has an exact dense form that saves work, no context is computed twice.

    On the CPU, a training that was killed and restarted with the same `checkpoint`, data and
    `random_state` gives bitwise the same weights as an uninterrupted one. If the file is that of a
    completed training, its result is returned.

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
        "callback": [callable, None],
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
        callback=None,
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
        self.callback = callback
        self.random_state = random_state
        self.verbose = verbose

    learns_gradients = True
    reweights = True

    def suits(self, terms) -> bool:
        """Return True if all terms end in networks of one kind."""
        finals = [last_step(term.tile_model) for term in terms]
        return all(is_torch(final) for final in finals) or all(
            isinstance(final, MLPRegressor) for final in finals
        )

    def fit(self, problem: SumProblem) -> list:
        """Fit the terms; see `AbstractSolver.fit`."""
        self._validate_params()
        self._require_suited(problem.terms)
        estimators = [last_step(term.tile_model) for term in problem.terms]
        positive = self._is_positive(estimators[0], problem)
        scale, share = _units(problem, positive)
        scale = scale if problem.start is None else problem.start[0].scale
        if problem.loss_weights is not None and problem.sample_weight is None:
            problem = replace(problem, sample_weight=np.ones(len(problem.y)))
        rng = problem.rng(self.random_state)
        if isinstance(estimators[0], MLPRegressor) and len(estimators) == 1:
            if self.loss is not None or self.positive or problem.gradient is not None:
                raise TileModelError(
                    "loss, positive and gradients apply to torch networks only. An MLPRegressor "
                    "has the parameter `loss`, of totals."
                )
            if problem.loss_weights is not None:
                raise TileModelError(
                    "LossWeights apply to torch networks, and to models that are fitted at once; "
                    "an MLPRegressor is neither. Use a torch network."
                )
            return [fit_perceptron(problem, scale, share, rng, self.standardize)]
        training = Training(
            share, positive=positive, groups=problem.groups, max_bytes=self.max_bytes
        )
        if len(estimators) > 1:
            return fit_branches(self, problem, scale, training, rng)
        return [fit_network(self, problem, scale, training, rng)]

    def _is_positive(self, estimator, problem) -> bool:
        """Return whether contributions must be positive; check that the data allow it."""
        positive, origin = self.positive or self.loss == "poisson", repr(self)
        if isinstance(estimator, NeuralNet):
            warn_of_warm_start(estimator)
            if self.loss is None and models_counts(estimator):
                positive, origin = True, f"PoissonNLLLoss of {type(estimator).__name__}"
        counts = getattr(estimator, "loss", None) == "poisson"  # since scikit-learn 1.7
        if counts:
            origin = repr(estimator)
        if positive or counts:
            _require_counts(problem, origin)
        return positive


def _require_counts(problem, origin):
    if problem.baseline is not None:
        raise TileModelError(
            f"{origin} makes contributions positive, which a baseline would undo. Set "
            f"baseline=None in the estimator, got {problem.baseline.kind!r}."
        )
    if (problem.y < 0).any():
        raise TileModelError(
            f"{origin} models counts, so y must not be negative; its minimum is {problem.y.min()}."
        )


def _units(problem, positive) -> tuple[np.ndarray, float]:
    """Return the unit in which a network's outputs are about 1, and its ratio to that of totals.

    The sum of independent contributions of unit spread has spread sqrt(n_tiles); that of positive
    contributions is about n_tiles. Totals enter the loss in units of their spread, so that
    learning rates and penalties have the same effect as with one tile per sample.
    """
    weight = problem.sample_weight
    n_tiles = np.average(problem.counts().sum(axis=1), weights=weight)
    spread = np.sqrt(np.average(problem.y**2, axis=0, weights=weight))
    share = float(1 / n_tiles if positive else 1 / np.sqrt(n_tiles))
    return np.where(spread > 0, spread, 1.0) * share, share
