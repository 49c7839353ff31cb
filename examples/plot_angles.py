"""
Angles: cosine and sine
=======================

The energy of XY spins depends on differences of angles. Angles as numbers have a seam at 360
degrees; as cosine and sine they do not, and the model also gives torques.
"""

# %%
# Random angles on 6 x 6 sites, and the energy ``-Σ cos(difference)`` of neighbours.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.encoders import AngleFields

rng = np.random.default_rng(0)


def xy(n, side):
    """Return angles in degrees and energies in units of the coupling."""
    angles = rng.uniform(0, 360, size=(n, side, side))
    turns = np.radians(angles)
    energy = -sum(np.cos(turns - np.roll(turns, 1, axis)).sum((1, 2)) for axis in (1, 2))
    return angles, energy


X, y = xy(300, 6)
large, energies = xy(20, 24)
pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
raw = EDNNRegressor(pairs, GridTiling(1, 1)).fit(X, y)
turned = make_pipeline(AngleFields(360), EDNNRegressor(pairs, GridTiling(1, 1, channel_axis=-1)))
turned.fit(X, y)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.7), layout="constrained")
for model, name, marker in ((raw, "degrees", "s"), (turned, "cosine and sine", "o")):
    predicted = model.predict(large)
    print(f"{name}: mean error {np.abs(predicted - energies).mean():.2g} of 24 x 24 spins")
    left.plot(energies, predicted, marker, mfc="none", label=name)
left.axline((0, 0), slope=1, color="0.7", zorder=0)
left.set(xlabel="energy", ylabel="predicted energy")
left.legend(frameon=False)

# %%
# `AngleFields.pull` turns the gradient of the channels into the torque on each angle.

encode, regressor = turned
torques = -encode.pull(large[:1], regressor.predict_gradient(encode.transform(large[:1])))[0]
turns = np.radians(large[0])
exact = -sum(
    np.sin(turns - np.roll(turns, shift, axis)) for axis in (0, 1) for shift in (1, -1)
) * np.radians(1)
right.plot(exact.ravel(), torques.ravel(), ".", color="#d55e00")
right.axline((0, 0), slope=1, color="0.7", zorder=0)
right.set(xlabel="torque per degree", ylabel="predicted torque per degree")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
print(
    f"largest error of a torque: {np.abs(torques - exact).max():.1e} of {np.abs(exact).max():.2f}"
)
plt.show()
