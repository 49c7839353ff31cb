"""What a model file says of the pictures of its fit, and how others compare with them."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from .._utils.hashing import digest
from .._utils.wording import plain

# So many bytes at both ends of a file, and its size, tell it from others; slides have gigabytes.
_READ = 1 << 20
_DIGITS = 16
# Pictures with so many times the pixels are not those of which the errors are known.
_LARGER = 4.0


def pictures_of_fit(pictures, groups=None, held_back=()) -> dict[str, Any]:
    """Return what is kept in a model file of the pictures of its fit.

    Parameters
    ----------
    pictures : list of Picture
    groups : list of str or None, default=None
        Series of each, if series were held back whole.
    held_back : sequence of int, default=()
        Places of the pictures that were held back.

    Returns
    -------
    dict
        ``grid``: pixels along each axis of the picture of median size; numbers of
        ``series`` and of those that were held back, ``series_held_back``, 0 without series;
        ``digests`` of the files, without their names, which may be private.
    """
    middle = sorted(pictures, key=lambda picture: picture.n_pixels)[len(pictures) // 2]
    digests = [found for picture in pictures if (found := _digest(picture))]
    return {
        "grid": list(middle.grid),
        "series": len(set(groups or ())),
        "series_held_back": len({groups[k] for k in held_back}) if groups else 0,
        "digests": sorted(digests),
    }


def are_of_fit(pictures, about) -> list[bool]:
    """Return for each picture whether its file was one of the fit, also under another name.

    Parameters
    ----------
    pictures : list of Picture
    about : dict
        What the model file says of its fit. Files of before say nothing: all are False.
    """
    digests = _of_fit(about).get("digests")
    several = digests if isinstance(digests, list) else []
    known = {each for each in several if isinstance(each, str)}
    return [bool(known) and _digest(picture) in known for picture in pictures]


def size_of_fit(about) -> str:
    """Return the size of the pictures of the fit; empty if it is unknown.

    Examples
    --------
    >>> from sk_ednn.cli._count_of_fit import size_of_fit
    >>> size_of_fit({"of_fit": {"grid": [320, 400]}}), size_of_fit({})
    ('320 × 400', '')
    """
    return " × ".join(map(str, _grid(about)))


def times_larger(pictures, about) -> list[float]:
    """Return how many times as many pixels the far larger ones of some pictures have, ascending.

    Parameters
    ----------
    pictures : list of Picture
    about : dict
        What the model file says of its fit.

    Returns
    -------
    list of float
        Empty if the size is unknown, or none is far larger.
    """
    pixels = 1
    for each in _grid(about):
        pixels *= each
    if not _grid(about):
        return []
    times = (picture.n_pixels / pixels for picture in pictures)
    return sorted(each for each in times if each >= _LARGER)


def note_on_larger(times, about) -> str:
    """Return what intervals of far larger pictures assume; empty if there are none.

    Parameters
    ----------
    times : list of float
        Of `times_larger`.
    about : dict

    Examples
    --------
    >>> from sk_ednn.cli._count_of_fit import note_on_larger
    >>> print(note_on_larger([17.0, 26.6], {"of_fit": {"grid": [320, 400]}}))
    2 of the pictures are 17 to 27 times as large as those of the fit (320 × 400): their intervals
    assume that errors of their parts are independent. An error that a whole picture shares, such as
    by its staining, is not in them, the less so as no series were held back (count fit --series)
    >>> note_on_larger([], {})
    ''
    """
    if not times:
        return ""
    ends = dict.fromkeys(plain(each, 2) for each in (times[0], times[-1]))
    who = "1 of the pictures is" if len(times) == 1 else f"{len(times)} of the pictures are"
    series = _number(about, "series_held_back")
    more = (
        f"only as far as single pictures of the {series} series that were held back show it"
        if series
        else "the less so as no series were held back (count fit --series)"
    )
    return (
        f"{who} {' to '.join(ends)} times as large as those of the fit ({size_of_fit(about)}): "
        "their intervals assume that errors of their parts are independent. An error that a whole "
        "picture shares, such as by its staining, is "
        f"{f'in them {more}' if series else f'not in them, {more}'}"
    )


def how_to_recount(times, about) -> str:
    """Return how far larger pictures are checked by hand; empty if there are none.

    Examples
    --------
    >>> from sk_ednn.cli._count_of_fit import how_to_recount
    >>> print(how_to_recount([17.0], {"of_fit": {"grid": [320, 400]}}))
    to check large pictures, cut out some parts of about 320 × 400 pixels, as dense and as sparse as
    there are, count them by hand, and compare: sk-ednn count report MODEL PARTS TABLE
    """
    if not times:
        return ""
    return (
        f"to check large pictures, cut out some parts of about {size_of_fit(about)} pixels, as "
        "dense and as sparse as there are, count them by hand, and compare: sk-ednn count report "
        "MODEL PARTS TABLE"
    )


def note_on_seen(n_seen, n) -> str:
    """Return a warning on errors of pictures of the fit; empty if there are none.

    Parameters
    ----------
    n_seen, n : int
        Pictures of the fit, and all that were compared.

    Examples
    --------
    >>> from sk_ednn.cli._count_of_fit import note_on_seen
    >>> print(note_on_seen(48, 48))
    all 48 pictures are those of the fit: it has learned their totals, and their errors are smaller
    than those of new pictures, for which the error on pictures not seen is the one to state
    >>> note_on_seen(0, 48)
    ''
    """
    if not n_seen:
        return ""
    which = f"all {n} pictures are those" if n_seen == n else f"{n_seen} of {n} pictures are those"
    return (
        f"{which} of the fit: it has learned their totals, and their errors are smaller than those "
        "of new pictures, for which the error on pictures not seen is the one to state"
    )


def how_counted(model, about, columns) -> str:
    """Return a paragraph for the methods of a paper.

    Parameters
    ----------
    model : CountRegressor
    about : dict
        What the model file says of its fit.
    columns : sequence of str
        Names of the totals.
    """
    import numpy as np

    from .._utils.wording import averaged_pixels

    held, n_networks = model.held_back_, len(model.estimators_)
    n, names = len(held["index"]), ", ".join(" ".join(name.split()) for name in columns)
    pictures, size = about.get("pictures"), size_of_fit(about)
    series, held_series = (_number(about, each) for each in ("series", "series_held_back"))
    fitted = f"fitted to {pictures} pictures" if type(pictures) is int else "fitted to pictures"
    fitted += f" ({size} pixels)" if size else ""
    fitted += f" of {series} series" if series else ""
    boxes = about.get("boxes") if type(about.get("boxes")) is int else 0
    parts = [
        f"{names} were counted with sk_ednn {sys.modules['sk_ednn'].__version__} "
        f"(CountRegressor: {n_networks} "
        f"convolutional network{'s' if n_networks > 1 else ''}"
        f"{'' if model.maxima_ is None else ', averaged with a model of local maxima'}; "
        f"{averaged_pixels(model.geometry_[0])}), {fitted} with a total for each"
        f"{f' and to {boxes} parts of pictures with their totals' if boxes else ''}"
    ]
    if n:
        true, predicted = (
            np.reshape(held[key], (n, len(columns))) for key in ("true", "predicted")
        )
        errors, means = np.abs(predicted - true).mean(axis=0), true.mean(axis=0)
        half = model.interval_.half_width(means[None], model.confidence)[0]
        whole = f", all pictures of {held_series} series" if held_series else ""
        whole += ", by each network its own" if n_networks > 1 else ""
        more = f"{whole}{',' if whole else ''}"
        measured = "; ".join(
            f"{plain(error, 3)} of a mean of {plain(mean)}, with {100 * model.confidence:.0f} % "
            f"intervals of ± {plain(width, 3)} at this mean"
            for error, mean, width in zip(errors, means, half, strict=True)
        )
        parts.append(
            f"Of these, {n} were held back from the training{more} to measure errors: the mean "
            f"absolute error on them is {measured}. Intervals follow from these errors and grow "
            "with the square root of the total"
        )
    else:
        parts.append("No pictures were held back, and the error is not known")
    parts.append(
        "Method: Mills et al., Extensive deep neural networks, Chem. Sci. 10, 4129 (2019), "
        "doi:10.1039/C8SC04578J"
    )
    return ". ".join(parts)


# --- parts ------------------------------------------------------------------------------------


def _of_fit(about) -> dict:
    # Files may come from others, and say anything.
    of_fit = (about or {}).get("of_fit")
    return of_fit if isinstance(of_fit, dict) else {}


def _grid(about) -> list[int]:
    grid = _of_fit(about).get("grid")
    if not isinstance(grid, list) or not all(type(each) is int and each > 0 for each in grid):
        return []
    return grid


def _number(about, key) -> int:
    number = _of_fit(about).get(key)
    return number if type(number) is int and number > 0 else 0


def _digest(picture) -> str:
    """Return a digest of the file of a picture, or its pixels; empty for a folder, as of zarr."""
    if picture.path is None:
        return digest(picture.array())[:_DIGITS]
    if not (path := Path(picture.path)).is_file():
        return ""
    size = path.stat().st_size
    found = hashlib.sha256(f"{size} {picture.shape}".encode())
    with path.open("rb") as file:
        found.update(file.read(_READ))
        file.seek(max(0, size - _READ))
        found.update(file.read())
    # Of several pictures in one file.
    part = picture.name.rpartition(path.name)[2] if path.name in picture.name else picture.name
    return hashlib.sha256(found.digest() + part.encode()).hexdigest()[:_DIGITS]
