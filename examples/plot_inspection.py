"""
Inspecting a fitted model
=========================

Measure what a model of totals uses, how far it reaches, whether it is extensive, what the totals do
not determine, and which predictions to trust: first for Ising energies, where the answers are
known, then for sheets of carbon, boron and nitrogen.
"""

# %%
# Fit kernel ridge to 400 systems of 8 x 8 spins with a focus of 2 x 2, few enough for visible
# errors, and test it on systems of four sizes.

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
# Plot predictions and their errors. Errors common to all tiles grow with their number, independent
# errors with its root. Here the largest systems exceed both: cold ones contain tiles that do not
# occur in the small ones.

predicted = model.predict(X)
labels = {"name": "energy", "unit": "J", "per": "spin"}
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2), layout="constrained")
ParityDisplay.from_predictions(y, predicted, sizes=n_spins, groups=sizes, ax=left, **labels)
ErrorDisplay.from_predictions(y, predicted, sizes=n_spins, ax=right, kind="size", **labels)
plt.show()

# %%
# Check the laws: copies, additivity and shifts by a focus are exact to round-off. Shifts by less
# than a focus change the tiles, and measure the error.

report = extensivity_report(model, X[:60])
print(f"copies      {report.copies.max():.0e}")
print(f"additivity  {report.additivity:.0e}")
print(f"shift by 2  {report.shift_by_focus.max():.0e}")
print(f"shift by 1  {report.shifts[0][1]:.1f} J")
transfer = size_transfer(y, predicted, n_spins)
print(f"bias {transfer.bias:.4f} ± {transfer.bias_std_error:.4f} J per spin")
print(f"noise {transfer.noise:.2f} J times root of spins")

# %%
# Hide part of each tile. A spin of the focus takes part in more of the bonds that a tile accounts
# for than one of the context.

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
# see it: contributions depend most on the outermost sites. In the totals only neighbours interact,
# as they should.

pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
wide = EDNNRegressor(pairs, GridTiling(1, 2)).fit(train.fields, train.energies)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
LocalityDisplay.from_estimator(wide, train.fields, ax=left, unit="J", random_state=0)
InteractionDisplay.from_estimator(wide, train.fields, ax=right, unit="J", random_state=0)
plt.show()

# %%
# Since only sums are known, many directions are not determined: contributions can change along them
# without changing any total of the training data.

tiles = GridTiling(1, 1).tiles(train.fields)
result = null_space(tiles)
print(
    f"{result.n_distinct} states of a tile, {result.rank} numbers determined, "
    f"{result.dimension} not"
)

spins = make_ising(1, (48, 48), temperature=2.4, n_sweeps=300, random_state=1).fields
ContributionDisplay.from_estimator(model, spins, name="energy of a tile", unit="J")
plt.show()

# %%
# Find the smallest sufficient context by cross-validation along a short path.

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
# Draw sheets of carbon, boron and nitrogen with one channel per species. Fit a committee of four
# members to graphene and boron nitride, and predict sheets of both and of either. If the spread
# between members ranks the errors, it shows which predictions to trust.

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
# Totals of copies of one system are extensive, and time is linear in size. (The fields are
# independent spins: where tiles repeat, each is evaluated once, and time grows more slowly.)

larger = [np.random.default_rng(n).choice([-1, 1], size=(n, n)) for n in (16, 32, 64, 128)]
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
copies = [np.tile(spins[0], (k, k)) for k in (1, 2, 4)]
ScalingDisplay.from_estimator(model, copies, kind="total", ax=left, **labels)
ScalingDisplay.from_estimator(model, larger, kind="time", ax=right, per="spin")
plt.show()
