"""Terms of a model: tile models that are added, each with its own tiling."""

from __future__ import annotations

from sklearn.base import BaseEstimator
from sklearn.kernel_ridge import KernelRidge

from ..exceptions import TileModelError, TilingError
from ..tiling import AbstractTiling, GridTiling

# Parameters that may be None, each with an example value whose parameters can be set.
_PARTS = {
    "tile_model": "KernelRidge()",
    "tiling": "GridTiling()",
    "solver": "KernelSolver()",
    "evaluation": "Direct()",
}


class TermParts(BaseEstimator):
    """Parameters of one term, nested as in scikit-learn."""

    def __init__(self, tile_model=None, tiling=None):
        self.tile_model = tile_model
        self.tiling = tiling


def is_list_of_terms(tile_model) -> bool:
    """Return whether an object is a list of (name, tile_model, tiling)."""
    return isinstance(tile_model, list) and all(
        isinstance(term, tuple) and len(term) == 3 and isinstance(term[0], str)
        for term in tile_model
    )


def with_params(term, params):
    """Return a term with the parameters set whose names begin with that of the term."""
    name, *pair = term
    parts = TermParts(*params.get(name, pair))
    prefix = f"{name}__"
    parts.set_params(
        **{key.removeprefix(prefix): params[key] for key in params if key.startswith(prefix)}
    )
    return name, parts.tile_model, parts.tiling


def check_names(names, reserved) -> None:
    """Raise TileModelError unless names are unique and none is reserved."""
    if len(set(names)) < len(names) or not names:
        raise TileModelError(f"Expected at least one term, with unique names; got {names}.")
    taken = [n for n in names if "__" in n or n in reserved]
    if taken:
        raise TileModelError(
            f"Terms cannot be named {taken}: set_params reserves '__' and the parameter names of "
            "EDNNRegressor. Rename them."
        )


def check_terms(terms) -> None:
    """Raise TilingError if a term has no tiling."""
    for term in terms:
        if not isinstance(term.tiling, AbstractTiling):
            raise TilingError(
                f"Term {term.name!r} needs a tiling such as GridTiling(), got {term.tiling!r}."
            )


class WithTerms(BaseEstimator):
    """Parameters of an estimator with one or several terms, named as in a ColumnTransformer.

    The parameters `tile_model` and `tiling` define one term, or `tile_model` is a list of
    (name, tile_model, tiling).
    """

    def get_params(self, deep=True):
        """Return the parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True
            Include the parameters of parts and of each term: ``name``, the pair of tile model and
            tiling, ``name__tile_model``, ``name__tiling``, and their parameters.

        Returns
        -------
        dict
        """
        params = super().get_params(deep=deep)
        if deep and is_list_of_terms(self.tile_model):
            for name, *pair in self.tile_model:
                params[name] = tuple(pair)
                for key, value in TermParts(*pair).get_params().items():
                    params[f"{name}__{key}"] = value
        return params

    def set_params(self, **params):
        """Set parameters of this estimator, its parts and its terms.

        Parameters
        ----------
        **params : dict
            Named as in `get_params`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no parameter of a name, or its part is None and thus has no parameters.
        """
        # First, since other names may refer to terms of the new list.
        self.tile_model = params.pop("tile_model", self.tile_model)
        if is_list_of_terms(self.tile_model):
            named = {name for name, _, _ in self.tile_model}
            inner = {key: params.pop(key) for key in list(params) if key.split("__")[0] in named}
            if inner:
                self.tile_model = [with_params(term, inner) for term in self.tile_model]
        for key in params:
            part = key.partition("__")[0]
            if part != key and part in _PARTS and params.get(part, getattr(self, part)) is None:
                raise ValueError(
                    f"{key!r} cannot be set: {part} is None, which has no parameters. Set it "
                    f"first, for example {part}={_PARTS[part]}."
                )
        return super().set_params(**params)

    def _terms(self):
        """Return the terms of the parameters, a list of (name, tile_model, tiling)."""
        if isinstance(self.tile_model, list):
            if not is_list_of_terms(self.tile_model):
                raise TileModelError(
                    "Expected a list of terms (name, tile_model, tiling), such as "
                    f"[('near', Ridge(), GridTiling())]; got {self.tile_model!r}."
                )
            check_names([n for n, _, _ in self.tile_model], self._parameter_constraints)
            if self.tiling is not None:
                raise TilingError(
                    "In a list of terms each term has its own tiling, so `tiling` must be None; "
                    f"got {self.tiling!r}."
                )
            return self.tile_model
        tile_model = self.tile_model
        if tile_model is None:
            tile_model = KernelRidge(kernel="rbf", alpha=1e-6)
        return [("tile_model", tile_model, GridTiling() if self.tiling is None else self.tiling)]
