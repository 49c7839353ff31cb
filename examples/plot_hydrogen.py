"""
Hydrogen from its electron density
==================================

Energies computed with GPAW are learned from densities of cells of 6 Å, and predicted for 12 Å.
What is left is an error of the labels, which have too few k-points.
"""

# %%
# Channels of the field are the density, its averages by Gaussians of three widths, its gradient
# and its Laplacian: all local, and the same for all orientations.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import load_hydrogen
from sk_ednn.encoders import DensityFields


def channels(fields, spacing=0.5):
    """Return rotation-invariant channels of periodic fields, the last axis."""
    axes = (1, 2, 3)
    waves = [2 * np.pi * np.fft.fftfreq(n, spacing) for n in fields.shape[1:]]
    waves = np.meshgrid(*waves, indexing="ij")
    square = sum(k**2 for k in waves)
    coefficients = np.fft.fftn(fields, axes=axes)

    def filtered(factor):
        return np.fft.ifftn(factor * coefficients, axes=axes).real

    averages = [filtered(np.exp(-0.5 * square * width**2)) for width in (0.4, 0.7, 1.1)]
    gradient = np.sqrt(sum(filtered(1j * k) ** 2 for k in waves))
    return np.stack([fields, *averages, gradient, filtered(-square)], axis=-1)


tile_model = make_pipeline(StandardScaler(), PolynomialFeatures(2), StandardScaler(), Ridge(1e-4))
model = make_pipeline(
    DensityFields(),
    FunctionTransformer(channels),
    EDNNRegressor(tile_model, GridTiling(1, 0, channel_axis=-1)),
)

# %%
# Fit to 120 small cells, and predict the other 40 and the large ones. The number of atoms alone
# explains energies to 28 meV per atom.

small, large = load_hydrogen(), load_hydrogen(cells="large")
model.fit(small.densities[:120], small.energies[:120])
error = 1e3 * (model.predict(small.densities[120:]) - small.energies[120:]) / small.n_atoms[120:]
off = 1e3 * (model.predict(large.densities) - large.energies) / large.n_atoms
n = len(small.denser_energies)
labels = 1e3 * (small.energies[:n] - small.denser_energies) / small.n_atoms[:n]
print(f"unseen small cells: mean error {np.abs(error).mean():.1f} meV/atom")
print("large cells:", ", ".join(f"{value:+.1f}" for value in off), "meV/atom")
print(f"labels of small cells: {labels.mean():+.1f} meV/atom against 2 x 2 x 2 k-points")

# %%
# The energies of small cells at the gamma point are too high, as calculations with more k-points
# show. A model can only be as extensive as its labels.

figure, ax = plt.subplots(figsize=(5.4, 3.5), layout="constrained")
ax.plot(small.n_atoms[120:], error, "o", mfc="white", label="unseen small cells")
ax.plot(large.n_atoms, off, "s", label="large cells")
ax.axhline(labels.mean(), color="0.6", ls=":", label="error of the labels of small cells")
ax.axhline(0, color="0.8", zorder=0)
ax.set(xlabel="atoms", ylabel="error / meV per atom", xscale="log")
ax.legend(frameon=False, fontsize=9)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
