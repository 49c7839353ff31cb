"""Moves of atoms for models whose tiles are atoms: only the neighbours are evaluated again."""

from __future__ import annotations

import math
from numbers import Integral

import numpy as np

from ..evaluation._local import checked_terms
from ..exceptions import TileModelError
from ..fields._in_memory import as_array
from ..structures import Structures
from ..structures._cell_lists import CellLists
from ..structures._systems import AtomSystems
from ..tiling import AtomTiling


class AtomTileUpdates:
    """The total of one structure under moves of its atoms, for models on `AtomTiling`.

    A move changes the environments of the atom and of those within the cutoff of its old and its
    new position. Only these are described and evaluated again, so that a move takes the same time
    in a structure of any size.

    Parameters
    ----------
    model : EDNNRegressor
        Fitted, with one total; all terms must have an `AtomTiling`.
    structure : structure
        An `ase.Atoms`, or another structure that `AtomTiling` accepts. It is copied.

    Raises
    ------
    TileModelError, TilingError, ValueError
        If the model or the structure is unsuitable.

    Examples
    --------
    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.descriptors import PowerSpectrum
    >>> from sk_ednn.simulation import AtomTileUpdates
    >>> from sk_ednn.tiling import AtomTiling
    >>> cells = [bulk("Cu", a=a) for a in (3.4, 3.5, 3.6, 3.7, 3.8)]
    >>> energies = [EMT().get_potential_energy(cell) for cell in cells]
    >>> tiling = AtomTiling(PowerSpectrum(cutoff=4.0, n_radial=3, max_l=1))
    >>> model = EDNNRegressor(Ridge(1e-6), tiling).fit(cells, energies)
    >>> large = bulk("Cu", a=3.6, cubic=True) * (4, 4, 4)
    >>> local = AtomTileUpdates(model, large)
    >>> cost = local.propose(17, large.positions[17] + [0.1, 0.0, 0.0])
    >>> local.accept()
    >>> large.positions[17, 0] += 0.1
    >>> bool(np.isclose(local.total, model.predict([large])[0], rtol=1e-10))
    True
    """

    def __init__(self, model, structure):
        self._terms = checked_terms(model)
        for _, tiling in self._terms:
            if not isinstance(tiling, AtomTiling):
                raise TileModelError(
                    "Expected a model whose tiles are atoms, with an AtomTiling for each term; "
                    f"got {tiling!r}. AtomUpdates moves atoms that are drawn as pixels."
                )
            if tiling.context is not None:
                raise TileModelError(
                    "A moved atom changes the averages of an AtomTiling with a context, and with "
                    "them the contributions of all atoms. Take a model without a context, or "
                    "evaluate the whole structure with model.predict."
                )
        if model.n_outputs_ != 1:
            raise TileModelError(f"Expected one total, the model has {model.n_outputs_}.")
        systems = model.check_systems([structure])
        self._species = systems.species
        self._cutoff = max(float(tiling.descriptor.cutoff) for _, tiling in self._terms)
        (packed,) = systems.structures
        self._numbers, self._cell = packed.numbers.copy(), packed.cell.copy()
        self._boxes = CellLists(packed, self._cutoff)
        self._contributions = np.zeros(len(self._numbers))
        for tile_model, tiling in self._terms:
            (values,) = tiling.by_sample(
                systems, model.evaluation_.contributions(tile_model, tiling, systems)
            )
            chosen = np.ones(len(self._numbers), dtype=bool)
            if tiling.species is not None:
                chosen = self._numbers == tiling.number
            self._contributions[chosen] += values[:, 0]
        self._proposed = None

    @property
    def positions(self) -> np.ndarray:
        """A copy of the current positions, (n_atoms, 3), in Å."""
        return self._boxes.positions.copy()

    @property
    def total(self) -> float:
        """The total of the current structure."""
        return math.fsum(self._contributions)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self._numbers)

    def position(self, atom) -> np.ndarray:
        """Return a copy of the position of an atom, (3,), in Å."""
        return self._boxes.positions[atom].copy()

    def is_close(self, atom, position, distance) -> bool:
        """Return True if another atom is closer to a position than a distance, in Å.

        Distances are at most the cutoff.
        """
        near = self._boxes.near(position, min(distance, self._cutoff))
        return bool(np.any(near != atom))

    def propose(self, atom, position) -> float:
        """Return the change of the total if an atom were moved; nothing is changed.

        Parameters
        ----------
        atom : int
        position : array-like of shape (3,), in Å
            New position, inside the cell or not.

        Raises
        ------
        ValueError
            If the position is not finite or coincides with that of another atom, or if there
            is no such atom. There is then no proposal.
        """
        self._proposed = None
        position = np.array(as_array(position, "position", np.float64))
        if position.shape != (3,) or not np.isfinite(position).all():
            raise ValueError(f"Expected a finite position (x, y, z) in Å, got {position.tolist()}.")
        if not isinstance(atom, Integral) or not 0 <= int(atom) < len(self._numbers):
            raise ValueError(f"Expected an atom from 0 to {len(self._numbers) - 1}, got {atom}.")
        atom, before = int(atom), self._boxes.positions[int(atom)].copy()
        affected = [self._boxes.near(before, self._cutoff)]
        self._boxes.move(atom, position)
        try:
            affected.append(self._boxes.near(position, self._cutoff))
            atoms = np.unique(np.concatenate([*affected, [atom]]))
            contributions = self._evaluate(atoms)
        finally:
            self._boxes.move(atom, before)
        self._proposed = atom, position, atoms, contributions
        return math.fsum(contributions - self._contributions[atoms])

    def accept(self) -> None:
        """Carry out the last proposal.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self._proposed is None:
            raise ValueError("There is nothing to accept: call propose first.")
        atom, position, atoms, contributions = self._proposed
        self._boxes.move(atom, position)
        self._contributions[atoms] = contributions
        self._proposed = None

    def _evaluate(self, atoms) -> np.ndarray:
        index, positions = self._boxes.cluster(atoms)
        cluster = Structures(
            self._numbers[index], positions, np.zeros((1, 3, 3)), np.zeros((1, 3), dtype=bool),
            np.array([0, len(index)]),
        )  # fmt: skip
        systems = AtomSystems(cluster, self._species, np.arange(len(atoms)))
        contributions = np.zeros(len(atoms))
        for tile_model, tiling in self._terms:
            chosen = np.arange(len(atoms))
            if tiling.species is not None:
                chosen = np.flatnonzero(self._numbers[atoms] == tiling.number)
            if len(chosen):
                tiles = tiling.read(systems, 0, len(chosen))
                contributions[chosen] += tile_model.predict(tiles)[:, 0]
        return contributions
