"""Data sets for the training of networks: sums over tiles or, where cheaper, whole fields."""

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
from ._gradients import known_gradients, root_mean_square
from ._skorch import compile_options

# Tiles that are looked at to see whether they repeat.
_PROBED = 4096
# Tiles that a network is tried on before it is trained.
_TRIED = 2


def example_tiles(problem, term, features=None) -> torch.Tensor:
    """Return the first tiles of a term as its network is to see them, but not standardised.

    Parameters
    ----------
    problem : SumProblem
    term : Term
    features : TileFeatures or None
        Transformers before the network.
    """
    tiles = next(iter(term.tiling.blocks(problem.systems, _TRIED))).array()
    if features is not None:
        return torch.tensor(dense(features(tiles)), dtype=torch.float32)
    return network_input(tiles, term.tiling.has_channels)


def try_out(settings, net, problem, features=None) -> list:
    """Run each network on a few tiles; return how the inputs of each are standardised.

    Parameters
    ----------
    settings : GradientSolver
    net : NeuralNet
        Initialised, with its ``solver_``.
    problem : SumProblem
    features : TileFeatures or None

    Returns
    -------
    list of Standardization or None
        One for each term. A training that goes on keeps those it began with.
    """
    how, whole = net.solver_, net.module_
    wanted = settings.standardize and features is None
    asks = wanted and problem.start is None
    by_axis: dict[Any, Standardization | None] = {}
    found: list[Standardization | None] = []
    for term, module, example in zip(problem.terms, net.term_modules(), how.examples, strict=True):
        tiles = example.to(device=net.device, dtype=how.dtype)
        call = net.infer_tiles if len(problem.terms) == 1 else module
        try:
            net.module_ = plain_module(whole)  # not to be compiled for a few tiles
            raw = needs_raw_inputs(call, module, tiles, asks)
        finally:
            net.module_ = whole
        if raw or not wanted:
            found.append(None)
            continue
        key = ("grid", term.tiling.channel_axis) if term.tiling.is_grid else term.name
        if problem.start is None and key not in by_axis:
            by_axis[key] = standardization_of(term.tiling, problem.systems, problem.sample_weight)
        found.append(by_axis.get(key))
    if problem.start is not None:
        found = [getattr(model, "standardization", None) for model in problem.start]
    return found


def batches_of_one(settings, net, problem, features, scale):
    """Return the samples as sums over tiles, or as whole fields where that is cheaper.

    Parameters
    ----------
    settings : GradientSolver
    net : NeuralNet
    problem : SumProblem
        With one term.
    features : TileFeatures or None
        Transformers before the network.
    scale : ndarray of shape (n_outputs,)
        The unit of the network's output.
    """
    (term,), how = problem.terms, net.solver_
    tiling, weights, tile_shape = term.tiling, problem.sample_weight, problem.tile_shape(term)
    of_fields = problem.gradient is not None or settings.symmetries is not None
    if features is not None and (of_fields or settings.form == "dense"):
        raise TileModelError(
            "Gradients, symmetries and the dense form are for networks that see the tiles "
            "themselves; here transformers stand before the network. Put what they do into "
            "the network."
        )
    _require_once(net, problem)
    if of_fields or settings.form == "dense":
        _require_grid(problem.terms)
    (standardization,) = how.standardizations
    y = problem.y / scale * how.share
    # Lazy fields are read a batch at a time.
    of_fields = features is None and (of_fields or problem.systems.lazy)
    # Seen on some tiles: all of them may be many times as large as the fields.
    repeats = not of_fields and tiling.probe(problem.systems, _PROBED).repeats()
    as_fields = tiling.is_grid and features is None
    if as_fields and (of_fields or settings.form == "dense" or not repeats):
        network = SumOverTiles(
            plain_module(net.module_.train()), tiling, tile_shape, form=how.form,
            max_bytes=settings.max_bytes, compile=compile_options(net),
            standardization=standardization,
        )  # fmt: skip
        if of_fields or network.form_ == "dense":
            how.over_fields = network
            return _field_sums(settings, problem, term, y, scale, how)
    tiles = tiling.tiles(problem.systems)
    tiles = tiles.unique()[0] if repeats else tiles
    has_channels = tiling.has_channels

    def prepare(array):
        if features is not None:
            return torch.tensor(dense(features(array)), dtype=how.dtype)
        return network_input(array, has_channels, how.dtype, standardization)

    batch_size = len(problem.y) if net.batch_size == -1 else net.batch_size
    return TileSums(tiles, prepare, y, weights, batch_size, how.dtype)


def batches_of_several(settings, net, problem, scale):
    """Return the samples as whole fields, or else as sums over the tiles of each term."""
    how = net.solver_
    _require_once(net, problem)
    if not all(term.tiling.is_grid for term in problem.terms):
        return _branch_sums(settings, net, problem, scale)
    # Beside networks that standardise float64, one that does not has to round it as well.
    rounds = Standardization(np.zeros(1), np.ones(1)) if any(how.standardizations) else None
    how.over_fields = SumOfBranches(
        SumOverTiles(
            module.train(), term.tiling, problem.tile_shape(term), form=settings.form,
            max_bytes=settings.max_bytes, compile=compile_options(net),
            standardization=standardization or rounds,
        )
        for module, term, standardization in zip(
            net.term_modules(), problem.terms, how.standardizations, strict=True
        )
    )  # fmt: skip
    y = problem.y / scale * how.share
    return _field_sums(settings, problem, problem.terms[0], y, scale, how)


def _branch_sums(settings, net, problem, scale) -> BranchSums:
    """Return sums over tiles for each of several networks that are trained as one."""
    how = net.solver_
    if problem.gradient is not None or settings.symmetries is not None or settings.form == "dense":
        _require_grid(problem.terms)
    y = problem.y / scale * how.share
    batch_size = len(problem.y) if net.batch_size == -1 else net.batch_size
    branches = []
    for term, standardization in zip(problem.terms, how.standardizations, strict=True):
        prepare = partial(
            network_input, has_channels=term.tiling.has_channels, dtype=how.dtype,
            standardization=standardization,
        )  # fmt: skip
        tiles = term.tiling.tiles(problem.systems).condensed()
        sums = TileSums(tiles, prepare, y, problem.sample_weight, batch_size, how.dtype)
        branches.append(sums)
    return BranchSums(branches)


def _require_grid(terms) -> None:
    """Raise where what is asked for needs fields on a grid."""
    for term in terms:
        if not term.tiling.is_grid:
            raise TileModelError(
                "Gradients, symmetries and the dense form are those of fields on a grid, which "
                f"{type(term.tiling).__name__} has not: leave gradient and symmetries out, and "
                "form at 'auto'."
            )


def _field_sums(settings, problem, term, y, scale, how) -> FieldSums:
    how.augment = settings.symmetries
    if how.augment is not None and not callable(how.augment):
        how.augment = RandomSymmetry(term.tiling, problem.tile_shape(term), how.augment)
    slopes = _slopes(settings, problem, term, scale / how.share, how)
    return FieldSums(
        problem.systems, term.tiling.channel_axis, y, problem.sample_weight, slopes, how.dtype,
        # float32 would leave nothing of numbers such as 100000.0 ± 0.1 to standardise.
        torch.float64 if any(how.standardizations) else how.dtype,
    )  # fmt: skip


def _require_once(net, problem) -> None:
    if problem.gradient is not None and net.compile:
        raise TileModelError(
            "Gradients are learned by differentiating twice, and what torch.compile makes of a "
            "network is differentiated once: leave compile at False."
        )


def _slopes(settings, problem, term, unit, how):
    if problem.gradient is None:
        return None
    if isinstance(settings.gradient_weight, Real):
        weight = float(settings.gradient_weight)
        how.gradient_weight = lambda epoch: weight
    else:
        how.gradient_weight = settings.gradient_weight
    slopes = known_gradients(problem, term.tiling, float(np.ravel(unit)[0]))
    how.gradient_spread = root_mean_square(slopes)
    return slopes
