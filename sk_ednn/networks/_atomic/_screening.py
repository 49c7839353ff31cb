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
    triples : Tensor of shape (n,)
        Row of ijk among all triples.
    numbers : tuple of Tensor of shape (n,)
        Atomic numbers of i, j and k.
    coordinate : Tensor of shape (n,)
        C.
    weights : Tensor of shape (n,)
        w.
    along_pair, along_other, across : Tensor of shape (n,)
        Times w, dC/dr_ij is ``along_pair r_ij + across r_ik`` and dC/dr_ik is
        ``along_other r_ik + across r_ij``, with vectors r; in 1/Å².
    edge : Tensor of shape (n,)
        dw/dr_ik is ``edge r_ik``; in 1/Å².

    References
    ----------
    M. I. Baskes, Mater. Chem. Phys. 50, 152 (1997).
    """

    shape: tuple[int, int]
    pairs: Tensor
    others: Tensor
    triples: Tensor
    numbers: tuple[Tensor, Tensor, Tensor]
    coordinate: Tensor
    weights: Tensor
    along_pair: Tensor
    along_other: Tensor
    across: Tensor
    edge: Tensor

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
        centers, pairs, others, triples, difference = _near(batch.vectors, batch.mask)
        squares = batch.vectors.square().sum(-1).view(-1)
        u, p = squares[pairs], squares[others]
        x, d = p / u, difference / u
        y = x - d
        # Rounding takes it to 0 where two atoms are all but at one place.
        below = (1 - d * d).clamp_(min=torch.finfo(d.dtype).eps)
        c = (2 * (x + y) - d * d - 1) / below
        # Derivatives with respect to x and y, then with respect to squared distances.
        turn = 2 * d * (1 - c)
        by_x, by_y = (2 - turn) / below, (2 + turn) / below
        r = p.sqrt()
        weights, by_length = _weights(r, cutoff)
        scale = 2 * weights / u
        neighbors = batch.neighbor_numbers.reshape(-1)
        return cls(
            (n_rows, n_slots),
            pairs,
            others,
            triples,
            (batch.numbers[centers], neighbors[pairs], neighbors[others]),
            c,
            weights,
            scale * (by_y - by_x * x - by_y * y),
            scale * (by_x + by_y),
            -scale * by_y,
            by_length / r,
        )

    def pull(self, by_coordinate: Tensor, by_weight: Tensor, vectors: Tensor) -> Tensor:
        """Return gradients with respect to the vectors from those with respect to C and w.

        Parameters
        ----------
        by_coordinate : Tensor of shape (n,)
            Before the factor w of C.
        by_weight : Tensor of shape (n,)
        vectors : Tensor of shape (n_centers, n_neighbors, 3)
            Of the batch.

        Returns
        -------
        Tensor of the shape of `vectors`
            Linear in the gradients, and differentiable with respect to them.
        """
        n_rows, n_slots = self.shape
        along = by_coordinate.new_zeros(n_rows * n_slots)
        along = along.index_add(0, self.pairs, by_coordinate * self.along_pair)
        of_others = by_coordinate * self.along_other + by_weight * self.edge
        along = along.index_add(0, self.others, of_others)
        # One product for each centre instead of a vector for each triple.
        across = by_coordinate.new_zeros(n_rows * n_slots**2)
        across = across.index_copy(0, self.triples, by_coordinate * self.across)
        across = across.view(n_rows, n_slots, n_slots)
        both = torch.bmm(across + across.transpose(1, 2), vectors)
        return torch.addcmul(both, along.view(n_rows, n_slots, 1), vectors)


def _weights(r, cutoff):
    """Return 1, which falls to 0 close to the cutoff, and its derivative with respect to r."""
    width = (1 - _EDGE) * cutoff
    x = ((cutoff - r) / width).clamp_(0, 1)
    return x**3 * (10 + x * (6 * x - 15)), (x * (1 - x)).square_().mul_(-30 / width)


def _near(vectors, mask):
    """Return all k within the ellipse of ij.

    That is: centres, rows of pairs ij and ik and of triples, and differences r_ik² - r_jk².
    """
    n_rows, n_slots = mask.shape
    step, out = max(1, _TRIPLES // n_slots**2), []
    for start in range(0, n_rows, step):
        v, real = vectors[start : start + step], mask[start : start + step]
        squares = v.square().sum(-1)
        # Padding is nobody's neighbour, and infinitely far as a third atom.
        u = torch.where(real, squares, 0.0)[:, :, None]
        p = torch.where(real, squares, torch.inf)[:, None, :]
        # C < 3 is (x + y) + (x - y)² < 2, and implies |x - y| < 1. Here times u².
        d = torch.bmm(v, v.transpose(1, 2)).mul_(2).sub_(u)
        near = torch.addcmul((2 * p - d).mul_(u), d, d) < 2 * u * u
        near.diagonal(dim1=1, dim2=2).fill_(False)
        i, j, k = near.nonzero(as_tuple=True)
        pairs = i * n_slots + j
        triples = pairs * n_slots + k
        first = start * n_slots
        out.append((
            i + start, pairs + first, i * n_slots + k + first, triples + first * n_slots,
            d.view(-1)[triples],
        ))  # fmt: skip
    if not out:
        none = mask.new_zeros(0, dtype=torch.int64)
        return none, none, none, none, vectors.new_zeros(0)
    return out[0] if len(out) == 1 else tuple(map(torch.cat, zip(*out, strict=True)))


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
