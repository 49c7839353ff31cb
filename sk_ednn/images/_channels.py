"""Channels of a picture as colours, as microscopists merge them, for drawing."""

from __future__ import annotations

import numpy as np

# Percentiles of the levels that are drawn darkest and brightest.
_DARK, _LIGHT = 1.0, 99.0
# Colours that are far apart for all eyes where two are merged; blue is a light one, to be seen.
_BLUE, _GREEN, _RED, _GREY = (40, 90, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)
_CYAN, _MAGENTA, _YELLOW = (0, 255, 255), (255, 0, 255), (255, 255, 0)
_OF_TWO = (("green", _GREEN), ("magenta", _MAGENTA))
_OF_MORE = (
    ("blue", _BLUE), ("green", _GREEN), ("red", _RED), ("grey", _GREY), ("cyan", _CYAN),
    ("magenta", _MAGENTA), ("yellow", _YELLOW),
)  # fmt: skip
# Levels of 255 between the darkest and the brightest of a photograph that is drawn as it is.
_LEAST_CONTRAST = 64
_STRIP_PIXELS = 1 << 22


def channels_in_words(picture) -> str:
    """Return the colours in which channels are drawn; empty for grey and for colour photographs.

    Parameters
    ----------
    picture : Picture

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images import as_picture
    >>> from sk_ednn.images._channels import channels_in_words
    >>> stain = as_picture(np.zeros((8, 9, 2), np.uint16), channel_axis=-1)
    >>> channels_in_words(stain)
    'channel 1 green, 2 magenta; white where both are bright'
    >>> (
    ...     channels_in_words(as_picture(np.zeros((8, 9)))),
    ...     channels_in_words(as_picture(np.zeros((8, 9, 9)), channel_axis=-1)),
    ... )
    ('', 'the brightest of 9 channels in grey')
    """
    colours = _colours_of(picture)
    if not colours:
        return ""
    if len(colours) < picture.n_channels:
        return f"the brightest of {picture.n_channels} channels in grey"
    words = "channel " + ", ".join(f"{k} {name}" for k, (name, _) in enumerate(colours, 1))
    return f"{words}; white where both are bright" if colours == _OF_TWO else words


def drawn_pixels(picture, step) -> tuple[np.ndarray, np.ndarray]:
    """Return every `step`-th pixel of a picture, read in strips, as colours and in grey.

    Each channel is stretched over its own levels. A colour photograph keeps its colours, by which
    people know the objects; one that is flat or has other levels than from 0 to 255 is stretched
    over the levels of all its channels. The grey of several channels is the brightest of them, so
    that none is lost.

    Parameters
    ----------
    picture : Picture
        Of a stack, the mean over the planes is drawn.
    step : int

    Returns
    -------
    colours : ndarray of shape (height, width, 3)
    grey : ndarray of shape (height, width)
        Both from 0 to 255.
    """
    values = _read(picture, step)
    if picture.n_channels == 1 or picture.is_rgb:
        if picture.is_rgb and _is_photograph(values, picture.dtype):
            return values, values.mean(axis=-1)
        grey = _stretched(values.mean(axis=-1))
        colours = _stretched(values) if picture.is_rgb else grey[..., None].repeat(3, axis=-1)
        return 255 * colours, 255 * grey
    levels = np.stack([_stretched(channel) for channel in np.moveaxis(values, -1, 0)], axis=-1)
    grey, colours = levels.max(axis=-1), _colours_of(picture)
    if len(colours) < picture.n_channels:
        return 255 * grey[..., None].repeat(3, axis=-1), 255 * grey
    merged = levels @ np.array([colour for _, colour in colours], dtype=np.float64)
    return merged.clip(0, 255), 255 * grey


def _colours_of(picture) -> tuple:
    """Return the names and colours of the channels; one grey if there are too many."""
    n = picture.n_channels
    if n == 1 or picture.is_rgb:
        return ()
    if n > len(_OF_MORE):
        return (("grey", _GREY),)
    return _OF_TWO if n == 2 else _OF_MORE[:n]


def _read(picture, step) -> np.ndarray:
    """Return pixels as (height, width, n_channels), float64."""
    strips = []
    *planes, height, width = picture.grid
    rows = max(step, _STRIP_PIXELS // max(1, width) // step * step)
    for start in range(0, height, rows):
        box = (*(slice(0, n) for n in planes), slice(start, min(start + rows, height)),
               slice(0, width), slice(0, picture.n_channels))  # fmt: skip
        values = picture.read(box)[..., ::step, ::step, :].astype(np.float64)
        strips.append(values.reshape(-1, *values.shape[-3:]).mean(axis=0))
    return np.concatenate(strips)


def _is_photograph(values, dtype) -> bool:
    """Return whether levels can be seen as they are."""
    if dtype != np.uint8:
        return False
    low, high = np.percentile(values, (_DARK, _LIGHT))
    return high - low >= _LEAST_CONTRAST


def _stretched(values) -> np.ndarray:
    """Return levels from 0 to 1, with few beyond."""
    low, high = np.percentile(values, (_DARK, _LIGHT))
    return ((values - low) / (high - low if high > low else 1.0)).clip(0, 1)
