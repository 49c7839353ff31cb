"""Pictures that a run has written."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from ._frame import link, panel, picture, text
from ._run_counts import counts_in_words

PICTURES = (".png", ".jpg", ".jpeg")
_OVERLAY = " overlay.png"
_MOST_PICTURES = 24
_OF_OVERLAYS = (
    "The stronger the colour of a square, the more it adds to the number. Around an object the "
    "colour spreads like a halo: where objects are counted and lie apart, the squares of one halo "
    "add up to about 1. The strongest square of a halo is a peak; the files “peaks.csv” list "
    "peaks, each with the sum of its halo. Objects that touch may share one.",
    "Rings are around the peaks. A photograph in colour, or of several channels, is on the left of "
    "its map, with the rings.",
    "The colours mean the same in all pictures of a run that has ended. Click on a picture to "
    "see it larger, with its scale and the colours of its channels.",
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


def caption_of(name, result) -> str:
    """Return the name of a picture for reading: that of counting with the count.

    Parameters
    ----------
    name : str
        Of the file, such as ``maps/dish 7 overlay.png``.
    result : dict or None
        Of the run.

    Examples
    --------
    >>> from sk_ednn.ui._run_gallery import caption_of
    >>> one = {"name": "dish 7.jpg", "total": 17.46, "low": 14.3, "high": 20.6}
    >>> caption_of("maps/dish 7 overlay.png", {"counts": [one], "columns": ["cells"]})
    'dish 7: 17.5'
    >>> two = {"name": "dish 7.jpg", "total": [17.46, 3.2], "low": None, "high": None}
    >>> caption_of("maps/dish 7 dead overlay.png", {"counts": [two], "columns": ["cells", "dead"]})
    'dish 7, dead: 3.2'
    >>> caption_of("curve.png", None)
    'curve.png'
    """
    from ..images._map_names import map_names

    if not name.endswith(_OVERLAY):
        return name
    stem = name.removeprefix("maps/").removesuffix(_OVERLAY)
    result = result if isinstance(result, dict) else {}
    counts, columns = result.get("counts"), result.get("columns")
    columns = columns if isinstance(columns, list) else []
    several = len(columns) > 1
    known = {
        one["name"]: one for one in (counts if isinstance(counts, list) else ())
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    }  # fmt: skip
    for name, own in map_names(known).items():
        for k, column in enumerate(columns if several else [""]):
            if stem == own + (f" {column}" if several else ""):
                try:
                    numbers = counts_in_words(known[name])[0].split(", ")
                except (TypeError, ValueError):  # changed by hand
                    numbers = []
                number = f": {numbers[k]}" if k < len(numbers) and numbers[k] else ""
                return f"{own}{', ' if several else ''}{column}{number}"
    return stem


def draw_gallery(pictures, counting) -> None:
    """Draw pictures; those of counting with what their colours mean.

    Parameters
    ----------
    pictures : list of (str, str)
        The address and the caption of each.
    counting : bool
    """
    if not pictures:
        return
    with panel("Pictures"):
        if counting:
            with ui.expansion("What the colours mean").props("dense").classes("w-full"):
                for words in _OF_OVERLAYS:
                    text("p", words, "small muted")
        # Overlays may have their picture beside them.
        with ui.element("div").classes("gallery broad" if counting else "gallery"):
            for address, caption in pictures[:_MOST_PICTURES]:
                with ui.element("figure"):
                    with link("", address, new_tab=True):
                        picture(address, caption, "")
                    text("figcaption", caption)
        if len(pictures) > _MOST_PICTURES:
            text("p", f"The first {_MOST_PICTURES} of {len(pictures):,}; all are in the files.",
                 "small muted")  # fmt: skip
