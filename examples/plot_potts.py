"""
Potts states: labels need channels
==================================

States 0 to 4 are labels, not amounts. A ridge on products of neighbours learns the energy from
one channel per state and cannot learn it from the numbers of the states.
"""

# %%
# The energy of a Potts model is minus the number of equal neighbours. The same tile model is
# fitted to 8 x 8 states as they are, and to a channel of 0 and 1 for each state.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_potts
from sk_ednn.encoders import OneHotFields

small = make_potts(5, 300, (8, 8), random_state=0)
large = make_potts(5, 10, (32, 32), random_state=1)
pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
models = {
    "states as numbers": EDNNRegressor(pairs, GridTiling(1, 1)),
    "one-hot channels": make_pipeline(
        OneHotFields(), EDNNRegressor(pairs, GridTiling(1, 1, channel_axis=-1))
    ),
}

# %%
# Both predict lattices of sixteen times the size.

figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.6), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    predicted = model.fit(small.fields, small.energies).predict(large.fields)
    error = np.abs(predicted - large.energies).mean() / 32**2
    print(f"{name}: mean error {error:.1e} J per site")
    ax.plot(large.energies, predicted, "o", color="#0072b2", mfc="white")
    ax.axline((-1000, -1000), slope=1, color="0.7", zorder=0)
    ax.set(title=name, xlabel="energy / J", xlim=(-2000, -300), ylim=(-2000, -300))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("predicted energy / J")
plt.show()
