"""Sheets, surfaces and compositions that vary."""

import numpy as np
import pytest

pytest.importorskip("ase_ga")
pytest.importorskip("vesin")
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT

from sk_ednn.search import (
    CalculatorLabeller,
    ConvexHull,
    LinearCommittee,
    SearchStore,
    StructureSearch,
    relax,
)
from sk_ednn.search._ase_ga import Operators
from sk_ednn.search._label import as_structure
from sk_ednn.search._progress import SearchProgress

FAST = {"n_initial": 12, "retrain_every": 5, "max_steps": 30, "candidates_per_label": 2}
SURROGATE = LinearCommittee(4.5, n_radial=4, max_l=2)


def substrate():
    slab = fcc111("Cu", (2, 2, 2))
    slab.center(vacuum=9.0, axis=2)
    slab.positions[:, 2] -= 7.0
    return slab


def hull_below(counts, energies, x):
    """The lowest energy at x of all lines between two points, for two elements."""
    shares = np.array([a / (a + b) for a, b in counts])
    best = np.inf
    for i, x_i in enumerate(shares):
        for j, x_j in enumerate(shares):
            if x_i <= x <= x_j:
                t = 0.0 if x_j == x_i else (x - x_i) / (x_j - x_i)
                best = min(best, (1 - t) * energies[i] + t * energies[j])
    return best


def test_a_hull_is_the_lowest_mixture_of_two():
    rng = np.random.default_rng(0)
    counts = [(k, 8 - k) for k in range(9) for _ in range(3)]
    energies = rng.normal(size=len(counts))
    hull = ConvexHull(counts, energies)
    for x in (0.0, 0.1, 0.33, 0.5, 0.77, 1.0):
        assert hull.energy([x, 1 - x]) == pytest.approx(hull_below(counts, energies, x))
    on = hull.vertices()
    assert np.argmin(energies) in on
    assert all(hull.above(c, e) >= -1e-12 for c, e in zip(counts, energies, strict=True))
    assert np.isnan(ConvexHull([[1, 1], [1, 3]], [0.0, 1.0]).energy([1, 0]))


@pytest.mark.parametrize("kind", ["crystal", "sheet", "cluster", "surface"])
def test_operators_keep_composition_cell_and_substrate(kind):
    below = as_structure(substrate()) if kind == "surface" else None
    numbers = [29, 29, 79, 79]
    operators = Operators(numbers, kind, substrate=below)
    rng = np.random.RandomState(0)
    parents = [operators.make("start", [], rng) for _ in range(4)]
    for name in operators.names:
        made = [operators.make(name, parents[: operators.n_parents(name)], rng) for _ in range(6)]
        made = [one for one in made if one is not None]
        assert made, name
        for one in made:
            np.testing.assert_array_equal(one.numbers[operators.n_fixed :], numbers)
            assert one.pbc.tolist() == {
                "crystal": [True] * 3, "cluster": [False] * 3
            }.get(kind, [True, True, False])  # fmt: skip
            if below is not None:
                np.testing.assert_array_equal(one.positions[:8], below.positions)
                np.testing.assert_array_equal(one.cell, below.cell)
    other = Operators([29, 29, 29, 79], kind, substrate=below)
    made = other.make("transmute", [parents[0]], rng)
    np.testing.assert_array_equal(made.numbers[operators.n_fixed :], [29, 29, 29, 79])
    assert Operators([29] * 5, kind, substrate=below).make("transmute", [parents[0]], rng) is None


def test_a_substrate_does_not_move(tmp_path):
    slab = substrate()
    search = StructureSearch(
        "Au2", CalculatorLabeller(EMT), SURROGATE, store=tmp_path / "s.db", kind="surface",
        substrate=slab, **FAST,
    )  # fmt: skip
    result = search.run(22)
    np.testing.assert_array_equal(result.structure.positions[:8], slab.positions)
    assert result.structure.numbers.tolist() == [29] * 8 + [79] * 2
    assert result.energy < result.energies[:12].min()
    other = StructureSearch("Au2", CalculatorLabeller(EMT), store=tmp_path / "s.db", kind="crystal")
    with pytest.raises(ValueError, match="this one is of"):
        other.resume(30)
    with pytest.raises(ValueError, match="Expected a substrate"):
        Operators([79], "surface")


def test_a_substrate_without_vacuum_is_rejected():
    crystal = bulk("Cu", cubic=True)
    with pytest.raises(ValueError, match=r"1\.8\d? Å above its atoms, too little .*thickness=3 Å"):
        Operators([79], "surface", substrate=as_structure(crystal))
    crystal.pbc[2] = False
    Operators([79], "surface", substrate=as_structure(crystal))
    crystal.pbc[2], crystal.cell[2, 2] = True, 6.9
    Operators([79], "surface", substrate=as_structure(crystal))


def test_a_sheet_relaxes_in_its_plane(tmp_path):
    search = StructureSearch(
        "Cu2", CalculatorLabeller(EMT), SURROGATE, store=tmp_path / "s.db", kind="sheet", **FAST
    )
    result = search.run(24)
    assert result.structure.pbc.tolist() == [True, True, False]
    assert result.energy < result.energies[:12].min()
    with SearchStore(tmp_path / "s.db") as store:
        rows = store.structures("labelled")
    heights = {round(float(row["structure"].cell[2, 2]), 9) for row in rows}
    assert len(heights) == 1  # the vacuum is not part of the strain
    assert len({round(float(row["structure"].cell[0, 0]), 6) for row in rows}) > 3


def test_relaxation_of_a_sheet_ends_without_stress():
    def evaluate(structure):
        label = CalculatorLabeller(EMT).label(structure)
        volume = abs(np.linalg.det(structure.cell))
        from sk_ednn.search import Evaluation

        return Evaluation(label.energy, 0.0, label.forces, volume * label.stress)

    start = Operators([29, 29], "sheet").make("start", [], np.random.RandomState(1))
    done = relax(start, evaluate, variable_cell=True, max_force=0.02, max_steps=300)
    assert done.reason == "converged"
    assert np.abs(evaluate(done.structure).strain[:2, :2]).max() < 0.05
    np.testing.assert_array_equal(done.structure.cell[2], start.cell[2])


def test_large_cells_and_elements_are_tried_more(tmp_path):
    weights = {"Cu4": 8, "Cu1Au1": 2, "Cu2Au6": 8, "Au2": 4}
    search = StructureSearch(
        list(weights), CalculatorLabeller(EMT), SURROGATE, store=tmp_path / "s.db", **FAST
    )
    rng, n = np.random.RandomState(0), 4000
    with SearchStore(tmp_path / "s.db") as store:
        progress = SearchProgress(search, store)
        drawn = [progress.draw_group(rng) for _ in range(n)]
    for group, weight in zip(progress.groups.values(), weights.values(), strict=True):
        share = weight / sum(weights.values())
        assert abs(drawn.count(group) - n * share) < 6 * np.sqrt(n * share)


def test_compositions_share_what_is_learned(tmp_path):
    search = StructureSearch(
        ["Cu4", "Cu2Au2", {"Au": 4}], CalculatorLabeller(EMT), SURROGATE,
        store=tmp_path / "s.db", **FAST,
    )  # fmt: skip
    result = search.run(30)
    with SearchStore(tmp_path / "s.db") as store:
        rows = store.structures("labelled")
    counts = [tuple(np.bincount(r["structure"].numbers, minlength=80)[[29, 79]]) for r in rows]
    assert set(counts) == {(4, 0), (2, 2), (0, 4)}
    assert min(counts.count(one) for one in set(counts)) >= 5
    energies = [r["label"].energy / 4 for r in rows]
    hull = ConvexHull(counts, energies)
    assert {tuple(sorted(point.composition.items())) for point in result.hull} >= {
        ((29, 4),), ((79, 4),)
    }  # fmt: skip
    for point in result.hull:
        one = [point.composition.get(z, 0) for z in (29, 79)]
        assert hull.above(one, point.energy) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="one composition"):
        search.resume(40, target=-1.0)
    with pytest.raises(ValueError, match="different compositions"):
        StructureSearch(["Cu4", {"Cu": 4}], CalculatorLabeller(EMT), store=tmp_path / "t.db").run(5)
