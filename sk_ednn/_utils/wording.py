"""Words of messages."""

import math
import re

# Letters whose names begin with a vowel, as in "an SVR".
_VOWEL_NAMES = "AEFHILMNORSX"
# Larger numbers are written with an exponent.
_LARGEST_PLAIN = 1e15
# Decimals say nothing beside intervals of this power of ten and wider ones.
_TENS_WITHOUT = 2
# Usual names of arrays of fields, and of totals, in files.
FIELD_NAMES = ("X", "fields", "x", "data", "spins", "theta")
TOTAL_NAMES = ("y", "targets", "energies", "energy", "totals")
# Digits of totals below this share of the largest are those of rounding, and are not printed, nor
# are narrower widths.
DIGITS_OF_TOTALS = 1e-9
# Intervals that rest on fewer errors are said to be wider for that.
_FEW_ERRORS = 20
# From so many on, an interval of nine of ten is within the largest error.
_LEAST_ERRORS = 9
# Where totals of this many pictures not seen spread by less than this share of the true ones, the
# model keeps to the mean.
_FEW_FOR_SPREAD, _TOO_SMALL = 6, 0.7


# Where the reduction of pictures is set.
_REDUCTION = "“Pixels averaged into one” on the page, --reduction, or reduction= in Python"


def plain(value, digits=4) -> str:
    """Return a number with some significant digits, large ones to the next whole number.

    Parameters
    ----------
    value : float
    digits : int, default=4

    Examples
    --------
    >>> from sk_ednn._utils.wording import plain
    >>> [plain(value) for value in (174.26, 12345.6, 0.0314159, 7.0)]
    ['174.3', '12346', '0.03142', '7']
    >>> [plain(value, 2) for value in (4.72, 167.3, 99.7)]
    ['4.7', '167', '100']
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < _LARGEST_PLAIN else text


def rounded(value, width) -> str:
    """Return a number with the decimals that its uncertainty leaves.

    Parameters
    ----------
    value : float
    width : float or None
        Of its interval; without one, None or NaN, four digits are shown.

    Examples
    --------
    >>> from sk_ednn._utils.wording import rounded
    >>> [rounded(113.309, width) for width in (0.03, 0.5, 18.0, 240.0, None)]
    ['113.309', '113.31', '113.3', '113', '113.3']
    """
    if width is None or not 0 < width < math.inf:
        return plain(value)
    tens = math.floor(math.log10(width))
    text = f"{value:.{1 - min(tens, 0) if tens < _TENS_WITHOUT else 0}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def digits_of(value, width, largest) -> str:
    """Return a total with the digits that its interval leaves; six if it has none.

    Parameters
    ----------
    value : float
    width : float or None
        Half the width of the interval.
    largest : float
        The largest size of totals that are printed beside it.

    Examples
    --------
    >>> from sk_ednn._utils.wording import digits_of
    >>> [digits_of(-17445.898741, width, 17446.0) for width in (None, 410.0, 0.3, 0.0003, 1e-9)]
    ['-17445.9', '-17446', '-17445.90', '-17445.89874', '-17445.899']
    >>> digits_of(-8192.000000000002, 1e-12, 8192.0)
    '-8192'
    """
    if width is None or not math.isfinite(width):
        return f"{value:.6g}"
    least = DIGITS_OF_TOTALS * abs(largest)
    if width > least:
        return rounded(value, width)
    # The total may be off by the least width, which no digit shows. An exact total is whole then.
    text = rounded(value, 1000 * least)
    return text.rstrip("0").rstrip(".") if "." in text else text


def about(seconds) -> str:
    """Return an estimated time in words.

    Examples
    --------
    >>> from sk_ednn._utils.wording import about
    >>> about(0.2), about(43.7), about(95.0), about(5000.0), about(20000.0)
    ('about 1 s', 'about 40 s', 'about 1.6 min', 'about 83 min', 'about 5.6 h')
    """
    if seconds < 90:
        return f"about {max(1, round(seconds, -1 if seconds > 20 else 0)):.0f} s"
    if seconds < 5970:  # 99.5 minutes, which two digits would round to 1e2
        return f"about {seconds / 60:.2g} min"
    return f"about {seconds / 3600:.{1 if seconds < 35820 else 0}f} h"


def share_of_totals(confidence) -> str:
    """Return the share of true totals that intervals contain, in words.

    Parameters
    ----------
    confidence : float

    Examples
    --------
    >>> from sk_ednn._utils.wording import share_of_totals
    >>> share_of_totals(0.9), share_of_totals(0.5), share_of_totals(0.995)
    ('nine of ten', '50 % of', '99.5 % of')
    """
    return "nine of ten" if confidence == 0.9 else f"{100 * confidence:.4g} % of"


def averaged_pixels(reduction) -> str:
    """Return what the networks of pictures see of the pixels.

    Parameters
    ----------
    reduction : int
        Pixels along each axis that are averaged into one.

    Examples
    --------
    >>> from sk_ednn._utils.wording import averaged_pixels
    >>> averaged_pixels(1), averaged_pixels(4)
    ('the networks see every pixel', 'the networks see means of 4 by 4 pixels')
    """
    if reduction == 1:
        return "the networks see every pixel"
    return f"the networks see means of {reduction} by {reduction} pixels"


def reduction_in_words(reduction, counts, where=_REDUCTION) -> str:
    """Return which reduction of pictures was chosen, by what, and how to set another one.

    Parameters
    ----------
    reduction : int
    counts : bool
        Whether totals are counts, or other amounts.
    where : str
        Where it is set.

    Examples
    --------
    >>> from sk_ednn._utils.wording import reduction_in_words
    >>> print(reduction_in_words(4, False))
    the networks see means of 4 by 4 pixels: a simple model is as good from these; to set it
    yourself: “Pixels averaged into one” on the page, --reduction, or reduction= in Python
    """
    whys = {
        (False, False): "a simple model is worse from means, or pictures are too few or too small",
        (False, True): "a simple model is as good from these",
        (True, False): "objects are near each other, or they or the pictures are small",
        (True, True): "objects are still apart and visible",
    }
    why = whys[bool(counts), reduction > 1]
    return f"{averaged_pixels(reduction)}: {why}; to set it yourself: {where}"


def rough_interval(n_held_back) -> str:
    """Return a sentence on intervals that rest on few pictures; empty if they rest on many.

    Parameters
    ----------
    n_held_back : int
        Pictures that were held back from the fit.

    Examples
    --------
    >>> from sk_ednn._utils.wording import rough_interval
    >>> rough_interval(6)
    'the intervals are estimated from 6 held-back pictures only, too few to see rare errors, and are
    wider for that'
    >>> rough_interval(12)
    'the intervals are estimated from 12 held-back pictures only, and are wider for that'
    >>> rough_interval(200), rough_interval(0)
    ('', '')
    """
    if not 0 < n_held_back < _FEW_ERRORS:
        return ""
    pictures = "one held-back picture" if n_held_back == 1 else f"{n_held_back} held-back pictures"
    # The largest of eight errors is exceeded by one in nine new ones.
    few = ", too few to see rare errors" if n_held_back < _LEAST_ERRORS else ""
    return f"the intervals are estimated from {pictures} only{few}, and are wider for that"


def with_article(noun) -> str:
    """Return a noun, such as the name of a class, with its indefinite article.

    Parameters
    ----------
    noun : str

    Examples
    --------
    >>> from sk_ednn._utils.wording import with_article
    >>> [with_article(name) for name in ("Ridge", "EDNNRegressor", "SVR", "UniqueTiles", "int")]
    ['a Ridge', 'an EDNNRegressor', 'an SVR', 'a UniqueTiles', 'an int']
    """
    letters = noun.lstrip("'\"`_")
    if re.match(r"[A-Z]{2}", letters):
        vowel = letters[0] in _VOWEL_NAMES
    else:
        vowel = bool(re.match(r"(?!uni|use|eu|one)[aeiou]", letters, re.IGNORECASE))
    return f"{'an' if vowel else 'a'} {noun}"


def note_on_differences(name, spread, predicted, n) -> str:
    """Return a sentence where totals differ less as counted than in the table; else nothing.

    Parameters
    ----------
    name : str
    spread, predicted : float
        Standard deviations of the totals of pictures not seen, in the table and as counted.
    n : int
        Number of these pictures.

    Examples
    --------
    >>> from sk_ednn._utils.wording import note_on_differences
    >>> print(note_on_differences("cells", 30.0, 12.0, 9))
    differences of cells come out too small: counts of 9 pictures not seen have a standard deviation
    of 12, their numbers in the table of 30; high ones are counted too low and low ones too high
    >>> note_on_differences("cells", 30.0, 28.0, 9)
    ''
    """
    if n < _FEW_FOR_SPREAD or predicted >= _TOO_SMALL * spread:
        return ""
    return (
        f"differences of {name} come out too small: counts of {pictures_not_seen(n)} have a "
        f"standard deviation of {plain(predicted, 3)}, their numbers in the table of "
        f"{plain(spread, 3)}; high ones are counted too low and low ones too high"
    )


def note_on_trend(name, few, many, n, size="") -> str:
    """Return a sentence on errors that depend on the total.

    Parameters
    ----------
    name : str
    few, many : float
        Mean errors of the half of the pictures not seen with the smaller totals, and of the other.
    n : int
        Number of these pictures.
    size : str, default=""
        Size of these pictures, where others are far larger.

    Examples
    --------
    >>> from sk_ednn._utils.wording import note_on_trend
    >>> print(note_on_trend("grains", 1.58, -1.52, 10))
    pictures with few grains come out 1.6 too high, those with many 1.5 too low (means of halves of
    10 pictures not seen): differences between pictures are off by that
    >>> print(note_on_trend("grains", 1.58, -1.52, 10, "320 × 400"))
    per picture of the size of those of the fit (320 × 400), pictures with few grains come out 1.6
    too high, those with many 1.5 too low (means of halves of 10 pictures not seen): larger pictures
    are off by that for each part of this size
    """
    parts = [f"{plain(abs(each), 2)} too {'high' if each > 0 else 'low'}" for each in (few, many)]
    before, after = "", "differences between pictures are off by that"
    if size:
        before = f"per picture of the size of those of the fit ({size}), "
        after = "larger pictures are off by that for each part of this size"
    return (
        f"{before}pictures with few {name} come out {parts[0]}, those with many {parts[1]} (means "
        f"of halves of {pictures_not_seen(n)}): {after}"
    )


def pictures_not_seen(n) -> str:
    """Return a number of pictures that were held back from a fit.

    Examples
    --------
    >>> from sk_ednn._utils.wording import pictures_not_seen
    >>> pictures_not_seen(1), pictures_not_seen(12)
    ('1 picture not seen', '12 pictures not seen')
    """
    return "1 picture not seen" if n == 1 else f"{n} pictures not seen"
