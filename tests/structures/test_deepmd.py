"""Folders of DeePMD-kit, and XSF files of aenet."""

import os

import numpy as np
import pytest

pytest.importorskip("ase")

from ase.units import Hartree

from sk_ednn.structures import Structures, read_structures
from sk_ednn.structures._deepmd import is_deepmd
from tests._labelled import labelled_atoms


def folder(path, atoms, form="npy", numbers=(14, 79), names=("Si", "Au"), **without):
    """Write structures of one list of atoms as a system."""
    path.mkdir()
    types = [numbers.index(z) for z in atoms[0].numbers]
    (path / "type.raw").write_text("\n".join(map(str, types)))
    (path / "type_map.raw").write_text(" ".join(names))
    results = [each.calc.results for each in atoms]
    arrays = {
        "coord": [each.positions.ravel() for each in atoms],
        "box": [each.cell[:].ravel() for each in atoms],
        "energy": [[r["energy"]] for r in results],
        "force": [r["forces"].ravel() for r in results],
        "virial": [
            -each.calc.results["stress"][[0, 5, 4, 5, 1, 3, 4, 3, 2]] * each.get_volume()
            for each in atoms
        ],
    }
    where = path / "set.000" if form == "npy" else path
    where.mkdir(exist_ok=True)
    for name, values in arrays.items():
        if name in without:
            continue
        if form == "npy":
            np.save(where / f"{name}.npy", np.array(values))
        else:
            np.savetxt(where / f"{name}.raw", values, fmt="%.17g")
    return path


@pytest.fixture
def atoms():
    (first,) = labelled_atoms(1)
    from tests._labelled import with_labels

    made = []
    for k in range(3):
        copy = first.copy()
        copy.rattle(0.02 * k, seed=k)
        made.append(with_labels(copy))
    return made


@pytest.mark.parametrize("form", ["npy", "raw"])
def test_systems_are_read_with_all_their_labels(form, atoms, tmp_path):
    read = read_structures(folder(tmp_path / "system", atoms, form))
    assert len(read) == 3
    for one, other in zip(read, atoms, strict=True):
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_allclose(one.positions, other.positions, rtol=1e-14)
        assert one.calc.results["energy"] == pytest.approx(other.calc.results["energy"], rel=1e-14)
        np.testing.assert_allclose(one.calc.results["forces"], other.calc.results["forces"])
        np.testing.assert_allclose(one.calc.results["stress"], other.calc.results["stress"])


def test_patterns_match_systems(atoms, tmp_path):
    for name in ("a", "b"):
        folder(tmp_path / name, atoms)
    assert len(read_structures(str(tmp_path / "[ab]"))) == 6
    assert is_deepmd(tmp_path / "a") and not is_deepmd(tmp_path)


def test_mixed_systems_and_open_ones(atoms, tmp_path):
    path = folder(tmp_path / "system", atoms, box=None, virial=None)
    types = np.tile([0, 1, 0, -1], (3, 1))
    np.save(path / "set.000" / "real_atom_types.npy", types)
    (path / "nopbc").touch()
    read = read_structures(path)
    assert [each.numbers.tolist() for each in read] == [[14, 79, 14]] * 3
    assert not read[0].pbc.any() and "stress" not in read[0].calc.results
    assert read[0].calc.results["forces"].shape == (3, 3)
    assert Structures.of(read).n_atoms == 9


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "type_map.raw").unlink(), "structure 0.*no type_map.raw"),
        (lambda p: (p / "set.000" / "coord.npy").unlink(), "has no coord"),
        (
            lambda p: np.save(p / "set.000" / "force.npy", np.zeros((3, 6))),
            "force must be of",
        ),
        (lambda p: (p / "type.raw").write_text("0 7 0 0"), "type of frame 0 is not among the 2"),
        (lambda p: (p / "type_map.raw").write_text("Si Xx"), "Expected a chemical symbol"),
        (
            lambda p: np.save(p / "set.000" / "energy.npy", np.array([{}] * 3), allow_pickle=True),
            "pickle",
        ),
    ],
)
def test_damaged_systems_are_errors_that_name_them(damage, message, atoms, tmp_path):
    path = folder(tmp_path / "system", atoms)
    damage(path)
    with pytest.raises(ValueError, match=message):
        read_structures(path)


def test_xsf_files_of_aenet_have_energies_and_forces_in_ev(tmp_path):
    text = (
        "# total energy = -4990.44928342 eV\n\nCRYSTAL\nPRIMVEC\n4.0 0 0\n0 4.0 0\n0 0 4.0\n"
        "PRIMCOORD\n2 1\nTi 0 0 0 0.1 0.2 0.3\nO 2 2 2 -0.1 -0.2 -0.3\n"
    )
    (tmp_path / "one.xsf").write_text(text)
    (atoms,) = read_structures(tmp_path / "one.xsf")
    assert atoms.calc.results["energy"] == -4990.44928342
    np.testing.assert_allclose(atoms.calc.results["forces"][0], [0.1, 0.2, 0.3])
    # Without aenet's comment, forces are XCrySDen's, in hartree/Å.
    (tmp_path / "plain.xsf").write_text(text.split("\n", 1)[1])
    (plain,) = read_structures(tmp_path / "plain.xsf")
    assert "energy" not in plain.calc.results
    np.testing.assert_allclose(plain.calc.results["forces"][0] / Hartree, [0.1, 0.2, 0.3])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize(
    "form, name", [("npy", "type_map.raw"), ("npy", "set.000/force.npy"), ("raw", "box.raw")]
)
def test_pipes_are_refused_wherever_they_are(form, name, atoms, tmp_path):
    """Opening one would wait for a writer for ever."""
    system = folder(tmp_path / "system", atoms, form)
    (system / name).unlink()
    os.mkfifo(system / name)
    with pytest.raises(ValueError, match="is a named pipe"):
        list(read_structures(str(system)))
