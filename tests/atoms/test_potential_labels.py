"""Labels are read by name, counted, and doubted where the data say so."""

import re
from itertools import product

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("vesin")

from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian, FixCom, FixedLine, FixedPlane, FixScaled
from ase.io import write
from ase.stress import voigt_6_to_full_3x3_stress

from sk_ednn.atoms import energies_of
from sk_ednn.atoms._potential_checks import data_notes
from sk_ednn.atoms._potential_data import labelled, summary
from sk_ednn.exceptions import TileModelError
from sk_ednn.structures import Structures
from tests._labelled import labelled_atoms, with_labels


def bare(n=3, seed=0):
    made = labelled_atoms(n, seed)
    for atoms in made:
        atoms.calc = None
    return made


def as_entries(atoms, energy="energy", forces="forces", stress=None, virial=None):
    """Move labels from the calculator to entries under other names."""
    results, atoms.calc = atoms.calc.results, None
    if energy:
        atoms.info[energy] = results["energy"]
    if forces:
        atoms.arrays[forces] = results["forces"]
    if stress:
        atoms.info[stress] = results["stress"]
    if virial:
        full = voigt_6_to_full_3x3_stress(results["stress"])
        atoms.info[virial] = -full * atoms.cell.volume
    return atoms


def test_what_a_calculator_has_is_read_and_counted():
    atoms = labelled_atoms(3)
    data = labelled(atoms)
    for k, each in enumerate(atoms):
        assert data.energies[k] == each.calc.results["energy"]
        np.testing.assert_array_equal(data.forces_of(k), each.calc.results["forces"])
        np.testing.assert_array_equal(data.stress[k], each.calc.results["stress"])
    assert data.notes == [] and data_notes(data) == []
    assert summary(data.labels) == (
        "3 structures, 12 atoms (Si, Au): energy from 'energy' of 3 of 3 structures; forces from "
        "'forces' of 12 of 12 atoms; stress from 'stress' of 3 of 3 structures"
    )


def test_entries_of_files_are_read_by_their_names():
    true = labelled(labelled_atoms(3))
    named = [
        as_entries(each, "REF_energy", "REF_forces", virial="REF_virial")
        for each in labelled_atoms(3)
    ]
    data = labelled(named)
    for kind in ("energies", "forces", "stress"):
        np.testing.assert_allclose(getattr(data, kind), getattr(true, kind), rtol=1e-12)
    assert [data.labels[k]["from"] for k in ("energy", "forces", "stress")] == [
        "REF_energy", "REF_forces", "REF_virial"
    ]  # fmt: skip
    assert data.notes == []


@pytest.mark.parametrize("name", ["run.extxyz", "run.traj"])
def test_files_carry_what_structures_carry(name, tmp_path):
    atoms = labelled_atoms(3)
    write(tmp_path / name, atoms)
    read, true = labelled(tmp_path / name), labelled(atoms)
    np.testing.assert_allclose(read.energies, true.energies, rtol=1e-9)
    np.testing.assert_allclose(read.forces, true.forces, atol=1e-7)
    np.testing.assert_allclose(read.stress, true.stress, atol=1e-8)
    if name.endswith("xyz"):
        assert read.places[2].endswith("run.extxyz, structure 2 (line 13)")


def test_names_choose_and_none_reads_nothing():
    atoms = labelled_atoms(2)
    for k, each in enumerate(atoms):
        each.info["dft_energy"] = -100.0 - k
    data = labelled(atoms, names={"energy": "dft_energy", "stress": None})
    assert data.energies.tolist() == [-100.0, -101.0] and np.isnan(data.stress).all()
    assert data.labels["stress"] == {"from": None, "known": 0, "unit": "eV/Å³"}
    assert "'energy' of 2 structure(s), beside 'dft_energy'" in data.notes[0]
    with pytest.raises(
        ValueError, match=r"No structure has 'mp2_energy'\. Names of energy .*: ene"
    ):
        labelled(atoms, names={"energy": "mp2_energy"})
    for each in atoms:
        each.calc = None
        each.info = {"energy_a": 1.0, "energy_b": 2.0}
    with pytest.raises(ValueError, match="Several entries could be the energy: energy_a, energy_b"):
        labelled(atoms)


@pytest.mark.parametrize(
    "name",
    [
        "energy_per_atom", "Energy/atom", "formation energy per atom", "fermi_energy",
        "cutoff_energy", "kinetic_energy", "energy_error", "zero-point_energy", "energy_std",
    ],
)  # fmt: skip
def test_other_quantities_are_no_totals_unless_they_are_requested(name):
    atoms = labelled_atoms(2)
    for each in atoms:
        as_entries(each, "pbe_energy", "forces")
        each.info[name] = 0.25
    data = labelled(atoms)
    assert data.labels["energy"]["from"] == "pbe_energy" and data.notes == []
    assert energies_of(atoms)[1] == "pbe_energy"
    for each in atoms:
        del each.info["pbe_energy"]
    data = labelled(atoms)
    assert data.labels["energy"]["known"] == 0
    assert (
        f"{name!r}, which by its name, place or shape is not the energy (the first "
        in data.notes[0]
    )
    with pytest.raises(ValueError, match=f"no energy.*The first has {name}"):
        energies_of(atoms)
    assert labelled(atoms, names={"energy": name}).energies.tolist() == [0.25, 0.25]
    assert energies_of(atoms, name)[0].tolist() == [0.25, 0.25]


def test_names_that_are_requested_may_be_any():
    atoms = labelled_atoms(2)
    wanted = labelled(atoms)
    for each in atoms:
        stress = each.calc.results["stress"]
        as_entries(each, "U", "F").info["sigma"] = stress
    data = labelled(atoms, names={"energy": "U", "forces": "F", "stress": "sigma"})
    np.testing.assert_array_equal(data.energies, wanted.energies)
    np.testing.assert_array_equal(data.forces, wanted.forces)
    np.testing.assert_array_equal(data.stress, wanted.stress)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("energy", np.array([-1.0]), r"'energy' must be one number; got shape \(1,\)"),
        ("energy", True, "'energy' must be a number, got True"),
        ("REF_energy", [-1.0, 2.0], "must be one number"),
        ("forces", np.ones(4), r"'forces' must be of shape \(4, 3\)"),
        ("dft_forces", np.ones((4, 2)), r"must be of shape \(4, 3\)"),
        ("stress", np.ones(3), "must be six numbers.*or nine"),
        ("REF_stress", "1 2 3", "'REF_stress' must be a number"),
    ],
)
def test_usual_names_with_values_of_another_shape_are_errors(name, value, message):
    atoms = labelled_atoms(2)
    for each in atoms:
        as_entries(each, "pbe_energy", "pbe_forces")
        (each.arrays if "force" in name else each.info)[name] = value
    with pytest.raises(ValueError, match=message):
        labelled(atoms)


@pytest.mark.parametrize(
    ("name", "value"), [("virial", "1 2 3"), ("pbe_stress", 0.1), ("pbe_forces", np.ones((4, 2)))]
)
def test_other_names_with_values_of_another_shape_are_reported(name, value):
    atoms = labelled_atoms(2)
    for each in atoms:
        as_entries(each, forces=None)
        (each.arrays if "force" in name else each.info)[name] = value
    kind = "forces" if "force" in name else "stress"
    assert (
        f"{name!r}, which by its name, place or shape is not the {kind}" in labelled(atoms).notes[0]
    )


def test_labels_that_are_not_read_are_reported():
    atoms = labelled_atoms(3)
    as_entries(atoms[1], "REF_energy", "forces")
    data = labelled(atoms)
    notes = " ".join(data.notes)
    assert "'REF_energy' of 1 structure(s) that have no 'energy', the first structure 1" in notes
    assert "1 of 3 structures have no energy or NaN, the first structure 1" in notes
    assert "1 of 3 structures have no stress" in notes
    assert np.isnan(data.energies).tolist() == [False, True, False]
    atoms = labelled_atoms(2)
    for each in atoms:
        each.calc.results["free_energy"] = each.calc.results["energy"] - 0.1
    notes = " ".join(labelled(atoms).notes)
    assert "'free_energy' of 2 structure(s), beside 'energy'" in notes
    assert "Forces are gradients of the free energy" in notes
    for each in atoms:
        each.calc.results["free_energy"] = each.calc.results["energy"]
    assert labelled(atoms).notes == []


def test_results_for_other_positions_are_not_read_but_reported():
    atoms = labelled_atoms(3)
    atoms[2].positions[0, 0] += 0.1
    data = labelled(atoms)
    assert np.isnan(data.energies).tolist() == [False, False, True]
    assert any("whose atoms moved since" in note and "structure 2" in note for note in data.notes)


def test_calculators_that_can_compute_do():
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=0)
    copper.calc = EMT()
    alone = molecule("H2O")
    alone.calc = EMT()
    data = labelled([copper, alone])
    assert data.labels["energy"]["known"] == 2 and data.labels["stress"]["known"] == 1
    np.testing.assert_array_equal(data.forces_of(0), copper.get_forces())


def test_what_is_given_stands_before_what_is_carried():
    atoms = labelled_atoms(2)
    data = labelled(atoms, [1.0, 2.0], forces=[np.zeros((4, 3)), None], stress=np.ones((2, 3, 3)))
    assert data.energies.tolist() == [1.0, 2.0]
    assert (data.forces_of(0) == 0).all() and np.isnan(data.forces_of(1)).all()
    assert data.stress.tolist() == [[1.0] * 6] * 2
    assert data.labels["forces"]["from"] == "given"
    batch = labelled(Structures.of(atoms), [1.0, 2.0], forces=np.ones((8, 3)))
    assert (batch.forces == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.info.update(REF_energy="high"), None),
        (lambda a: a.info.update(energy=np.inf), "structure 1: the energy is infinite"),
        (
            lambda a: a.arrays.update(forces=np.full((4, 3), np.inf)),
            "structure 1, atom 0: the",
        ),
        (
            lambda a: a.info.update(stress=np.arange(9.0).reshape(3, 3)),
            "1.*not symmetric",
        ),
        (
            lambda a: a.info.update(virial=np.arange(6.0)),
            "structure 1.*six have no unique order",
        ),
        (lambda a: a.set_pbc(False), "structure 1 has a stress, but is not periodic"),
        (lambda a: a.set_cell(None) or a.set_pbc(False), "structure 1 has a stress, but no cell"),
    ],
)
def test_labels_that_cannot_be_right_name_the_structure(change, message):
    atoms = bare(2)
    for each in atoms:
        each.info.update(energy=-1.0)
        each.info["stress"] = np.zeros(6)
    if message and "order" in message:
        for each in atoms:
            del each.info["stress"]
    change(atoms[1])
    if message is None:
        with pytest.raises(ValueError, match="structure 1: the energy 'REF_energy' must be a numb"):
            labelled(atoms, names={"energy": "REF_energy"})
        return
    with pytest.raises(ValueError, match=message):
        labelled(atoms)


MARK = -9999.0


@pytest.mark.parametrize("kind", ["energy", "forces", "stress"])
@pytest.mark.parametrize("carried", ["calculator", "entry", "argument"])
def test_masked_labels_are_unknown(kind, carried):
    atoms = labelled_atoms(3)
    results = [each.calc.results for each in atoms]
    if kind == "energy":
        masked = np.ma.masked
    else:
        masked = np.ma.masked_equal(np.full(np.shape(results[1][kind]), MARK), MARK)
    given = {}
    if carried == "calculator":
        results[1][kind] = masked
    elif carried == "entry":
        for each in atoms:
            as_entries(each, stress="stress")
        (atoms[1].arrays if kind == "forces" else atoms[1].info)[kind] = masked
    else:
        values = [result[kind] for result in results]
        given = {"y" if kind == "energy" else kind: [values[0], masked, values[2]]}
    data = labelled(atoms, **given)
    labels = {"energy": data.energies, "forces": data.forces.reshape(3, -1), "stress": data.stress}
    assert np.isnan(labels[kind][1]).all()
    assert np.isfinite(labels[kind][[0, 2]]).all()
    assert any(f"1 of 3 structures have no {kind}" in note for note in data.notes)


def test_no_labels_at_all_is_an_error():
    with pytest.raises(TileModelError, match="3 structures have no energies, forces or stresses"):
        labelled(bare(3))
    with pytest.raises(TileModelError, match="no energies, forces or stresses"):
        labelled(labelled_atoms(2), None, False, False, {"energy": None})


def test_errors_name_the_line_of_a_file(tmp_path):
    atoms = labelled_atoms(3)
    atoms[2].calc.results["forces"][1, 0] = np.nan
    write(tmp_path / "run.extxyz", atoms)
    data = labelled(tmp_path / "run.extxyz")
    assert "run.extxyz, structure 2 (line 13)" in data.notes[0] and "forces" in data.notes[0]
    assert np.isnan(data.forces).any(axis=1).sum() == 1
    twice = atoms[1].copy()
    twice += Atoms("Si", positions=[twice.positions[0]])
    write(tmp_path / "twice.extxyz", [atoms[0], twice])
    with pytest.raises(ValueError, match=r"twice.extxyz, structure 1 \(line 7\).*Å apart"):
        labelled(tmp_path / "twice.extxyz")


@pytest.mark.parametrize(
    "constraint",
    [
        FixAtoms([0, 2]),
        FixCartesian([0, 2]),
        FixCartesian([0, 2], (True, True, False)),
        FixScaled([0, 2], (True, False, True)),
        FixedPlane([0, 2], (1, 0, 0)),
        FixedLine([0, 2], (0, 0, 1)),
    ],
    ids=lambda constraint: f"{constraint!r}",
)
def test_forces_that_constraints_set_to_zero_are_doubted(constraint):
    atoms = labelled_atoms(2)
    atoms[1].set_constraint(constraint)
    assert labelled(atoms).notes == []
    forces = atoms[1].calc.results["forces"]
    constraint.adjust_forces(atoms[1], forces)
    assert (forces == 0).any()
    (note,) = labelled(atoms).notes
    assert "constrained atoms of 1 structure(s) are exactly 0, the first structure 1" in note


def test_forces_that_are_zero_without_constraints_are_not_doubted():
    atoms = labelled_atoms(3)
    for each in atoms:
        forces = each.calc.results["forces"]
        forces[:, :2] = 0.0  # by symmetry, of all atoms
        forces -= forces.mean(axis=0)
    atoms[1].set_constraint(FixCartesian([0], (True, True, False)))
    atoms[2].set_constraint(FixCom())
    assert labelled(atoms).notes == []


# --- units and signs --------------------------------------------------------------------------


def trajectory(n=10, scale=(1.0, 1.0, 1.0), strained=False):
    """Steps of one cell, or strains of it, with labels that are multiplied."""
    rng, made = np.random.default_rng(0), []
    start = labelled_atoms(1, n_atoms=4)[0]
    direction = rng.normal(size=(4, 3)) * 0.02
    for k in range(n):
        atoms = start.copy()
        if strained:
            atoms.set_cell(atoms.cell[:] * (1 + 0.01 * k), scale_atoms=True)
        else:
            atoms.positions += k * direction
        with_labels(atoms)
        for name, factor in zip(("energy", "forces", "stress"), scale, strict=True):
            atoms.calc.results[name] = atoms.calc.results[name] * factor
        made.append(atoms)
    return made


@pytest.mark.parametrize(
    ("scale", "strained", "message"),
    [
        ((1, 1, 1), False, None),
        ((1, 1, 1), True, None),
        ((1 / 27.2114, 1, 1), False, "energies seem to be in hartree"),
        ((23.06, 1, 1), False, "energies seem to be in kcal/mol"),
        ((1, 1 / 51.4221, 1), False, "forces seem to be in hartree/bohr"),
        ((7, 1, 1), False, "energies and forces are inconsistent"),
        ((1, -1, 1), False, "energies and forces have opposite signs"),
        ((1, 1, -1), True, "energies and stresses have opposite signs"),
        ((1, 1, 160.2177), True, "stresses seem to be in GPa"),
        ((1, 1, 1602.177), True, "stresses seem to be in kbar"),
    ],
)
def test_units_and_signs_are_checked_by_neighbouring_structures(scale, strained, message):
    notes = data_notes(labelled(trajectory(scale=scale, strained=strained)))
    if message is None:
        assert notes == []
    else:
        assert any(message in note for note in notes), notes


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (1, None),
        (1 / 27.2114, "inconsistent (energies seem to be in hartree"),
        (96.4853, "energies seem to be in kJ/mol"),
        (-1, "energies and forces have opposite signs"),
    ],
)
def test_units_are_checked_without_a_trajectory(scale, message):
    atoms = []
    for seed in range(12):
        cell = bulk("Cu", cubic=True, a=3.5 + 0.02 * seed) * (2, 1, 1)
        cell.rattle(0.15, seed=seed)
        cell.calc = EMT()
        results = {"energy": scale * cell.get_potential_energy(), "forces": cell.get_forces()}
        cell.calc = SinglePointCalculator(cell, **results)
        atoms.append(cell)
    notes = data_notes(labelled(atoms))
    if message is None:
        assert notes == []
    else:
        assert any(message in note for note in notes), notes
    # Nothing is compared between single structures of a composition.
    assert data_notes(labelled(atoms[:1])) == []


def rattled(symbol, strain, *, factor=1.0, times_volume=False, energies=True):
    """Cells of one composition, equal or strained, whose stresses are multiplied."""
    made = []
    for seed in range(12):
        cell = bulk(symbol, cubic=True) * (2, 1, 1)
        cell.rattle(0.1, seed=seed)
        if strain:
            deformed = np.eye(3) + strain * np.random.default_rng(seed).normal(size=(3, 3))
            cell.set_cell(cell.cell[:] @ deformed, scale_atoms=True)
        cell.calc = EMT()
        volume = cell.get_volume() if times_volume else 1.0
        results = {"forces": cell.get_forces(), "stress": cell.get_stress() * factor * volume}
        if energies:
            results["energy"] = cell.get_potential_energy()
        cell.calc = SinglePointCalculator(cell, **results)
        made.append(cell)
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"factor": 160.2177}, "stresses and forces are inconsistent (stresses seem to be in GPa"),
        ({"factor": 1602.177}, "stresses seem to be in kbar"),
        ({"factor": -1602.177}, "stresses and forces have opposite signs (stresses seem to be in "),
        ({"factor": 1 / 183.63}, "stresses seem to be in hartree/bohr³"),
        ({"factor": -1}, "stresses and forces have opposite signs: stresses are -"),
        ({"times_volume": True}, "stresses seem to be virials, times the volume"),
        ({"times_volume": True, "factor": -1}, "have opposite signs (stresses seem to be "),
    ],
)
@pytest.mark.parametrize("symbol", ["Cu", "Al"])
@pytest.mark.parametrize("strain", [0.0, 0.03])
@pytest.mark.parametrize("energies", [False, True])
def test_stresses_are_checked_by_the_forces(symbol, strain, change, message, energies):
    notes = data_notes(labelled(rattled(symbol, strain, energies=energies, **change)))
    if message is None:
        assert notes == []
    else:
        assert any(message in note for note in notes), notes


@pytest.mark.parametrize(
    ("kind", "factor", "every"),
    [
        # Where many forces have the other sign, a potential fitted to them is that of no pairs.
        ("forces", 1 / 51.4221, 2), ("forces", 1 / 51.4221, 3),
        *product(["stress"], [1 / 183.63, 160.2177, -1], [2, 3]),
    ],
)  # fmt: skip
def test_units_and_signs_that_are_mixed(kind, factor, every):
    atoms = rattled("Cu", 0.0)
    assert data_notes(labelled(atoms)) == []
    for each in atoms[::every]:
        each.calc.results[kind] = each.calc.results[kind] * factor
    name = "stresses" if kind == "stress" else kind
    said = rf"The {name} of [3-9] of \d+ structures .* Are {name} of several units or signs mixed"
    notes = data_notes(labelled(atoms))
    assert any(re.search(said, note) for note in notes), notes


@pytest.mark.parametrize("factor", [1, -1])
def test_what_depends_on_the_volume_is_no_contradiction(factor):
    """Forces do not show it: a few cells of other volumes, each of them several times."""
    atoms = rattled("Cu", 0.03)[:6] * 3
    for each in atoms:
        volume = each.get_volume() / len(each)
        each.calc.results["energy"] += factor * 0.05 * len(each) * volume**2
    assert [note for note in data_notes(labelled(atoms)) if "pair" in note] == []


def test_lengths_in_bohr_are_doubted():
    atoms = rattled("Cu", 0.0)
    for each in atoms:
        results = each.calc.results
        each.set_cell(each.cell[:] / 0.529177, scale_atoms=True)
        each.calc = SinglePointCalculator(each, **results)
    assert any("lengths seem to be in bohr" in note for note in data_notes(labelled(atoms)))


@pytest.mark.parametrize("kind", ["energy", "forces", "stress"])
@pytest.mark.parametrize("which", [slice(3, 5), slice(None)])
def test_zeros_that_were_not_computed(kind, which):
    atoms = rattled("Cu", 0.0)
    for each in atoms[which]:
        each.calc.results[kind] = 0.0 * np.asarray(each.calc.results[kind])
    notes = [note for note in data_notes(labelled(atoms)) if "exactly 0" in note]
    (note,) = notes
    assert f"of {len(atoms[which])} structure(s) are exactly 0" in note


def test_zeros_by_symmetry_or_distance_are_not_doubted():
    crystals = [bulk("Cu", cubic=True, a=3.5 + 0.02 * k) for k in range(6)]
    apart = [Atoms("Cu2", [[0, 0, 0], [0, 0, 20.0 + k]]) for k in range(6)]
    for each in crystals + apart:
        near = each.pbc.any()
        results = {"energy": -3.0 * near, "forces": np.zeros((len(each), 3))}
        each.calc = SinglePointCalculator(each, **results)
    assert data_notes(labelled(crystals + apart)) == []


@pytest.mark.parametrize(
    ("place", "name", "kind"),
    [
        ("info", "forces", "forces"), ("arrays", "gradient", "forces"), ("info", "grad", "forces"),
        ("arrays", "stress", "stress"), ("info", "pressure", "stress"),
        ("info", "e_per_atom", "energy"), ("arrays", "energies", "energy"),
        ("info", "e_tot", "energy"),
    ],
)  # fmt: skip
def test_labels_in_other_places_are_reported(place, name, kind):
    atoms = labelled_atoms(3)
    for each in atoms:
        del each.calc.results[kind]
        getattr(each, place)[name] = np.ones((len(each), 3)) if place == "arrays" else 1.0
    (note,) = labelled(atoms).notes
    assert f"{name!r}, which by its name, place or shape is not the {kind}" in note


@pytest.mark.parametrize("kind", ["energy", "forces", "stress"])
def test_labels_that_seem_to_mark_missing_ones_are_doubted(kind):
    atoms = labelled_atoms(6)
    label = np.array(atoms[2].calc.results[kind])
    atoms[2].calc.results[kind] = np.full(label.shape, -9999.0) if label.ndim else -9999.0
    (note,) = [each for each in data_notes(labelled(atoms)) if "mark missing values" in each]
    assert "contains -9999 at [" in note and "use NaN for unknown labels" in note


@pytest.mark.parametrize(
    ("level", "dtype", "is_coarse"),
    [
        (-150_000.0, np.float32, True), (-150_000.0, np.float64, False), (-20.0, np.float32, False),
    ],
)  # fmt: skip
def test_energies_in_single_precision_are_noted_where_it_matters(level, dtype, is_coarse):
    """Total energies of all electrons are so large that the differences are rounded."""
    atoms = labelled_atoms(6)
    for each in atoms:
        energy = each.calc.results["energy"] + level
        each.calc.results["energy"] = np.asarray(energy, dtype).item()
    notes = [note for note in data_notes(labelled(atoms)) if "single precision" in note]
    assert len(notes) == is_coarse
    if is_coarse:  # steps of 2**-6 eV, of four atoms
        assert f"rounded to {1e3 * 2**-6 / 4:.2g} meV/atom in structure" in notes[0]


@pytest.mark.parametrize("unknown", [np.nan, None, np.ma.masked], ids=str)
@pytest.mark.parametrize("kind", ["forces", "stress"])
def test_labels_that_are_given_and_all_unknown_are_counted(kind, unknown):
    atoms = bare(3)
    shape = (4, 3) if kind == "forces" else (6,)
    given = [
        np.ma.masked_all(shape) if unknown is np.ma.masked
        else None if unknown is None else np.full(shape, unknown)
        for _ in atoms
    ]  # fmt: skip
    notes = labelled(atoms, y=[-1.0, -2.0, -3.0], **{kind: given}).notes
    assert any(f"3 of 3 structures have no {kind} or NaN" in note for note in notes)


def test_energies_that_no_physics_has_are_doubted():
    atoms = labelled_atoms(8)
    energies = np.array([each.get_potential_energy() for each in atoms])
    spread = data_notes(labelled(atoms, energies * 1e3, False, False))
    assert any("more than energies of bonds" in note for note in spread)
    counts = np.array([[(a.numbers == z).sum() for z in (14, 79)] for a in atoms])
    atomic = energies + counts @ [-7900.0, 5.0e5]
    notes = data_notes(labelled(atoms, atomic, False, False))
    assert any("5e+05 eV per atom of Au" in note for note in notes)
    # All-electron energies are large, and physical.
    assert data_notes(labelled(atoms, energies + counts @ [-7870.0, -517000.0], False, False)) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("forces", 1e30, r"forces of 1 atom\(s\) exceed 10,000 eV/Å, the largest 1e\+30 .* of "
         r"structure 2, atom 1\."),
        ("forces", -2e5, "largest 2e\\+05 eV/Å of structure 2, atom 1"),
        ("stress", 1e30, r"stresses of 1 structure\(s\) exceed 100 eV/Å³, the largest 1e\+30"),
        ("stress", -400.0, "largest 400 eV/Å³ of structure 2"),
    ],
)  # fmt: skip
def test_enormous_labels_are_doubted(name, value, message):
    made = labelled_atoms(4)
    labels = made[2].calc.results[name]
    labels[(1, 2) if name == "forces" else 3] = value
    notes = [note for note in data_notes(labelled(made)) if "exceed" in note]
    assert len(notes) == 1
    assert re.search(message, notes[0])


def test_atoms_that_nearly_coincide_are_doubted():
    atoms = labelled_atoms(2)
    atoms[1].positions[1] = atoms[1].positions[0] + [0.3, 0, 0]
    (note,) = data_notes(labelled(atoms, [0.0, 0.0], False, False))
    assert "closer than 0.6 Å; the shortest distance is 0.3 Å, in structure 1, atom 0" in note
    hydrogen = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.5]])
    hydrogen.calc = SinglePointCalculator(hydrogen, energy=-1.0)
    assert data_notes(labelled([hydrogen])) == []


def test_equal_structures_with_other_labels_are_doubted():
    atoms = labelled_atoms(6)
    again = [each.copy() for each in atoms[:2]]
    for copy, each in zip(again, atoms, strict=False):
        copy.calc = SinglePointCalculator(copy, **each.calc.results)
    assert not any("equal" in note for note in data_notes(labelled(atoms + again)))
    again[1].calc.results["energy"] += 0.5
    (note,) = [note for note in data_notes(labelled(atoms + again)) if "equal" in note]
    assert note.startswith("1 structure(s)") and "structure 7 and structure 1" in note


def test_forces_that_are_infinite_and_groups_that_do_not_fit():
    from sk_ednn.atoms import EDNNPotential

    atoms = labelled_atoms(4)
    with pytest.raises(ValueError, match="groups must be one for each of 4 structures"):
        EDNNPotential(max_epochs=1).fit(atoms, groups=[0, 1])
    atoms[2].calc.results["forces"][1] = np.inf
    with pytest.raises(ValueError, match="structure 2, atom 1: the forces are infinite"):
        labelled(atoms)
