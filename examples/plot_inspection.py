"""
Looking into a fitted model
===========================

What a model of totals sees, how far it looks, whether it is extensive, what the totals leave open,
and which of its predictions to trust. First Ising energies, where all of that is known; then sheets
of carbon, boron and nitrogen.
"""

# %%
# A kernel ridge is fitted to 400 systems of 8 x 8 spins, with a focus of 2 x 2: few enough that it
# makes errors worth a look. Systems of four sizes test it.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.datasets import load_sheets, make_ising
from sk_ednn.inspection import (
    ContextSensitivityDisplay,
    ContributionDisplay,
    ErrorDisplay,
    InteractionDisplay,
    LocalityDisplay,
    NoveltyDisplay,
    ParityDisplay,
    ScalingDisplay,
    TilingDisplay,
    TilingPathDisplay,
    extensivity_report,
    null_space,
    size_transfer,
)

train = make_ising(400, (8, 8), random_state=0)
tests = [make_ising(30, (n, n), n_sweeps=60, random_state=n) for n in (8, 16, 32, 64)]
X = [field for data in tests for field in data.fields]
y = np.concatenate([data.energies for data in tests])
n_spins = np.array([field.size for field in X])
sizes = [f"{field.shape[0]} × {field.shape[1]}" for field in X]

model = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3), GridTiling(2, 1))
model = model.fit(train.fields, train.energies)
TilingDisplay.from_estimator(model, tests[1].fields, sample=5, tile=(3, 7))
plt.show()

# %%
# Predictions and their errors. What all tiles have in common adds up with their number; errors of
# tiles that are independent, with its root. Here the largest systems are worse than either says:
# cold ones hold tiles that the small ones did not.

predicted = model.predict(X)
labels = {"name": "energy", "unit": "J", "per": "spin"}
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2), layout="constrained")
ParityDisplay.from_predictions(y, predicted, sizes=n_spins, groups=sizes, ax=left, **labels)
ErrorDisplay.from_predictions(y, predicted, sizes=n_spins, ax=right, kind="size", **labels)
plt.show()

# %%
# The laws: copies, additivity, shifts by a focus hold to the last digits. Shifts by less than a
# focus change the tiles, and measure the error.

report = extensivity_report(model, X[:60])
print(f"copies      {report.copies.max():.0e}")
print(f"additivity  {report.additivity:.0e}")
print(f"shift by 2  {report.shift_by_focus.max():.0e}")
print(f"shift by 1  {report.shifts[0][1]:.1f} J")
transfer = size_transfer(y, predicted, n_spins)
print(f"bias {transfer.bias:.4f} ± {transfer.bias_std_error:.4f} J per spin")
print(f"noise {transfer.noise:.2f} J per root of spins")

# %%
# What happens when part of each tile is hidden. A spin of the focus takes part in more of the
# tile's own bonds than one of the context.

ContextSensitivityDisplay.from_estimator(
    model,
    train.fields[:40],
    train.energies[:40],
    n_repeats=2,
    name="energy",
    unit="J",
    random_state=0,
)
plt.show()

# %%
# A ridge on pairs of spins, with twice the context it needs, spreads each bond over all tiles that
# see it: its contributions depend most on the outermost sites. Its totals do not: there only
# neighbours interact, as they should.

pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
wide = EDNNRegressor(pairs, GridTiling(1, 2)).fit(train.fields, train.energies)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
LocalityDisplay.from_estimator(wide, train.fields, ax=left, unit="J", random_state=0)
InteractionDisplay.from_estimator(wide, train.fields, ax=right, unit="J", random_state=0)
plt.show()

# %%
# Because only sums are known, much is left open: in so many directions contributions can be moved,
# and no total of the training data changes.

tiles = GridTiling(1, 1).tiles(train.fields)
found = null_space(tiles)
print(
    f"{found.n_distinct} states of a tile, {found.rank} numbers determined, {found.dimension} not"
)

spins = make_ising(1, (48, 48), temperature=2.4, n_sweeps=300, random_state=1).fields
ContributionDisplay.from_estimator(model, spins, name="energy of a tile", unit="J")
plt.show()

# %%
# Cross-validation along a short path finds the context that is enough.

path = TilingPathDisplay.from_data(
    train.fields,
    train.energies,
    estimator=EDNNRegressor(pairs, GridTiling(1, 1)),
    min_gain=0.01,
    unit="J",
)
print("suggested:", path.result.tiling)
plt.show()

# %%
# Sheets of carbon, boron and nitrogen, drawn with a channel for each species. Four members of a
# committee are fitted to graphene and boron nitride; predicted are sheets of both and of either.
# Where the spread between members ranks the errors, it tells which predictions to trust.

sheets = load_sheets()
order = np.random.default_rng(0).permutation(len(sheets.energies))
pure, test = order[sheets.kinds[order] != 2][:200], order[-200:]
draw = GaussianRasterizer(
    (12.5 / 16, 13.0 / 16),
    width=0.6,
    weights={"B": 1.0, "C": 1.0, "N": 1.0},
    channels=("B", "C", "N"),
)
known, unseen = (draw.fit_transform([sheets.structures[k] for k in part]) for part in (pure, test))
committee = EDNNCommittee(
    EDNNRegressor(
        KernelRidge(kernel="rbf", gamma=2e-2, alpha=1e-4),
        GridTiling(4, 2, channel_axis=-1),
        baseline="content",
    ),
    n_members=4,
    random_state=0,
)
committee.fit(known, sheets.energies[pure])
area = sheets.cells[test, 0] * sheets.cells[test, 1]
kinds = np.array(["pure", "pure", "both species"])[sheets.kinds[test]]
in_mev = 1e3 * sheets.energies[test], 1e3 * committee.predict(unseen)
figure, (left, right) = plt.subplots(
    1, 2, figsize=(11.4, 3.9), layout="constrained", width_ratios=(1, 1)
)
ErrorDisplay.from_predictions(
    *in_mev, sizes=area, groups=kinds, ax=left, name="energy", unit="meV Å⁻²", per="area"
)
NoveltyDisplay.from_estimator(
    committee, known, unseen, sheets.energies[test], indicator="spread", ax=right,
    name="error", unit="eV",
)  # fmt: skip
plt.show()

# %%
# Totals are extensive, here those of copies of one system, and time is linear in size. (Fields of
# independent spins: where tiles repeat, each is evaluated once, and time grows more slowly.)

larger = [np.random.default_rng(n).choice([-1, 1], size=(n, n)) for n in (16, 32, 64, 128)]
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
copies = [np.tile(spins[0], (k, k)) for k in (1, 2, 4)]
ScalingDisplay.from_estimator(model, copies, kind="total", ax=left, **labels)
ScalingDisplay.from_estimator(model, larger, kind="time", ax=right, per="spin")
plt.show()
