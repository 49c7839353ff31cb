"""Pictures of fields, tiles and contributions as PNG, by the code of the displays."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager

import numpy as np

from .._utils.optional import needing

# matplotlib keeps its own settings for all threads.
_LOCK = threading.Lock()
_GREY = "#7d8a94"
# Readable on a light and on a dark page.
_STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": _GREY,
    "axes.labelcolor": _GREY,
    "axes.titlecolor": _GREY,
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "legend.labelcolor": _GREY,
    "font.size": 11,
}
_DPI = 110


@contextmanager
def _figure(width, height):
    """Yield a figure, and a list to which its PNG is added."""
    with needing("Drawing"):
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    with _LOCK, rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        drawn = []
        yield figure, drawn
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", transparent=True)
        drawn.append(buffer.getvalue())


def tiling_png(tiling, field) -> bytes:
    """Return a picture of one field with the tiles that cut it.

    Parameters
    ----------
    tiling : GridTiling
    field : ndarray of shape (height, width) or, with channels, of 3 axes
    """
    from ..inspection import TilingDisplay

    with _figure(4.2, 4.4) as (figure, drawn):
        TilingDisplay.from_tiling(tiling, np.asarray(field)[None], ax=figure)
    return drawn[0]


def field_png(field) -> bytes:
    """Return a picture of a field: a curve of one axis, an image of two, slices of three."""
    field = np.asarray(field, dtype=np.float64)
    while field.ndim > 3:
        field = field[field.shape[0] // 2]
    planes = [field]
    if field.ndim == 3:
        channels = min(field.shape) <= 4
        axis = int(np.argmin(field.shape)) if channels else 0
        n = field.shape[axis]
        some = range(n) if channels else sorted({n // 4, n // 2, 3 * n // 4})
        planes = [np.take(field, k, axis=axis) for k in some]
    with _figure(3.4 * min(len(planes), 3) + 0.4, 3.4) as (figure, drawn):
        axes = figure.subplots(1, len(planes), squeeze=False)[0]
        for ax, plane in zip(axes, planes, strict=True):
            if plane.ndim < 2:
                ax.plot(np.atleast_1d(plane), color="#0072b2", lw=1.5)
                ax.spines[["top", "right"]].set_visible(False)
            else:
                ax.imshow(plane, cmap="viridis", interpolation="nearest")
                ax.set_axis_off()
    return drawn[0]


def map_png(field, contributions) -> bytes:
    """Return a field beside what its tiles contribute.

    Parameters
    ----------
    field : ndarray of shape (height, width) or (length,), or None
    contributions : ndarray of the same number of axes
    """
    from ..inspection import ContributionDisplay

    width = 7.6 if field is not None else 4.2
    with _figure(width, 3.6) as (figure, drawn):
        ContributionDisplay(np.asarray(contributions), field).plot(figure)
    return drawn[0]


def parity_png(true, predicted, groups=None) -> bytes:
    """Return predicted against true totals, as `ParityDisplay` draws them."""
    from ..inspection import ParityDisplay

    with _figure(4.4, 3.8) as (figure, drawn):
        ParityDisplay.from_predictions(true, predicted, groups=groups, ax=figure)
    return drawn[0]


def thumbnail(path, side=320) -> tuple[bytes, str]:
    """Return a small picture as PNG, and the colours of its channels in words.

    Parameters
    ----------
    path : path-like
    side : int, default=320
        Pixels of the longer side; pictures of up to twice as many are drawn whole.

    Returns
    -------
    png : bytes
    words : str
        Empty for grey, and for colour photographs.
    """
    from ..images import read_pictures
    from ..images._channels import channels_in_words
    from ..images._overlay import picture_image

    picture = read_pictures(str(path))[0]
    image = picture_image(picture)
    if max(image.size) > 2 * side:
        image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue(), channels_in_words(picture)
