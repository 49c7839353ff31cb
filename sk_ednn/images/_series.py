"""Series of pictures, such as those of one slide or dish, by names or by number."""

from __future__ import annotations

import re

# Series that are named in a sentence, and fewer of them, of which none can be held back.
_NAMED, _LEAST = 20, 3


def series_of(names, wanted) -> list[str]:
    """Return the series of each picture.

    Parameters
    ----------
    names : sequence of str
        Names of all pictures of a folder, in their order.
    wanted : str
        Number of pictures that follow each other in a series, or a regular expression for the
        names: a series is what its first group matches, or all that it matches.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If it is neither, or does not match a name.

    Examples
    --------
    >>> from sk_ednn.images._series import series_of
    >>> names = ["slide1_f01.tif", "slide1_f02.tif", "slide2_f01.tif", "slide2_f02.tif"]
    >>> series_of(names, "^(.*)_")
    ['slide1', 'slide1', 'slide2', 'slide2']
    >>> series_of(names[:3], "2")
    ['slide1_f01.tif to slide1_f02.tif', 'slide1_f01.tif to slide1_f02.tif', 'slide2_f01.tif']
    """
    if wanted.strip().isdecimal():
        n = int(wanted)
        if n < 1:
            raise ValueError(f"Expected at least one picture per series, got {wanted}.")
        blocks = [names[start : start + n] for start in range(0, len(names), n)]
        return [
            block[0] if len(block) == 1 else f"{block[0]} to {block[-1]}"
            for block in blocks
            for _ in block
        ]
    try:
        pattern = re.compile(wanted)
    except re.error as error:
        raise ValueError(
            "Expected a number of pictures or a regular expression for the names as series, such "
            f"as '^(.*)_'; {wanted!r} is none: {error}."
        ) from error
    groups = []
    for name in names:
        hit = pattern.search(name)
        found = None if hit is None else hit.group(1) if pattern.groups else hit.group()
        if found is None:
            raise ValueError(f"The pattern of the series, {wanted!r}, does not match {name}.")
        groups.append(found)
    return groups


def series_in_words(groups) -> str:
    """Return how many series there are, with the pictures of each, and if they are too few.

    Parameters
    ----------
    groups : sequence of str
        The series of each picture of a fit.

    Examples
    --------
    >>> from sk_ednn.images._series import series_in_words
    >>> print(series_in_words(["slide 1"] * 8 + ["slide 2"] * 8 + ["slide 3"] * 7))
    3 series, each of them held back as a whole: slide 1 (8 pictures), slide 2 (8), slide 3 (7)
    >>> print(series_in_words(["a"] * 12 + ["b"] * 12))
    2 series: a (12 pictures), b (12). None of so few can be held back, so the error will not be
    known. Three or more are needed, such as slides, dishes or patients
    """
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    parts = [f"{name} ({n})" for name, n in list(sizes.items())[:_NAMED]]
    first, n = next(iter(sizes.items()))
    parts[0] = f"{first} ({n} picture{'' if n == 1 else 's'})"
    more = f" and {len(sizes) - _NAMED} more" if len(sizes) > _NAMED else ""
    named = ", ".join(parts) + more
    if len(sizes) < _LEAST:
        return (
            f"{len(sizes)} series: {named}. None of so few can be held back, so the error will not "
            "be known. Three or more are needed, such as slides, dishes or patients"
        )
    return f"{len(sizes)} series, each of them held back as a whole: {named}"
