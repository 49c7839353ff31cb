"""The bundled sheets: complete, consistent, and in accord with physics."""

import builtins

import numpy as np
import pytest

from sk_ednn.datasets import load_sheets
from sk_ednn.exceptions import MissingExtraError

# Sums over every number stored: a changed file does not go unnoticed.
CHECK = {"positions": 3531127.19, "forces": 870347.28, "energies": -16566466.962556187}


@pytest.fixture(scope="module")
def sheets():
    return load_sheets()


def test_all_sheets_are_there(sheets):
    assert len(sheets.structures) == len(sheets.energies) == 4_655
    assert sum(map(len, sheets.numbers)) == 273_195
    for name in ("numbers", "positions", "forces"):
        assert len(sheets[name]) == 4_655
    for name in ("energies_t0", "cells", "repeats", "kinds", "n_vacancies", "modes", "amplitudes"):
        assert len(sheets[name]) == 4_655
    assert np.concatenate(sheets.positions).sum(dtype=float) == pytest.approx(CHECK["positions"])
    assert np.abs(np.concatenate(sheets.forces)).sum(dtype=float) == pytest.approx(CHECK["forces"])
    assert sheets.energies.sum() == pytest.approx(CHECK["energies"], rel=1e-14)


def test_types_and_precision(sheets):
    assert sheets.positions[0].dtype == sheets.forces[0].dtype == np.float32
    assert sheets.energies.dtype == sheets.cells.dtype == np.float64
    assert sheets.numbers[0].dtype == np.uint8
    assert sheets.positions[0].shape == sheets.forces[0].shape == (len(sheets.numbers[0]), 2)


def test_atoms_lie_in_their_cells_and_apart(sheets):
    for structure in sheets.structures[::50]:
        xy, edges = structure.positions.astype(float), structure.cell[:2]
        assert ((xy >= 0) & (xy < edges)).all()
        d = xy[:, None] - xy
        d -= np.round(d / edges) * edges
        distances = np.sqrt((d**2).sum(axis=-1)) + 9 * np.eye(len(xy))
        assert distances.min() > 1.05


def test_kinds_and_vacancies_are_what_the_atoms_say(sheets):
    for k, numbers in enumerate(sheets.numbers):
        assert len(numbers) == 60 - sheets.n_vacancies[k]
        kind = sheets.kind_names[sheets.kinds[k]]
        expected = {"graphene": {6}, "boron_nitride": {5, 7}, "heterostructure": {5, 6, 7}}[kind]
        assert set(numbers.tolist()) == expected


def test_forces_on_a_cell_add_up_to_nothing(sheets):
    total = np.array([f.sum(axis=0, dtype=float) for f in sheets.forces])
    assert np.abs(total).max() < 1e-5


def test_pristine_graphene_rises_with_the_amplitude_of_its_displacements(sheets):
    chosen = (sheets.kinds == 0) & (sheets.n_vacancies == 0) & (sheets.modes == 0)
    energies, amplitudes = sheets.energies[chosen], sheets.amplitudes[chosen]
    # Harmonic: linear in the square of the displacement.
    assert np.corrcoef(energies, amplitudes.astype(float) ** 2)[0, 1] > 0.95


def test_larger_cells():
    large = load_sheets(cells="large")
    assert len(large.structures) == 21
    assert np.array_equal(large.cells[:, :2], large.repeats * [12.5, 13.0])
    n_sites = 60 * large.repeats.prod(axis=1)
    assert [len(Z) for Z in large.numbers] == (n_sites - large.n_vacancies).tolist()
    # Extensive: as much a site as in the small cells.
    small = load_sheets()
    for kind in range(3):
        one, other = (s.energies[s.kinds == kind] for s in (small, large))
        n_one = np.array([len(Z) for Z in small.numbers])[small.kinds == kind]
        n_other = np.array([len(Z) for Z in large.numbers])[large.kinds == kind]
        assert other.sum() / n_other.sum() == pytest.approx(one.sum() / n_one.sum(), rel=0.02)


@pytest.mark.parametrize("subset", ["graphene", "boron_nitride", "heterostructure"])
def test_subsets_keep_what_belongs_together(sheets, subset):
    part = load_sheets(subset=subset)
    members = np.flatnonzero(sheets.kinds == sheets.kind_names.index(subset))
    assert np.array_equal(part.energies, sheets.energies[members])
    for name in ("numbers", "positions", "forces"):
        assert len(part[name]) == len(members)
        assert np.array_equal(part[name][-1], sheets[name][members[-1]])
    assert np.array_equal(part.structures[-1].positions, part.positions[-1])
    assert len(part.amplitudes) == len(members)


def test_returned_as_X_and_y(sheets):
    X, y = load_sheets(return_X_y=True)
    assert np.array_equal(y, sheets.energies)
    assert np.array_equal(X[7].positions, sheets.positions[7])


def test_as_ase_atoms():
    pytest.importorskip("ase")
    atoms = load_sheets(cells="large", as_ase=True).structures[0]
    plain = load_sheets(cells="large").structures[0]
    assert np.array_equal(atoms.positions[:, :2], plain.positions)
    assert not atoms.positions[:, 2].any()
    assert atoms.cell.lengths().tolist() == plain.cell.tolist()
    assert atoms.pbc.tolist() == [True, True, False]
    assert atoms.numbers.tolist() == plain.numbers.tolist()


def test_as_ase_atoms_without_ase(monkeypatch):
    def refuse(name, *args, imported=builtins.__import__, **kwargs):
        if name.partition(".")[0] == "ase":
            raise ImportError(name, name=name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"needs ase.*pip install 'sk-ednn\[atoms\]'"):
        load_sheets(cells="large", as_ase=True)


def test_description_says_where_numbers_come_from(sheets):
    for words in ("GFN1-xTB", "not the data of that paper", "eV/Å", "1,000 K", "float32"):
        assert words in sheets.DESCR
    assert sheets.units["forces"] == "eV/Å"


@pytest.mark.parametrize("params", [{"cells": "huge"}, {"subset": "BN"}, {"as_ase": "yes"}])
def test_parameters_are_checked(params):
    with pytest.raises(ValueError, match="parameter of load_sheets must be"):
        load_sheets(**params)
