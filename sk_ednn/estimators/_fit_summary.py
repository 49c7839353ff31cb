"""Summarise how a model was fitted, from the attributes of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..solvers._base import last_step
from ._unwrap import estimators_in, regressors_in


def spacing_of(model):
    """Return the pixel spacing of the images that a model was fitted to, in Å, or None."""
    for estimator in estimators_in(model):
        steps = [estimator]
        if hasattr(estimator, "tile_model_"):
            for tile_model, _ in estimator.fitted_terms():
                steps += estimators_in(tile_model.estimator)
        for step in steps:
            spacing = getattr(step, "spacing_", None)
            if spacing is not None:
                return [float(s) for s in spacing]
    return None


def training_of(model) -> dict:
    """Return a summary of the fit: solver, losses, iterations and numbers of fitted parts."""
    summary: dict[str, Any] = {}
    members = regressors_in(model)
    if len(members) > 1:
        summary["members"] = len(members)
    for member in members[:1]:
        summary["strategy"] = type(getattr(member, "solver_", member.solver)).__name__
        summary["n_outputs"] = int(member.n_outputs_)
        for tile_model, _ in member.fitted_terms():
            summary |= _of_estimator(last_step(tile_model.estimator))
    return summary


def _of_estimator(estimator) -> dict:
    summary: dict[str, Any] = {"tile_model": type(estimator).__name__}
    history = list(getattr(estimator, "history_", None) or ())
    if history:
        summary["epochs"] = len(history)
        for name in ("train_loss", "valid_loss"):
            losses = [row[name] for row in history if name in row]
            if losses:
                summary[name] = {"first": losses[0], "last": losses[-1], "least": min(losses)}
    for name, key in (
        ("n_iter_", "iterations"),
        ("loss_", "loss"),
        ("log_marginal_likelihood_value_", "log marginal likelihood"),
    ):
        value = getattr(estimator, name, None)
        if isinstance(value, (int, float, np.generic)):
            summary[key] = value
    for name, key in (("estimators_", "stages"), ("X_fit_", "distinct tiles")):
        if hasattr(estimator, name):
            summary[key] = len(getattr(estimator, name))
    return {key: _plain(value) for key, value in summary.items()}


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    value = value.item() if isinstance(value, np.generic) else value
    # JSON has no NaN.
    return repr(value) if isinstance(value, float) and not np.isfinite(value) else value
