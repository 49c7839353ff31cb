"""The potential that the options of ``fit`` describe."""

from __future__ import annotations

from typing import Any

from . import _runs
from ._potential_options import labels_of

# Share of the structures for early stopping.
_VALIDATION = 0.1
# Parameters of a trainer that a fit does not take over from the one that it continues.
_OF_A_FIT = (
    "max_epochs", "max_seconds", "clock", "early_stopping", "patience", "validation_fraction",
    "checkpoint", "callback", "device", "n_threads", "distributed", "random_state",
)  # fmt: skip


def potential_of(options):
    """Return the unfitted potential, or the one of ``--start`` that is to be continued."""
    from ..atoms import EDNNPotential

    params: dict[str, Any] = {"max_epochs": options.epochs, "max_seconds": options.max_seconds}
    if options.epochs is None and options.max_seconds is None:
        params["max_seconds"] = 600.0
    if options.lr is not None:
        params["learning_rate"] = options.lr
    if options.weight_decay is not None:
        params["weight_decay"] = options.weight_decay
    if options.device is not None:
        from ..atoms._atomic_networks import device_of

        params["device"] = device_of(options.device)
    if options.early_stopping is not None:
        params |= {
            "early_stopping": True, "patience": options.early_stopping,
            "validation_fraction": _VALIDATION,
        }  # fmt: skip
    checkpoint = options.checkpoint
    start = None if options.start is None else _start(options)
    n_members = (options.members or 1) if start is None else start.n_members
    if options.recorder is not None:
        seconds = params["max_seconds"]
        params["callback"] = options.recorder.callback(
            max_epochs=params["max_epochs"],
            max_seconds=None if seconds is None else seconds / n_members,
            n_members=n_members,
        )
        checkpoint = checkpoint or options.recorder.path(_runs.CHECKPOINT)
    trainer = _trainer_of(start).set_params(**params)
    settings = {
        "trainer": trainer, "max_epochs": None, "max_seconds": None, "labels": labels_of(options),
        "checkpoint": checkpoint, "random_state": options.seed,
        "verbose": 0 if options.quiet or options.as_json else 1,
    }  # fmt: skip
    if start is not None:
        return start.set_params(**settings, warm_start=True)
    settings["n_members"] = n_members
    if options.cutoff is not None:
        settings["cutoff"] = options.cutoff
    name = "spectrum" if options.model == "auto" else options.model
    settings |= {"context": options.averages, "repulsion": options.repulsion}
    if options.screening:
        settings["network_params"] = {"screening": True}
    return EDNNPotential(name, **settings)


def _trainer_of(start):
    """Return a new trainer, or one with the settings of a potential that is continued.

    How long is trained, where, and what is watched are not settings of the potential.
    """
    from sklearn.base import clone

    from ..atoms import PotentialTrainer

    trainer = PotentialTrainer()
    if start is None or start.trainer is None:
        return trainer
    return clone(start.trainer).set_params(**{name: getattr(trainer, name) for name in _OF_A_FIT})


def _start(options):
    """Return the potential from which a fit continues."""
    from ..atoms import EDNNPotential
    from ..files import load

    potential = load(options.start)
    if not isinstance(potential, EDNNPotential):
        raise ValueError(f"--start must be a file of a potential; {options.start} is not.")
    if options.members not in (None, potential.n_members):
        raise ValueError(
            f"--members must be that of --start {options.start}, which is {potential.n_members}; "
            f"got {options.members}."
        )
    return potential
