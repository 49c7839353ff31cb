"""Values against slow loops that share nothing with the descriptors but the cutoff function."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.special import eval_legendre, factorial, lpmv

from sk_ednn.descriptors import (
    ChebyshevDescriptor,
    PowerSpectrum,
    SphericalExpansion,
    SymmetryFunctions,
)
from sk_ednn.descriptors._radial import cosine_cutoff, polynomial_cutoff
from sk_ednn.structures import neighbor_pairs
from tests.descriptors._cases import NUMBERS, SPECIES, batch

CUTOFF = 3.3


@pytest.fixture
def environments(rng):
    return neighbor_pairs(batch(rng), CUTOFF)


def neighbors(environments):
    """Yield the species and vectors of each centre's neighbours."""
    for center in range(environments.n_centers):
        there = environments.centers == center
        yield environments.neighbor_numbers[there], environments.vectors[there]


def angles(v):
    """Yield j, k and cos θ of each pair of neighbours, once."""
    for j, k in combinations(range(len(v)), 2):
        yield j, k, v[j] @ v[k] / np.linalg.norm(v[j]) / np.linalg.norm(v[k])


def f_polynomial(r, cutoff=CUTOFF):
    x = np.minimum(r / cutoff, 1)
    return 1 - 28 * x**6 + 48 * x**7 - 21 * x**8


def f_cosine(r, cutoff=CUTOFF):
    return 0.5 * (1 + np.cos(np.pi * np.minimum(r / cutoff, 1)))


def real_harmonic(degree, m, v):
    """Real spherical harmonics without the phase of Condon and Shortley."""
    theta, phi = np.arccos(v[2] / np.linalg.norm(v)), np.arctan2(v[1], v[0])
    n = abs(m)
    norm = np.sqrt((2 * degree + 1) / (4 * np.pi) * factorial(degree - n) / factorial(degree + n))
    legendre = (-1) ** n * lpmv(n, degree, np.cos(theta))
    if m == 0:
        return norm * legendre
    return np.sqrt(2) * norm * legendre * (np.cos(n * phi) if m > 0 else np.sin(n * phi))


def bessel(n, r):
    return np.sin(n * np.pi * r / CUTOFF) / r * f_polynomial(r)


def test_spherical_expansion(environments):
    got = SphericalExpansion(CUTOFF, 3, 4, species=SPECIES).values(environments)
    expected = np.zeros_like(got)
    lm = [(degree, m) for degree in range(5) for m in range(-degree, degree + 1)]
    for center, (numbers, vectors) in enumerate(neighbors(environments)):
        for number, v in zip(numbers, vectors, strict=True):
            r, s = np.linalg.norm(v), NUMBERS.index(number)
            harmonics = [np.sqrt(4 * np.pi) * real_harmonic(*one, v) for one in lm]
            for n in range(3):
                expected[center, 3 * s + n] += bessel(n + 1, r) * np.array(harmonics)
    np.testing.assert_allclose(got, expected, atol=1e-11)


def test_power_spectrum_is_a_sum_over_pairs_of_legendre_polynomials(environments):
    got = PowerSpectrum(CUTOFF, 2, 3, species=SPECIES).values(environments)
    expected = np.zeros_like(got)
    channels = list(product(NUMBERS, (1, 2)))
    for center, (numbers, vectors) in enumerate(neighbors(environments)):
        r = np.linalg.norm(vectors, axis=1)
        units = vectors / r[:, None]
        g = [(numbers == z) * bessel(n, r) for z, n in channels]
        row = [one.sum() for one in g]
        for degree in range(4):
            p = eval_legendre(degree, np.clip(units @ units.T, -1, 1))
            row += [
                np.sqrt(2 * degree + 1) * g[a] @ p @ g[b] for a in range(6) for b in range(a, 6)
            ]
        expected[center] = row
    np.testing.assert_allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("weights", [None, {"B": 2.0, "C": 0.5, "N": -3.0}])
@pytest.mark.parametrize("reach", [None, 2.4])
def test_chebyshev_expansions(environments, weights, reach):
    descriptor = ChebyshevDescriptor(CUTOFF, 4, 6, reach, weights, species=SPECIES)
    got = descriptor.values(environments)
    expected = np.zeros((environments.n_centers, 2, 12))
    w = dict(zip(NUMBERS, weights.values() if weights else (-1, 0, 1), strict=True))
    for center, (numbers, vectors) in enumerate(neighbors(environments)):
        r = np.linalg.norm(vectors, axis=1)
        for number, distance in zip(numbers, r, strict=True):
            t = np.cos(np.arange(5) * np.arccos(2 * distance / CUTOFF - 1))
            t *= f_polynomial(distance)
            expected[center, 0, :5] += t
            expected[center, 1, :5] += w[number] * t
        f = f_polynomial(r, CUTOFF if reach is None else reach)
        for j, k, cosine in angles(vectors):
            t = np.cos(np.arange(7) * np.arccos(np.clip(cosine, -1, 1))) * f[j] * f[k]
            expected[center, 0, 5:] += t
            expected[center, 1, 5:] += w[numbers[j]] * w[numbers[k]] * t
    np.testing.assert_allclose(got, expected.reshape(len(got), -1), atol=1e-10)


def test_chebyshev_does_not_grow_with_the_species():
    sizes = [
        ChebyshevDescriptor(4.0, 9, 7, species=tuple(range(1, n + 1))).tile_shape[0]
        for n in (1, 2, 3, 11)
    ]
    assert sizes == [18, 36, 36, 36]


@pytest.mark.parametrize("function", ["cosine", "polynomial"])
@pytest.mark.parametrize(
    ("form", "angular"),
    [
        ("G5", [(0.1, 1, 1), (0.05, 8, -1), (0.1, 4, 1), (0.05, 16, 1)]),
        ("G5", [(0.1, 1.5, 1), (0.05, 8, -1), (0.05, 20, 1)]),
        ("G4", [(0.1, 1, 1), (0.05, 8, -1), (0.1, 2.5, 1)]),
    ],
)
def test_symmetry_functions(environments, function, form, angular):
    radial = [(0.5, 0.0), (2.0, 1.3)]
    descriptor = SymmetryFunctions(CUTOFF, radial, angular, form, function, SPECIES)
    got = descriptor.values(environments)
    kinds = [(5, 5), (5, 6), (5, 7), (6, 6), (6, 7), (7, 7)]
    f = {"cosine": f_cosine, "polynomial": f_polynomial}[function]
    for center, (numbers, vectors) in enumerate(neighbors(environments)):
        r = np.linalg.norm(vectors, axis=1)
        g2 = [
            (np.exp(-eta * (r - shift) ** 2) * f(r))[numbers == z].sum()
            for z in NUMBERS
            for eta, shift in radial
        ]
        g45 = np.zeros((len(kinds), len(angular)))
        for j, k, cosine in angles(vectors):
            kind = kinds.index(tuple(sorted((numbers[j], numbers[k]))))
            across = np.linalg.norm(vectors[j] - vectors[k])
            for a, (eta, zeta, sign) in enumerate(angular):
                legs = r[j] ** 2 + r[k] ** 2
                value = 2 ** (1 - zeta) * max(1 + sign * cosine, 0) ** zeta * f(r[j]) * f(r[k])
                if form == "G4":
                    legs += across**2
                    value *= f(across)
                g45[kind, a] += value * np.exp(-eta * legs)
        np.testing.assert_allclose(got[center], [*g2, *g45.ravel()], atol=1e-10)


@pytest.mark.parametrize("function", [polynomial_cutoff, cosine_cutoff])
def test_cutoff_functions_fall_from_one_to_zero(function):
    r, h = np.linspace(0.01, 4.99, 99), 1e-6
    values, derivatives = function(r, 5.0)
    np.testing.assert_allclose(
        derivatives, (function(r + h, 5.0)[0] - function(r - h, 5.0)[0]) / (2 * h), atol=1e-8
    )
    assert (np.diff(values) < 0).all()
    (start, end, beyond), ends = function(np.array([0.0, 5.0, 7.0]), 5.0)
    assert start == 1 and end == beyond == 0 and not ends.any()
    exact = (
        f_polynomial(r, 5.0) if function is polynomial_cutoff else (1 + np.cos(r * np.pi / 5)) / 2
    )
    np.testing.assert_allclose(values, exact, atol=1e-13)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"angular_form": "G3"}, "angular_form must be one of G4, G5. Got 'G3'"),
        ({"cutoff_function": "tanh"}, "cutoff_function must be one of"),
        ({"radial": [(1, 2, 3)]}, r"radial must be a sequence of \(eta, r_s\)"),
        ({"angular": [(1, 2)]}, r"angular must be a sequence of \(eta, zeta, lambda\)"),
        ({"angular": [(np.nan, 2, 1)]}, "angular must be"),
        ({"angular": [(0.1, 0.5, 1)]}, "zeta of at least 1"),
        ({"angular": [(0.1, 2, 0.5)]}, "lambda of 1 or -1"),
        ({"radial": (), "angular": ()}, "both empty"),
    ],
)
def test_symmetry_functions_that_make_no_sense(environments, changes, words):
    descriptor = SymmetryFunctions(CUTOFF, species=SPECIES).set_params(**changes)
    with pytest.raises(ValueError, match=words):
        descriptor.values(environments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_angular": -1}, "n_angular must be an integer of at least 0"),
        ({"angular_cutoff": 9.0}, "angular_cutoff must be above 0 and at most cutoff=3.3"),
        ({"cutoff_function": None}, "cutoff_function must be one of"),
        ({"weights": {"B": 1}}, "one number for each of species"),
        ({"weights": [1, 2, 3]}, "must be a dict"),
    ],
)
def test_chebyshev_parameters_that_make_no_sense(environments, changes, words):
    descriptor = ChebyshevDescriptor(CUTOFF, species=SPECIES).set_params(**changes)
    with pytest.raises(ValueError, match=words):
        descriptor.values(environments)
