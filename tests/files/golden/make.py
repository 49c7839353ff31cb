"""Write the golden files of a schema: once, with the version that introduces it.

    python tests/files/golden/make.py

Those that are there are never written again: a later version has to read what this one wrote. A new
schema, or a new kind of part, gets new files beside them, each with its predictions.
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LassoCV, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import Bunch

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.atoms import EDNNPotential, GaussianRasterizer, LocalInvariants
from sk_ednn.descriptors import PowerSpectrum, SymmetryFunctions
from sk_ednn.encoders import IntensiveContext
from sk_ednn.files import save
from sk_ednn.networks import PaperDenseNet, ValidCNN
from sk_ednn.solvers import BoostingSolver, GradientSolver
from sk_ednn.structures import Structure
from sk_ednn.tiling import AtomTiling, BagTiling

FOLDER = Path(__file__).parent
BOOSTING, GRADIENT = BoostingSolver(n_stages=2), GradientSolver(max_epochs=2)


class Golden(torch.nn.Module):
    """A network of a user."""

    def __init__(self, width=4):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(3, width), torch.nn.Linear(width, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x.flatten(1))))


TINY_TREE = {"max_iter": 2, "max_leaf_nodes": 4}
MODELS = {
    "linear": EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge()), baseline="content"),
    "kernel": EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3)),
    "process": EDNNRegressor(
        GaussianProcessRegressor(RBF(2.0) + WhiteKernel(1e-2), optimizer=None), GridTiling(2, 1)
    ),
    "forest": EDNNRegressor(RandomForestRegressor(2, max_depth=3), solver=BOOSTING),
    "histograms": EDNNRegressor(HistGradientBoostingRegressor(**TINY_TREE), solver=BOOSTING),
    "neighbours": EDNNRegressor(KNeighborsRegressor(2), solver=BOOSTING),
    "perceptron": EDNNRegressor(
        make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=2))
    ),
    "terms": EDNNRegressor([("a", Ridge(), GridTiling(1, 1)), ("b", Ridge(), GridTiling(2, 0))]),
    "committee": EDNNCommittee(EDNNRegressor(Ridge()), n_members=2),
    "dense net": EDNNRegressor(PaperDenseNet, GridTiling(2, 0), solver=GRADIENT),
    "convolutions": EDNNRegressor(
        ValidCNN((4,), (2,), layers=[(2, 3, 1)], hidden=4), GridTiling(2, 1), solver=GRADIENT
    ),
    "user's net": EDNNRegressor(Golden, solver=GRADIENT),
    "products": EDNNRegressor(make_pipeline(PolynomialFeatures(3), LassoCV(cv=2))),
    "scaled kernel": EDNNRegressor(
        make_pipeline(MinMaxScaler(), FunctionTransformer(np.sin), KernelRidge(alpha=1e-3))
    ),
    "components": EDNNRegressor(
        make_pipeline(RobustScaler(), PCA(2), Nystroem(n_components=4, random_state=0), Ridge())
    ),
    "sum of kernels": EDNNRegressor(
        make_pipeline(
            StandardScaler(),
            GaussianProcessRegressor(
                ConstantKernel(2.0) * Matern(1.5, nu=2.5) + WhiteKernel(1e-2), optimizer=None
            ),
        )
    ),
    "averages": make_pipeline(
        IntensiveContext(("mean", "square")), EDNNRegressor(Ridge(), GridTiling(channel_axis=-1))
    ),
    "shifts": ShiftAveraged(
        EDNNRegressor(Ridge(), GridTiling(4, 1)), n_shifts=2, selection="random", random_state=0
    ),
}
# The schema that introduced them, where it is not the first.
SINCE = {
    "products": 2, "scaled kernel": 2, "components": 2, "sum of kernels": 2, "kinds": 3,
    "averages": 3, "atoms as tiles": 3, "potential": 3, "symmetry functions": 3,
}  # fmt: skip
ATOMS = {
    "atoms": (
        GaussianRasterizer(0.2, 0.2, channels=("C", "N")),
        EDNNRegressor(Ridge(), GridTiling(4, 0, channel_axis=-1)),
    ),
    "invariants": (
        GaussianRasterizer(0.2, 0.2),
        EDNNRegressor(
            make_pipeline(
                LocalInvariants(4, 2, 0.2, degree=2, n_components=3, random_state=0), Ridge()
            ),
            GridTiling(4, 2),
        ),
    ),
}

# Models of bags, and of structures in three dimensions.
BAGS = {
    "kinds": EDNNRegressor(BagTiling.per_kind(make_pipeline(StandardScaler(), Ridge()), 0, (0, 1)))
}
CRYSTALS = {
    "atoms as tiles": EDNNRegressor(
        AtomTiling.per_species(Ridge(), PowerSpectrum(3.0, n_radial=2, max_l=1), ["C", "N"])
    ),
    "symmetry functions": EDNNRegressor(
        KernelRidge(kernel="rbf", gamma=0.1), AtomTiling(SymmetryFunctions(3.0)), baseline="content"
    ),
    "potential": EDNNPotential(
        cutoff=3.0, context=2, max_epochs=2, network_params={"n_radial": 3, "l_max": 1,
                                                             "channels": 4, "partners": 2}
    ),
}  # fmt: skip


def data(name):
    """Return systems and totals of a model."""
    if name in ATOMS:
        return structures(), np.arange(6.0)
    if name in BAGS:
        return bags(), np.arange(8.0)
    if name in CRYSTALS:
        return crystals(), np.arange(6.0)
    X = fields()
    return X, np.sin(X).sum(axis=1)


def bags():
    rng = np.random.default_rng(0)
    return [
        np.stack([rng.integers(2, size=n), *rng.normal(size=(2, n))], axis=1)
        for n in (3, 1, 4, 0, 2, 5, 3, 2)
    ]


def crystals():
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    return [
        Bunch(numbers=np.array([6, 7, 6]), positions=3.6 * (corners + rng.uniform(0, 0.1, (3, 3))),
              cell=3.6 * np.eye(3), pbc=np.array([True, True, k % 2 == 0]))
        for k in range(6)
    ]  # fmt: skip


def fields(n=8, length=8):
    return np.random.default_rng(0).normal(size=(n, length))


def structures():
    rng = np.random.default_rng(0)
    cell = [1.6, 1.6]
    return [Structure([6, 7], rng.uniform(0, 1.6, (2, 2)), cell) for _ in range(6)]


def main():
    for name in (*MODELS, *ATOMS, *BAGS, *CRYSTALS):
        path = FOLDER / f"schema {SINCE.get(name, 1)}, {name}.ednn"
        if path.exists():
            continue
        X, y = data(name)
        if name in ATOMS:
            model = make_pipeline(*ATOMS[name])
        else:
            model = {**MODELS, **BAGS, **CRYSTALS}[name]
            if "random_state" in model.get_params(deep=False):
                model.set_params(random_state=0)
        save(model.fit(X, y), path, unit="eV" if name in ATOMS else None)
        np.save(path.with_suffix(".npy"), model.predict(X))


if __name__ == "__main__":
    main()
