"""
Counting in photographs, from totals only
=========================================

`CountRegressor` learns to count from photographs of cells with clumps, uneven light and noise, and
a number for each. It predicts intervals, and shows the positions of the cells, which were not
given.
"""

# %%
# The photographs are synthetic, with known positions for comparison. They have 64 x 64 pixels with
# some 1 to 20 cells.

import matplotlib.pyplot as plt
import numpy as np
import torch

from sk_ednn.datasets import make_pictures
from sk_ednn.images import CountRegressor, peaks

torch.set_num_threads(1)  # as fast for small networks, and much faster on a busy machine

small = make_pictures(100, (64, 64), n_objects=(5, 80), random_state=0)
model = CountRegressor(max_epochs=40, n_members=1, random_state=0)
model.fit(small.pictures, small.totals)
print(f"error {model.error_:.2f} of {small.totals.mean():.1f} on held-back pictures")

# %%
# Predict larger photographs, of any shape. Each count has an interval, and a flag if the picture is
# unlike the training pictures, such as one with inverted contrast.

large = make_pictures(1, (160, 240), n_objects=(40, 60), random_state=1)
picture, true = large.pictures[0], large.totals[0]
for name, image in (("original", picture), ("inverted", 255 - picture)):
    row = model.count([image])[0]
    print(f"{name}: {row.total:.0f} ({row.low:.0f} to {row.high:.0f}), true {true:.0f} {row.flag}")

# %%
# Plot the contributions and their peaks.

contributions = model.predict_contributions([picture])[0]
positions, shares = peaks(contributions, (4, 4))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
axes[0].imshow(picture, cmap="gray")
axes[0].plot(*large.positions[0].T[::-1], "+", color="C1", label="true positions")
axes[0].legend(loc="upper right")
axes[1].imshow(contributions, cmap="magma", extent=(-0.5, 239.5, 159.5, -0.5))
axes[1].scatter(*positions.T[::-1], s=20 * np.maximum(shares, 0), fc="none", ec="white")
axes[1].set_title(f"sum {contributions.sum():.1f}")
plt.show()
