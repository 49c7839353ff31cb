"""Explicit sums over pairs of neighbours, for functions that densities cannot express."""

import numpy as np


class Triples:
    """Each pair of neighbours j and k of each centre, once, with j's species not above k's.

    Parameters
    ----------
    pairs : Pairs
    third_leg : bool
        Compute the vectors from j to k, too.
    """

    def __init__(self, pairs, third_leg):
        # By centre, and by species within it, so that the species of the first is the lower one.
        order = np.lexsort((pairs.species, pairs.centers))
        counts = np.bincount(pairs.centers, minlength=pairs.n_centers)
        starts = np.cumsum(counts) - counts
        first, second = [np.arange(0)], [np.arange(0)]
        for count in np.unique(counts[counts > 1]):
            at = starts[counts == count][:, None]
            j, k = np.triu_indices(count, 1)
            first.append(order[at + j].ravel())
            second.append(order[at + k].ravel())
        self.legs = np.concatenate(first), np.concatenate(second)
        n = pairs.n_species
        low, high = (pairs.species[leg] for leg in self.legs)
        self.n_pairs, self.n_centers = len(pairs.centers), pairs.n_centers
        # Unordered pairs of species, in the order of np.triu_indices.
        self.n_kinds = n * (n + 1) // 2
        kinds = low * n - low * (low - 1) // 2 + high - low
        self.sum_index = pairs.centers[self.legs[0]] * self.n_kinds + kinds

        self.pair_distances = np.linalg.norm(pairs.vectors, axis=1)
        units = pairs.vectors / self.pair_distances[:, None]
        self.units = tuple(units[leg] for leg in self.legs)
        self.distances = tuple(self.pair_distances[leg] for leg in self.legs)
        self.cosines = np.einsum("td,td->t", *self.units)
        self.across = None
        if third_leg:
            across = pairs.vectors[self.legs[1]] - pairs.vectors[self.legs[0]]
            lengths = np.linalg.norm(across, axis=1)
            self.across = lengths, across / lengths[:, None]
        self._angular = {}

    def angular(self, zeta, sign):
        """Return 2^(1−ζ) (1 + λ cos θ)^ζ, and its derivative by the cosine, of each triple."""
        if (zeta, sign) not in self._angular:
            base = np.maximum(1.0 + sign * self.cosines, 0.0)
            power = 2.0 ** (1.0 - zeta) * _power(base, zeta - 1.0)
            self._angular[zeta, sign] = power * base, sign * zeta * power
        return self._angular[zeta, sign]

    def sum(self, values):
        """Sum values of triples over each centre and kind, of shape (n_centers, n_kinds)."""
        size = self.n_centers * self.n_kinds
        return np.bincount(self.sum_index, values, size).reshape(self.n_centers, self.n_kinds)


class TripleFunctions:
    """2^(1−ζ) (1 + λ cos θ)^ζ g(r_ij) g(r_ik) g(r_jk) of each triple, with one g.

    Parameters
    ----------
    triples : Triples
        Without a third leg, g(r_jk) is left out.
    radial : callable
        Takes distances (n,); returns g and its derivative, each of shape (1, n).
    shapes : sequence of (zeta, lambda)
    """

    def __init__(self, triples, radial, shapes):
        self._triples, self._shapes = triples, [tuple(shape) for shape in shapes]
        g, dg = (part[0] for part in radial(triples.pair_distances))
        j, k = triples.legs
        self._product = g[j] * g[k]
        self._by_legs = (dg[j] * g[k], g[j] * dg[k])
        if triples.across is not None:
            h, dh = (part[0] for part in radial(triples.across[0]))
            self._by_third = self._product * dh
            self._by_legs = tuple(part * h for part in self._by_legs)
            self._product = self._product * h

    def _angular(self):
        return (self._triples.angular(*shape) for shape in self._shapes)

    def values(self):
        """Return the sums over each centre and kind, (n_shapes, n_centers, n_kinds)."""
        return np.array([self._triples.sum(a * self._product) for a, _ in self._angular()])

    def pull(self, gradients):
        """Return dE/dvectors, (n_pairs, 3), from dE/dsums, (n_shapes, n_centers, n_kinds)."""
        t = self._triples
        by_function, by_cosine = np.zeros((2, len(t.cosines)))
        for (a, da), by_sum in zip(self._angular(), gradients, strict=True):
            weights = by_sum.ravel()[t.sum_index]
            by_function += weights * a
            by_cosine += weights * da
        by_cosine *= self._product
        out = np.zeros((t.n_pairs, 3))
        for leg in (0, 1):
            # dE/dv = along · unit + turn · other, the two unit vectors of the triple.
            turn = by_cosine / t.distances[leg]
            along = by_function * self._by_legs[leg] - turn * t.cosines
            by_leg = along[:, None] * t.units[leg] + turn[:, None] * t.units[1 - leg]
            if t.across is not None:
                sign = 2 * leg - 1
                by_leg += (sign * by_function * self._by_third)[:, None] * t.across[1]
            for axis in range(3):
                out[:, axis] += np.bincount(t.legs[leg], by_leg[:, axis], t.n_pairs)
        return out

    def push(self, tangents):
        """Return the change of the sums with that of the vectors, (n_pairs, 3)."""
        t = self._triples
        moves = [tangents[leg] for leg in t.legs]
        change, turn = np.zeros((2, len(t.cosines)))
        for leg in (0, 1):
            along = np.einsum("td,td->t", t.units[leg], moves[leg])
            side = np.einsum("td,td->t", t.units[1 - leg], moves[leg])
            change += self._by_legs[leg] * along
            turn += (side - t.cosines * along) / t.distances[leg]
        if t.across is not None:
            apart = np.einsum("td,td->t", t.across[1], moves[1] - moves[0])
            change += self._by_third * apart
        turn *= self._product
        return np.array([t.sum(a * change + da * turn) for a, da in self._angular()])


def _power(base, exponent):
    """Return base**exponent; by squaring where the exponent is whole, which is ten times faster."""
    if exponent != int(exponent):
        return base**exponent
    result, square, left = np.ones_like(base), base, int(exponent)
    while left:
        if left % 2:
            result = result * square
        square, left = square * square, left // 2
    return result
