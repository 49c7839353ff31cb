"""Densities of Gaussians: functionals against closed forms, and their extensivity."""

import numpy as np
import pytest

from sk_ednn.datasets import load_hydrogen, make_densities
from sk_ednn.datasets._densities import HARTREE, _hartree, _local_energies
from sk_ednn.structures._densities import BOHR

MADELUNG = 2.837297479  # of a point charge in a neutral cubic cell, over its edge


def gaussian(n, spacing, sigma, background=0.0):
    """Return one electron as a Gaussian in the middle of a large box, images neglected."""
    x = spacing * (np.arange(n) - n // 2)
    along = np.exp(-0.5 * (x / sigma) ** 2) / np.sqrt(2 * np.pi) / sigma
    return background + np.einsum("x,y,z->xyz", along, along, along)


def test_hartree_energy_of_one_gaussian_in_a_neutral_box():
    n, spacing, sigma = 32, 0.4, 0.8
    waves = [2 * np.pi * np.fft.fftfreq(n, spacing)] * 3
    edge, width = n * spacing / BOHR, sigma / BOHR
    exact = 0.5 / (np.sqrt(np.pi) * width) - 0.5 * MADELUNG / edge + 2 * np.pi * width**2 / edge**3
    energy = _hartree(gaussian(n, spacing, sigma), waves, spacing) / HARTREE
    assert energy == pytest.approx(exact, rel=1e-6)


def test_kinetic_energies_of_one_gaussian():
    sigma = 0.8
    width = sigma / BOHR
    # ∫ n^(5/3) of a Gaussian, and ∫ |∇n|² / n = 3 / σ².
    power = (2 * np.pi * width**2) ** -2.5 * (2 * np.pi * width**2 * 3 / 5) ** 1.5
    tf, vw = _local_energies(gaussian(24, 0.4, sigma, 1e-9), 0.4)
    assert tf == pytest.approx(HARTREE * 0.3 * (3 * np.pi**2) ** (2 / 3) * power, rel=1e-4)
    assert vw == pytest.approx(HARTREE * 3 / 8 / width**2, rel=1e-3)


def test_densities_repeat_and_contain_what_they_should():
    data = make_densities(40, (10, 12, 14), concentration=0.03, random_state=0)
    assert data.fields.shape == (40, 10, 12, 14) and data.fields.min() > 0
    volume = 10 * 12 * 14 * 0.4**3
    assert data.electrons.mean() == pytest.approx(volume * (0.02 + 0.03), rel=0.2)
    assert data.densities[3].integral == pytest.approx(data.electrons[3], rel=1e-12)
    X, y = make_densities(40, (10, 12, 14), concentration=0.03, random_state=0, return_X_y=True)
    np.testing.assert_array_equal(X, data.fields)
    np.testing.assert_array_equal(y[:, 2], data.hartree)


def test_all_energies_are_extensive():
    field = make_densities(1, 12, random_state=1).fields[0]
    doubled = np.concatenate([field, field])
    for energies in (
        lambda f: _local_energies(f, 0.4),
        lambda f: _hartree(f, [2 * np.pi * np.fft.fftfreq(n, 0.4) for n in f.shape], 0.4),
    ):
        np.testing.assert_allclose(energies(doubled), 2 * np.array(energies(field)), rtol=1e-10)


@pytest.mark.parametrize(
    "params, words",
    [
        ({"shape": (4, 4)}, "shape must be"),
        ({"widths": (0.3, 0.9)}, "widths must be a pair"),
        ({"widths": (0.9, 0.6)}, "widths must be a pair"),
        ({"spacing": 0.0}, "'spacing' parameter"),
    ],
)
def test_parameters_are_checked(params, words):
    with pytest.raises(ValueError, match=words):
        make_densities(1, **params)


@pytest.mark.parametrize("cells, n_cells, n_points", [("small", 160, 12), ("large", 4, 24)])
def test_hydrogen_has_an_electron_per_atom(cells, n_cells, n_points):
    data = load_hydrogen(cells=cells)
    assert len(data.densities) == n_cells
    for density, n_atoms, positions in zip(
        data.densities, data.n_atoms, data.positions, strict=True
    ):
        assert density.shape == (n_points,) * 3 and len(positions) == n_atoms
        assert density.integral == pytest.approx(n_atoms, rel=2e-5)
        # The density is where the atoms are.
        sites = np.round(positions / 0.5).astype(int) % n_points
        assert density.values[tuple(sites.T)].mean() > 5 * density.values.mean()
    per_atom = data.energies / data.n_atoms
    assert -3.3 < per_atom.min() and per_atom.max() < -2.8
    _, energies = load_hydrogen(cells=cells, return_X_y=True)
    np.testing.assert_array_equal(energies, data.energies)
