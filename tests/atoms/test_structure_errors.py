"""Errors by structure and group."""

import csv

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("vesin")

from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential
from sk_ednn.atoms._structure_errors import measured, write_structure_errors
from sk_ednn.atoms._structure_groups import groups_of
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.tiling import AtomTiling
from tests._labelled import labelled_atoms


@pytest.fixture(scope="module")
def potential():
    tiling = AtomTiling(PowerSpectrum(cutoff=4.0, n_radial=2, max_l=1))
    model = EDNNRegressor(Ridge(1e-3), tiling, random_state=0)
    return EDNNPotential(model).fit(labelled_atoms(12), stress=False)


def some(rng):
    """Return structures of two sizes, some without forces, an energy or a stress."""
    structures = labelled_atoms(4, seed=3, n_atoms=3) + labelled_atoms(5, seed=4, n_atoms=5)
    for kind, k in (("forces", 1), ("energy", 2), ("stress", 5)):
        del structures[k].calc.results[kind]
    structures[7].calc.results["forces"] = np.where(
        rng.random((5, 3)) < 0.4, np.nan, structures[7].get_forces()
    )
    return structures


def test_each_structure_has_the_errors_of_a_set_of_one(potential):
    structures = some(np.random.default_rng(0))
    columns = measured(potential, structures).by_structure()
    for k, atoms in enumerate(structures):
        alone = potential.errors([atoms])
        assert abs(columns["energy"][k]) == pytest.approx(alone.get("energy_mae", np.nan), nan_ok=1)
        for name in ("force_mae", "force_rmse", "stress_mae"):
            assert columns[name][k] == pytest.approx(alone.get(name, np.nan), nan_ok=True)


def test_groups_have_the_errors_of_their_structures(potential):
    structures = some(np.random.default_rng(1))
    groups = np.array(list("aabbacbac"))
    rows = measured(potential, structures).by_group(groups)
    assert sorted(name for name, *_ in rows) == ["a", "b", "c"]
    for name, n, errors in rows:
        chosen = [atoms for atoms, group in zip(structures, groups, strict=True) if group == name]
        errors = dict(errors)
        worst = errors.pop("energy_worst")
        assert n == len(chosen) and errors == pytest.approx(potential.errors(chosen))
        each = [potential.errors([atoms]).get("energy_mae", 0.0) for atoms in chosen]
        assert worst == pytest.approx(max(each))
    energies = [errors["energy_mae"] for *_, errors in rows]
    assert energies == sorted(energies, reverse=True)


def test_the_table_has_a_row_for_each_structure_and_blanks_for_what_is_unknown(potential, tmp_path):
    structures = some(np.random.default_rng(2))
    names = [f"cells.extxyz, structure {k}" for k in range(3, 12)]
    part = measured(potential, structures, places=names)
    write_structure_errors(
        tmp_path / "e.csv", potential, {"test": part}, {"test": list("abcabcabc")}, "phase"
    )
    with (tmp_path / "e.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["structure"] for row in rows] == names
    assert [row["phase"] for row in rows] == list("abcabcabc")
    assert [int(row["atoms"]) for row in rows] == [3] * 4 + [5] * 5
    assert [k for k, row in enumerate(rows) if not row["forces mean error (meV/Å)"]] == [1]
    energies = [row["predicted minus true energy (meV/atom)"] for row in rows]
    assert [k for k, energy in enumerate(energies) if not energy] == [2]
    assert float(energies[0]) == part.errors.energies[0]


def test_groups_come_from_info_or_from_files():
    structures = labelled_atoms(3)
    places = ["a.xyz, structure 0 (line 1)", "a.xyz, structure 1 (line 7)", "b"]
    assert groups_of(structures, places, "file").tolist() == ["a.xyz", "a.xyz", "b"]
    for k, atoms in enumerate(structures[:2]):
        atoms.info |= {"phase": k, "other": 1}
    with pytest.raises(ValueError, match=r"1 of 3 structures have no 'phase', the first b\. Th"):
        groups_of(structures, places, "phase")
    structures[2].info["phase"] = "melt"
    assert groups_of(structures, places, "phase").tolist() == ["0", "1", "melt"]
