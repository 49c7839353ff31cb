"""Maps drawn over their pictures, with a legend."""

from __future__ import annotations

import io
import unicodedata

import numpy as np

from .._utils.optional import needing
from .._utils.wording import plain
from .._utils.writing import replacing
from ._channels import channels_in_words, drawn_pixels
from ._marks import draw_rings, ring_positions
from ._peaks import haze

# Largest length of an overlay along its longer side.
_LARGEST_OVERLAY = 4096
# What is drawn fully opaque, as a share of the highest contributions.
_FULL = 0.995
_COLOURS = np.array([[255, 225, 60], [255, 120, 0], [215, 0, 60]], dtype=np.float64)
_QUALITY = 80  # of the compression of previews
_LEAST_FONT = 12  # height of the letters of a legend, in pixels
_HAZE = 0.05  # share of a total from which haze is named
_GAPS = 40  # widths of the gap between a picture and its overlay, in one of the picture


def full_colour(contributions) -> float:
    """Return the contribution that a picture has in the strongest colour.

    Parameters
    ----------
    contributions : ndarray of shape (*tile_grid,)
        Those of the planes of a stack are added up.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._overlay import full_colour
    >>> full_colour(np.full((3, 4), 0.5)), full_colour(np.full((2, 3, 4), 0.5))
    (0.5, 1.0)
    """
    return float(np.quantile(_in_a_plane(contributions), _FULL))


def write_overlay(path, picture, contributions, focus, full=None, title="") -> None:
    """Draw a map over its picture, as PNG, with rings around its peaks and a legend below.

    Of several channels, the picture is beside it, with the channels in colours. Pictures that are
    narrower than the legend are enlarged by a whole number; where they would be too long, white is
    beside them.

    Parameters
    ----------
    path : str or Path
    picture : Picture
    contributions : ndarray of shape (*tile_grid,)
        For a stack the sum over the planes is drawn over their mean.
    focus : tuple of int
    full, title
        As for `drawn_overlay`.
    """
    png = overlay_png(
        picture, contributions, focus, legend=True, beside=picture.n_channels > 1, full=full,
        rings=True, title=title,
    )  # fmt: skip
    with replacing(path, "wb") as file:
        file.write(png)


def overlay_png(picture, contributions, focus, **options) -> bytes:
    """Return the bytes of a PNG with a map over its picture, as `write_overlay` writes it.

    Parameters
    ----------
    picture, contributions, focus
        As for `write_overlay`.
    **options
        As for `drawn_overlay`.
    """
    image, pixels = drawn_overlay(picture, contributions, focus, **options)
    size = picture.pixel_size
    stated = {} if size is None else {"dpi": size.times((pixels, pixels)).per_inch}
    out = io.BytesIO()
    image.save(out, format="PNG", **stated)
    return out.getvalue()


def drawn_overlay(
    picture, contributions, focus, *, legend=False, beside=False, full=None, rings=False,
    title="", longest=_LARGEST_OVERLAY,
):  # fmt: skip
    """Draw a map over its picture in grey.

    Parameters
    ----------
    picture, contributions, focus
        As for `write_overlay`.
    legend : bool, default=False
        Whether the meaning of the colours is written below.
    beside : bool, default=False
        Whether the picture itself is drawn on the left of the overlay, in colours if it has any.
    full : float, default=None
        Contribution of the strongest colour, one for all pictures that are compared: the largest
        `full_colour` of them. None for that of this picture.
    rings : bool, default=False
        Whether the peaks of the map have rings, on the picture if it is beside the overlay.
    title : str, default=""
        First line of the legend, such as the name of the picture.
    longest : int, default=4096
        Largest length along the longer side, without the legend.

    Returns
    -------
    image : PIL.Image.Image
    pixels : float
        Those of the picture along a side of a pixel that is drawn.
    """
    with needing("Drawing a map", extra="images"):
        from PIL import Image, ImageDraw
    n_planes = max([1, *np.shape(contributions)[:-2]])
    values = _in_a_plane(contributions)
    height, width = picture.grid[-2:]
    step = max(1, -(-max(height, width * (1 + beside)) // longest))
    rows = np.minimum(np.arange(0, height, step) // focus[-2], values.shape[0] - 1)
    columns = np.minimum(np.arange(0, width, step) // focus[-1], values.shape[1] - 1)
    high = full_colour(contributions) if full is None else full
    level = (values / high if high > 0 else np.zeros_like(values)).clip(0, 1)[np.ix_(rows, columns)]
    colours, grey = drawn_pixels(picture, step)
    drawn = _coloured(grey, level)
    if beside:
        gap = np.full((len(drawn), max(1, drawn.shape[1] // _GAPS), 3), 255, np.uint8)
        drawn = np.concatenate([colours.round().astype(np.uint8), gap, drawn], axis=1)
    image, factor, n_rings = Image.fromarray(drawn), 1, 0
    if rings:
        positions = ring_positions(contributions, focus)
        n_rings = len(positions)
        draw_rings(ImageDraw.Draw(image), positions / step, max(focus[-2:]) / step)
    if legend:
        square = f"{focus[-2]} by {focus[-1]} pixels" + (" of all planes" if n_planes > 1 else "")
        channels = channels_in_words(picture) if beside else ""
        image, factor = _with_legend(
            image, values, high, square, float(np.median(grey)), 1 + beside, full is not None,
            _legend_of(title, n_rings, channels, beside, haze(contributions), values.sum()),
            longest,
        )  # fmt: skip
    return image, step / factor


def picture_image(picture, longest=_LARGEST_OVERLAY):
    """Draw a picture alone, in colours if it has several channels.

    Parameters
    ----------
    picture : Picture
    longest : int, default=4096
        Largest length along the longer side.

    Returns
    -------
    PIL.Image.Image
    """
    with needing("Drawing a picture", extra="images"):
        from PIL import Image
    step = max(1, -(-max(picture.grid[-2:]) // longest))
    colours, _ = drawn_pixels(picture, step)
    return Image.fromarray(colours.round().astype(np.uint8))


def preview(image) -> tuple[bytes, str]:
    """Return a picture of Pillow as compressed bytes, and their media type.

    Parameters
    ----------
    image : PIL.Image.Image
    """
    from PIL import features

    kind = "webp" if features.check("webp") else "jpeg"
    out = io.BytesIO()
    image.save(out, format=kind, quality=_QUALITY)
    return out.getvalue(), f"image/{kind}"


def _in_a_plane(contributions) -> np.ndarray:
    values = np.asarray(contributions, dtype=np.float64)
    return values.sum(axis=tuple(range(values.ndim - 2)))


def _coloured(ground, level) -> np.ndarray:
    """Return levels from 0 to 1 as colours over a grey ground, (height, width, 3), uint8."""
    place = level * (len(_COLOURS) - 1)
    left = np.minimum(place.astype(int), len(_COLOURS) - 2)
    part = (place - left)[..., None]
    colour = _COLOURS[left] * (1 - part) + _COLOURS[left + 1] * part
    opacity = (0.75 * np.sqrt(level))[..., None]
    mixed = ground[..., None] * (1 - opacity) + colour * opacity
    return mixed.round().clip(0, 255).astype(np.uint8)


def _legend_of(title, n_rings, channels, beside, faint, total) -> tuple[list[str], list[str]]:
    """Return lines above and below the scale of the colours."""
    # The font that comes with Pillow has letters of ASCII alone.
    plain_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    below = [f"on the left: {channels}"] if channels else []
    if n_rings:
        where = "rings on the left" if beside else "rings"
        n_peaks = f"{n_rings:,} peak{'' if n_rings == 1 else 's'} of the map"
        below.append(f"{where}: {n_peaks}; objects that touch may share one")
    if faint > _HAZE * total > 0:
        below.append(f"{faint:.3g} of {total:.4g} are haze: faint parts far from all objects")
    return [plain_title] if plain_title else [], below


def _with_legend(image, values, high, square, ground, n_drawn, is_shared, more, longest):
    """Return pictures with a scale of the colours in a strip below, each enlarged to its width.

    Also the factor by which they are enlarged. `more` are lines above and below the scale.

    The colours are drawn over a level of grey, `ground`, the median of the picture: on a light
    picture they are other ones than on a dark one. The font that comes with Pillow has letters of
    ASCII alone.
    """
    from PIL import Image, ImageDraw, ImageFont

    above, below = more
    size = max(_LEAST_FONT, image.width // (50 * n_drawn))
    font, gap = ImageFont.load_default(size), size // 2
    least = "0 or less" if values.min(initial=0.0) < 0 else "0"
    lines = [f"added to the total by each square of {square}"]
    lines += ["(the same colours in all pictures of this run)"] if is_shared else []
    ends = (least, f"{plain(high, 2)} or more")
    if high <= 0:
        lines, ends = ["nothing is coloured: no square", f"of {square} adds to the total"], None
    lines += below
    ramp = (8 * size, size)
    width = max(font.getlength(line) for line in above + lines)
    if ends is not None:
        width = max(width, sum(map(font.getlength, ends)) + ramp[0] + 2 * gap)
    n_lines = len(above) + len(lines) + (ends is not None)
    width, height = int(width) + 2 * gap + 1, n_lines * (size + gap) + gap
    factor = max(1, min(-(-n_drawn * width // image.width), longest // image.height))
    image = image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    canvas = Image.new("RGB", (max(image.width, width), image.height + height), "white")
    canvas.paste(image, (0, 0))
    draw, x, y = ImageDraw.Draw(canvas), gap, image.height + gap
    for line in above:
        draw.text((gap, y + size / 2), line, "black", font, anchor="lm")
        y += size + gap
    if ends is not None:
        draw.text((x, y + size / 2), ends[0], "black", font, anchor="lm")
        x += int(font.getlength(ends[0])) + gap
        level = np.tile(np.linspace(0, 1, ramp[0]), (ramp[1], 1))
        canvas.paste(Image.fromarray(_coloured(np.full(level.shape, ground), level)), (x, y))
        draw.text((x + ramp[0] + gap, y + size / 2), ends[1], "black", font, anchor="lm")
        y += size + gap
    for line in lines:
        draw.text((gap, y + size / 2), line, "black", font, anchor="lm")
        y += size + gap
    return canvas, factor
