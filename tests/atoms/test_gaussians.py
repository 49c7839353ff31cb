"""Sums of Gaussians against the plain sum over all periodic images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.atoms import _gaussians
from sk_ednn.atoms._gaussians import _Stripes, draw_gaussians


def plain_sum(centres, image, weights, shape, width):
    """Every image of every Gaussian within nine widths, at every pixel."""
    fields = np.zeros(shape)
    factors = []
    for axis in range(2):
        n = shape[axis + 1]
        far = int(np.ceil(9 * width[axis] / n)) + 1
        shifts = n * np.arange(-far, far + 1)
        d = np.arange(n)[:, None] - centres[:, axis, None, None] - shifts
        factors.append(np.exp(-((d / width[axis]) ** 2) / 2).sum(axis=-1))
    for m, w, g, h in zip(image, weights, *factors, strict=True):
        fields[m] += w * np.outer(g, h)
    return fields


@pytest.mark.parametrize("width", [(2.0, 2.0), (0.6, 4.5)])
@pytest.mark.parametrize(
    ("shape", "dtype", "tolerance"),
    [
        ((1, 64, 64), "float32", 1e-6),
        ((3, 61, 47), "float32", 1e-6),
        ((3, 61, 47), "float64", 1e-12),
        ((2, 5, 90), "float64", 1e-12),
        ((2, 90, 5), "float64", 1e-12),
        ((1, 1, 1), "float64", 1e-12),  # a thousand images of each Gaussian in one pixel
    ],
)
def test_equals_the_plain_sum(shape, width, dtype, tolerance, rng):
    n = 40
    centres = rng.random((n, 2)) * shape[1:]
    image, weights = rng.integers(shape[0], size=n), rng.random(n)
    out = np.zeros(shape, dtype=dtype)
    draw_gaussians(centres, image, weights, out, width=width, cutoff=7.5)
    expected = plain_sum(centres, image, weights, shape, width)
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("centre", [50.0, 50.3, 50.45, 50.55])
@pytest.mark.parametrize("reach", [12.0, 12.4, 12.6])
def test_draws_to_the_cutoff_and_at_most_a_pixel_beyond(centre, reach):
    out = np.zeros((1, 101, 101))
    centres = np.array([[centre, 50.0]])
    draw_gaussians(
        centres, np.zeros(1, int), np.ones(1), out, width=(4, 4), cutoff=reach / 4 + 1e-9
    )
    distance = np.abs(np.arange(101) - centre)
    drawn = out[0, :, 50] > 0
    assert drawn[distance <= reach].all()
    assert not drawn[distance > reach + 1].any()


@pytest.mark.parametrize("shape", [(1, 640, 640), (40, 131, 67)])
def test_threads_change_no_bit(shape, rng):
    n = 5_000
    centres, image = rng.random((n, 2)) * shape[1:], rng.integers(shape[0], size=n)
    one, two = np.zeros(shape, dtype="float32"), np.zeros(shape, dtype="float32")
    draw_gaussians(centres, image, np.ones(n), one, width=(2, 2), cutoff=6)
    draw_gaussians(centres, image, np.ones(n), two, width=(2, 2), cutoff=6, n_jobs=2)
    assert one.any()
    assert np.array_equal(one, two)


@pytest.mark.parametrize("n_rows", [61, 97, 131, 200])
def test_stripes_agree_to_the_bit_where_they_overlap(n_rows, rng, monkeypatch):
    """So it makes no difference which thread writes last: here each does, in its turn."""

    def last_first(**params):
        return lambda tasks: [f(*args, **kwargs) for f, args, kwargs in reversed(list(tasks))]

    n = 2_000
    centres, weights = rng.random((n, 2)) * [n_rows, 40], rng.random(n)
    one, two = (np.zeros((1, n_rows, 40), dtype="float32") for _ in range(2))
    args = {"width": (2.3, 2.3), "cutoff": 6.0, "n_jobs": 2, "pixels_per_task": 1}
    draw_gaussians(centres, np.zeros(n, int), weights, one, **args)
    monkeypatch.setattr(_gaussians, "Parallel", last_first)
    draw_gaussians(centres, np.zeros(n, int), weights, two, **args)
    assert np.array_equal(one, two)


@given(st.integers(1, 400), st.integers(0, 90), st.data())
def test_each_gaussian_meets_every_stripe_in_its_reach(n_rows, reach, data):
    stripes = _Stripes.cut(n_rows, reach)
    row = data.draw(st.integers(0, n_rows))
    index, stripe, offset = stripes.meet(np.array([row]))
    assert set(index) == {0}
    expected = {
        (s, row + wrapped - r - first)
        for r in range(row - reach, row + reach + 1)
        for s, first in enumerate(stripes.first.tolist())
        if first <= (wrapped := r % n_rows) < first + stripes.width
    }
    assert set(zip(stripe.tolist(), offset.tolist(), strict=True)) == expected
    assert len(stripe) == len(expected)
