"""A doubt of forces that a model never learned, or that were never compared with known ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def doubt_of_forces(model, about, path: Path | str) -> str | None:
    """Return a doubt of the forces that move atoms, or None if they were tested.

    Parameters
    ----------
    model : EDNNPotential or Pipeline
    about : dict or None
        What the model file says of its fit.
    path : Path or str
        Of the model file.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from sk_ednn.cli._forces_doubt import doubt_of_forces
    >>> potential = SimpleNamespace(labels_={"forces": {"known": 0}})
    >>> print(doubt_of_forces(potential, None, "cu.ednn").partition(". ")[0])
    cu.ednn learned no forces: they are slopes of energies, and were compared with none
    >>> potential.labels_["forces"]["known"] = 96
    >>> about = {"errors": {"test": {"force_rmse": 50.0}}}
    >>> doubt_of_forces(potential, about, "cu.ednn") is None
    True
    """
    about = about if isinstance(about, dict) else {}
    if not _learned(model, about):
        return (
            f"{path} learned no forces: they are slopes of energies, and were compared with none. "
            "Energies may be good and these poor, so compare a few with a reference, or add forces "
            "to the fit"
        )
    if _tested(model, about):
        return None
    return (
        f"the forces of {path} were not compared with those of structures held out of its fit, as "
        "far as the file says. `sk-ednn evaluate` does so for other structures with known forces"
    )


def _learned(model, about) -> bool:
    """Return whether forces were learned; True if nothing is known of it."""
    labels = getattr(model, "labels_", None)
    if isinstance(labels, Mapping) and "forces" in labels:
        return bool(_entry(labels, "forces", "known"))
    return about.get("forces learned", True) is not False


def _tested(model, about) -> bool:
    of_test = _entry(about, "errors", "test")
    known = isinstance(of_test, Mapping) and any(name.startswith("force_") for name in of_test)
    return known or hasattr(model, "held_out_forces_")


def _entry(found: Any, *names: str) -> Any:
    """Return an entry of nested dicts, None where it is missing: files are written by others."""
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
