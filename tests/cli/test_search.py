"""A search from the command line, run, looked at, gone on with and exported."""

import json

import pytest

pytest.importorskip("typer")
pytest.importorskip("yaml")
pytest.importorskip("ase_ga")
from sk_ednn.cli import main

SETTINGS = """
composition: Cu2
store: cu.db
volume: 12.0
n_initial: 6
n_labels: 6
report: page.html
labeller: {calculator: ase.calculators.emt.EMT, parameters: {asap_cutoff: false}}
"""


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text(SETTINGS)
    return path


def test_run_status_and_export(settings, capsys):
    assert main(["search", "run", str(settings), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n_labels"] == 6 and result["reason"] == "labels"
    written = (settings.parent / "page.html").read_text(encoding="utf-8")
    assert "Search for Cu2" in written
    output = settings.parent / "again.html"
    assert main(["search", "report", str(settings), "-o", str(output)]) == 0
    assert "Search for Cu2" in output.read_text(encoding="utf-8")
    assert str(output) in capsys.readouterr().out
    assert main(["search", "stop", str(settings)]) == 0
    assert main(["search", "run", str(settings), "--n-labels", "20"]) == 0
    assert "stopped by: stopped" in capsys.readouterr().out
    assert main(["search", "status", str(settings), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["labelled"] + report["failed"] == 6
    assert report["lowest"] == pytest.approx(result["energy"])
    output = settings.parent / "all.extxyz"
    assert main(["search", "export", str(settings), str(output)]) == 0
    import ase.io

    assert len(ase.io.read(output, ":")) == report["labelled"]
    assert main(["search", "export", str(settings), str(output)]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("n_initial: 6", "n_inital: 6"),
            "contains unknown settings: n_inital. Valid are .*n_initial",
        ),
        (("store: cu.db", ""), "must also contain store"),
        (("emt.EMT", "emt.EMTT"), "Calculator 'ase.calculators.emt.EMTT' not found"),
        (("calculator:", "command:"), "labeller contains unknown settings: parameters"),
        (("n_labels: 6", ""), "Set n_labels"),
        (("composition: Cu2", "[1"), "is not valid YAML"),
    ],
)
def test_wrong_settings_are_named(settings, capsys, change, message):
    settings.write_text(SETTINGS.replace(*change))
    assert main(["search", "run", str(settings)]) == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(capsys.readouterr().err)
    assert not (settings.parent / "cu.db").exists()


def test_a_surface_reads_its_substrate(settings, capsys):
    from ase.build import fcc111
    from ase.io import write

    slab = fcc111("Cu", (2, 2, 1))
    slab.center(vacuum=7.0, axis=2)
    write(settings.parent / "slab.extxyz", slab)
    changed = SETTINGS.replace("Cu2", "[Au, Cu]") + "kind: surface\nsubstrate: slab.extxyz\n"
    settings.write_text(changed)
    assert main(["search", "run", str(settings), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_labels"] == 6


def test_pages_and_exports_overwrite_nothing(settings, capsys):
    assert main(["search", "run", str(settings)]) == 0
    store = settings.parent / "cu.db"
    before = settings.read_bytes(), store.read_bytes()
    for path in (settings, store):
        assert main(["search", "report", str(settings), "-o", str(path)]) == 1
        assert main(["search", "export", str(settings), str(path)]) == 1
    settings.write_text(SETTINGS.replace("page.html", "cu.db"))
    assert main(["search", "run", str(settings)]) == 1
    assert "report must end in .html, got cu.db" in capsys.readouterr().err
    assert (SETTINGS.encode(), store.read_bytes()) == before
    assert main(["search", "export", str(settings), str(settings.parent / "a.foo")]) == 1
    assert "no format that ASE writes" in capsys.readouterr().err


def test_status_of_no_search(settings, capsys):
    assert main(["search", "status", str(settings)]) == 1
    assert "does not exist. Start the search" in capsys.readouterr().err
