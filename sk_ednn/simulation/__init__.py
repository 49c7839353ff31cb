"""Monte Carlo with fitted models: many replicas at once, at one temperature or a ladder of them."""

from ._metropolis import Chain, Metropolis

__all__ = ["Chain", "Metropolis"]
