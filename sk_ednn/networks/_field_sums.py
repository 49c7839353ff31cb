"""Batches of whole fields in torch, for the dense form, symmetries and gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..fields._channels import channels_first
from ..fields._fields import require_finite
from ..fields._samples import SampleReader
from ._over_fields import SumOverTiles
from ._sum import NUMPY


@dataclass
class FieldBatch:
    """A batch of fields, grouped by shape.

    Attributes
    ----------
    stacks : list of (Tensor of int, Tensor of shape (n, n_channels, *grid))
        Positions of the fields in the batch, and the fields.
    n_samples : int
    weights : Tensor of shape (n_samples, 1) or None
        Sample weights.
    gradients : list or None
        Target gradient of each sample; see `FieldSums`.
    samples : ndarray of int of shape (n_samples,) or None
        Which samples of the data set these are.
    """

    stacks: list[tuple[torch.Tensor, torch.Tensor]]
    n_samples: int
    weights: torch.Tensor | None = None
    gradients: list[Any] | None = field(default=None)
    samples: np.ndarray | None = None

    def __len__(self):
        return self.n_samples

    def to(self, device) -> FieldBatch:
        """Return the batch on a device."""
        stacks = [(index.to(device), on_device(fields, device)) for index, fields in self.stacks]
        weights = None if self.weights is None else self.weights.to(device)
        return FieldBatch(stacks, self.n_samples, weights, self.gradients)

    def total(self, sums: SumOverTiles, augment=None, **calls) -> torch.Tensor:
        """Return the totals of a network, (n_samples, n_outputs).

        Parameters
        ----------
        sums : SumOverTiles
        augment : function or None
            Applied to the fields of each stack.
        **calls
            Passed to `SumOverTiles.forward`.
        """
        return self._in_order(
            [sums(fields if augment is None else augment(fields), **calls)
             for _, fields in self.stacks]
        )  # fmt: skip

    def total_and_gradients(self, sums: SumOverTiles, create_graph, augment=None, **calls):
        """Return the totals and their gradients, pulled back by the target gradients.

        Returns
        -------
        totals : Tensor of shape (n_samples, 1)
        gradients : list of n_samples Tensor
            Each of the shape of the values of its target gradient.
        """
        targets = self.gradients or []
        totals, gradients = [], [None] * self.n_samples
        for index, values in self.stacks:
            leaf = values.detach().requires_grad_()
            total = sums(leaf if augment is None else augment(leaf), **calls)
            (of_fields,) = torch.autograd.grad(total.sum(), leaf, create_graph=create_graph)
            totals.append(total)
            for k, of_field in zip(index.tolist(), of_fields.to(total.dtype), strict=True):
                gradients[k] = targets[k].pull(of_field)
        return self._in_order(totals), gradients

    def _in_order(self, totals):
        if len(totals) == 1:
            return totals[0][torch.argsort(self.stacks[0][0])]
        order = torch.cat([index for index, _ in self.stacks])
        return torch.cat(totals)[torch.argsort(order)]


class FieldSums(Dataset):
    """Samples as whole fields, in batches.

    Parameters
    ----------
    fields : Fields
    channel_axis : int or None
        Channel axis of one field.
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,) or None
    gradients : list or None
        Target gradient of each sample, with ``values``, an array, and ``pull(gradient)``, which
        pulls the gradient with respect to the field, a Tensor (n_channels, *grid), back to one of
        the shape of `values`; see `sk_ednn.tile_models._gradients`.
    dtype : torch.dtype
        Precision of totals and weights.
    field_dtype : torch.dtype, default=None
        Precision of the fields, float64 if they are standardised later. None for `dtype`.
    """

    def __init__(
        self, fields, channel_axis, y, sample_weight, gradients=None, dtype=torch.float32,
        field_dtype=None,
    ):  # fmt: skip
        self.fields, self.channel_axis = fields, channel_axis
        self.field_dtype = dtype if field_dtype is None else field_dtype
        self.y = torch.as_tensor(y, dtype=dtype)
        self.weights = (
            None if sample_weight is None else torch.as_tensor(sample_weight, dtype=dtype)[:, None]
        )
        self.gradients = gradients
        self._stack = np.empty(fields.n_samples, dtype=np.intp)
        self._row = np.empty(fields.n_samples, dtype=np.intp)
        for number, stack in enumerate(fields.stacks):
            self._stack[stack.samples] = number
            self._row[stack.samples] = np.arange(len(stack.samples))
        self._values = [
            stack.values if isinstance(stack.values, np.ndarray) else SampleReader(stack.values)
            for stack in fields.stacks
        ]

    def __len__(self):
        return len(self.y)

    def __getitem__(self, samples):
        """Return the FieldBatch and y of one sample or of an array of samples."""
        index = np.atleast_1d(np.asarray(samples))
        stacks = []
        for number in np.unique(self._stack[index]):
            positions = np.flatnonzero(self._stack[index] == number)
            values = self._values[number][self._row[index[positions]]]
            if self.fields.lazy:
                require_finite(values, f"X (samples {index[positions].tolist()} as read)")
            fields = field_input(values, self.channel_axis, self.field_dtype)
            stacks.append((torch.as_tensor(positions), fields))
        rows = torch.from_numpy(index)
        weights = None if self.weights is None else self.weights.index_select(0, rows)
        gradients = None if self.gradients is None else [self.gradients[k] for k in index]
        return FieldBatch(stacks, len(index), weights, gradients), self.y.index_select(0, rows)


def field_input(values, channel_axis, dtype=torch.float32) -> torch.Tensor:
    """Return fields (n, *field_shape) as a tensor (n, n_channels or 1, *grid)."""
    values = channels_first(values, channel_axis, n_batch=1)
    # A copy always: torch must see no memory that is read-only or the user's.
    return torch.from_numpy(np.array(values, dtype=NUMPY[dtype], order="C"))


def on_device(fields, device) -> torch.Tensor:
    """Move fields to a device, in float32 if it does not support float64."""
    if torch.device(device).type == "mps" and fields.dtype == torch.float64:
        fields = fields.float()
    return fields.to(device)
