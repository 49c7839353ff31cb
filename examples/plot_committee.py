"""
A committee: intervals and unfamiliar systems
=============================================

The spread of a committee's members grows where the training data end. It flags errors, and it is
not the error.
"""

# %%
# Members see values of normal spread 1 and predict fields with spreads from 0.5 to 2. Products of
# two sites cannot represent fourth powers, so that errors grow with the spread.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 6, 6))
y = (X**4).sum(axis=(1, 2))
member = EDNNRegressor(make_pipeline(PolynomialFeatures(3), Ridge(1e-3)), GridTiling(1, 0))
committee = EDNNCommittee(member, random_state=0).fit(X, y)

# %%
# For two hundred fields each: the mean error of a total and the standard deviation of the members.

spreads = np.linspace(0.5, 2, 7)
errors, stds = [], []
for spread in spreads:
    fields = spread * rng.normal(size=(200, 6, 6))
    predicted, std = committee.predict(fields, return_std=True)
    errors.append(np.abs(predicted - (fields**4).sum(axis=(1, 2))).mean())
    stds.append(std.mean())
    print(f"spread {spread:.2f}: error {errors[-1]:7.1f}, members differ by {stds[-1]:6.2f}")

figure, ax = plt.subplots(figsize=(5.4, 3.7), layout="constrained")
ax.semilogy(spreads, errors, "o-", mfc="white", label="mean error")
ax.semilogy(spreads, stds, "s--", mfc="white", label="spread of the members")
ax.axvline(1, color="0.6", ls=":", label="training data")
ax.set(xlabel="spread of the values of a field", ylabel="of the total")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
