"""Sums over all pairs of neighbours of a centre, one by one: for what no density can express."""

import numpy as np


class Triples:
    """Each pair of neighbours of each centre, once.

    Parameters
    ----------
    pairs : Pairs

    Attributes
    ----------
    first, second : ndarray of int of shape (n_triples,)
        The two pairs, with the species of the first not above that of the second.
    centers : ndarray of int of shape (n_triples,)
    kinds : ndarray of int of shape (n_triples,)
        Which unordered pair of species, in the order of ``np.triu_indices``.
    """

    def __init__(self, pairs):
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
        self.first, self.second = np.concatenate(first), np.concatenate(second)
        self.centers = pairs.centers[self.first]
        n = pairs.n_species
        low, high = pairs.species[self.first], pairs.species[self.second]
        self.kinds = low * n - low * (low - 1) // 2 + high - low
        self.n_kinds = n * (n + 1) // 2
        self._pairs = pairs

    def sum(self, values):
        """Sum values of triples over each centre and kind, of shape (n_centers, n_kinds)."""
        shape = (self._pairs.n_centers, self.n_kinds)
        places = self.centers * self.n_kinds + self.kinds
        return np.bincount(places, values, shape[0] * shape[1]).reshape(shape)


class TripleFunctions:
    """2^(1−ζ) (1 + λ cos θ)^ζ g(r_ij) g(r_ik) g(r_jk) of each triple, with one g.

    Parameters
    ----------
    triples : Triples
    vectors : ndarray of shape (n_pairs, 3)
    radial : callable
        Takes distances (n,); returns g and its derivative, each of shape (1, n).
    shapes : sequence of (zeta, lambda)
    third_leg : bool
        False leaves g(r_jk) out.
    """

    def __init__(self, triples, vectors, radial, shapes, third_leg):
        self._triples, self._shapes = triples, shapes
        self._n_pairs = len(vectors)
        distances = np.linalg.norm(vectors, axis=1)
        units = vectors / distances[:, None]
        g, dg = (part[0] for part in radial(distances))
        j, k = triples.first, triples.second
        self._units, self._distances = (units[j], units[k]), (distances[j], distances[k])
        self._cosines = np.einsum("td,td->t", *self._units)
        self._product = g[j] * g[k]
        self._by_legs = (dg[j] * g[k], g[j] * dg[k])
        self._third = None
        if third_leg:
            across = vectors[k] - vectors[j]
            lengths = np.linalg.norm(across, axis=1)
            h, dh = (part[0] for part in radial(lengths))
            self._third = across / lengths[:, None], self._product * dh
            self._by_legs = tuple(part * h for part in self._by_legs)
            self._product = self._product * h

    def _angular(self):
        """Yield the function of the angle of each shape, and its derivative by the cosine."""
        for zeta, sign in self._shapes:
            base = np.maximum(1.0 + sign * self._cosines, 0.0)
            power = 2.0 ** (1.0 - zeta) * base ** (zeta - 1.0)
            yield power * base, sign * zeta * power

    def values(self):
        """Return the sums over each centre and kind, (n_shapes, n_centers, n_kinds)."""
        return np.array([self._triples.sum(a * self._product) for a, _ in self._angular()])

    def pull(self, slopes):
        """Return dE/dvectors, (n_pairs, 3), from dE/dsums, (n_shapes, n_centers, n_kinds)."""
        t = self._triples
        by_function, by_cosine = np.zeros((2, len(t.first)))
        for (a, da), by_sum in zip(self._angular(), slopes, strict=True):
            weights = by_sum[t.centers, t.kinds]
            by_function += weights * a
            by_cosine += weights * da
        by_cosine *= self._product
        out = np.zeros((self._n_pairs, 3))
        for leg, where in ((0, t.first), (1, t.second)):
            along = by_function * self._by_legs[leg]
            unit, other = self._units[leg], self._units[1 - leg]
            turn = (by_cosine / self._distances[leg])[:, None]
            by_leg = along[:, None] * unit + turn * (other - self._cosines[:, None] * unit)
            if self._third is not None:
                direction, rate = self._third
                by_leg += (by_function * rate * (2 * leg - 1))[:, None] * direction
            for axis in range(3):
                out[:, axis] += np.bincount(where, by_leg[:, axis], self._n_pairs)
        return out

    def push(self, tangents):
        """Return the change of the sums with that of the vectors, (n_pairs, 3)."""
        t = self._triples
        moves = tangents[t.first], tangents[t.second]
        change, turn = np.zeros((2, len(t.first)))
        for leg in (0, 1):
            unit, other = self._units[leg], self._units[1 - leg]
            along = np.einsum("td,td->t", unit, moves[leg])
            change += self._by_legs[leg] * along
            side = np.einsum("td,td->t", other, moves[leg])
            turn += (side - self._cosines * along) / self._distances[leg]
        if self._third is not None:
            direction, rate = self._third
            change += rate * np.einsum("td,td->t", direction, moves[1] - moves[0])
        turn *= self._product
        return np.array([t.sum(a * change + da * turn) for a, da in self._angular()])
