"""Optimizers of torch, by name or class."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch

from ...exceptions import TileModelError
from ._muon import Muon

OPTIMIZERS = {
    "muon": Muon,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "nadam": torch.optim.NAdam,
}


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer class and its parameters."""

    cls: Any
    params: dict = field(default_factory=dict)

    @classmethod
    def of(cls, optimizer, params=None):
        """Return the class of a name, and check parameters.

        Parameters
        ----------
        optimizer : str or class
        params : dict or None

        Raises
        ------
        TileModelError
            If the name is unknown, the optimizer evaluates the loss several times a step (as
            LBFGS does), or does not take the parameters.
        """
        chosen = optimizer
        if isinstance(optimizer, str):
            chosen = OPTIMIZERS.get(optimizer.lower())
            if optimizer.lower() == "lbfgs":
                chosen = torch.optim.LBFGS
            if chosen is None:
                raise TileModelError(
                    f"optimizer must be one of {', '.join(OPTIMIZERS)} or a class of torch.optim; "
                    f"got {optimizer!r}."
                )
        if not inspect.isclass(chosen):
            raise TileModelError(f"optimizer must be a name or a class, got {optimizer!r}.")
        if issubclass(chosen, torch.optim.LBFGS):
            raise TileModelError(
                "LBFGS evaluates the loss of all data several times a step and cannot be trained "
                f"in batches: take one of {', '.join(OPTIMIZERS)}."
            )
        params = dict(params or {})
        allowed = inspect.signature(chosen).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in allowed.values())
        unknown = sorted(set(params) - set(allowed)) if not takes_any else []
        if unknown or "lr" in params:
            raise TileModelError(
                f"optimizer_params of {chosen.__name__} must be among "
                f"{sorted(set(allowed) - {'params', 'lr'})}; got {sorted(params)}. The rate is "
                "learning_rate."
            )
        return cls(chosen, params)

    @classmethod
    def of_trainer(cls, trainer):
        """Return the optimizer of a `PotentialTrainer`.

        Raises
        ------
        TileModelError
            As `of`, and if the weight decay is given twice.
        """
        params = dict(trainer.optimizer_params or {})
        if trainer.weight_decay is not None:
            if "weight_decay" in params:
                raise TileModelError(
                    f"weight_decay={trainer.weight_decay} is also given in optimizer_params, as "
                    f"{params['weight_decay']}: leave out one of them."
                )
            params["weight_decay"] = trainer.weight_decay
        return cls.of(trainer.optimizer, params)

    def make(self, parameters, learning_rate):
        """Return an optimizer of some parameters."""
        params = dict(self.params)
        # One pass over all weights instead of several, where torch has it.
        if self.cls in (torch.optim.Adam, torch.optim.AdamW):
            params.setdefault("fused", True)
        return self.cls(parameters, lr=learning_rate, **params)
