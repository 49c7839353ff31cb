"""Random structures, and new ones made of good ones, by the operators of ase-ga."""

from __future__ import annotations

from collections import Counter
from operator import index

import numpy as np

from .._utils.optional import needing
from ..structures import Structure, atomic_number
from ._ase import to_atoms
from ._soft_modes import soft_modes
from ._symmetric import symmetric_cell, symmetric_cluster

with needing("Structure search"):
    from ase import Atoms
    from ase.data import covalent_radii
    from ase.formula import Formula
    from ase_ga.cutandsplicepairing import CutAndSplicePairing
    from ase_ga.standardmutations import PermutationMutation, RattleMutation, StrainMutation
    from ase_ga.startgenerator import StartGenerator
    from ase_ga.utilities import CellBounds, atoms_too_close, closest_distances_generator

# Share of a cell that spheres of the covalent radii fill, between diamond's and that of metals.
_FILLING = 0.5
# Area of an atom of a sheet, in squares of its bond; graphene has 1.3.
_AREA = 1.3
# Vacuum on each side of a cluster's box, Å; nothing depends on it.
_VACUUM = 5.0
_MOST_TRIES = 200
# Of a cell whose structures are searched; more would not end in a lifetime.
_MOST_ATOMS = 10_000
# The chance of each mode beyond the softest, relative to that of the one before.
_NEXT_MODE = 0.7
# Å: the largest and the least displacement of the atom that a soft mode moves most.
_SOFT_RANGE = (2.0, 0.4)
# Above the substrate's highest atom where random layers begin, Å.
_ABOVE = 1.0

KINDS = ("crystal", "cluster", "sheet", "surface")


class Operators:
    """Make structures of one composition.

    Parameters
    ----------
    numbers : sequence of int
        Atomic numbers, those of a substrate not included.
    kind : {"crystal", "cluster", "sheet", "surface"}
        Repeating along all axes in a cell that varies; free; repeating along the first two axes in
        a cell that varies; or on a fixed substrate.
    volume : float, default=None, in Å³ per atom
        Volume of random structures, within 30 %; None for that of the covalent radii.
    closeness : float, default=0.7
        No two atoms are closer than this share of the sum of their covalent radii.
    substrate : Structure, default=None
        For surfaces; with vacuum along its third axis. These atoms come first in each structure.
    thickness : float, default=3.0, in Å
        Thickness of random sheets, and of random layers on a substrate.
    symmetric : bool, default=False
        Random structures have a space group, a layer group or a point group; not for surfaces.

    Attributes
    ----------
    names : tuple of str
        What `make` makes of parents.
    """

    def __init__(
        self, numbers, kind, *, volume=None, closeness=0.7, substrate=None, thickness=3.0,
        symmetric=False,
    ):  # fmt: skip
        self.numbers = np.sort(np.asarray(numbers, dtype=int))
        self.kind = kind
        if kind not in KINDS:
            raise ValueError(f"Expected a kind of {', '.join(KINDS)}, got {kind!r}.")
        if (substrate is None) is (kind == "surface"):
            raise ValueError('Expected a substrate for kind="surface", and for no other.')
        self.substrate = None if substrate is None else to_atoms(substrate)
        if self.substrate is not None:
            _require_vacuum(self.substrate, thickness)
        if symmetric and kind == "surface":
            raise ValueError('Symmetric starts are for crystals, sheets and clusters; expected '
                             'starts="random" for kind="surface".')  # fmt: skip
        self.thickness = thickness
        self.symmetric = symmetric
        species = np.unique(self.numbers).tolist()
        below = [] if substrate is None else np.unique(substrate.numbers).tolist()
        self._closest = closest_distances_generator(sorted({*species, *below}), closeness)
        if volume is None:
            radii = covalent_radii[self.numbers]
            if kind == "sheet":
                volume = _AREA * float(np.mean((2.0 * radii) ** 2)) * thickness
            else:
                volume = float(np.mean(4.0 / 3.0 * np.pi * radii**3)) / _FILLING
        self.volume = volume
        self._check_volume()
        self.names = ("again", "cut_and_splice", "rattle")
        if len(self.numbers) > 1:
            self.names += ("soft",)
        if self.n_cell_vectors:
            self.names += ("strain",)
        if len(species) > 1:
            self.names += ("permutation",)
        if symmetric:
            self.names += ("symmetric",)

    @property
    def n_cell_vectors(self) -> int:
        """Number of lattice vectors that vary."""
        return {"crystal": 3, "sheet": 2}.get(self.kind, 0)

    @property
    def n_fixed(self) -> int:
        """Number of atoms, the first ones, that do not move."""
        return 0 if self.substrate is None else len(self.substrate)

    def shortest(self, closeness) -> float:
        """Return the least sum of two covalent radii times a factor, in Å."""
        fixed = [] if self.substrate is None else self.substrate.numbers
        return 2.0 * closeness * float(covalent_radii[[*self.numbers, *fixed]].min())

    def n_parents(self, name) -> int:
        """Return the number of parents of an operator."""
        return {"start": 0, "symmetric": 0, "cut_and_splice": 2}.get(name, 1)

    def admitted(self, structure) -> Structure:
        """Return a structure of the user in the form of generated ones: by number, in the box.

        Raises
        ------
        ValueError
            If it is of another composition or kind, or atoms are too close.
        """
        atoms = to_atoms(structure)
        n = self.n_fixed
        moving = np.sort(atoms.numbers[n:])
        if not np.array_equal(moving, self.numbers):
            raise ValueError(
                f"expected {Atoms(self.numbers).get_chemical_formula()}, "
                f"got {Atoms(moving).get_chemical_formula()}"
            )
        pbc = self._empty().pbc.tolist()
        if atoms.pbc.tolist() != pbc:
            raise ValueError(
                f'expected periodic boundaries {pbc} for kind="{self.kind}", '
                f"got {atoms.pbc.tolist()}"
            )
        if n and not (
            np.array_equal(atoms.numbers[:n], self.substrate.numbers)
            and np.allclose(atoms.positions[:n], self.substrate.positions, atol=1e-6)
            and np.allclose(atoms.cell, self.substrate.cell, atol=1e-6)
        ):
            raise ValueError(f"expected the substrate as its first {n} atoms")
        if self.kind == "sheet" and not np.allclose(atoms.cell[:2, 2], 0.0, atol=1e-6):
            raise ValueError("expected a sheet whose cell vectors a and b have no z component")
        if self._is_close(atoms):
            raise ValueError("two of its atoms are too close")
        return self._structure(self._boxed(atoms))

    def make(self, name, parents, rng):
        """Make a structure.

        Parameters
        ----------
        name : str
            "start" for a random one, "symmetric" for one with a symmetry, "transmute" for one of a
            parent of another composition with as many atoms, or one of `names`; "again" returns
            the parent.
        parents : sequence of Structure
        rng : RandomState

        Returns
        -------
        Structure or None
            None where the operator finds none in which atoms keep their distance.
        """
        if name == "symmetric":
            return self._symmetric(rng)
        if name == "start":
            # Few groups fit some numbers of atoms.
            return (self._symmetric(rng) if self.symmetric else None) or self._start(rng)
        atoms = [self._boxed(to_atoms(parent)) for parent in parents]
        if name == "again":
            return self._structure(atoms[0])
        if name == "transmute":
            return self._transmuted(atoms[0], rng)
        if name == "soft":
            return self._softened(atoms[0], rng)
        if name == "cut_and_splice":
            child = self._pairing(rng).cross(*atoms)
        else:
            child = self._mutation(name, rng).mutate(atoms[0])
        return None if child is None else self._structure(child)

    def _smallest_volume(self) -> float:
        """Return the volume below which hardly any cell keeps its atoms from their own images."""
        longest = max(self._closest[z, z] for z in np.unique(self.numbers).tolist())
        if self.kind == "crystal":
            return longest**3
        return longest**2 * self.thickness if self.kind == "sheet" else 0.0

    def _check_volume(self):
        smallest = self._smallest_volume() / len(self.numbers)
        # Random cells are within 30 % of the volume; a cell that fits no atom is drawn for ever.
        if 1.3 * self.volume <= smallest:
            raise ValueError(
                f"Expected a volume per atom of more than {smallest / 1.3:.3g} Å³, so that atoms "
                f"keep away from their periodic images; got {self.volume:.3g}."
            )

    def _random_volume(self, rng) -> float:
        """Return the volume of a random structure."""
        volume = len(self.numbers) * self.volume
        return rng.uniform(max(0.7 * volume, self._smallest_volume()), 1.3 * volume)

    def _start(self, rng):
        volume = self._random_volume(rng)
        blocks = [(int(z), int(np.sum(self.numbers == z))) for z in np.unique(self.numbers)]
        edge = volume ** (1 / 3)
        settings = {"test_too_far": False, "rng": rng}
        if self.kind == "crystal":
            settings.update(
                number_of_variable_cell_vectors=3, box_volume=volume, cellbounds=self._bounds(edge)
            )
        elif self.kind == "cluster":
            corner = np.full(3, (self._box - edge) / 2)
            settings["box_to_place_in"] = [corner, edge * np.eye(3)]
        elif self.kind == "sheet":
            # The area follows from the volume and the thickness.
            settings.update(
                number_of_variable_cell_vectors=2, box_volume=volume,
                cellbounds=self._bounds((volume / self.thickness) ** 0.5),
                box_to_place_in=[[0, 0, _VACUUM], np.diag([1.0, 1.0, self.thickness])],
            )  # fmt: skip
        else:
            top = self.substrate.positions[:, 2].max()
            cell = self.substrate.cell
            layer = np.array([cell[0], cell[1], [0.0, 0.0, self.thickness]])
            settings["box_to_place_in"] = [[0.0, 0.0, top + _ABOVE], layer]
        generator = StartGenerator(self._empty(), blocks, self._closest, **settings)
        try:
            atoms = generator.get_new_candidate(maxiter=_MOST_TRIES)
        except AssertionError:  # a skewed cell, in which an atom is too close to its image
            return None
        return None if atoms is None else self._structure(atoms)

    def _symmetric(self, rng):
        volume = self._random_volume(rng)
        if self.kind == "cluster":
            radius = (3.0 * volume / (4.0 * np.pi)) ** (1 / 3)
            atoms = symmetric_cluster(self.numbers, radius, self._is_close, rng)
            return None if atoms is None else self._structure(self._boxed(atoms))
        atoms = symmetric_cell(self.numbers, self.kind, self.thickness, rng)
        if atoms is None:
            return None
        if self.kind == "crystal":
            atoms.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        else:
            # Turned so that a and b are in the plane of the sheet.
            atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
            factor = (volume / self.thickness / abs(np.linalg.det(atoms.cell[:2, :2]))) ** 0.5
            heights = atoms.positions[:, 2]
            squeeze = min(1.0, self.thickness / max(np.ptp(heights), 1e-9))
            atoms.positions *= [factor, factor, squeeze]
            a, b = factor * atoms.cell[:2]
            atoms.set_cell([a, b, [0.0, 0.0, 1.0]], scale_atoms=False)
            atoms = self._boxed(atoms)
        return None if self._is_close(atoms) else self._structure(atoms)

    def _is_close(self, atoms) -> bool:
        return atoms_too_close(atoms, self._closest)

    def _empty(self):
        """Return what all structures have in common: cell vectors that do not vary, a substrate."""
        if self.kind == "crystal":
            return Atoms(cell=np.eye(3), pbc=True)
        if self.kind == "cluster":
            return Atoms(cell=self._box * np.eye(3), pbc=False)
        if self.kind == "sheet":
            return Atoms(cell=[1.0, 1.0, self.thickness + 2 * _VACUUM], pbc=[True, True, False])
        return self.substrate.copy()

    def _pairing(self, rng):
        return CutAndSplicePairing(
            self._empty(), len(self.numbers), self._closest, self.n_cell_vectors,
            cellbounds=self._bounds(), rng=rng,
        )  # fmt: skip

    def _mutation(self, name, rng):
        n = len(self.numbers)
        if name == "rattle":
            return RattleMutation(self._closest, n, rng=rng)
        if name == "permutation":
            return PermutationMutation(n, blmin=self._closest, rng=rng)
        return StrainMutation(
            self._closest, cellbounds=self._bounds(), rng=rng,
            number_of_variable_cell_vectors=self.n_cell_vectors,
        )  # fmt: skip

    def _softened(self, atoms, rng):
        """Move atoms along a soft mode, as far as they keep their distance."""
        parent = self._structure(atoms.copy())
        _, modes = soft_modes(parent, covalent_radii[parent.numbers], self.n_fixed)
        order = np.argsort(atoms.numbers[self.n_fixed :], kind="stable")
        chances = _NEXT_MODE ** np.arange(len(modes))
        mode = modes[rng.choice(len(modes), p=chances / chances.sum())]
        direction = np.zeros_like(mode)
        direction[self.n_fixed + order] = mode[self.n_fixed :]
        direction *= rng.choice([-1.0, 1.0]) / np.linalg.norm(direction, axis=1).max()
        start = atoms.positions.copy()
        for distance in np.linspace(*_SOFT_RANGE, 9):
            for sign in (1.0, -1.0):
                atoms.positions = start + sign * distance * direction
                if not self._is_close(atoms):
                    return self._structure(atoms)
        return None

    def _transmuted(self, atoms, rng):
        """Give atoms other elements, no more of them than needed; scale the cell to the volume."""
        moving = atoms.numbers[self.n_fixed :].copy()
        if len(moving) != len(self.numbers):
            return None
        wanted = Counter(self.numbers.tolist()) - Counter(moving.tolist())
        surplus = Counter(moving.tolist()) - Counter(self.numbers.tolist())
        chosen = []
        for number, count in sorted(surplus.items()):
            chosen += rng.choice(np.flatnonzero(moving == number), count, replace=False).tolist()
        moving[chosen] = rng.permutation(sorted(wanted.elements()))
        atoms.numbers[self.n_fixed :] = moving
        if self.kind == "crystal":
            factor = (len(atoms) * self.volume / atoms.get_volume()) ** (1 / 3)
            # Half of the way, in the logarithm: the parent may be closer to the optimum.
            atoms.set_cell(atoms.cell * factor**0.5, scale_atoms=True)
        return self._structure(atoms)

    @property
    def _box(self) -> float:
        """Edge of the box of a cluster, the same for all, in Å."""
        return (1.3 * len(self.numbers) * self.volume) ** (1 / 3) + 2 * _VACUUM

    def _boxed(self, atoms):
        if self.kind == "cluster":
            atoms.cell[:] = self._box * np.eye(3)
            atoms.center()
        elif self.kind == "sheet":
            # Sheets drift; all of them are in the middle of the same vacuum.
            atoms.cell[2] = [0.0, 0.0, self.thickness + 2 * _VACUUM]
            atoms.center(axis=2)
        return atoms

    def _bounds(self, edge=None):
        if edge is None:
            volume = len(self.numbers) * self.volume
            is_sheet = self.kind == "sheet"
            edge = (volume / self.thickness) ** 0.5 if is_sheet else volume ** (1 / 3)
        lengths = [0.4 * edge, 2.5 * edge]
        angles = [35, 145]
        if self.kind == "sheet":
            return CellBounds(
                {"phi": angles, "chi": angles, "psi": angles, "a": lengths, "b": lengths}
            )
        return CellBounds(
            {"phi": angles, "chi": angles, "psi": angles, "a": lengths, "b": lengths, "c": lengths}
        )

    def _structure(self, atoms) -> Structure:
        # By number, so that all structures of a composition list their atoms alike.
        first = np.arange(self.n_fixed)
        order = self.n_fixed + np.argsort(atoms.numbers[self.n_fixed :], kind="stable")
        order = np.concatenate([first, order])
        if self.n_fixed:
            # Operators move atoms of the substrate to other periods.
            atoms.positions[: self.n_fixed] = self.substrate.positions
        return Structure(
            atoms.numbers[order].astype(np.int64), atoms.positions[order].copy(),
            np.array(atoms.cell), atoms.pbc.copy(),
        )  # fmt: skip


def _require_vacuum(substrate, thickness):
    """Raise ValueError if a layer does not fit between a substrate and its periodic image."""
    if not substrate.pbc[2]:
        return
    free = substrate.cell[2, 2] - np.ptp(substrate.positions[:, 2])
    if free < thickness + 2 * _ABOVE:
        raise ValueError(
            f"The substrate is periodic along its third axis with {free:.3g} Å above its atoms, "
            f"too little for layers of thickness={thickness:g} Å. Add vacuum, or set its pbc to "
            "False along that axis."
        )


def compositions_of(composition) -> list[np.ndarray]:
    """Return the atomic numbers of each composition: of one, or of a list of them."""
    several = composition if isinstance(composition, (list, tuple)) else [composition]
    compositions = [numbers_of(one) for one in several]
    keys = {tuple(numbers.tolist()) for numbers in compositions}
    if not compositions or len(keys) < len(compositions):
        raise ValueError(f"Expected different compositions with atoms, got {composition!r}.")
    return compositions


def numbers_of(composition) -> np.ndarray:
    """Return the sorted atomic numbers of a composition, a formula or a dict of counts."""
    try:
        # Counted before atoms are listed, of which a typing error may ask for a billion.
        named = Formula(composition).count() if isinstance(composition, str) else composition
        counts = {}
        for name, count in named.items():
            if isinstance(count, bool):
                raise TypeError("a bool is no count")
            counts[atomic_number(name)] = index(count)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Expected a formula, such as Ti4O8, or a dict of counts, got {composition!r:.80}."
        ) from error
    if any(count < 0 for count in counts.values()) or not 0 < sum(counts.values()) <= _MOST_ATOMS:
        raise ValueError(
            f"Expected a composition of 1 to {_MOST_ATOMS:,} atoms, got {composition!r:.80}."
        )
    return np.repeat(sorted(counts), [counts[number] for number in sorted(counts)])
