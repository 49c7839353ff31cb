"""Derivatives with respect to positions are those of what is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.structures import Structure


def moved(structure, atom, axis, by):
    positions = np.array(structure.positions, dtype=float)
    positions[atom, axis] += by
    return Structure(structure.numbers, positions, structure.cell)


def some(cell, n_atoms, seed):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1, 2, size=(n_atoms, 2)) * cell  # outside the cell too
    return Structure(rng.choice([5, 6, 7], n_atoms), positions, list(cell))


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, ("C", "N", "B"), "species"]),
    st.tuples(st.integers(6, 20), st.integers(6, 20)),
)
def test_pull_is_the_derivative_of_what_is_drawn(seed, channels, pixels):
    spacing = (0.15, 0.2)
    structure = some(np.multiply(pixels, spacing), 4, seed)
    draw = GaussianRasterizer(spacing, 0.25, channels=channels, dtype="float64", cutoff=9.0)
    field = draw.fit_transform([structure])[0]
    slope = np.random.default_rng(seed).normal(size=field.shape)
    (drawn,) = draw.position_gradients([structure])
    channels_first = slope[None] if channels is None else np.moveaxis(slope, -1, 0)
    result, step = drawn.pull(channels_first), 1e-5
    assert np.isnan(drawn.values).all() and result.shape == (4, 2)
    for atom, axis in np.ndindex(4, 2):
        ends = [
            np.sum(slope * draw.transform([moved(structure, atom, axis, sign * step)])[0])
            for sign in (1, -1)
        ]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert result[atom, axis] == pytest.approx(expected, rel=1e-6, abs=1e-5)
    (forces,) = draw.forces([structure], [slope])
    np.testing.assert_array_equal(forces, -result)


def assert_adjoint(gradient, rng):
    """<pull(s), d> == <s, push(d)>, for what atoms and, where it is known, the cell do."""
    shape = (gradient.n_channels, *gradient.shape)
    slope, direction = rng.normal(size=shape), rng.normal(size=gradient.values.shape)
    strain = rng.normal(size=(len(gradient.shape),) * 2)
    strain += strain.T
    for pushed, pulled, along in (
        (gradient.push(direction), gradient.pull(slope), direction),
        (gradient.push_strain(strain), gradient.strain(slope), strain),
    ):
        assert pushed.shape == shape and pushed.dtype == np.float64
        # Of what is added up, not of the sum: images of an atom in a small cell cancel.
        size = np.linalg.norm(along) * np.linalg.norm(slope) * gradient.heights.sum()
        expected = pytest.approx(np.sum(pulled * along), rel=1e-11, abs=1e-12 * size)
        assert np.sum(slope * pushed) == expected


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, ("C", "N", "B", "H"), "species"]),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.floats(0.05, 1.5),
    st.floats(0.5, 9.0),
)
def test_push_is_the_adjoint_of_pull(seed, channels, pixels, width, cutoff):
    spacing = (0.15, 0.2)  # Gaussians wider than the cell among them
    structure = some(np.multiply(pixels, spacing), 4, seed)
    draw = GaussianRasterizer(spacing, width, channels=channels, cutoff=cutoff)
    (drawn,) = draw.fit([structure]).position_gradients([structure])
    assert_adjoint(drawn, np.random.default_rng(seed))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["slanted", "turned", "open along y", "box", "triclinic", "slab"]),
    st.sampled_from([None, ("C", "N", "B", "H")]),
    st.floats(0.1, 0.6),
)
@pytest.mark.filterwarnings("ignore:The Gaussians of")
def test_push_is_the_adjoint_of_pull_on_any_lattice(seed, name, channels, width):
    draw, structure, _ = on_lattice(*LATTICES[name], channels)
    draw.set_params(width=width, cutoff=3.0).fit([structure])
    (drawn,) = draw.position_gradients([structure])
    assert_adjoint(drawn, np.random.default_rng(seed))


@pytest.mark.filterwarnings("ignore:The Gaussians of")
@pytest.mark.parametrize("name", [None, "slanted", "slab"])
@pytest.mark.parametrize("with_forces", [False, True])
def test_push_is_the_adjoint_of_pull_with_strain(name, with_forces):
    rng = np.random.default_rng(0)
    if name is None:
        structure = some(np.array([2.0, 3.0]), 4, 0)
        draw = GaussianRasterizer(0.1, 0.2, channels=("B", "C", "N")).fit([structure])
    else:
        draw, structure, _ = on_lattice(*LATTICES[name], ("B", "C", "N"))
    (adjoint,) = draw.position_gradients(
        [structure], [rng.normal(size=(4, 3))] if with_forces else None,
        strain_gradients=[np.eye(3)], strain_weight=0.3,
    )  # fmt: skip
    gradient = rng.normal(size=(3, *adjoint.positions.shape))
    direction = rng.normal(size=adjoint.values.shape)
    pushed = adjoint.push(direction)
    assert np.sum(gradient * pushed) == pytest.approx(np.sum(adjoint.pull(gradient) * direction))
    if name in LATTICES:  # atom by atom
        adjoint = replace(adjoint, positions=replace(adjoint.positions, block_pixels=1))
        np.testing.assert_allclose(adjoint.push(direction), pushed, rtol=1e-12, atol=1e-12)


def test_push_is_how_the_drawn_field_changes():
    structure = some(np.array([2.0, 3.0]), 5, 0)
    draw = GaussianRasterizer(0.1, 0.2, channels=("B", "C", "N"), dtype="float64", cutoff=9.0)
    (drawn,) = draw.fit([structure]).position_gradients([structure])
    direction, step = np.random.default_rng(0).normal(size=(5, 2)), 1e-5
    ends = []
    for sign in (1, -1):
        there = structure.positions + sign * step * direction
        ends.append(draw.transform([Structure(structure.numbers, there, structure.cell)])[0])
    expected = np.moveaxis(ends[0] - ends[1], -1, 0) / (2 * step)
    np.testing.assert_allclose(drawn.push(direction), expected, atol=1e-7 * expected.max())


def test_torch_and_numpy_pull_alike():
    torch = pytest.importorskip("torch")
    structure = some(np.array([2.0, 3.0]), 5, 0)
    draw = GaussianRasterizer(0.1, 0.2, channels=("B", "C", "N")).fit([structure])
    (drawn,) = draw.position_gradients([structure])
    slope = np.random.default_rng(0).normal(size=(3, 20, 30))
    tensor = torch.from_numpy(slope).requires_grad_()
    pulled = drawn.pull(tensor)
    np.testing.assert_allclose(pulled.detach().numpy(), drawn.pull(slope), rtol=1e-12)
    assert torch.autograd.gradcheck(drawn.pull, tensor, fast_mode=True)


def test_forces_are_minus_gradients():
    structure = Structure([6, 6], [[0.0, 0.0], [1.0, 0.5]], [2.0, 2.0])
    draw = GaussianRasterizer(0.1, 0.2).fit([structure])
    forces = np.arange(6.0).reshape(2, 3)
    (drawn,) = draw.position_gradients([structure], [forces])
    np.testing.assert_array_equal(drawn.values, -forces[:, :2])
    with pytest.raises(ValueError, match=r"shape \(2, 2\) or \(2, 3\)"):
        draw.position_gradients([structure], [forces[:1]])
    with pytest.raises(ValueError, match="each of the 1 structures"):
        draw.position_gradients([structure], [forces, forces])
    with pytest.raises(ValueError, match="Expected 1 gradients"):
        draw.forces([structure], [])


TRICLINIC = np.array([[1.2, 0.0, 0.0], [0.4, 1.1, 0.0], [-0.3, 0.25, 1.0]])
LATTICES = {
    "slanted": ("xy", [[2.4, 0, 0], [-1.05, 1.82, 0], [0, 0, 5]], True, (16, 14)),
    "turned": ("xz", [[0, 0, 1.5], [0, 3, 0], [-2.0, 0, 0]], True, (10, 13)),
    "open along y": ("xy", [2.4, 2.2, 5], (True, False, True), (16, 15)),
    "box": ("xyz", [1.2, 1.4, 1.0], True, (8, 9, 6)),
    "triclinic": ("xyz", TRICLINIC, True, (8, 7, 6)),
    "slab": ("xyz", TRICLINIC, (True, True, False), (8, 7, 6)),
}


def on_lattice(plane, cell, pbc, shape, channels=None):
    """A rasteriser fitted to a structure in such a cell, some atoms outside where it repeats."""
    rng = np.random.default_rng(3)
    vectors = np.diag(cell) if np.ndim(cell) == 1 else np.asarray(cell, dtype=float)
    scaled = rng.uniform(0.05, 0.95, (4, 3)) + np.where(pbc, rng.integers(-1, 2, (4, 3)), 0)
    structure = Structure(np.array([5, 6, 6, 7]), scaled @ vectors, vectors, pbc)
    axes = ["xyz".index(axis) for axis in plane]
    spacing = tuple(np.sqrt((vectors[axes] ** 2).sum(axis=1)) / shape)
    slab = None if plane == "xyz" else (-np.inf, np.inf)  # atoms lie at any height
    draw = GaussianRasterizer(
        spacing, 0.25, plane=plane, channels=channels, slab=slab, dtype="float64", cutoff=9.0
    )
    return draw.fit([structure]), structure, axes


@pytest.mark.filterwarnings("ignore:The Gaussians of")
@pytest.mark.parametrize("channels", [None, ("C", "N", "B")])
@pytest.mark.parametrize("case", LATTICES.values(), ids=LATTICES)
def test_pull_is_the_derivative_on_any_lattice(case, channels):
    draw, structure, axes = on_lattice(*case, channels)
    field = draw.transform([structure])[0]
    slope = np.random.default_rng(0).normal(size=field.shape)
    (forces,) = draw.forces([structure], [slope])
    assert forces.shape == (4, len(axes))
    step = 1e-5
    for direction in np.random.default_rng(1).normal(size=(2, *forces.shape)):
        ends = []
        for sign in (1, -1):
            positions = structure.positions.copy()
            positions[:, axes] += sign * step * direction
            moved = Structure(structure.numbers, positions, structure.cell, structure.pbc)
            ends.append(np.sum(slope * draw.transform([moved])[0]))
        expected = -(ends[0] - ends[1]) / (2 * step)
        assert np.sum(forces * direction) == pytest.approx(expected, rel=1e-6, abs=1e-5)
    columns = np.arange(12.0).reshape(4, 3)
    (drawn,) = draw.position_gradients([structure], [columns])
    np.testing.assert_array_equal(drawn.values, -columns[:, axes])


@pytest.mark.filterwarnings("ignore:The Gaussians of")
@pytest.mark.parametrize("name", ["slanted", "slab"])
def test_torch_and_numpy_pull_alike_on_any_lattice(name):
    torch = pytest.importorskip("torch")
    draw, structure, _ = on_lattice(*LATTICES[name], ("B", "C", "N"))
    (drawn,) = draw.position_gradients([structure])
    slope = np.random.default_rng(0).normal(size=(3, *drawn.shape))
    whole = drawn.pull(slope)
    drawn = replace(drawn, block_pixels=1)  # atom by atom
    tensor = torch.from_numpy(slope).requires_grad_()
    np.testing.assert_allclose(drawn.pull(slope), whole, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(drawn.pull(tensor).detach(), whole, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(drawn.pull, tensor, fast_mode=True)


def on_strained_pixels(structure, field_shape, width, strain, slope):
    """Total of a slope with eq. 2, on pixels, atoms and cell that are strained, skewed or not."""
    deform = np.eye(2) + strain
    cell = np.diag(structure.cell) @ deform
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in field_shape), indexing="ij"), -1)
    scaled = np.asarray(structure.positions) / structure.cell
    images = np.array([[i, j] for i in range(-3, 4) for j in range(-3, 4)])
    field = np.zeros(field_shape)
    for number, place in zip(structure.numbers, scaled - np.floor(scaled), strict=True):
        for image in images:
            away = (grid - place - image) @ cell
            field += number * np.exp(-(away**2).sum(-1) / (2 * width**2))
    return np.sum(field * slope)


@pytest.mark.parametrize("pixels", [(9, 14), (16, 12)])
def test_strain_is_the_derivative_on_strained_pixels(pixels):
    spacing, width = (0.15, 0.2), 0.25
    structure = some(np.multiply(pixels, spacing), 3, 1)
    draw = GaussianRasterizer(spacing, width, dtype="float64", cutoff=9.0).fit([structure])
    slope = np.random.default_rng(0).normal(size=pixels)
    (result,) = draw.strain_gradients([structure], [slope])
    assert on_strained_pixels(structure, pixels, width, np.zeros((2, 2)), slope) == pytest.approx(
        np.sum(slope * draw.transform([structure])[0])
    )
    step = 1e-4
    for i, j in ((0, 0), (1, 1), (0, 1)):
        strain = np.zeros((2, 2))
        strain[i, j] += 0.5
        strain[j, i] += 0.5
        expected = np.dot(
            [1, -8, 8, -1],
            [
                on_strained_pixels(structure, pixels, width, k * step * strain, slope)
                for k in (-2, -1, 1, 2)
            ],
        ) / (12 * step)
        assert result[i, j] == pytest.approx(expected, rel=1e-7, abs=1e-7)
    np.testing.assert_allclose(result, result.T, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:The Gaussians of")
@pytest.mark.parametrize("name", [None, "slanted", "slab"])
def test_what_is_known_of_strain_is_pulled_with_the_positions(name):
    torch = pytest.importorskip("torch")
    if name is None:
        structure = some(np.array([2.0, 3.0]), 4, 0)
        draw = GaussianRasterizer(0.1, 0.2, channels=("B", "C", "N")).fit([structure])
    else:
        draw, structure, _ = on_lattice(*LATTICES[name], ("B", "C", "N"))
    d, rng = len(draw.spacing_), np.random.default_rng(0)
    by_strain, forces = rng.normal(size=(3, 3)), rng.normal(size=(4, 3))
    by_strain += by_strain.T
    joined, of_strain, plain = (
        draw.position_gradients(
            [structure], given, strain_gradients=[strain], strain_weight=0.3
        )[0]
        for given, strain in (([forces], by_strain), (None, by_strain), ([forces], None))
    )  # fmt: skip
    axes = ["xyz".index(axis) for axis in draw.plane]
    in_plane = by_strain[np.ix_(axes, axes)]
    np.testing.assert_allclose(of_strain.values, 0.3 * in_plane.ravel())
    np.testing.assert_allclose(joined.values, [*of_strain.values, *-forces[:, axes].ravel()])
    np.testing.assert_array_equal(plain.values, -forces[:, axes])
    slope = rng.normal(size=(3, *plain.shape))
    (expected,) = draw.strain_gradients([structure], [np.moveaxis(slope, 0, -1)])
    result = joined.pull(slope)
    np.testing.assert_allclose(result[: d * d], 0.3 * expected.ravel(), rtol=1e-12)
    np.testing.assert_allclose(result[d * d :], plain.pull(slope).ravel(), rtol=1e-12)
    np.testing.assert_allclose(of_strain.pull(slope), result[: d * d], rtol=1e-12)
    for gradient in (joined, of_strain):
        tensor = torch.from_numpy(slope).requires_grad_()
        pulled = gradient.pull(tensor)
        np.testing.assert_allclose(pulled.detach(), gradient.pull(slope), rtol=1e-11)
        assert torch.autograd.gradcheck(gradient.pull, tensor, fast_mode=True)


def test_derivatives_with_respect_to_strain_are_symmetric_matrices():
    structure = Structure([6, 6], [[0.0, 0.0], [1.0, 0.5]], [2.0, 2.0])
    draw = GaussianRasterizer(0.1, 0.2).fit([structure])
    with pytest.raises(ValueError, match="strain gradients of 1 structures, got those of 2"):
        draw.position_gradients([structure], strain_gradients=[np.eye(2)] * 2)
    for wrong in (np.ones(3), np.eye(4), [[1.0, 2.0], [0.0, 1.0]]):
        with pytest.raises(
            ValueError, match=r"structure 0, .* symmetric matrix of shape \(2, 2\) or \(3, 3\)"
        ):
            draw.position_gradients([structure], strain_gradients=[wrong])
