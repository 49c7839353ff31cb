"""Fields in other planes, three dimensions, slanted and open cells: eq. 2 of Mills et al. 2019."""

import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import erfc

from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.structures import Structure

WIDTH = 0.2
SKEW = np.array([[2.4, 0.0], [-1.05, 1.82]])
HEXAGONAL = np.array([[2.0, 0.0], [-1.0, 3**0.5]])
TRICLINIC = np.array([[1.2, 0.0, 0.0], [0.4, 1.1, 0.0], [-0.3, 0.25, 1.0]])
TURNED = np.array([[0.0, 1.5], [-2.0, 0.0]])  # a rectangle, along y and -x
BOX = np.diag([1.2, 1.4, 1.0])


def equation_2(numbers, positions, vectors, shape, periodic, width=WIDTH):
    """Sum over all atoms and their images within nine widths and more, in float64, no cutoff."""
    vectors = np.asarray(vectors, dtype=float)
    d = len(vectors)
    mesh = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    pixels = mesh @ vectors
    apart = 1 / np.sqrt((np.linalg.inv(vectors) ** 2).sum(axis=0))
    far = [
        int(np.ceil(9 * width / a)) + 1 if p else 0 for a, p in zip(apart, periodic, strict=True)
    ]
    field = np.zeros(shape)
    for Z, r in zip(numbers, positions, strict=True):
        scaled = r @ np.linalg.inv(vectors)
        r = np.where(periodic, scaled - np.floor(scaled), scaled) @ vectors
        for image in product(*(range(-n, n + 1) for n in far)):
            apart = pixels - r - np.array(image) @ vectors
            field += Z * np.exp(-(apart**2).sum(axis=-1) / (2 * width**2))
    assert field.ndim == d
    return field


def some(vectors, n_atoms=3, seed=0, periodic=True):
    """Atoms anywhere, outside of the cell too where it repeats."""
    rng = np.random.default_rng(seed)
    vectors = np.asarray(vectors, dtype=float)
    scaled = rng.uniform(-1, 2, (n_atoms, len(vectors)))
    scaled = np.where(periodic, scaled, rng.uniform(0, 1, scaled.shape))
    cell = np.eye(3) * 9
    cell[: len(vectors), : len(vectors)] = vectors
    pbc = np.ones(3, dtype=bool)
    pbc[: len(vectors)] = periodic
    positions = np.pad(scaled @ vectors, ((0, 0), (0, 3 - len(vectors))))
    return Structure(rng.choice([1, 5, 6, 7], n_atoms), positions, cell, pbc.tolist())


def spacing_of(vectors, shape):
    return tuple(np.sqrt((np.asarray(vectors) ** 2).sum(axis=1)) / shape)


def rasterizer(vectors, shape, **params):
    params = {"plane": "xy" if len(shape) == 2 else "xyz", "dtype": "float64"} | params
    return GaussianRasterizer(spacing_of(vectors, shape), WIDTH, **params)


CASES = {
    "slanted": (SKEW, (24, 20), (True, True)),
    "hexagonal": (HEXAGONAL, (17, 17), (True, True)),
    "smaller than a Gaussian": (HEXAGONAL / 4, (5, 4), (True, True)),
    "turned": (TURNED, (14, 21), (True, True)),
    "box": (BOX, (11, 13, 10), (True, True, True)),
    "triclinic": (TRICLINIC, (11, 12, 9), (True, True, True)),
    "open along y": (np.diag([3.0, 2.5]), (25, 23), (True, False)),
    "slanted, open along b": (SKEW, (24, 20), (True, False)),
    "slab": (BOX, (11, 13, 10), (True, True, False)),
    "molecule": (TRICLINIC, (11, 12, 9), (False, False, False)),
}


@pytest.mark.parametrize(("vectors", "shape", "periodic"), CASES.values(), ids=CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 1e-6)])
@pytest.mark.filterwarnings("ignore:The Gaussians of")
def test_is_equation_2(vectors, shape, periodic, dtype, tolerance):
    structure = some(vectors, periodic=periodic)
    d = len(shape)
    field = rasterizer(vectors, shape, dtype=dtype).fit_transform([structure])[0]
    assert field.shape == shape and field.dtype == dtype
    expected = equation_2(
        structure.numbers, structure.positions[:, :d], vectors, shape, np.array(periodic)
    )
    np.testing.assert_allclose(field, expected, rtol=0, atol=tolerance * expected.max())


@settings(max_examples=15, deadline=None)
@given(
    st.integers(80, 280), st.integers(0, 720), st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.sampled_from([0.1, 0.3, 1.5]), st.integers(0, 10**6),
)  # fmt: skip
def test_any_angle_direction_and_spacing(angle, direction, shape, spacing, seed):
    """Pixels seven times as large as a Gaussian too, where factors would overflow."""
    # Half degrees: an edge that is off an axis by a rounding error is taken to lie on it.
    turns = np.deg2rad([direction / 2, (direction + angle) / 2])
    vectors = np.stack([np.cos(turns), np.sin(turns)], axis=1) * spacing * np.array(shape)[:, None]
    structure = some(vectors, 3, seed)
    scaled = structure.positions[:, :2] @ np.linalg.inv(vectors)
    apart = scaled[:, None] - scaled
    apart = np.abs((apart - np.round(apart)) @ vectors).max(axis=-1)
    assume((apart[~np.eye(3, dtype=bool)] > 1e-3).all())
    field = rasterizer(vectors, shape, cutoff=7.5).fit_transform([structure])[0]
    expected = equation_2(
        structure.numbers, structure.positions[:, :2], vectors, shape, (True,) * 2
    )
    np.testing.assert_allclose(field, expected, rtol=0, atol=1e-9 * max(expected.max(), 1.0))


@pytest.mark.parametrize("name", ["slanted", "triclinic", "box"])
@pytest.mark.parametrize("cutoff", [2.0, 4.0])
def test_a_cutoff_leaves_off_no_more_than_it_says(name, cutoff):
    vectors, shape, _ = CASES[name]
    vectors, shape = 2 * vectors, tuple(2 * n for n in shape)
    middle = np.pad(np.sum(vectors, axis=0) * 0.503, (0, 3 - len(shape)))
    cell = np.eye(3) * 9
    cell[: len(shape), : len(shape)] = vectors
    one = Structure([1], [middle], cell)
    full, cut = (rasterizer(vectors, shape, cutoff=c).fit_transform([one])[0] for c in (9, cutoff))
    assert 0 < np.abs(full - cut).max() <= np.exp(-(cutoff**2) / 2)
    left = (full.sum() - cut.sum()) / full.sum()
    assert 0 < left <= len(shape) * erfc(cutoff / np.sqrt(2))


@pytest.mark.parametrize("name", ["slanted", "triclinic"])
def test_the_sum_of_a_field_is_extensive(name):
    vectors, shape, _ = CASES[name]
    structure = some(vectors)
    field = rasterizer(vectors, shape).fit_transform([structure])[0]
    pixel = np.abs(np.linalg.det(vectors)) / np.prod(shape)
    expected = structure.numbers.sum() * (2 * np.pi * WIDTH**2) ** (len(shape) / 2)
    assert field.sum() * pixel == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", ["slanted", "hexagonal", "triclinic", "box"])
def test_a_repeated_cell_repeats_the_field(name):
    ase = pytest.importorskip("ase")
    vectors, shape, _ = CASES[name]
    structure = some(vectors, 4)
    one = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
    times = (2, 3, 2)[: len(shape)]
    draw = rasterizer(vectors, shape).fit([one])
    repeated = draw.transform([one.repeat((*times, 1)[:3])])[0]
    np.testing.assert_allclose(repeated, np.tile(draw.transform([one])[0], times), atol=1e-12)


def test_a_rotation_changes_nothing():
    structure = some(SKEW)
    turn = np.array([[np.cos(1.1), -np.sin(1.1), 0], [np.sin(1.1), np.cos(1.1), 0], [0, 0, 1]])
    turned = Structure(structure.numbers, structure.positions @ turn, structure.cell @ turn)
    draw = rasterizer(SKEW, (24, 20)).fit([structure])
    np.testing.assert_allclose(draw.transform([turned]), draw.transform([structure]), atol=1e-12)


def test_planes_are_projections():
    box = some(BOX, 5)
    axes = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2)}
    whole = rasterizer(BOX, (24, 28, 20), cutoff=8).fit_transform([box])[0]
    for number, (plane, (a, b)) in enumerate(axes.items()):
        flat = Structure(box.numbers, box.positions[:, [a, b]], BOX[[a, b]][:, [a, b]])
        draw = GaussianRasterizer(
            0.05, WIDTH, plane=plane, slab=(-np.inf, np.inf), dtype="float64", cutoff=8
        )
        field = draw.fit_transform([box])[0]
        expected = GaussianRasterizer(0.05, WIDTH, dtype="float64", cutoff=8).fit_transform([flat])
        assert np.array_equal(field, expected[0])
        # What is projected away is integrated over, in units of the integral of one Gaussian.
        summed = whole.sum(axis=2 - number) * 0.05 / np.sqrt(2 * np.pi * WIDTH**2)
        np.testing.assert_allclose(summed, field, atol=1e-9)


def test_fields_do_not_depend_on_their_company():
    many = [some(TRICLINIC, 6, seed) for seed in range(8)]
    draw = rasterizer(TRICLINIC, (11, 12, 9), dtype="float32", channels="species").fit(many)
    fields = draw.transform(many)
    assert fields.shape == (8, 11, 12, 9, 4)
    for k in (0, 3, 7):
        assert np.array_equal(fields[k], draw.transform([many[k]])[0])
    again = pickle.loads(pickle.dumps(draw))
    assert np.array_equal(again.transform(many), fields)
    assert again.spacing_ == draw.spacing_ and again.angles_ == draw.angles_
    whole = rasterizer(TRICLINIC, (11, 12, 9)).fit_transform(many)
    np.testing.assert_allclose(fields.sum(axis=-1), whole, atol=1e-5)


def test_cells_of_different_sizes_are_listed():
    small, large = some(SKEW), some(SKEW * [[2], [1]], 5)
    fields = rasterizer(SKEW, (24, 20)).fit_transform([small, large])
    assert [field.shape for field in fields] == [(24, 20), (48, 20)]


# ---------------------------------------------------------------------------------------- refused

HIGH = Structure([6, 6], [[0.1, 0.2, 3.0], [1.1, 0.4, 4.0]], [2.0, 2.0, 20.0])


def test_other_angles_are_rejected():
    draw = rasterizer(HEXAGONAL, (20, 20)).fit([some(HEXAGONAL)])
    assert draw.angles_ == pytest.approx((120,))
    other = np.array([[2.0, 0.0], [1.0, 3**0.5]])
    with pytest.raises(
        ValueError, match=r"Structure 1: the angles.*are 60°, but .* fitted cells are 12"
    ):
        draw.transform([some(HEXAGONAL), some(other)])
    with pytest.raises(ValueError, match="are 90°, but those of the fitted cells are 120°"):
        draw.transform([some(np.diag([2.0, 2.0]))])
    with pytest.raises(ValueError, match="Structure 1: the angles"):
        rasterizer(HEXAGONAL, (20, 20)).fit([some(HEXAGONAL), some(other)])
    with pytest.raises(ValueError, match=r"2.05 Å along y, which is 20.5\d* pixels of 0.1 Å"):
        draw.transform([some(HEXAGONAL * [[1], [1.025]])])
    rounded = np.float32(HEXAGONAL)
    assert draw.transform([some(rounded)]).shape == (1, 20, 20)


def test_other_boundaries_are_rejected():
    draw = rasterizer(np.diag([4.0, 4.0]), (40, 40)).fit([some(np.diag([4.0, 4.0]))])
    assert draw.periodic_ == (True, True)
    with pytest.raises(
        ValueError, match=r"open along x.*fitted structures are periodic along x and y. Set pbc"
    ):
        draw.transform([Structure([6], [[2.0, 2.0]], [4.0, 4.0], (False, True, True))])


def test_atoms_outside_of_an_open_cell_are_rejected():
    for x in (-0.1, 4.1):
        outside = Structure([6, 6], [[1.0, 2.0], [x, 1.0]], [4.0, 4.0], (False, True, True))
        with pytest.raises(
            ValueError, match=r"atom 1, is outside.*of 4 Å along x.*Enlarge the cell"
        ):
            GaussianRasterizer(0.1, WIDTH).fit([outside])


def test_gaussians_truncated_by_an_open_cell_warn():
    near = Structure([6, 6], [[1.3, 2.0], [1.1, 1.0]], [4.0, 4.0], (False, True, True))
    draw = GaussianRasterizer(0.1, WIDTH).fit([near])
    with pytest.warns(UserWarning, match=r"of 1 atom.*structure 0, atom 1, is 1.1 Å.*Leave 1.2 Å"):
        draw.transform([near])


def test_slabs():
    draw = GaussianRasterizer(0.1, WIDTH, slab=(2.5, 4.5)).fit([HIGH])
    low = Structure([6], [[0.1, 0.2, 2.4]], [2.0, 2.0, 20.0])
    with pytest.raises(ValueError, match=r"Structure 1, atom 0, is at z = 2.4 Å.*from 2.5 to 4.5"):
        draw.transform([HIGH, low])
    with pytest.raises(ValueError, match=r"coordinate z, which.*Pass three coordinates"):
        draw.transform([Structure([6], [[0.1, 0.2]], [2.0, 2.0])])
    for slab, message in [((3, 3), "a lower and an upper"), ((1,), "a lower and an upper")]:
        with pytest.raises(ValueError, match=message):
            GaussianRasterizer(0.1, WIDTH, slab=slab).fit([HIGH])
    with pytest.raises(ValueError, match="plane='xyz' has no normal"):
        GaussianRasterizer(0.1, WIDTH, plane="xyz", slab=(0, 1)).fit([HIGH])


@pytest.mark.parametrize(
    ("params", "structure", "message"),
    [
        ({"plane": "zx"}, HIGH, "The 'plane' parameter"),
        ({"plane": "xyz", "spacing": (0.1, 0.1)}, HIGH, "a positive float or 3 of them"),
        ({"plane": "xz"}, Structure([6], [[0, 0]], [2, 2, 2]), r"must be of shape \(1, 3\); got"),
        (
            {"plane": "xyz"},
            Structure([6], [[0, 0, 0]], [2, 2]),
            r"edge lengths of shape \(3,\).*plane='xyz'",
        ),
        (
            {"plane": "yz"},
            Structure([6], [[0, 0, 0]], SKEW),
            r"edge vectors of shape \(3, 3\), for plane='yz'",
        ),
        ({}, Structure([6], [[0, 0, np.nan]], [2, 2, 2]), "must be finite"),
    ],
)
def test_structures_that_do_not_fit_the_plane_are_rejected(params, structure, message):
    with pytest.raises(ValueError, match=message):
        GaussianRasterizer(**{"spacing": 0.1, "width": WIDTH} | params).fit([structure])


def test_an_oblique_third_edge_matters_only_if_periodic():
    cell = np.array([[2.0, 0, 0], [0, 2.0, 0], [0.5, 0, 9]])
    flat = GaussianRasterizer(0.1, WIDTH).fit_transform([Structure([6], [[0.3, 0.4, 1.0]], [2, 2])])
    leaning = Structure([6], [[0.3, 0.4, 1.0]], cell, (True, True, False))
    assert np.array_equal(GaussianRasterizer(0.1, WIDTH).fit_transform([leaning]), flat)
    with pytest.raises(
        ValueError, match=r"periodic images are above one another.*set its pbc to False there"
    ):
        GaussianRasterizer(0.1, WIDTH).fit([Structure([6], [[0.3, 0.4, 1.0]], cell)])


@pytest.mark.parametrize("far", [(0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (-2.0, 2.0, 0.0), (2e-5, 0, 0)])
def test_duplicate_atoms_are_rejected(far, rng):
    positions = rng.random((500, 3)) * [2.0, 2.0, 20.0]
    positions[7] = (3e-5, 1.0, 1.0)
    positions[311] = positions[7] + far
    twice = Structure(np.full(500, 6), positions, [2.0, 2.0, 20.0])
    once = Structure(np.full(310, 6), positions[:310], [2.0, 2.0, 20.0])
    with pytest.raises(
        ValueError, match=r"Structure 1, atom 7, and atom 311 of it are .*Leave one"
    ):
        GaussianRasterizer(0.1, WIDTH, slab=(0, 20)).fit([once, twice])
    lifted = positions.copy()
    lifted[311, 2] += 0.5  # above one another in the projection, and apart
    lifted = Structure(np.full(500, 6), lifted, [2.0, 2.0, 20.0])
    GaussianRasterizer(0.1, WIDTH, slab=(0, 21)).fit([lifted])
