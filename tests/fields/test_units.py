"""Fields in another unit than those of the fit are named, wherever the unit is written."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from typer.testing import CliRunner

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged, files
from sk_ednn.cli._app import app
from sk_ednn.encoders import AngleFields, IntensiveContext
from sk_ednn.evaluation import LocalUpdates
from sk_ednn.exceptions import DataWarning
from sk_ednn.fields import ArraySource
from sk_ednn.fields._units import unit_of, warn_of_unit

h5py = pytest.importorskip("h5py")
xarray = pytest.importorskip("xarray")
zarr = pytest.importorskip("zarr")

VALUES = np.random.default_rng(0).normal(size=(12, 4, 4))
TOTALS = VALUES.sum(axis=(1, 2))


def labelled(unit, values=VALUES, key="units"):
    attributes = {} if unit is None else {key: unit}
    return xarray.DataArray(values, dims=("sample", "y", "x"), attrs=attributes)


def in_hdf5(unit, folder):
    file = h5py.File(folder / f"{unit}.h5", "w")
    dataset = file.create_dataset("X", data=VALUES)
    dataset.attrs["units"] = np.bytes_(unit)
    return dataset


def in_zarr(unit, folder):
    array = zarr.create_array(folder / f"{unit}.zarr", data=VALUES)
    array.attrs["units"] = unit
    return array


KINDS = {
    "xarray": lambda unit, folder: labelled(unit),
    "unit": lambda unit, folder: labelled(unit, key="unit"),
    "dask": lambda unit, folder: labelled(unit).chunk({"sample": 5}),
    "list": lambda unit, folder: list(labelled(unit)),
    "hdf5": in_hdf5,
    "zarr": in_zarr,
    "source": lambda unit, folder: ArraySource(in_hdf5(unit, folder)),
    "xarray source": lambda unit, folder: ArraySource(labelled(unit)),
}
RIDGE = EDNNRegressor(Ridge(1e-6), GridTiling(1))
MODELS = {
    "regressor": RIDGE,
    "cached": EDNNRegressor(Ridge(1e-6), GridTiling(1)),
    "committee": EDNNCommittee(RIDGE, n_members=2, random_state=0),
    "shifts": ShiftAveraged(RIDGE, 2, selection="random", random_state=0),
    "angles": make_pipeline(AngleFields(), EDNNRegressor(Ridge(), GridTiling(1, channel_axis=-1))),
    "averages": make_pipeline(
        IntensiveContext(), EDNNRegressor(Ridge(), GridTiling(1, channel_axis=-1))
    ),
}


def said(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [str(each.message) for each in caught if "in 'K'" in str(each.message)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_names_its_unit(kind, tmp_path):
    model = EDNNRegressor(Ridge(1e-6), GridTiling(1)).fit(KINDS[kind]("K", tmp_path), TOTALS)
    assert model.field_unit_ == "K"
    with pytest.warns(DataWarning, match=r"X.* is in 'degC'.*the fit were in 'K'"):
        model.predict(KINDS[kind]("degC", tmp_path))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_compares_units(name, tmp_path):
    model = MODELS[name]
    if name == "cached":
        model.set_params(memory=str(tmp_path))
    model.fit(labelled("K"), TOTALS)
    assert said(lambda: model.predict(labelled("degC")))
    assert not said(lambda: model.predict(labelled("K")))
    assert not said(lambda: model.predict(VALUES))
    files.save(model, tmp_path / "model.ednn")
    assert said(lambda: files.load(tmp_path / "model.ednn").predict(labelled("degC")))
    model.fit(VALUES, TOTALS)
    assert not said(lambda: model.predict(labelled("degC")))


def test_local_updates_and_lists_compare_units():
    model = EDNNRegressor(Ridge(1e-6), GridTiling(1)).fit(labelled("K"), TOTALS)
    assert said(lambda: LocalUpdates(model, labelled("degC")[0]))
    mixed = [labelled("K")[0], labelled("degC")[1], *VALUES[2:]]
    with pytest.warns(DataWarning, match=r"X\[0\] is in 'K' and X\[1\] in 'degC'"):
        EDNNRegressor(Ridge(1e-6), GridTiling(1)).fit(mixed, TOTALS)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("K", "kelvin", True), ("degC", "°C", True), ("degC", "celsius", True),
        ("m s-1", "m*s^-1", True), ("eV/Å", "eV/Angstrom", True), ("mT", "MT", False),
        ("m s-1", "m/s", True), ("s⁻¹ m", "m / s", True), ("m s", "ms", False),
        ("eV/Å", "eV Å", False), ("eV/Å", "meV/Å", False), ("1/cm", "cm-1", True),
        ("m s-2", "m/s/s", True), ("m/s", "m/s^2", False), ("kg m**-3", "kg/m³", True),
        ("J/(kg K)", "J/(kg K)", True), ("J/(kg K)", "J/kg K", False), ("2 m", "m", False),
        ("T", "mT", False), ("K", "degC", False), ("1", "", True), ("Å", "Å", True),
        (" K ", "K", True), ("eV", "meV", False), ("Å", "angstroms", True), ("Å", "Ang", True),
        ("\u212b", "Ångström", True),
    ],
)  # fmt: skip
def test_spellings_of_one_unit(one, other, same):
    model = EDNNRegressor(Ridge(1e-6), GridTiling(1)).fit(labelled(one), TOTALS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.predict(labelled(other))
    assert (len(caught) == 0) == same


# Letters that files write for several units.
AMBIGUOUS = {
    "A": ("Å", "angstrom", "ampere", "a"), "C": ("°C", "celsius", "degC", "coulomb", "c"),
    "F": ("°F", "degF", "fahrenheit", "farad"), "R": ("°R", "rankine", "roentgen", "Ry"),
    "h": ("hour", "hours", "Hartree", "hartree", "Ha", "H"), "H": ("henry", "Hartree", "h"),
    "a": ("year", "Å", "are", "A"), "d": ("day", "days", "debye", "D"), "D": ("debye", "d"),
    "e": ("eV", "electron", "E"), "E": ("eV", "e"), "g": ("gram", "gauss", "G"), "u": ("amu", "U"),
    "G": ("gauss", "g"), "M": ("molar", "m", "metre"), "k": ("K", "kelvin"), "t": ("T", "tesla"),
    "S": ("siemens", "s"), "s": ("second", "S"), "P": ("poise", "Pa"), "b": ("barn", "bit", "B"),
    "B": ("byte", "bel", "b"),
}  # fmt: skip


@pytest.mark.parametrize("letter", AMBIGUOUS)
def test_a_letter_that_may_be_several_units_equals_only_itself(letter):
    fitted = SimpleNamespace(field_unit_=letter)
    with pytest.warns(DataWarning) as caught:
        for other in AMBIGUOUS[letter]:
            warn_of_unit(fitted, other)
    assert len(caught) == len(AMBIGUOUS[letter])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unit(fitted, f" {letter}")


def test_quantities_have_units():
    """Quantities of pint and astropy, which the tests do not need to install."""
    pint = type("Quantity", (), {"__module__": "pint.registry", "units": "kelvin"})
    astropy = type("Quantity", (), {"__module__": "astropy.units", "unit": "K"})
    assert unit_of(pint()) == "kelvin" and unit_of(astropy()) == "K"
    assert unit_of(SimpleNamespace(attrs={"units": 5})) is None


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_files_of_the_command_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savetxt("y.csv", TOTALS, header="y", comments="")
    for unit in ("mT", "T"):
        in_hdf5(unit, tmp_path).file.close()
        in_zarr(unit, tmp_path)
    fit = ["--focus", "1", "--context", "0", "--model", "quadratic", "--output"]
    for kind, others in (("h5", ["zarr", "h5"]), ("zarr", ["h5"])):
        fitted = CliRunner().invoke(app, ["fit", f"mT.{kind}", "y.csv", *fit, f"{kind}.ednn"])
        assert fitted.exit_code == 0, fitted.output
        assert files.load(f"{kind}.ednn").field_unit_ == "mT"
        for other in others:
            for unit in ("T", "mT"):
                arguments = [command, f"{kind}.ednn", f"{unit}.{other}"]
                arguments += ["y.csv"] if command == "evaluate" else []
                result = CliRunner().invoke(app, arguments)
                assert result.exit_code == 0, result.output
                warned = f"{unit}.{other} is in 'T', as its attribute says" in result.output
                assert warned == (unit == "T"), result.output
