"""
Ising energies: from 8 x 8 to 128 x 128
=======================================

Four tile models are fitted to total energies of 8 x 8 spins, and predict the energies of systems up
to 256 times larger. The growth of the error with the size matters most.
"""

# %%
# Make a thousand small systems, and ten of each larger size. The energy is that of pairs of nearest
# neighbours, so a focus of one site with a context of one site is sufficient.

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.metrics import extensive_errors
from sk_ednn.networks import PaperDenseNet
from sk_ednn.solvers import AutoSolver, GradientSolver

torch.set_num_threads(1)  # as fast for small networks, and much faster on a busy machine

small = make_ising(1000, (8, 8), random_state=0)
tests = {n: make_ising(10, (n, n), n_sweeps=50, random_state=n) for n in (8, 16, 32, 64, 128)}

# %%
# Define the tile models. Their type determines the solver. The network gets 80 epochs instead of
# the default of 100 at a lower learning rate.

tile_models = {
    "ridge on pairs": make_pipeline(PolynomialFeatures(2), Ridge(1e-6)),
    "kernel ridge": KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-6),
    "decision tree": DecisionTreeRegressor(random_state=0),
    "dense network": PaperDenseNet,
}
solver = {"dense network": GradientSolver(max_epochs=80, lr=3e-3, batch_size=100)}

for name, tile_model in tile_models.items():
    print(f"{name:15} {type(AutoSolver().select(tile_model)).__name__}")

# %%
# Fit all to the same totals. Errors are medians of ten systems, in J.

errors, fitted = {}, {}
for name, tile_model in tile_models.items():
    model = EDNNRegressor(
        tile_model,
        GridTiling(focus=1, context=1),
        solver=solver.get(name),
        random_state=0,
    )
    start = time.perf_counter()
    fitted[name] = model.fit(small.fields, small.energies)
    seconds = time.perf_counter() - start
    errors[name] = [
        extensive_errors(data.energies, model.predict(data.fields)).median
        for data in tests.values()
    ]
    print(f"{name:15} {seconds:4.1f} s  ", *(f"{e:.1e}" for e in errors[name]))

# %%
# The features of the first model contain the energy, and the kernel comes close to it: round-off
# and a small penalty remain. The tree distinguishes all 512 states of a tile. The network has been
# trained for only a few seconds. Independent errors of tiles grow with the root of the number of
# sites, common ones with the number itself.

figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
sites = np.array([n * n for n in tests])
for (name, values), marker in zip(errors.items(), "osD^", strict=True):
    ax.loglog(sites, values, marker + "-", mfc="white", label=name)
start = 3 * errors["dense network"][0]
ax.loglog(sites, start * sites / sites[0], ":", color="0.4", label="∝ sites")
ax.loglog(sites, start * np.sqrt(sites / sites[0]), "--", color="0.4", label="∝ root of sites")
ax.set_xticks(sites, [f"{n} × {n}" for n in tests])
ax.minorticks_off()
ax.set(xlabel="spins", ylabel="median error of the total / J")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The contributions add up to the total. Only the total is determined: half of a bond could just as
# well belong to the neighbour. The map shows how kernel ridge divides the energy.

spins = make_ising(1, (64, 64), temperature=2.3, n_sweeps=200, random_state=3).fields
contributions = fitted["kernel ridge"].predict_contributions(spins)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.8), layout="constrained")
left.imshow(spins[0], cmap="Greys", vmin=-3, vmax=3)
left.set_title("spins")
image = right.imshow(contributions[0], cmap="cividis", vmin=-2, vmax=2)
total = f"{contributions.sum():,.2f} J".replace("-", "−")
right.set_title(f"contributions, sum {total}")
figure.colorbar(image, ax=right, label="J", shrink=0.85)
for ax in (left, right):
    ax.set(xticks=[], yticks=[])
plt.show()
