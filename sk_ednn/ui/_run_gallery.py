"""Pictures that a run has written."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from ._frame import link, panel, picture, text

PICTURES = (".png", ".jpg", ".jpeg")
_MOST_PICTURES = 24
_OF_OVERLAYS = (
    "The stronger the colour of a square, the more it adds to the number. Around an object the "
    "colour spreads like a halo: where objects are counted and lie apart, the squares of one halo "
    "add up to about 1. The strongest square of a halo is a peak; the files “peaks.csv” list "
    "peaks, each with the sum of its halo. Objects that touch may share one.",
    "The colours mean the same in all pictures of a run that has ended. A picture of several "
    "channels is on the left of its map, each channel in a colour. Click on a picture to see it "
    "larger, with its scale and the colours of its channels.",
)


def pictures_of(run) -> dict[str, str]:
    """Return the pictures of a run, each with an address that changes with its content.

    A run may write a picture again, such as an overlay with the scale of all: a browser keeps what
    it has shown, as long as the address is the same.

    Parameters
    ----------
    run : Run
    """
    addresses = {}
    for name in run.files():
        if name.lower().endswith(PICTURES):
            try:
                version = run.file(name).stat().st_mtime_ns
            except OSError:  # removed since
                continue
            addresses[name] = f"/runs/{run.id}/files/{quote(name)}?v={version}"
    return addresses


def draw_gallery(addresses, counting) -> None:
    """Draw pictures by their addresses; those of counting with what their colours mean."""
    if not addresses:
        return
    with panel("Pictures"):
        if counting:
            for words in _OF_OVERLAYS:
                text("p", words, "small muted")
        with ui.element("div").classes("gallery"):
            for name, address in list(addresses.items())[:_MOST_PICTURES]:
                with ui.element("figure"):
                    with link("", address, new_tab=True):
                        picture(address, name, "")
                    text("figcaption", name)
