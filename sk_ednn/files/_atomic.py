"""Networks of atoms in files: what they were made with, beside their weights."""

from __future__ import annotations

import sys
from inspect import signature
from typing import Any

import torch
from torch import nn

from ..descriptors import AbstractDescriptor
from ..exceptions import ModelFileError

_NAMES = ("AtomicNetwork", "DeepPotSE", "SpectrumNetwork")
# Harmonics of a higher degree, and neighbours further away, are nobody's.
_MOST_DEGREE, _FURTHEST = 32, 100.0


def is_network(module) -> bool:
    """Tell whether a module is a network of atoms of this package."""
    # Where it has not been imported, none was made.
    atomic = sys.modules.get("sk_ednn.networks._atomic")
    return atomic is not None and any(type(module) is getattr(atomic, name) for name in _NAMES)


def node(module, encoder, place) -> dict[str, Any]:
    """Return what a network was made with."""
    params = module.params | {"species": list(module.index.numbers)}
    params = {key: encoder(value, f"{place}.{key}") for key, value in params.items()}
    return {"$": "atomic network", "class": type(module).__name__, "with": {"$": "dict", "pairs": [
        [key, value] for key, value in params.items()
    ]}}  # fmt: skip


def built(name, params) -> nn.Module:
    """Return a network without memory for weights, however large the file says it is.

    Raises
    ------
    ModelFileError
        Where its class is unknown, or it cannot be made so.
    """
    from ..networks import _atomic

    if name not in _NAMES:
        raise ModelFileError(f"it holds a network {name}, which this version does not know")
    kind = getattr(_atomic, name)
    unknown = sorted(set(params) - set(signature(kind).parameters))
    if unknown or not all(map(_is_setting, params.values())):
        raise ModelFileError(f"a network {name} has settings that it does not need: {params!r:.80}")
    degree, cutoff = params.get("l_max", 0), params.get("cutoff", 1.0)
    if "descriptor" in params:
        cutoff = params["descriptor"].cutoff
    if not (type(degree) is int and 0 <= degree <= _MOST_DEGREE and 0 < cutoff <= _FURTHEST):
        raise ModelFileError(f"a network {name} has settings that make no sense: {params!r:.80}")
    with torch.device("meta"):
        return kind(**params)


def with_buffers(network, device) -> nn.Module:
    """Return a network with the weights of another one, and what follows from its settings."""
    dtype = next(network.parameters()).dtype
    # Weights that are thrown away are drawn; nobody is to notice by their random numbers.
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
