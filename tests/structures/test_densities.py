"""Densities from files: units, conventions of the formats, and voxels that must agree."""

import re

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling, files
from sk_ednn.encoders import DensityFields
from sk_ednn.exceptions import TilingError
from sk_ednn.structures import Density, read_densities

pytest.importorskip("ase")
from ase import Atoms
from ase.calculators.vasp import VaspChargeDensity
from ase.io import write
from ase.io.xsf import write_xsf
from ase.units import Bohr

CELL = np.array([[4.0, 0.0, 0.0], [1.0, 3.0, 0.0], [0.5, -0.4, 5.0]])
SHAPE = (4, 6, 5)


@pytest.fixture
def atoms():
    return Atoms("HHe", positions=[[0.1, 0.2, 0.3], [2.0, 1.0, 2.0]], cell=CELL, pbc=True)


@pytest.fixture
def density():
    """Return values in e/Å^3 with three electrons in the cell, different at all points."""
    values = np.random.default_rng(0).uniform(0.5, 1.5, size=SHAPE)
    return 3 * values / (values.mean() * np.linalg.det(CELL))


def write_vasp(path, atoms, values, spin=None):
    """Write a file as VASP does, where `values` are multiplied by the volume by ASE."""
    made = VaspChargeDensity(None)
    made.atoms, made.chg = [atoms], [values]
    made.chgdiff = [] if spin is None else [spin]
    made.write(str(path), format="chgcar")


def test_cube_files_are_in_electrons_per_cubic_bohr(tmp_path, atoms, density):
    write(tmp_path / "a.cube", atoms, data=density * Bohr**3)
    [read] = read_densities(tmp_path / "a.cube")
    np.testing.assert_allclose(read.values, density, rtol=1e-5)
    np.testing.assert_allclose(read.cell, CELL, atol=1e-4)  # six decimals, in bohr
    assert read.integral == pytest.approx(3, rel=1e-4) and read.unit == "e/Å^3"
    assert list(read.structure.numbers) == [1, 2]
    [raw] = read_densities(tmp_path / "a.cube", unit="eV")
    np.testing.assert_allclose(raw.values, density * Bohr**3, rtol=1e-5)
    assert raw.unit == "eV"


@pytest.mark.parametrize("name", ["CHGCAR", "CHGCAR_sum", "AECCAR0", "CHG.3"])
def test_vasp_multiplies_densities_by_the_volume(name, tmp_path, atoms, density):
    write_vasp(tmp_path / name, atoms, density, spin=0.1 * density)
    numbers = (tmp_path / name).read_text()
    assert f"{density[0, 0, 0] * np.linalg.det(CELL):.5E}"[:6] in numbers
    [read] = read_densities(tmp_path / name)
    np.testing.assert_allclose(read.values, density, rtol=1e-8)
    np.testing.assert_allclose(read.spin, 0.1 * density, rtol=1e-8)
    assert read.integral == pytest.approx(3)


def test_vasp_does_not_multiply_potentials(tmp_path, atoms, density):
    write_vasp(tmp_path / "LOCPOT", atoms, density / atoms.get_volume())
    [read] = read_densities(tmp_path / "LOCPOT")
    np.testing.assert_allclose(read.values, density, rtol=1e-8)
    assert read.unit == "eV" and read.spin is None


def write_grid(path, atoms, values, repeated=True, cell=CELL):
    """Write an XSF grid as Quantum ESPRESSO does: its last points repeat the first."""
    values = np.pad(values, [(0, int(repeated))] * 3, mode="wrap")
    with path.open("w") as file:
        write_xsf(file, [atoms])
        file.write("BEGIN_BLOCK_DATAGRID_3D\n density\n BEGIN_DATAGRID_3D_density\n")
        file.write("{} {} {}\n0 0 0\n".format(*values.shape))
        np.savetxt(file, cell)
        np.savetxt(file, values.T.reshape(-1, 1))
        file.write("END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n")


def test_xsf_grids_repeat_their_first_points(tmp_path, atoms, density):
    write_grid(tmp_path / "a.xsf", atoms, density)
    [read] = read_densities(tmp_path / "a.xsf", unit="e/Å^3")
    assert read.shape == SHAPE
    np.testing.assert_allclose(read.values, density, rtol=1e-12)
    np.testing.assert_allclose(read.cell, CELL, rtol=1e-12)
    [bohr] = read_densities(tmp_path / "a.xsf", unit="e/bohr^3")
    assert bohr.integral == pytest.approx(3 / Bohr**3)


def test_units_and_grids_of_xsf_are_not_guessed(tmp_path, atoms, density):
    write_grid(tmp_path / "a.xsf", atoms, density)
    with pytest.raises(ValueError, match=r"a\.xsf .*do not state their unit"):
        read_densities(tmp_path / "a.xsf")
    write_grid(tmp_path / "b.xsf", atoms, density, repeated=False)
    with pytest.raises(ValueError, match="axis 0 differ from the first"):
        read_densities(tmp_path / "b.xsf", unit="e/Å^3")
    write_grid(tmp_path / "c.xsf", atoms, density, cell=0.5 * CELL)
    with pytest.raises(ValueError, match="whole cell"):
        read_densities(tmp_path / "c.xsf", unit="e/Å^3")


def test_what_cannot_be_read_is_named(tmp_path, atoms, density):
    path = tmp_path / "a.cube"
    write(path, atoms, data=density)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-10]))
    with pytest.raises(ValueError, match=r"a\.cube cannot be read"):
        read_densities(path)
    n, *edge = lines[3].split()
    path.write_text("\n".join([*lines[:3], " ".join([f"-{n}", *edge]), *lines[4:]]))
    with pytest.raises(ValueError, match="edges in Å, are not supported"):
        read_densities(path)
    path.write_text("\n".join([*lines[:-1], "nan"]))
    with pytest.raises(ValueError, match="NaN or infinity"):
        read_densities(path)
    (tmp_path / "notes.dat").write_text("none")
    with pytest.raises(ValueError, match="does not have the name of a field on a grid"):
        read_densities(tmp_path / "notes.dat")
    with pytest.raises(FileNotFoundError):
        read_densities(tmp_path / "none.cube")


@pytest.mark.parametrize(
    ("unit", "is_bohr"),
    [
        (unit, "bohr" in unit.lower() or "a0" in unit)
        for unit in (
            "e/bohr^3", "e/Bohr**3", "electrons/bohr^3", "electrons / bohr3", "1/bohr^3", "/a0^3",
            "e bohr^-3", "e*bohr**-3", "bohr⁻³", "e/Å^3", "e/Å³", "e/A^3", "e/ang^3",
            "electrons/Angstrom^3", "e/angstrom**3", "e Å⁻³",
        )
    ],
)  # fmt: skip
def test_densities_are_in_one_unit_by_any_spelling(unit, is_bohr, tmp_path, atoms, density):
    factor = Bohr**3 if is_bohr else 1.0
    write(tmp_path / "a.cube", atoms, data=density * factor)
    [read] = read_densities(tmp_path / "a.cube", unit=unit)
    np.testing.assert_allclose(read.values, density, rtol=1e-5)
    assert read.unit == "e/Å^3"


@pytest.mark.parametrize("unit", ["eV", "Ha/e", "1", "V/bohr", "e/nm^3", "bohr^3"])
def test_other_units_are_kept(unit, tmp_path, atoms, density):
    write(tmp_path / "a.cube", atoms, data=density)
    [read] = read_densities(tmp_path / "a.cube", unit=unit)
    np.testing.assert_allclose(read.values, density, rtol=1e-5)
    assert read.unit == unit
    with pytest.raises(ValueError, match="empty text"):
        read_densities(tmp_path / "a.cube", unit=" ")


@pytest.mark.parametrize("n_grids", [1, 2, 3, 4])
def test_no_grid_of_a_file_is_left_out(n_grids, tmp_path, atoms, density):
    """ASE reads two grids of a structure, and ignores others without a word."""
    write_vasp(tmp_path / "CHGCAR", atoms, density)
    text = (tmp_path / "CHGCAR").read_text().rstrip("\n") + "\n"
    head, grid = re.split(r"(?m)^ *4 +6 +5 *$\n", text)
    (tmp_path / "CHGCAR").write_text(head + "".join(f" 4 6 5\n{grid}" for _ in range(n_grids)))
    if n_grids <= 2:
        [read] = read_densities(tmp_path / "CHGCAR")
        assert read.integral == pytest.approx(3, rel=1e-6) and (read.spin is None) == (n_grids == 1)
        return
    with pytest.raises(ValueError, match=f"has {n_grids} grids, of which 2 could be read"):
        read_densities(tmp_path / "CHGCAR")


@pytest.mark.parametrize("name", ["a.cube", "CHGCAR", "LOCPOT"])
def test_files_that_end_within_a_number_have_no_other_values(name, tmp_path, atoms, density):
    """An exponent that was cut off changes a value by powers of ten."""
    if name == "a.cube":
        write(tmp_path / name, atoms, data=density)
    else:
        write_vasp(tmp_path / name, atoms, density)
    text = (tmp_path / name).read_text().rstrip()
    [whole] = read_densities(tmp_path / name)
    for n in range(len(text) - 1, len(text) - 12, -1):
        (tmp_path / name).write_text(text[:n])
        with pytest.raises(ValueError, match=f"{name} cannot be read as a field on a grid"):
            read_densities(tmp_path / name)
    (tmp_path / name).write_text(text)
    np.testing.assert_array_equal(read_densities(tmp_path / name)[0].values, whole.values)


def test_densities_are_checked():
    with pytest.raises(ValueError, match=r"shape \(4, 4\)"):
        Density(np.ones((4, 4)), np.eye(3))
    with pytest.raises(ValueError, match="no volume"):
        Density(np.ones((4, 4, 4)), [[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="voxel must have shape"):
        Density(np.ones((4, 4, 4)), 0.5)
    with pytest.raises(ValueError, match="spin has shape"):
        Density(np.ones((4, 4, 4)), np.eye(3), spin=np.ones(4))
    with pytest.raises(TypeError, match="DensityFields"):
        EDNNRegressor(Ridge()).fit([Density(np.ones((4, 4, 4)), np.eye(3))], [1.0])


def test_resampling_keeps_integral_and_smooth_values():
    points = [np.arange(n) / n for n in SHAPE]
    wave = np.cos(2 * np.pi * points[0])[:, None, None] + np.sin(2 * np.pi * points[2])
    density = Density(2 + np.broadcast_to(wave, SHAPE), CELL / np.array(SHAPE)[:, None])
    fine = density.resampled((8, 12, 5))
    np.testing.assert_allclose(fine.values[::2, ::2], density.values, atol=1e-12)
    np.testing.assert_allclose(fine.cell, CELL)
    assert fine.integral == pytest.approx(density.integral, rel=1e-12)


def model():
    return make_pipeline(DensityFields(), EDNNRegressor(Ridge(1e-8), GridTiling(1, 1)))


def densities(n, shape, voxel, seed=0):
    values = np.random.default_rng(seed).uniform(size=(n, *shape))
    return [Density(each, voxel) for each in values]


def test_a_model_takes_larger_oblique_cells_with_its_voxel_only(tmp_path):
    voxel = CELL / 10
    small = densities(60, (3, 4, 3), voxel)
    fitted = model().fit(small, [density.integral for density in small])
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    large = densities(2, (6, 8, 6), voxel @ turn) + densities(1, (5, 3, 3), voxel)
    totals = [density.integral for density in large]
    np.testing.assert_allclose(fitted.predict(large), totals, rtol=1e-6)
    kept = files.load(files.save(fitted, tmp_path / "m.ednn") and tmp_path / "m.ednn")
    np.testing.assert_array_equal(kept.predict(large), fitted.predict(large))
    for wrong in (1.01 * voxel, voxel[[1, 0, 2]], np.diag(np.linalg.norm(voxel, axis=1))):
        with pytest.raises(TilingError, match=r"X\[0\] has voxels with edges of .*the model has"):
            kept.predict(densities(1, (3, 4, 3), wrong))
    with pytest.raises(TilingError, match="in eV, the model in"):
        kept.predict([Density(np.ones((3, 4, 3)), voxel, unit="eV")])
    with pytest.raises(TilingError, match="voxel is unknown"):
        kept.predict(np.ones((1, 3, 4, 3)))
    with pytest.raises(TilingError, match=r"got ndarray at X\[0\]"):
        kept.predict([np.ones((3, 4, 3))])


def test_training_voxels_must_agree():
    mixed = [*densities(2, (4, 4, 4), np.eye(3)), *densities(1, (4, 4, 4), 1.1 * np.eye(3))]
    with pytest.raises(TilingError, match=r"X\[2\] has voxels"):
        model().fit(mixed, [1, 2, 3])


def test_spin_is_a_channel_where_asked_for():
    values = np.random.default_rng(0).uniform(size=(2, 30, 4, 4, 4))
    pairs = [Density(n, np.eye(3), spin=s) for n, s in zip(*values, strict=True)]
    fields = DensityFields(spin=True).fit_transform(pairs)
    np.testing.assert_array_equal(fields, np.moveaxis(values, 0, -1))
    with pytest.raises(TilingError, match="no spin density"):
        DensityFields(spin=True).fit(densities(1, (4, 4, 4), np.eye(3)))
