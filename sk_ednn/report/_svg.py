"""Figures as elements of a page, in the colours of the page."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from xml.etree.ElementTree import Element, fromstring

from .._utils.optional import needing
from ..inspection._plot._style import COLOURS, GREY, INK

# A page may be dark: what is drawn in black is drawn as its text is, and the rest in colours that
# the style sheet names. Anything else stays as it is, such as colours of maps.
_VARIABLES = {
    "#000000": "currentColor",
    INK: "currentColor",
    GREY: "var(--quiet)",
    "#ffffff": "var(--page)",
} | {colour: f"var(--colour-{k})" for k, colour in enumerate(COLOURS)}
_COLOUR = re.compile("|".join(_VARIABLES), re.IGNORECASE)
_REFERENCE = re.compile(r"(url\(#|^#)([^)]+)")

# More marks than this make a page heavy: they become pixels.
_MOST_MARKS = 1500
_DPI = 200


def require_matplotlib() -> None:
    """Raise MissingExtraError where nothing can be drawn."""
    with needing("A report, which has figures,"):
        import matplotlib.figure  # noqa: F401


@contextmanager
def drawing():
    """Draw as matplotlib comes, whatever the user has set; give it all back."""
    import matplotlib
    import matplotlib.style

    with matplotlib.style.context("default"):
        # Letters as shapes: the page needs no fonts. The salt makes a page the same each time.
        own = {"svg.fonttype": "path", "svg.hashsalt": "sk_ednn", "font.size": 9.5}
        matplotlib.rcParams.update(own)
        yield


def svg_of(figure, name, description) -> Element:
    """Return a figure as an element of a page.

    Parameters
    ----------
    figure : matplotlib Figure
    name : str
        Different for each figure of the page.
    description : str
        For those who do not see it.
    """
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_marker() not in ("None", None, "") and len(line.get_xdata()) > _MOST_MARKS:
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
                value = _COLOUR.sub(lambda found: _VARIABLES[found[0].lower()], value)
            value = _REFERENCE.sub(rf"\g<1>{name}-\g<2>", value) if "#" in value else value
            used |= {found[2] for found in _REFERENCE.finditer(value)}
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
    """Call things as HTML does, which knows of no namespaces."""
    element.tag = element.tag.rpartition("}")[2]
    for key in [key for key in element.attrib if "}" in key]:
        element.set(key.rpartition("}")[2], element.attrib.pop(key))
