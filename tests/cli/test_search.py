"""A search from the command line, run, looked at, gone on with and exported."""

import json
import random

import pytest

pytest.importorskip("typer")
pytest.importorskip("yaml")
pytest.importorskip("ase_ga")
from sk_ednn.cli import main
from sk_ednn.runs import RunFolder

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


BROKEN = """
composition: Cu2
store: cu.db
volume: 12.0
n_initial: 4
n_labels: 4
labeller: {command: "%s", input: in.xyz, output: out.xyz}
"""


def test_a_program_that_always_fails_is_named_and_asked_again(tmp_path, capsys):
    path = tmp_path / "search.yaml"
    path.write_text(BROKEN % "echo the licence has expired >&2; exit 3")
    runs = tmp_path / "runs"
    assert main(["search", "run", str(path), "--run", str(runs)]) == 1
    message = capsys.readouterr().err
    assert "All 4 labels failed, 4 of them by" in message
    assert "the licence has expired" in message and message.count("\n") == 1
    (run,) = RunFolder(runs).runs()
    assert run.status == "failed" and "the licence has expired" in run.message
    path.write_text(SETTINGS.replace("n_labels: 6", "n_labels: 4"))
    assert main(["search", "retry", str(path)]) == 0
    assert main(["search", "run", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["n_labels"], report["n_failed"]) == (4, 0)


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
        (("composition: Cu2", "composition: Xx2"), "Expected a formula, such as Ti4O8"),
        (("composition: Cu2", "composition: 3"), "Expected a formula, such as Ti4O8"),
        (("composition: Cu2", "composition: {Cu: two}"), "Expected a formula, such as Ti4O8"),
        (("store: cu.db", "store: 3"), "store in .* must be the name of a file, got 3"),
        (("store: cu.db", "store: ."), "is a folder. Expected the file of a search"),
        (("store: cu.db", "store: no/cu.db"), "has no folder to be in"),
        (("n_labels: 6", "n_labels: two"), "'n_labels' parameter of run must be an int"),
        (("n_labels: 6", "n_labels: -6"), "'n_labels' parameter of run must be an int"),
        (("n_initial: 6", "n_initial: 0"), "'n_initial' parameter of StructureSearch must be"),
        (("n_initial: 6", "max_doubt: -1"), "'max_doubt' parameter of StructureSearch must be"),
        (("volume: 12.0", "volume: 0"), "'volume' parameter of StructureSearch must be"),
        (("volume: 12.0", "volume: 12.0\nvolume: 20.0"), "'volume' is a duplicate"),
        (("n_labels: 6", "n_labels: 010"), "'010' is 8 in YAML: write 10, or 8"),
        (("n_labels: 6", "n_labels: 6\nmax_seconds: 1:30"), "'1:30' is 90 in YAML"),
        (("n_labels: 6", "n_labels: 6\nmax_seconds: 1:30.5"), "'1:30.5' is 90.5 in YAML"),
        (("composition: Cu2", "composition: NO"), "'NO' is false in YAML"),
        (("composition: Cu2", "composition: {Cu: true}"), "Expected a formula, such as Ti4O8"),
        (("emt.EMT", "emt.parameters"), "is a dict, not a class"),
        (("{calculator:", "{time_limit: -3, calculator:"), "time_limit must be a number of sec"),
        (("{asap_cutoff: false}", "3"), "parameters must contain values by name"),
    ],
)
def test_wrong_settings_are_named(settings, capsys, change, message):
    settings.write_text(SETTINGS.replace(*change))
    assert main(["search", "run", str(settings)]) == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(capsys.readouterr().err)
    assert not (settings.parent / "cu.db").exists()


def test_a_damaged_store_is_named(settings, capsys):
    settings.write_text(SETTINGS.replace("report: page.html\n", ""))
    assert main(["search", "run", str(settings)]) == 0
    store, first_page = settings.parent / "cu.db", 4096
    content = store.read_bytes()
    damage = random.Random(0).randbytes(len(content) - first_page)
    for command in (
        ["status"], ["run"], ["report", "-o", str(settings.parent / "a.html")],
        ["export", str(settings.parent / "a.extxyz")],
    ):  # fmt: skip
        store.write_bytes(content[:first_page] + damage)
        capsys.readouterr()
        assert main(["search", command[0], str(settings), *command[1:]]) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1 and "cu.db" in said, said


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


def test_starts_of_ones_own_are_read_from_a_file(tmp_path):
    import ase.io
    from ase.build import bulk

    from sk_ednn.search import SearchStore

    ase.io.write(tmp_path / "guesses.extxyz", [bulk("Cu", "hcp", a=2.6)])
    path = tmp_path / "search.yaml"
    path.write_text(
        SETTINGS.replace("n_labels: 6", "n_labels: 2\ninitial_structures: guesses.extxyz")
    )
    assert main(["search", "run", str(path)]) == 0
    with SearchStore(tmp_path / "cu.db") as store:
        assert [row["origin"] for row in store.structures()] == ["given", "start"]
    path.write_text(SETTINGS.replace("n_labels: 6", "n_labels: 4\nstarts: sorted"))
    assert main(["search", "run", str(path)]) == 1
