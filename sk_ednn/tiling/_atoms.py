"""Tiling of structures: an atom is the focus, its neighbourhood the context."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._utils.memory import free_bytes
from .._utils.stacklevel import outside_package
from .._utils.stored import stored
from ..descriptors import AbstractDescriptor
from ..exceptions import NoveltyWarning, TilingError
from ..fields._range import InputRange
from ..structures import Structures, atomic_number
from ..structures._distances import doubt_of_distances, range_of_distances
from ..structures._elements import symbol
from ..structures._environments import cluster_of, environments_of
from ..structures._systems import AtomSystems
from ._averages import StructureAverages
from ._packed import AbstractPackedTiling, PackedBlock, checked_gradient

# Fraction of the free memory that cached descriptors may take.
_CACHED_FRACTION = 0.25


@stored("AtomTiling")
class AtomTiling(AbstractPackedTiling):
    """Take each atom of a structure as a tile, with a descriptor of its neighbourhood.

    The total of a structure is the sum over its atoms, as in Behler-Parrinello potentials, but
    with any regressor as the function of the descriptor. With `species`, only atoms of one element
    are tiles, so that with one term per element each element has a tile model; see `per_species`.

    Parameters
    ----------
    descriptor : AbstractDescriptor
        For example `SymmetryFunctions` or `PowerSpectrum`. If its species are None, those of the
        training structures are taken.
    species : str or int, default=None
        Take only atoms of this element.
    context : AbstractDescriptor, default=None
        An intensive context, for what no neighbourhood contains, such as charge between defects:
        each tile ends with the averages of this descriptor over the structure, those of the atoms
        of each element apart, and the composition. Totals stay exactly extensive. Take one of few
        numbers, and multiply the other features by them with `sk_ednn.encoders.ContextProducts`.

    Notes
    -----
    Without `species`, tiles of structures with several elements start with a one-hot encoding of
    the element. ``baseline="content"`` is then linear in the composition. With one term per
    element, ``baseline="size"`` is.

    Structures of more than 8,192 atoms are cut into regions of space, each read with its
    surroundings within the cutoff. Contributions are nevertheless in the order of the atoms.

    References
    ----------
    J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007), eq. 2.

    Examples
    --------
    Fit the energy of strained copper to cells of one atom, and predict a cell of 108:

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
    has_round_off = True
    context: Any = None  # of tilings in files that are older than the parameter

    def __init__(self, descriptor, *, species=None, context=None):
        self.descriptor = descriptor
        self.species = species
        self.context = context

    def range_of(self, systems) -> InputRange | None:
        """Return the range of distances of nearest neighbours, as that of a single channel."""
        found = range_of_distances(systems.structures)
        if found is None:
            return None
        least, largest = np.array(found[:1]), np.array(found[1:])
        return InputRange(least, largest, np.zeros(1))

    def compare_range(self, systems, values) -> AtomSystems:
        """Warn of structures whose atoms are much closer or further apart; return the systems."""
        fitted = InputRange.from_array(values)
        doubt = doubt_of_distances(
            systems.structures, float(fitted.least[0]), float(fitted.largest[0])
        )
        if doubt is not None:
            warnings.warn(doubt, NoveltyWarning, stacklevel=outside_package())
        return systems

    @classmethod
    def per_species(cls, tile_model, descriptor, species, *, context=None) -> list:
        """Return a list of terms for `EDNNRegressor`, one for each element.

        Parameters
        ----------
        tile_model : estimator
            Cloned for each term.
        descriptor : AbstractDescriptor
        species : sequence of str or int
        context : AbstractDescriptor, default=None

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
        names = [symbol(atomic_number(name)) for name in species]
        return [
            (name, tile_model, cls(descriptor, species=name, context=context)) for name in names
        ]

    # --- the interface of AbstractTiling ----------------------------------------------------

    def check(self, X, *, like=None) -> AtomSystems:
        """Check structures; see `AbstractTiling`.

        Parameters
        ----------
        X : sequence of structures
            ``ase.Atoms``, or any objects with numbers, positions, cell and pbc.
        like : tuple of int, default=None
            Atomic numbers of the training structures.
        """
        if not isinstance(self.descriptor, AbstractDescriptor):
            raise TilingError(
                "AtomTiling needs a descriptor such as PowerSpectrum(cutoff=6.0), got "
                f"{self.descriptor!r}."
            )
        if self.context is not None and not isinstance(self.context, AbstractDescriptor):
            raise TilingError(
                f"The context of an AtomTiling must be a descriptor or None, got {self.context!r}."
            )
        if self.species is not None:
            atomic_number(self.species)
        if isinstance(X, AtomSystems):
            if like is None or X.species == tuple(like):
                return X
            return _with_species(X.structures, like)
        structures = Structures.of(X)
        if like is not None:
            return _with_species(structures, like)
        descriptor = self.descriptor.with_species(structures.numbers)
        return AtomSystems(structures, tuple(descriptor.species_numbers.tolist()))

    def describe(self, systems: AtomSystems) -> tuple[int, ...]:
        """Return the atomic numbers of the descriptor."""
        return systems.species

    def shape_of_tiles(self, systems: AtomSystems) -> tuple[int, ...]:
        """Return the shape of a tile: the element, if encoded, the descriptor, the context."""
        shape = tuple(self._descriptor(systems).tile_shape)
        n_contexts = self.n_contexts(systems)
        if n_contexts and len(shape) > 1:
            raise TilingError(
                f"{type(self.descriptor).__name__} describes an atom by an array of shape {shape}, "
                "to which no context can be appended. Use a descriptor of one axis."
            )
        return (self._n_indicators(systems) + shape[0] + n_contexts, *shape[1:])

    def tile_offsets(self, systems: AtomSystems) -> np.ndarray:
        """Return the index of the first tile of each sample."""
        return systems.tiles(self.number)[1]

    def read(self, systems: AtomSystems, start, stop) -> np.ndarray:
        """Return the descriptors of atoms, (stop - start, *tile_shape)."""
        atoms = systems.tiles(self.number)[0][start:stop]
        descriptor = self._descriptor(systems)
        cached = self._cached_values(systems, descriptor)
        if cached is not None:
            values = cached[atoms]
        else:
            values = np.empty((len(atoms), *descriptor.tile_shape))
            for rows, environments, _ in environments_of(systems, atoms, self.descriptor.cutoff):
                values[rows] = descriptor.values(environments)
        parts = [values]
        if self._n_indicators(systems):
            numbers = systems.structures.numbers[atoms]
            parts.insert(0, (numbers[:, None] == np.array(systems.species)).astype(float))
        if self.context is not None:
            self.shape_of_tiles(systems)  # raises where no context can be appended
            parts.append(self._averages.values(systems)[systems.structures.owners[atoms]])
        return values if len(parts) == 1 else np.concatenate(parts, axis=1)

    def n_contents(self, systems: AtomSystems) -> int:
        """Return the length of the encoding of elements; a single element has no content."""
        return self._n_indicators(systems)

    def n_contexts(self, systems: AtomSystems) -> int:
        """Return the number of averages at the end of a tile; 0 without a `context`."""
        if self.context is None:
            return 0
        return self._averages.n_values(systems)

    def by_sample(self, systems: AtomSystems, out) -> list[np.ndarray]:
        """Return a list of arrays, one for each structure, in the order of its atoms."""
        atoms, offsets = systems.tiles(self.number)
        values = out[0][np.argsort(atoms, kind="stable")]
        return np.split(values, offsets[1:-1])

    # --- gradients --------------------------------------------------------------------------

    def gradient_of(self, systems: AtomSystems, tile_gradients, max_tiles) -> list[np.ndarray]:
        """Return the gradients of totals; see `AbstractTiling`.

        Returns
        -------
        list of two ndarray
            With respect to positions, (n_atoms, 3), and strain, (n_structures, 3, 3).
        """
        structures, descriptor = systems.structures, self._descriptor(systems)
        positions = np.zeros((structures.n_atoms, 3))
        strain = np.zeros((len(structures), 3, 3))
        n_indicators, n_contexts = self._n_indicators(systems), self.n_contexts(systems)
        by_contexts = np.zeros((len(structures), n_contexts))
        tiles, _ = systems.tiles(self.number)
        for block in self.plan(systems, max_tiles):
            atoms = tiles[block.start : block.stop]
            by_tiles = tile_gradients(self.read(systems, block.start, block.stop))[:, n_indicators:]
            if n_contexts:
                by_tiles, of_context = np.split(by_tiles, [-n_contexts], axis=1)
                np.add.at(by_contexts, structures.owners[atoms], of_context)
            for rows, environments, (index, samples) in environments_of(
                systems, atoms, self.descriptor.cutoff
            ):
                by_pairs = descriptor.pull(environments, by_tiles[rows])
                by_positions, by_strain = environments.gradient(by_pairs)
                np.add.at(positions, index, by_positions)
                np.add.at(strain, samples, by_strain)
        if n_contexts:
            self._averages.pull(systems, by_contexts, positions, strain)
        return [positions, strain]

    def known_gradients(self, systems: AtomSystems, gradient) -> dict[str, list]:
        """Return target gradients by positions and by strain; see `AbstractTiling`.

        Parameters
        ----------
        systems : AtomSystems
        gradient : list of mapping, object or None
            Each with ``positions`` (n_atoms, 3), minus the forces, and ``strain`` (3, 3), the
            stress times the volume. Either may be missing or None.
        """
        kinds: dict[str, list] = {"positions": [], "strain": []}
        sizes = systems.structures.sizes.tolist()
        for k, (labels, n) in enumerate(zip(gradient, sizes, strict=True)):
            get = labels.get if isinstance(labels, Mapping) else partial(getattr, labels)
            for kind, shape in (("positions", (n, 3)), ("strain", (3, 3))):
                values = get(kind, None)
                values = checked_gradient(values, shape, f"{kind} of gradient[{k}]")
                if values is not None and kind == "strain":
                    values = _to_basis(values.reshape(3, 3))
                kinds[kind].append(values)
        return {
            kind: values for kind, values in kinds.items() if any(v is not None for v in values)
        }

    def push(self, systems: AtomSystems, block, kind, directions) -> list[np.ndarray]:
        """Return the changes of descriptors along directions; see `AbstractTiling`."""
        structures, descriptor = systems.structures, self._descriptor(systems)
        atoms = systems.tiles(self.number)[0][block.start : block.stop]
        n_indicators = self._n_indicators(systems)
        pushed = [np.zeros((len(atoms), *self.shape_of_tiles(systems))) for _ in directions]
        tangents = []
        for by_sample in directions:
            positions, strain = np.zeros((structures.n_atoms, 3)), np.zeros((len(structures), 3, 3))
            for k, direction in zip(self.samples(systems, block), by_sample, strict=True):
                if direction is not None and kind == "strain":
                    strain[k] = _from_basis(direction)
                elif direction is not None:
                    part = slice(structures.offsets[k], structures.offsets[k + 1])
                    positions[part] = direction.reshape(-1, 3)
            tangents.append((positions, strain))
        stop = n_indicators + descriptor.tile_shape[0]
        for rows, environments, (index, samples) in environments_of(
            systems, atoms, self.descriptor.cutoff
        ):
            for change, (positions, strain) in zip(pushed, tangents, strict=True):
                vectors = environments.displace(positions[index], strain[samples])
                change[rows, n_indicators:stop] = descriptor.push(environments, vectors)
        if self.context is not None:
            owners = structures.owners[atoms]
            averages = self._averages.push(systems, self.samples(systems, block), tangents)
            for change, of_structures in zip(pushed, averages, strict=True):
                change[:, stop:] = of_structures[owners]
        return pushed

    def gradient_by_sample(self, systems: AtomSystems, parts) -> list[Bunch]:
        """Return a Bunch of ``positions`` (n, 3) and ``strain`` (3, 3) for each structure."""
        positions = np.split(parts[0], systems.structures.offsets[1:-1])
        return [
            Bunch(positions=by_positions, strain=by_strain)
            for by_positions, by_strain in zip(positions, parts[1], strict=True)
        ]

    def piece(self, systems: AtomSystems, blocks: list[PackedBlock]):
        """Return the structures of some blocks, or a region of one; see `AbstractTiling`."""
        first, last = blocks[0].first, blocks[-1].last
        samples = np.arange(first, last + 1)
        tiles, offsets = systems.tiles(self.number)
        if first < last or systems.structures.sizes[first] <= systems.max_atoms:
            part, base = systems.take(samples), int(offsets[first])
        else:
            start, base = blocks[0].start, blocks[0].start
            part = self._region(systems, first, tiles[start : blocks[-1].stop])
        moved = [
            PackedBlock(b.start - base, b.stop - base, b.first - first, b.last - first)
            for b in blocks
        ]
        return part, moved, samples

    # --- helpers ----------------------------------------------------------------------------

    @property
    def number(self) -> int | None:
        """Atomic number of the atoms that are tiles; None for all atoms."""
        return None if self.species is None else atomic_number(self.species)

    @property
    def _averages(self) -> StructureAverages:
        return StructureAverages(self.context)

    def _descriptor(self, systems) -> Any:
        key = "descriptor", repr(self.descriptor)
        if key not in systems.cached:
            systems.cached[key] = self.descriptor.with_species(np.array(systems.species))
        return systems.cached[key]

    def _n_indicators(self, systems) -> int:
        if self.species is not None or len(systems.species) == 1:
            return 0
        if len(self._descriptor(systems).tile_shape) > 1:
            raise TilingError(
                f"{type(self.descriptor).__name__} describes an atom by an array of shape "
                f"{self._descriptor(systems).tile_shape}, which has no room for its element. Use "
                "one term per element: AtomTiling.per_species(tile_model, descriptor, species)."
            )
        return len(systems.species)

    def _cached_values(self, systems, descriptor) -> np.ndarray | None:
        """Return the descriptors of all atoms, or None if they are too large to be cached."""
        key = repr(descriptor)
        if key not in systems.described:
            structures = systems.structures
            n_bytes = 8.0 * structures.n_atoms * np.prod(descriptor.tile_shape)
            if systems.centers is not None or (structures.sizes > systems.max_atoms).any():
                return None
            if n_bytes > _CACHED_FRACTION * free_bytes():
                return None
            values = np.empty((structures.n_atoms, *descriptor.tile_shape))
            all_atoms = np.arange(structures.n_atoms)
            for rows, environments, _ in environments_of(
                systems, all_atoms, self.descriptor.cutoff
            ):
                values[rows] = descriptor.values(environments)
            systems.described[key] = values
        return systems.described[key]

    def _region(self, systems, k, atoms) -> AtomSystems:
        region, _ = cluster_of(systems, k, atoms, float(self.descriptor.cutoff))
        averages = {}
        if self.context is not None:
            averages[repr(self.context)] = self._averages.values(systems)[[k]]
        return AtomSystems(
            region, systems.species, np.arange(len(atoms)), averages, max_atoms=systems.max_atoms
        )


def _to_basis(strain) -> np.ndarray:
    """Return the six components of a gradient by strain in an orthonormal basis."""
    symmetric = (strain + strain.T) / 2
    off_diagonal = symmetric[[1, 0, 0], [2, 2, 1]]
    return np.concatenate([np.diag(symmetric), np.sqrt(2) * off_diagonal])


def _from_basis(values) -> np.ndarray:
    """Return the symmetric matrix (3, 3) of six components; see `_to_basis`."""
    matrix = np.diag(values[:3])
    rows, columns = [1, 0, 0], [2, 2, 1]
    matrix[rows, columns] = matrix[columns, rows] = values[3:] / np.sqrt(2)
    return matrix


def _with_species(structures, species) -> AtomSystems:
    """Return structures with the species of the training structures; reject other species."""
    unknown = sorted(set(np.unique(structures.numbers).tolist()) - set(species))
    if unknown:
        atom = int(np.flatnonzero(structures.numbers == unknown[0])[0])
        raise TilingError(
            f"The model was fitted to structures of {', '.join(map(symbol, species))}, but "
            f"{structures.place(atom)}, is {symbol(unknown[0])}. Fit a model to structures that "
            "contain it."
        )
    return AtomSystems(structures, tuple(species))
