"""The verdict on a model of counts, in words for those who use it."""

from __future__ import annotations

from .._utils.learned import degree_of
from .._utils.wording import pictures_not_seen, plain
from ._run_results import verdict_in

_DEGREES = {
    "well": (
        "learned well",
        "Good enough to count single pictures, if an error of this size does no harm.",
    ),
    "roughly": (
        "learned roughly",
        "Good enough to tell full pictures from empty ones; too rough for a single number.",
    ),
    "badly": ("learned badly", "Not good enough yet: train longer, or with more pictures."),
    "no better": (
        "not learned",
        "Of no use yet, since the mean is as good a guess: train longer, or with more pictures.",
    ),
}
_NUMBERS = ("mean", "error", "error_of_mean")


def verdict_lines(result) -> list[str]:
    r"""Return sentences on how good a model of counts is, and for what; none without a verdict.

    Parameters
    ----------
    result : dict
        Of a fit or a prediction of counts. A verdict without numbers is returned in its words.

    Examples
    --------
    >>> from sk_ednn.ui._run_verdict import verdict_lines
    >>> grains = {"mean": 58.24, "error": 1.554, "error_of_mean": 26.25}
    >>> verdict = {"held_back": 10, "totals": {"grains": grains}, "words": "grains is learned"}
    >>> print(*verdict_lines({"verdict": verdict}), sep="\n")
    grains, learned well: typically off by 1.6, where the mean is 58 (guessing the mean: off by 26).
    Good enough to count single pictures, if an error of this size does no harm.
    Measured on 10 pictures not seen.
    >>> verdict_lines({"verdict": {"words": "not measured"}})
    ['not measured']
    """
    words = verdict_in(result)
    if words is None:
        return []
    verdict = result["verdict"]
    totals, n = verdict.get("totals"), verdict.get("held_back")
    known = isinstance(totals, dict) and totals and isinstance(n, int) and n > 0
    if not known or not all(map(_is_complete, totals.values())):
        return [words]
    lines = []
    for name, one in totals.items():
        how, enough = _DEGREES[degree_of(one["error"], one["error_of_mean"])]
        lines += [
            f"{' '.join(str(name).split())}, {how}: typically off by {plain(one['error'], 2)}, "
            f"where the mean is {plain(one['mean'], 2)} (guessing the mean: off by "
            f"{plain(one['error_of_mean'], 2)}).",
            enough,
        ]
    return [*lines, f"Measured on {pictures_not_seen(n)}."]


def _is_complete(one) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(k), (int, float)) for k in _NUMBERS)
