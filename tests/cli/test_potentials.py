"""Potentials on the command line: fit, evaluate, predict, relax, md."""

import csv
import html
import json
import re
import signal

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("ase")

from ase import Atoms, io, units
from ase.build import bulk

from sk_ednn._utils.wording import rounded
from sk_ednn.atoms import EDNNPotential
from sk_ednn.files import load
from sk_ednn.structures._files import read_with_places
from tests._labelled import labelled_atoms, with_labels

FAST = "--epochs 2 --cutoff 4 --json"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("potentials")
    atoms = labelled_atoms(20)
    io.write(folder / "train.extxyz", atoms)
    io.write(folder / "test.extxyz", labelled_atoms(4, seed=5))
    for each in atoms:
        del each.calc.results["forces"], each.calc.results["stress"]
    io.write(folder / "energies.traj", atoms)
    for each in labelled_atoms(3):
        each.info["REF_energy"] = each.calc.results["energy"]
        each.arrays["REF_forces"] = each.calc.results["forces"]
        each.calc = None
        io.write(folder / "named.extxyz", each, append=True)
    return folder


@pytest.fixture
def go(files, run, monkeypatch):
    monkeypatch.chdir(files)
    return run


def test_structures_with_forces_become_a_potential(go, files):
    result = json.loads(go(f"fit train.extxyz {FAST} -o p.ednn --report p.html").stdout)
    assert (result["model"], result["n_train"], result["n_test"]) == ("spectrum", 16, 4)
    assert result["labels"]["forces"]["known"] == 64
    potential = load(files / "p.ednn")
    assert isinstance(potential, EDNNPotential) and potential.cutoff == 4.0
    order = np.random.default_rng(0).permutation(20)
    held = [io.read(files / "train.extxyz", ":")[k] for k in np.sort(order[:4])]
    assert potential.errors(held) == pytest.approx(result["test"])
    page = (files / "p.html").read_text(encoding="utf-8")
    assert "Errors by composition" in page.replace("Mean absolute errors", "Errors")
    assert "train.extxyz" in page and "meV/atom" in page
    text = html.unescape(page)
    for words in (result["verdict"]["words"], result["next"]):
        assert f"{words[0].upper()}{words[1:]}" in text  # as the terminal says


def test_a_table_is_shown_and_progress(go):
    result = go("fit train.extxyz --epochs 1 --cutoff 4 -o p.ednn")
    assert "test, forces (meV/Å)" in result.stdout and "epoch 1 of 1, " in result.stderr
    assert "spectrum, 1 epochs on 16 structures" in result.stdout
    assert " s of the processor; written to p.ednn" in result.stdout
    assert result.stderr.count("forces from 'forces' of 64 of 64 atoms") == 1
    *_, epoch, sampling, measuring = result.stderr.splitlines()
    assert epoch.startswith("epoch 1 of 1, ") and sampling.startswith("sampling the atoms of the")
    assert measuring == "measuring errors of 20 structures, and the novelty of the 4 held out"
    quiet = go("fit train.extxyz --epochs 1 --cutoff 4 -o p.ednn --quiet").stderr
    assert "sampling" not in quiet and "measuring" not in quiet
    assert "20 structures: 16 to learn from, 4 held out for the rows 'test'" in result.stderr
    verdict, *following = result.stdout.partition("verdict: ")[2].splitlines()
    assert verdict.startswith("on 4 structures held back: RMSE of energies ")
    # Nothing is learned in one epoch.
    assert "the potential is " in verdict and "better than the composition alone." in verdict
    assert re.match(r"next: errors of \w+ are .* for the structures lea", following[0])


def test_without_held_out_structures_nothing_is_measured(go):
    result = go("fit train.extxyz --epochs 1 --cutoff 4 --test-fraction 0 -o all.ednn")
    assert "20 structures, all of them to learn from" in result.stderr
    assert "verdict: not measured, because no structures were held back." in result.stdout
    assert "next: evaluate other structures" in result.stdout


def test_structures_are_named_by_the_file_and_have_their_errors(go, files):
    line = f"fit train.extxyz {FAST} -o p.ednn --report p.html --errors e.csv"
    assert json.loads(go(line).stdout)["written"] == "e.csv"
    with (files / "e.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    places = [place for _, place in read_with_places("train.extxyz")]
    order = np.random.default_rng(0).permutation(20)
    for part, indices in (("test", order[:4]), ("train", order[4:])):
        of_part = [row["structure"] for row in rows if row["part"] == part]
        assert of_part == [places[k] for k in np.sort(indices)]
    page = (files / "p.html").read_text(encoding="utf-8")
    assert all(places[k] in page for k in order[:4])
    go("evaluate p.ednn train.extxyz --errors f.csv")
    with (files / "f.csv").open(encoding="utf-8") as table:
        later = {row["structure"]: row for row in csv.DictReader(table)}
    assert list(later) == places
    name = "forces mean error (meV/Å)"
    for row in rows:
        assert float(later[row["structure"]][name]) == pytest.approx(float(row[name]), rel=1e-4)


def test_groups_are_held_out_together_and_have_their_errors(go, files):
    atoms = labelled_atoms(20)
    for k, each in enumerate(atoms):
        each.info["phase"] = f"phase {k % 5}"
    io.write(files / "phases.extxyz", atoms)
    line = "fit phases.extxyz --epochs 1 --cutoff 4 --group phase --errors g.csv --force"
    result = go(f"{line} --report g.html -o g.ednn")
    (held,) = re.findall(r"whole groups by phase: (phase \d)\n", result.stderr)
    assert "errors by phase" in result.stdout and held in result.stdout
    with (files / "g.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert {row["phase"] for row in rows if row["part"] == "test"} == {held}
    assert held not in {row["phase"] for row in rows if row["part"] == "train"}
    page = (files / "g.html").read_text(encoding="utf-8")
    assert f">{held}</th>" in page or "by group" not in page  # a single group has no table
    result = json.loads(go("evaluate g.ednn phases.extxyz --group phase --json").stdout)["groups"]
    assert result["by"] == "phase" and len(result["errors"]) == 1  # of what was held out
    one = next(row for row in result["errors"] if row["name"] == held)
    some = [each for each in atoms if each.info["phase"] == held]
    assert one["force_mae"] == pytest.approx(load(files / "g.ednn").errors(some)["force_mae"])
    shown = go("evaluate g.ednn phases.extxyz --group phase").stdout
    assert "errors by phase" in shown and held in shown


def parts_of(path):
    with path.open(encoding="utf-8") as table:
        return {row["structure"]: row["part"] for row in csv.DictReader(table)}


def test_errors_by_groups_leave_the_split_as_it_is(go, files):
    atoms = labelled_atoms(20)
    for k, each in enumerate(atoms):
        each.info["phase"] = f"phase {k % 5}"
    io.write(files / "by.extxyz", atoms)
    line = "fit by.extxyz --epochs 1 --cutoff 4 --force -o by.ednn --errors"
    go(f"{line} plain.csv")
    shown = go(f"{line} by.csv --errors-by phase").stdout
    assert "errors by phase" in shown and "--errors-by takes any entry" in shown
    assert parts_of(files / "by.csv") == parts_of(files / "plain.csv")
    with (files / "by.csv").open(encoding="utf-8") as table:
        assert {row["phase"] for row in csv.DictReader(table)} == {f"phase {k}" for k in range(5)}
    both = go(f"{line} both.csv --group phase --errors-by composition")
    assert "whole groups by phase" in both.stderr
    assert "errors by composition" in both.stdout and "errors by phase" not in both.stdout
    one, other = (
        go(f"evaluate by.ednn by.extxyz --{name} phase --json").stdout
        for name in ("errors-by", "group")
    )
    assert json.loads(one)["groups"]["by"] == "phase" and one == other


def test_structures_that_were_learned_from_are_recognised(go, files):
    go(f"fit train.extxyz {FAST} -o p.ednn")
    held = np.sort(np.random.default_rng(0).permutation(20)[:4])
    result = json.loads(go("evaluate p.ednn train.extxyz --json").stdout)
    potential, atoms = load(files / "p.ednn"), io.read(files / "train.extxyz", ":")
    assert result["learned_from"]["structures"] == 16
    others = potential.errors([atoms[k] for k in held])
    assert result["learned_from"]["errors"] == pytest.approx(others)
    shown = go("evaluate p.ednn train.extxyz").stdout
    assert "4 others, energy (meV/atom)" in shown
    assert "16 of these structures were learned from: judge by the others" in shown
    assert "learned" not in go("evaluate p.ednn test.extxyz").stdout
    io.write(files / "learned.extxyz", [atoms[k] for k in range(20) if k not in held])
    shown = go("evaluate p.ednn learned.extxyz").stdout
    assert "16 of these structures were learned from: judge by structures that it" in shown


def test_novel_structures_are_told_from_others_that_were_not_learned_from(go, files):
    go(f"fit train.extxyz {FAST} -o p.ednn")
    strange = labelled_atoms(3, seed=6)
    for each in strange[:2]:
        each.positions[0] = each.positions[1] + [0.6, 0.0, 0.0]
        with_labels(each)
    known = io.read(files / "train.extxyz", ":")
    held = set(np.random.default_rng(0).permutation(20)[:4].tolist())
    everything = [*known, *strange]
    io.write(files / "both.extxyz", everything)
    result = json.loads(go("evaluate p.ednn both.extxyz --errors-by file --json").stdout)
    potential = load(files / "p.ednn")
    unlike = np.array([each.max() > 1 for each in potential.novelty(everything)])
    others = np.array([k in held or k >= 20 for k in range(23)])
    found = result["by_novelty"]
    for kind, chosen in (("unlike", unlike & others), ("alike", ~unlike & others)):
        some = [everything[k] for k in np.flatnonzero(chosen)]
        assert found[kind]["structures"] == len(some)
        assert found[kind]["errors"] == pytest.approx(potential.errors(some))
    (group,) = result["groups"]["errors"]
    assert group["structures"] == others.sum() and group["unlike"] == (unlike & others).sum()
    each = [potential.errors([everything[k]])["energy_mae"] for k in np.flatnonzero(others)]
    assert group["energy_worst"] == pytest.approx(max(each))
    assert group["energy_median"] == pytest.approx(np.median(each))
    shown = go("evaluate p.ednn both.extxyz --errors-by file").stdout
    assert f"others, {(unlike & others).sum()} novel, energy (meV/atom)" in shown
    assert "median" in shown and "worst" in shown


def test_errors_are_told_apart_by_novelty(go, files):
    go(f"fit train.extxyz {FAST} -o p.ednn")
    strange = labelled_atoms(3, seed=6)
    for each in strange:
        each.positions[0] = each.positions[1] + [0.6, 0.0, 0.0]
        with_labels(each)
    known = labelled_atoms(5, seed=16)
    io.write(files / "strange.extxyz", [*known, *strange])
    found = json.loads(go("evaluate p.ednn strange.extxyz --json").stdout)["by_novelty"]
    potential = load(files / "p.ednn")
    unlike = np.array([each.max() > 1 for each in potential.novelty([*known, *strange])])
    assert unlike[5:].all() and not unlike[:5].all()
    for kind, chosen in (("unlike", unlike), ("alike", ~unlike)):
        some = [each for each, is_one in zip([*known, *strange], chosen, strict=True) if is_one]
        assert found[kind]["structures"] == len(some)
        assert found[kind]["errors"] == pytest.approx(potential.errors(some))
    shown = go("evaluate p.ednn strange.extxyz").stdout
    assert f"{unlike.sum()} novel, energy (meV/atom)" in shown and "novel: structures" in shown


def test_settings_of_the_training_are_passed_on_and_replaced(go, files):
    def trainer(options, name):
        go(f"fit train.extxyz --epochs 1 --json {options} -o {name}")
        return load(files / name).trainer

    plain = trainer("--cutoff 4", "plain.ednn")
    assert (plain.weight_decay, plain.learning_rate) == (None, 2e-3)
    first = trainer(
        "--cutoff 4 --weight-decay 0.3 --lr 1e-3 --early-stopping 2 --max-seconds 50", "decay.ednn"
    )
    assert (first.weight_decay, first.learning_rate, first.early_stopping) == (0.3, 1e-3, True)
    on = trainer("--start decay.ednn", "on.ednn")
    assert (on.weight_decay, on.learning_rate) == (0.3, 1e-3)
    assert (on.early_stopping, on.validation_fraction, on.max_seconds) == (False, 0.0, None)
    off = trainer("--start decay.ednn --weight-decay 0 --lr 2e-3", "off.ednn")
    assert (off.weight_decay, off.learning_rate) == (0.0, 2e-3)
    said = go("fit train.extxyz --images --weight-decay 0.3 -o no.ednn", 1).stderr
    assert "--weight-decay is for potentials" in said
    said = go("fit train.extxyz --weight-decay -1 -o no.ednn", 2).output
    assert "--weight-decay" in said


def test_warnings_name_options_of_the_command_line(go, files, monkeypatch):
    from sk_ednn.atoms import _potential_kinds

    monkeypatch.setattr(_potential_kinds, "_UNEVEN", 0.5)
    said = go(f"fit train.extxyz {FAST} --members 2 -o p.ednn --force").stderr
    assert "With --epochs instead of --max-seconds all are" in said and "max_epochs" not in said
    other = [each.copy() for each in io.read(files / "train.extxyz", ":6")]
    for k, each in enumerate(other):
        each.info["my_energy"], each.info["your_energy"] = float(k), 2.0 * k
    io.write(files / "several.extxyz", other)
    said = go("fit several.extxyz -o no.ednn --epochs 1", 1).stderr
    assert "--labels energy=my_energy" in said and "labels={" not in said


def test_near_duplicates_of_structures_held_out_are_noted(go, files):
    atoms = labelled_atoms(10)
    for each in atoms[:10]:
        moved = each.copy()
        moved.positions += np.random.default_rng(0).normal(size=(4, 3)) * 0.01
        moved.info["parent"] = each.info["parent"] = f"{each.positions[0, 0]:.6f}"
        atoms.append(with_labels(moved))
    for k, each in enumerate(atoms):  # separates them
        each.info["number"] = f"n{k}"
    io.write(files / "pairs.extxyz", atoms)
    held = np.random.default_rng(0).permutation(20)[:4]
    expected = sum((k + 10) % 20 not in held for k in held)
    said = go("fit pairs.extxyz --epochs 1 --cutoff 4 --force -o p.ednn").stderr
    assert f"note: {expected} of 4 structures held out are within 0.1 Å of one to learn" in said
    assert "the same value in an entry of info or in a column of the table" in said
    assert "pass its name to --group. Such pairs" in said
    places = [place for _, place in read_with_places("pairs.extxyz")]
    pairs = [f"{places[k]} and {places[(k + 10) % 20]}" for k in np.sort(held)
             if (k + 10) % 20 not in held]  # fmt: skip
    named = "; ".join(pairs[:3]) + ("; ..." if len(pairs) > 3 else "")
    assert f" Such pairs: {named}\n" in said and len(pairs) == expected
    other = go("fit pairs.extxyz --epochs 1 --cutoff 4 --force -o p.ednn --group number")
    assert "pass its name to --group instead of number. Such pairs" in other.stderr
    line = "fit pairs.extxyz --epochs 1 --cutoff 4 --force -o p.ednn --group parent"
    assert "within 0.1" not in go(line).stderr
    assert "within 0.1" not in go("fit train.extxyz --epochs 1 --cutoff 4 --force -o p.ednn").stderr


def test_images_go_the_other_way_and_energies_alone_do_not(go, files):
    result = json.loads(go("fit train.extxyz --json -o i.ednn --images").stdout)
    assert result["model"] in ("components", "invariants")
    result = json.loads(go("fit energies.traj --json -o e.ednn --epochs 1 --cutoff 4").stdout)
    assert result["model"] == "spectrum" and result["labels"]["forces"]["known"] == 0
    result = json.loads(go("fit energies.traj --json -o e.ednn --epochs 1").stdout)
    assert result["model"] == "spectrum"
    result = json.loads(go(f"fit energies.traj --model deep-pot {FAST} -o d.ednn").stdout)
    assert result["model"] == "deep-pot" and result["labels"]["forces"]["known"] == 0
    result = json.loads(go("fit train.extxyz --spacing 0.5 --json -o i.ednn").stdout)
    assert result["model"] in ("components", "invariants")


def test_evaluate_prints_errors_and_the_worst_structure(go, files):
    go(f"fit train.extxyz {FAST} -o p.ednn")
    result = json.loads(go("evaluate p.ednn test.extxyz --json").stdout)
    errors = load(files / "p.ednn").errors("test.extxyz")
    assert result["errors"] == pytest.approx(errors) and result["structures"] == 4
    assert "test.extxyz, structure" in result["largest"]
    shown = go("evaluate p.ednn test.extxyz").stdout
    assert "energy (meV/atom)" in shown and "composition alone" in shown
    novelty = np.concatenate(load(files / "p.ednn").novelty("test.extxyz"))
    assert result["novelty"]["atoms"] == len(novelty)
    assert result["novelty"]["unlike"] == np.sum(novelty > 1)
    assert f"{np.sum(novelty > 1)} of {len(novelty)} atoms are unlike those of the fit" in shown
    forces = np.concatenate([a.get_forces() for a in io.read(files / "test.extxyz", ":")])
    assert result["spreads"]["force"] == pytest.approx(1e3 * np.sqrt(np.mean(forces**2)), rel=1e-6)


@pytest.mark.parametrize("options", [FAST, "--images"])
def test_evaluate_compares_with_the_totals_that_are_named(options, go, files):
    go(f"fit train.extxyz {options} --json -o m.ednn")
    predicted = np.array(json.loads(go("predict m.ednn test.extxyz --json").stdout)["y"])
    np.savetxt(files / "others.csv", predicted.ravel() + 3)
    result = json.loads(go("evaluate m.ednn test.extxyz others.csv --json").stdout)["errors"]
    # The error is 3 eV, of structures or per atom, and not that of the energies in the file.
    n_atoms = np.array([len(atoms) for atoms in io.read(files / "test.extxyz", ":")])
    expected = 3e3 * np.mean(1 / n_atoms) if "energy_mae" in result else 3
    error = result.get("energy_mae", result.get("mean"))
    assert error == pytest.approx(expected, rel=1e-4)
    shown = go("evaluate m.ednn test.extxyz others.csv").stdout
    assert "spread" in shown and ("largest error" in shown) == ("energy_mae" in result)
    np.savetxt(files / "few.csv", predicted.ravel()[:3])
    assert (
        "There are 4 structures, but few.csv contains 3 totals"
        in go("evaluate m.ednn test.extxyz few.csv", 1).output
    )


@pytest.mark.parametrize("missing", ["one energy", "all energies"])
def test_evaluate_takes_the_labels_that_are_known(missing, go, files):
    go(f"fit train.extxyz {FAST} -o p.ednn")
    structures = io.read(files / "test.extxyz", ":")
    for atoms in structures[: 1 if missing == "one energy" else None]:
        del atoms.calc.results["energy"]
    io.write(files / "part.extxyz", structures)
    shown = go("evaluate p.ednn part.extxyz").stdout
    assert "forces" in shown
    assert ("energy" in shown) == ("largest error" in shown) == (missing == "one energy")


def test_errors_of_several_totals(run, folder):
    with np.load(folder / "small.npz") as arrays:
        X, y = arrays["X"], arrays["y"]
    np.savez(folder / "two.npz", X=X, y=np.c_[y, 2 * y + X.sum(axis=(1, 2))])
    run("fit two.npz -m quadratic -o two.ednn --unit J")
    result = json.loads(run("evaluate two.ednn two.npz --json").stdout)
    assert [errors["rmse"] < 0.1 for errors in result["errors"]] == [True, True]
    assert result["spread"][0] == pytest.approx(y.std())
    shown = run("evaluate two.ednn two.npz").stdout
    assert re.search(r"^output 1, rmse: \S+ J$", shown, re.MULTILINE)
    words = "two.ednn predicts 2 total(s) for each system, but small.npz has 1."
    assert words in run("evaluate two.ednn small.npz", 1).output.replace("\n", " ")


def test_evaluate_of_fields(run):
    result = json.loads(run("evaluate model.ednn small.npz --json").stdout)
    assert result["fields"] == 200 and result["errors"]["rmse"] < 0.1
    assert result["unit"] is None


def test_errors_of_fields_have_a_unit_and_a_spread_beside_them(run, folder):
    run("fit small.npz -m quadratic -o joule.ednn --unit J")
    shown = run("evaluate joule.ednn small.npz").stdout
    with np.load(folder / "small.npz") as arrays:
        spread = arrays["y"].std()
    assert re.search(r"^rmse: \S+ J$", shown, re.MULTILINE)
    assert f"the error of their mean: {spread:.4g} J\n" in shown


def test_predictions_are_written_with_forces(go, files):
    go(f"fit train.extxyz {FAST} -o p.ednn")
    go("predict p.ednn test.extxyz -o out.extxyz")
    potential, out = load(files / "p.ednn"), io.read(files / "out.extxyz", ":")
    np.testing.assert_allclose(
        [each.get_potential_energy() for each in out], potential.predict("test.extxyz"), rtol=1e-7
    )
    np.testing.assert_allclose(
        out[1].get_forces(), potential.predict_forces("test.extxyz")[1], atol=1e-7
    )
    table = json.loads(go("predict p.ednn test.extxyz --json").stdout)["y"]
    assert table == potential.predict("test.extxyz").tolist()
    go("predict p.ednn test.extxyz -o out.npz --contributions")
    with np.load(files / "out.npz") as arrays:
        assert arrays["contributions_2"].sum() == pytest.approx(arrays["y"][2])


def test_predictions_show_sizes_deviations_and_novelty(go, files):
    go(f"fit train.extxyz {FAST} --members 2 -o two.ednn --force")
    atoms = io.read(files / "test.extxyz", ":")
    atoms[1].positions[0] = atoms[1].positions[1] + [0.9, 0, 0]
    atoms[2] = atoms[2].repeat((2, 1, 1))
    io.write(files / "new.extxyz", atoms)
    potential = load(files / "two.ednn")
    energies, std = potential.predict(atoms, return_std=True)
    novelty = potential.novelty(atoms)
    sizes, unlike = [4, 4, 8, 4], [int(np.sum(each > 1)) for each in novelty]
    assert unlike[1] > 0
    result = json.loads(go("predict two.ednn new.extxyz --json").stdout)
    assert (result["atoms"], result["unlike"]) == (sizes, unlike)
    assert result["per_atom"] == pytest.approx(energies / sizes)
    assert result["std"] == pytest.approx(std)
    assert result["novelty"] == pytest.approx([each.max() for each in novelty])
    means = [each.mean() for each in novelty]
    assert result["mean_novelty"] == pytest.approx(means)
    *lines, last, alike = go("predict two.ednn new.extxyz").stdout.splitlines()
    assert np.argmax(means) == 1
    first, second = (f"new.extxyz, structure {k} " for k in np.argsort(means)[:-3:-1])
    assert f"by the mean novelty of their atoms: {first}" in alike and second in alike
    assert alike.count("new.extxyz, structure ") == 2  # of four
    assert "least like" not in go("predict two.ednn new.extxyz@1").stdout
    differ = f"networks differ by {std[2] / 8:.2g} eV/atom"
    assert f"(8 atoms, {energies[2] / 8:.6g} eV/atom, {differ}" in lines[2]
    assert f"{unlike[1]} unlike the fit, novelty up to {novelty[1].max():.3g}" in lines[1]
    count = f"{sum(unlike)} of 20 atoms are unlike those of the fit (novelty above 1)"
    assert last.startswith(count)
    assert count in go("predict two.ednn new.extxyz -o new.csv").stdout
    with (files / "new.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["atoms"]) for row in rows] == sizes
    assert [int(row["atoms with a novelty above 1"]) for row in rows] == unlike
    assert [float(row["std over the networks (eV)"]) for row in rows] == result["std"]
    assert [float(row["per atom (eV)"]) for row in rows] == result["per_atom"]
    assert [float(row["mean novelty"]) for row in rows] == pytest.approx(means)
    assert count in go("predict two.ednn new.extxyz -o out2.extxyz").stdout
    out = io.read(files / "out2.extxyz", ":")
    assert [each.info["energy_std"] for each in out] == pytest.approx(std, rel=1e-6)
    np.testing.assert_allclose(out[2].arrays["novelty"], novelty[2], rtol=1e-6)
    expected = potential.predict_forces(atoms, return_std=True)[1][2]
    np.testing.assert_allclose(out[2].arrays["forces_std"], expected, atol=1e-7)
    refused = go("predict two.ednn new.extxyz --novelty train.extxyz", 1).stderr
    assert "the novelty of atoms is printed and written anyway" in refused


def test_a_single_network_has_no_deviation_and_images_have_no_novelty(go, files):
    go(f"fit train.extxyz {FAST} -o one.ednn")
    assert "±" not in go("predict one.ednn test.extxyz").stdout
    assert "std" not in json.loads(go("predict one.ednn test.extxyz --json").stdout)
    go("predict one.ednn test.extxyz -o o.extxyz")
    written = io.read(files / "o.extxyz")
    assert "energy_std" not in written.info and "forces_std" not in written.arrays
    go("fit train.extxyz --json -o images.ednn --images")
    shown = go("predict images.ednn test.extxyz").stdout
    assert "(4 atoms, " in shown and "eV/atom)" in shown and "novelty" not in shown


def test_labels_are_named(go):
    result = json.loads(go(f"fit named.extxyz {FAST} -o n.ednn").stdout)
    assert result["labels"]["energy"]["from"] == "REF_energy"
    labels = "--labels energy=REF_energy,forces=none,stress=none"
    result = json.loads(go(f"fit named.extxyz {FAST} {labels} -o n.ednn").stdout)
    assert result["labels"]["forces"]["known"] == 0


def without_labels(files, name, lacking):
    """Write the structures, of which some have no energy and no forces."""
    atoms = labelled_atoms(20)
    for k in lacking:
        atoms[k].calc = None
    io.write(files / name, atoms)


def test_labels_that_the_test_structures_lack_are_reported(go, files):
    held = np.sort(np.random.default_rng(0).permutation(20)[:4])
    without_labels(files, "some.extxyz", held[:1])
    result = go(f"fit some.extxyz {FAST} -o p.ednn")
    assert "Structures held out for testing: 1 of 4 structures have no energy" in result.stderr
    assert f"some.extxyz, structure {held[0]}" in result.stderr
    assert json.loads(result.stdout)["n_test"] == 4
    without_labels(files, "none.extxyz", held)
    (files / "p.ednn").unlink()
    result = go(f"fit none.extxyz {FAST} -o p.ednn", 1)
    assert "error: Structures held out for testing: none.extxyz, structure" in result.stderr
    assert "The 4 structures have no energies" in result.stderr
    assert "--test-fraction 0" in result.stderr and not (files / "p.ednn").exists()
    assert json.loads(go(f"fit none.extxyz {FAST} --test-fraction 0 -o p.ednn").stdout)


def test_doubtful_labels_of_the_test_structures_are_named(go, files):
    """Their errors would otherwise be taken for those of the potential."""
    atoms = labelled_atoms(20)
    held = np.sort(np.random.default_rng(0).permutation(20)[:4])
    for k in held:
        atoms[k].calc.results["forces"] += 1.0
    io.write(files / "net.extxyz", atoms)
    errors = go(f"fit net.extxyz {FAST} -o net.ednn").stderr
    assert "Structures held out for testing: The forces of 4 structure(s) do not add up" in errors
    assert f"net.extxyz, structure {held[0]} (line {1 + 6 * held[0]})" in errors
    assert errors.count("do not add up") == 1


def test_settings_go_round(go, files):
    one = json.loads(go(f"fit train.extxyz {FAST} -o a.ednn --save-config s.yaml").stdout)
    two = json.loads(go("fit --config s.yaml --json -o b.ednn").stdout)
    assert two["model"] == one["model"] and two["test"] == one["test"]
    assert (files / "a.ednn").read_bytes() != b"" and load(files / "b.ednn").cutoff == 4.0


def test_training_goes_on_from_a_model(go, files):
    go(f"fit train.extxyz {FAST} -o p.ednn")
    result = json.loads(go("fit test.extxyz --start p.ednn --epochs 1 --json -o q.ednn").stdout)
    assert result["epochs"] == 1 and load(files / "q.ednn").cutoff == 4.0


def test_structures_relax_and_move(go, files):
    go("fit train.extxyz --epochs 10 --cutoff 4 --json -o p.ednn")
    result = json.loads(go("relax p.ednn test.extxyz@0 -o r.extxyz --steps 5 --json").stdout)
    (one,) = result["structures"]
    before = load(files / "p.ednn").predict("test.extxyz")[0]
    assert one["initial_energy"] == pytest.approx(before) and one["energy"] < before
    assert io.read(files / "r.extxyz").get_forces().shape == (4, 3)
    go("relax p.ednn test.extxyz@0 -o r.extxyz", 1)  # it is there
    line = "md p.ednn test.extxyz@0 --steps 6 --interval 3 --timestep 0.1 --force"
    several = "md p.ednn test.extxyz -o several.traj"
    assert "test.extxyz contains 4. Select one, such as test.extxyz@0" in go(several, 1).stderr
    for ensemble in ("nve", "nvt", "npt"):
        result = json.loads(go(f"{line} --ensemble {ensemble} --json -o md.extxyz").stdout)
        energies = [each["energy"] for each in (result["first"], result["last"])]
        assert result["frames"] == 3 and result["last"]["step"] == 6
        frames = io.read(files / "md.extxyz", ":")
        assert len(frames) == 3 and "pressure" in result["last"]
        of_frames = [frames[k].get_potential_energy() for k in (0, -1)]
        assert of_frames == pytest.approx(energies)
        temperatures = [frame.get_temperature() for frame in frames]
        assert result["mean_temperature"] == pytest.approx(np.mean(temperatures[1:]), rel=1e-3)
        assert result["means_from_step"] == 3
    assert "temp" not in go(f"{line} --repeat 2,1,1 -o md.traj -q").stderr
    assert len(io.read(files / "md.traj@0")) == 8
    assert "must be one of nve" in go(f"{line} --ensemble mtk", 1).output


@pytest.mark.parametrize("ensemble", ["nve", "nvt", "npt"])
@pytest.mark.parametrize("ending", ["extxyz", "traj"])
def test_the_pressure_of_dynamics_has_the_kinetic_part(go, files, ensemble, ending):
    go("fit train.extxyz --epochs 1 --cutoff 4 --json -o p.ednn")
    line = f"md p.ednn test.extxyz@0 --steps 5 --interval 1 --timestep 0.2 --temperature 900 " \
        f"--ensemble {ensemble} --force -o m.{ending}"  # fmt: skip
    result = json.loads(go(f"{line} --json").stdout)
    pressures = []
    for frame in io.read(files / f"m.{ending}", ":"):
        virial = -frame.get_stress()[:3].mean()
        kinetic = len(frame) * units.kB * frame.get_temperature() / frame.get_volume()
        assert kinetic / units.GPa > 1e-2  # far above the tolerance
        pressures.append((virial + kinetic) / units.GPa)
        whole = -frame.get_stress(include_ideal_gas=True)[:3].mean() / units.GPa
        assert pressures[-1] == pytest.approx(whole, rel=1e-9)
    assert result["first"]["pressure"] == pytest.approx(pressures[0], abs=1e-4)
    assert result["last"]["pressure"] == pytest.approx(pressures[-1], abs=1e-4)
    assert result["mean_pressure"] == pytest.approx(np.mean(pressures[3:]), abs=1e-4)
    shown = go(line)
    column = [float(row.split()[-1]) for row in shown.stderr.splitlines()[1:]]
    assert column == pytest.approx(pressures, rel=1e-4, abs=1e-4)
    words = f"over the second half, from step 3 on: mean temperature ({NUMBER}) K, mean pressure "
    found = re.search(f"{words}({NUMBER}) GPa with the kinetic part\n", shown.stdout)
    expected = [result["mean_temperature"], result["mean_pressure"]]
    assert [float(each) for each in found.groups()] == pytest.approx(expected, rel=1e-3)
    energies = [frame.get_potential_energy() / 4 for frame in io.read(files / f"m.{ending}", "3:")]
    words = f"mean potential energy there ({NUMBER}) eV/atom, standard deviation over the frames "
    found = re.search(f"\n{words}({NUMBER}); they are too few for an error", shown.stdout)
    expected = [np.mean(energies), np.std(energies)]
    assert [float(each) for each in found.groups()] == pytest.approx(expected, rel=0.05, abs=1e-4)
    is_said = "--ensemble npt lets the volume change" in shown.stdout
    assert is_said == (ensemble != "npt" and abs(result["mean_pressure"]) >= 0.1)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_means_of_dynamics_are_those_of_the_second_half(n):
    from sk_ednn.cli._simulate import means

    rows = [{"step": 10 * k, "temperature": float(k**2), "energy": -1.0 * k} for k in range(n)]
    half = [row for row in rows if row["step"] >= rows[-1]["step"] / 2]
    expected = np.mean([row["temperature"] for row in half])
    energies = [row["energy"] / 4 for row in half]
    assert means(rows, 4) == {
        "means_from_step": half[0]["step"],
        "mean_temperature": expected,
        "mean_energy": pytest.approx(np.mean(energies)),
        "energy_deviation": pytest.approx(np.std(energies)),
        "mean_energy_error": None,  # eight frames are the fewest
    }
    for row in rows:
        row["pressure"] = 3.0 - row["temperature"]
    assert means(rows, 4)["mean_pressure"] == pytest.approx(3.0 - expected)


@pytest.mark.parametrize("command", ["relax", "md"])
def test_simulations_end_with_what_predict_says_of_their_last_structure(
    go, files, calibrated, command
):
    line = f"{command} sure.ednn test.extxyz@0 --steps 2 -o end.traj --force"
    line += " --interval 1" if command == "md" else ""
    *_, last, basis, novelty, _ = go(line).stdout.splitlines()
    predicted = go("predict sure.ednn end.traj@-1").stdout.splitlines()
    assert [basis, novelty] == predicted[1:]  # of one structure, none is named as least alike
    label, _, words = last.partition(": ")
    assert label == {"relax": "final structure", "md": "last frame"}[command]
    assert predicted[0].endswith(words) and "90 % within ±" in words
    result = json.loads(go(f"{line} --json").stdout)
    end = result["structures"][0] if command == "relax" else result["last"]
    of_predict = json.loads(go("predict sure.ednn end.traj@-1 --json").stdout)
    assert end["half_width"] == pytest.approx(of_predict["half_width"][0], rel=1e-3)
    assert end["unlike"] == of_predict["unlike"][0]
    assert result["trust"][-2] == of_predict["interval"]


# Fits, and what is doubted of the forces of their models.
FORCES = {
    "energies alone": ("fit energies.traj --epochs 1 --cutoff 4", "learned no forces"),
    "all learned from": (
        "fit train.extxyz --epochs 1 --cutoff 4 --test-fraction 0", "were not compared",
    ),
    "some held out": ("fit train.extxyz --epochs 1 --cutoff 4", None),
    "images": ("fit train.extxyz --images", "learned no forces"),
    "images with forces": ("fit train.extxyz --images --forces", "were not compared"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORCES)
def test_simulations_doubt_forces_that_were_not_learned_or_tested_before_they_begin(go, name):
    fit, words = FORCES[name]
    go(f"{fit} -o doubtful.ednn --force --json")
    for line in ("relax doubtful.ednn test.extxyz@0", "md doubtful.ednn test.extxyz@0"):
        go_on = f"{line} --steps 1 -o end.traj --force"
        result = go(go_on)
        notes = [row for row in result.stderr.splitlines() if row.startswith("note: ")]
        doubts = [row.removeprefix("note: ") for row in notes if "forces" in row]
        assert len(doubts) == (words is not None)
        if words is not None:
            assert words in doubts[0] and "doubtful.ednn" in doubts[0]
            assert result.stderr.splitlines()[0] == f"note: {doubts[0]}"
        assert json.loads(go(f"{go_on} --json").stdout).get("forces") == next(iter(doubts), None)


def test_models_of_images_say_at_the_end_what_they_know(go, files):
    go("fit train.extxyz --images --test-fraction 0.5 --json -o images.ednn")
    line = "relax images.ednn test.extxyz@:2 --steps 1 -o end.traj --force"
    *rest, basis, _ = go(line).stdout.splitlines()
    *predicted, of_predict = go("predict images.ednn end.traj").stdout.splitlines()
    assert basis == of_predict and basis.startswith("intervals of 90 %: from the errors of 10 ")
    finals = [text.partition(": ")[2] for text in rest if text.startswith("final structure: ")]
    assert len(finals) == len(predicted) == 2
    assert all(of.endswith(text) for of, text in zip(predicted, finals, strict=True))


NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def test_a_relaxation_shows_its_steps_and_what_it_gained(go, files):
    go("fit train.extxyz --epochs 10 --cutoff 4 --json -o p.ednn")
    line = "relax p.ednn test.extxyz@0 -o r.extxyz --force --fmax 1e-6 --steps"
    shown = go(f"{line} 5")
    title, *rows = shown.stderr.splitlines()
    assert title.split() == ["step", "energy", "(eV)", "fmax", "(eV/Å)"]
    of_cells = go(f"{line} 1 --cell").stderr.splitlines()[0]
    assert of_cells.split() == [*title.split(), "smax", "(GPa)"]
    steps = [[float(cell) for cell in row.split()] for row in rows]
    assert [row[0] for row in steps] == [0, 1, 2, 3, 4, 5]
    end, *_, written = shown.stdout.splitlines()
    assert written == "written to r.extxyz"
    words = f"not relaxed yet after 5 steps: ({NUMBER}) to ({NUMBER}) eV, a change of ({NUMBER}) eV"
    words += f" or ({NUMBER}) meV/atom; largest force ({NUMBER}) eV/Å"
    found = [float(group) for group in re.fullmatch(words, end).groups()]
    first, last, change, per_atom, largest = found
    assert [first, last] == [steps[0][1], steps[-1][1]]
    assert change == pytest.approx(last - first, abs=2e-4)
    assert per_atom == pytest.approx(1e3 * change / 4, rel=2e-3)
    assert largest == pytest.approx(steps[-1][2], rel=1e-2)
    assert not go(f"{line} 1 -q").stderr
    assert go(f"{line} 1 --fmax 1e6").stdout.startswith("relaxed after 0 steps")


def test_structures_of_a_file_are_relaxed_one_after_the_other(go, files):
    go("fit train.extxyz --epochs 3 --cutoff 4 --json -o p.ednn")
    line = "relax p.ednn test.extxyz{} --steps 2 --fmax 1e-6 --cell --force"
    *lines, basis, novelty, written = go(f"{line.format('')} -o all.extxyz").stdout.splitlines()
    assert basis.startswith("no intervals") and " of 16 atoms are unlike" in novelty
    places = [place for _, place in read_with_places("test.extxyz")]
    named, cells, finals = lines[::3], lines[1::3], lines[2::3]
    assert all(text.startswith("final structure: ") for text in finals) and len(finals) == 4
    assert [text.partition(": not relaxed yet after 2 steps: ")[0] for text in named] == places
    assert all(text.startswith("cell: ") for text in cells) and written == "written to all.extxyz"
    results = json.loads(go(f"{line.format('')} -o all.extxyz --json").stdout)["structures"]
    frames = io.read(files / "all.extxyz", ":")
    energies = [frame.get_potential_energy() for frame in frames]
    assert energies == pytest.approx([each["energy"] for each in results])
    alone = json.loads(go(f"{line.format('@2')} -o r.extxyz --json").stdout)["structures"]
    assert alone[0]["energy"] == pytest.approx(results[2]["energy"], abs=1e-6)


def test_structures_that_cannot_be_relaxed_are_refused_before_the_others(go, files):
    go("fit train.extxyz --epochs 1 --cutoff 4 --json -o p.ednn")
    foreign = labelled_atoms(2)
    foreign[1].symbols[0] = "Pu"
    io.write(files / "foreign.extxyz", foreign)
    isolated = labelled_atoms(2)
    isolated[1].pbc = False
    io.write(files / "isolated.extxyz", isolated)
    line = "relax p.ednn {} --cell -o refused.extxyz"
    for name, words in (("foreign", "Pu"), ("isolated", "The cell cannot be relaxed")):
        shown = go(line.format(f"{name}.extxyz"), 1)
        place = read_with_places(f"{name}.extxyz")[1][1]
        assert f"error: {place}: " in shown.stderr and words in shown.stderr
        assert not shown.stdout and not (files / "refused.extxyz").exists()
    line = "relax p.ednn test.extxyz -o POSCAR"
    assert "the format vasp has room for a single structure" in go(line, 1).stderr


def test_ctrl_c_keeps_what_was_relaxed(go, files, monkeypatch):
    from ase.optimize import BFGS

    go("fit train.extxyz --epochs 1 --cutoff 4 --json -o p.ednn")
    step, seen = BFGS.step, []

    def interrupted(optimizer, *args):
        seen.append(optimizer)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)
        return step(optimizer, *args)

    monkeypatch.setattr(BFGS, "step", interrupted)
    line = "relax p.ednn test.extxyz --steps 3 --fmax 1e-6 -o stopped.extxyz"
    shown = go(line, 130)
    words = "1 of 4 structures, and the last step of the next, were written to stopped.extxyz"
    assert words in shown.stderr
    assert len(io.read(files / "stopped.extxyz", ":")) == 2


def test_cells_are_relaxed_along_periodic_directions_only(go, files):
    go("fit train.extxyz --epochs 1 --cutoff 4 --json -o p.ednn")
    pair = Atoms("Si2", [[0, 0, 0], [0, 0, 2.4]])
    slab = bulk("Si", "sc", a=2.6).repeat((2, 2, 1))
    slab.pbc, slab.cell[2] = (True, True, False), [0, 0, 9]
    rotated = slab.copy()
    rotated.rotate(30, "x", rotate_cell=True)
    wire = Atoms("Si", cell=[[0, 0, 0], [0, 0, 0], [0, 0, 2.6]], pbc=(0, 0, 1))
    for name, structure in (("pair", pair), ("slab", slab), ("rotated", rotated), ("wire", wire)):
        io.write(files / f"{name}.extxyz", structure)
    relax, md = (
        "relax p.ednn {}.extxyz -o r.extxyz --force",
        "md p.ednn {}.extxyz -o m.traj --force",
    )
    go(f"{relax} --cell --steps 3".format("slab"))
    cell = io.read(files / "r.extxyz").cell.array
    np.testing.assert_array_equal(cell[2], [0, 0, 9])
    np.testing.assert_array_equal(cell[:, 2], [0, 0, 9])
    assert not np.array_equal(cell[:2, :2], slab.cell.array[:2, :2])
    for line, name, words in (
        (f"{relax} --cell", "pair", "has 0 lattice vector(s) and pbc [False, False, False]"),
        (f"{relax} --cell", "wire", "has 1 lattice vector(s) and pbc [False, False, True]"),
        (f"{relax} --cell", "rotated", "oblique to x, y and z"),
        (f"{md} --ensemble npt", "slab", "npt needs a structure that repeats along all"),
        (f"{md} --ensemble npt", "wire", "Use nvt"),
        (f"{md} --repeat 2", "wire", "--repeat 2 along lattice vector a, which is zero"),
        (f"{relax} --repeat 1,1,2", "pair", "--repeat 2 along lattice vector c, which is zero"),
    ):  # fmt: skip
        errors = go(line.format(name), 1).stderr.splitlines()
        assert words in errors[-1] and errors[-1].startswith("error: ")
    go(f"{relax} --repeat 1,1,2 --steps 1".format("wire"))
    assert len(io.read(files / "r.extxyz")) == 2


def test_a_relaxed_cell_and_its_stress_are_told(go, files):
    go("fit train.extxyz --epochs 3 --cutoff 4 --json -o p.ednn")
    line = "relax p.ednn test.extxyz@0 --steps 4 -o cell.extxyz --force"
    (result,) = json.loads(go(f"{line} --cell --json").stdout)["structures"]
    relaxed = io.read(files / "cell.extxyz")
    assert result["cell"] == pytest.approx(relaxed.cell.cellpar(), abs=1e-5)
    assert result["stress"] == pytest.approx(relaxed.get_stress() / units.GPa, abs=1e-5)
    _, second, *_ = go(f"{line} --cell").stdout.splitlines()
    assert f"cell: {result['cell'][0]:.6g}, {result['cell'][1]:.6g}, " in second
    assert second.endswith(" GPa") and "remaining stress (xx, yy, zz, yz, xz, xy): " in second
    assert "cell: " not in go(line).stdout
    (fixed,) = json.loads(go(f"{line} --json").stdout)["structures"]
    assert fixed["cell"] == pytest.approx(io.read(files / "test.extxyz@0").cell.cellpar())


@pytest.mark.parametrize(("error", "shown"), [("5.13e-13", False), ("2e-09", False), ("0.1", True)])
def test_only_round_off_of_the_logarithm_of_strain_is_silent(error, shown, monkeypatch):
    import warnings

    from ase.calculators.emt import EMT
    from ase.optimize import BFGS

    from sk_ednn.atoms import _dynamics

    def irun(optimizer, **kwargs):
        warnings.warn(
            f"logm result may be inaccurate, approximate err = {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return [True]

    monkeypatch.setattr(BFGS, "irun", irun)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        _dynamics.relax(bulk("Cu"), EMT(), cell=True)
    assert bool([each for each in seen if "logm" in str(each.message)]) == shown


def test_cells_relax_until_forces_and_the_stress_are_small():
    from ase.calculators.emt import EMT

    from sk_ednn.atoms._dynamics import relax

    ends = []
    for smax in (0.02, 0.5):
        atoms = bulk("Cu", a=3.5, cubic=True)
        atoms.rattle(0.05, seed=0)
        rows = []
        done = relax(atoms, EMT(), fmax=0.01, smax=smax, cell=True, record=rows.append)
        stress = np.abs(atoms.get_stress()).max() / units.GPa
        assert done.converged and done.largest_force <= 0.01 and stress <= smax
        # It stops as soon as both are small, and not later.
        small = [row["fmax"] <= 0.01 and row["smax"] <= smax for row in rows]
        assert small.index(True) == len(small) - 1 == done.steps
        ends.append(done.steps)
    assert ends[0] > ends[1]
    short = relax(bulk("Cu", a=3.5, cubic=True), EMT(), fmax=0.01, steps=0, cell=True)
    assert not short.converged and short.largest_force < 0.01  # by its stress alone
    film = bulk("Cu", a=3.5, cubic=True)
    film.pbc = [True, True, False]  # the stress across it does not count
    done = relax(film, EMT(), fmax=0.01, cell=True)
    assert done.converged and film.cell[2, 2] == 3.5 and abs(done.stress[0]) <= 0.02


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("a.foo", "md", "no format that ASE writes"),
        ("a.out", "md", "no format that ASE writes"),
        ("POSCAR", "md", "the format vasp has room for a single structure"),
        ("a.foo", "relax", "no format that ASE writes"),
    ],
)
def test_a_format_that_cannot_be_written_is_refused_before_the_work(name, line, message, go, files):
    (files / "unread.ednn").write_bytes(b"not a model")
    assert message in go(f"{line} unread.ednn test.extxyz@0 -o {name}", 1).stderr


def test_frames_outlive_ctrl_c(go, files, monkeypatch):
    from ase.calculators.calculator import Calculator

    go("fit train.extxyz --epochs 1 --cutoff 4 --json -o short.ednn")
    calculate, n_calls = Calculator.calculate, 0

    def pressed(calculator, *args, **kwargs):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:  # in the second step
            signal.raise_signal(signal.SIGINT)
        return calculate(calculator, *args, **kwargs)

    monkeypatch.setattr(Calculator, "calculate", pressed)
    line = "md short.ednn test.extxyz@0 --steps 9 --interval 1 --timestep 0.1 -q -o half.extxyz"
    assert "the 2 frames so far were written to half.extxyz" in go(line, 130).stderr
    assert len(io.read(files / "half.extxyz", ":")) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fit small.npz --model spectrum", "is for structures of atoms"),
        ("fit small.npz --cutoff 3", "--cutoff is for structures of atoms"),
        ("fit train.extxyz --images --cutoff 3", "--cutoff is for potentials"),
        ("fit train.extxyz --images --model deep-pot", "--images is for models of fields"),
        ("fit train.extxyz --model spectrum --spacing 0.3", "--spacing is for --images"),
        ("fit train.extxyz --labels charge=q", "--labels must be such as energy="),
        ("fit train.extxyz --epochs 1 --labels energy=mp2", "No structure has 'mp2'"),
        (
            "fit train.extxyz --epochs 1 --start model.ednn -o x.ednn",
            "--start must be a file of a potential",
        ),
        ("fit train.extxyz --start p.ednn --cutoff 4", "--cutoff is decided by the potential"),
        ("fit train.extxyz --start p.ednn --repulsion", "--repulsion is decided by the potential"),
        ("fit train.extxyz --start p.ednn --model spectrum", "--model is decided by the potential"),
        ("fit train.extxyz --epochs 1 --unit J", "--unit J: potentials learn energies in eV"),
        ("fit train.extxyz --epochs 1 --group kind", "20 of 20 structures have no 'kind', the fir"),
        ("fit train.extxyz --epochs 1 --group file", "all 20 structures are of one, 'train.extxyz"),
        ("fit train.extxyz --epochs 1 --errors e.txt", "--errors must end in .csv, got e.txt"),
        ("fit train.extxyz --epochs 1 --jobs 2", "--jobs 2 has no effect on potentials"),
        ("fit train.extxyz --model deep-pot --jobs -1", "--jobs -1 has no effect on potentials"),
        ("fit train.extxyz --images --group file", "--group is for potentials"),
        ("fit train.extxyz --epochs 1 --errors-by kind", "20 of 20 structures have no 'kind', the"),
        ("fit small.npz --errors-by file", "--errors-by is for structures of atoms"),
        ("evaluate model.ednn small.npz --errors-by file", "--errors-by is for potentials"),
        ("fit small.npz --group file", "--group is for structures of atoms"),
        ("evaluate model.ednn small.npz --errors e.csv", "--errors is for potentials"),
        ("evaluate p.ednn train.extxyz --errors train.extxyz", "--errors must end in .csv"),
        ("fit small.npz --repulsion", "--repulsion is for structures of atoms"),
        ("fit train.extxyz --images --repulsion", "--repulsion is for potentials"),
        ("fit small.npz --screening", "--screening is for structures of atoms"),
        ("fit train.extxyz --images --screening", "--screening is for potentials"),
        ("fit train.extxyz --model deep-pot --screening", "--screening is for the network of"),
        ("fit train.extxyz --start p.ednn --screening", "--screening is decided by the potential"),
        ("evaluate model.ednn train.extxyz", "was fitted to arrays of fields"),
        ("evaluate p.ednn small.npz", "p.ednn is a model of structures, but small.npz is not"),
        ("relax p.ednn train.extxyz@0 --fmax nan", "--fmax must be a positive number; got nan"),
        ("relax p.ednn train.extxyz@0 --fmax -1", "--fmax must be a positive number; got -1.0"),
        ("relax p.ednn train.extxyz@0 --cell --smax 0", "--smax must be a positive number; got 0"),
        ("relax p.ednn train.extxyz@0 --smax 0.1", "add --cell, or leave it out"),
        ("md p.ednn train.extxyz@0 --timestep 0", "--timestep must be a positive number"),
        ("md p.ednn train.extxyz@0 --pressure 5", "--pressure is for --ensemble npt"),
        ("md p.ednn train.extxyz@0 --ensemble npt --pressure inf", "--pressure must be a finite"),
        ("md p.ednn train.extxyz@0 --temperature inf", "--temperature must be a finite number"),
        ("md p.ednn train.extxyz@0 --ensemble npt --temperature 0", "must be positive for --ens"),
        ("relax model.ednn train.extxyz@0", "was fitted to arrays of fields"),
    ],
)
def test_what_does_not_go_together_is_refused(line, message, go, files, folder):
    for name in ("small.npz", "model.ednn"):
        (files / name).write_bytes((folder / name).read_bytes())
    if "p.ednn" in line and not (files / "p.ednn").exists():
        go(f"fit train.extxyz {FAST} -o p.ednn")
    result = go(line, 1)
    assert message in result.output
    assert result.output.strip().splitlines()[-1].startswith("error: ")


def test_warnings_name_the_line_of_the_file(go, files):
    atoms = labelled_atoms(20)
    missing = 8
    atoms[missing].calc.results.pop("forces")
    io.write(files / "gap.extxyz", atoms)
    result = go(f"fit gap.extxyz {FAST} -o gap.ednn")
    line = 1 + 6 * missing
    train = missing in np.sort(np.random.default_rng(0).permutation(20)[4:])
    assert train and f"gap.extxyz, structure {missing} (line {line})" in result.stderr
    result = go("predict gap.ednn nowhere.extxyz -o out.extxyz", 1)
    assert "nowhere.extxyz does not exist" in result.stderr


def test_members_are_averaged_recorded_and_continued(go, files, tmp_path):
    folder = tmp_path / "members"
    result = json.loads(
        go(f"fit train.extxyz {FAST} --members 2 -o two.ednn --run {folder}").stdout
    )
    assert result["epochs"] == 4
    potential = load(files / "two.ednn")
    assert potential.predict("test.extxyz", return_std=True)[1].min() > 0
    (table,) = folder.glob("*/predictions.csv")
    with table.open(encoding="utf-8") as file:
        structures = [row["structure"] for row in csv.DictReader(file)]
    assert sorted(structures) == sorted(place for _, place in read_with_places("train.extxyz"))
    (metrics,) = folder.glob("*/metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    rows = [line for line in lines if "progress" in line]
    assert [row["progress"] for row in rows] == [0.25, 0.5, 0.75, 1.0]
    assert ["loss" in row for row in rows] == ["loss_2" not in row for row in rows]
    assert not list(folder.rglob("*.ckpt"))
    go("fit train.extxyz --epochs 2 --start two.ednn -o more.ednn")
    assert load(files / "more.ednn").n_members == 2
    go(f"fit train.extxyz {FAST} --repulsion -o repelled.ednn")
    repelled = load(files / "repelled.ednn")
    assert repelled.potential_.repulsion is True and not potential.repulsion
    go(f"fit train.extxyz {FAST} --screening -o screened.ednn")
    screened = load(files / "screened.ednn").potential_.network
    assert screened.params["screening"] is True
    refused = go("fit train.extxyz --start two.ednn --members 3 -o no.ednn", expected=1)
    assert "--members must be that of --start two.ednn, which is 2" in refused.stderr
    assert (
        "--members is for potentials"
        in go("fit train.extxyz --images --members 2 -o no.ednn", expected=1).stderr
    )


@pytest.fixture(scope="module")
def calibrated(files):
    """Fit two networks from which 24 structures are held out."""
    from sk_ednn.cli import main

    io.write(files / "many.extxyz", labelled_atoms(60, seed=2))
    line = f"fit {files}/many.extxyz --epochs 2 --cutoff 4 --members 2 --test-fraction 0.4 -q"
    assert main([*line.split(), "-o", str(files / "sure.ednn"), "--force"]) == 0
    return load(files / "sure.ednn")


def test_a_fit_stores_errors_from_which_predict_makes_intervals(go, files, calibrated):
    new = io.read(files / "test.extxyz", ":")
    new[1] = new[1].repeat((2, 1, 1))
    io.write(files / "unseen.extxyz", new)
    energies, half = calibrated.predict_interval(new)
    factor = calibrated.std_factors["energy"]
    result = json.loads(go("predict sure.ednn unseen.extxyz --json").stdout)
    assert result["half_width"] == pytest.approx(half)
    std = factor * calibrated.predict(new, return_std=True)[1]
    assert result["std"] == pytest.approx(std)
    shown = go("predict sure.ednn unseen.extxyz").stdout
    line = shown.splitlines()[1]
    energy, per_atom = rounded(energies[1], half[1]), rounded(energies[1] / 8, half[1] / 8)
    assert f"{energy} eV  (8 atoms, {per_atom} eV/atom" in line
    assert f"(90 % within ± {half[1]:.2g} eV, {half[1] / 8:.2g} eV/atom)" in line
    # One ± in a line, with its units.
    assert line.count("±") == 1 and "networks" not in line
    words = "intervals of 90 %: from the errors of 24 structures held out of the training"
    assert words in shown and words in result["interval"]
    assert "Novelty: how far" in shown
    go("predict sure.ednn unseen.extxyz -o sure.csv")
    with (files / "sure.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["total plus or minus (90 %) (eV)"]) for row in rows] == pytest.approx(
        half, rel=1e-5
    )
    sizes = [len(each) for each in new]
    assert [float(row["per atom plus or minus (90 %) (eV)"]) for row in rows] == pytest.approx(
        np.divide(half, sizes), rel=1e-5
    )
    scaled = "std over the networks scaled to errors held out (eV)"
    assert [float(row[scaled]) for row in rows] == pytest.approx(std)
    assert result["std_factor"] == pytest.approx(factor)
    assert words in go("predict sure.ednn unseen.extxyz -o sure.extxyz").stdout
    out = io.read(files / "sure.extxyz", ":")
    assert [each.info["energy_half_width"] for each in out] == pytest.approx(half, rel=1e-6)
    assert [each.info["energy_std"] for each in out] == pytest.approx(std, rel=1e-6)


def test_it_is_said_which_intervals_are_wider_since_all_cells_held_out_were_thin(
    go, files, calibrated
):
    go("fit many.extxyz --epochs 1 --cutoff 6 --test-fraction 0.4 --force --json -o thin.ednn")
    thin = io.read(files / "test.extxyz", ":2")
    wide = [with_labels(each.repeat(2)) for each in thin]
    io.write(files / "wide.extxyz", [*thin, *wide])
    for command, rest in {
        "predict": "", "evaluate": "", "relax": " --steps 1 -o wide_relaxed.extxyz --force",
    }.items():  # fmt: skip
        shown = go(f"{command} thin.ednn wide.extxyz{rest}").stdout
        words = "doubled for 2 structures: cells held out were thinner than twice the cutoff"
        assert words in shown
        assert "doubled" not in go(f"{command} thin.ednn test.extxyz@:2{rest}").stdout
        assert "doubled" not in go(f"{command} sure.ednn test.extxyz{rest}").stdout


@pytest.mark.parametrize("by", ["interval", "novelty"])
def test_predictions_are_sorted_by_trust(go, files, calibrated, by):
    atoms = io.read(files / "test.extxyz", ":")
    columns = {"interval": "half_width_per_atom", "novelty": "mean_novelty"}
    known = json.loads(go("predict sure.ednn test.extxyz --json").stdout)[columns[by]]
    order = sorted(range(len(atoms)), key=lambda k: -round(known[k], 9))
    assert order != sorted(order)
    shown = go(f"predict sure.ednn test.extxyz --sort {by} -q").stdout.splitlines()
    places = [place for _, place in read_with_places("test.extxyz")]
    for line, k in zip(shown, order, strict=False):
        assert line.startswith(f"{places[k]}  ")
    go(f"predict sure.ednn test.extxyz --sort {by} -o sorted.csv")
    go("predict sure.ednn test.extxyz -o plain.csv")
    rows, plain = (
        list(csv.DictReader((files / name).read_text(encoding="utf-8").splitlines()))
        for name in ("sorted.csv", "plain.csv")
    )
    assert rows == [plain[k] for k in order]
    for more, words in {"--json": "leave it out", "-o a.npz": "leave it out"}.items():
        assert words in go(f"predict sure.ednn test.extxyz --sort {by} {more}", 1).stderr
    assert "must be interval or novelty" in go("predict sure.ednn test.extxyz --sort x", 1).stderr


def test_intervals_of_large_cells_are_announced_by_fit_and_explained_by_predict(
    go, files, calibrated
):
    line = "fit many.extxyz --epochs 1 --cutoff 6 --test-fraction 0.4 --force -q -o thin.ednn"
    said = go(line).stdout
    announced = re.search(r"± ([\d.]+) meV/atom in the median, ± ([\d.]+) for their", said)
    assert "the 2 worst of these 24 set the width of all intervals: hold out 40" in said
    held = np.sort(np.random.default_rng(0).permutation(60)[:24])
    atoms = io.read(files / "many.extxyz", ":")
    large = [atoms[k].repeat(2) for k in held]
    io.write(files / "large.extxyz", large)
    said = go("predict thin.ednn large.extxyz")
    half = load(files / "thin.ednn").predict_interval(large)[1] / [len(each) for each in large]
    usual, median = (float(number) for number in announced.groups())
    assert median == pytest.approx(1e3 * np.median(half), rel=0.01) and median > 1.9 * usual
    expected = f"Intervals are ± {1e3 * np.median(half):.3g} meV/atom in the median here, and ± "
    assert f"{expected}{announced[1]} for those held out: 2 times as wide for 24" in said.stdout
    # A single network ranks nothing but by novelty: most are equal.
    assert "note: Intervals are equal per atom for " in said.stderr
    assert "Few errors were held out: the 2 worst of these 24" in said.stderr
    assert "note" not in go("predict thin.ednn large.extxyz --json").stderr
    small = [atoms[k] for k in held]
    io.write(files / "small.extxyz", small)
    assert "in the median here" not in go("predict thin.ednn small.extxyz").stdout


def test_it_is_said_where_there_are_no_intervals(go, files):
    said = go(f"fit train.extxyz {FAST} --test-fraction 0 -o none.ednn --force").stdout
    assert "interval" not in json.loads(said)
    said = go("predict none.ednn test.extxyz")
    assert "no intervals: the model file has no errors of structures held out" in said.stderr
    assert "±" not in said.stdout
    said = go(f"fit train.extxyz {FAST} -o few.ednn --force").stdout
    words = "no intervals: 4 structures were held out of the training, and 90 % needs 9"
    assert json.loads(said)["interval"]["words"] == words
    assert words in go("predict few.ednn test.extxyz").stderr
    assert words not in go("predict few.ednn test.extxyz -q").stderr


def test_images_count_atoms_in_the_fit_and_in_predictions(go, files, calibrated):
    """The sizes of errors held out and those of new structures are numbers of atoms."""
    go("fit many.extxyz --images --test-fraction 0.4 --spacing 0.5 -o images.ednn --json --force")
    assert set(load(files / "images.ednn")[-1].held_out_.sizes) == {4.0}
    one, two = io.read(files / "test.extxyz", ":2")
    io.write(files / "sizes.extxyz", [one, two, one.repeat((2, 1, 1))])
    result = json.loads(go("predict images.ednn sizes.extxyz --json").stdout)
    first, second, double = result["half_width"]
    assert first == second and double == pytest.approx(2 * first)


def test_evaluate_says_how_many_energies_are_in_their_intervals(go, files, calibrated):
    line = "evaluate sure.ednn many.extxyz"
    result = json.loads(go(f"{line} --errors many.csv --json").stdout)
    atoms = io.read(files / "many.extxyz", ":")
    order = np.random.default_rng(0).permutation(60)
    held = np.isin(np.arange(60), order[:24])
    energies, half = calibrated.predict_interval(atoms)
    off = energies - [each.get_potential_energy() for each in atoms]
    # By the quantile of the errors that they were made from, one of which is at the end of its own.
    assert np.sum((abs(off) <= 1.001 * half)[held]) == 23
    found = result["interval"]
    assert (found["known"], found["own"], found["inside"], found["level"]) == (0, 24, 0, 0.9)
    assert "those of 24 of these structures, so they are not counted" in go(line).stdout
    with (files / "many.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    column = [float(row["energy plus or minus 90 % (meV/atom)"]) for row in rows]
    np.testing.assert_allclose(column, 1e3 * half / 4, rtol=1e-5)
    errors = [float(row["predicted minus true energy (meV/atom)"]) for row in rows]
    np.testing.assert_allclose(errors, 1e3 * off / 4, rtol=1e-3, atol=1e-3)
    std = calibrated.std_factors["energy"] * calibrated.predict(atoms, return_std=True)[1]
    column = [
        float(row["energy std over the networks scaled to errors held out (meV/atom)"])
        for row in rows
    ]
    np.testing.assert_allclose(column, 1e3 * std / 4, rtol=1e-3)
    assert not any("," in name for name in rows[0])
    novelty = [each.max() for each in calibrated.novelty(atoms)]
    np.testing.assert_allclose([float(row["largest novelty"]) for row in rows], novelty, rtol=1e-6)


def test_structures_whose_errors_made_the_intervals_are_not_counted(go, files, calibrated):
    learned = io.read(files / "many.extxyz", ":")
    held = np.random.default_rng(0).permutation(60)[:24]
    new = labelled_atoms(20, seed=8)
    io.write(files / "new.extxyz", new)
    io.write(files / "mixed.extxyz", [*new, *(learned[k] for k in held[:5])])
    alone, mixed = (
        json.loads(go(f"evaluate sure.ednn {name}.extxyz --json").stdout)["interval"]
        for name in ("new", "mixed")
    )
    energies, half = calibrated.predict_interval(new)
    off = energies - [each.get_potential_energy() for each in new]
    inside = int(np.sum(abs(off) <= half))
    assert (alone["known"], alone["inside"]) == (20, inside) and "own" not in alone
    assert (mixed["known"], mixed["inside"], mixed["own"]) == (20, inside, 5)
    assert f"here they contain {inside} of 20 true totals" in alone["words"]


def test_compositions_are_groups(go, files):
    shown = go(f"fit train.extxyz {FAST} --group composition -o c.ednn --force").stdout
    fitted = json.loads(shown)
    assert fitted["groups"]["by"] == "composition"
    shown = go("evaluate c.ednn train.extxyz --group composition --errors c.csv").stdout
    with (files / "c.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(row["group by composition"] == row["composition"] for row in rows)
    assert "energy (meV/atom)" in shown and "forces (meV/Å)" in shown
    assert "a group: structures of one composition, of any number of atoms" in shown
    made = {each.symbols.get_chemical_formula() for each in io.read(files / "train.extxyz", ":")}
    result = json.loads(go("evaluate c.ednn train.extxyz --group composition --json").stdout)
    # Of those that were not learned from.
    n_test = fitted["n_test"]
    assert sum(row["structures"] for row in result["groups"]["errors"]) == n_test
    assert result["groups"]["left_out"] == 20 - n_test
    assert f"without the {20 - n_test} structures that were learned from" in shown
    io.write(files / "known.extxyz", io.read(files / "train.extxyz", ":"))
    go("fit train.extxyz --test-fraction 0 --epochs 1 --cutoff 4 -o all.ednn --json")
    result = json.loads(go("evaluate all.ednn known.extxyz --group composition --json").stdout)
    assert len(result["groups"]["errors"]) == len(made)  # all have four atoms
    assert sum(row["structures"] for row in result["groups"]["errors"]) == 20
