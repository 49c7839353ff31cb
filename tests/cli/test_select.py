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
    assert "5 of 12 structures: 0 at random, and 5 unlike the others and from 3 known ones" in out
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


@pytest.mark.parametrize(
    ("options", "random"), [("", 4), ("--known known.extxyz", 0), ("--unlike 0.5", 3)]
)
def test_structures_are_drawn_at_random_unless_some_are_known(go, options, random):
    code, out, _ = go("pool.extxyz", 6, *options.split(), "-o", "a.csv", "--json")
    result = json.loads(out)
    assert code == 0 and (result["random"], result["unlike"]) == (random, 6 - random)
    # Without a distance: those at random, and the first of the others if none is known.
    without = [row["distance"] for row in result["chosen"]].count(None)
    assert without == random
    said = go("pool.extxyz", 6, *options.split(), "-o", "b.csv")[2]
    assert ("a larger --unlike" in said) <= (random > 0)


def test_a_potential_knows_the_structures_that_it_learned_from(go, pool):
    pytest.importorskip("torch")
    from sk_ednn.atoms import EDNNPotential
    from sk_ednn.files import save

    potential = EDNNPotential(cutoff=4.0, max_epochs=1, random_state=0)
    save(potential.fit(pool[:6]), "p.ednn")
    far = labelled_atoms(1, seed=9)[0]
    far.set_cell(0.85 * far.cell, scale_atoms=True)
    io.write("more.extxyz", [*pool, far])
    code, out, _ = go("more.extxyz", 13, "--known", "p.ednn", "-o", "a.csv", "--json")
    assert code == 0
    result = json.loads(out)
    order = [row["index"] for row in result["chosen"]]
    distances = [row["distance"] for row in result["chosen"]]
    means = [each.mean() for each in potential.novelty([*pool[6:], far])]
    assert sorted(order) == list(range(13)) and order[0] == 6 + np.argmax(means)
    # None of those learned from before all others, and the distances fall.
    assert set(order[7:]) == set(range(6)) and set(distances[7:]) == {0.0}
    assert distances[:7] == sorted(distances[:7], reverse=True) and distances[6] > 0
    assert distances[0] == pytest.approx(max(means), rel=1e-4)
    code, out, _ = go("more.extxyz", 3, "--known", "p.ednn", "-o", "b.csv")
    assert "3 unlike the others and those of the fit of p.ednn" in out
    assert "mean novelty of its atoms (1: as" in out and "--known with the files" in out


def test_structures_alike_are_not_chosen_twice_with_a_potential(go, pool):
    pytest.importorskip("torch")
    from sk_ednn.atoms import EDNNPotential
    from sk_ednn.files import save

    save(EDNNPotential(cutoff=4.0, max_epochs=1, random_state=0).fit(pool[:6]), "p.ednn")
    one, two = pool[8].copy(), pool[8].copy()
    for atoms in (one, two):
        atoms.set_cell(0.8 * atoms.cell, scale_atoms=True)
    io.write("twice.extxyz", [one, two, *pool[9:]])
    result = json.loads(go("twice.extxyz", 4, "--known", "p.ednn", "-o", "a.csv", "--json")[1])
    assert {0, 1} & {row["index"] for row in result["chosen"]}
    assert not {0, 1} <= {row["index"] for row in result["chosen"]}


def test_a_sensible_number_is_advised_or_none(go, pool):
    many = [each.copy() for each in pool[1:9] for _ in range(8)]
    rng = np.random.default_rng(0)
    for each in many:  # eight kinds
        each.positions += rng.normal(size=each.positions.shape) * 1e-3
    io.write("many.extxyz", many)
    line = "--known known.extxyz -o a.csv --force"
    code, out, err = go("many.extxyz", 1, *line.split())
    assert code == 0 and "--known MODEL.ednn" in out and "in standard deviations of" in out
    result = json.loads(go("many.extxyz", 1, *line.split(), "--json")[1])
    advised = 1 + result["more"]
    assert 1 < advised <= len(many) / 2
    words = f"With {advised} structures, none would be more than half as far"
    assert words in " ".join(err.split())
    first = result["chosen"][0]["distance"]
    for number, is_enough in ((advised, True), (advised - 1, False)):
        result = json.loads(go("many.extxyz", number, *line.split(), "--json")[1])
        assert (result["left"] <= 0.5 * first) == is_enough and (result["more"] == 0) == is_enough
    # All but one of a pool are hardly a choice.
    err = go("pool.extxyz", 7, *line.split())[2]
    assert "half as far" not in err


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
        (["pool.extxyz", 3, "--known", "m.ednn", "-o", "a.csv"], "m.ednn"),
        (["pool.extxyz", 3, "--known", "m.ednn", "--unlike", 1, "-o", "a.csv"],
         "--unlike is for known structures in files"),
    ],
)  # fmt: skip
def test_errors_leave_the_files(go, arguments, message, tmp_path):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, _, err = go(*arguments)
    assert code == 1 and message in " ".join(err.split())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
