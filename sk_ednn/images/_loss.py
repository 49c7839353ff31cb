"""The loss of a batch: errors of its totals, and of pictures composed of its boxes."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ._batches import collated, varied
from ._edges import LEAST_BOX, bands_of, inner_ranges, reflected
from ._geometry import CONTEXT, FOCUS

_HUBER_DELTA = 0.5
# Tiles along each axis of the boxes that are put together to a picture, whose total is theirs.
_BOX = 8


def batch_loss(member, batch, recipe, rng):
    """Return the absolute errors of a batch, and its loss."""
    shift = tuple(int(n) for n in rng.integers(FOCUS, size=2))
    values, *tiles = varied(*collated(batch, shift), recipe, rng)
    totals = torch.stack([each.totals for each in batch]).float()
    units = member.spread * totals.new_tensor([[each.spread] for each in batch])
    contributions = member.contributions(member.module, values, *tiles)
    predicted = contributions.flatten(2).sum(2)
    is_known = torch.isfinite(totals)  # of a box, perhaps not all totals
    totals = torch.where(is_known, totals, predicted.detach())
    loss = _huber(predicted, totals, units)
    if member.frozen:
        loss = loss + mosaic_loss(member, values, *tiles, contributions.detach(), units, rng)
    return (predicted.detach() - totals).abs().mean(1).numpy(), loss


def _huber(predicted, totals, units):
    return nn.functional.huber_loss(predicted / units, totals / units, delta=_HUBER_DELTA)


def mosaic_loss(member, values, weights, bands, contributions, units, rng):
    """Return the loss of a picture composed of boxes, whose total is that of the boxes.

    Totals alone do not tell tiles that see mirror images, or objects that are cut, from others: in
    small pictures too much there makes up for too little elsewhere, which large pictures show.
    Contributions of boxes in their true surroundings are what the same boxes are to have in others.

    Parameters
    ----------
    member : Member
    values : Tensor of shape (n, n_channels, *window)
    weights, bands : Tensor of shape (n, 1, *tile_grid)
    contributions : Tensor of shape (n, n_outputs, *tile_grid)
        Without gradients.
    units : Tensor of shape (n, n_outputs)
        Units of the errors of the totals.
    rng : numpy.random.Generator
    """
    inner = [inner_ranges(w, b) for w, b in zip(weights[:, 0], bands[:, 0], strict=True)]
    side = min(_BOX, *(stop - start for ranges in inner for start, stop in ranges))
    if side < LEAST_BOX:
        return 0.0
    boxes, total = [], 0.0
    for k in (np.arange(4) + rng.integers(len(values))) % len(values):
        i, j = (int(rng.integers(start, stop - side + 1)) for start, stop in inner[k])
        rows, columns = (slice(CONTEXT + FOCUS * m, CONTEXT + FOCUS * (m + side)) for m in (i, j))
        boxes.append(values[k][..., rows, columns])
        total = total + contributions[k][..., i : i + side, j : j + side].flatten(1).sum(1)
    joined = torch.cat([torch.cat(boxes[:2], -1), torch.cat(boxes[2:], -1)], -2)
    padded = reflected(joined)
    pairs = bands_of(2 * side).expand(1, *weights.shape[1:-2], -1, -1)
    predicted = member.totals(member.module, padded, torch.ones(pairs.shape), pairs)
    share = pairs.numel() / weights[:1].sum()
    return _huber(predicted, total[None], units[:1] * share.sqrt())
