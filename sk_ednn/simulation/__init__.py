"""Monte Carlo with fitted models: of lattice fields, many replicas at once, and of atoms."""

from ._atom_tiles import AtomTileUpdates
from ._atoms import AtomMetropolis, AtomUpdates
from ._metropolis import Chain, Metropolis

__all__ = ["AtomMetropolis", "AtomTileUpdates", "AtomUpdates", "Chain", "Metropolis"]
