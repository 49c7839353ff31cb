"""All descriptors and all kinds of tile model on the bundled Si-Au set.

    python benchmarks/potentials_models.py --limit 300 --seconds 60

One term per species, energies (and forces, where the model learns them) of ``--limit`` structures,
whole parents held out. Prints errors of energies and forces and the processor time of the fit.
Networks train for ``--seconds``. Kernels, processes, forests and boosting see the first
``--components`` principal components of the standardised descriptor. ``--models`` and
``--descriptors`` choose some.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _measure import arguments, machine, table

import time
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential, PotentialTrainer
from sk_ednn.datasets import load_siau
from sk_ednn.descriptors import ChebyshevDescriptor, DeepPotFrame, PowerSpectrum, SymmetryFunctions
from sk_ednn.exceptions import DataWarning
from sk_ednn.solvers import LinearSolver
from sk_ednn.tiling import AtomTiling

CUTOFF = 5.0
DESCRIPTORS = {
    "symmetry functions": lambda: SymmetryFunctions(CUTOFF),
    "Chebyshev": lambda: ChebyshevDescriptor(CUTOFF),
    "power spectrum": lambda: PowerSpectrum(CUTOFF, n_radial=5, max_l=3),
    "Deep Potential frame": lambda: DeepPotFrame(CUTOFF, 64),
}
# On their own power spectrum or embedding, whose channels are learned.
LEARNED = {"learned spectrum": "spectrum", "learned embedding": "deep-pot"}


def compressed(components, model):
    """Return a Pipeline of a scaler, principal components of equal spread and a model."""
    return make_pipeline(StandardScaler(), PCA(components, whiten=True, random_state=0), model)


def tile_models(components):
    """Return each kind of tile model."""
    length = components**0.5
    kernel = RBF(length, "fixed") + WhiteKernel(1e-3, "fixed")
    return {
        "linear": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-4, 6, 11), cv=5)),
        "kernel ridge": compressed(components, KernelRidge(
            alpha=1e-3, kernel="rbf", gamma=0.5 / length**2)),
        "Gaussian process": compressed(components, GaussianProcessRegressor(
            kernel, optimizer=None, normalize_y=False)),
        "forest": compressed(components, RandomForestRegressor(
            50, min_samples_leaf=5, random_state=0)),
        "boosting": compressed(components, HistGradientBoostingRegressor(
            max_iter=50, random_state=0)),
    }  # fmt: skip


def split(n, n_test):
    """Return structures to learn from and structures of other parents."""
    data, rng = load_siau(as_ase=True), np.random.default_rng(0)
    parents = rng.permutation(np.unique(data.parents))
    held = np.isin(data.parents, parents[: len(parents) // 10])
    parts = []
    for mask, size in ((~held, n), (held, n_test)):
        chosen = np.sort(rng.permutation(np.flatnonzero(mask))[:size])
        parts.append([data.structures[k] for k in chosen])
    return parts


def fitted(model, train, seconds, **params):
    """Fit a potential; return it and the processor time."""
    network = {"max_seconds": seconds, "trainer": PotentialTrainer(clock="processor")}
    network = {} if isinstance(model, EDNNRegressor) else network
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # forces and stresses that are not learned
        potential = EDNNPotential(model, cutoff=CUTOFF, random_state=0, **network, **params)
        potential.fit(train)
    return potential, time.process_time() - start


def main():
    args = arguments(
        __doc__.splitlines()[0], limit=300, test=100, seconds=60.0, components=24,
        models="", descriptors="",
    )  # fmt: skip
    machine()
    n_train, n_test, seconds = (20, 5, 1.0) if args.quick else (args.limit, args.test, args.seconds)
    components = 4 if args.quick else args.components
    train, test = split(n_train, n_test)
    energies = np.array([a.get_potential_energy() / len(a) for a in test])
    print(
        f"{n_train} structures, {n_test} of other parents; energies per atom spread by "
        f"{1e3 * energies.std():.0f} meV, components of forces by "
        f"{1e3 * np.concatenate([a.get_forces() for a in test]).std():.0f} meV/Å"
    )
    jobs = []
    for label, make in DESCRIPTORS.items():
        for name, tile_model in tile_models(components).items():
            solver = LinearSolver(n_directions=12) if name == "linear" else None
            jobs.append((label, name, EDNNRegressor(tile_model, AtomTiling(make()), solver=solver)))
        jobs.append((label, "network", make()))
    jobs += [(label, "network", model) for label, model in LEARNED.items()]
    rows = []
    for label, name, model in jobs:
        if args.models and name not in args.models.split(","):
            continue
        if args.descriptors and label not in args.descriptors.split(","):
            continue
        potential, used = fitted(model, train, seconds)
        learns = "yes" if "forces" not in potential.labels_["unread"] else "no"
        try:
            errors = potential.errors(test)
        except Exception as error:  # trees have no gradient, hence no forces
            if "gradient" not in str(error):
                raise
            errors = potential.errors(test, forces=False, stress=False)
        force = errors.get("force_mae", np.nan)
        rows.append([
            label, name, learns, f"{errors['energy_mae']:.1f}", f"{errors['energy_median']:.1f}",
            "" if np.isnan(force) else f"{force:.0f}", f"{used:.0f}",
        ])  # fmt: skip
        print(rows[-1], flush=True)
    table(["descriptor", "tile model", "learns forces", "mean meV/atom", "median", "meV/Å",
           "fit, s"], rows)  # fmt: skip


if __name__ == "__main__":
    main()
