"""Build a page of HTML from elements, so that all text is escaped."""

from __future__ import annotations

import math
from importlib.resources import files
from xml.etree.ElementTree import Element, SubElement, tostring

from ._svg import svg_of

_NO_BREAK = "\N{NO-BREAK SPACE}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Value(float):
    """A number that a page shows rounded, with its exact value in an attribute."""


def number(value, unit="", digits=4) -> str:
    """Return a number and its unit as text without line breaks."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "\N{MINUS SIGN}∞")
    whole = float(value).is_integer() and abs(value) < 1e9
    mantissa, _, power = (f"{value:,.0f}" if whole else f"{value:.{digits}g}").partition("e")
    text = mantissa.replace("-", "\N{MINUS SIGN}")
    if power:
        text += f"{_NO_BREAK}×{_NO_BREAK}10{str(int(power)).translate(_SUPERSCRIPT)}"
    return f"{text}{_NO_BREAK}{unit}" if unit else text


def element(tag, text=None, *children, **attributes) -> Element:
    """Return an element; `class_` is its class."""
    made = Element(tag, {key.rstrip("_"): str(value) for key, value in attributes.items()})
    made.text = None if text is None else _printable(str(text))
    made.extend(children)
    return made


def note(text) -> Element:
    """Return a paragraph that is set apart, for hints and missing parts."""
    return element("p", text, class_="note")


def figure(drawn, name) -> Element:
    """Return a figure with its caption."""
    svg = svg_of(drawn.figure, name, _printable(drawn.alt))
    width = f"width: {drawn.figure.get_figwidth():.2f}in"
    return element("figure", None, svg, element("figcaption", drawn.caption), style=width)


def figures(*made) -> Element:
    """Return figures, side by side if the page is wide enough."""
    return element("div", None, *made, class_="figures")


def table(rows, header=None, caption=None) -> Element:
    """Return a table whose first column is the header of each row.

    Parameters
    ----------
    rows : list of sequences of str or Value
    header : sequence of str, default=None
        Names of the columns, including the first.
    caption : str, default=None
    """
    made = element("table")
    if caption is not None:
        made.append(element("caption", caption))
    numeric = [
        all(isinstance(value, Value) for value in column) for column in zip(*rows, strict=True)
    ]
    if header is not None:
        row = SubElement(SubElement(made, "thead"), "tr")
        for name, right in zip(header, numeric, strict=True):
            row.append(element("th", name, scope="col", **({"class_": "number"} if right else {})))
    body = SubElement(made, "tbody")
    for name, *values in rows:
        row = SubElement(body, "tr")
        row.append(element("th", name, scope="row"))
        row.extend(_cell(value) for value in values)
    return element("div", None, made, class_="table")


def with_class(part, name) -> Element:
    """Add a class to a part of a page and return it."""
    part.set("class", f"{part.get('class', '')} {name}".strip())
    return part


def as_html(part) -> str:
    """Return an element as text."""
    return tostring(part, encoding="unicode", method="html")


def section(title, *parts) -> tuple[str, Element]:
    """Return the title and the element of a section, whose id is the title in lower case."""
    name = title.lower().replace(" ", "-")
    return title, element("section", None, element("h2", title), *parts, id=name)


def sections(title, part) -> list:
    """Return a list of one section, or an empty list if there is no part."""
    return [] if part is None else [section(title, part)]


def page(title, lead, cards, sections, footer) -> str:
    """Return a whole page.

    Parameters
    ----------
    title, lead : str
    cards : list of (str, str)
        Names and values of the headline numbers.
    sections : list of (str, Element)
        Results of `section`.
    footer : str
    """
    html = element("html", lang="en")
    head = SubElement(html, "head")
    head.append(element("meta", charset="utf-8"))
    head.append(element("meta", name="viewport", content="width=device-width, initial-scale=1"))
    head.append(element("meta", name="color-scheme", content="light dark"))
    head.append(element("title", title))
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    head.append(element("style", style))
    body = SubElement(html, "body")
    header = SubElement(body, "header")
    header.append(element("h1", title))
    header.append(element("p", lead, class_="lead"))
    shown = SubElement(header, "dl", {"class": "cards"})
    for name, value in cards:
        shown.append(element("div", None, element("dt", name), element("dd", value)))
    links = [element("a", name, href=f"#{content.get('id')}") for name, content in sections]
    body.append(element("nav", None, *links, **{"aria-label": "Sections"}))
    main = SubElement(body, "main")
    main.extend(content for _, content in sections)
    body.append(element("footer", None, element("p", footer)))
    return "<!DOCTYPE html>\n" + as_html(html) + "\n"


def _cell(value) -> Element:
    if isinstance(value, Value):
        exact = element("data", number(value), value=repr(float(value)))
        return element("td", None, exact, class_="number")
    return element("td", value)


def _printable(text) -> str:
    """Replace control characters, which HTML does not allow."""
    # Python does not count the no-break space as printable.
    return "".join(
        c if c.isprintable() or c in "\n\t\xa0" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
