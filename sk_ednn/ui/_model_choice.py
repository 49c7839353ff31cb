"""Choose a model file, and send models of another page there."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from nicegui import ui

from ._choose import Browser, uploader
from ._frame import aside, complain, link, text

_PAGES = {
    "/count": ("This model counts in pictures.", "Count with it"),
    "/predict": ("This is a model of fields or structures.", "Predict with it"),
}


def page_of(path) -> str:
    """Return the address of the page that applies a model file.

    Nothing in the file is created or run.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    {"/count", "/predict"}

    Raises
    ------
    ModelFileError
        If the file is damaged, or contains no model.
    """
    from ..files import describe

    name = describe(path)["parameters"].get("model", "")
    return "/count" if name.rpartition(".")[2] == "CountRegressor" else "/predict"


class ModelChoice:
    """A list of model files, and a place to drop one; models of another page get a link to it.

    Parameters
    ----------
    site : Site
    here : {"/count", "/predict"}
        The page.
    take : function
        Called with the path of the file, or None where it cannot be used.
    """

    def __init__(self, site, here, take: Callable):
        self.site, self.here, self.use = site, here, take
        with ui.expansion("A model file").props("dense").classes("w-full"):
            Browser(site, ("model",), self.take, label="Model files")
            uploader(
                site, ("model",), self.dropped, label="or drop a model file here, or use +"
            )  # fmt: skip
        self.said = ui.element("div").classes("small").props("role=status")

    async def dropped(self, paths):
        """Use the file that was dropped."""
        await self.take(paths[0])

    async def take(self, path):
        """Use a file of an opened folder, if it belongs here."""
        self.said.clear()
        try:
            path = self.site.path(path)
            page = await aside(page_of, path)
        except Exception as error:  # files may be anything
            complain(error)
            self.use(None)
            return
        if self.said.is_deleted:
            return
        self.use(path if page == self.here else None)
        with self.said:
            if page == self.here:
                text("p", f"Chosen: {self.site.shown(path)}", "muted")
            else:
                what, how = _PAGES[page]
                text("span", f"{what} ")
                link(how, f"{page}?{urlencode({'file': str(path)})}")
