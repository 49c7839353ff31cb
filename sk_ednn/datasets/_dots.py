"""Images of dots to count (Mills et al. 2019, Fig. 1)."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._utils.seeding import generator

# Discs put down at random, one after another, jam at a coverage of 0.547. Well below that a free
# place is found in a few tries.
_DENSEST = 0.4


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "shape": ["array-like"],
        "task": [StrOptions({"count", "neighbours"})],
        "n_dots": [Interval(Integral, 0, None, closed="left"), "array-like", None],
        "radius": [Interval(Real, 1, None, closed="left")],
        "reach": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_dots(
    n_samples=100,
    shape=(64, 64),
    *,
    task="count",
    n_dots=None,
    radius=2.5,
    reach=None,
    random_state=None,
    return_X_y=False,
):
    """Draw periodic images of dots, with exact counts.

    The number of dots differs between samples, so that sparse and crowded images occur. Dots may be
    anywhere, also between pixels, and never overlap. A dot is ``(1 - d**2 / radius**2)**2`` at
    distance d from its centre, and exactly 0 outside its radius.

    Parameters
    ----------
    n_samples : int, default=100

    shape : pair of int, default=(64, 64)
        Pixels along each axis, at least ``4 * radius``.

    task : {"count", "neighbours"}, default="count"
        "count": dots of one colour; the target is their number. "neighbours": dots of two
        colours, each in its own channel; the target is the number of pairs of dots of
        different colours whose centres are at most `reach` apart.

    n_dots : int, pair of int or None, default=None
        The number of dots, or the lowest and highest of a uniform distribution. ``None`` means from
        0 to as many as cover 30 % of the image, but at least one. Coverage above 40 % is rejected.

    radius : float, default=2.5, in pixels
        Radius of a dot.

    reach : float or None, default=None, in pixels
        Largest distance between centres of neighbours; must be less than half of each axis.
        ``None`` means ``3 * radius``: half as far again as dots that touch.

    random_state : int, RandomState instance or None, default=None

    return_X_y : bool, default=False
        Return ``(fields, counts)`` instead of a `Bunch`.

    Returns
    -------
    data : Bunch
        fields : ndarray of shape (n_samples, *shape) or (n_samples, *shape, 2), float32
            The images; with two colours, channels come last.

        counts : ndarray of shape (n_samples,), float64
            The target.

        positions : list of n_samples ndarray of shape (n_dots, 2), float64, in pixels
            Centres.

        colours : list of n_samples ndarray of shape (n_dots,), int64
            The channel of each dot; 0 for "count".

    Raises
    ------
    ValueError
        If a parameter is invalid, or so many dots do not fit.

    References
    ----------
    Mills, Ryczko, Luchak, Domurad, Beeler, Tamblyn, "Extensive deep neural networks for
    transferring small scale learning to large scale systems", Chem. Sci. 2019, 10, 4129, Fig. 1.

    Examples
    --------
    All dots weigh about the same, so a sum over pixels counts them, if not exactly:

    >>> from sk_ednn.datasets import make_dots
    >>> data = make_dots(3, (64, 64), random_state=1)
    >>> data.counts
    array([46., 17.,  5.])
    >>> (data.fields.sum(axis=(1, 2)) / 6.545).round(1)
    array([46., 17.,  5.], dtype=float32)
    """
    shape = _check_shape(shape, radius)
    low, high = _check_n_dots(n_dots, shape, radius)
    reach = 3 * radius if reach is None else reach
    if task == "neighbours" and not 2 * radius <= reach < min(shape) / 2:
        raise ValueError(
            f"'reach' must be at least 2 * radius = {2 * radius}, where dots touch, and less than "
            f"half the shortest axis, {min(shape) / 2}. Got {reach} instead."
        )
    rng = generator(random_state)
    numbers = rng.integers(low, high, size=n_samples, endpoint=True)
    centres = _place(numbers, shape, 2 * radius, rng)
    sample, dot = np.nonzero(np.arange(centres.shape[1]) < numbers[:, None])
    if task == "count":
        colours, n_channels = np.zeros(len(sample), dtype=np.int64), 1
        counts = numbers.astype(np.float64)
    else:
        colours, n_channels = rng.integers(2, size=len(sample)), 2
        counts = _count_unlike(centres, numbers, sample, dot, colours, shape, reach)
    fields = np.zeros((n_samples, *shape, n_channels), dtype=np.float32)
    _draw(fields, sample, centres[sample, dot], colours, radius)
    if task == "count":
        fields = fields[..., 0]
    if return_X_y:
        return fields, counts
    ends = np.cumsum(numbers)[:-1]
    return Bunch(
        fields=fields,
        counts=counts,
        positions=np.split(centres[sample, dot], ends),
        colours=np.split(colours, ends),
    )


def _check_shape(shape, radius):
    axes = tuple(shape)
    if len(axes) != 2 or not all(isinstance(n, Integral) and n >= 4 * radius for n in axes):
        raise ValueError(
            "The 'shape' parameter must be two integers of at least 4 * radius = "
            f"{4 * radius} pixels. Got {shape!r} instead."
        )
    return tuple(int(n) for n in axes)


def _check_n_dots(n_dots, shape, radius):
    area = np.pi * radius**2 / (shape[0] * shape[1])
    if n_dots is None:
        return 0, max(1, int(0.3 / area))
    pair = (n_dots, n_dots) if isinstance(n_dots, Integral) else tuple(n_dots)
    if (
        len(pair) != 2
        or not all(isinstance(n, Integral) for n in pair)
        or not (0 <= pair[0] <= pair[1])
    ):
        raise ValueError(
            "The 'n_dots' parameter must be a count or a pair (lowest, highest) of counts. "
            f"Got {n_dots!r} instead."
        )
    most = max(1, int(_DENSEST / area))
    if pair[1] > most:
        raise ValueError(
            f"At most {most} dots of radius {radius} can be put at random on {shape[0]} by "
            f"{shape[1]} pixels. Got n_dots={n_dots!r}; use fewer or smaller dots or more pixels."
        )
    return pair


def _separation(one, other, shape):
    """Distances between points of a periodic image."""
    apart = one - other
    apart -= np.round(apart / shape) * shape
    return np.sqrt((apart**2).sum(axis=-1))


def _place(numbers, shape, apart, rng):
    """Points no closer than `apart`, one try for each unfinished sample at a time.

    Returns ndarray of shape (n_samples, max(numbers), 2); a sample's points come first.
    """
    centres = np.zeros((len(numbers), max(numbers.max(), 1), 2))
    placed = np.zeros_like(numbers)
    while (waiting := np.flatnonzero(placed < numbers)).size:
        tried = rng.random((waiting.size, 2)) * shape
        most = placed[waiting].max()
        near = _separation(centres[waiting, :most], tried[:, None], shape) < apart
        near &= np.arange(most) < placed[waiting, None]
        free = ~near.any(axis=1)
        fits = waiting[free]
        centres[fits, placed[fits]] = tried[free]
        placed[fits] += 1
    return centres


def _count_unlike(centres, numbers, sample, dot, colours, shape, reach):
    """Pairs of dots of different colours within reach of each other, for each sample."""
    colour = np.full(centres.shape[:2], -1)
    colour[sample, dot] = colours
    counts = np.zeros(len(numbers))
    for k in range(1, centres.shape[1]):  # dot k against all those before it
        several = np.flatnonzero(numbers > k)
        close = _separation(centres[several, :k], centres[several, k : k + 1], shape) <= reach
        unlike = colour[several, :k] != colour[several, k : k + 1]
        counts[several] += np.count_nonzero(close & unlike, axis=1)
    return counts


def _draw(fields, sample, centres, channel, radius):
    """Draw dots into zeros; as none overlap, each pixel is written at most once."""
    shape = np.array(fields.shape[1:3])
    nearest = np.rint(centres).astype(np.int64)
    span = np.arange(-int(radius + 1), int(radius + 1) + 1)
    dx = nearest[:, 0, None] + span - centres[:, 0, None]
    dy = nearest[:, 1, None] + span - centres[:, 1, None]
    value = 1 - (dx[:, :, None] ** 2 + dy[:, None, :] ** 2) / radius**2
    dot, i, j = np.nonzero(value > 0)
    x = (nearest[dot, 0] + span[i]) % shape[0]
    y = (nearest[dot, 1] + span[j]) % shape[1]
    fields[sample[dot], x, y, channel[dot]] = value[dot, i, j] ** 2
