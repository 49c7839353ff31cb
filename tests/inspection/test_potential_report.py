"""The page on a potential: its numbers are the errors, and the worst come first."""

import re

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("ase")

from sk_ednn.atoms import EDNNPotential, PotentialTrainer
from sk_ednn.report import fit_report, potential_report
from tests._labelled import labelled_atoms, with_labels

SMALL = {"n_radial": 3, "l_max": 2, "channels": 4, "partners": 2, "hidden": (8,)}


@pytest.fixture(scope="module")
def fitted():
    train, test = labelled_atoms(12), labelled_atoms(5, seed=3)
    params = {"cutoff": 4.0, "network_params": SMALL, "max_epochs": 2, "random_state": 0}
    return EDNNPotential(**params).fit(train), train, test


def test_numbers_are_those_of_the_potential(fitted):
    potential, train, test = fitted
    report = potential_report(potential, train, test=test, about={"who": "<me>"})
    assert report.numbers["errors"]["training"] == pytest.approx(potential.errors(train))
    assert report.numbers["errors"]["held back"] == pytest.approx(potential.errors(test))
    energies = np.array([atoms.get_potential_energy() for atoms in test])
    off = 1e3 * (potential.predict(test) - energies) / 4
    largest = report.numbers["structures"]
    worst = int(np.abs(off).argmax())
    assert largest[0][0] == f"structure {worst}"
    assert largest[0][2] == pytest.approx(off[worst])
    rows = report.numbers["by composition"]
    assert sum(n for _, n, *_ in rows) == 5
    total = sum(n * energy for _, n, energy, *_ in rows) / 5
    assert total == pytest.approx(potential.errors(test)["energy_mae"])
    assert report.numbers["verdict"]["words"].startswith("on 5 structures held back: ")
    assert report.numbers["verdict"]["words"][3:40] in report.html and "overfitting" not in str(
        rows
    )
    for words in ("meV/atom", "GPa", "parity-force", "Errors", "&lt;me&gt;", "epochs"):
        assert words in report.html


def test_fit_report_knows_a_potential(fitted):
    potential, train, test = fitted
    page = fit_report(potential, train, None, test=(test, None))
    assert "held back" in page.numbers["errors"]
    with pytest.raises(ValueError, match="contain their energies"):
        fit_report(potential, train, np.zeros(12))


def test_energies_alone_make_a_page(fitted):
    potential, train, _ = fitted
    bare = [atoms.copy() for atoms in train]
    for atoms, labelled in zip(bare, train, strict=True):
        atoms.info["energy"] = labelled.get_potential_energy()
    report = potential_report(potential, bare)
    assert set(report.numbers["errors"]["training"]) == {
        "energy_mae", "energy_median", "energy_rmse"
    }  # fmt: skip
    assert "parity-force" not in report.html


def test_means_of_all_structures_are_those_of_the_headline(fitted):
    potential, train, _ = fitted
    # Of one composition and of different sizes, so that means by atom and by structure differ.
    mixed = labelled_atoms(3, seed=4, n_atoms=3) + labelled_atoms(3, seed=5, n_atoms=6)
    for atoms in mixed:
        atoms.numbers = [14] * len(atoms)
        with_labels(atoms)
    report = potential_report(potential, train, test=mixed)
    ((name, n, energy, force, stress),) = report.numbers["by composition"]
    assert (name, n) == ("Si", 6)
    errors = potential.errors(mixed)
    expected = [errors[f"{kind}_mae"] for kind in ("energy", "force", "stress")]
    assert [energy, force, stress] == pytest.approx(expected)
    by_size = report.numbers["by number of atoms"]
    assert sorted((size, n) for size, n, *_ in by_size) == [(3, 3), (6, 3)]
    forces = {size: value for size, _, _, value, _ in by_size}
    assert force == pytest.approx((forces[3] * 9 + forces[6] * 18) / 27)
    assert "by number of atoms" in report.html


def test_structures_are_named_and_grouped_as_the_caller_does(fitted):
    potential, train, test = fitted
    names = {"held back": [f"data.extxyz, structure {k}" for k in (118, 3, 5, 7, 9)]}
    groups = {"held back": ["melt", "slab", "melt", "<slab>", "melt"]}
    numbers = (report := potential_report(
        potential, train, test=test, names=names, groups=groups
    )).numbers  # fmt: skip
    assert {place for place, *_ in numbers["structures"]} == set(names["held back"])
    assert "structure 118" in report.html and "&lt;slab&gt;" in report.html
    melt = next(row for row in numbers["by group"] if row[0] == "melt")
    errors = potential.errors([test[k] for k in (0, 2, 4)])
    expected = [errors[f"{kind}_mae"] for kind in ("energy", "force", "stress")]
    assert melt[1] == 3 and list(melt[2:]) == pytest.approx(expected)
    with pytest.raises(ValueError, match="one for each of 5; got 2"):
        potential_report(potential, train, test=test, names={"held back": ["a", "b"]})


def test_a_page_without_held_back_structures_does_not_judge(fitted):
    potential, train, _ = fitted
    html = potential_report(potential, train).html
    assert "Its errors were not measured" in html and "Not measured, because no" in html
    assert "is good" not in html


def test_novel_structures_and_intervals_are_shown_where_they_are_known(fitted):
    potential, train, _ = fitted
    alike = [atoms.copy() for atoms in train[:8]]
    for k, atoms in enumerate(alike):
        atoms.rattle(0.001, seed=k)
        with_labels(atoms)
    test = [*alike, *labelled_atoms(4, seed=7)]
    report = potential_report(potential, train, test=test)
    novelty = [each.max() for each in potential.novelty(test)]
    n_novel = sum(each > 1 for each in novelty)
    assert 0 < n_novel < 12
    of_novel = report.numbers["by novelty"]
    assert list(of_novel) == [
        f"held back, {n_novel} novel", f"held back, {12 - n_novel} not novel"
    ]  # fmt: skip
    chosen = [atoms for atoms, each in zip(test, novelty, strict=True) if each > 1]
    assert of_novel[f"held back, {n_novel} novel"] == pytest.approx(potential.errors(chosen))
    assert f"held back, {n_novel} novel, energy (meV/atom)" in report.html
    assert report.numbers["next"].replace('"', "&quot;")[1:] in report.html
    assert ">novelty<" in report.html and "± 90 %" not in report.html
    calibrated = clone_of(potential).calibrate(test)
    html = potential_report(calibrated, train, test=test).html
    assert "± 90 % (meV/atom)" in html and 'id="intervals' in html
    assert "The intervals rest on these errors" in html
    others = potential_report(calibrated, train, test=labelled_atoms(3, seed=8)).html
    assert "± 90 % (meV/atom)" in others and "The intervals rest on" not in others


def clone_of(potential):
    """Return a potential with the same fit, which a calibration leaves as it is."""
    vars(other := EDNNPotential()).update(vars(potential))
    return other


@pytest.mark.parametrize("n", [4, 5, 8])
def test_small_groups_are_folded(fitted, n):
    potential, train, _ = fitted
    test = labelled_atoms(2 * n, seed=9)
    groups = {"held back": ["melt", "slab"] * n}
    page = potential_report(potential, train, test=test, groups=groups).html
    assert ("Errors by group: 2 groups of up to" in page) == (n < 5)
    assert "Mean absolute errors by group" in page


@pytest.mark.parametrize("limits", [{"max_epochs": 2}, {"trainer": PotentialTrainer(max_epochs=2)}])
def test_limits_of_the_training_are_shown_once(fitted, limits):
    _, train, _ = fitted
    potential = EDNNPotential(cutoff=4.0, network_params=SMALL, random_state=0, **limits).fit(train)
    page = potential_report(potential, train).html
    assert re.search(r">max_epochs</th><td>2<", page)
    assert "PotentialTrainer(max_" not in page
    assert potential.get_params()["max_epochs"] == limits.get("max_epochs")
