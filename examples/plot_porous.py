"""
Porous sheets: from 430 atoms to 1,700
======================================

A ridge on local invariants of drawn atoms learns the energies of small porous sheets of graphene
and predicts sheets of four times the size.
"""

# %%
# Structures are drawn as images of Gaussians, and the tile model describes the surroundings of
# each pixel by numbers that do not change with rotations.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer, LocalInvariants
from sk_ednn.datasets import load_porous

small, large = load_porous(), load_porous(cells="large")
spacing, focus, context = 35 / 80, 16, 9  # a tile sees 3.9 Å around its focus
describe = LocalInvariants(focus, context, spacing, scale=0.6, random_state=0)
model = make_pipeline(
    GaussianRasterizer(spacing, width=0.4, weights={"C": 1.0}),
    EDNNRegressor(
        make_pipeline(describe, Ridge(1e-6)), GridTiling(focus, context), baseline="content"
    ),
)

# %%
# Fit to 80 sheets of 35 Å, and predict others and the first large ones.

order = np.random.default_rng(0).permutation(len(small.energies))
train, test = order[:80], order[80:100]
model.fit([small.structures[k] for k in train], small.energies[train])
groups = [(small, k) for k in test] + [(large, k) for k in range(4)]
sizes, errors = [], []
for data, k in groups:
    structure, n_atoms = data.structures[k], len(data.numbers[k])
    errors.append(1e3 * (model.predict([structure])[0] - data.energies[k]) / n_atoms)
    sizes.append(n_atoms)
print(f"small: mean error {np.abs(errors[:20]).mean():.2f} meV/atom")
for n_atoms, error in zip(sizes[20:], errors[20:], strict=True):
    print(f"{n_atoms:,} atoms: {error:+.2f} meV/atom")

# %%
# Errors per atom become smaller with the size, since those of single places cancel.

figure, ax = plt.subplots(figsize=(5.4, 3.5), layout="constrained")
ax.semilogx(sizes, errors, "o", mfc="white")
ax.axhline(0, color="0.7", zorder=0)
ax.set(xlabel="atoms", ylabel="error / meV per atom")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
