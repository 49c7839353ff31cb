"""Check built pages without a network: texts of images, links within the site, labels, contrast.

    python docs/check_pages.py docs/_build/html

Prints each fault with its page, and exits with 1 if there is one.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LEAST_CONTRAST = 4.5  # of text, WCAG 2.1 AA
_HEX = r"(#[0-9a-fA-F]{6})\b"
COLOUR = re.compile(rf"(?<!-)color:\s*{_HEX}[^{{}}]*background(?:-color)?:\s*{_HEX}")


class Page(HTMLParser):
    """Images, links, anchors and titles of a page."""

    def __init__(self, text):
        super().__init__()
        self.images, self.links, self.anchors, self.language = [], [], {"", "top"}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Collect what is checked."""
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        if tag == "html":
            self.language = attrs.get("lang")
        elif tag == "img":
            self.images.append(attrs)
        elif tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])


def luminance(colour):
    """Return the relative luminance of #rrggbb."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Return the contrast ratio of two colours, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def faults(root):
    """Yield what is wrong, page by page."""
    pages = {
        path: Page(path.read_text(encoding="utf-8", errors="replace"))
        for path in root.rglob("*.html")
        if "_static" not in path.parts
    }
    for path, page in sorted(pages.items()):
        name = path.relative_to(root)
        if not page.language:
            yield f"{name}: <html> has no lang"
        for image in page.images:
            source = image.get("src", "")
            # Empty for decoration, such as thumbnails beside their title. Sphinx takes the name of
            # the file where a page gives none.
            if image.get("alt") is None or (source and image["alt"] == source):
                yield f"{name}: image {source} has no alt text"
            if not urlsplit(source).scheme and not (path.parent / unquote(source)).exists():
                yield f"{name}: image {source} does not exist"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{name}: link to {link}, which does not exist"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: link to {link}, which has no such place"
    for sheet in root.joinpath("_static").glob("*.css"):
        for text, ground in COLOUR.findall(sheet.read_text(encoding="utf-8")):
            if contrast(text, ground) < LEAST_CONTRAST and sheet.name == "site.css":
                yield f"{sheet.name}: {text} on {ground}: contrast {contrast(text, ground):.1f}"


def main():
    """Check all pages below a folder."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/_build/html").resolve()
    if not root.joinpath("index.html").exists():
        raise SystemExit(f"{root} has no index.html: build the pages first (make docs).")
    found = list(faults(root))
    print("\n".join(found) or "no faults", flush=True)
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
