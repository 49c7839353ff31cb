"""Totals in tables belong to the files that their rows name, and energies have units."""

import json
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("ase")

from ase import io, units

from sk_ednn.cli._named_totals import read_energies, read_totals
from tests._labelled import labelled_atoms

FAST = "--epochs 1 --cutoff 4 --json"
N = 12
FILES = [f"cells/c{k:02}.cif" for k in range(N)]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Write structures as files without labels, and return their energies."""
    folder = tmp_path_factory.mktemp("named")
    (folder / "cells").mkdir()
    energies = []
    for name, atoms in zip(FILES, labelled_atoms(N), strict=True):
        energies.append(atoms.get_potential_energy())
        io.write(folder / name, atoms)
    return folder, np.array(energies)


@pytest.fixture
def go(cells, run, monkeypatch):
    monkeypatch.chdir(cells[0])
    return run


def table(name, columns, order=range(N)):
    """Write a table of columns of text, in another order of its rows."""
    rows = [",".join(columns), *(",".join(str(c[k]) for c in columns.values()) for k in order)]
    with open(name, "w", encoding="utf-8") as file:
        file.write("\n".join(rows) + "\n")
    return name


NAMES = {
    "as they are": FILES,
    "without folder": [name.partition("/")[2] for name in FILES],
    "without ending": [name.partition("/")[2].removesuffix(".cif") for name in FILES],
    "with another folder": [f"D:\\vasp\\{name.partition('/')[2]}" for name in FILES],
    "in capitals": [name.partition("/")[2].upper() for name in FILES],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("order", ["as files", "reversed", "shuffled"])
def test_rows_belong_to_the_files_that_they_name(names, order, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.normal(size=N).round(3)
    rows = {
        "as files": np.arange(N),
        "reversed": np.arange(N)[::-1],
        "shuffled": rng.permutation(N),
    }
    name = table(tmp_path / "t.csv", {"file": names, "E": y}, rows[order])
    said = []
    np.testing.assert_array_equal(read_totals(str(name), None, FILES, said.append, "cells").y, y)
    assert said == ["totals belong to the files that the column 'file' names"]


def test_folders_are_names_where_all_files_are_called_the_same(tmp_path):
    y = np.arange(3.0)
    files = [f"runs/{k}/vasprun.xml" for k in ("ab", "cd", "ef")]
    name = table(tmp_path / "t.csv", {"run": ["ef", "ab", "cd"], "E": y}, range(3))
    np.testing.assert_array_equal(read_totals(str(name), None, files, print, "runs").y, [1, 2, 0])


def test_rows_without_names_are_in_order(tmp_path):
    y = np.arange(1.0, N + 1)
    read = partial(read_totals, unit=None, say=print, kind="cells")
    for columns in (
        {"E": y},
        {"number": np.arange(N), "E": y},
        {"phase": ["fcc", "bcc"] * (N // 2), "E": y},
    ):
        name = str(table(tmp_path / "t.csv", columns))
        np.testing.assert_array_equal(read(f"{name}::E", files=FILES).y, y)
    # Files with several systems each: names do not tell which.
    names = ["a.xyz", "b.xyz"]
    name = str(table(tmp_path / "t.csv", {"file": names * (N // 2), "E": y}))
    np.testing.assert_array_equal(read(f"{name}::E", files=names * (N // 2)).y, y)


def changed(change):
    names, y = list(NAMES["without folder"]), list(range(N))
    if change == "missing":
        return {"file": names[1:], "E": y[1:]}
    if change == "two":
        return {"file": [*names, names[0]], "E": [*y, 99]}
    if change == "others":
        return {"file": [f"x{name}" for name in names], "E": y}
    return {"E": y[1:]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"no row for c00\.cif \(1 of 12\)"),
        ("two", r"two rows for c00\.cif, lines 2 and 14, which differ"),
        ("others", r"has names of files, such as xc00\.cif, but none of those that were read"),
        ("fewer", "There are 12 cells, but .* contains 11 totals"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, message, tmp_path):
    columns = changed(change)
    name = table(tmp_path / "t.csv", columns, range(len(columns["E"])))
    with pytest.raises(ValueError, match=message):
        read_totals(str(name), None, FILES, print, "cells")


def test_rows_of_other_files_are_named(tmp_path, capsys):
    names = [*NAMES["without folder"], "other.cif"]
    name = table(tmp_path / "t.csv", {"file": names, "E": range(N + 1)}, range(N + 1))
    y = read_totals(str(name), None, FILES, print, "cells").y
    np.testing.assert_array_equal(y, np.arange(N))
    assert "rows of other files are not used: other.cif" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("eV", 1.0), ("meV", 1e-3), ("MeV", 1e6), ("kJ/mol", units.kJ / units.mol),
        ("kcal mol^-1", units.kcal / units.mol), ("Ry", units.Ry), ("Hartree", units.Ha),
        ("mEh", 1e-3 * units.Ha), ("kJ/mol per cell", units.kJ / units.mol),
        ("eV / supercell", 1.0),
    ],
)  # fmt: skip
def test_energies_are_converted_by_the_option_and_by_the_name(unit, factor, tmp_path):
    y = np.linspace(-3, 5, N)
    name = table(tmp_path / "t.csv", {f"energy ({unit})": y})
    expected = factor * y
    energies = read_energies(str(name), None, FILES, print).y
    np.testing.assert_allclose(energies, expected, rtol=1e-12)
    name = table(tmp_path / "u.csv", {"energy": y})
    np.testing.assert_allclose(read_energies(str(name), unit, FILES, print).y, expected, rtol=1e-12)


@pytest.mark.parametrize("unit", ["eV/atom", "kJ/mol per atom", "eV per f.u.", "Ry / formula unit"])
def test_shares_of_an_energy_are_refused(unit, tmp_path):
    name = table(tmp_path / "t.csv", {f"energy [{unit}]": np.arange(N)})
    with pytest.raises(ValueError, match="multiply each by the number"):
        read_energies(str(name), None, FILES, print)


def test_a_unit_that_is_not_known_is_refused(tmp_path):
    name = table(tmp_path / "t.csv", {"energy": np.arange(N)})
    with pytest.raises(ValueError, match="'furlong' are in no unit that can be converted"):
        read_energies(str(name), "furlong", FILES, print)


def test_a_potential_learns_the_energies_of_a_table(go, cells):
    """In any order and unit: the same fit as to the same energies in the files themselves."""
    folder, energies = cells
    order = np.random.default_rng(1).permutation(N)
    names, in_kj = NAMES["without folder"], energies / (units.kJ / units.mol)
    table("kj.csv", {"file": names, "energy (kJ/mol)": [repr(float(e)) for e in in_kj]}, order)
    by_table = json.loads(go(f"fit cells kj.csv {FAST} -o t.ednn").stdout)
    labelled = [io.read(folder / name) for name in FILES]
    for atoms, energy in zip(labelled, energies, strict=True):
        atoms.info["energy"] = energy
    io.write("labelled.extxyz", labelled)
    in_file = json.loads(go(f"fit labelled.extxyz {FAST} -o f.ednn").stdout)
    assert by_table["model"] == in_file["model"] == "spectrum"
    for part in ("train", "test"):
        assert by_table[part]["energy_mae"] == pytest.approx(in_file[part]["energy_mae"], rel=1e-3)
    errors = json.loads(go("evaluate t.ednn cells kj.csv --json").stdout)["errors"]
    parts = [by_table["train"]["energy_mae"]] * 10 + [by_table["test"]["energy_mae"]] * 2
    assert errors["energy_mae"] == pytest.approx(np.mean(parts), rel=1e-3)
    assert "multiply each by" in go("fit cells kj.csv --unit eV/atom -o n.ednn", 1).stderr
    assert (
        "--energy is for energies in the files"
        in go("fit cells kj.csv --energy total -o n.ednn", 1).stderr
    )


def test_a_model_of_another_unit_moves_no_atoms(go, cells):
    energies = cells[1]
    table("e.csv", {"energy": energies})
    pixels = "--spacing 0.5 --focus 1 --adjust 0.2 --model quadratic --context 0"
    go(f"fit cells e.csv --images --unit kJ/mol --test-fraction 0 -o image.ednn -q {pixels}")
    for command in ("relax image.ednn cells/c00.cif", "md image.ednn cells/c00.cif -o r.traj"):
        assert "predicts energies in kJ/mol, but forces have to be in eV/Å" in go(command, 1).stderr


def test_densities_belong_to_the_files_that_rows_name(tmp_path):
    files = [f"d/{k}.cube" for k in "abc"]
    name = table(tmp_path / "t.csv", {"density": ["c", "a", "b"], "T": [3.0, 1.0, 2.0]}, range(3))
    y = read_totals(str(name), None, files, print, "densities").y
    np.testing.assert_array_equal(y, [1, 2, 3])


def test_a_table_among_the_files_is_none_of_them(go, cells, tmp_path):
    folder = tmp_path / "together"
    folder.mkdir()
    for name in FILES:
        (folder / name.partition("/")[2]).write_bytes((cells[0] / name).read_bytes())
    # Before the others in the alphabet, so that the first file is no structure.
    table(folder / "a.csv", {"file": NAMES["without folder"], "energy": cells[1]})
    said = go(f"fit {folder} {folder}/a.csv --epochs 1 --cutoff 4 -o g.ednn")
    assert "12 structures" in said.stderr and "is a table" not in said.stderr
    said = go(f"fit {folder} --epochs 1 -o h.ednn", 1).stderr
    assert "a.csv is a table, and contains no systems" in said
    assert "12 structures have no energ" in said or "no energies" in said


def test_numbers_that_name_files_are_no_totals(tmp_path, capsys):
    """Cells called 000.vasp and so on, with the only other column of numbers as the totals."""
    files = [f"{k:03}.vasp" for k in range(N)]
    order = np.random.default_rng(2).permutation(N)
    y = np.linspace(-2, 3, N)
    columns = {"name": [f"{k:03}" for k in range(N)], "E_tot [Ha]": y, "comment": ["slab"] * N}
    name = str(table(tmp_path / "t.csv", columns, order))
    np.testing.assert_allclose(read_energies(name, None, files, print).y, units.Ha * y, rtol=1e-12)
    # The column that numbers the rows is the one that they are matched by.
    assert "which are in another order" not in capsys.readouterr().err
    with pytest.raises(ValueError, match="the column 'name' has names of files, and no totals"):
        read_energies(f"{name}::name", None, files, print)


def test_units_that_files_state_are_converted_and_others_refused(tmp_path):
    """An attribute of HDF5 is a unit, too, and an option that differs is a mistake."""
    h5py = pytest.importorskip("h5py")
    y = np.linspace(-3, 5, N)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["energy"] = y
        file["energy"].attrs["units"] = "kJ/mol"
    stated = [f"{tmp_path}/t.h5::energy", str(table(tmp_path / "t.csv", {"energy (kJ/mol)": y}))]
    for name in stated:
        energies = read_energies(name, None, FILES, print).y
        np.testing.assert_allclose(energies, y * units.kJ / units.mol, rtol=1e-12)
        np.testing.assert_array_equal(read_energies(name, "kJ/mol", FILES, print).y, energies)
        with pytest.raises(ValueError, match="kJ/mol"):
            read_energies(name, "eV", FILES, print)


@pytest.mark.parametrize("ordered", [True, False])
def test_other_columns_follow_the_systems(ordered, tmp_path):
    rng = np.random.default_rng(3)
    names = [] if ordered else [("file", NAMES["without folder"])]
    kinds = [["slab", "bulk"][k % 2] for k in range(N)]
    columns = dict(names) | {"energy": np.arange(N), "kind": kinds, "run": list(range(5, 5 + N))}
    name = table(tmp_path / "t.csv", columns, np.arange(N) if ordered else rng.permutation(N))
    found = read_energies(str(name), None, FILES, lambda text: None)
    assert found.columns["kind"] == kinds
    assert found.columns["run"] == [str(k) for k in range(5, 5 + N)]


def test_errors_are_shown_by_a_column_of_the_table(go, cells):
    kinds = [["slab", "bulk", "strained"][k % 3] for k in range(N)]
    columns = {"file": NAMES["without folder"], "energy": cells[1], "kind": kinds}
    table("by.csv", columns, np.random.default_rng(4).permutation(N))
    line = "fit cells by.csv --epochs 1 --cutoff 4 --test-fraction 0.5 --force"
    shown = go(f"{line} -o by.ednn --errors-by kind").stdout
    assert "errors by kind" in shown and "slab" in shown
    assert "column of the table" in shown
    assert "errors by kind" in go("evaluate by.ednn cells by.csv --errors-by kind").stdout
    whole = go(f"{line} -o by.ednn --group kind").stderr
    assert "whole groups by kind: " in whole
    said = go(f"{line} -o by.ednn --errors-by kid", 1).stderr
    assert "columns of the table: file, energy, kind" in said
