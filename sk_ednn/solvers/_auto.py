"""Which strategy fits which tile model: the only if-chain of the package's fitting half."""

from __future__ import annotations

from importlib import import_module

from .._utils.optional import needing
from .._utils.stored import stored
from ..exceptions import TileModelError
from ._base import AbstractSolver, SumProblem, Term

# In the order they are asked; the last one takes every regressor. Modules are imported when they
# are reached, since one of them needs torch.
_STRATEGIES = (
    ("_gradient", "GradientSolver"),
    ("_linear", "LinearSolver"),
    ("_kernel", "KernelSolver"),
    ("_gaussian_process", "GaussianProcessSolver"),
    ("_boosting", "BoostingSolver"),
)


@stored("AutoSolver", former=("AutoSumFit",))
class AutoSolver(AbstractSolver):
    """Choose a strategy by the tile model.

    ==========================================================  =======================
    Tile model (the last step, if it is a Pipeline)             Strategy
    ==========================================================  =======================
    torch module, skorch net, `MLPRegressor`                    `GradientSolver`
    linear models                                               `LinearSolver`
    `KernelRidge`                                               `KernelSolver`
    `GaussianProcessRegressor`                                  `GaussianProcessSolver`
    any other regressor                                         `BoostingSolver`
    ==========================================================  =======================

    The first two learn derivatives of totals too, where `fit` is given them (an `MLPRegressor`
    does not).

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sk_ednn.solvers import AutoSolver
    >>> AutoSolver().select(RandomForestRegressor())
    BoostingSolver()
    """

    def select(self, tile_model) -> AbstractSolver:
        """Return the strategy that would fit this tile model.

        Parameters
        ----------
        tile_model : estimator, or list of (name, tile_model, tiling)

        Raises
        ------
        TileModelError
            Where `tile_model` is not a regressor, or the terms need different strategies.
        """
        if isinstance(tile_model, list):
            return self._for_terms([Term(*term) for term in tile_model])
        return self._for_terms([Term("tile_model", tile_model, None)])

    def _for_terms(self, terms) -> AbstractSolver:
        for module, name in _STRATEGIES:
            if name == "GradientSolver" and not needs_gradient(terms):
                continue
            with needing("Training a network or perceptron"):
                strategy = getattr(import_module(f".{module}", __package__), name)()
            if strategy.suits(terms):
                return strategy
        names = ", ".join(_name(term.tile_model) for term in terms)
        raise TileModelError(
            f"No strategy fits {names} to sums. A tile model is a scikit-learn regressor (or a "
            "Pipeline that ends in one), a torch module or a skorch NeuralNetRegressor; several "
            "terms must be of one kind, or all be fitted by boosting: "
            "EDNNRegressor(..., solver=BoostingSolver())."
        )

    def suits(self, terms) -> bool:
        """Tell whether any strategy suits the terms."""
        try:
            self._for_terms(terms)
        except TileModelError:
            return False
        return True

    def fit(self, problem: SumProblem):
        """Fit with the strategy that `select` returns."""
        return self._for_terms(problem.terms).fit(problem)


def needs_gradient(terms) -> bool:
    """Tell whether terms are networks, without importing torch to ask."""
    from sklearn.neural_network import MLPRegressor

    from ..tile_models._base import is_torch
    from ._base import last_step

    return any(
        is_torch(last_step(term.tile_model)) or isinstance(last_step(term.tile_model), MLPRegressor)
        for term in terms
    )


def _name(tile_model) -> str:
    if isinstance(tile_model, type):
        return f"the class {tile_model.__name__} (give an instance, {tile_model.__name__}())"
    return type(tile_model).__name__
