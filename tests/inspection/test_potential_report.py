"""The page on a potential: its numbers are the errors, and the worst come first."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("ase")

from sk_ednn.atoms import EDNNPotential
from sk_ednn.report import fit_report, potential_report
from tests._labelled import labelled_atoms

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
    largest = report.numbers["largest"]
    worst = int(np.abs(off).argmax())
    assert largest[0][0] == f"structure {worst}"
    assert largest[0][2] == pytest.approx(off[worst])
    rows = report.numbers["by composition"]
    assert sum(n for _, n, *_ in rows) == 5
    total = sum(n * energy for _, n, energy, _ in rows) / 5
    assert total == pytest.approx(potential.errors(test)["energy_mae"])
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
