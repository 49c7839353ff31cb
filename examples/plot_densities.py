"""
Densities: which functionals a window can learn
===============================================

Models are fitted to energies of electron densities in boxes of 4.8 Å and predict boxes of eight
times the volume. Two kinetic energies are reached with finite windows; Hartree's energy is not.
"""

# %%
# `make_densities` draws Gaussians on a background, with three exact functionals. Thomas–Fermi's
# kinetic energy is an integral over n^(5/3), von Weizsäcker's one over the squared gradient of
# the root of n, and Hartree's is a sum over pairs of points at all distances.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_densities
from sk_ednn.encoders import IntensiveContext

small = make_densities(120, 12, random_state=0)
large = make_densities(6, 24, random_state=1)
names = {"thomas_fermi": "Thomas–Fermi", "von_weizsacker": "von Weizsäcker", "hartree": "Hartree"}
y = np.column_stack([small[name] for name in names])  # one model learns the three energies
truth = np.column_stack([large[name] for name in names])

# %%
# The fields are the root of the density. The tile models are ridges on products of principal
# components of windows of 1, 27 and 216 points. The last one also sees the mean over the box.


def products(n_components, degree):
    """Return a ridge on products of principal components."""
    reduce = PCA(n_components, random_state=0)
    return make_pipeline(
        StandardScaler(), reduce, PolynomialFeatures(degree), StandardScaler(), Ridge(1e-6)
    )


root = FunctionTransformer(np.sqrt)
channels = GridTiling(focus=1, context=1, channel_axis=-1)
models = {
    "1 point": make_pipeline(root, EDNNRegressor(products(1, 4), GridTiling(1, 0))),
    "27 points": make_pipeline(root, EDNNRegressor(products(10, 2), GridTiling(1, 1))),
    "216 points": make_pipeline(root, EDNNRegressor(products(10, 2), GridTiling(2, 2))),
    "27 points\nand mean": make_pipeline(
        root, IntensiveContext(), EDNNRegressor(products(11, 2), channels)
    ),
}
errors = {}
for name, model in models.items():
    model.fit(small.fields, y)
    off = np.abs(model.predict(large.fields) - truth).mean(axis=0)
    errors[name] = 100 * off / truth.mean(axis=0)
    shown = ", ".join(f"{of} {e:.2f} %" for of, e in zip(names.values(), errors[name], strict=True))
    print(f"{name!r}: {shown}")

# %%
# One point suffices for Thomas–Fermi, and the nearest neighbours for the gradient. All windows
# fail for Hartree's energy: the longest waves of a box contribute most to it, and no small box
# contains those of a large one. The mean over the box is no remedy: its error here is small by
# luck, and between 3 and 80 % with other random states. Averages repair what depends on the
# composition of a whole system, and not what depends on its arrangement.

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for k, label in enumerate(names.values()):
    ax.bar(
        np.arange(len(models)) + 0.27 * (k - 1), [e[k] for e in errors.values()], 0.25, label=label
    )
ax.set(yscale="log", ylabel="mean error of large boxes / %", xlabel="what a tile sees")
ax.set_xticks(range(len(models)), list(models))
ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
ax.spines[["top", "right"]].set_visible(False)
plt.show()
