"""
An alloy on a lattice: interactions from total energies
=======================================================

Occupancies of a square lattice interact with first and second neighbours. A linear tile model
finds both interactions from total energies alone.
"""

# %%
# A site is 0 (A) or 1 (B). The energy counts BB pairs of first and of second neighbours. Boxes
# have ten different compositions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling

FIRST, SECOND = -0.060, 0.025  # eV per BB pair
rng = np.random.default_rng(0)


def alloys(n, side):
    """Return occupancies and energies of periodic alloys."""
    share = rng.uniform(0.2, 0.8, size=(n, 1, 1))
    occupied = (rng.random((n, side, side)) < share).astype(np.int8)
    first = sum((occupied * np.roll(occupied, 1, axis)).sum((1, 2)) for axis in (1, 2))
    second = sum(
        (occupied * np.roll(occupied, (1, shift), (1, 2))).sum((1, 2)) for shift in (1, -1)
    )
    return occupied, FIRST * first + SECOND * second


X, y = alloys(200, 8)
model = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(1e-6)), GridTiling(1, 1))
model.fit(X, y)
large, energies = alloys(5, 64)
print(f"error of 64 x 64 sites: {np.abs(model.predict(large) - energies).max():.1e} eV")

# %%
# How much the energy of the centre changes with a neighbour, for a B in the centre of an empty
# lattice, is the interaction: the energy of two B less that of each alone.

side, centre = 9, 4
empty = np.zeros((1, side, side), dtype=np.int8)


def energy(*sites):
    """Return the energy of a lattice with B on some sites."""
    field = empty.copy()
    for site in sites:
        field[(0, *site)] = 1
    return model.predict(field)[0]


pair = np.zeros((side, side))
for site in np.ndindex(side, side):
    if site != (centre, centre):
        pair[site] = energy((centre, centre), site) - energy((centre, centre)) - energy(site)
        pair[site] += energy()
print(f"first neighbours {pair[centre, centre + 1]:+.3f} eV, second {pair[3, 3]:+.3f} eV")

figure, ax = plt.subplots(figsize=(4.8, 3.9), layout="constrained")
image = ax.imshow(1e3 * pair, cmap="RdBu", vmin=-60, vmax=60)
ax.set(xticks=[], yticks=[], title="interaction with the centre")
figure.colorbar(image, label="meV")
plt.show()
