"""Train a skorch net on sums over tiles.

All that is added to the user's net is what a sample is: not one input but the sum of the network
over the sample's tiles. Everything else (callbacks, schedules, optimizer, module, subclassed
methods) is the user's, and so is the fitted net that comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from skorch import NeuralNet
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import BatchSampler, DataLoader

from ..exceptions import TileModelError
from ..networks import FieldBatch, SumOverTiles
from ..networks._layout import plain_module
from ..networks._over_fields import layer_outputs, mixes_tiles, row_per_tile, tiles_together
from ..networks._sum import BranchBatch
from ..networks._trial import explained, is_uninitialised, out_of_memory, reads_labels
from ._base import last_step
from ._skorch import require_split, require_weights

# With less than this for the layers, it is something else that fills the memory.
_LEAST_BYTES = 1 << 20


@dataclass
class Training:
    """What a net must know to be trained on sums.

    Attributes
    ----------
    share : float
        What a contribution of 1 adds to a total, in the units of the loss.
    positive : bool
        Whether contributions go through a softplus.
    precision : {"float32", "bfloat16", "float64"}
    examples : list of Tensor
        Some tiles for the network of each term, as they are in the data.
    standardizations : list of Standardization or None
        Maps of the inputs of each network, None for inputs as they are.
    form : {"auto", "dense", "tiled"}
    groups : ndarray of shape (n_samples,) or None
        Samples that stay together where some are held back.
    max_bytes : float
        What layers may hold for the backward pass. Halved where memory runs out.
    over_fields : SumOverTiles or None
        The network over whole fields, where batches are such.
    augment : function or None
        Applied to fields (n, n_channels, *grid) in training.
    gradient_weight : function
        Weight of the loss of gradients, by epoch from 0.
    gradient_spread : float
        Root mean square of the gradients to learn.
    held_per_tile : int or None
        Numbers that the layers hold for a tile, once that is known.
    """

    share: float
    positive: bool = False
    precision: str = "float32"
    examples: list[torch.Tensor] = field(default_factory=list)
    standardizations: list[Any] = field(default_factory=list)
    form: str = "auto"
    groups: np.ndarray | None = None
    max_bytes: float = 2**30
    over_fields: SumOverTiles | None = None
    augment: Callable | None = None
    gradient_weight: Callable[[int], float] = lambda epoch: 1.0
    gradient_spread: float = 1.0
    held_per_tile: int | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, fields and sums."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def autocast(self, device):
        """Return the context in which the network computes."""
        if self.precision == "bfloat16":
            return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
        return nullcontext()

    def shrink(self) -> bool:
        """Let layers hold half as much; tell whether that is still worth trying."""
        self.max_bytes /= 2
        if self.over_fields is not None:
            self.over_fields.max_bytes = self.max_bytes
        return self.max_bytes > _LEAST_BYTES

    def finish(self, out):
        """Turn the network's output into contributions that can be summed."""
        out = out.to(self.dtype)
        return nn.functional.softplus(out) if self.positive else out


def solver_class(kind: type) -> type:
    """Return a class of nets that are like `kind`, but are trained on sums."""
    return type(kind.__name__, (_SummingNet, kind), {})


def go_on(net, start):
    """Take over weights, optimizer state and history of an earlier fit, one model for each term."""
    nets = [last_step(model.estimator) for model in start]
    for earlier in nets:
        if not isinstance(earlier, NeuralNet):
            raise TileModelError(
                f"Networks go on from networks, got {type(earlier).__name__}. Set "
                "warm_start=False to fit anew."
            )
    for module, earlier in zip(net.term_modules(), nets, strict=True):
        module.load_state_dict(earlier.module_.state_dict())
    earlier = nets[0]  # terms that were trained as one share optimizer and history
    # A net that comes from a file or another process may have left its optimizer behind.
    if type(net.optimizer_) is type(getattr(earlier, "optimizer_", None)):
        state = earlier.optimizer_.state_dict()
        net.optimizer_.load_state_dict(
            {**state, "param_groups": net.optimizer_.state_dict()["param_groups"]}
        )
    net.history_ = earlier.history_


def has_own_infer(kind: type[NeuralNet]) -> bool:
    """Tell whether a class of nets calls its module in a way of its own."""
    return kind.infer is not NeuralNet.infer


class _SummingNet:
    """What a net must do differently while it is trained on sums."""

    solver_: Training
    module_: Any

    def term_modules(self) -> list[nn.Module]:
        """Return the network of each term."""
        module = plain_module(self.module_)
        return [module] if len(self.solver_.examples) == 1 else list(module)

    def initialize_module(self):
        super().initialize_module()
        for module, example in zip(self.term_modules(), self.solver_.examples, strict=True):
            if is_uninitialised(module):
                reads_labels(module, module, example)
        require_weights(self.module_)
        return self

    def infer_tiles(self, tiles, **fit_params):
        """Return what the net makes of tiles, whatever its way to call its module."""
        return super().infer(tiles, **fit_params)

    def infer(self, x, **fit_params):
        batch, how = x.to(self.device), self.solver_
        if isinstance(batch, BranchBatch):
            return self._of_branches(batch)
        inputs = [fields for _, fields in batch.stacks] if isinstance(batch, FieldBatch) else None

        def network(tiles):
            return self.infer_tiles(tiles, **fit_params)

        with how.autocast(self.device), explained(*(inputs or [batch.tiles])):
            if isinstance(batch, FieldBatch):
                return self._of_fields(batch, network)
            parts = [batch.tiles]
            if not (self.module_.training and mixes_tiles(self.module_)):
                parts = batch.tiles.split(tiles_together(batch.tiles[0].numel()))
            if torch.is_grad_enabled() and self._held_bytes(batch.tiles) > how.max_bytes:
                network = partial(checkpoint, network, use_reentrant=False)
            outs = [row_per_tile(network(part), part) for part in parts]
        out = outs[0] if len(outs) == 1 else torch.cat(outs)
        return how.share * batch.total(how.finish(out))

    def _of_branches(self, batch):
        """Return the sums of several networks, each over the tiles of its term."""
        how = self.solver_
        # A sum without tiles, where a batch has none, still has a (zero) gradient.
        totals = sum(weights.sum() for weights in self.module_.parameters()) * 0.0
        for branch, module in zip(batch.branches, self.term_modules(), strict=True):
            if len(branch.tiles):
                with how.autocast(self.device), explained(branch.tiles):
                    out = row_per_tile(module(branch.tiles), branch.tiles)
                totals = totals + branch.total(how.finish(out))
        if totals.ndim == 0:
            totals = totals.expand(len(batch), 1)
        return how.share * totals

    def train_step(self, batch, **fit_params):
        while True:
            try:
                return super().train_step(batch, **fit_params)
            except RuntimeError as error:
                if not (out_of_memory(error) and self.solver_.shrink()):
                    raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _held_bytes(self, tiles):
        how = self.solver_
        if how.held_per_tile is None:
            how.held_per_tile = layer_outputs(self.module_, tuple(tiles.shape[1:]))
        return len(tiles) * how.held_per_tile * tiles.element_size()

    def _of_fields(self, batch, network):
        how, training = self.solver_, self.module_.training
        augment = how.augment if training else None
        calls: dict[str, Any] = {"augment": augment, "network": network, "finish": how.finish}
        if batch.gradients is None:
            return how.share * batch.total(how.over_fields, **calls)
        with torch.enable_grad():
            totals, slopes = batch.total_and_gradients(how.over_fields, training, **calls)
        return how.share * totals, [how.share * slope for slope in slopes]

    def get_loss(self, y_pred, y_true, X=None, training=False):
        slopes = None
        if isinstance(y_pred, tuple) and isinstance(X, FieldBatch) and X.gradients is not None:
            y_pred, slopes = y_pred
        if y_pred.shape != y_true.shape:
            raise TileModelError(
                f"The network returns {y_pred.shape[1]} output(s) per tile, y has "
                f"{y_true.shape[1]} column(s)."
            )
        loss = self._loss_of_totals(y_pred, y_true, X, training)
        epoch = len(self.history)
        if slopes is not None:
            of_gradients = self._gradient_loss(slopes, X)
            if training:
                self.history.record_batch("gradient_loss", float(of_gradients.detach()))
            loss = loss + self.solver_.gradient_weight(epoch - 1) * of_gradients
        if training and not torch.isfinite(loss):
            batch = len(self.history[-1, "batches"])
            raise TileModelError(
                f"The loss became {loss.item()} in epoch {epoch}, batch {batch}. Lower the "
                "learning rate, clip gradients (skorch.callbacks.GradientNormClipping), or scale "
                "the fields."
            )
        return loss

    def _gradient_loss(self, slopes, X):
        """Return the mean squared error of gradients, relative to their mean square."""
        known = [torch.as_tensor(g.values, dtype=slope.dtype, device=slope.device)
                 for g, slope in zip(X.gradients, slopes, strict=True)]  # fmt: skip
        squares = torch.stack(
            [(slope - true).square().mean() for slope, true in zip(slopes, known, strict=True)]
        )
        sizes = squares.new_tensor([float(true.numel()) for true in known])
        weights = sizes if X.weights is None else sizes * X.weights[:, 0].to(sizes)
        return (squares * weights).sum() / weights.sum() / self.solver_.gradient_spread**2

    def _loss_of_totals(self, y_pred, y_true, X, training):
        """Return one number: criteria that give one for each sample are averaged over them."""
        criterion = self.criterion_
        weights = None if X is None else X.weights
        reduction = getattr(criterion, "reduction", None)
        if weights is not None and reduction in ("mean", "sum"):
            criterion.reduction = "none"
        try:
            losses = super().get_loss(y_pred, y_true, X=X, training=training)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            if isinstance(error, TileModelError) or out_of_memory(error):
                raise
            raise TileModelError(
                f"The criterion {type(criterion).__name__} cannot compare predicted and true "
                f"totals, both of shape {tuple(y_true.shape)}: {error}. Take one that is called "
                "with these two alone, such as nn.MSELoss, nn.L1Loss or nn.HuberLoss."
            ) from error
        finally:
            if weights is not None and reduction in ("mean", "sum"):
                criterion.reduction = reduction
        if weights is None:
            return losses.mean()
        if losses.ndim == 0 or len(losses) != len(weights):
            raise TileModelError(
                f"sample_weight needs a criterion that gives a loss for each sample, or has a "
                f"reduction that can be set to 'none'; {criterion} returned shape "
                f"{tuple(losses.shape)} for {len(weights)} samples."
            )
        losses = losses.reshape(len(losses), -1)
        weighted = (losses * weights.to(losses)).sum()
        return weighted if reduction == "sum" else weighted / (weights.sum() * losses.shape[1])

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
        if len(batches) == 0:
            raise TileModelError(
                f"Batches of {size} samples with drop_last=True leave none of {len(dataset)} "
                f"{'training' if training else 'held-back'} sample(s): take a smaller batch_size."
            )
        # A batch is made in one piece, from its samples' numbers: their tiles are merged.
        return DataLoader(_Batches(dataset), sampler=batches, batch_size=None, **settings)

    def get_split_datasets(self, X, y=None, **fit_params):
        split = self.train_split
        if getattr(split, "stratified", False):
            raise TileModelError(
                f"{split} keeps the shares of classes, and totals are numbers: set "
                "stratified=False."
            )
        if self.solver_.groups is not None and isinstance(split, ValidSplit):
            cv = split.cv
            if isinstance(cv, Integral):
                split = ValidSplit(GroupKFold(cv))
            elif isinstance(cv, Real):
                seed = split.random_state
                split = ValidSplit(GroupShuffleSplit(1, test_size=cv, random_state=seed))
            train, valid = split(X, y, groups=self.solver_.groups)
        else:
            train, valid = super().get_split_datasets(X, y, **fit_params)
        require_split(split, X, train, valid)
        return train, valid


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
