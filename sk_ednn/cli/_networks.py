"""Options for the training of networks."""

from __future__ import annotations

from typing import Any

# Tile models of each option; names are those of parameters of the command.
_OPTIONS = {
    "epochs": ("dense", "perceptron"),
    "lr": ("dense", "perceptron"),
    "early_stopping": ("dense", "perceptron"),
    "keep_on_interrupt": ("dense", "perceptron"),
    "device": ("dense",),
    "checkpoint": ("dense",),
}
# Names in scikit-learn's MLPRegressor.
_OF_PERCEPTRON = {"epochs": "max_iter", "lr": "learning_rate_init"}
NETWORKS = ("dense", "perceptron")


def interrupted(estimator) -> str:
    """Restore the best epoch of an interrupted training, and return a description of it.

    Parameters
    ----------
    estimator : EDNNRegressor, or a Pipeline that ends in one, fitted
    """
    from .._utils.steps import front_and_last

    _, regressor = front_and_last(estimator)
    _, net = front_and_last(regressor.tile_model_.estimator)
    if hasattr(net, "loss_curve_"):  # MLPRegressor, which restores its best epoch
        best = net.validation_scores_ or [-loss for loss in net.loss_curve_]
        ended = hasattr(net, "best_loss_")
        n_epochs, epoch = len(best), None if ended else 1 + best.index(max(best))
    else:
        from ..solvers._best_epoch import keep_best, n_finished

        n_epochs, epoch = n_finished(net), keep_best(net)
    if epoch is None:
        return f"interrupted after all {n_epochs} epochs"
    if epoch == 0:
        return "interrupted in epoch 1, before any was finished"
    return f"interrupted in epoch {n_epochs + 1}; kept is epoch {epoch}, the best so far"


def check_options(options) -> None:
    """Raise if an option is given that the tile model does not use.

    Raises
    ------
    ValueError
    """
    for name, takers in _OPTIONS.items():
        if getattr(options, name) not in (None, False) and options.model not in takers:
            raise ValueError(
                f"--{name.replace('_', '-')} is for --model {' or '.join(takers)}; the model is "
                f"{options.model}."
            )


def with_options(tile_model, options, symmetries=None) -> tuple[Any, Any]:
    """Return a tile model with options set, and its solver or None for the default.

    Parameters
    ----------
    tile_model : estimator, or class of torch modules
    options : namespace
        The parameters of the command, by name, checked by `check_options`.
    symmetries : tuple of str, default=None
        Of a network of torch: parameter of `GradientSolver`.
    """
    given = {
        name: getattr(options, name) for name in _OPTIONS if getattr(options, name) is not None
    }
    given.pop("keep_on_interrupt", None)
    given |= {} if symmetries is None else {"symmetries": symmetries}
    if not given:
        return tile_model, None
    if options.model == "perceptron":
        params = {_OF_PERCEPTRON[key]: given[key] for key in _OF_PERCEPTRON if key in given}
        if "early_stopping" in given:
            params |= {"early_stopping": True, "n_iter_no_change": given["early_stopping"]}
        tile_model[-1].set_params(**params)
        return tile_model, None
    from .._utils.optional import needing

    with needing("Training a network"):
        from ..solvers import GradientSolver

    if "epochs" in given:
        given["max_epochs"] = given.pop("epochs")
    return tile_model, GradientSolver(**given)
