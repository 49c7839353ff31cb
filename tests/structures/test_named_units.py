"""Units that files of structures name: ours are taken, others are refused by name."""

from itertools import product

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("vesin")

from ase import units
from ase.io import write

from sk_ednn.atoms import energies_of
from sk_ednn.atoms._potential_data import labelled
from sk_ednn.structures import read_structures
from tests._labelled import labelled_atoms

OURS = {
    "energy": ["eV", "ev", "electronvolt", "eV "],
    "forces": ["eV/Å", "eV/Angstrom", "ev/ang", "eV*A^-1", "eV Å⁻¹"],
    "stress": ["eV/Å³", "eV/A^3", "eV/angstrom**3"],
    "length": ["Å", "Angstrom", "ang", "A", "Ångström"],
}
OTHERS = {
    "energy": ["Hartree", "kcal/mol", "meV", "Ry", "eV/atom", "a.u."],
    "forces": ["Hartree/Bohr", "kcal/mol/Å", "eV/Bohr", "meV/Å"],
    "stress": ["GPa", "kbar", "eV/Bohr³"],
    "length": ["Bohr", "nm", "a.u."],
}
NAMES = ("{}_unit", "{}_units", "units_of_{}", "{}Unit", "unit-{}")


def written(tmp_path, info, name="run.extxyz"):
    atoms = labelled_atoms(3)
    atoms[1].info |= info
    write(tmp_path / name, atoms)
    return tmp_path / name


@pytest.mark.parametrize(("kind", "name"), list(product(OURS, NAMES)))
@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
def test_our_units_are_taken_and_others_refused_by_name(kind, name, suffix, tmp_path):
    entry = name.format(kind)
    for unit in OURS[kind]:
        path = written(tmp_path, {entry: unit}, f"run.{suffix}")
        assert labelled(path).labels["energy"]["known"] == 3
    for unit in OTHERS[kind]:
        path = written(tmp_path, {entry: unit}, f"run.{suffix}")
        with pytest.raises(ValueError, match=r"structure 1.* has .*nit.* = .*, but .* taken in"):
            labelled(path)


@pytest.mark.parametrize(
    "info",
    [
        {"units": "Hartree"},
        {"unit": "kcal/mol"},
        {"units": "hartree/bohr"},
        {"units": {"energy": "Hartree", "positions": "Å"}},
        {"units": {"forces": "kcal/mol/Å"}},
        {"energy_units": "parsec"},
    ],
)
def test_units_of_all_numbers_and_tables_of_units(info):
    atoms = labelled_atoms(2)
    atoms[0].info |= info
    with pytest.raises(ValueError, match=r"structure 0 has unit|structure 0 has energy_units"):
        labelled(atoms)


@pytest.mark.parametrize(
    "info",
    [
        {"units": "eV"},
        {"units": "eV, Å"},
        {"units": {"energy": "eV", "length": "Angstrom", "time": "fs"}},
        {"time_unit": "ps", "temperature_units": "K"},
        {"energy_cutoff_unit": "Ry", "kinetic_energy_unit": "Hartree"},
        {"cell_volume_unit": "A^3", "n_units": 4, "formula_units": 2},
        {"unit_cell": "P1"},
        {"units": 3},
    ],
)
def test_units_of_other_quantities_do_not_matter(info):
    atoms = labelled_atoms(2)
    atoms[0].info |= info
    assert labelled(atoms).labels["energy"]["known"] == 2
    energies_of(atoms)


def test_units_of_labels_that_are_not_read_do_not_matter():
    atoms = labelled_atoms(3)
    for each in atoms:
        each.info |= {"energy_unit": "Hartree", "stress_unit": "GPa"}
    with pytest.raises(ValueError, match="energy_unit"):
        energies_of(atoms)
    with pytest.raises(ValueError, match="stress_unit"):
        labelled(atoms, np.zeros(3))
    assert labelled(atoms, np.zeros(3), names={"stress": None}).labels["forces"]["known"] == 12


@pytest.mark.parametrize("name", ["energy_Ha", "dft_energy_hartree", "energy kcal/mol", "E_Ry"])
def test_names_of_labels_that_contain_a_unit(name):
    atoms = labelled_atoms(3, names=("forces",))
    for each in atoms:
        each.info[name] = 3.0
    with pytest.raises(ValueError, match="says that they are in other units than eV"):
        labelled(atoms, names={"energy": name})
    with pytest.raises(ValueError, match="says that they are in other units than eV"):
        energies_of(atoms, name)


def test_a_virial_has_the_unit_of_an_energy():
    atoms = labelled_atoms(3, names=("energy",))
    for each in atoms:
        each.info |= {"virial": -np.eye(3), "virial_unit": "eV"}
    assert labelled(atoms).labels["stress"]["known"] == 3
    atoms[2].info["virial_unit"] = "eV/Å³"
    with pytest.raises(ValueError, match="structure 2 has virial_unit"):
        labelled(atoms)


def test_lengths_are_checked_where_no_label_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"structure 1.* has length_unit = 'bohr'"):
        read_structures(written(tmp_path, {"length_unit": "bohr"}))
    read_structures(written(tmp_path, {"energy_unit": "Hartree"}))  # no energy is read


def test_energies_of_cp2k_are_in_hartree():
    atoms = labelled_atoms(2, names=())
    for k, each in enumerate(atoms):
        each.info |= {"i": k, "time": 0.5 * k, "E": -17.16}
    with pytest.raises(ValueError, match="CP2K"):
        energies_of(atoms)
    for each in atoms:
        each.info["energy"] = each.info.pop("E") * units.Hartree
    assert energies_of(atoms)[1] == "energy"


DUMP = """{units}ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 5
0 5
0 5
ITEM: ATOMS id type element x y z{columns}
1 1 O 0 0 0{first}
2 1 O 1 1 1{second}
"""


@pytest.mark.parametrize("style", [None, "metal", "real", "electron", "lj", "nano"])
@pytest.mark.parametrize("forces", [False, True])
def test_dumps_of_lammps_state_units_and_have_no_energy(style, forces, tmp_path):
    columns = (" fx fy fz", " 1 2 3", " -1 -2 -3") if forces else ("", "", "")
    text = DUMP.format(
        units="" if style is None else f"ITEM: UNITS\n{style}\n",
        columns=columns[0], first=columns[1], second=columns[2],
    )  # fmt: skip
    path = tmp_path / "run.dump"
    path.write_text(text)
    if style in (None, "metal") or (style == "real" and not forces):
        (atoms,) = read_structures(path)
        assert atoms.positions.tolist() == [[0, 0, 0], [1, 1, 1]]
        assert "energy" not in (atoms.calc.results if atoms.calc else {})
        return
    with pytest.raises(ValueError, match=f"units '{style}' of LAMMPS"):
        read_structures(path)


@pytest.mark.parametrize("style", ["metal", "real", "electron"])
def test_data_files_of_lammps_state_units(style, tmp_path):
    from ase.build import bulk

    path = tmp_path / "cell.lammps-data"
    write(path, bulk("Cu", cubic=True), format="lammps-data", masses=True)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"LAMMPS data file, timestep = 0, units = {style}", *lines[1:]]))
    if style == "electron":
        with pytest.raises(ValueError, match="units 'electron' of LAMMPS"):
            read_structures(path)
    else:
        assert len(read_structures(path)[0]) == 4
