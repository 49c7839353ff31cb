"""Structures of atoms on the command line: files in, energies out."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from sk_ednn.cli import _options
from sk_ednn.cli._structure_names import are_structures, check_structure_options
from sk_ednn.files import load

pytest.importorskip("skops")
io = pytest.importorskip("ase.io")
build = pytest.importorskip("ase.build")
SinglePointCalculator = pytest.importorskip("ase.calculators.singlepoint").SinglePointCalculator
FixAtoms = pytest.importorskip("ase.constraints").FixAtoms


def labelled(atoms, **results):
    """Pairs that repel, in the plane and out of it: energies and forces of a formula."""
    away = atoms.get_all_distances(mic=True, vector=True)
    squared = (away**2).sum(-1) + np.eye(len(atoms)) * 1e6
    pairs = np.exp(-squared / 2)
    forces = -(pairs[:, :, None] * away).sum(axis=1)
    results = {"energy": pairs.sum() / 2 - len(atoms), "forces": forces} | results
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def sheets(n, size=(4, 4), seed=0):
    rng, results = np.random.default_rng(seed), []
    for _ in range(n):
        sheet = build.graphene(size=(1, 1, 1), vacuum=5.0)
        sheet.set_cell([[2.4, 0, 0], [0, 2.4, 0], [0, 0, 10]])
        sheet.positions[:] = [[0.3, 0.3, 5], [1.5, 1.5, 5]]
        sheet = sheet.repeat((*size, 1))
        sheet.positions[:, :2] += rng.normal(size=(len(sheet), 2)) * rng.uniform(0.02, 0.2)
        sheet.pbc = (True, True, False)
        results.append(labelled(sheet))
    return results


def crystals(n, strain=0.0):
    rng, results = np.random.default_rng(1), []
    for k in range(n):
        crystal = build.bulk("Cu", cubic=True)
        crystal.set_cell(crystal.cell * (1 + strain * np.sin(k)), scale_atoms=True)
        crystal.positions += rng.normal(size=(4, 3)) * 0.1
        results.append(labelled(crystal))
    return results


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    some = sheets(40)
    io.write(folder / "sheets.extxyz", some)
    io.write(folder / "large.traj", sheets(2, (6, 4), seed=5))
    (folder / "parts").mkdir()
    for k in range(0, 40, 10):
        io.write(folder / "parts" / f"part{k}.traj", some[k : k + 10])
    io.write(folder / "copper.extxyz", crystals(30))
    return folder


@pytest.fixture
def go(files, run, monkeypatch):
    monkeypatch.chdir(files)

    def go(line, *args):
        images = line.startswith("fit ") and "nowhere" not in line
        return run(f"{line} --images" if images else line, *args)

    return go


def test_sheets_are_fitted_and_larger_ones_predicted(go, files):
    said = go("fit sheets.extxyz -o s.ednn").stderr
    assert "data: 40 structures of 32 atoms, C; energies: 'energy', " in said
    assert "plane: xy\n" in said and "tile model: invariants" in said
    assert "--spacing" in said and "focus 4 x 4" in said
    predicted = json.loads(go("predict s.ednn large.traj --json").stdout)["y"]
    true = [atoms.get_potential_energy() for atoms in io.read(files / "large.traj", ":")]
    spread = np.std([atoms.get_potential_energy() for atoms in io.read("sheets.extxyz", ":")])
    assert np.abs(np.subtract(predicted, true)).max() < spread
    model = load(files / "s.ednn")
    assert model.predict(str(files / "large.traj")) == pytest.approx(predicted)
    table = go("predict s.ednn large.traj -o out.csv") and (files / "out.csv").read_text()
    rows = table.splitlines()
    assert rows[0] == "index,structure,total (eV),atoms,per atom (eV)"
    assert rows[2].startswith('1,"large.traj, structure 1",')
    total, n_atoms, per_atom = map(float, rows[2].split(",")[-3:])
    assert total == predicted[1] and per_atom == pytest.approx(total / n_atoms)
    assert n_atoms == len(io.read(files / "large.traj@1"))
    go("predict s.ednn large.traj -o out.npz --contributions")
    with np.load(files / "out.npz") as held:
        assert held["contributions"].reshape(2, -1).sum(axis=1) == pytest.approx(held["y"])
    np.save(files / "fields.npy", np.zeros((2, 8, 8)))
    assert "is a model of structures, but" in go("predict s.ednn fields.npy", 1).output


def test_crystals_are_drawn_in_three_dimensions(go, files):
    result = go("fit copper.extxyz -o c.ednn --seed 3")
    assert "plane: xyz (Structure 0 is not flat enough" in result.stderr
    model = load(files / "c.ednn")
    assert model[0].plane == "xyz" and model[0].channels_ == (29,)
    io.write("strained.extxyz", crystals(20, 0.01))
    said = go("fit strained.extxyz -o strained.ednn").stderr
    assert "stretched by up to" in said
    assert len(go("predict strained.ednn strained.extxyz@3:5 -q").stdout.splitlines()) == 2


@pytest.mark.parametrize("model", ["auto", "quadratic"])
def test_forces_are_learned_where_they_are_asked_for(model, go, files):
    """From a few sheets: fields and what forces add to them, held back sheets as the judge."""
    options = f"--model {model} --focus 4 --context 2 --spacing 0.4 --json"
    plain = json.loads(go(f"fit sheets.extxyz@:12 {options} -o p.ednn").output)
    with_forces = json.loads(go(f"fit sheets.extxyz@:12 {options} -o f.ednn --forces").output)
    if model == "auto":
        for name, n_components in (("p.ednn", 64), ("f.ednn", 96)):
            describe = load(files / name)[-1].tile_model_.estimator[0]
            assert describe.n_components == n_components
    assert with_forces["strategy"] == plain["strategy"] == "LinearSolver"
    structures = io.read(files / "sheets.extxyz", "20:")
    off = []
    for name in ("p.ednn", "f.ednn"):
        draw, regressor = (step for _, step in load(files / name).steps)
        forces = draw.forces(structures, regressor.predict_gradient(draw.transform(structures)))
        true = [atoms.get_forces()[:, :2] for atoms in structures]
        off.append(np.abs(np.concatenate(forces) - np.concatenate(true)).mean())
    assert off[1] < 0.9 * off[0]


@pytest.mark.parametrize(
    "name", ["parts", "parts/*.traj", "parts/part*.traj@:", "**/part*.traj", "sheets.extxyz@:"]
)
def test_folders_and_patterns_are_all_their_files(name, go):
    whole = json.loads(go("fit sheets.extxyz --json -o a.ednn").output)
    parts = json.loads(go(f"fit {name} --json -o b.ednn").output)
    for key in ("n_train", "n_test", "plane", "energy", "focus"):
        assert parts[key] == whole[key]
    assert parts["test"]["rmse"] == pytest.approx(whole["test"]["rmse"], rel=0.1)


def test_an_existing_file_comes_before_the_index(go, files):
    io.write(files / "run@1.extxyz", sheets(12), format="extxyz")
    assert json.loads(go("fit run@1.extxyz --json -o m.ednn").output)["n_train"] == 10
    assert json.loads(go("fit run@1.extxyz@:6 --json -o m.ednn").output)["n_train"] == 5


@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR", "cell.cif", "cell.xsf", "cell.json"])
def test_what_ase_reads_is_predicted(name, go, files):
    go("fit copper.extxyz -o c.ednn")
    (crystal,) = crystals(1)
    io.write(files / name, crystal)
    line = go(f"predict c.ednn {name} -q").stdout
    assert line.startswith(f"{name}  ") and line.endswith(" eV/atom)\n")
    (result,) = json.loads(go(f"predict c.ednn {name} --json").stdout)["y"]
    assert result == pytest.approx(load(files / "c.ednn").predict([crystal])[0], abs=1e-4)


def test_the_name_of_the_energies_is_said_and_chosen(go, files):
    some = sheets(10)
    for k, sheet in enumerate(some):
        sheet.info["dft_energy"] = -100.0 - k
        sheet.calc.results["free_energy"] = sheet.calc.results["energy"] - 0.5 - k
    io.write(files / "both.extxyz", some)
    result = go("fit both.extxyz -o m.ednn")
    assert "energies: 'energy'" in result.stderr
    assert (
        "also have 'free_energy', which differs by up to 9.5 eV: use it with --energy"
        in result.stderr
    )
    assert "forces are its gradients" in go("fit both.extxyz -o m.ednn --forces").stderr
    result = go("fit both.extxyz --energy dft_energy -o m.ednn")
    assert "energies: 'dft_energy', -109 to -100" in result.stderr
    assert "energies: 'free_energy'" in go("fit both.extxyz --energy free_energy -o m.ednn").stderr
    result = go("fit both.extxyz --energy nothing -o m.ednn", 1)
    assert (
        "10 of 10 structures have no 'nothing'" in result.output and "dft_energy" in result.output
    )
    for sheet in some:
        sheet.calc = None
    io.write(files / "info.extxyz", some)
    assert "energies: 'dft_energy'" in go("fit info.extxyz -o m.ednn").stderr


def test_missing_labels_are_counted_and_named(go, files):
    some = sheets(10)
    some[4].calc = some[7].calc = None
    io.write(files / "gaps.traj", some)
    result = go("fit gaps.traj -o m.ednn", 1)
    assert "gaps.traj, structure 4: 2 of 10 structures have no 'energy'" in result.output
    for sheet in some:
        sheet.calc = None
    io.write(files / "none.traj", some)
    assert "10 of 10 structures have no energy" in go("fit none.traj -o m.ednn", 1).output
    np.savetxt(files / "totals.txt", np.arange(10.0))
    said = go("fit none.traj totals.txt -o m.ednn").stderr
    assert "energies: 'totals.txt', 0 to 9" in said
    result = go("fit none.traj totals.txt --forces -o m.ednn", 1)
    assert "10 of 10 structures have no forces" in result.output


def test_forces_on_constrained_atoms_are_those_of_the_file(go, files, monkeypatch):
    from sk_ednn.atoms import GaussianRasterizer

    some = sheets(6)
    for sheet in some:
        sheet.set_constraint(FixAtoms(range(16)))
    io.write(files / "fixed.traj", some)
    assert not io.read(files / "fixed.traj").get_forces()[0].any()  # the trap
    seen, inner = [], GaussianRasterizer.position_gradients

    def spy(self, X, forces=None, **options):
        seen.extend(forces or [])
        return inner(self, X, forces, **options)

    monkeypatch.setattr(GaussianRasterizer, "position_gradients", spy)
    go("fit fixed.traj -o m.ednn --forces")
    assert len(seen) >= 6
    for forces, sheet in zip(seen, some, strict=False):
        np.testing.assert_allclose(forces, sheet.get_forces(apply_constraint=False), atol=1e-7)
        assert np.abs(forces[0]).max() > 0


def damaged(files):
    text = (files / "sheets.extxyz").read_text().splitlines()
    text[3 * 34 + 6] = "C 1.0 what"
    (files / "damaged.extxyz").write_text("\n".join(text[: 5 * 34]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fit damaged.extxyz", "damaged.extxyz cannot be read, at structure 3"),
        ("fit nowhere/*.extxyz", "does not exist"),
        ("fit sheets.extxyz@99:", "'sheets.extxyz@99:' contains no structures"),
        ("fit sheets.extxyz@what", "sheets.extxyz@what cannot be read"),
        ("fit sheets.extxyz --plane zx", "--plane must be one of xy, xz, yz, xyz; got 'zx'"),
        (
            "fit sheets.extxyz --spacing a",
            "--spacing must be a number, or 2 of them separated by commas",
        ),
        (
            "fit sheets.extxyz --spacing 0.37",
            "sheets.extxyz, structure 0 (line 1): Structure 0: its cell is",
        ),
        (
            "fit copper.extxyz --plane xy",
            "copper.extxyz, structure 0 (line 1): Structure 0 is not flat",
        ),
        ("fit sheets.extxyz large.traj", "The second argument must be a file of totals, but large"),
        ("fit sheets.extxyz -o sheets.extxyz", "would overwrite the fields in sheets.extxyz"),
        (
            "fit sheets.extxyz --save-config sheets.extxyz",
            "would overwrite the fields in sheets.extxyz",
        ),
        (
            "fit sheets.extxyz short.npy",
            "There are 40 structures, but short.npy contains 10 totals",
        ),
        ("fit X.npy y.npy --forces", "--forces is for structures of atoms, but X.npy"),
        ("fit sheets.extxyz --channel-axis 1", "--channel-axis is for fields"),
        ("fit sheets.extxyz --angles 360", "--angles is for the values of fields"),
        ("fit sheets.extxyz --images --categorical", "--categorical is for the values of fields"),
        ("fit sheets.extxyz --model forest --forces", "fits totals only"),
        ("fit X.npy y.npy --spacing 0.4", "--spacing is for structures of atoms, but X.npy"),
        ("predict model.ednn sheets.extxyz", "was fitted to arrays of fields"),
    ],
)
def test_errors_take_a_line_and_name_the_file(line, message, go, files, folder):
    damaged(files)
    for name in ("X.npy", "y.npy", "short.npy", "model.ednn"):
        (files / name).write_bytes((folder / name).read_bytes())
    before = (files / "sheets.extxyz").read_bytes()
    result = go(line, 1)
    assert message in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert (files / "sheets.extxyz").read_bytes() == before


def defaults(*groups):
    return {field.name: field.default for group in groups for field in dataclasses.fields(group)}


OF_STRUCTURES = defaults(_options.Atoms, _options.Images, _options.Potentials)


@pytest.mark.parametrize("name", OF_STRUCTURES)
def test_no_option_of_structures_is_ignored_with_arrays(name):
    """A new option has to be refused, too."""
    options = defaults(_options.Tiles, _options.Values, _options.Measurement, _options.FitOutput)
    options |= OF_STRUCTURES | {"fields": "X.npy", "targets": None, name: "given"}
    said = f"--{name.replace('_', '-')} is for structures of atoms"
    with pytest.raises(ValueError, match=said):
        check_structure_options(SimpleNamespace(**options))


def test_species_that_a_model_does_not_know_are_named(go, files):
    go("fit copper.extxyz -o c.ednn")
    gold = [*crystals(2), build.bulk("Au", cubic=True)]
    io.write(files / "gold.extxyz", gold)
    result = go("predict c.ednn gold.extxyz", 1)
    assert "gold.extxyz, structure 2 (line 13): Expected the species Cu, but" in result.stderr


def test_settings_of_structures_come_from_a_file_too(go, files):
    for name in ("sheets", "strained"):
        io.write(files / "strained.extxyz", crystals(20, 0.01))
        line = f"fit {name}.extxyz -o {name}-first.ednn --save-config s.yaml --json"
        first = json.loads(go(line).stdout)
        again = json.loads(go(f"fit --config s.yaml -o {name}-again.ednn --json").stdout)
        assert {**again, "output": None} == {**first, "output": None}  # sha256 and all
    go("fit sheets.extxyz -o c.ednn --spacing 0.3 --width 0.3 -q --save-config s.yaml")
    again = json.loads(go("fit --config s.yaml -o d.ednn --json").stdout)
    assert again["spacing"] == pytest.approx([0.3, 0.3]) and again["width"] == 0.3


def test_files_of_structures_are_distinguished_from_arrays(tmp_path):
    io.write(tmp_path / "run.traj", crystals(1))
    io.write(tmp_path / "CONTCAR.relaxed", crystals(1), format="vasp")
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "odd@1.npz", X=np.zeros(3))
    for folder in ("x.zarr", "store"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "zarr.json").write_text("{}")
    (tmp_path / "text.rst").write_text("# words")
    names = {
        "run.traj": True, "run.traj@0": True, "*.traj": True, "CONTCAR.relaxed": True,
        "a.npy": False, "odd@1.npz": False, "odd@1.npz::X": False, "a.npy@0": False, "*.np?": False,
        "x.zarr": False, "store": False, "text.rst": False, "nowhere.traj": False,
    }  # fmt: skip
    (tmp_path / "inner").mkdir()
    io.write(tmp_path / "inner" / "1.traj", crystals(1))
    assert {name: are_structures(str(tmp_path / name)) for name in names} == names
    assert are_structures(str(tmp_path / "inner"))


def test_the_context_of_small_sheets_is_not_more_than_half_of_them(go, files):
    io.write(files / "small.extxyz", sheets(12, (2, 3)))
    go("fit small.extxyz -m quadratic -o small.ednn --force")
    assert load(files / "small.ednn").steps[-1][1].tiling.context == (6, 9)
    go("fit small.extxyz -m quadratic -o small.ednn --force --context 7")
    assert load(files / "small.ednn").steps[-1][1].tiling.context == (7, 7)
