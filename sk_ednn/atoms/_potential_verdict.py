"""The verdict on a potential: its errors beside those of the composition alone."""

from __future__ import annotations

from ..metrics import as_ratio, compared

_NAMES = {"energy": "energies", "force": "forces", "stress": "stresses"}
# Errors relative to those of the composition alone: a good potential is below the first in all
# quantities; from the second on it is called poor, as a model of totals is (`metrics.judge`).
_GOOD, _POOR = 0.1, 0.5
# In meV/atom, meV/Å and GPa: below it, the composition alone is exact to round-off.
_ROUND_OFF = 1e-6


def verdict_of(errors, spreads, n_structures, *, held_back) -> dict:
    """Compare the errors of a potential with those of the composition alone.

    Parameters
    ----------
    errors : dict of str to float
        Result of `averages` in `_potential_errors`.
    spreads : dict of str to float
        Result of `spreads` there, for the same structures.
    n_structures : int
    held_back : bool
        Whether the structures were held back from the fit.

    Returns
    -------
    dict
        ``n_systems`` and ``held_back``; ``over_spread``, the ratio of root mean square error and
        spread for each of "energy", "force" and "stress" that is known; and ``words``.

    Examples
    --------
    >>> from sk_ednn.atoms._potential_verdict import verdict_of
    >>> errors = {"energy_rmse": 4.0, "force_rmse": 120.0}
    >>> verdict = verdict_of(errors, {"energy": 80.0, "force": 1500.0}, 30, held_back=True)
    >>> print(verdict["words"])
    on 30 structures held back: RMSE of energies 0.05, of forces 0.08 times the spread, the error of
    the composition alone. The potential is good: all are below 0.1.
    """
    over_spread = {
        kind: errors[f"{kind}_rmse"] / spreads[kind]
        for kind in _NAMES
        if f"{kind}_rmse" in errors and spreads.get(kind, 0.0) > _ROUND_OFF
    }
    text = f"on {n_structures:,} structures {'held back' if held_back else 'fitted to'}"
    if over_spread:
        ratios = [f"of {_NAMES[kind]} {as_ratio(r)}" for kind, r in over_spread.items()]
        text += f": RMSE {', '.join(ratios)} times the spread, the error of the composition alone"
    sentences = [_judgement(over_spread)]
    if not held_back:
        sentences.append("Errors on other structures are unknown, since none were held back.")
    return {
        "n_systems": n_structures,
        "held_back": held_back,
        "over_spread": over_spread,
        "words": " ".join([f"{text}.", *sentences]),
    }


def _judgement(over_spread) -> str:
    if not over_spread:
        return "They are too few, or too similar, to compare with the composition alone."
    worst = max(over_spread, key=lambda kind: over_spread[kind])
    if over_spread[worst] >= _POOR:
        better = compared(over_spread[worst])
        return f"For {_NAMES[worst]} the potential is {better} than the composition alone."
    if over_spread[worst] >= _GOOD:
        return "Those of a good potential are below 0.1."
    return "The potential is good: all are below 0.1."
