"""Errors of potentials on structures held out: intervals, deviations, files and calculators."""

import dataclasses
import warnings

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("torch")
pytest.importorskip("vesin")

from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential, GaussianRasterizer
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.exceptions import DataWarning, ModelFileError
from sk_ednn.files import load, save
from sk_ednn.structures import Structures
from sk_ednn.tiling import AtomTiling
from sk_ednn.uncertainty import calibrate, predict_interval
from tests._labelled import labelled_atoms
from tests._potentials import CUTOFF

SMALL = {"n_radial": 3, "l_max": 2, "channels": 4, "partners": 2, "hidden": (8,)}
LEARNED, HELD, NEW = 30, 40, 60


def network(n_members):
    return EDNNPotential(
        cutoff=CUTOFF, network_params=SMALL, n_members=n_members, max_epochs=30, random_state=0
    )


MODELS = {
    "network": lambda: network(1),
    "committee": lambda: network(3),
    "tiled": lambda: EDNNPotential(
        EDNNRegressor(Ridge(1e-3), AtomTiling(PowerSpectrum(CUTOFF, n_radial=4, max_l=2)))
    ),
}


@pytest.fixture(scope="module")
def structures():
    return labelled_atoms(LEARNED + HELD + NEW, seed=3)


@pytest.fixture(scope="module", params=MODELS)
def fitted(request, structures):
    potential = MODELS[request.param]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return potential.fit(structures[:LEARNED])


@pytest.fixture
def calibrated(fitted, structures):
    return fitted.calibrate(structures[LEARNED : LEARNED + HELD])


def test_intervals_contain_most_energies(calibrated, structures):
    new = structures[LEARNED + HELD :]
    energies, half = calibrated.predict_interval(new)
    np.testing.assert_allclose(energies, calibrated.predict(new), rtol=1e-6, atol=1e-6)
    true = np.array([each.get_potential_energy() for each in new])
    # Of 40 held out and 60 new ones, the share has a standard deviation of 0.06.
    assert np.mean(np.abs(energies - true) <= half) > 0.9 - 4 * 0.06
    assert (calibrated.predict_interval(new, level=0.5)[1] < half).all()


def test_larger_and_stranger_structures_have_wider_intervals(calibrated, structures):
    atoms = structures[-1]
    double = atoms.repeat((2, 1, 1))
    strange = atoms.copy()
    strange.positions[0] = strange.positions[1] + [0.7, 0.0, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of novelty
        _, (one, two, other) = calibrated.predict_interval([atoms, double, strange])
    assert two == pytest.approx(2 * one, rel=1e-3)
    assert other > 1.5 * one


def test_files_keep_errors_and_a_new_fit_removes_them(calibrated, structures, tmp_path):
    new = structures[-3:]
    save(calibrated, tmp_path / "p.ednn")
    read = load(tmp_path / "p.ednn")
    np.testing.assert_array_equal(
        read.predict_interval(new)[1], calibrated.predict_interval(new)[1]
    )
    assert read.std_factors == calibrated.std_factors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = MODELS["tiled"]().fit(structures[:LEARNED]).calibrate(structures[LEARNED:])
        again.fit(structures[:LEARNED])
    assert not hasattr(again, "held_out_") and again.std_factors == {}
    with pytest.raises(ValueError, match=r"potential\.calibrate"):
        again.predict_interval(new)
    save(again, tmp_path / "without.ednn")
    assert load(tmp_path / "without.ednn").predict(new).shape == (3,)


def test_structures_of_the_fit_are_left_out(fitted, structures):
    with pytest.raises(ValueError, match="All 5 structures were learned from"):
        fitted.calibrate(structures[:5])
    expected = fitted.calibrate(structures[LEARNED:50]).held_out_
    with pytest.warns(DataWarning, match=f"{LEARNED} of 50 structures were learned from"):
        found = fitted.calibrate(structures[:50]).held_out_
    np.testing.assert_allclose(found.errors, expected.errors, atol=1e-6)
    unlabelled = [each.copy() for each in structures[LEARNED:50]]
    with pytest.raises(ValueError, match=r"known energy|energies"):
        fitted.calibrate(unlabelled, np.full(20, np.nan))


def test_deviations_are_scaled_to_the_errors(calibrated, structures):
    several = calibrated.n_members > 1
    assert (calibrated.std_factors.keys() == {"energy", "forces"}) is several
    held, atoms = structures[LEARNED : LEARNED + HELD], structures[-1].copy()
    atoms.calc = calibrated.calculator()
    atoms.get_forces()
    if not several:
        assert not {"energy_std", "forces_std"} & {
            *atoms.calc.implemented_properties, *atoms.calc.results,
        }  # fmt: skip
        return
    energies, std = calibrated.predict(held, return_std=True)
    true = np.array([each.get_potential_energy() for each in held])
    factors = calibrated.std_factors
    assert 0.6 < np.mean(np.abs(energies - true) <= std * factors["energy"] * (1 + 1e-5)) < 0.8
    _, (std,) = calibrated.predict_forces([atoms], return_std=True)
    for name, expected in (
        ("energy_std", calibrated.predict([atoms], return_std=True)[1][0] * factors["energy"]),
        ("forces_std", std * factors["forces"]),
    ):
        found = atoms.calc.get_property(name, atoms)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    # Without errors held out they are those of the networks.
    uncalibrated = structures[-1].copy()
    vars(plain := network(3)).update(vars(calibrated))
    plain._forget_held_out()
    uncalibrated.calc = plain.calculator()
    np.testing.assert_allclose(uncalibrated.calc.get_property("forces_std", uncalibrated), std,
                               rtol=1e-3, atol=1e-6)  # fmt: skip


def test_calculators_know_the_intervals(calibrated, structures):
    new = [each.copy() for each in structures[-3:]]
    new[1].positions[0] += [0.5, 0.0, 0.0]  # novel
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of novelty
        _, expected = calibrated.predict_interval(new)
        for atoms, half_width in zip(new, expected, strict=True):
            atoms.calc = calibrated.calculator()
            atoms.get_forces()
            assert "energy_half_width" not in atoms.calc.results  # it costs a novelty
            found = atoms.calc.get_property("energy_half_width", atoms)
            assert found == pytest.approx(half_width, rel=1e-3)
    vars(plain := EDNNPotential()).update(vars(calibrated))
    plain._forget_held_out()
    assert "energy_half_width" not in plain.calculator().implemented_properties


@pytest.mark.parametrize("n_members", [1, 2])
def test_intervals_of_cells_wider_than_all_that_were_held_out_are_doubled(
    structures, tmp_path, n_members
):
    thin = {"cutoff": 6.0, "network_params": SMALL, "max_epochs": 1, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calibrated = EDNNPotential(n_members=n_members, **thin).fit(structures[:LEARNED])
    calibrated.calibrate(structures[LEARNED : LEARNED + HELD])
    save(calibrated, tmp_path / "p.ednn")
    loaded = load(tmp_path / "p.ednn")
    held_out = calibrated.held_out_
    np.testing.assert_array_equal(loaded.held_out_.widths, held_out.widths)
    new = labelled_atoms(2, seed=9)
    new = [*new, *(each.repeat((2, 2, 1)) for each in new), *(each.repeat(2) for each in new)]
    widths = calibrated._widths(Structures.of(new))
    assert (widths[2:4] < 1.25 * widths[:2]).all() and (widths[4:] >= 1.25 * widths[:2]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, half = loaded.predict_interval(new)
        loaded.held_out_ = dataclasses.replace(held_out, widths=None)  # of an older version
        _, before = loaded.predict_interval(new)
    # A longer cell that is as thin as those held out is no other kind of cell.
    np.testing.assert_allclose(half / before, [1, 1, 1, 1, 2, 2], rtol=1e-6)


def test_errors_that_do_not_suit_the_potential_are_refused(calibrated, tmp_path):
    held_out = calibrated.held_out_
    n = len(held_out.errors)
    vars(other := network(1)).update(vars(calibrated))
    damages = [
        dataclasses.replace(held_out, errors=np.zeros((n, 2)), std=None),
        dataclasses.replace(held_out, sizes=held_out.sizes[1:]),
        dataclasses.replace(held_out, widths=np.ones(n - 1)),
        dataclasses.replace(held_out, widths=np.full(n, np.nan)),
        1.0,
    ]
    if held_out.std is None:
        damages.append(dataclasses.replace(held_out, std=np.ones((n, 1))))
    for name in ("held_out_", "held_out_forces_"):
        for damaged in damages:
            before = vars(other).get(name)
            setattr(other, name, damaged)
            save(other, tmp_path / "p.ednn")
            with pytest.raises(ModelFileError, match="cannot be read"):
                load(tmp_path / "p.ednn")
            setattr(other, name, before)
    for digests in (1.0, np.zeros((2, 2), np.int64), np.zeros(2)):
        other.held_out_digests_ = digests
        save(other, tmp_path / "p.ednn")
        with pytest.raises(ModelFileError, match="held_out_digests_"):
            load(tmp_path / "p.ednn")


def test_models_of_images_have_intervals_by_atoms(structures):
    from sklearn.pipeline import make_pipeline

    from sk_ednn.tiling import GridTiling

    draw = GaussianRasterizer(1.0, 0.8, plane="xyz", adjust=0.2)
    model = make_pipeline(draw, EDNNRegressor(Ridge(1.0), GridTiling(1, 1, channel_axis=-1)))
    energies = np.array([each.get_potential_energy() for each in structures])
    model.fit(structures[:LEARNED], energies[:LEARNED])
    calibrate(model, structures[LEARNED:], energies[LEARNED:])
    assert set(model[-1].held_out_.sizes) == {4.0}
    _, half = predict_interval(model, [structures[0], structures[0].repeat((2, 1, 1))])
    assert half[1] == pytest.approx(2 * half[0])
