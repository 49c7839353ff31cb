"""The choice of a solver by the tile model, made here and nowhere else."""

from __future__ import annotations

from importlib import import_module

from .._utils.optional import needing
from .._utils.stored import stored
from ..exceptions import TileModelError
from ._base import AbstractSolver
from ._problem import SumProblem, Term

# In order of preference; the last one fits any regressor. Modules are imported on demand, because
# one of them needs torch.
_SOLVERS = (
    ("_gradient", "GradientSolver"),
    ("_linear", "LinearSolver"),
    ("_kernel", "KernelSolver"),
    ("_gaussian_process", "GaussianProcessSolver"),
    ("_boosting", "BoostingSolver"),
)


@stored("AutoSolver", former=("AutoSumFit",))
class AutoSolver(AbstractSolver):
    """Choose a solver by the tile model.

    ==========================================================  =======================
    Tile model (the last step of a Pipeline)                    Solver
    ==========================================================  =======================
    torch module, skorch net, `MLPRegressor`                    `GradientSolver`
    linear models                                               `LinearSolver`
    `KernelRidge`                                               `KernelSolver`
    `GaussianProcessRegressor`                                  `GaussianProcessSolver`
    any other regressor                                         `BoostingSolver`
    ==========================================================  =======================

    The first two solvers also learn gradients of totals that are passed to `fit`, except for an
    `MLPRegressor`.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sk_ednn.solvers import AutoSolver
    >>> AutoSolver().select(RandomForestRegressor())
    BoostingSolver()
    """

    def select(self, tile_model) -> AbstractSolver:
        """Return the solver that would fit this tile model.

        Parameters
        ----------
        tile_model : estimator, or list of (name, tile_model, tiling)

        Raises
        ------
        TileModelError
            If `tile_model` is not a regressor, or if the terms need different solvers.
        """
        if isinstance(tile_model, list):
            return self._for_terms([Term(*term) for term in tile_model])
        return self._for_terms([Term("tile_model", tile_model, None)])

    def _for_terms(self, terms) -> AbstractSolver:
        for module, name in _SOLVERS:
            if name == "GradientSolver" and not needs_gradient(terms):
                continue
            with needing("Training a network or perceptron"):
                solver = getattr(import_module(f".{module}", __package__), name)()
            if solver.suits(terms):
                return solver
        names = ", ".join(_name(term.tile_model) for term in terms)
        raise TileModelError(
            f"No solver can fit {names} to sums. A tile model must be a scikit-learn regressor (or "
            "a Pipeline that ends in one), a torch module or a skorch NeuralNetRegressor. Several "
            "terms must be of one kind, or be fitted by boosting: "
            "EDNNRegressor(..., solver=BoostingSolver())."
        )

    def suits(self, terms) -> bool:
        """Return True if a solver can fit the terms."""
        try:
            self._for_terms(terms)
        except TileModelError:
            return False
        return True

    def fit(self, problem: SumProblem):
        """Fit with the solver that `select` returns."""
        return self._for_terms(problem.terms).fit(problem)


def needs_gradient(terms) -> bool:
    """Return True if a term is a network, without importing torch."""
    from sklearn.neural_network import MLPRegressor

    from ..tile_models._base import is_torch
    from ._base import last_step

    return any(
        is_torch(last_step(term.tile_model)) or isinstance(last_step(term.tile_model), MLPRegressor)
        for term in terms
    )


def _name(tile_model) -> str:
    if isinstance(tile_model, type):
        return f"the class {tile_model.__name__} (pass an instance, {tile_model.__name__}())"
    return type(tile_model).__name__
