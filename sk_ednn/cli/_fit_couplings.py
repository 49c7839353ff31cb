"""Couplings of a fitted lattice model, which ``fit`` keeps in its file and ``inspect`` prints."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np

# Of models in which pairs interact, one field of random values shows the couplings exactly. The
# contributions that it takes are computed in about a second.
_MODELS = ("quadratic",)
_MOST_TILES = 200_000
# Couplings below this part of the largest one may be errors of the fit.
_WEAK = 1e-3
# Share of an interaction that functions of the energy explain, and displacements that are listed.
_ENOUGH, _SHOWN = 0.99, 6


def couplings_of(estimator, X, name, verdict) -> dict[str, Any] | None:
    """Return the couplings of a model as numbers for its file.

    Parameters
    ----------
    estimator : EDNNRegressor or Pipeline, fitted
    X : ndarray of shape (n_samples, *field_shape)
    name : str
        Of the tile model.
    verdict : dict
        As `sk_ednn.metrics.Verdict.as_dict` returns it.

    Returns
    -------
    dict or None
        ``pairs`` by the name of a function and displacements such as ``"0 1"``, ``sites`` by the
        name of a function, and the least share ``explained`` of an interaction. None for models
        of more than pairs, where it would take long, and where errors are so large that terms are
        missing.
    """
    from ..metrics import SIZEABLE

    share = verdict["over_spread"]
    if name not in _MODELS or not isinstance(X, np.ndarray) or share is None or share > SIZEABLE:
        return None
    from .._utils.steps import front_and_last
    from ..inspection import couplings

    front, regressor = front_and_last(estimator)
    channels = not front and regressor.tiling.channel_axis is not None
    window = regressor.tiling.tile_shape(X.shape[1:] if not front else (*X.shape[1:], 1))
    n_axes = X.ndim - 1 - channels
    widths = [2 * length - 1 for length in window[:n_axes]]
    n_values = len(front[0]._pair_basis()[0]) if front else min(len(np.unique(X[:100])), 16)
    for farthest in (None, 1):
        reach = widths if farthest is None else [min(width, 3) for width in widths]
        if (prod(reach) // 2) * n_values**2 * prod(widths) > _MOST_TILES:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is not explained is a number of the result
            try:
                found = couplings(estimator, X, max_distance=farthest, n_fields=1, random_state=0)
            except ValueError:  # sites with channels of many values
                return None
        return _as_numbers(found)
    return None


def _as_numbers(found) -> dict[str, Any]:
    """Return couplings that are not errors of the fit, as numbers and texts."""
    every = [*found.coefficients.values(), np.array([*found.site_coefficients.values()])]
    least = _WEAK * max((float(np.abs(each).max(initial=0)) for each in every), default=0.0)
    pairs = {
        name: {
            " ".join(map(str, where)): float(coefficient)
            for where, coefficient in zip(found.displacements.tolist(), some, strict=True)
            if abs(coefficient) > least
        }
        for name, some in found.coefficients.items()
    }
    sites = {
        name: float(coefficient)
        for name, coefficient in found.site_coefficients.items()
        if abs(coefficient) > least
    }
    known = found.explained[~np.isnan(found.explained)]
    return {
        "pairs": {name: some for name, some in pairs.items() if some},
        "sites": sites,
        **({"explained": float(known.min())} if len(known) else {}),
    }


def rows_of(stored, unit=None) -> list[tuple[str, str]]:
    """Return couplings from the description of a file as rows of a name and a text.

    Parameters
    ----------
    stored : object
        From a file that is not trusted; what is no dictionary of numbers gives no rows.
    unit : str or None

    Examples
    --------
    >>> from sk_ednn.cli._fit_couplings import rows_of
    >>> pairs = {"product": {"0 1": -2.4, "1 0": -2.4, "1 1": 0.5}}
    >>> for name, text in rows_of({"pairs": pairs, "sites": {"square": 1.1}}):
    ...     print(f"{name}: {text}")
    coupling of pairs: product -2.4 at 0 1, 1 0; 0.5 at 1 1
    coupling of sites: square 1.1
    """
    if not isinstance(stored, dict):
        return []
    of_unit = f" {unit}" if unit else ""
    rows = []
    pairs = stored.get("pairs")
    for name, some in pairs.items() if isinstance(pairs, dict) else ():
        places: dict[str, list[str]] = {}
        for where, value in _numbers(some).items():
            places.setdefault(f"{value:.3g}{of_unit}", []).append(where)
        if places:
            text = "; ".join(f"{value} at {_first(where)}" for value, where in places.items())
            rows.append(("coupling of pairs", f"{name} {text}"))
    for name, value in _numbers(stored.get("sites")).items():
        rows.append(("coupling of sites", f"{name} {value:.3g}{of_unit}"))
    explained = _numbers({"share": stored.get("explained")}).get("share", 1.0)
    if rows and explained < _ENOUGH:
        rows.append((
            "couplings",
            f"explain as little as {100 * max(0.0, explained):.3g} % of the interaction of a pair; "
            "see pair_functions of sk_ednn.inspection.couplings",
        ))  # fmt: skip
    return rows


def _numbers(some) -> dict[str, float]:
    if not isinstance(some, dict):
        return {}
    return {
        str(name): float(value)
        for name, value in some.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _first(places) -> str:
    shown = ", ".join(places[:_SHOWN])
    return shown if len(places) <= _SHOWN else f"{shown} and {len(places) - _SHOWN} more"
