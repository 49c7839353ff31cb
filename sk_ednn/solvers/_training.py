"""Training of skorch nets on sums over tiles.

While it is trained, a net predicts for each sample the sum of its module over the sample's tiles
instead of one output. Callbacks, schedules, optimizer, module and overridden methods are those of
the user's net, and the fitted net is of the user's class.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
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
from ._network_loss import loss_of_gradients, loss_of_totals
from ._skorch import require_split, require_weights

# If layers may take no more than this, something else fills the memory.
_LEAST_BYTES = 1 << 20


@dataclass
class Training:
    """Context of a training on sums, the ``solver_`` attribute of a net.

    Attributes
    ----------
    share : float
        Change of a total, in units of the loss, per unit of a contribution.
    positive : bool
        Whether contributions pass through a softplus.
    precision : {"float32", "bfloat16", "float64"}
    examples : list of Tensor
        A few unscaled tiles for the network of each term.
    standardizations : list of Standardization or None
        Standardisation of the inputs of each network, None for unscaled inputs.
    form : {"auto", "dense", "tiled"}
    groups : ndarray of shape (n_samples,) or None
        Groups of samples that are held out together.
    max_bytes : float
        Maximum memory of layer outputs kept for the backward pass. Halved if memory runs out.
    over_fields : SumOverTiles or None
        The network over whole fields, if batches contain these.
    augment : function or None
        Augmentation of fields (n, n_channels, *grid) in training.
    gradient_weight : function
        Weight of the loss of gradients as a function of the epoch, counted from 0.
    gradient_spread : float
        Root mean square of the target gradients.
    numbers_per_tile : int or None
        Numbers in the layer outputs of a tile, None until it is computed.
    note_errors : function or None
        Called with the samples of each training batch and their errors.
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
    numbers_per_tile: int | None = None
    note_errors: Callable | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Data type of weights, fields and sums."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def autocast(self, device):
        """Return the autocast context of the network's computation."""
        if self.precision == "bfloat16":
            return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
        return nullcontext()

    def shrink(self) -> bool:
        """Halve `max_bytes`; return True if it is still large enough to be worth trying."""
        self.max_bytes /= 2
        if self.over_fields is not None:
            self.over_fields.max_bytes = self.max_bytes
        return self.max_bytes > _LEAST_BYTES

    def finish(self, out):
        """Convert the network's output to contributions."""
        out = out.to(self.dtype)
        return nn.functional.softplus(out) if self.positive else out


@contextmanager
def trained_on_sums(net, training: Training):
    """Within the context, make a net one that is trained on sums.

    The class becomes a subclass of the user's, see `_SummingNet`, and the attribute ``solver_`` is
    the `Training`. Both are undone on exit, whatever happens.
    """
    user_class = type(net)
    net.__class__ = type(user_class.__name__, (_SummingNet, user_class), {})
    net.solver_ = training
    try:
        yield
    finally:
        # A module made by torch.compile cannot be pickled, copied or traced.
        if hasattr(net, "module_"):
            net.module_ = plain_module(net.module_)
        net.__class__ = user_class
        del net.solver_


def resume(net, start):
    """Load weights, optimizer state and history of an earlier fit.

    Parameters
    ----------
    net : NeuralNet
    start : list of AbstractTileModel
        One for each term.
    """
    nets = [last_step(model.estimator) for model in start]
    for earlier in nets:
        if not isinstance(earlier, NeuralNet):
            raise TileModelError(
                f"Training can only resume from a network, got {type(earlier).__name__}. Set "
                "warm_start=False for a new fit."
            )
    for module, earlier in zip(net.term_modules(), nets, strict=True):
        module.load_state_dict(earlier.module_.state_dict())
    earlier = nets[0]  # terms that were trained as one share optimizer and history
    # A net loaded from a file or sent by another process may lack its optimizer.
    if type(net.optimizer_) is type(getattr(earlier, "optimizer_", None)):
        state = earlier.optimizer_.state_dict()
        net.optimizer_.load_state_dict(
            {**state, "param_groups": net.optimizer_.state_dict()["param_groups"]}
        )
    net.history_ = earlier.history_


def overrides_infer(net_class: type[NeuralNet]) -> bool:
    """Return True if a class of nets overrides the call of its module."""
    return net_class.infer is not NeuralNet.infer


class _SummingNet:
    """Mixin of nets that are trained on sums, ahead of the user's class."""

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
        """Return the output of the user's `infer` for tiles."""
        return super().infer(tiles, **fit_params)

    def infer(self, x, **fit_params):
        batch, context = x.to(self.device), self.solver_
        if isinstance(batch, BranchBatch):
            return self._of_branches(batch)
        inputs = [fields for _, fields in batch.stacks] if isinstance(batch, FieldBatch) else None

        def network(tiles):
            return self.infer_tiles(tiles, **fit_params)

        with context.autocast(self.device), explained(*(inputs or [batch.tiles])):
            if isinstance(batch, FieldBatch):
                return self._of_fields(batch, network)
            parts = [batch.tiles]
            if not (self.module_.training and mixes_tiles(self.module_)):
                parts = batch.tiles.split(tiles_together(batch.tiles[0].numel()))
            if torch.is_grad_enabled() and self._layer_bytes(batch.tiles) > context.max_bytes:
                network = partial(checkpoint, network, use_reentrant=False)
            outs = [row_per_tile(network(part), part) for part in parts]
        out = outs[0] if len(outs) == 1 else torch.cat(outs)
        return context.share * batch.total(context.finish(out))

    def _of_branches(self, batch):
        """Return the sums of several networks, each over the tiles of its term."""
        context = self.solver_
        # The sum of a batch without tiles must have a (zero) gradient, too.
        totals = sum(weights.sum() for weights in self.module_.parameters()) * 0.0
        for branch, module in zip(batch.branches, self.term_modules(), strict=True):
            if len(branch.tiles):
                with context.autocast(self.device), explained(branch.tiles):
                    out = row_per_tile(module(branch.tiles), branch.tiles)
                totals = totals + branch.total(context.finish(out))
        if totals.ndim == 0:
            totals = totals.expand(len(batch), 1)
        return context.share * totals

    def train_step(self, batch, **fit_params):
        while True:
            try:
                return super().train_step(batch, **fit_params)
            except RuntimeError as error:
                if not (out_of_memory(error) and self.solver_.shrink()):
                    raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _layer_bytes(self, tiles):
        context = self.solver_
        if context.numbers_per_tile is None:
            context.numbers_per_tile = layer_outputs(self.module_, tuple(tiles.shape[1:]))
        return len(tiles) * context.numbers_per_tile * tiles.element_size()

    def _of_fields(self, batch, network):
        context, training = self.solver_, self.module_.training
        augment = context.augment if training else None
        calls: dict[str, Any] = {"augment": augment, "network": network, "finish": context.finish}
        if batch.gradients is None:
            return context.share * batch.total(context.over_fields, **calls)
        with torch.enable_grad():
            totals, gradients = batch.total_and_gradients(context.over_fields, training, **calls)
        return context.share * totals, [context.share * gradient for gradient in gradients]

    def get_loss(self, y_pred, y_true, X=None, training=False):
        gradients = None
        if isinstance(y_pred, tuple) and isinstance(X, FieldBatch) and X.gradients is not None:
            y_pred, gradients = y_pred
        if y_pred.shape != y_true.shape:
            raise TileModelError(
                f"The network returns {y_pred.shape[1]} output(s) per tile, but y has "
                f"{y_true.shape[1]} column(s)."
            )
        if training and self.solver_.note_errors is not None:
            self.solver_.note_errors(X.samples, y_pred - y_true.to(y_pred))
        evaluate = partial(super().get_loss, y_pred, y_true, X=X, training=training)
        loss = loss_of_totals(self.criterion_, evaluate, y_true, None if X is None else X.weights)
        epoch = len(self.history)
        if gradients is not None:
            of_gradients = loss_of_gradients(gradients, X) / self.solver_.gradient_spread**2
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
                f"{'training' if training else 'held-out'} sample(s). Use a smaller batch_size."
            )
        # Indices of a whole batch are passed to the dataset at once, so that it can merge tiles.
        return DataLoader(_Batches(dataset), sampler=batches, batch_size=None, **settings)

    def get_split_datasets(self, X, y=None, **fit_params):
        split = self.train_split
        if getattr(split, "stratified", False):
            raise TileModelError(
                f"{split} preserves the proportions of classes, but totals are numbers. Set "
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
    """Sampler of batches as arrays of indices; torch's samplers use slower lists of integers."""

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
    """A dataset, or a subset of one made by a split, indexed by whole batches."""

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
        samples = samples if self.indices is None else self.indices[samples]
        batch, y = self.sums[samples]
        batch.samples = samples
        return batch, y
