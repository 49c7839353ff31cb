"""The models in plain language, each with the time that a fit will take."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, inf


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
        "A network of atoms where the files have forces, otherwise a model of pictures of the "
        "sheets.",
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

_RATE = 1e9  # multiplications a second, of one thread, in the parts that are timed here
_SPREAD = 2.0  # of times from the estimate, up and down
_START = 4.0  # s until libraries are imported and data is read
_POTENTIAL_SECONDS = 600.0  # of a training where no epochs are given
_FEW_TILES = 20_000


@dataclass(frozen=True)
class Load:
    """The size of a fit: systems, tiles of all of them, numbers in a tile, distinct tiles."""

    n_systems: int
    n_tiles: int
    n_numbers: int
    n_distinct: int


def load_of(n_systems, n_tiles, n_numbers, n_values=None) -> Load:
    """Return the size of a fit.

    Parameters
    ----------
    n_systems : int
    n_tiles : int
        Number of tiles of all systems.
    n_numbers : int
        In one tile.
    n_values : int, default=None
        Distinct values in the fields where they are few, so that tiles repeat.

    Examples
    --------
    >>> from sk_ednn.ui._model_cards import load_of
    >>> load_of(500, 500 * 64, 9, n_values=2).n_distinct
    512
    """
    distinct = n_tiles
    if n_values is not None and n_values**n_numbers < n_tiles:
        distinct = n_values**n_numbers
    return Load(n_systems, n_tiles, n_numbers, distinct)


def seconds_of(name, load: Load, epochs=None) -> float:
    """Return roughly how long a fit takes on one processor core, in s; infinity for too long.

    Parameters
    ----------
    name : str
        Of ``--model``.
    load : Load
    epochs : int, default=None
        Epochs of networks.
    """
    n, t, k, d = load.n_systems, load.n_tiles, load.n_numbers, load.n_distinct
    trained = 0.8 * n
    if name == "kernel":
        if d > _FEW_TILES:
            return inf
        return _START + (d * d * k + trained * d * min(d, trained) + trained**3 / 3) / _RATE
    if name in ("quadratic", "cubic"):
        f = comb(k + (2 if name == "quadratic" else 3), k)
        small = min(trained, f)
        return _START + (8 * t * f + 75 * small**2 * (trained + f)) / (2 * _RATE)
    if name == "auto":
        tried = [seconds_of(each, load) - _START for each in ("kernel", "quadratic", "cubic")]
        fit = [3 * seconds for seconds in tried if seconds < 240]
        return _START + sum(fit) if fit else seconds_of("dense", load, epochs)
    if name == "dense":
        per_tile = 6 * (32 * k * k + 64 * 32 * k + 64 * 64)
        return _START + 3 + (epochs or 100) * t * per_tile / (12 * _RATE)
    if name == "perceptron":
        return _START + (epochs or 50) * t * 6 * (64 * k + 64 * 64) / (8 * _RATE)
    rounds = {"boosting": 600, "forest": 25, "neighbors": 40}.get(name)
    if rounds is None:
        return _POTENTIAL_SECONDS
    return _START + rounds * t * (k + 10) * (30 if name == "forest" else 4) / (_RATE / 8)


def in_words(seconds) -> str:
    """Return a time to expect.

    Examples
    --------
    >>> from sk_ednn.ui._model_cards import in_words
    >>> in_words(4), in_words(140), in_words(float("inf"))
    ('a few seconds', '1 to 5 minutes', 'too many different tiles')
    """
    if seconds == inf:
        return "too many different tiles"
    if seconds < 15:
        return "a few seconds"
    if seconds < 50:
        return "less than a minute"
    # The time depends on the machine and on what else runs on it: half of it to twice as long.
    low, high = seconds / _SPREAD, seconds * _SPREAD
    if high < 5400:
        return f"{max(1, round(low / 60))} to {round(high / 60)} minutes"
    if high < 2 * 86400:
        return f"{max(1, round(low / 3600))} to {round(high / 3600)} hours"
    return "days"
