"""The verdict on a potential: its errors beside those of the composition alone."""

from __future__ import annotations

from typing import NamedTuple

from ..metrics import as_ratio, compared
from ._potential_errors import averages, spreads
from ._short_distances import shortest_distances, worst_are_close

_NAMES = {"energy": "energies", "force": "forces", "stress": "stresses"}
# Errors relative to those of the composition alone: a good potential is below the first in all
# quantities; from the second on it is called poor, as a model of totals is (`metrics.judge`).
_GOOD, _POOR = 0.1, 0.5
# Errors that are so many times smaller for the structures learned from show overfitting.
_OVERFITTED = 2.0
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
    words = _words(over_spread, n_structures) if held_back else _not_measured(over_spread)
    return {
        "n_systems": n_structures,
        "held_back": held_back,
        "over_spread": over_spread,
        "words": words,
    }


def next_step(
    errors, over_spread, *, n_members=1, decays=False, by_novelty=None, closest=None
) -> str | None:
    """Return what to try, or None if the potential is good and its errors agree.

    Parameters
    ----------
    errors : dict of str to dict
        Results of `averages` in `_potential_errors` for "train", and for "test" if structures were
        held back.
    over_spread : dict of str to float
        Of the verdict.
    n_members : int, default=1
        Networks of the potential.
    decays : bool, default=False
        Whether it was fitted with weight decay.
    by_novelty : dict, default=None
        Errors of novel structures held back, and of the others: `Measured.by_novelty`.
    closest : float, default=None
        The distance of atoms in the structures with the largest errors, if it is unusually short
        and the potential was fitted without repulsion; of `worst_are_close`.

    Examples
    --------
    >>> from sk_ednn.atoms._potential_verdict import next_step
    >>> errors = {"train": {"force_rmse": 20.0}, "test": {"force_rmse": 200.0}}
    >>> print(next_step(errors, {"force": 0.2}, n_members=4))
    errors of forces are 10 times smaller for the structures learned from than for those held back
    (overfitting): add structures like those held back, or --weight-decay 0.3

    Where atoms come close, the repulsion of nuclei need not be learned:

    >>> step = next_step(errors, {"force": 0.2}, n_members=4, decays=True, closest=0.7)
    >>> print(step.partition("add ")[2])
    --repulsion, since the largest errors are of structures with atoms unusually close, 0.7 times
    the sum of their covalent radii, or structures like those held back
    """
    if "test" not in errors:
        return (
            "evaluate other structures (sk-ednn evaluate MODEL OTHERS), or hold some back with "
            "--test-fraction 0.2"
        )
    poor = [kind for kind in over_spread if over_spread[kind] >= _GOOD]
    gaps = {kind: _gap(errors, kind) for kind in over_spread}
    widest = max(poor or gaps, key=lambda kind: gaps[kind], default=None)
    if widest is not None and gaps[widest] >= _OVERFITTED:
        tries = ["structures like those held back"]
        tries += ["several networks (--members 4)"] if n_members == 1 else []
        tries += [] if decays else ["--weight-decay 0.3"]
        some = ", ".join(tries[:-1])
        added = f"{some}, or {tries[-1]}" if some else tries[-1]
        if by_novelty:
            added = _of_novel(by_novelty, widest) or added
        added = _with_repulsion(closest, added)
        return (
            ("" if poor else "it is good; for more accuracy: ")
            + f"errors of {_NAMES[widest]} are {gaps[widest]:.2g} times smaller for the structures "
            f"learned from than for those held back (overfitting): add {added}"
        )
    if not poor:
        return None
    worst = max(poor, key=lambda kind: over_spread[kind])
    text = (
        f"errors of {_NAMES[worst]} are of similar size for the structures learned from: train "
        "longer with --max-seconds or --epochs"
    )
    others = [kind for kind in gaps if kind not in poor and gaps[kind] >= _OVERFITTED]
    if not others:
        return f"{text}, or add {_with_repulsion(closest, 'structures')}"
    most = max(others, key=lambda kind: gaps[kind])
    return (
        f"{text}; those of {_NAMES[most]} are {gaps[most]:.2g} times smaller (overfitting): add "
        f"{_with_repulsion(closest, 'structures')}"
    )


class Judged(NamedTuple):
    """Errors of a fit, and what follows from them, for the terminal and the report alike.

    Attributes
    ----------
    errors, spreads : dict of str to dict
        Results of `averages` and `spreads` in `_potential_errors`, by part of the data.
    verdict : dict
        Result of `verdict_of`.
    step : str or None
        Result of `next_step`.
    by_novelty : dict
        Errors of novel structures held back, and of the others; empty if they are not known.
    """

    errors: dict
    spreads: dict
    verdict: dict
    step: str | None
    by_novelty: dict


def judged(potential, train, test=None) -> Judged:
    """Compare the errors of a potential, and say what to try.

    Parameters
    ----------
    potential : EDNNPotential
    train : Measured
    test : Measured, default=None
        Structures held back, with their novelty if it is known.
    """
    known = {"train": train, **({} if test is None else {"test": test})}
    errors = {which: averages(part.errors) for which, part in known.items()}
    of_parts = {which: spreads(part.data) for which, part in known.items()}
    shown = "train" if test is None else "test"
    verdict = verdict_of(
        errors[shown], of_parts[shown], len(known[shown].data.places), held_back=test is not None
    )
    by_novelty = {} if test is None else test.by_novelty()
    step = next_step(
        errors, verdict["over_spread"], n_members=potential.n_members,
        decays=bool(getattr(potential.trainer, "weight_decay", None)), by_novelty=by_novelty,
        closest=None if test is None or _repels(potential) else _closest(test, verdict),
    )  # fmt: skip
    return Judged(errors, of_parts, verdict, step, by_novelty)


def _repels(potential) -> bool:
    """Return True if a potential has the repulsion of nuclei already, or cannot have it."""
    is_image = potential._reach is None
    return is_image or potential.repulsion or bool(getattr(potential.trainer, "repulsion", False))


def _closest(part, verdict) -> float | None:
    """Return the distance of atoms where errors of the worst quantity are largest, if short."""
    over_spread = verdict["over_spread"]
    if not over_spread:
        return None
    worst = max(over_spread, key=lambda kind: over_spread[kind])
    column = {"energy": "energy", "force": "force_rmse", "stress": "stress_mae"}[worst]
    distances = shortest_distances(part.data.structures)
    return worst_are_close(part.by_structure()[column], distances)


def _with_repulsion(closest, added) -> str:
    """Return what to add, with the repulsion of nuclei first if the worst atoms are close."""
    if closest is None:
        return added
    return (
        "--repulsion, since the largest errors are of structures with atoms unusually close, "
        f"{closest:.2g} times the sum of their covalent radii, or {added}"
    )


def _of_novel(by_novelty, kind) -> str:
    """Return what to add if novel structures have most of the error; else nothing.

    Examples
    --------
    >>> from sk_ednn.atoms._potential_verdict import _of_novel
    >>> parts = {
    ...     "unlike": {"structures": 6, "errors": {"force_rmse": 585.0}},
    ...     "alike": {"structures": 42, "errors": {"force_rmse": 118.0}},
    ... }
    >>> print(_of_novel(parts, "force"))
    structures like the 6 novel ones, whose RMSE is 5 times that of the others (--errors lists them)
    """
    novel, others = (by_novelty[which]["errors"].get(f"{kind}_rmse") for which in by_novelty)
    if not (novel and others and novel >= _OVERFITTED * others):
        return ""
    n = by_novelty["unlike"]["structures"]
    ones = "the novel one" if n == 1 else f"the {n} novel ones"
    return (
        f"structures like {ones}, whose RMSE is {novel / others:.2g} times that of the others "
        "(--errors lists them)"
    )


def _gap(errors, kind) -> float:
    """Return how many times smaller the errors are of the structures learned from."""
    train, test = (errors[which].get(f"{kind}_rmse") for which in ("train", "test"))
    return test / train if train and test else 1.0


def _words(over_spread, n_structures) -> str:
    text = f"on {n_structures:,} structures held back"
    if not over_spread:
        why = "They are too few, or too similar, to compare with the composition alone."
        return f"{text}. {why}"
    ratios = [f"of {_NAMES[kind]} {as_ratio(ratio)}" for kind, ratio in over_spread.items()]
    return (
        f"{text}: RMSE {', '.join(ratios)} times the spread, the error of the composition alone. "
        f"{_judgement(over_spread)}"
    )


def _not_measured(over_spread) -> str:
    """Return the verdict if errors are known only of structures that were learned from."""
    text = (
        "not measured, because no structures were held back. Errors of structures that were "
        "learned from say little about others."
    )
    worst = max(over_spread, key=lambda kind: over_spread[kind], default=None)
    if worst is None or over_spread[worst] < _POOR:
        return text
    better = compared(over_spread[worst])
    return (
        f"{text} Even for these, {_NAMES[worst]} are {better} than those of the composition alone."
    )


def _judgement(over_spread) -> str:
    worst = max(over_spread, key=lambda kind: over_spread[kind])
    missed = [kind for kind in over_spread if over_spread[kind] >= _GOOD]
    if over_spread[worst] >= _POOR:
        better = compared(over_spread[worst])
        return f"For {_NAMES[worst]} the potential is {better} than the composition alone."
    if not missed:
        return "The potential is good: all are below 0.1."
    names = _listed([_NAMES[kind] for kind in missed])
    text = f"{names.capitalize()} miss 0.1, below which a potential is good"
    met = [_NAMES[kind] for kind in over_spread if kind not in missed]
    return f"{text}; {_listed(met)} are below it." if met else f"{text}."


def _listed(names) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
