"""Screening of neighbours by the atoms between: a learned factor of each pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ._batch import AtomicBatch
from ._species import SpeciesIndex

# Third atoms outside of this ellipse do not screen.
_WIDEST = 3.0
# An atom within the widest ellipse may be 1.06 times as far from the centre as the neighbour is, so
# that some enter at the cutoff. From this share of it they count less and less.
_EDGE = 0.9
# Between knots of the splines in C. Known screening functions fall within 0.8.
_KNOTS = 0.2
_N_KNOTS = round(_WIDEST / _KNOTS)
# Coefficients of a spline at a point.
_ORDER = 4
# What a coefficient adds to the one before, at first, and how fast it changes with its weight.
_FIRST, _RATE = 0.2, 4.0
# Triples of atoms that are tested together, in the second-level cache.
_TRIPLES = 1 << 18


@dataclass(eq=False)
class ThirdAtoms:
    """Atoms k near the segment from a centre i to its neighbour j, for all pairs of a batch.

    With squared distances ``x = (r_ik / r_ij)²`` and ``y = (r_jk / r_ij)²``, k is on the ellipsoid
    whose one axis is ij and whose others are √C times as long:

        ``C = (2 (x + y) - (x - y)² - 1) / (1 - (x - y)²)``

    Those with C below 3 are listed. Close to the cutoff k counts w(r_ik) times, which falls to 0.

    Attributes
    ----------
    shape : (n_centers, n_neighbors)
        Of the batch.
    pairs, others : Tensor of shape (n,)
        Row of ij and of ik among all pairs of the batch, padding included.
    numbers : tuple of Tensor of shape (n,)
        Atomic numbers of i, j and k.
    coordinate : Tensor of shape (n,)
        C.
    weights : Tensor of shape (n,)
        w.
    by_pair, by_other : Tensor of shape (n, 3)
        Derivatives of C with respect to the vectors ij and ik, times w, in 1/Å.
    weight_by_other : Tensor of shape (n, 3)
        Derivative of w with respect to the vector ik, in 1/Å.

    References
    ----------
    M. I. Baskes, Mater. Chem. Phys. 50, 152 (1997).
    """

    shape: tuple[int, int]
    pairs: Tensor
    others: Tensor
    numbers: tuple[Tensor, Tensor, Tensor]
    coordinate: Tensor
    weights: Tensor
    by_pair: Tensor
    by_other: Tensor
    weight_by_other: Tensor

    @classmethod
    def of(cls, batch: AtomicBatch, cutoff: float) -> ThirdAtoms:
        """Return the third atoms of all pairs of a batch.

        Parameters
        ----------
        batch : AtomicBatch
        cutoff : float
            Of the batch's neighbours, in Å.

        Returns
        -------
        ThirdAtoms
        """
        n_rows, n_slots = batch.mask.shape
        centers, pairs, others = _near(batch.vectors, batch.mask)
        vectors = batch.vectors.reshape(-1, 3)
        to_neighbor, to_other = vectors[pairs], vectors[others]
        across = to_other - to_neighbor
        u, p, q = (v.square().sum(-1) for v in (to_neighbor, to_other, across))
        x, y = p / u, q / u
        d = x - y
        # Rounding takes it to 0 where two atoms are all but at one place.
        below = (1 - d * d).clamp_(min=torch.finfo(d.dtype).eps)
        c = (2 * (x + y) - d * d - 1) / below
        # Derivatives with respect to x and y, then with respect to squared distances.
        by_x, by_y = (2 - 2 * d * (1 - c)) / below, (2 + 2 * d * (1 - c)) / below
        by_u, by_p, by_q = -(by_x * x + by_y * y) / u, by_x / u, by_y / u
        weights, by_length = _weights(p.sqrt(), cutoff)
        by_u, by_p, by_q = (2 * weights * by for by in (by_u, by_p, by_q))
        end = by_q[:, None] * across
        neighbors = batch.neighbor_numbers.reshape(-1)
        return cls(
            (n_rows, n_slots),
            pairs,
            others,
            (batch.numbers[centers], neighbors[pairs], neighbors[others]),
            c,
            weights,
            torch.addcmul(-end, to_neighbor, by_u[:, None]),
            torch.addcmul(end, to_other, by_p[:, None]),
            to_other * (by_length / p.sqrt())[:, None],
        )


def _weights(r, cutoff):
    """Return 1, which falls to 0 close to the cutoff, and its derivative with respect to r."""
    width = (1 - _EDGE) * cutoff
    x = ((cutoff - r) / width).clamp_(0, 1)
    return x**3 * (10 + x * (6 * x - 15)), (x * (1 - x)).square_().mul_(-30 / width)


def _near(vectors, mask):
    """Return centres, and rows of pairs ij and ik, of all k within the ellipse of ij."""
    n_rows, n_slots = mask.shape
    step, out = max(1, _TRIPLES // n_slots**2), []
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        v, real = vectors[rows], mask[rows]
        squares = v.square().sum(-1)
        # Padding is nobody's neighbour, and infinitely far as a third atom.
        u = torch.where(real, squares, 0.0)[:, :, None]
        p = torch.where(real, squares, torch.inf)[:, None, :]
        # C < 3 is (x + y) + (x - y)² < 2, and implies |x - y| < 1. Here times u².
        d = torch.bmm(v, v.transpose(1, 2)).mul_(2).sub_(u)
        near = torch.addcmul((2 * p - d).mul_(u), d, d) < 2 * u * u
        near.diagonal(dim1=1, dim2=2).fill_(False)
        i, j, k = near.nonzero(as_tuple=True)
        i = i + start
        out.append((i, i * n_slots + j, i * n_slots + k))
    if not out:
        return (mask.new_zeros(0, dtype=torch.int64),) * 3
    return tuple(map(torch.cat, zip(*out, strict=True)))


class Screening(nn.Module):
    """Factors ``s_ij = exp(-Σ_k w(r_ik) φ(C_ijk))`` of pairs, with a φ for each three species.

    φ is a cubic spline, 0 outside of the widest ellipse, with two continuous derivatives. It rises
    towards the segment: an atom between two others screens more than one beside them.

    Parameters
    ----------
    index : SpeciesIndex
    """

    def __init__(self, index: SpeciesIndex):
        super().__init__()
        self.index = index
        first = math.log(math.expm1(_FIRST)) / _RATE
        # Flat, since optimizers take matrices for maps.
        self.weight = nn.Parameter(torch.full((len(index) ** 3 * _N_KNOTS,), first))

    def forward(self, thirds: ThirdAtoms) -> tuple[Tensor, Tensor, Tensor]:
        """Return the factor of each pair, and φ with its derivative for each third atom.

        Parameters
        ----------
        thirds : ThirdAtoms

        Returns
        -------
        factors : Tensor of shape (n_centers, n_neighbors)
        values, slopes : Tensor of shape (n,)
            φ and dφ/dC. All are differentiable with respect to the weights.
        """
        n = len(self.index)
        i, j, k = (self.index(numbers) for numbers in thirds.numbers)
        place = (thirds.coordinate.neg() + _WIDEST).div_(_KNOTS).clamp_(0, _N_KNOTS)
        knot = place.long().clamp_(max=_N_KNOTS - 1)
        values, slopes = _spline(place - knot)
        first = ((i * n + j) * n + k) * (_N_KNOTS + _ORDER - 1) + knot
        rows = first[:, None] + torch.arange(_ORDER, device=first.device)
        table = self._coefficients().view(-1)
        of_rows = table.index_select(0, rows.view(-1)).view(rows.shape)
        n_pairs = thirds.shape[0] * thirds.shape[1]
        values, slopes = (of_rows * values).sum(1), (of_rows * slopes).sum(1)
        sums = table.new_zeros(n_pairs).index_add(0, thirds.pairs, values * thirds.weights)
        return sums.neg().exp().view(thirds.shape), values, slopes

    def _coefficients(self):
        """Return the coefficients of each spline, after as many zeros as make it smooth."""
        steps = nn.functional.softplus(_RATE * self.weight).view(-1, _N_KNOTS)
        return nn.functional.pad(steps.cumsum(1), (_ORDER - 1, 0))


def _spline(x):
    """Return cubic B-splines at the place x in 0 to 1 between two knots, and their derivatives.

    With respect to C, which falls where x rises. Both are (n, 4).
    """
    y = 1 - x
    x2, y2 = x * x, y * y
    values = torch.stack(
        [y * y2, 4 - 6 * x2 + 3 * x * x2, 4 - 6 * y2 + 3 * y * y2, x * x2], 1
    ).div_(6)
    slopes = torch.stack([-y2, x * (3 * x - 4), y * (4 - 3 * y), x2], 1).div_(-2 * _KNOTS)
    return values, slopes
