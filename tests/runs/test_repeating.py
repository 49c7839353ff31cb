"""Every command that is recorded, repeated: the same to the last bit, or what differs in words."""

import csv

import numpy as np
import pytest

from sk_ednn.cli import main
from sk_ednn.datasets import make_ising, make_pictures
from sk_ednn.runs import RunFolder, repeat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with data, in which the commands run."""
    place = tmp_path_factory.mktemp("repeating")
    small = make_ising(60, (6, 6), random_state=0)
    np.savez(place / "spins.npz", X=small.fields, y=small.energies)
    return place


@pytest.fixture
def recorded(place, monkeypatch, capsys):
    """Return a function that records a command and repeats it."""
    monkeypatch.chdir(place)
    runs = RunFolder(place / "runs")

    def run(words):
        assert main([*words.split(), "--run", "runs", *_quiet(words)]) == 0, capsys.readouterr().err
        first = runs.runs()[0]
        assert first.status == "finished"
        return first, repeat(first)

    return run


def _quiet(words):
    return ["--quiet"] if words.startswith(("fit", "count")) else []


def model_of(place, kind):
    """Return the model of the newest run of a kind."""
    run = next(run for run in RunFolder(place / "runs").runs() if run.kind == kind)
    return f"runs/{run.id}/model.ednn"


def test_fields_are_fitted_predicted_and_judged_the_same(recorded, place):
    tiles = "spins.npz::X spins.npz::y --focus 2 --context 1 "
    for model in ("quadratic", "kernel", "dense --epochs 2"):
        _, again = recorded(f"fit {tiles} --model {model}")
        assert again.same, again.differences
        assert "model.ednn" in again.run.files()
    for words in ("predict {} spins.npz::X", "evaluate {} spins.npz::X spins.npz::y"):
        first, again = recorded(words.format(model_of(place, "fit")))
        assert again.same, again.differences
        assert again.run.result == first.result or first.kind == "predict"


def test_potentials_are_fitted_the_same(recorded, place):
    pytest.importorskip("ase")
    from tests.ui.conftest import example_data

    example_data().write_silicon(place, 3)
    _, again = recorded("fit silicon.extxyz --model symmetry-functions --epochs 2")
    assert again.same, again.differences
    # A limit of time: the repetition follows the clock of the first run.
    first, again = recorded("fit silicon.extxyz --model spectrum --max-seconds 2")
    assert again.same, again.differences
    assert again.run.result["epochs"] == first.result["epochs"]
    (first.path / "clock.npz").unlink()
    again = repeat(first)
    assert again.same or any("has a time limit" in each for each in again.differences)


def test_pictures_are_learned_and_counted_the_same(recorded, place):
    Image = pytest.importorskip("PIL.Image")
    data = make_pictures(12, (40, 40), random_state=0)
    (place / "photos").mkdir()
    with open(place / "cells.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "cells"])
        for k, (picture, total) in enumerate(zip(data.pictures, data.totals, strict=True)):
            table.writerow([f"p{k}.png", int(total)])
            grey = np.asarray(picture, dtype=np.uint8).squeeze()
            Image.fromarray(grey).save(place / "photos" / f"p{k}.png")
    _, again = recorded("count fit photos cells.csv --epochs 3")
    assert again.same, again.differences
    first, again = recorded(f"count predict {model_of(place, 'count-fit')} photos")
    assert again.same, again.differences
    assert any(name.endswith(".tif") for name in first.files())
    _, again = recorded(f"count predict {model_of(place, 'count-fit')} photos --maps elsewhere")
    assert again.same, again.differences
    _, again = recorded(
        f"count predict {model_of(place, 'count-fit')} photos/p0.png {place / 'photos' / 'p1.png'}"
    )
    assert again.same, again.differences
    # A limit of time: the repetition follows the clock of the first run.
    first, again = recorded("count fit photos cells.csv --minutes 0.05")
    assert again.same, again.differences
    assert repeat(again.run).same


def test_search_is_repeated_from_its_start(recorded, place):
    pytest.importorskip("yaml")
    pytest.importorskip("ase_ga")
    (place / "search.yaml").write_text(
        "composition: Cu2\nstore: cu.db\nvolume: 12.0\nn_initial: 4\nrandom_state: 0\n"
        "labeller: {calculator: ase.calculators.emt.EMT, parameters: {asap_cutoff: false}}\n"
    )
    first, again = recorded("search run search.yaml --n-labels 6")
    assert again.same, again.differences
    assert again.run.settings["fresh"] and "search.db" in again.run.files()
    labels = again.run.file("labels.csv").read_text().splitlines()
    assert labels[0] == "structure,atoms,energy_per_atom,state" and len(labels) >= 7
    assert first.file("labels.csv").read_text().splitlines() == labels


def test_other_data_are_named(recorded, place):
    np.savez(place / "other.npz", X=np.ones((20, 4, 4)), y=np.arange(20.0))
    words = "fit other.npz::X other.npz::y --focus 2 --context 1 --model quadratic"
    first, _ = recorded(words)
    np.savez(place / "other.npz", X=np.ones((20, 4, 4)), y=np.arange(20.0) ** 2)
    again = repeat(first)
    assert not again.same
    assert any(each.startswith("data: fields") for each in again.differences), again.differences
