"""The fit of one network, or of several networks that are trained as one."""

from __future__ import annotations

import copy

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from ..exceptions import TileModelError
from ..networks import NetworkTileModel
from ..networks._seeding import seeded
from ..networks._trial import precision_of, require_real
from ..tile_models._base import is_torch
from ._batches import batches_of_one, batches_of_several, example_tiles, input_standardizations
from ._best_epoch import keep_best
from ._checkpoint import Checkpoint, file_of, saving, training_digest
from ._divergence import warn_of_divergence, warn_of_summed_losses
from ._features import TileFeatures
from ._network_loss import with_loss
from ._reporting import reporting_to
from ._reweighting import reweighting
from ._skorch import (
    bare_net,
    instantiated,
    require_device,
    translated_callback_errors,
    with_input_shape,
)
from ._training import Training, overrides_infer, resume, trained_on_sums


def fit_network(settings, problem, scale, training, random_state) -> NetworkTileModel:
    """Fit the network of a single term.

    Parameters
    ----------
    settings : GradientSolver
    problem : SumProblem
        With one term.
    scale : ndarray of shape (n_outputs,)
        Unit of the network's output.
    training : Training
        Completed in place.
    random_state : RandomState
    """
    (term,) = problem.terms
    features = TileFeatures(term, problem.systems)
    in_pipeline = features.final is not term.tile_model
    tile_shape = problem.tile_shape(term)
    if in_pipeline:
        shape, has_channels = features(np.zeros((1, *tile_shape))).shape[1:], None
    else:
        shape, has_channels = tile_shape, term.tiling.has_channels
    with seeded(random_state):
        net = features.final
        if not isinstance(net, NeuralNet):
            net = bare_net(settings, net, problem)
        net = with_input_shape(
            with_loss(net, settings.loss),
            term.tiling, tile_shape, shape, has_channels, problem.n_outputs,
        )  # fmt: skip
        _train(settings, net, problem, scale, training, features if in_pipeline else None)
    return _tile_model(problem, 0, features.assemble(net), scale, training)


def fit_branches(settings, problem, scale, training, random_state) -> list[NetworkTileModel]:
    """Fit the bare modules of several terms as one network, whose output is their sum.

    See `fit_network` for the parameters.
    """
    for term in problem.terms:
        if isinstance(term.tile_model, NeuralNet) or not is_torch(term.tile_model):
            raise TileModelError(
                "Several networks are trained as one, with the parameters of GradientSolver. "
                f"Pass torch modules or their classes, got {type(term.tile_model).__name__} for "
                f"term {term.name!r}."
            )
    with seeded(random_state):
        modules = []
        for term in problem.terms:
            tiling, shape = term.tiling, problem.tile_shape(term)
            input_shape = tiling, shape, shape, tiling.has_channels, problem.n_outputs
            modules.append(instantiated(term.tile_model, *input_shape))
        net = with_loss(bare_net(settings, nn.ModuleList(modules), problem), settings.loss)
        _train(settings, net, problem, scale, training)
    tile_models = []
    for number, module in enumerate(net.module_):
        branch = copy.copy(net)
        branch.module_ = module
        tile_models.append(_tile_model(problem, number, branch, scale, training))
    return tile_models


def _tile_model(problem, number, estimator, scale, training) -> NetworkTileModel:
    return problem.tile_model(
        problem.terms[number],
        estimator,
        scale,
        NetworkTileModel,
        positive=training.positive,
        precision=training.precision,
        standardization=training.standardizations[number],
    )


def _train(settings, net, problem, scale, training: Training, features=None) -> None:
    """Train a net in place and complete `training`."""
    if overrides_infer(type(net)) and settings.form == "dense":
        raise TileModelError(
            f"{type(net).__name__} overrides `infer` and must be given tiles. Leave form='auto'."
        )
    require_device(net.device)
    training.examples = [example_tiles(problem, term, features) for term in problem.terms]
    training.form = "tiled" if overrides_infer(type(net)) else settings.form
    with trained_on_sums(net, training):
        net.initialize()
        warn_of_summed_losses(net)
        training.precision = _precision(settings, net, problem.start)
        net.module_.to(training.dtype)
        if problem.start is not None:
            resume(net, problem.start)
        training.standardizations = input_standardizations(settings, net, problem, features)
        if len(problem.terms) == 1:
            sums = batches_of_one(settings, net, problem, features, scale)
        else:
            sums = batches_of_several(settings, net, problem, scale)
        with (
            reweighting(net, problem, sums),
            saving(net, _checkpoint(settings, net, problem, training)) as epochs,
            reporting_to(net, settings.callback) as report,
        ):
            if epochs > 0:
                with translated_callback_errors(net):
                    net.partial_fit(sums, None, epochs=epochs)
            else:
                net.notify("on_train_begin", X=sums, y=None)
            if report is not None and report.ended:
                keep_best(net)
            warn_of_divergence(net, sums)


def _precision(settings, net, start) -> str:
    """Return the requested precision, else that of an earlier fit, else that of the weights."""
    if settings.precision != "auto":
        require_real(net.module_)
        return settings.precision
    if start is not None and hasattr(start[0], "precision"):
        return start[0].precision
    return precision_of(net.module_)


def _checkpoint(settings, net, problem, training) -> Checkpoint | None:
    if settings.checkpoint is None:
        return None
    inputs = [
        None if standardization is None
        else (standardization.mean.tolist(), standardization.scale.tolist())
        for standardization in training.standardizations
    ]  # fmt: skip
    details = training.precision, settings.loss, training.positive, inputs
    if problem.loss_weights is not None:
        details = *details, repr(problem.loss_weights.get_params())
    digest = training_digest(net, problem, details)
    params = {**settings.get_params(), "checkpoint": None, "callback": None}
    params |= {"random_state": None, "verbose": None}
    if settings.random_state is not None or problem.random_state is not np.random.mtrand._rand:
        params["random_state"] = torch.initial_seed()  # set by `seeded`
    net_params = {**net.get_params(deep=False), "verbose": None}
    path = file_of(settings.checkpoint, digest, params, net_params)
    return Checkpoint(path, digest, len(net.history))
