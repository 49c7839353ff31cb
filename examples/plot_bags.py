"""
Crowding by totals: rows instead of fields
==========================================

Only the totals of groups of rows are known, such as the energy of a district with its households.
The model learns what a single row contributes.
"""

# %%
# Three hundred districts of 20 to 200 households, each with residents, floor area and heating by
# heat pump or not. The demand of single households is what we hide.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor
from sk_ednn.tiling import BagTiling

rng = np.random.default_rng(0)


def households(n):
    """Return residents, floor area in square metres, and heat pump or not."""
    return np.column_stack(
        [rng.integers(1, 6, n), rng.uniform(30, 180, n), rng.integers(0, 2, n)]
    ).astype(float)


def demand(rows):
    """Return MWh a year."""
    residents, area, pump = rows.T
    return 0.8 * residents + 0.02 * area + 0.03 * pump * area


districts = [households(n) for n in rng.integers(20, 200, 300)]
totals = np.array([demand(rows).sum() for rows in districts])
model = EDNNRegressor(make_pipeline(PolynomialFeatures(2), LinearRegression()), BagTiling())
model.fit(districts, totals)

# %%
# Contributions of single households, which no total contained, and the total of a city.

city = households(20_000)
print(f"city: {model.predict([city])[0] / demand(city).sum():.4f} of its demand")
single = city[:300]
contributions = model.predict_contributions([single])[0]
figure, ax = plt.subplots(figsize=(4.6, 4), layout="constrained")
for pump, label, color in ((0, "without", "#0072b2"), (1, "with a heat pump", "#d55e00")):
    own = single[:, 2] == pump
    ax.plot(demand(single)[own], np.ravel(contributions)[own], ".", color=color, label=label)
ax.axline((0, 0), slope=1, color="0.7", zorder=0)
ax.set(xlabel="demand of a household / MWh", ylabel="contribution / MWh")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
