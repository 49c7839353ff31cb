"""Data sets for the training of networks: sums over tiles or, if cheaper, whole fields."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch

from .._utils.steps import dense
from ..exceptions import TileModelError
from ..networks import FieldSums, RandomSymmetry, SumOfBranches, SumOverTiles, TileSums
from ..networks._layout import plain_module
from ..networks._raw_inputs import needs_raw_inputs
from ..networks._standardize import Standardization, standardization_of
from ..networks._sum import BranchSums, network_input
from ..networks._trial import require_separate
from ._skorch import compile_options
from ._target_gradients import root_mean_square, target_gradients

# Number of tiles that are inspected for repetitions.
_PROBED = 4096
# Number of tiles that a network is tried on before it is trained.
_N_EXAMPLES = 2


def example_tiles(problem, term, features=None) -> torch.Tensor:
    """Return the first tiles of a term as inputs of its network, but not standardised.

    Parameters
    ----------
    problem : SumProblem
    term : Term
    features : TileFeatures or None
        Transformers before the network.
    """
    tiles = next(iter(term.tiling.blocks(problem.systems, _N_EXAMPLES))).array()
    if features is not None:
        return torch.tensor(dense(features(tiles)), dtype=torch.float32)
    return network_input(tiles, term.tiling.has_channels)


def input_standardizations(settings, net, problem, features=None) -> list:
    """Return the standardisation of the inputs of each network.

    Each network is run on a few tiles, to find out whether it needs unscaled inputs, and to report
    errors before the training.

    Parameters
    ----------
    settings : GradientSolver
    net : NeuralNet
        Initialised, within `trained_on_sums`.
    problem : SumProblem
    features : TileFeatures or None

    Returns
    -------
    list of Standardization or None
        One for each term. A training that continues an earlier fit keeps those of that fit.
    """
    context, compiled = net.solver_, net.module_
    standardize = settings.standardize and features is None
    is_first_fit = problem.start is None
    by_axis: dict[Any, Standardization | None] = {}
    standardizations: list[Standardization | None] = []
    modules = net.term_modules()
    for term, module, example in zip(problem.terms, modules, context.examples, strict=True):
        tiles = example.to(device=net.device, dtype=context.dtype)
        call = net.infer_tiles if len(problem.terms) == 1 else module
        try:
            net.module_ = plain_module(compiled)  # avoids compilation for a few tiles
            raw = needs_raw_inputs(call, module, tiles, standardize and is_first_fit)
            require_separate(call, module, tiles)
        finally:
            net.module_ = compiled
        if raw or not standardize:
            standardizations.append(None)
            continue
        key = ("grid", term.tiling.channel_axis) if term.tiling.is_grid else term.name
        if is_first_fit and key not in by_axis:
            by_axis[key] = standardization_of(term.tiling, problem.systems, problem.sample_weight)
        standardizations.append(by_axis.get(key))
    if not is_first_fit:
        return [getattr(model, "standardization", None) for model in problem.start]
    return standardizations


def batches_of_one(settings, net, problem, features, scale):
    """Return the samples as sums over tiles, or as whole fields if that is cheaper.

    Parameters
    ----------
    settings : GradientSolver
    net : NeuralNet
    problem : SumProblem
        With one term.
    features : TileFeatures or None
        Transformers before the network.
    scale : ndarray of shape (n_outputs,)
        Unit of the network's output.
    """
    (term,), context = problem.terms, net.solver_
    tiling, weights, tile_shape = term.tiling, problem.sample_weight, problem.tile_shape(term)
    needs_fields = problem.gradient is not None or settings.symmetries is not None
    if features is not None and (needs_fields or settings.form == "dense"):
        raise TileModelError(
            "Gradients, symmetries and the dense form need a network that sees the tiles, but "
            "here it is behind transformers. Make the transformations part of the network."
        )
    _require_uncompiled(net, problem)
    if needs_fields or settings.form == "dense":
        _require_grid(problem.terms)
    (standardization,) = context.standardizations
    y = problem.y / scale * context.share
    # Lazy fields are read a batch at a time.
    needs_fields = features is None and (needs_fields or problem.systems.lazy)
    # Probed, because all tiles together may be many times larger than the fields.
    repeats = not needs_fields and tiling.probe(problem.systems, _PROBED).repeats()
    may_be_fields = tiling.is_grid and features is None
    if may_be_fields and (needs_fields or settings.form == "dense" or not repeats):
        network = SumOverTiles(
            plain_module(net.module_.train()), tiling, tile_shape, form=context.form,
            max_bytes=settings.max_bytes, compile=compile_options(net),
            standardization=standardization,
        )  # fmt: skip
        if needs_fields or network.form_ == "dense":
            context.over_fields = network
            return _field_sums(settings, problem, term, y, scale, context)
    tiles = tiling.tiles(problem.systems)
    tiles = tiles.unique()[0] if repeats else tiles
    has_channels = tiling.has_channels

    def prepare(array):
        if features is not None:
            return torch.tensor(dense(features(array)), dtype=context.dtype)
        return network_input(array, has_channels, context.dtype, standardization)

    batch_size = len(problem.y) if net.batch_size == -1 else net.batch_size
    return TileSums(tiles, prepare, y, weights, batch_size, context.dtype)


def batches_of_several(settings, net, problem, scale):
    """Return the samples as whole fields or, without a grid, as sums over the tiles of each term.

    See `batches_of_one` for the parameters.
    """
    context = net.solver_
    _require_uncompiled(net, problem)
    if not all(term.tiling.is_grid for term in problem.terms):
        return _branch_sums(settings, net, problem, scale)
    # If one network standardises float64, the others must round it, which this identity does.
    identity = Standardization(np.zeros(1), np.ones(1)) if any(context.standardizations) else None
    context.over_fields = SumOfBranches(
        SumOverTiles(
            module.train(), term.tiling, problem.tile_shape(term), form=settings.form,
            max_bytes=settings.max_bytes, compile=compile_options(net),
            standardization=standardization or identity,
        )
        for module, term, standardization in zip(
            net.term_modules(), problem.terms, context.standardizations, strict=True
        )
    )  # fmt: skip
    y = problem.y / scale * context.share
    return _field_sums(settings, problem, problem.terms[0], y, scale, context)


def _branch_sums(settings, net, problem, scale) -> BranchSums:
    """Return sums over tiles for several networks that are trained as one."""
    context = net.solver_
    if problem.gradient is not None or settings.symmetries is not None or settings.form == "dense":
        _require_grid(problem.terms)
    y = problem.y / scale * context.share
    batch_size = len(problem.y) if net.batch_size == -1 else net.batch_size
    branches = []
    for term, standardization in zip(problem.terms, context.standardizations, strict=True):
        prepare = partial(
            network_input, has_channels=term.tiling.has_channels, dtype=context.dtype,
            standardization=standardization,
        )  # fmt: skip
        tiles = term.tiling.tiles(problem.systems).condensed()
        sums = TileSums(tiles, prepare, y, problem.sample_weight, batch_size, context.dtype)
        branches.append(sums)
    return BranchSums(branches)


def _require_grid(terms) -> None:
    """Raise TileModelError if a tiling is not one of fields on a grid."""
    for term in terms:
        if not term.tiling.is_grid:
            raise TileModelError(
                "Gradients, symmetries and the dense form need fields on a grid, but "
                f"{type(term.tiling).__name__} has none. Leave out gradient and symmetries, and "
                "set form='auto'."
            )


def _field_sums(settings, problem, term, y, scale, context) -> FieldSums:
    context.augment = settings.symmetries
    if context.augment is not None and not callable(context.augment):
        context.augment = RandomSymmetry(term.tiling, problem.tile_shape(term), context.augment)
    gradients = _target_gradients(settings, problem, term, scale / context.share, context)
    # float32 would lose the digits of values such as 100000.0 ± 0.1 before they are standardised.
    field_dtype = torch.float64 if any(context.standardizations) else context.dtype
    return FieldSums(
        problem.systems, term.tiling.channel_axis, y, problem.sample_weight, gradients,
        context.dtype, field_dtype,
    )  # fmt: skip


def _require_uncompiled(net, problem) -> None:
    if problem.gradient is not None and net.compile:
        raise TileModelError(
            "Learning gradients needs second derivatives, which a network compiled by "
            "torch.compile does not have. Set compile=False."
        )


def _target_gradients(settings, problem, term, unit, context):
    if problem.gradient is None:
        return None
    if isinstance(settings.gradient_weight, Real):
        weight = float(settings.gradient_weight)
        context.gradient_weight = lambda epoch: weight
    else:
        context.gradient_weight = settings.gradient_weight
    gradients = target_gradients(problem, term.tiling, float(np.ravel(unit)[0]))
    context.gradient_spread = root_mean_square(gradients)
    return gradients
