"""Names of the files of maps, by those of their pictures."""

from __future__ import annotations

from ._picture import stem_of


def map_names(pictures) -> dict[str, str]:
    """Return a unique name, without its ending, for the map of each picture.

    Parameters
    ----------
    pictures : iterable of str
        Names of pictures, in their order.

    Examples
    --------
    >>> from sk_ednn.images._map_names import map_names
    >>> map_names(["day1/dish.png", "day2/dish.png"])
    {'day1/dish.png': 'dish', 'day2/dish.png': 'day2 dish.png'}
    """
    names: dict[str, str] = {}
    for name in pictures:
        stem = stem_of(name).replace("::", " ").replace("/", " ")
        other = name.replace("::", " ").replace("/", " ").replace("\\", " ")
        names[name] = other if stem in names.values() else stem
    return names
