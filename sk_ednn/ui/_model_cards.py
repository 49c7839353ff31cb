"""The models in plain language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A model as people choose it.

    Attributes
    ----------
    name : str
        Of ``--model``.
    title, words : str
    """

    name: str
    title: str
    words: str


CARDS = (
    Card(
        "auto",
        "Choose for me",
        "Compares simple models on your data and takes the best. Begin with this.",
    ),
    Card(
        "kernel",
        "By resemblance",
        "Compares each tile with those seen before. Exact for spins, letters and other fields "
        "with few values.",
    ),
    Card(
        "quadratic",
        "Pairs of sites",
        "Every pair of sites in a tile has a strength. Fast; right where neighbours interact "
        "two by two.",
    ),
    Card(
        "cubic",
        "Triples of sites",
        "As pairs, and every three sites together.",
    ),
    Card(
        "dense",
        "Neural network",
        "The network of the paper. Learns nearly anything, from many systems.",
    ),
    Card(
        "perceptron",
        "Small network",
        "A small neural network that needs no further libraries.",
    ),
    Card(
        "boosting",
        "Boosted trees",
        "Many small decision trees, each mending the last. For uneven data.",
    ),
    Card(
        "forest",
        "Forest",
        "An average of decision trees. Robust, and coarse.",
    ),
    Card(
        "neighbors",
        "Nearest tiles",
        "The average of the most similar tiles. Simple, and coarse.",
    ),
)
POTENTIAL_CARDS = (
    Card(
        "auto",
        "Choose for me",
        "A network of atoms, or, for sheets without forces, a model of their pictures.",
    ),
    Card(
        "spectrum",
        "Atomic network",
        "Each atom sees its neighbourhood by a learned spherical expansion. The most accurate.",
    ),
    Card(
        "symmetry-functions",
        "Behler's network",
        "Fixed functions of distances and angles, one network a species.",
    ),
    Card(
        "chebyshev",
        "Chebyshev network",
        "As Behler's; the number of functions does not grow with the species.",
    ),
    Card(
        "deep-pot",
        "Deep Potential",
        "Learned functions of distances. Many species, much data.",
    ),
)
