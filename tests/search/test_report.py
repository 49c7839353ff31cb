"""The page of a search shows what is in the store, whole or half done."""

import re

import numpy as np
import pytest

pytest.importorskip("ase_ga")
pytest.importorskip("matplotlib")

from sk_ednn.search import Label, SearchStore, search_report
from sk_ednn.structures import Structure


def structure(numbers, seed):
    rng = np.random.default_rng(seed)
    return Structure(
        np.array(numbers), 2.5 * np.arange(len(numbers))[:, None] + rng.normal(size=(1, 3)),
        (8.0 + rng.random()) * np.eye(3), np.array([True] * 3),
    )  # fmt: skip


def filled(path, numbers, several):
    store = SearchStore(path)
    store.set("search", {"numbers": numbers, "kind": "crystal"})
    each = numbers if several else [numbers]
    for k in range(12):
        if k >= 6 and k % 6 == 0:
            store.add_model(k, [0.01, 0.1, 0.3])
        prediction = {} if k < 6 else {"predicted": -2.0 * k, "std": 0.3, "model": 1}
        origin = "start" if k < 6 else "rattle"
        number = store.add_structure(structure(each[k % len(each)], k), origin, **prediction)
        task = store.start_task("label")
        if k == 4:
            store.fail_label(number, "no SCF <convergence>", seconds=1.0)
        else:
            energy = -1.5 * k * len(each[k % len(each)])
            store.finish_label(number, Label(energy, np.zeros((1, 3))), seconds=1.0)
        store.finish_task(task, "labelled", seconds=0.5)
    return store


@pytest.mark.parametrize("several", [False, True])
def test_the_page_shows_energies_operators_and_failures(tmp_path, several):
    numbers = [[14, 14], [14, 79], [79, 79]] if several else [14, 14]
    with filled(tmp_path / "s.db", numbers, several) as store:
        report = search_report(store)
        assert store.counts() == report.numbers["labels"]
    shown = report.numbers
    assert shown["labels"] == {"queued": 0, "labelled": 11, "failed": 1}
    assert shown["lowest"] == -16.5
    assert shown["failures"] == [(5, "no SCF <convergence>")]
    assert shown["timings"]["label"][:4] == (12, 6.0, 0.5, 0.5)
    assert shown["operators"]["start"][:2] == (5, 1) and shown["operators"]["rattle"][0] == 6
    assert "no SCF &lt;convergence&gt;" in report.html
    assert not re.search(r'(src|href)="http', report.html)
    titles = re.findall("<h2>(.*?)</h2>", report.html)
    expected = ["Energies", "Best structures", "Committee", "Operators", "Timings", "Failures"]
    if several:
        expected.insert(1, "Convex hull")
        names = [(name, k) for name, _, k in shown["hull"]]
        assert names == [("Si2", 10), ("SiAu", 11), ("Au2", 12)]
    assert titles == expected
    report.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == report.html


def test_a_search_without_labels_has_a_page(tmp_path):
    with SearchStore(tmp_path / "s.db") as store:
        with pytest.raises(ValueError, match="contains no search"):
            search_report(store)
        store.set("search", {"numbers": [18, 18], "kind": "cluster"})
        assert "No task has ended" in search_report(store).html
