"""Errors and verdicts in the results of runs, for the pages."""

from __future__ import annotations


def error_of(result) -> float | None:
    """Return the error by which runs are compared: the mean over held-out systems.

    Examples
    --------
    >>> from sk_ednn.ui._run_results import error_of
    >>> error_of({"train": {"mean": 0.1}, "test": {"median": 0.2, "mean": 0.3}})
    0.3
    >>> error_of({"test": {"energy_mae": 4.0, "force_mae": 70.0}}), error_of(None)
    (4.0, None)
    """
    if not isinstance(result, dict):
        return None
    for name in ("error", "test", "errors", "train"):
        value = result.get(name)
        while isinstance(value, (dict, list)) and value:
            if isinstance(value, list):
                value = value[0]
            else:
                value = next((value[key] for key in ("mean", "mae", "energy_mae", "test", "median")
                              if key in value), None)  # fmt: skip
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def unit_of(settings, result) -> str:
    """Return the unit of `error_of`; empty if it is unknown.

    Examples
    --------
    >>> from sk_ednn.ui._run_results import unit_of
    >>> unit_of({"unit": "J"}, {"test": {"mean": 0.3}}), unit_of({}, {"test": {"energy_mae": 4.0}})
    ('J', 'meV/atom')
    """
    if _is_of_potential(_parts(result)):
        return "meV/atom"
    units = (each.get("unit") for each in (result, settings) if isinstance(each, dict))
    return next((unit for unit in units if isinstance(unit, str)), "")


def errors_of(settings, result) -> list[list]:
    """Return the table of errors that a fit prints, header first; empty for other results.

    Examples
    --------
    >>> from sk_ednn.ui._run_results import errors_of
    >>> for row in errors_of({"unit": "J"}, {"train": {"mean": 0.1}, "test": {"mean": 0.3}}):
    ...     print(row)
    ['errors of totals (J)', 'mean']
    ['train', 0.1]
    ['test', 0.3]
    """
    parts = _parts(result)
    if not parts:
        return []
    if _is_of_potential(parts):
        from ..atoms._potential_errors import table_of

        spreads = result.get("spreads")
        return table_of(parts, _numbers_by_part(spreads if isinstance(spreads, dict) else {}))
    names = list(dict.fromkeys(name for values in parts.values() for name in values))
    unit = unit_of(settings, result)
    title = f"errors of totals ({unit})" if unit else "errors of totals"
    rows = [[part, *(values.get(name) for name in names)] for part, values in parts.items()]
    return [[title, *names], *rows]


def _parts(result) -> dict[str, dict]:
    if not isinstance(result, dict):
        return {}
    return _numbers_by_part({part: result.get(part) for part in ("train", "test")})


def _numbers_by_part(parts) -> dict[str, dict]:
    """Return what contains numbers alone: files of a run may contain anything."""
    return {
        part: values for part, values in parts.items()
        if isinstance(values, dict) and all(isinstance(v, (int, float)) for v in values.values())
    }  # fmt: skip


def _is_of_potential(parts) -> bool:
    return any("energy_mae" in values or "force_mae" in values for values in parts.values())


def verdict_in(result) -> str | None:
    """Return the verdict on a model in a result; None if there is none."""
    verdict = result.get("verdict") if isinstance(result, dict) else None
    words = verdict.get("words") if isinstance(verdict, dict) else None
    return words if isinstance(words, str) else None
