"""
Your own tiling: bonds of a graph
=================================

A tiling defines the tiles of a system. Here every edge of a graph is one, and all tile
models work on graphs of any size.
"""

# %%
# A sample is a pair of values of nodes and of edges. A tile is the two values at an edge, in
# order of size so that the direction of an edge does not matter.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor
from sk_ednn.tiling import BagTiling

rng = np.random.default_rng(0)


def edges_of(values, edges):
    """Return the tiles of a graph: a row for each edge."""
    return np.sort(values[edges], axis=1)


def graph(n_nodes, n_edges):
    """Return the tiles of a random graph and its energy."""
    values = rng.uniform(-1, 1, n_nodes)
    edges = rng.integers(0, n_nodes, size=(n_edges, 2))
    low, high = values[edges].min(axis=1), values[edges].max(axis=1)
    return edges_of(values, edges), (low * high + 0.5 * (high - low) ** 2).sum()


# %%
# Bags take any number of rows per sample: where tiles can be computed beforehand, as here,
# `BagTiling` is the tiling to use. Write a subclass of `AbstractPackedTiling` where tiles must be
# read lazily or have gradients.

small, energies = zip(*(graph(12, 18) for _ in range(80)), strict=True)
model = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(1e-8)), BagTiling())
model.fit(list(small), np.array(energies))

sizes, errors = [20, 200, 2_000, 20_000], []
for n in sizes:
    tiles, energy = graph(n, 2 * n)
    errors.append(abs(model.predict([tiles])[0] - energy) / n)
    print(f"{n:6} nodes: error {errors[-1]:.1e} per node")

figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.loglog(sizes, errors, "o-", mfc="white")
ax.set(xlabel="nodes", ylabel="error per node", ylim=(1e-12, 1e-4))
ax.spines[["top", "right"]].set_visible(False)
plt.show()
