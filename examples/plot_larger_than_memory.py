"""
Larger than memory: a field read in pieces
==========================================

A field of 25 million sites in a zarr store is predicted in blocks. Tasks read their own piece
with its context, and the total equals that of the field in memory to the last bit.
"""

# %%
# A model of 8 x 8 spins, and a store of 5,000 x 5,000 spins.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import zarr

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import ising_energy, make_ising
from sk_ednn.fields import ArraySource

small = make_ising(500, (8, 8), random_state=0)
model = EDNNRegressor(tiling=GridTiling(1, 1)).fit(small.fields, small.energies)
folder = tempfile.TemporaryDirectory()
side = 5000
stored = zarr.create_array(
    Path(folder.name) / "spins.zarr", shape=(1, side, side), chunks=(1, 1000, 1000), dtype="int8"
)
rng = np.random.default_rng(0)
for row in range(0, side, 1000):
    share = 0.5 + 0.4 * np.sin(row / 1500)
    stored[0, row : row + 1000] = np.where(rng.random((1000, side)) < share, 1, -1)

# %%
# `predict` and `predict_contributions` return dask arrays: nothing is read before `compute`, and
# only the requested part. The map is averaged over blocks of 100 x 100 sites.

source = ArraySource(stored)
energy = model.predict(source).compute(scheduler="synchronous")[0]
exact = ising_energy(stored[...])[0]
print(f"{side**2:,} spins: {energy:,.1f} J, exactly {exact:,.0f} J")
contributions = model.predict_contributions(source)[0]
blocks = contributions.reshape(side // 100, 100, side // 100, 100).mean(axis=(1, 3))
figure, ax = plt.subplots(figsize=(4.8, 3.9), layout="constrained")
image = ax.imshow(blocks.compute(scheduler="synchronous"), cmap="cividis")
ax.set(xticks=[], yticks=[], title="energy per spin of 100 × 100 blocks")
figure.colorbar(image, label="J")
folder.cleanup()
plt.show()
