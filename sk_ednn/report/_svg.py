"""Convert figures to SVG elements that use the colours of the page."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from xml.etree.ElementTree import Element, fromstring

from .._utils.optional import needing
from ..inspection._plot._style import COLOURS, GREY, INK

# Pages may be dark. Black takes the colour of text, and the colours of displays are variables of
# the style sheet. Other colours, such as those of maps, are unchanged.
_VARIABLES = {
    "#000000": "currentColor",
    INK: "currentColor",
    GREY: "var(--quiet)",
    "#ffffff": "var(--page)",
} | {colour: f"var(--colour-{k})" for k, colour in enumerate(COLOURS)}
_COLOUR = re.compile("|".join(_VARIABLES), re.IGNORECASE)
_REFERENCE = re.compile(r"(url\(#|^#)([^)]+)")

# More markers than this would make the page large, so they are rasterised.
_MAX_MARKERS = 1500
_DPI = 200


def require_matplotlib() -> None:
    """Raise MissingExtraError if matplotlib is not installed."""
    with needing("A report, which has figures,"):
        import matplotlib.figure  # noqa: F401


@contextmanager
def drawing():
    """Use matplotlib's default style within a block, then restore the user's."""
    import matplotlib
    import matplotlib.style

    with matplotlib.style.context("default"):
        # Text as paths, so that the page needs no fonts. The salt makes ids deterministic.
        params = {"svg.fonttype": "path", "svg.hashsalt": "sk_ednn", "font.size": 9.5}
        matplotlib.rcParams.update(params)
        yield


def svg_of(figure, name, description) -> Element:
    """Return a figure as an element of a page.

    Parameters
    ----------
    figure : matplotlib Figure
    name : str
        Prefix of ids, unique within the page.
    description : str
        Text alternative.
    """
    for axes in figure.axes:
        for line in axes.lines:
            has_markers = line.get_marker() not in ("None", None, "")
            if has_markers and len(line.get_xdata()) > _MAX_MARKERS:
                line.set_rasterized(True)
    buffer = io.BytesIO()
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    figure.savefig(buffer, format="svg", dpi=_DPI, metadata={"Date": None})
    svg = fromstring(buffer.getvalue())
    used = set()
    for element in svg.iter():
        _without_namespaces(element)
        for key, value in element.attrib.items():
            if key == "style" or key in ("fill", "stroke"):
                value = _COLOUR.sub(lambda match: _VARIABLES[match[0].lower()], value)
            value = _REFERENCE.sub(rf"\g<1>{name}-\g<2>", value) if "#" in value else value
            used |= {match[2] for match in _REFERENCE.finditer(value)}
            element.set(key, value)
    for parent in list(svg.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    for element in svg.iter():
        identity = element.attrib.pop("id", None)
        if identity is not None and f"{name}-{identity}" in used:
            element.set("id", f"{name}-{identity}")
        element.text = element.tail = None
    for key in ("width", "height", "version"):
        svg.attrib.pop(key, None)
    svg.set("role", "img")
    svg.set("aria-label", description)
    svg.set("style", "fill: currentColor")
    return svg


def _without_namespaces(element) -> None:
    """Strip namespaces, which HTML does not have."""
    element.tag = element.tag.rpartition("}")[2]
    for key in [key for key in element.attrib if "}" in key]:
        element.set(key.rpartition("}")[2], element.attrib.pop(key))
