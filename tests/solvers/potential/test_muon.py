"""Orthogonal updates of matrices, beside Adam for the rest."""

import pytest

torch = pytest.importorskip("torch")

from sk_ednn.solvers._potential._muon import Muon, orthogonalized  # noqa: E402


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (3, 16, 16)])
def test_singular_vectors_stay_and_values_come_near_to_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svd(orthogonalized(matrices), full_matrices=False)[1]
    assert 0.6 < values.min() <= values.max() < 1.25
    # Close to the nearest orthogonal matrix, the polar factor.
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    polar = left @ right
    overlap = (orthogonalized(matrices) * polar).sum() / polar.square().sum()
    assert overlap > 0.8


def test_the_size_of_a_gradient_changes_nothing():
    matrix = torch.randn(16, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(orthogonalized(1e-4 * matrix), orthogonalized(matrix))
    assert torch.equal(orthogonalized(torch.zeros(16, 30)), torch.zeros(16, 30))


def test_vectors_and_narrow_matrices_are_those_of_adam():
    generator = torch.Generator().manual_seed(2)
    starts = [torch.randn(shape, generator=generator) for shape in ((7,), (1, 30), (40, 8))]
    ends = []
    for make in (Muon, torch.optim.Adam):
        parameters = [torch.nn.Parameter(start.clone()) for start in starts]
        optimizer = make(parameters, lr=0.01)
        for step in range(5):
            for p in parameters:
                p.grad = torch.sin(p.detach() + step)
            optimizer.step()
        ends.append([p.detach() for p in parameters])
    for mine, adams in zip(*ends, strict=True):
        torch.testing.assert_close(mine, adams, rtol=1e-5, atol=1e-6)


def test_weights_decay_and_parameters_without_gradient_stay():
    start = torch.ones(16, 16)
    decayed, still = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    decayed.grad = torch.zeros(16, 16)
    Muon([decayed, still], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(decayed.detach(), 0.95 * start)
    assert torch.equal(still.detach(), start)


def test_steps_go_down_along_all_directions_of_a_matrix():
    """A quadratic bowl that is a thousand times as steep along one direction as along another."""
    generator = torch.Generator().manual_seed(3)
    steep = torch.logspace(0, 3, 16)[:, None]
    target = torch.randn(16, 16, generator=generator)
    weight = torch.nn.Parameter(torch.zeros(16, 16))
    optimizer = Muon([weight], lr=0.1)
    first = float((steep * (weight.detach() - target).square()).sum())
    for _ in range(150):
        optimizer.zero_grad()
        (steep * (weight - target).square()).sum().backward()
        optimizer.step()
    last = float((steep * (weight.detach() - target).square()).sum())
    assert last < 0.01 * first
