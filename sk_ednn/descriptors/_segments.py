"""Sums over the pairs of each centre and species, as products of small matrices."""

import numpy as np


class Segments:
    """Pairs grouped by segment: the pairs of one centre with neighbours of one species.

    Pairs are sorted so that segments of equal length lie together. Sums over them are then stacks
    of equal matrices, without padding, and each is the same product whatever else is in the block.

    Parameters
    ----------
    ids : ndarray of int of shape (n_pairs,)
        Segment of each pair, in any order.
    n_segments : int

    Attributes
    ----------
    order : ndarray of int of shape (n_pairs,)
        The order in which pairs are to be given to `outer` and `apply`.
    """

    def __init__(self, ids, n_segments):
        self.n_segments = n_segments
        counts = np.bincount(ids, minlength=n_segments)
        self.order = np.argsort(counts[ids] * n_segments + ids, kind="stable")
        lengths, n_equal = np.unique(counts[counts > 0], return_counts=True)
        by_length = np.argsort(counts, kind="stable")[n_segments - n_equal.sum() :]
        self._groups = []
        first = start = 0
        for length, n in zip(lengths.tolist(), n_equal.tolist(), strict=True):
            segments = by_length[first : first + n]
            self._groups.append((segments, slice(start, start + n * length), length))
            first, start = first + n, start + n * length

    def outer(self, a, b):
        """Sum the outer products of the rows of two arrays over each segment.

        Parameters
        ----------
        a : ndarray of shape (n_pairs, n)
        b : ndarray of shape (n_pairs, m)

        Returns
        -------
        ndarray of shape (n_segments, n, m)
        """
        out = np.zeros((self.n_segments, a.shape[1], b.shape[1]))
        for segments, pairs, length in self._groups:
            shape = (len(segments), length, -1)
            out[segments] = np.matmul(
                a[pairs].reshape(shape).transpose(0, 2, 1), b[pairs].reshape(shape)
            )
        return out

    def apply(self, a, matrices):
        """Multiply each row by the matrix of its segment.

        Parameters
        ----------
        a : ndarray of shape (n_pairs, n)
        matrices : ndarray of shape (n_segments, n, m)

        Returns
        -------
        ndarray of shape (n_pairs, m)
        """
        out = np.empty((len(a), matrices.shape[2]))
        for segments, pairs, length in self._groups:
            np.matmul(
                a[pairs].reshape(len(segments), length, -1),
                matrices[segments],
                out=out[pairs].reshape(len(segments), length, -1),
            )
        return out
