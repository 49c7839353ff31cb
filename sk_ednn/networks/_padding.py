"""Padding of whole fields with their context in torch, differentiably."""

from __future__ import annotations

import torch

from ..tiling._windows import FEW_RUNS, OUTSIDE, runs


def padded(fields: torch.Tensor, positions) -> torch.Tensor:
    """Return fields padded according to the boundary.

    Parameters
    ----------
    fields : Tensor of shape (n, n_channels, *grid)
    positions : list of ndarray of int
        The site at each position, per grid axis; see `GridTiling.padded_positions`.

    Returns
    -------
    Tensor of shape (n, n_channels, *padded)
        Differentiable any number of times.
    """
    for axis, sites in enumerate(positions, start=2):
        pieces = runs(sites)
        if len(pieces) > FEW_RUNS:
            index = torch.tensor(sites, device=fields.device).clamp(min=0)
            gathered = fields.index_select(axis, index)
            if (sites == OUTSIDE).any():
                inside = torch.tensor(sites != OUTSIDE, device=fields.device)
                shape = [-1 if a == axis else 1 for a in range(fields.ndim)]
                gathered = gathered * inside.reshape(shape).to(fields.dtype)
            fields = gathered
        elif pieces != [(0, fields.shape[axis])]:
            fields = torch.cat([_piece(fields, axis, *piece) for piece in pieces], axis)
    return fields


def _piece(fields, axis, start, length):
    if start == OUTSIDE:
        shape = list(fields.shape)
        shape[axis] = length
        return fields.new_zeros(shape)
    return fields.narrow(axis, start, length)
