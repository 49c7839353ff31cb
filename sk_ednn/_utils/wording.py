"""Words of messages."""

import re

# Letters whose names begin with a vowel, as in "an SVR".
_VOWEL_NAMES = "AEFHILMNORSX"


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
