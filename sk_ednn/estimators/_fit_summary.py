"""What a fitted model remembers of how it was made."""

from __future__ import annotations

from typing import Any

import numpy as np


def spacing_of(model):
    """Return the spacing of the pixels that a model was fitted to, in Å, or None."""
    for step in _inner(model):
        spacing = getattr(step, "spacing_", None)
        if spacing is not None:
            return [float(s) for s in spacing]
    return None


def training_of(model) -> dict:
    """Return how the training of a model went, from what its parts remember."""
    found: dict[str, Any] = {}
    members = [step for step in _inner(model) if hasattr(step, "tile_model_")]
    if len(members) > 1:
        found["members"] = len(members)
    for step in members[:1]:
        found["strategy"] = type(getattr(step, "solver_", step.solver)).__name__
        found["n_outputs"] = int(step.n_outputs_)
        several = isinstance(step.tile_model_, list)
        for tile_model in step.tile_model_ if several else [step.tile_model_]:
            found |= _of_estimator(_last(tile_model.estimator))
    return found


def _of_estimator(estimator) -> dict:
    found: dict[str, Any] = {"tile_model": type(estimator).__name__}
    history = list(getattr(estimator, "history_", None) or ())
    if history:
        found["epochs"] = len(history)
        for name in ("train_loss", "valid_loss"):
            losses = [row[name] for row in history if name in row]
            if losses:
                found[name] = {"first": losses[0], "last": losses[-1], "least": min(losses)}
    for name, key in (
        ("n_iter_", "iterations"),
        ("loss_", "loss"),
        ("log_marginal_likelihood_value_", "log marginal likelihood"),
    ):
        value = getattr(estimator, name, None)
        if isinstance(value, (int, float, np.generic)):
            found[key] = value
    for name, key in (("estimators_", "stages"), ("X_fit_", "distinct tiles")):
        if hasattr(estimator, name):
            found[key] = len(getattr(estimator, name))
    return {key: _plain(value) for key, value in found.items()}


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    value = value.item() if isinstance(value, np.generic) else value
    # JSON knows no NaN.
    return repr(value) if isinstance(value, float) and not np.isfinite(value) else value


def _inner(model):
    """Yield the estimators of a Pipeline, a committee or a wrapper, from the outside in."""
    yield model
    for _, step in getattr(model, "steps", ()):
        yield from _inner(step)
    if hasattr(model, "tile_model_"):
        several = isinstance(model.tile_model_, list)
        for tile_model in model.tile_model_ if several else [model.tile_model_]:
            for _, step in getattr(tile_model.estimator, "steps", ()):
                yield from _inner(step)
        return
    for name in ("regressor_", "estimator_"):
        if hasattr(model, name):
            yield from _inner(getattr(model, name))
    for member in getattr(model, "estimators_", ()):
        if hasattr(member, "predict"):
            yield from _inner(member)


def _last(estimator):
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator
