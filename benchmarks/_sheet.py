"""Porous graphene of any size as a formula: positions follow from the numbers of the atoms."""

import numpy as np
from scipy.spatial import cKDTree

CELL = 35.0  # Å: 14 x 8 rectangles of four atoms, as in porous sheets of 448 sites
RECTANGLES = np.array([14, 8])
BASIS = np.array([[0, 0], [1 / 2, 1 / 6], [1 / 2, 1 / 2], [0, 2 / 3]])
DISPLACED = 0.08  # Å, standard deviation along each axis; at most four of these
PORES = 5  # at most, per cell
RADII = (0.9, 3.8)  # Å
# A bond: Morse's potential, cut off smoothly between the first and the second neighbours.
DEPTH, WIDTH, LENGTH, ENDS = 4.9, 2.0, 1.42, (1.8, 2.1)  # eV, 1/Å, Å, Å


class PorousSheet:
    """A sheet of ``nx`` by ``ny`` cells with pores in each and atoms displaced at random."""

    def __init__(self, nx, ny, seed=0):
        self.n = RECTANGLES * [nx, ny]
        self.cell = CELL * np.array([nx, ny], dtype=float)
        self.rectangle = CELL / RECTANGLES
        self.seed = seed

    def within(self, lower, upper):
        """Return the atoms of a window and its surroundings: numbers, species and positions."""
        far = 4 * DISPLACED
        first = np.floor((lower - far) / self.rectangle).astype(int)
        last = np.floor((upper + far) / self.rectangle).astype(int) + 1
        last = np.minimum(last, first + self.n)
        x, y = (np.arange(a, b) % n for a, b, n in zip(first, last, self.n, strict=True))
        return self.atoms(x, y)

    def atoms(self, x, y):
        """Return the atoms of the rectangles at the product of `x` and `y`."""
        rectangle = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 1, 2)
        index = ((rectangle[..., 0] * self.n[1] + rectangle[..., 1]) * 4 + np.arange(4)).ravel()
        ideal = ((rectangle + BASIS) * self.rectangle).reshape(-1, 2)
        kept = self._outside_pores(np.repeat(rectangle[:, 0] // RECTANGLES, 4, axis=0), ideal)
        index, ideal = index[kept], ideal[kept]
        moved = np.stack([self._normal(index, 100), self._normal(index, 101)], axis=1)
        positions = (ideal + moved * DISPLACED) % self.cell
        return index, np.full(len(index), 6), positions

    def _outside_pores(self, cell, ideal):
        # Drawn once per cell; pores do not cross cell borders.
        key, which = np.unique(cell[:, 0] * 1_000_003 + cell[:, 1], return_inverse=True)
        cells = np.stack(np.divmod(key, 1_000_003), axis=1)
        n_pores = np.floor((PORES + 1) * self._random(key, 1))
        kept = np.ones(len(ideal), dtype=bool)
        for k in range(PORES):
            u, v, r = (self._random(key, 10 * (k + 1) + j) for j in range(3))
            radius = RADII[0] + r * (RADII[1] - RADII[0])
            free = CELL - 2 * RADII[1]
            centre = cells * CELL + RADII[1] + free * np.stack([u, v], axis=1)
            radius[n_pores <= k] = 0
            squares = ((ideal - centre[which]) ** 2).sum(axis=1)
            kept &= squares >= radius[which] ** 2
        return kept

    def _normal(self, index, stream):
        """Return nearly normal numbers below four: sums of four uniform 16-bit numbers."""
        bits = self._bits(index, stream)
        parts = bits.view(np.uint16).reshape(-1, 4).sum(axis=1, dtype=np.int64)
        return (parts / 2**16 - 2) * np.sqrt(3)

    def _random(self, index, stream):
        """Return uniform numbers determined by an index."""
        return (self._bits(index, stream) >> np.uint64(11)).astype(np.float64) / 2**53

    def _bits(self, index, stream):
        """Return 64 random bits for each index (splitmix64)."""
        z = index.astype(np.uint64) * np.uint64(256) + np.uint64(stream + 1_000_003 * self.seed)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        return z ^ (z >> np.uint64(31))

    def true_energy(self):
        """Return the number of atoms and the energy of all bonds, computed part by part."""
        n_atoms, energy, side = 0, 0.0, np.minimum(350.0, self.cell / 2)
        for low_x in np.arange(0, self.cell[0], side[0]):
            for low_y in np.arange(0, self.cell[1], side[1]):
                low = np.array([low_x, low_y])
                high = np.minimum(low + side, self.cell)
                far = ENDS[1] + 0.1
                _, _, positions = self.within(low - far, high + far)
                # The periodic image next to the window.
                middle = (low + high) / 2
                positions = middle + (positions - middle + self.cell / 2) % self.cell
                positions -= self.cell / 2
                own = ((positions >= low) & (positions < high)).all(axis=1)
                n_atoms += int(own.sum())
                energy += _halves(positions, own).sum()
        return n_atoms, energy

    def identity(self):
        """Return what determines the positions of atoms, for hashes."""
        return f"porous sheet {self.n} {self.seed} {DISPLACED} {PORES} {RADII}"


def small_sheets(n_sheets):
    """Return structures and exact energies of sheets of one cell."""
    structures, energies = [], []
    for seed in range(1, n_sheets + 1):
        sheet = PorousSheet(1, 1, seed)
        _, numbers, positions = sheet.within(np.zeros(2), sheet.cell - 1e-6)
        structures.append({"numbers": numbers, "positions": positions, "cell": sheet.cell})
        energies.append(bonds(positions, sheet.cell))
    return structures, np.array(energies)


def bonds(positions, cell):
    """Return the energy of all bonds of a small periodic structure, in eV."""
    tree = cKDTree(positions % cell, boxsize=cell)
    pairs = tree.query_pairs(ENDS[1], output_type="ndarray")
    apart = positions[pairs[:, 0]] - positions[pairs[:, 1]]
    apart -= cell * np.round(apart / cell)
    return _bond(np.linalg.norm(apart, axis=1)).sum()


def _halves(positions, own):
    """Return, for each bond, half its energy times the number of its atoms that are counted."""
    pairs = cKDTree(positions).query_pairs(ENDS[1], output_type="ndarray")
    lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return _bond(lengths) * own[pairs].sum(axis=1) / 2


def _bond(lengths):
    stretched = np.exp(-WIDTH * (lengths - LENGTH))
    share = np.clip((ENDS[1] - lengths) / (ENDS[1] - ENDS[0]), 0, 1)
    return DEPTH * (stretched**2 - 2 * stretched) * share**2 * (3 - 2 * share)
