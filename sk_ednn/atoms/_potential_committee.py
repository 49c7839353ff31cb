"""A committee of potentials: the mean of several trainings, and their spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._utils.stored import stored
from ._potentials import Prediction


@stored("PotentialCommittee")
@dataclass(eq=False)
class PotentialCommittee:
    """Average the predictions of several fitted potentials.

    Parameters
    ----------
    members : list of AtomicPotential
    """

    members: list

    def predict(self, structures, *, forces=False, stress=False, per_atom=False) -> Prediction:
        """Predict mean energies and, on request, forces, stresses and energies of atoms.

        Parameters
        ----------
        structures : Structures
        forces, stress, per_atom : bool, default=False
        """
        return self._mean(self._predict_each(structures, forces, stress, per_atom))

    def predict_with_std(self, structures, *, forces=False, stress=False, per_atom=False):
        """Predict means, and the standard deviations of the members.

        Parameters
        ----------
        structures : Structures
        forces, stress, per_atom : bool, default=False

        Returns
        -------
        mean, std : Prediction
        """
        each = self._predict_each(structures, forces, stress, per_atom)
        spread = [
            None if kind[0] is None else np.std(kind, axis=0) for kind in zip(*each, strict=True)
        ]
        return self._mean(each), Prediction(*spread)

    def _predict_each(self, structures, forces, stress, per_atom):
        return [
            Prediction(*member.predict(structures, forces=forces, stress=stress, per_atom=per_atom))
            for member in self.members
        ]

    @staticmethod
    def _mean(each):
        return Prediction(
            *(
                None if kind[0] is None else np.mean(kind, axis=0)
                for kind in zip(*each, strict=True)
            )
        )


def members_of(potential) -> list:
    """Return the members of a committee, or a list of the single potential."""
    return potential.members if isinstance(potential, PotentialCommittee) else [potential]


def with_member(record, k, n_members) -> dict:
    """Return a record of the training of a committee's member, which is numbered from 1."""
    return record if n_members == 1 else {"member": k + 1, **record}


class MemberCallback:
    """Call a function with the records of the training of one member.

    Parameters
    ----------
    callback : callable
    k, n_members : int
    """

    def __init__(self, callback, k, n_members):
        self.callback, self.k, self.n_members = callback, k, n_members

    def __call__(self, record):
        return self.callback(with_member(record, self.k, self.n_members))


def checkpoint_of(path, k, n_members):
    """Return the checkpoint of a member: its number, from 1, is added to the name of the file."""
    if path is None or n_members == 1:
        return path
    path = Path(path)
    return path.with_name(f"{path.stem}-{k + 1}{path.suffix}")
