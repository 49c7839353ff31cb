"""Densities from the command line: read with their voxel, which the model file keeps."""

import csv
import json

import numpy as np
import pytest

from sk_ednn import files
from sk_ednn.datasets import make_densities
from sk_ednn.structures._densities import BOHR

for library in ("typer", "skops", "ase", "matplotlib"):
    pytest.importorskip(library)
from ase import Atoms  # noqa: E402
from ase.io import write  # noqa: E402


@pytest.fixture(scope="module")
def data(folder):
    """Write forty small cells and two large ones as cube files, in e/bohr^3."""
    small = make_densities(40, 6, spacing=0.4, concentration=0.3, random_state=0)
    large = make_densities(2, 12, spacing=0.4, concentration=0.3, random_state=1)
    for name, made, n in (("small", small, 6), ("large", large, 12)):
        (folder / name).mkdir()
        for k, field in enumerate(made.fields):
            atoms = Atoms(cell=[0.4 * n] * 3, pbc=True)
            write(folder / name / f"{k:02}.cube", atoms, data=field * BOHR**3)
        np.savetxt(folder / f"{name}.csv", made.thomas_fermi)
    return large


FIT = "fit small small.csv --context 0 --model cubic"


def test_fit_predict_and_evaluate_with_cube_files(run, folder, data):
    result = json.loads(run(f"{FIT} -o m.ednn --json --report m.html").stdout)
    assert result["n_train"] == 32 and result["n_test"] == 8
    predicted = json.loads(run("predict m.ednn large --json").stdout)["y"]
    np.testing.assert_allclose(predicted, data.thomas_fermi, rtol=0.02)
    assert "large/01.cube" in run("predict m.ednn large/*.cube").output
    errors = json.loads(run("evaluate m.ednn large large.csv --json").stdout)["errors"]
    assert errors["mean"] < 0.02 * data.thomas_fermi.mean()
    encoder = files.load(folder / "m.ednn")[0]
    np.testing.assert_allclose(encoder.voxel_, 0.4 * np.eye(3), atol=1e-5)


def test_predictions_of_a_run_name_the_file(run, folder, data):
    run(f"{FIT} --run kept --quiet")
    (table,) = (folder / "kept").glob("*/predictions.csv")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    totals = np.loadtxt(folder / "small.csv")
    assert sorted(int(row["index"]) for row in rows) == list(range(40))
    for row in rows:
        assert float(row["true"]) == totals[int(row["index"])]
        assert row["file"].endswith(f"small/{int(row['index']):02}.cube")


def test_the_unit_and_the_electrons_are_shown(run, data):
    said = run(f"{FIT} -o n.ednn").output
    assert "40 grids of (6, 6, 6) points, electrons: " in said


def test_other_voxels_are_refused(run, folder, data):
    run(f"{FIT} -o v.ednn --quiet")
    write(folder / "fine.cube", Atoms(cell=[2.0] * 3), data=np.ones((6, 6, 6)))
    said = run("predict v.ednn fine.cube", 1).output
    assert "voxels with edges of 0.3333" in said and "the model has edges of 0.4" in said


@pytest.mark.parametrize(
    "line, words",
    [
        ("fit small -o w.ednn", "contains densities and no totals"),
        (f"{FIT} --categorical -o w.ednn", "--categorical is not for densities"),
        (f"{FIT} --spacing 0.4 -o w.ednn", "--spacing is for structures"),
        (
            "fit small large.csv -o w.ednn",
            "There are 40 densities, but large.csv contains 2 totals",
        ),
        ("fit a.npy small.csv --density-unit eV -o w.ednn", "--density-unit is for densities"),
        ("evaluate w.ednn large", "does not exist"),
    ],
)
def test_what_does_not_go_together(line, words, run, folder, data):
    np.save(folder / "a.npy", np.ones((40, 4, 4)))
    assert words in run(line, 1).output


def test_a_model_of_arrays_has_no_voxel(run, folder, data):
    rng = np.random.default_rng(0)
    np.savez(folder / "b.npz", X=rng.normal(size=(20, 4, 4, 4)), y=rng.normal(size=20))
    run("fit b.npz --model quadratic --context 0 -o b.ednn --quiet")
    assert "a model of other fields" in run("predict b.ednn large", 1).output
