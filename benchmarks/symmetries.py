"""With the point group of the lattice, ridge on products of sites needs fewer labels."""

from _measure import arguments, machine, table

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.encoders import OneHotFields
from sk_ednn.tile_models import SymmetricFeatures

NOISE = 0.01  # of totals, in units of their spread


def lattices(n, shape, values, rng):
    """Return fields of random concentrations, half of them with a domain."""
    fields = np.stack([
        rng.choice(values, p=rng.dirichlet(np.ones(len(values))), size=shape) for _ in range(n)
    ]).astype(np.int8)  # fmt: skip
    for field in fields[::2]:
        field[: rng.integers(1, shape[0])] = rng.choice(values)
    return fields


def ising(n, rng):
    """Return spins with couplings of nearest neighbours and of next-nearest ones."""
    X = lattices(n, (8, 8), [-1, 1], rng)
    s = X.astype(float)
    near = sum(np.roll(s, 1, axis) for axis in (1, 2))
    far = sum(np.roll(s, (1, step), (1, 2)) for step in (1, -1))
    return X, -(s * near).sum((1, 2)) + 0.4 * (s * far).sum((1, 2))


def blume_capel(n, rng):
    """Return spins 1 on a cubic lattice, with biquadratic couplings."""
    X = lattices(n, (6, 6, 6), [-1, 0, 1], rng)
    s = X.astype(float)
    y = 1.1 * (s**2).sum((1, 2, 3))
    for axis in (1, 2, 3):
        y -= 2.4 * (s * np.roll(s, 1, axis)).sum((1, 2, 3))
        y -= 0.6 * (s**2 * np.roll(s**2, 1, axis)).sum((1, 2, 3))
    return X, y


# Name: (data, encoder, numbers of labels).
CASES = {
    "Ising, 8 x 8": (ising, None, (6, 10, 20, 40, 80)),
    "spin 1, 6 x 6 x 6": (blume_capel, OneHotFields([-1, 0, 1]), (15, 30, 60, 120, 240)),
}


def model(encoder, symmetries):
    products = PolynomialFeatures(2)
    if symmetries is not None:
        products = SymmetricFeatures(products, symmetries)
    ridge = RidgeCV(np.logspace(-6, 6, 13), cv=3)
    channels = None if encoder is None else -1
    regressor = EDNNRegressor(
        make_pipeline(products, ridge), GridTiling(1, 1, channel_axis=channels)
    )
    return regressor if encoder is None else make_pipeline(encoder, regressor)


def errors(name, counts=None, seeds=3, noise=0.0):
    """Return errors relative to the spread of totals, of shape (n_seeds, n_counts), by symmetry."""
    make, encoder, known = CASES[name]
    found = {None: [], ("reflect", "rotate"): []}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        X, y = make(400, rng)
        labels = y + noise * y.std() * rng.normal(size=len(y))
        for symmetries, rows in found.items():
            row = []
            for n in counts or known:
                fitted = model(encoder, symmetries).fit(X[:n], labels[:n])
                predicted = fitted.predict(X[-100:])
                row.append(np.sqrt(np.mean((predicted - y[-100:]) ** 2)) / y.std())
            rows.append(row)
    return {symmetries: np.array(rows) for symmetries, rows in found.items()}


def main():
    options = arguments(__doc__)
    machine()
    rows = []
    for name, (_, _, counts) in CASES.items():
        some = counts[:2] if options.quick else counts
        for noise in (0.0, NOISE):
            found = errors(name, some, 1 if options.quick else 3, noise)
            for symmetries, values in found.items():
                shown = "none" if symmetries is None else ", ".join(symmetries)
                for n, column in zip(some, values.T, strict=True):
                    rows.append((name, noise, shown, n, f"{np.median(column):.2g}"))
    table(("data", "noise", "symmetries", "labels", "error / spread"), rows)


if __name__ == "__main__":
    main()
