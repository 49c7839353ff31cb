"""Read and write networks of atoms: their parameters, beside their weights."""

from __future__ import annotations

import sys
from inspect import signature
from typing import Any

import torch
from torch import nn

from ..descriptors import AbstractDescriptor
from ..exceptions import ModelFileError

_NAMES = ("AtomicNetwork", "DeepPotSE", "SpectrumNetwork")
# Largest degree of harmonics, and largest cutoff in Å, that a file may ask for.
_MAX_DEGREE, _MAX_CUTOFF = 32, 100.0


def is_network(module) -> bool:
    """Return whether a module is a network of atoms of this package."""
    # If their module is not imported, there is none.
    atomic = sys.modules.get("sk_ednn.networks._atomic")
    return atomic is not None and any(type(module) is getattr(atomic, name) for name in _NAMES)


def node(module, encoder, place) -> dict[str, Any]:
    """Return the node with the parameters of a network."""
    params = module.params | {"species": list(module.index.numbers)}
    params = {key: encoder(value, f"{place}.{key}") for key, value in params.items()}
    return {"$": "atomic network", "class": type(module).__name__, "with": {"$": "dict", "pairs": [
        [key, value] for key, value in params.items()
    ]}}  # fmt: skip


def built(name, params) -> nn.Module:
    """Return a network on the meta device, without memory for weights.

    Raises
    ------
    ModelFileError
        If its class or its parameters are unknown.
    """
    from ..networks import _atomic

    if name not in _NAMES:
        raise ModelFileError(f"it contains a network {name}, which this version does not know")
    kind = getattr(_atomic, name)
    unknown = sorted(set(params) - set(signature(kind).parameters))
    if unknown or not all(map(_is_setting, params.values())):
        raise ModelFileError(f"a network {name} has unknown parameters: {params!r:.80}")
    degree, cutoff = params.get("l_max", 0), params.get("cutoff", 1.0)
    if "descriptor" in params:
        cutoff = params["descriptor"].cutoff
    if not (type(degree) is int and 0 <= degree <= _MAX_DEGREE and 0 < cutoff <= _MAX_CUTOFF):
        raise ModelFileError(f"a network {name} has invalid parameters: {params!r:.80}")
    with torch.device("meta"):
        return kind(**params)


def with_buffers(network, device) -> nn.Module:
    """Return a new network with the same weights, and buffers computed from its parameters."""
    dtype = next(network.parameters()).dtype
    # Initial weights, which are discarded, must not advance the global random state.
    with torch.random.fork_rng(devices=[]):
        made = type(network)(**network.params).to(dtype)
    made.load_state_dict(network.state_dict(), strict=True, assign=True)
    return made.eval().to(device)


def _is_setting(value) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_setting, value))
    return (
        value is None
        or type(value) in (bool, int, float, str)
        or (isinstance(value, AbstractDescriptor))
    )
