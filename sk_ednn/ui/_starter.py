"""The last step of every form: the command that does the same, and the button that runs it."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from ._frame import aside, command_line, complain, text


class Starter:
    """A command line that follows a form, and a button that starts it.

    Parameters
    ----------
    site : Site
    label : str
        Text of the button.
    words : function
        Returns the command as words. Errors are shown, and disable the button.
    prepare : coroutine function, default=None
        Called when the button is clicked; returns the words that are started. None for `words`.
    page : str, default="/runs/{}"
        Address to go to; the id of the run is filled in.
    """

    def __init__(self, site, label, words, *, prepare=None, page="/runs/{}"):
        self.site, self.words, self.prepare, self.page = site, words, prepare, page
        self.command = ui.element("div")
        with ui.element("div").classes("line").style("margin-top:.7rem"):
            self.button = ui.button(label, on_click=self.start)
            self.button.props("unelevated color=primary")
            self.problem = text("span", "", "small warn").props("role=status")

    def update(self):
        """Show the command of the form as it is now, or what is missing."""
        self.command.clear()
        why = ""
        try:
            words = self.words()
            with self.command:
                command_line([*words, *self.site.recorded])
        except Exception as error:  # also what readers of files and parsers raise
            why = str(error).partition("\n")[0] or type(error).__name__
        self.problem.set_text(why)
        self.button.set_enabled(not why)

    async def start(self):
        """Start the command, and go to the page of its run."""
        self.button.disable()
        try:
            words = self.words() if self.prepare is None else await self.prepare()
            started = await aside(self.site.start, words)
        except Exception as error:
            self.button.enable()
            complain(error)
            return
        ui.navigate.to(self.page.format(quote(started.id)))
