"""Structures are selected on the command line, with their labels or by name."""

import csv
import json

import numpy as np
import pytest

pytest.importorskip("ase")
pytest.importorskip("vesin")

from ase import io

from sk_ednn.atoms import select_structures
from tests._labelled import labelled_atoms


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    structures = labelled_atoms(12)
    for k, atoms in enumerate(structures):
        atoms.info["label"] = f"n{k}"
    io.write("pool.extxyz", structures)
    io.write("known.extxyz", labelled_atoms(3, seed=5))
    return structures


@pytest.fixture
def go(pool):
    from typer.testing import CliRunner

    from sk_ednn.cli._app import app

    def run(*arguments):
        result = CliRunner().invoke(app, ["select", *map(str, arguments)])
        return result.exit_code, result.stdout, result.stderr

    return run


def test_structures_keep_their_labels(go, pool):
    code, out, _ = go("pool.extxyz", 5, "--known", "known.extxyz", "-o", "some.extxyz")
    assert code == 0
    assert "5 of 12 structures: 3 at random, and 2 unlike the others and from 3 known ones" in out
    known = io.read("known.extxyz", ":")
    expected = select_structures(io.read("pool.extxyz", ":"), 5, known=known, random_state=0)
    written = io.read("some.extxyz", ":")
    assert [atoms.info["label"] for atoms in written] == [f"n{k}" for k in expected]
    for atoms, k in zip(written, expected, strict=True):
        assert atoms.get_potential_energy() == pytest.approx(pool[k].get_potential_energy())
        np.testing.assert_allclose(atoms.get_forces(), pool[k].get_forces(), atol=1e-6)


def test_a_table_names_their_places(go):
    code, out, _ = go("pool.extxyz", 4, "--unlike", 1, "-o", "some.csv", "--json")
    assert code == 0
    result = json.loads(out)
    with open("some.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == [row["index"] for row in result["chosen"]]
    assert [row["structure"] for row in rows] == [row["structure"] for row in result["chosen"]]
    assert all(
        row["structure"].startswith(f"pool.extxyz, structure {row['index']} ") for row in rows
    )
    assert rows[0]["distance"] == "" and float(rows[1]["distance"]) >= float(rows[3]["distance"])


def test_a_pool_that_is_known_is_named(go):
    code, _, err = go("pool.extxyz", 2, "--known", "pool.extxyz", "--unlike", 1, "-o", "a.csv")
    assert code == 0 and "equal to known ones" in err
    # A hint that others are as far away needs some that are.
    assert "nearly as far" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pool.extxyz", 3, "-o", "pool.extxyz"], "would overwrite the fields"),
        (["pool.extxyz", 3, "--known", "known.extxyz", "-o", "known.extxyz", "--force"],
         "would overwrite the known structures"),
        (["pool.extxyz", 3, "-o", "some.cif"], "expected a name that ends in .extxyz or .traj"),
        (["pool.extxyz", 13, "-o", "a.csv"], "There are 12 structures, of which 13"),
        (["pool.npy", 3, "-o", "a.csv"], "pool.npy is not a file of structures"),
        (["pool.extxyz", 3, "--known", "known.csv", "-o", "a.csv"], "--known known.csv is not"),
        (["pool.extxyz", 3, "--cutoff", 0, "-o", "a.csv"], "cutoff must be a positive length"),
    ],
)  # fmt: skip
def test_errors_leave_the_files(go, arguments, message, tmp_path):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, _, err = go(*arguments)
    assert code == 1 and message in " ".join(err.split())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
