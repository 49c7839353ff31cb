"""
Counting dots, from totals only
===============================

A network learns to count dots from images of 32 x 32 pixels and the number of dots in each, without
their positions. It then counts the dots of images 256 times larger, and shows where they are.
"""

# %%
# The training images have 0 to 15 dots of radius 2.5 pixels, which never overlap.

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_dots
from sk_ednn.solvers import GradientSolver

torch.set_num_threads(1)  # as fast for small networks, and much faster on a busy machine

small = make_dots(1000, (32, 32), random_state=0)
print(f"{small.counts.min():.0f} to {small.counts.max():.0f} dots")

# %%
# A tile is a focus of 4 pixels with 3 pixels of context. `EDNNRegressor` fills in `tile_shape`, so
# pass the class instead of an instance.


class Net(nn.Sequential):
    """A small dense network with one output per tile."""

    def __init__(self, tile_shape):
        n_pixels = tile_shape[0] * tile_shape[1]
        super().__init__(
            nn.Flatten(),
            nn.Linear(n_pixels, 64),
            nn.SiLU(),
            nn.Linear(64, 64),
            nn.SiLU(),
            nn.Linear(64, 1),
        )


model = EDNNRegressor(
    Net,
    GridTiling(focus=4, context=3),
    solver=GradientSolver(max_epochs=15, lr=2e-3),
    random_state=0,
)
model.fit(small.fields, small.counts)

# %%
# Predict larger images, sparse and crowded.

for n in (32, 128, 512):
    large = make_dots(5, (n, n), random_state=n)
    predicted = model.predict(large.fields)
    for true, count in zip(large.counts, predicted, strict=True):
        print(f"{n} x {n}: {true:6.0f} dots, {count:8.1f} predicted")

# %%
# Plot the contribution of each tile. Only sums were given, so the weight of a dot may be spread
# over the tiles that see it in any way. Tiles that see no dot must contribute nothing, and they do.

image = make_dots(1, (96, 96), n_dots=45, random_state=5)
contributions = model.predict_contributions(image.fields)[0]
total = model.predict(image.fields)[0]

figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.2), layout="constrained")
axes[0].imshow(image.fields[0], cmap="Greys", extent=(-0.5, 95.5, 95.5, -0.5))
axes[0].set_title(f"{image.counts[0]:.0f} dots")
shown = axes[1].imshow(contributions, cmap="YlGnBu", vmin=0, extent=(-0.5, 95.5, 95.5, -0.5))
rows, columns = image.positions[0].T
axes[1].plot(columns, rows, "o", ms=11, mfc="none", mec="#d1495b", mew=1.1)
axes[1].set_title(f"contributions of 24 × 24 tiles, sum {total:.1f}")
axes[1].set(xlim=(-0.5, 95.5), ylim=(95.5, -0.5))
figure.colorbar(shown, ax=axes[1], shrink=0.8)
for ax in axes:
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# A count is a simple total: all dots look the same, so the sum of the pixels divided by that of one
# dot counts them too. ``make_dots(task="neighbours")`` is harder: it counts pairs of dots of two
# different colours within a distance. A model without context, which sees each tile alone, must
# fail at the borders of the tiles: see the guide on the choice of focus and context.

one_dot = 2 * np.pi * 2.5**2 / 6  # the integral of (1 - d²/r²)² over a disc is π r² / 3
print(f"sum of pixels: {image.fields.sum() / one_dot:.1f} dots")
