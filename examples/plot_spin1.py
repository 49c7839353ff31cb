"""
Spins 1: from totals to couplings and phases
============================================

Spins of -1, 0 and 1 have a channel for each value. A ridge on products with the symmetries of the
lattice learns the energy of 60 small systems, `couplings` reads its terms, and `Metropolis` runs
the model on a larger lattice.
"""

# %%
# The model of Blume and Capel with a biquadratic term, ``-J s s' - K s² s'² + D s²``. Systems of
# 8 x 8 spins are random, with different shares of zeros. On the command line, ``sk-ednn fit
# spins.npz --symmetries reflect,rotate,flip`` fits the same model to a file of totals, and
# ``sk-ednn inspect`` prints its couplings.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.encoders import OneHotFields
from sk_ednn.inspection import couplings
from sk_ednn.metrics import judge
from sk_ednn.simulation import Metropolis
from sk_ednn.tile_models import SymmetricFeatures


def energy(s, J=1.0, K=0.25, D=1.6):
    """Return the energies of fields (n, rows, columns)."""
    s = np.asarray(s, dtype=float)
    bonds = sum(-J * s * t - K * (s * t) ** 2 for t in (np.roll(s, 1, 1), np.roll(s, 1, 2)))
    return (bonds + D * s**2).sum(axis=(1, 2))


rng = np.random.default_rng(0)
up, down = rng.dirichlet([1, 1, 1], size=120)[:, :2].T
numbers = rng.random((8, 8, 120))
X = np.moveaxis((numbers < up).astype(np.int8) - (numbers > 1 - down), -1, 0)
y = energy(X)

# %%
# "reverse" is the change of sign of all spins: the reversed order of their channels.

features = SymmetricFeatures(symmetries=["reflect", "rotate", "reverse"])
tiling = GridTiling(focus=1, context=1, channel_axis=-1)
model = make_pipeline(
    OneHotFields(), EDNNRegressor(make_pipeline(features, Ridge(1e-6)), tiling)
).fit(X[:60], y[:60])
print(judge(y[60:], model.predict(X[60:]), fitted=(y[:60], model.predict(X[:60])), fields=X))

# %%
# Its couplings are those of the energy: products of nearest neighbours and of their squares, and
# the square of single spins.

found = couplings(model, X, n_fields=1, max_distance=1, random_state=0)
for name, values in found.coefficients.items():
    for where, value in zip(found.displacements.tolist(), values, strict=True):
        print(f"{name} at {where}: {value.round(3) + 0:.3f}")
print({name: round(value, 3) for name, value in found.site_coefficients.items()})

# %%
# Lattices of 24 x 24 spins, cooled by replica exchange. ``chain.value_sums`` are magnetisations,
# ``chain.magnetisations`` the numbers of sites with -1, 0 and 1.

temperatures = np.linspace(0.5, 2.0, 10)
sampler = Metropolis(
    model, temperatures, values=[-1, 0, 1], n_replicas=4, swap_interval=2, random_state=0
)
chain = sampler.run(np.ones((24, 24), dtype=np.int8), 200, burn_in=200)
last = chain.fields.reshape(-1, 24, 24)
largest = np.abs(chain.energies[-1].ravel() - energy(last)).max()
print(f"largest error of the last energies: {largest:.1e} J")

figure, ax = plt.subplots(figsize=(5, 3.6), layout="constrained")
for label, values, color in (
    ("magnetisation", np.abs(chain.value_sums), "#0072b2"),
    ("share of zeros", chain.magnetisations[..., 1], "#d55e00"),
):
    ax.plot(
        temperatures, values.mean(axis=(0, 2)) / 24**2, "o-", color=color, mfc="white", label=label
    )
ax.set(xlabel="temperature / J", ylabel="per site", ylim=(0, 1.02))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
