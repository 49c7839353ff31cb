"""A finished page, and the numbers on it."""

from __future__ import annotations

from .._utils.writing import replacing
from . import _page


class FitReport:
    """Result of `fit_report`: numbers, and a page that shows them.

    Attributes
    ----------
    numbers : dict
        Contents of the tables: ``data`` and ``errors`` by part ("training", "held back"; errors
        are a list of one dict for each output), ``verdicts`` on each output
        (`sk_ednn.metrics.judge`, on systems held back if there are any), ``model``, ``fit``,
        ``extensivity`` and ``versions``.
    html : str
        A self-contained page.
    """

    def __init__(self, numbers, html):
        self.numbers = numbers
        self.html = html

    def save(self, path) -> None:
        """Write the page to a file, which can be viewed offline.

        Parameters
        ----------
        path : str or Path
        """
        with replacing(path, "w", encoding="utf-8") as file:
            file.write(self.html)

    def _repr_html_(self) -> str:
        """Return the page in a frame, isolated from the styles of a notebook."""
        frame = _page.element(
            "iframe", srcdoc=self.html, title="Report of a fit", width="100%", height="700",
            style="border: 0",
        )  # fmt: skip
        return _page.as_html(frame)
