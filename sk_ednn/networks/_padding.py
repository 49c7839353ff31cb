"""Put the context around whole fields, in torch, so that gradients reach the field."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..tiling._windows import OUTSIDE

# Up to this many runs of neighbouring sites are joined as slices, which is faster than gathering.
_RUNS = 8


def padded(fields: torch.Tensor, positions) -> torch.Tensor:
    """Return fields with what the boundary says is around them.

    Parameters
    ----------
    fields : Tensor of shape (n, n_channels, *grid)
    positions : list of ndarray of int
        The site behind each place, per grid axis: `GridTiling.padded_positions`.

    Returns
    -------
    Tensor of shape (n, n_channels, *padded)
        Differentiable, any number of times.
    """
    for axis, places in enumerate(positions, start=2):
        runs = _runs(tuple(places.tolist()))
        if len(runs) > _RUNS:
            index = torch.tensor(places, device=fields.device).clamp(min=0)
            gathered = fields.index_select(axis, index)
            if (places == OUTSIDE).any():
                inside = torch.tensor(places != OUTSIDE, device=fields.device)
                shape = [-1 if a == axis else 1 for a in range(fields.ndim)]
                gathered = gathered * inside.reshape(shape).to(fields.dtype)
            fields = gathered
        elif len(runs) > 1 or runs[0] != (0, fields.shape[axis]):
            fields = torch.cat([_piece(fields, axis, *run) for run in runs], axis)
    return fields


def _piece(fields, axis, start, length):
    if start == OUTSIDE:
        shape = list(fields.shape)
        shape[axis] = length
        return fields.new_zeros(shape)
    return fields.narrow(axis, start, length)


@lru_cache(maxsize=64)
def _runs(places) -> list[tuple[int, int]]:
    """Return (first site, length) of each run of neighbours, and of places outside."""
    runs: list[tuple[int, int]] = []
    for place in places:
        start, length = runs[-1] if runs else (0, 0)
        if length and place == (OUTSIDE if start == OUTSIDE else start + length):
            runs[-1] = (start, length + 1)
        else:
            runs.append((place, 1))
    return runs
