"""Fields of structures: eq. 2 of Mills et al. 2019, and laws for any structure."""

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from sk_ednn.atoms import AtomsSource, GaussianRasterizer
from sk_ednn.structures import Structure

SPACING, WIDTH = (0.1, 0.125), 0.2


def draw(*structures, spacing=SPACING, width=WIDTH, **params):
    return GaussianRasterizer(spacing, width, **params).fit_transform(list(structures))


def equation_2(structure, shape, spacing=SPACING, width=WIDTH):
    """Sum over all atoms and their periodic images at every pixel, with numbers as heights."""
    x, y = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"
    )
    cell = np.array(shape) * spacing
    field = np.zeros(shape)
    for Z, r in zip(structure.numbers, structure.positions % cell, strict=True):
        far = np.ceil(9 * width / cell).astype(int)
        for a in range(-far[0], far[0] + 1):
            for b in range(-far[1], far[1] + 1):
                d2 = (x - r[0] - a * cell[0]) ** 2 + (y - r[1] - b * cell[1]) ** 2
                field += Z * np.exp(-d2 / (2 * width**2))
    return field


@st.composite
def structures(draw_from):
    """Atoms anywhere, in cells from much smaller than a Gaussian to several times larger."""
    shape = draw_from(st.tuples(st.integers(1, 50), st.integers(1, 50)))
    n = draw_from(st.integers(1, 8))
    coordinate = st.floats(-20, 20, allow_subnormal=False)
    positions = draw_from(st.lists(st.tuples(coordinate, coordinate), min_size=n, max_size=n))
    numbers = draw_from(st.lists(st.sampled_from([1, 5, 6, 7, 79]), min_size=n, max_size=n))
    cell = np.array(shape) * SPACING
    apart = np.array(positions)[:, None] - np.array(positions)
    apart -= cell * np.round(apart / cell)
    assume((np.abs(apart).max(axis=-1)[~np.eye(n, dtype=bool)] > 1e-3).all())  # no atom twice
    return Structure(np.array(numbers), np.array(positions), np.array(shape) * SPACING), shape


def close(field, expected, tolerance=1e-6):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(field, expected, rtol=0, atol=tolerance * scale)


def rounding(structure):
    """Return the rounding errors of float32, which add up where hundreds of Gaussians overlap."""
    overlapping = len(structure.numbers) * (12 * WIDTH) ** 2 / np.prod(structure.cell)
    return 1e-6 * max(1, overlapping / 100)


# ---------------------------------------------------------------------------------------- values


@given(structures())
def test_is_equation_2(case):
    structure, shape = case
    close(draw(structure)[0], equation_2(structure, shape), rounding(structure))


def test_axis_0_is_x_and_pixels_are_points():
    field = draw(Structure([6], [[0.3, 1.0]], [2.0, 2.0]))[0]
    assert field.shape == (20, 16)
    assert np.unravel_index(field.argmax(), field.shape) == (3, 8)  # 0.3 / 0.1 and 1.0 / 0.125
    assert field[3, 8] == 6
    assert field[5, 8] == pytest.approx(6 * np.exp(-0.5))  # one width away


def test_in_a_large_cell_minimum_image_and_all_images_agree(rng):
    positions = rng.random((12, 2)) * [6.0, 6.0]
    x, y = np.meshgrid(np.arange(60) * 0.1, np.arange(48) * 0.125, indexing="ij")
    d = np.stack([x, y], -1)[:, :, None] - positions
    d -= 6.0 * np.round(d / 6.0)
    expected = (6 * np.exp(-(d**2).sum(-1) / (2 * WIDTH**2))).sum(-1)
    close(draw(Structure(np.full(12, 6), positions, [6.0, 6.0]))[0], expected)


@pytest.mark.parametrize("cutoff", [2.0, 4.0])
def test_a_cutoff_leaves_off_no_more_than_it_says(cutoff):
    structure = Structure([1], [[3.03, 3.01]], [6.0, 6.0])
    full, cut = (draw(structure, cutoff=c, dtype="float64")[0] for c in (12.0, cutoff))
    assert 0 < np.abs(full - cut).max() <= np.exp(-(cutoff**2) / 2)
    erfc = {2.0: 0.0455003, 4.0: 6.33425e-5}[cutoff]
    assert 0 < full.sum() - cut.sum() <= 2 * erfc * full.sum()


# ------------------------------------------------------------------------------------------ laws


@given(structures(), st.integers(-70, 70), st.integers(-70, 70))
def test_a_shift_by_pixels_rolls_the_field(case, i, j):
    structure, _ = case
    moved = structure.positions + np.array([i, j]) * SPACING
    expected = np.roll(draw(structure)[0], (i, j), axis=(0, 1))
    close(
        draw(Structure(structure.numbers, moved, structure.cell))[0], expected, rounding(structure)
    )


@given(structures())
def test_the_sum_of_a_field_is_extensive(case):
    structure, _ = case
    expected = structure.numbers.sum() * 2 * np.pi * WIDTH**2 / np.prod(SPACING)
    field = draw(structure, dtype="float64")[0]
    # Sampling a Gaussian of 1.6 pixels errs by 2 exp(-2 (1.6 pi)^2) = 2e-22 and less.
    assert field.sum() == pytest.approx(expected, rel=2e-8)


@given(structures(), st.integers(-3, 3), st.integers(-3, 3))
def test_atoms_outside_the_cell_are_wrapped(case, a, b):
    structure, _ = case
    outside = structure.positions.copy()
    outside[::2] += np.array([a, b]) * structure.cell
    close(
        draw(Structure(structure.numbers, outside, structure.cell))[0],
        draw(structure)[0],
        rounding(structure),
    )


@given(structures(), st.randoms(use_true_random=False))
def test_the_order_of_atoms_does_not_matter(case, random):
    structure, _ = case
    order = list(range(len(structure.numbers)))
    random.shuffle(order)
    other = Structure(structure.numbers[order], structure.positions[order], structure.cell)
    close(draw(other)[0], draw(structure)[0], rounding(structure))


@given(structures(), st.integers(1, 3), st.integers(1, 3))
def test_a_repeated_cell_repeats_the_field(case, a, b):
    structure, _ = case
    shifts = np.array([(i, j) for i in range(a) for j in range(b)]) * structure.cell
    repeated = Structure(
        np.tile(structure.numbers, a * b),
        (structure.positions + shifts[:, None]).reshape(-1, 2),
        structure.cell * [a, b],
    )
    close(draw(repeated)[0], np.tile(draw(structure)[0], (a, b)), rounding(structure))


# ------------------------------------------------------------------------- what goes in, comes out

SMALL = Structure([5, 7], [[0.1, 0.2], [1.1, 0.4]], [2.0, 2.0])
LARGE = Structure([7, 7, 5], [[0.1, 0.2], [3.0, 0.4], [1.0, 1.0]], [4.0, 2.0])


def test_fields_of_one_shape_are_stacked_and_others_listed():
    assert draw(SMALL, SMALL).shape == (2, 20, 16)
    fields = draw(SMALL, LARGE, SMALL)
    assert [f.shape for f in fields] == [(20, 16), (40, 16), (20, 16)]
    for field, structure in zip(fields, (SMALL, LARGE, SMALL), strict=True):
        assert np.array_equal(field, draw(structure)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_fields_do_not_depend_on_their_company(dtype, n_jobs, rng):
    many = [Structure([6] * 20, rng.random((20, 2)) * 6, [6.4, 8.0]) for _ in range(300)]
    fields = draw(*many, dtype=dtype, n_jobs=n_jobs)
    assert fields.dtype == dtype
    for k in (0, 77, 299):
        assert np.array_equal(fields[k], draw(many[k], dtype=dtype)[0])


def test_channels_add_up_to_the_single_field():
    whole = draw(SMALL, LARGE)
    for channels in ("species", ["B", "N"], [5, 7], np.array([5, 7])):
        parted = draw(SMALL, LARGE, channels=channels)
        assert parted[1].shape == (40, 16, 2)
        for field, parts in zip(whole, parted, strict=True):
            close(parts.sum(axis=-1), field)
    boron = Structure([5], [[0.1, 0.2]], [2.0, 2.0])
    swapped = draw(SMALL, channels=["N", "B"])
    assert swapped.shape == (1, 20, 16, 2)
    assert np.array_equal(swapped[..., 1], draw(boron))
    assert not draw(boron, channels=["N", "B"])[..., 0].any()


def test_weights_are_heights():
    weighted = draw(SMALL, weights={"B": 10.0, 7: -14.0}, channels="species")
    plain = draw(SMALL, channels="species")
    close(weighted, plain * [2, -2])


def test_third_coordinates_are_not_used():
    lifted = Structure(SMALL.numbers, [[0.1, 0.2, 5.0], [1.1, 0.4, -3.0]], [2.0, 2.0, 20.0])
    assert np.array_equal(draw(lifted, slab=(-9, 9)), draw(SMALL))


def test_ase_atoms_are_drawn():
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms("BN", [[0.1, 0.2, 0], [1.1, 0.4, 0]], cell=[2, 2, 20], pbc=(1, 1, 0))
    assert np.array_equal(draw(atoms), draw(SMALL))
    assert np.array_equal(draw(atoms.repeat((2, 1, 1)))[0].shape, (40, 16))


# ------------------------------------------------------------------------------- as an estimator


def test_is_cloned_pickled_and_set():
    model = GaussianRasterizer(0.1, 0.2, channels="species").fit([SMALL])
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.transform([SMALL]), model.transform([SMALL]))
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "spacing_")
    assert model.channels_ == (5, 7)
    assert model.spacing_ == (0.1, 0.1)
    wider = clone(model).set_params(width=0.3).fit([SMALL])
    assert wider.transform([SMALL]).sum() > 2 * model.transform([SMALL]).sum()


def test_fitting_leaves_structures_as_they_are():
    before = np.array(LARGE.positions, dtype=float)
    structure = Structure(np.array([7, 7, 5]), before.copy() - 9, [4.0, 2.0])
    draw(structure)
    assert np.array_equal(structure.positions, before - 9)


def test_not_fitted():
    with pytest.raises(NotFittedError):
        GaussianRasterizer(0.1, 0.2).transform([SMALL])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"spacing": 0.0}, "The 'spacing' parameter of GaussianRasterizer must be"),
        ({"spacing": (0.1,)}, r"2 of them, one per axis, in Å; got \(0.1,\)"),
        ({"spacing": (0.1, -0.1)}, "2 of them, one per axis"),
        ({"width": -1.0}, "The 'width' parameter"),
        ({"cutoff": 0.0}, "The 'cutoff' parameter"),
        ({"weights": "mass"}, "The 'weights' parameter"),
        ({"weights": {"B": np.nan, "N": 1.0}}, "finite numbers; got nan for 'B'"),
        ({"weights": {"Bo": 1.0}}, "chemical symbol such as 'C'.*Got 'Bo'"),
        (
            {"weights": {"B": 1.0}, "channels": ["B", "N"]},
            "Every channel needs a weight, but N has",
        ),
        ({"channels": []}, "at least one species"),
        ({"channels": ["B", 5]}, "each only once"),
        ({"dtype": "float16"}, "The 'dtype' parameter"),
    ],
)
def test_parameters_are_checked_in_fit(params, message):
    model = GaussianRasterizer(**{"spacing": 0.1, "width": 0.2} | params)
    with pytest.raises((ValueError, InvalidParameterError), match=message):
        model.fit([SMALL])


def test_a_cell_that_is_no_whole_number_of_pixels_is_refused():
    model = GaussianRasterizer(spacing=(0.1, 0.125), width=0.2).fit([SMALL])
    odd = Structure([5], [[0, 0]], [2.0, 2.05])
    message = (
        r"Structure 1: its cell is 2.05 Å along y, which is 16.400000 pixels of 0.125 Å.*"
        r"nearest spacing is 0.128125 Å, the nearest cell is 2 Å \(16 pixels\)"
    )
    with pytest.raises(ValueError, match=message):
        model.transform([SMALL, odd])
    with pytest.raises(ValueError, match=r"0.4\d* pixels.*nearest cell is 0.1 Å \(1 pixels\)"):
        model.transform([Structure([5], [[0, 0]], [0.04, 2.0])])
    rounded = Structure([5], [[0, 0]], np.float32([2.0, 2.0 * (1 + 3e-7)]))
    assert model.transform([rounded]).shape == (1, 20, 16)


def test_unknown_species_are_refused():
    carbon = Structure([6], [[0, 0]], [2.0, 2.0])
    for params in (
        {"channels": "species"},
        {"channels": ["B", "N"]},
        {"weights": {"B": 1, "N": 2}},
    ):
        model = GaussianRasterizer(0.1, 0.2, **params).fit([SMALL])
        with pytest.raises(
            ValueError, match=r"Expected the species B, N, but structure 1, atom 0, is C \(Z=6\)"
        ):
            model.transform([SMALL, carbon])


# ------------------------------------------------------------------------------ stretched pixels


def off_grid(stretch, seed=0):
    cell = np.array([2.0, 3.2]) * (1 + np.asarray(stretch))
    rng = np.random.default_rng(seed)
    return Structure(rng.choice([5, 7], 5), rng.random((5, 2)) * cell, cell.tolist())


def test_a_cell_near_a_whole_number_of_pixels_is_drawn_with_the_nearest_spacing():
    structure = off_grid([0.013, -0.008])
    with pytest.raises(ValueError, match=r"adjust=0\)"):
        GaussianRasterizer(0.1, 0.2).fit([structure])
    draw = GaussianRasterizer(0.1, 0.2, adjust=0.02, dtype="float64").fit([structure])
    (field,) = draw.transform([structure])
    spacing = tuple(structure.cell / np.array([20, 32]))
    expected = GaussianRasterizer(spacing, 0.2, dtype="float64").fit_transform([structure])[0]
    np.testing.assert_allclose(field, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(
        ValueError, match=r"The nearest spacing is 0.1025.*here by 2.5 %, adjust=0.02"
    ):
        draw.transform([off_grid([0.025, 0.0])])


def test_pixels_come_in_multiples():
    structure = off_grid([0.0, 0.0])
    draw = GaussianRasterizer(0.1, 0.2, adjust=0.3, multiple=(8, 4)).fit([structure])
    assert draw.transform([structure]).shape == (1, 16, 32)  # 20 is half way to 24
    with pytest.raises(ValueError, match=r"20.000000 pixels of 0.1 Å and must be a multiple of 8"):
        GaussianRasterizer(0.1, 0.2, multiple=8).fit([structure])
    with pytest.raises(ValueError, match="'multiple' parameter"):
        GaussianRasterizer(0.1, 0.2, multiple=(8, 0)).fit([structure])


def test_fields_of_one_shape_and_several_spacings_are_one_array():
    structures = [off_grid(stretch) for stretch in ([0, 0], [0.01, 0], [0.5, 0], [0, 0.01])]
    draw = GaussianRasterizer(0.1, 0.2, adjust=0.02)
    alike = draw.fit_transform([structures[k] for k in (0, 1, 3)])
    assert alike.shape == (3, 20, 32)
    mixed = draw.transform(structures)
    assert [field.shape for field in mixed] == [(20, 32), (20, 32), (30, 32), (20, 32)]
    for k, field in zip((0, 1, 3), alike, strict=True):
        np.testing.assert_array_equal(mixed[k], field)


def test_stretched_pixels_are_read_block_by_block():
    structure = off_grid([0.013, -0.008])
    draw = GaussianRasterizer(0.1, 0.2, adjust=0.02).fit([structure])
    source = AtomsSource(draw, structure)
    assert source.shape == (20, 32) and source.spacing == pytest.approx((0.1013, 0.0992))
    whole = draw.transform([structure])[0]
    np.testing.assert_array_equal(source.read((slice(3, 11), slice(20, 32))), whole[3:11, 20:32])


# --- Gaussians that reach too far -----------------------------------------------------------------


@pytest.mark.parametrize("plane", ["xy", "xyz"])
@pytest.mark.parametrize("cutoff", [1e7, 1e12, 1e300])
def test_a_cutoff_that_would_never_end_is_refused_with_its_price(plane, cutoff):
    structure = Structure([6, 6], [[1.0, 1.0, 1.0], [2.0, 2.0, 1.0]], [4.0, 4.0, 4.0], False)
    draw = GaussianRasterizer(0.1, 0.2, cutoff=cutoff, plane=plane)
    words = r"cutoff=1e\+\d+ widths of 0\.2 Å, .* (GiB of memory|hours).*default of 6"
    with pytest.raises((MemoryError, ValueError), match=words):
        draw.fit([structure])


def test_a_cutoff_that_takes_long_is_refused_where_there_are_many_atoms():
    structure = Structure([6], [[1.0, 1.0]], [4.0, 4.0])
    draw = GaussianRasterizer(0.1, 0.2, cutoff=5e4).fit([structure])
    with pytest.raises(ValueError, match=r"Drawing 100 atoms up to .* at least .* hours"):
        draw.transform([structure] * 100)
