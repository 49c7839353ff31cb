"""The choice of a model on the page Start: a card for each, with the time that it would take."""

from __future__ import annotations

from nicegui import ui

from . import _model_cards, _model_times
from ._frame import aside, text


class ModelMenu:
    """Draw the cards, and keep the choice in a form.

    Cards stay, since one that is drawn anew loses a click that is on its way.

    Parameters
    ----------
    site : Site
    fit : Fit
        The form, whose model is set.
    data : Systems
        Of `sk_ednn.ui._preview`.
    changed : function
        Called after a change.
    pace : Pace, default=None
        Of this machine, if it is known.
    """

    def __init__(self, site, fit, data, changed, pace=None):
        self.site, self.fit, self.data, self.changed, self.pace = site, fit, data, changed, pace
        self.view = ui.element("div").classes("cards").props("role=radiogroup")
        self.view.props["aria-label"] = "Model"
        structures = fit.structures
        offered = site.tools.potentials if structures else site.tools.tile_models
        cards = _model_cards.POTENTIAL_CARDS if structures else _model_cards.CARDS
        with self.view:
            self.cards = [
                (card, *self._drawn(card)) for card in cards if card.name in ("auto", *offered)
            ]
        self.update()

    async def measure(self):
        """Measure the pace of this machine, and show the times."""
        self.pace = await aside(lambda: _model_times.pace_of(self.site.runs()))
        if not self.view.is_deleted:
            self.update()

    def update(self):
        """Show which model is chosen, and the time of each."""
        load = None if self.fit.structures else self.data.load(self.fit)
        for card, button, time in self.cards:
            button.props["aria-checked"] = "true" if self.fit.model == card.name else "false"
            time.set_text(self._time_of(card, load))

    def _time_of(self, card, load) -> str:
        if self.fit.structures:  # potentials are trained for a given time
            return f"{self.fit.minutes or 10:g} minutes"
        if load is None or self.pace is None:
            return " "
        time = _model_times.expected(card.name, load, self.pace, self.fit.epochs)
        return " " if time is None else _model_times.in_words(time)

    def _drawn(self, card):
        """Draw one model; return its button, and the text of its time."""
        button = ui.element("button").classes("choice").props("type=button role=radio")
        button.props["data-model"] = card.name
        with button:
            text("b", card.title)
            text("span", card.words)
            time = text("span", " ", "when")

        def take():
            self.fit.model = card.name
            self.changed()

        button.on("click", take)
        return button, time
