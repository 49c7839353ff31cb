"""Tiles of structures: an atom is the focus, its neighbourhood the context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._utils.memory import free_bytes
from .._utils.stored import stored
from ..descriptors import AbstractDescriptor
from ..exceptions import TilingError
from ..structures import Environments, Structures, atomic_number, neighbor_pairs
from ..structures._bins import surroundings
from ..structures._elements import symbol
from ..structures._systems import LARGE, AtomSystems
from ._packed import AbstractPackedTiling, PackedBlock, checked_gradient

# Of the free memory, what described atoms may take that are kept for the next question.
_KEPT = 0.25


@stored("AtomTiling")
class AtomTiling(AbstractPackedTiling):
    """Take each atom of a structure as a tile, described by its neighbourhood within a cutoff.

    The total of a structure is the sum over its atoms, as in the potentials of Behler and
    Parrinello: any regressor can be the function of the descriptor. With `species` only atoms of
    one element are tiles, so that one term for each element gives each a tile model; see
    `per_species`.

    Parameters
    ----------
    descriptor : AbstractDescriptor
        Such as `SymmetryFunctions` or `PowerSpectrum`. Where its species are None, those of the
        structures of the fit are taken.
    species : str or int, default=None
        Take only atoms of this element.

    Notes
    -----
    Without `species`, tiles of structures of several elements begin with an indicator of the
    element, one number for each. ``baseline="content"`` is then linear in the composition; with
    one term for each element ``baseline="size"`` is.

    Structures of more than 8,192 atoms are cut into regions of space, each read with what is
    within the cutoff around it. Contributions come in the order of the atoms all the same.

    References
    ----------
    J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007), eq. 2.

    Examples
    --------
    The energy of strained copper, fitted to cells of one atom, of a cell of 108:

    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.descriptors import PowerSpectrum
    >>> from sk_ednn.tiling import AtomTiling
    >>> cells = [bulk("Cu", a=a) for a in (3.4, 3.5, 3.6, 3.7, 3.8)]
    >>> energies = [EMT().get_potential_energy(cell) for cell in cells]
    >>> tiling = AtomTiling(PowerSpectrum(cutoff=5.0, n_radial=4, max_l=2))
    >>> model = EDNNRegressor(Ridge(1e-6), tiling).fit(cells, energies)
    >>> large = bulk("Cu", a=3.6, cubic=True) * (3, 3, 3)
    >>> bool(abs(model.predict([large])[0] / 108 - energies[2]) < 1e-3)
    True
    """

    has_gradient = True

    def __init__(self, descriptor, *, species=None):
        self.descriptor = descriptor
        self.species = species

    @classmethod
    def per_species(cls, tile_model, descriptor, species) -> list:
        """Return a list of terms, one for each element, for `EDNNRegressor`.

        Parameters
        ----------
        tile_model : estimator
            Cloned for each term.
        descriptor : AbstractDescriptor
        species : sequence of str or int

        Returns
        -------
        list of (name, tile_model, tiling)

        Examples
        --------
        >>> from sklearn.linear_model import Ridge
        >>> from sk_ednn.descriptors import PowerSpectrum
        >>> from sk_ednn.tiling import AtomTiling
        >>> terms = AtomTiling.per_species(Ridge(), PowerSpectrum(6.0), ["Ti", 8])
        >>> [name for name, *_ in terms]
        ['Ti', 'O']
        """
        numbers = [atomic_number(each) for each in species]
        return [
            (symbol(number), tile_model, cls(descriptor, species=symbol(number)))
            for number in numbers
        ]

    # --- the contract -----------------------------------------------------------------------

    def check(self, X, *, like=None) -> AtomSystems:
        """Check structures; see `AbstractTiling`.

        Parameters
        ----------
        X : sequence of structures
            ``ase.Atoms``, or anything with numbers, positions, cell and pbc.
        like : tuple of int, default=None
            Atomic numbers that the model knows.
        """
        if not isinstance(self.descriptor, AbstractDescriptor):
            raise TilingError(
                "AtomTiling needs a descriptor such as PowerSpectrum(cutoff=6.0), got "
                f"{self.descriptor!r}."
            )
        if self.species is not None:
            atomic_number(self.species)
        if isinstance(X, AtomSystems):
            return X if like is None or X.species == tuple(like) else _known(X.structures, like)
        structures = Structures.of(X)
        if like is not None:
            return _known(structures, like)
        given = self.descriptor.with_species(structures.numbers)
        return AtomSystems(structures, tuple(given.species_numbers.tolist()))

    def describe(self, systems: AtomSystems) -> tuple[int, ...]:
        """Return the atomic numbers that are known."""
        return systems.species

    def shape_of_tiles(self, systems: AtomSystems) -> tuple[int, ...]:
        """Return the shape of one tile: that of the descriptor, with the element before it."""
        shape = tuple(self._descriptor(systems).tile_shape)
        return (self._n_indicators(systems) + shape[0], *shape[1:])

    def tile_offsets(self, systems: AtomSystems) -> np.ndarray:
        """Return where the tiles of each sample begin."""
        return systems.tiles(self.number)[1]

    def read(self, systems: AtomSystems, start, stop) -> np.ndarray:
        """Return the descriptors of atoms, (stop - start, *tile_shape)."""
        atoms = systems.tiles(self.number)[0][start:stop]
        descriptor = self._descriptor(systems)
        kept = self._kept(systems, descriptor)
        if kept is not None:
            values = kept[atoms]
        else:
            values = np.empty((len(atoms), *descriptor.tile_shape))
            for place, environments, _ in self._environments(systems, atoms):
                values[place] = descriptor.values(environments)
        n_indicators = self._n_indicators(systems)
        if n_indicators == 0:
            return values
        numbers = systems.structures.numbers[atoms]
        indicators = (numbers[:, None] == np.array(systems.species)).astype(float)
        return np.concatenate([indicators, values], axis=1)

    def n_contents(self, systems: AtomSystems) -> int:
        """Return the number of indicators of elements; of one element the size is the content."""
        return self._n_indicators(systems)

    def by_sample(self, systems: AtomSystems, out) -> list[np.ndarray]:
        """Return a list of arrays, one for each structure, in the order of its atoms."""
        atoms, offsets = systems.tiles(self.number)
        values = out[0][np.argsort(atoms, kind="stable")]
        return np.split(values, offsets[1:-1])

    # --- gradients --------------------------------------------------------------------------

    def gradient_of(self, systems: AtomSystems, slopes, max_tiles) -> list[np.ndarray]:
        """Return the gradients of totals; see `AbstractTiling`.

        Returns
        -------
        list of two ndarray
            By positions, (n_atoms, 3), and by strain, (n_structures, 3, 3).
        """
        structures, descriptor = systems.structures, self._descriptor(systems)
        positions = np.zeros((structures.n_atoms, 3))
        strain = np.zeros((len(structures), 3, 3))
        n_indicators = self._n_indicators(systems)
        tiles, _ = systems.tiles(self.number)
        for block in self.plan(systems, max_tiles):
            atoms = tiles[block.start : block.stop]
            by_tiles = slopes(self.read(systems, block.start, block.stop))[:, n_indicators:]
            for place, environments, origin in self._environments(systems, atoms):
                by_pairs = descriptor.pull(environments, by_tiles[place])
                own, of_cells = environments.gradient(by_pairs)
                index, samples = origin
                np.add.at(positions, index, own)
                np.add.at(strain, samples, of_cells)
        return [positions, strain]

    def known_gradients(self, systems: AtomSystems, gradient) -> dict[str, list]:
        """Return gradients by positions and by strain; see `AbstractTiling`.

        Parameters
        ----------
        systems : AtomSystems
        gradient : list of mapping or object, or None
            With ``positions`` (n_atoms, 3), minus the forces, and ``strain`` (3, 3), the stress
            times the volume; either may be missing or None.
        """
        kinds: dict[str, list] = {"positions": [], "strain": []}
        sizes = systems.structures.sizes.tolist()
        for k, (known, n) in enumerate(zip(gradient, sizes, strict=True)):
            for kind, shape in (("positions", (n, 3)), ("strain", (3, 3))):
                values = (
                    known.get(kind) if isinstance(known, Mapping) else getattr(known, kind, None)
                )
                values = checked_gradient(values, shape, f"{kind} of gradient[{k}]")
                if values is not None and kind == "strain":
                    values = _of_basis(values.reshape(3, 3))
                kinds[kind].append(values)
        return {
            kind: values for kind, values in kinds.items() if any(v is not None for v in values)
        }

    def push(self, systems: AtomSystems, block, kind, directions) -> list[np.ndarray]:
        """Return how the descriptors of a block change along directions; see `AbstractTiling`."""
        structures, descriptor = systems.structures, self._descriptor(systems)
        atoms = systems.tiles(self.number)[0][block.start : block.stop]
        n_indicators = self._n_indicators(systems)
        pushed = [
            np.zeros((len(atoms), *self.shape_of_tiles(systems))) for _ in range(len(directions))
        ]
        tangents = []
        for of_samples in directions:
            positions, strain = np.zeros((structures.n_atoms, 3)), np.zeros((len(structures), 3, 3))
            for k, along in zip(self.samples(systems, block), of_samples, strict=True):
                if along is not None and kind == "strain":
                    strain[k] = _from_basis(along)
                elif along is not None:
                    part = slice(structures.offsets[k], structures.offsets[k + 1])
                    positions[part] = along.reshape(-1, 3)
            tangents.append((positions, strain))
        for place, environments, (index, samples) in self._environments(systems, atoms):
            for change, (positions, strain) in zip(pushed, tangents, strict=True):
                vectors = environments.displace(positions[index], strain[samples])
                change[place, n_indicators:] = descriptor.push(environments, vectors)
        return pushed

    def gradient_by_sample(self, systems: AtomSystems, parts) -> list[Bunch]:
        """Return for each structure a Bunch of ``positions`` (n, 3) and ``strain`` (3, 3)."""
        positions, strain = parts
        each = np.split(positions, systems.structures.offsets[1:-1])
        return [Bunch(positions=own, strain=e) for own, e in zip(each, strain, strict=True)]

    def piece(self, systems: AtomSystems, blocks: list[PackedBlock]):
        """Return the structures, or the region of one, that some blocks are of."""
        first, last = blocks[0].first, blocks[-1].last
        samples = np.arange(first, last + 1)
        tiles, offsets = systems.tiles(self.number)
        if first < last or systems.structures.sizes[first] <= LARGE:
            part, base = systems.take(samples), int(offsets[first])
        else:
            start, base = blocks[0].start, blocks[0].start
            part = self._region(systems, first, tiles[start : blocks[-1].stop])
        moved = [
            PackedBlock(b.start - base, b.stop - base, b.first - first, b.last - first)
            for b in blocks
        ]
        return part, moved, samples

    # --- parts ------------------------------------------------------------------------------

    @property
    def number(self) -> int | None:
        """Atomic number of the atoms that are tiles; None for all atoms."""
        return None if self.species is None else atomic_number(self.species)

    def _descriptor(self, systems) -> Any:
        key = "descriptor", repr(self.descriptor)
        if key not in systems.found:
            systems.found[key] = self.descriptor.with_species(np.array(systems.species))
        return systems.found[key]

    def _n_indicators(self, systems) -> int:
        if self.species is not None or len(systems.species) == 1:
            return 0
        if len(self._descriptor(systems).tile_shape) > 1:
            raise TilingError(
                f"{type(self.descriptor).__name__} describes an atom by an array of shape "
                f"{self._descriptor(systems).tile_shape}, which has no room for its element. Give "
                "each element a term: AtomTiling.per_species(tile_model, descriptor, species)."
            )
        return len(systems.species)

    def _kept(self, systems, descriptor) -> np.ndarray | None:
        """Return the descriptors of all atoms where they are small enough to be kept."""
        key = repr(descriptor)
        if key not in systems.described:
            structures = systems.structures
            n_bytes = 8.0 * structures.n_atoms * np.prod(descriptor.tile_shape)
            if systems.centers is not None or (structures.sizes > LARGE).any():
                return None
            if n_bytes > _KEPT * free_bytes():
                return None
            values = np.empty((structures.n_atoms, *descriptor.tile_shape))
            everything = np.arange(structures.n_atoms)
            for place, environments, _ in self._environments(systems, everything):
                values[place] = descriptor.values(environments)
            systems.described[key] = values
        return systems.described[key]

    def _environments(self, systems, atoms):
        """Yield the environments of atoms in groups that are small enough to be held.

        Yields
        ------
        place : ndarray of int
            Which of the atoms they are of.
        environments : Environments
        origin : tuple of ndarray of int
            The packed atoms, and the structures, that those of the environments are.
        """
        structures, cutoff = systems.structures, float(self.descriptor.cutoff)
        owners = structures.owners[atoms]
        for group in _groups(owners, structures.sizes):
            place = (
                np.flatnonzero(np.isin(owners, group))
                if len(group) < len(structures)
                else (np.arange(len(atoms)))
            )
            if len(place) == 0:
                continue
            own = atoms[place]
            if len(group) == 1 and structures.sizes[group[0]] > LARGE:
                for start in range(0, len(own), LARGE):
                    some = slice(start, start + LARGE)
                    yield place[some], *self._local(systems, int(group[0]), own[some], cutoff)
                continue
            part = structures.take(group)
            index = np.concatenate(
                [np.arange(structures.offsets[k], structures.offsets[k + 1]) for k in group]
            )
            number = np.full(structures.n_atoms, -1)
            number[index] = np.arange(len(index))
            environments: Environments = neighbor_pairs(part, cutoff)
            yield place, environments.restricted(number[own]), (index, np.asarray(group))

    def _local(self, systems, k, atoms, cutoff):
        """Return the environments of some atoms of a large structure, and where they come from."""
        region, index = self._cluster(systems, k, atoms, cutoff)
        environments = neighbor_pairs(region, cutoff).restricted(np.arange(len(atoms)))
        return environments, (index, np.array([k]))

    def _cluster(self, systems, k, atoms, cutoff):
        first = systems.structures.offsets[k]
        structure = systems.structure(k)
        local, positions = surroundings(structure, systems.bins(k, cutoff), atoms - first)
        cluster = Structures(
            structure.numbers[local], positions, np.zeros((1, 3, 3)),
            np.zeros((1, 3), dtype=bool), np.array([0, len(local)]),
        )  # fmt: skip
        return cluster, first + local

    def _region(self, systems, k, atoms) -> AtomSystems:
        region, _ = self._cluster(systems, k, atoms, float(self.descriptor.cutoff))
        return AtomSystems(region, systems.species, np.arange(len(atoms)))


def _of_basis(strain) -> np.ndarray:
    """Return a gradient by strain in an orthonormal basis of symmetric matrices, (6,)."""
    symmetric = (strain + strain.T) / 2
    off_diagonal = symmetric[[1, 0, 0], [2, 2, 1]]
    return np.concatenate([np.diag(symmetric), np.sqrt(2) * off_diagonal])


def _from_basis(values) -> np.ndarray:
    """Return the symmetric matrix of six coefficients, (3, 3)."""
    matrix = np.diag(values[:3])
    rows, columns = [1, 0, 0], [2, 2, 1]
    matrix[rows, columns] = matrix[columns, rows] = values[3:] / np.sqrt(2)
    return matrix


def _known(structures, species) -> AtomSystems:
    unknown = sorted(set(np.unique(structures.numbers).tolist()) - set(species))
    if unknown:
        atom = int(np.flatnonzero(structures.numbers == unknown[0])[0])
        raise TilingError(
            f"The model knows {', '.join(map(symbol, species))}, and {structures.place(atom)}, is "
            f"{symbol(unknown[0])}. Fit a model to structures that contain it."
        )
    return AtomSystems(structures, tuple(species))


def _groups(owners, sizes) -> list[np.ndarray]:
    """Return the structures of some atoms in groups of at most `LARGE` atoms, large ones alone."""
    groups: list[list[int]] = [[]]
    n_atoms = 0
    for k in np.unique(owners).tolist():
        if groups[-1] and n_atoms + sizes[k] > LARGE:
            groups.append([])
            n_atoms = 0
        groups[-1].append(k)
        n_atoms += int(sizes[k])
    return [np.array(group) for group in groups if group]
