"""Relax structures on a surrogate, no further than it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._label import Sanity


@dataclass(frozen=True)
class Relaxed:
    """A structure after relaxation.

    Attributes
    ----------
    structure : Structure
    energy, std : float, in eV
    n_steps : int
    reason : {"converged", "steps", "disagreement", "exploded"}
        "exploded": `structure` is the last sane one.
    """

    structure: object
    energy: float
    std: float
    n_steps: int
    reason: str


def relax(
    structure, evaluate, *, variable_cell=False, max_std=np.inf, sanity=None, max_force=0.05,
    max_steps=100, pressure=0.0, n_fixed=0,
) -> Relaxed:  # fmt: skip
    """Relax atoms, and the cell on request, by BFGS.

    Parameters
    ----------
    structure : Structure
    evaluate : callable
        Takes a structure; returns an `Evaluation`.
    variable_cell : bool, default=False
        Relax the cell along periodic axes, too: all six strains of a crystal, three of a sheet.
    max_std : float, default=inf, in eV per atom
        Stop if the spread of the committee exceeds this, and its value at the start.
    sanity : Sanity, default=None
        Stop at the last structure within these limits.
    max_force : float, default=0.05, in eV/Å
    max_steps : int, default=100
    pressure : float, default=0.0, in eV/Å³
    n_fixed : int, default=0
        Number of leading atoms that do not move, such as those of a substrate.

    Returns
    -------
    Relaxed
    """
    from ._ase import bfgs_steps

    sanity = Sanity() if sanity is None else sanity
    last, limit = None, max_std
    steps = bfgs_steps(structure, evaluate, variable_cell, max_force, max_steps, pressure, n_fixed)
    n_steps, reason = 0, "steps"
    for now, evaluation, converged in steps:
        if not np.isfinite(evaluation.energy) or (
            sanity.fault_of_structure(now, evaluation.shortest) is not None
        ):
            reason = "exploded"
            break
        std = evaluation.std / len(now.numbers)
        if last is None:
            # A random start may be far from the training data; it may come back.
            limit = max(max_std, std)
        last = now, evaluation
        if std > limit:
            reason = "disagreement"
            break
        limit = max(max_std, min(limit, std))
        if converged:
            reason = "converged"
            break
        n_steps += 1
    if last is None:
        raise ValueError("The initial structure is implausible, so it is not relaxed.")
    return Relaxed(last[0], last[1].energy, last[1].std, n_steps, reason)
