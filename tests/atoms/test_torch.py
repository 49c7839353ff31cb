"""Fields in torch are those of the rasteriser, and their derivatives are right."""

import numpy as np
import pytest

from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.structures import Structure

torch = pytest.importorskip("torch")

from sk_ednn.atoms import TorchRasterizer  # noqa: E402

SLANTED = np.array([[1.2, 0, 0], [0.4, 1.1, 0], [-0.3, 0.25, 1.0]])
CASES = {
    "sheet": ("xy", np.diag([2.0, 2.4, 9.0]), (True, True, False), (0.1, 0.15)),
    "plane xz": ("xz", np.diag([2.0, 9.0, 2.4]), (True, False, True), 0.1),
    "slanted": ("xy", np.array([[2.4, 0, 0], [-1.05, 1.82, 0], [0, 0, 9]]), True, None),
    "open": ("xy", np.diag([2.0, 2.4, 9.0]), (True, False, False), 0.1),
    "box": ("xyz", np.diag([1.0, 1.2, 0.8]), True, 0.1),
    "triclinic": ("xyz", SLANTED, True, None),
    "slab": ("xyz", SLANTED, (True, True, False), None),
}
pytestmark = pytest.mark.filterwarnings("ignore:The Gaussians of")


def fitted(plane, cell, pbc, spacing, n_atoms=5, width=0.2, **params):
    rng = np.random.default_rng(2)
    scaled = rng.uniform(0.05, 0.95, (n_atoms, 3)) + np.where(pbc, rng.integers(-2, 3, 3), 0)
    if plane != "xyz":  # a sheet, whose heights do not matter
        scaled[:, "xyz".index(*set("xyz") - set(plane))] *= 0.02
    structure = Structure(rng.choice([5, 6, 7], n_atoms), scaled @ cell, cell, pbc)
    if spacing is None:
        axes = ["xyz".index(axis) for axis in plane]
        spacing = tuple(np.sqrt((cell[axes] ** 2).sum(axis=1)) / (7, 6, 5)[: len(axes)])
    draw = GaussianRasterizer(spacing, width, plane=plane, dtype="float64", **params)
    return draw.fit([structure]), structure


def tensors(structure, dtype=torch.float64, **options):
    return [torch.tensor(a, dtype=dtype, **options) for a in (structure.positions, structure.cell)]


@pytest.mark.parametrize("channels", [None, ["C", "N", "B"]])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_fields_are_those_of_the_rasteriser(case, channels):
    draw, structure = fitted(*case, channels=channels)
    expected = draw.transform([structure])[0]
    field = TorchRasterizer(draw)(structure.numbers, *tensors(structure))
    assert field.dtype == torch.float64
    np.testing.assert_allclose(field, expected, rtol=0, atol=1e-12 * expected.max())
    single = TorchRasterizer(draw)(structure.numbers, *tensors(structure, torch.float32))
    np.testing.assert_allclose(single, expected, rtol=0, atol=2e-5 * expected.max())
    atom_by_atom = TorchRasterizer(draw)
    atom_by_atom.pixels_per_block = 1
    field = atom_by_atom(torch.tensor(structure.numbers), *tensors(structure))
    np.testing.assert_allclose(field, expected, rtol=0, atol=1e-12 * expected.max())


@pytest.mark.parametrize("plane", ["xy", "xyz"])
def test_atoms_on_the_border_of_two_pixels_are_drawn_alike(plane):
    """Rounding decides which is the nearest, and so how far the Gaussian is drawn."""
    cell = np.array([[1.2, 0, 0], [-0.6, 0.6 * 3**0.5, 0], [0, 0, 1.3]])
    scaled = (np.indices((3, 3, 3)).reshape(3, -1).T + 0.5) / [12, 12, 13]
    structure = Structure(np.full(27, 6), scaled @ cell, cell, (True, True, plane == "xyz"))
    draw = GaussianRasterizer(0.1, 0.25, plane=plane, dtype="float64", cutoff=3.0)
    if plane == "xy":
        structure = Structure(np.full(9, 6), structure.positions[::3], cell, (True, True, False))
    expected = draw.fit_transform([structure])[0]
    field = TorchRasterizer(draw)(structure.numbers, *tensors(structure))
    np.testing.assert_allclose(field, expected, rtol=0, atol=1e-12 * expected.max())


@pytest.mark.parametrize("name", ["slanted", "open", "slab"])
def test_derivatives_with_respect_to_positions_and_cell(name):
    """Of first and second order, along random directions."""
    draw, structure = fitted(*CASES[name][:3], None, n_atoms=2, width=0.3, cutoff=6.5)
    shape = draw.transform([structure])[0].shape
    rng = np.random.default_rng(0)
    slope = torch.tensor(rng.normal(size=shape))
    torch_draw = TorchRasterizer(draw)

    def total(positions, cell):
        field = torch_draw(structure.numbers, positions, cell, shape)
        return (slope * field).sum() + (field**2).sum() / 2

    # In a plane, of what lies in it: an edge that leaves it is refused.
    d = len(shape)
    flat = Structure(None, structure.positions[:, :d], structure.cell[:d, :d])
    arguments = tensors(flat, requires_grad=True)
    assert torch.autograd.gradcheck(total, arguments, fast_mode=True, atol=1e-5, rtol=1e-6)
    assert torch.autograd.gradgradcheck(total, arguments, fast_mode=True, atol=1e-4, rtol=1e-5)


def test_forces_are_those_of_the_rasteriser():
    draw, structure = fitted(*CASES["triclinic"], channels="species")
    slope = np.random.default_rng(0).normal(size=draw.transform([structure])[0].shape)
    positions, cell = tensors(structure, requires_grad=True)
    field = TorchRasterizer(draw)(structure.numbers, positions, cell)
    (result,) = torch.autograd.grad((torch.tensor(slope) * field).sum(), positions)
    np.testing.assert_allclose(-result, draw.forces([structure], [slope])[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["slanted", "triclinic", "slab"])
def test_strains_are_those_of_the_rasteriser(name):
    draw, structure = fitted(*CASES[name], channels="species")
    field = draw.transform([structure])[0]
    slope = np.random.default_rng(0).normal(size=field.shape)
    d = field.ndim - 1
    strain = torch.zeros(d, d, dtype=torch.float64, requires_grad=True)
    positions, cell = tensors(Structure(None, structure.positions[:, :d], structure.cell[:d, :d]))
    moved = torch.eye(d) + (strain + strain.T) / 2
    field = TorchRasterizer(draw)(
        structure.numbers, positions @ moved, cell @ moved, field.shape[:d]
    )
    (expected,) = torch.autograd.grad((torch.tensor(slope) * field).sum(), strain)
    (drawn,) = draw.position_gradients([structure])
    result = drawn.strain(np.moveaxis(slope, -1, 0))
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9 * np.abs(result).max())


def test_a_uniform_strain_scales_the_field():
    """Positions, cell and width larger by one factor: the same numbers, on strained pixels."""
    draw, structure = fitted(*CASES["triclinic"])
    positions, cell = tensors(structure)
    shape = draw.transform([structure])[0].shape
    expected = TorchRasterizer(draw)(structure.numbers, positions, cell)
    wider = GaussianRasterizer(**draw.get_params() | {"width": draw.width * 1.05}).fit([structure])
    field = TorchRasterizer(wider)(structure.numbers, positions * 1.05, cell * 1.05, shape)
    np.testing.assert_allclose(field, expected, rtol=0, atol=1e-6 * float(expected.max()))


def test_what_cannot_be_drawn_is_refused():
    draw, structure = fitted(*CASES["box"])
    drawn, (positions, cell) = TorchRasterizer(draw), tensors(structure)
    with pytest.raises(ValueError, match="must be a whole number"):
        drawn(structure.numbers, positions, cell * 1.01)
    with pytest.raises(ValueError, match="more than a tenth from the fitted"):
        drawn(structure.numbers, positions, cell * 1.2, (10, 12, 8))
    with pytest.raises(ValueError, match="for each of the axes xyz"):
        drawn(structure.numbers, positions, cell, (10, 12))
    with pytest.raises(ValueError, match="Positions must be finite"):
        drawn(structure.numbers, positions * torch.nan, cell)
    with pytest.raises(TypeError, match="positions and cell as tensors"):
        drawn(structure.numbers, positions, structure.cell)
    with pytest.raises(ValueError, match="has no atoms"):
        drawn(structure.numbers[:0], positions[:0], cell)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_on_a_gpu(case):
    draw, structure = fitted(*case, channels="species")
    expected = draw.transform([structure])[0]
    positions, cell = (t.cuda().requires_grad_() for t in tensors(structure))
    field = TorchRasterizer(draw)(structure.numbers, positions, cell)
    assert field.device == positions.device
    field.pow(2).sum().backward()
    np.testing.assert_allclose(field.detach().cpu(), expected, rtol=0, atol=1e-12 * expected.max())
    on_cpu = [t.detach().cpu().requires_grad_() for t in (positions, cell)]
    TorchRasterizer(draw)(structure.numbers, *on_cpu).pow(2).sum().backward()
    for here, there in zip(on_cpu, (positions, cell), strict=True):
        np.testing.assert_allclose(there.grad.cpu(), here.grad, rtol=1e-9, atol=1e-9)


# The cell, and the edges by which an atom is moved to coincide with another.
IMAGES = {
    "in the cell": (np.diag([2.0, 2.4, 9.0]), (0, 0, 0)),
    "one edge": (np.diag([2.0, 2.4, 9.0]), (1, 0, 0)),
    "two edges": (np.diag([2.0, 2.4, 9.0]), (-1, 2, 0)),
    "the normal": (np.diag([2.0, 2.4, 9.0]), (0, 0, 1)),
    "all": (np.diag([2.0, 2.4, 9.0]), (2, -1, -1)),
    "downwards": (np.diag([2.0, 2.4, -9.0]), (0, 0, 1)),
}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("first", [(0.3, 0.4, 0.02), (0.0, 0.0, 0.0), (0.999999, 0.5, 0.999999)])
def test_coincident_atoms_are_rejected_across_every_period(image, first):
    cell, edges = IMAGES[image]
    flat = np.array([[0.1, 0.1, 0.0], [0.6, 0.7, 0.0]]) @ cell
    draw = GaussianRasterizer(0.1, 0.2).fit([Structure([6, 6], flat, cell)])
    scaled = np.array([first, (0.6, 0.7, first[2]), np.add(first, edges)])
    structure = Structure([6, 6, 6], scaled @ cell, cell)
    words = r"atom 0, and atom 2 of it are .* apart, periodic images included"
    with pytest.raises(ValueError, match=words):
        draw.transform([structure])
    with pytest.raises(ValueError, match=words):
        TorchRasterizer(draw)(structure.numbers, *tensors(structure), pbc=True)
    structure.positions[2] += [0.5, 0.0, 0.0]
    expected = draw.transform([structure])[0]
    field = TorchRasterizer(draw)(structure.numbers, *tensors(structure), pbc=True)
    np.testing.assert_allclose(field, expected, rtol=0, atol=1e-6)


def test_other_boundaries_are_rejected():
    draw, structure = fitted(*CASES["open"])
    for shape in (None, (20, 24)):
        with pytest.raises(
            ValueError,
            match=r"periodic axes \[True, False\] along xy|periodic along x and open along y",
        ):
            TorchRasterizer(draw)(structure.numbers, *tensors(structure), shape, pbc=True)
