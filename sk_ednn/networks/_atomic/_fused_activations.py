"""Activations for `_fused`: value, first and second derivative."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


class _SiLU:
    @staticmethod
    def both(z):
        s = z.sigmoid()
        a = z * s
        return a, s + a * (1 - s)

    @staticmethod
    def second(z, a, d):
        s = z.sigmoid()
        # s (1 - s) (2 + z (1 - 2 s)) = (1 - s) (s + d - a s)
        return (1 - s) * (s + d - a * s)


class _Tanh:
    @staticmethod
    def both(z):
        a = z.tanh()
        return a, 1 - a * a

    @staticmethod
    def second(z, a, d):
        return -2 * a * d


class _Softplus:
    @staticmethod
    def both(z):
        return nn.functional.softplus(z), z.sigmoid()

    @staticmethod
    def second(z, a, d):
        return d * (1 - d)


class _GELU:
    @staticmethod
    def both(z):
        below = torch.special.ndtr(z)
        return z * below, below + z * _normal(z)

    @staticmethod
    def second(z, a, d):
        return _normal(z) * (2 - z * z)


def _normal(z):
    return torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


CURVES: dict[Any, Any] = {
    nn.SiLU: _SiLU, nn.Tanh: _Tanh, nn.Softplus: _Softplus, nn.GELU: _GELU
}  # fmt: skip
