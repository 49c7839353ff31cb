"""A field that is drawn piece by piece is the field, to the last bit."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import AtomsInWindow, AtomsSource, GaussianRasterizer
from sk_ednn.fields._sources import FieldSource
from sk_ednn.structures import Structure


def carbon_nitride(cell, n_atoms, seed=0):
    """Atoms anywhere, some of them outside the cell."""
    rng = np.random.default_rng(seed)
    positions = (3 * rng.random((n_atoms, 2)) - 1) * cell
    return Structure(rng.choice([6, 7], n_atoms), positions, cell)


class Chain:
    """Atoms along the diagonal, found by a formula."""

    cell = (60.0, 60.0)

    def within(self, lower, upper):
        x = np.arange(0.25, 60, 1.5)
        index = np.flatnonzero((x >= max(lower)) & (x <= min(upper)))
        return index, np.full(len(index), 6), np.stack([x[index]] * 2, axis=1)


def draw(structures, channels=None, dtype="float32", width=0.2):
    return GaussianRasterizer(0.1, width, channels=channels, dtype=dtype).fit(structures)


@given(
    st.sampled_from([(1.0, 1.0), (3.0, 5.0), (30.0, 70.0), (55.0, 4.0)]),
    st.sampled_from([None, ["C", "N"]]),
    st.sampled_from(["float32", "float64"]),
    st.data(),
)
def test_any_box_is_a_part_of_the_whole(cell, channels, dtype, data):
    """Cells smaller than a Gaussian too, all of whose periodic images count."""
    structure = carbon_nitride(cell, int(max(3, np.prod(cell) / 3)))
    rasterizer = draw([structure], channels, dtype)
    whole = rasterizer.transform([structure])[0]
    source = AtomsSource(rasterizer, structure)
    assert isinstance(source, FieldSource)
    assert (source.shape, source.dtype) == (whole.shape, whole.dtype)
    box = []
    for n in source.shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    np.testing.assert_array_equal(source.read(tuple(box)), whole[tuple(box)])


def test_atoms_that_are_found_by_a_formula_are_drawn_like_any():
    assert isinstance(Chain(), AtomsInWindow)
    every = Chain().within([0, 0], [60, 60])
    structure = Structure(every[1], every[2], Chain.cell)
    rasterizer = draw([structure])
    box = (slice(0, 250), slice(100, 600))
    np.testing.assert_array_equal(
        AtomsSource(rasterizer, Chain()).read(box), rasterizer.transform([structure])[0][box]
    )


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_prediction_block_by_block_is_that_of_the_whole_image(scheduler):
    pytest.importorskip("dask")
    small = [carbon_nitride((8.0, 8.0), 20 + k, k) for k in range(10)]
    rasterizer = draw(small, ["C", "N"])
    model = EDNNRegressor(Ridge(), GridTiling(20, 10, channel_axis=-1))
    model.fit(rasterizer.transform(small), [len(s.numbers) for s in small])
    large = [carbon_nitride((64.0, 32.0), 900), carbon_nitride((24.0, 40.0), 500)]
    sources = [AtomsSource(rasterizer, structure) for structure in large]
    lazy = model.predict(sources)
    np.testing.assert_array_equal(
        lazy.compute(scheduler=scheduler), model.predict(rasterizer.transform(large))
    )


def test_a_source_is_known_by_what_it_draws():
    structure = carbon_nitride((8.0, 8.0), 20)
    source = AtomsSource(draw([structure]), structure)
    assert pickle.loads(pickle.dumps(source)).identity() == source.identity()
    others = [
        AtomsSource(draw([structure], width=0.3), structure),
        AtomsSource(draw([structure], ["C", "N"]), structure),
        AtomsSource(draw([structure]), carbon_nitride((8.0, 8.0), 20, 1)),
    ]
    assert len({other.identity() for other in [source, *others]}) == 4


def test_what_cannot_be_drawn_is_refused():
    carbon = Structure([6], [[0.0, 0.0]], [8.0, 8.0])
    nitrogen = Structure([7], [[0.0, 0.0]], [8.0, 8.0])
    only_carbon = draw([carbon], ["C"])
    with pytest.raises(ValueError, match="Expected the species C"):
        AtomsSource(only_carbon, nitrogen)
    with pytest.raises(ValueError, match="must be a whole number"):
        AtomsSource(only_carbon, Structure([6], [[0.0, 0.0]], [8.05, 8.0]))

    class Strange(Chain):
        def within(self, lower, upper):
            index, numbers, positions = super().within(lower, upper)
            return index, numbers + 1, positions

    source = AtomsSource(only_carbon, Strange())
    with pytest.raises(ValueError, match=r"Expected the species C.*is N"):
        source.read((slice(0, 100), slice(0, 100), slice(0, 1)))


LATTICES = {
    "slanted": ("xy", [[30.0, 0, 0], [-12.0, 28.0, 0], [0, 0, 9]], True, (300, 280)),
    "open": ("xy", [[30.0, 0, 0], [0, 4.0, 0], [0, 0, 9]], (True, False, False), (300, 40)),
    "box": ("xyz", np.diag([7.0, 1.0, 2.0]), True, (70, 10, 20)),
    "triclinic": ("xyz", [[7.0, 0, 0], [1.0, 2.0, 0], [0.5, -0.3, 1.5]], True, (70, 20, 15)),
    "slab": ("xyz", np.diag([2.0, 7.0, 3.0]), (True, True, False), (20, 70, 30)),
}


@pytest.mark.filterwarnings("ignore:The Gaussians of")
@pytest.mark.parametrize("channels", [None, ["C", "N"]])
@pytest.mark.parametrize("case", LATTICES.values(), ids=LATTICES)
def test_any_box_of_any_lattice_is_a_part_of_the_whole(case, channels, rng):
    plane, cell, pbc, shape = case
    scaled = rng.random((60, 3)) + np.where(pbc, rng.integers(-1, 2, (60, 3)), 0)
    structure = Structure(rng.choice([6, 7], 60), scaled @ np.asarray(cell), cell, pbc)
    lengths = np.sqrt((np.asarray(cell) ** 2).sum(axis=1))
    rasterizer = GaussianRasterizer(
        tuple(lengths[: len(shape)] / shape),
        0.2,
        plane=plane,
        channels=channels,
        slab=None if plane == "xyz" else (-np.inf, np.inf),  # atoms lie at any height
    ).fit([structure])
    whole = rasterizer.transform([structure])[0]
    source = pickle.loads(pickle.dumps(AtomsSource(rasterizer, structure)))
    assert (source.shape, source.dtype) == (whole.shape, whole.dtype)
    assert source.identity() == AtomsSource(rasterizer, structure).identity()
    for _ in range(6):
        first = [int(rng.integers(n)) for n in source.shape]
        box = tuple(
            slice(a, int(rng.integers(a, n)) + 1) for a, n in zip(first, source.shape, strict=True)
        )
        np.testing.assert_array_equal(source.read(box), whole[box])


def test_windows_and_turned_rectangles_are_refused_where_they_do_not_suit():
    slanted = Structure([6], [[0.1, 0.2]], [[3.0, 0.0], [1.5, 2.0]])
    with pytest.raises(
        ValueError, match=r"AtomsInWindow needs a rasterizer.*Pass a structure in memory"
    ):
        AtomsSource(GaussianRasterizer((0.1, 0.25), 0.2).fit([slanted]), Chain())
    turned = Structure([6], [[0.1, 0.2]], [[0.0, 3.0], [2.0, 0.0]])
    with pytest.raises(ValueError, match=r"along the axes of the plane xy.*Rotate the structure"):
        AtomsSource(GaussianRasterizer(0.1, 0.2).fit([turned]), turned)
