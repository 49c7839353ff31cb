"""
Monte Carlo: from totals of 8 x 8 spins to the phase transition
===============================================================

A model is fitted to total energies of 8 x 8 spins. Monte Carlo with it on 64 x 64 spins is compared
with the exact solution of the infinite lattice: energy, specific heat and magnetisation.
"""

# %%
# Fit the model to configurations and totals alone. A focus of one spin with a context of one spin
# is sufficient for pairs of neighbours.

import time

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import ellipe, ellipk

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.evaluation import LocalUpdates
from sk_ednn.simulation import Metropolis

small = make_ising(1000, (8, 8), random_state=0)
model = EDNNRegressor(tiling=GridTiling(focus=1, context=1), random_state=0)
model.fit(small.fields, small.energies)

# %%
# The energy of a single flip needs only the tiles that see it, not the other 4,095 spins. At the
# wall between two domains it is half of that inside a domain.

stripes = np.ones((64, 64), dtype=np.int8)
stripes[20:40] = -1
local = LocalUpdates(model, stripes)
for place, site in (("in a domain", (30, 5)), ("at a wall", (20, 5))):
    print(f"{place:11}: {local.propose([site], [1]):5.2f} J")

# %%
# Sample a ladder of temperatures with two replicas each. Spins three apart share no tile and are
# updated together, in all replicas at once. After every second sweep neighbouring temperatures may
# swap their replicas.

critical = 2 / np.log(1 + np.sqrt(2))
temperatures = np.concatenate(
    [np.linspace(1.5, 2.1, 4), np.linspace(2.18, 2.42, 8), np.linspace(2.5, 3.5, 5)]
)
side = 64
sampler = Metropolis(
    model, temperatures, values=[-1, 1], n_replicas=2, swap_interval=2, random_state=0
)
start = time.perf_counter()
chain = sampler.run(np.ones((side, side), dtype=np.int8), 500, burn_in=150, interval=2)
seconds = time.perf_counter() - start
attempted = 650 * chain.fields.size
print(f"{attempted / 1e6:.0f} million flips attempted in {seconds:.0f} s")
print("accepted:", " ".join(f"{100 * a:.0f}%" for a in chain.acceptance[::4]))

# %%
# Onsager's energy and specific heat per spin, and Yang's magnetisation, for J = 1. `ellipk` and
# `ellipe` take the square of the modulus.


def exact_energy(temperature):
    """Return Onsager's energy per spin."""
    K = 1 / temperature
    k = 2 * np.sinh(2 * K) / np.cosh(2 * K) ** 2
    bracket = 1 + 2 / np.pi * (2 * np.tanh(2 * K) ** 2 - 1) * ellipk(k**2)
    return -bracket / np.tanh(2 * K)


def exact_specific_heat(temperature):
    """Return Onsager's specific heat per spin."""
    K = 1 / temperature
    k = 2 * np.sinh(2 * K) / np.cosh(2 * K) ** 2
    other = 2 * np.tanh(2 * K) ** 2 - 1
    first, second = ellipk(k**2), ellipe(k**2)
    bracket = first - second - (1 - np.tanh(2 * K) ** 2) * (np.pi / 2 + other * first)
    return 4 / np.pi * (K / np.tanh(2 * K)) ** 2 * bracket


def exact_magnetisation(temperature):
    """Return Yang's magnetisation per spin, 0 above the transition."""
    below = np.minimum(temperature, critical)
    return np.maximum(1 - np.sinh(2 / below) ** -4.0, 0) ** (1 / 8)


# %%
# Points are the model, lines the exact solution. On a finite lattice the specific heat has a peak
# where that of the infinite lattice diverges, and some magnetisation remains above the transition.

sites = side**2
energy = chain.energies.mean(axis=(0, 2)) / sites
heat = chain.energies.var(axis=(0, 2)) / sites / temperatures**2
size = np.abs(chain.magnetisations).mean(axis=(0, 2)) / sites

fine = np.concatenate([np.linspace(1.5, critical, 400)[:-1], np.linspace(critical, 3.5, 400)[1:]])
figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.4), layout="constrained")
for ax, values, exact, label in zip(
    axes,
    (energy, heat, size),
    (exact_energy, exact_specific_heat, exact_magnetisation),
    ("energy / J", "specific heat / k", "|magnetisation|"),
    strict=True,
):
    ax.plot(fine, exact(fine), "-", color="0.4", label="exact, infinite")
    ax.plot(temperatures, values, "o", mfc="white", label=f"model, {side} x {side}")
    ax.axvline(critical, ls=":", color="0.7")
    ax.set(xlabel="kT / J", ylabel=f"{label} per spin")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False, loc="lower right", fontsize=9)
plt.show()

away = np.abs(temperatures - critical) > 0.2
worst = np.abs(energy - exact_energy(temperatures))[away].max()
print(f"largest difference of the energy per spin, away from the transition: {worst:.4f} J")

# %%
# Show the last spins at three temperatures.

figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.4), layout="constrained")
for ax, index in zip(axes, (2, 7, 16), strict=True):
    ax.imshow(chain.fields[index, 0], cmap="Greys", vmin=-1.5, vmax=1.5)
    ax.set_title(f"kT = {temperatures[index]:.2f} J")
    ax.set(xticks=[], yticks=[])
plt.show()
