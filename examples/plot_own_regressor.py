"""
Your own regressor: any model of scikit-learn
=============================================

Whatever has fit and predict can be the tile model. Here trees, boosting, neighbours and a support
vector machine learn from totals alone, by boosting on the sum.
"""

# %%
# The hidden contribution of a tile is a step in the number of neighbours that are on, which a
# linear model of pairs cannot represent.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNRegressor, GridTiling

rng = np.random.default_rng(0)


def cells(n, side):
    """Return fields of 0 and 1, and how many are on with two or three neighbours on."""
    X = (rng.random((n, side, side)) < 0.4).astype(np.int8)
    around = sum(
        np.roll(X, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)
    )
    return X, (X * ((around == 2) | (around == 3))).sum(axis=(1, 2)).astype(float)


X, y = cells(400, 8)
large, totals = cells(10, 32)
models = {
    "ridge on pairs": make_pipeline(PolynomialFeatures(2), Ridge(1e-3)),
    "kernel ridge": KernelRidge(kernel="rbf", gamma=0.2, alpha=1e-3),
    "decision tree": DecisionTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(20, random_state=0),
    "boosted trees": HistGradientBoostingRegressor(max_iter=30, random_state=0),
    "neighbours": KNeighborsRegressor(3),
}

# %%
# Fit each to 400 totals and predict fields of sixteen times the size.

errors = {}
for name, tile_model in models.items():
    model = EDNNRegressor(tile_model, GridTiling(1, 1), random_state=0).fit(X, y)
    errors[name] = 100 * np.abs(model.predict(large) / totals - 1).mean()
    print(f"{name:15} {type(model.solver_).__name__:15} {errors[name]:5.1f} %")

figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
ax.barh(list(errors), list(errors.values()), color="#0072b2")
ax.invert_yaxis()
ax.set(xlabel="mean error of 32 × 32 sites / %")
ax.spines[["top", "right"]].set_visible(False)
plt.show()
