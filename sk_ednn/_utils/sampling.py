"""Constants of Metropolis sampling."""

# Probability of accepting a move that costs nothing. At 1, an infinitely hot system would change
# all sites of a sublattice in every sweep, and so visit few of its states.
MAX_ACCEPTANCE = 0.85
