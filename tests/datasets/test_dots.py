"""Images of dots against drawing and counting them one by one."""

import numpy as np
import pytest

from sk_ednn.datasets import make_dots


def apart(points, shape):
    """All distances between points of a periodic image."""
    d = np.abs(points[:, None] - points[None])
    d = np.minimum(d, np.array(shape) - d)
    return np.sqrt((d**2).sum(axis=-1))


def plain_image(points, shape, radius):
    image = np.zeros(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            d = np.abs(np.array([i, j]) - points)
            d2 = (np.minimum(d, np.array(shape) - d) ** 2).sum(axis=-1)
            image[i, j] = (np.maximum(1 - d2 / radius**2, 0) ** 2).sum()
    return image


@pytest.mark.parametrize(
    ("shape", "n_dots", "radius"),
    [((20, 31), (0, 4), 2.5), ((24, 16), 7, 2.1), ((30, 30), (28, 35), 1.7), ((16, 16), 1, 4.0)],
)
def test_dots_are_drawn_where_they_lie_and_counted(shape, n_dots, radius):
    data = make_dots(6, shape, n_dots=n_dots, radius=radius, random_state=0)
    assert data.fields.shape == (6, *shape)
    assert data.fields.dtype == np.float32
    low, high = np.broadcast_to(n_dots, 2)
    for field, count, points in zip(data.fields, data.counts, data.positions, strict=True):
        assert low <= count <= high
        assert len(points) == count
        assert ((points >= 0) & (points < shape)).all()
        np.testing.assert_allclose(field, plain_image(points, shape, radius), atol=1e-6)
        between = apart(points, shape) + 4 * radius * np.eye(len(points))
        assert (between >= 2 * radius).all()


def test_neighbours_of_other_colours_are_counted():
    shape, radius = (40, 36), 2.0
    data = make_dots(20, shape, task="neighbours", radius=radius, reach=5.5, random_state=0)
    assert data.fields.shape == (20, *shape, 2)
    for k in range(20):
        points, colours = data.positions[k], data.colours[k]
        close = apart(points, shape) <= 5.5
        assert data.counts[k] == (close & (colours[:, None] < colours)).sum()
        for c in range(2):
            image = plain_image(points[colours == c], shape, radius)
            np.testing.assert_allclose(data.fields[k, ..., c], image, atol=1e-6)
    assert data.counts.max() > 10
    wider = make_dots(20, shape, task="neighbours", radius=radius, reach=9, random_state=0)
    assert (wider.counts > data.counts).any()
    assert (wider.counts >= data.counts).all()


def test_numbers_of_dots_are_spread_from_none_to_crowded():
    data = make_dots(400, (32, 32), radius=2.0, random_state=0)
    numbers = np.bincount(data.counts.astype(int))
    assert len(numbers) == 1 + int(0.3 * 32 * 32 / (np.pi * 4))
    assert (numbers > 0).all()


def test_returned_as_arrays_and_repeatable():
    data = make_dots(5, random_state=0)
    X, y = make_dots(5, random_state=0, return_X_y=True)
    assert np.array_equal(X, data.fields)
    assert np.array_equal(y, data.counts)
    assert not np.array_equal(make_dots(5, random_state=1).fields, X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"shape": (64,)}, "two integers of at least 4 [*] radius"),
        ({"shape": (64, 9)}, "two integers of at least"),
        ({"n_dots": 200}, "At most 83 dots of radius 2.5 .* Got n_dots=200; use fewer or smaller"),
        ({"n_dots": (5, 3)}, "a pair .lowest, highest. of counts"),
        ({"task": "neighbours", "reach": 4.0}, "at least 2 [*] radius = 5.0"),
        ({"task": "neighbours", "reach": 32.0}, "less than half the shortest axis, 32.0"),
        ({"task": "area"}, "'task' parameter of make_dots"),
        ({"radius": 0.5}, "'radius' parameter of make_dots"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        make_dots(**params)
