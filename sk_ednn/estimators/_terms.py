"""Terms: tile models that are added, each with a tiling of its own."""

from __future__ import annotations

from sklearn.base import BaseEstimator
from sklearn.kernel_ridge import KernelRidge

from ..exceptions import TileModelError, TilingError
from ..tiling import AbstractTiling, GridTiling

# Parameters that may be None, and what to give in order to set parameters of theirs.
_PARTS = {
    "tile_model": "KernelRidge()",
    "tiling": "GridTiling()",
    "solver": "KernelSolver()",
    "evaluation": "Direct()",
}


class TermParts(BaseEstimator):
    """The parameters of one term, nested as scikit-learn nests them."""

    def __init__(self, tile_model=None, tiling=None):
        self.tile_model = tile_model
        self.tiling = tiling


def is_list_of_terms(tile_model) -> bool:
    """Tell whether something is a list of (name, tile_model, tiling)."""
    return isinstance(tile_model, list) and all(
        isinstance(term, tuple) and len(term) == 3 and isinstance(term[0], str)
        for term in tile_model
    )


def with_params(term, params):
    """Return a term with those of some parameters that begin with its name."""
    name, *pair = term
    parts = TermParts(*params.get(name, pair))
    prefix = f"{name}__"
    parts.set_params(
        **{key.removeprefix(prefix): params[key] for key in params if key.startswith(prefix)}
    )
    return name, parts.tile_model, parts.tiling


def check_names(names, reserved) -> None:
    """Raise where terms cannot be called so, beside parameters with these names."""
    if len(set(names)) < len(names) or not names:
        raise TileModelError(f"Terms need names of their own, at least one; got {names}.")
    taken = [n for n in names if "__" in n or n in reserved]
    if taken:
        raise TileModelError(
            f"Terms cannot be called {taken}: '__' and the names of EDNNRegressor's own "
            "parameters have a meaning in set_params."
        )


def check_terms(terms) -> None:
    """Raise where a term has no tiling."""
    for term in terms:
        if not isinstance(term.tiling, AbstractTiling):
            raise TilingError(
                f"Term {term.name!r} needs a tiling such as GridTiling(), got {term.tiling!r}."
            )


class WithTerms(BaseEstimator):
    """Parameters of an estimator with one term or several, named as in a ColumnTransformer.

    Its parameters `tile_model` and `tiling` are those of one term, or `tile_model` is a list of
    (name, tile_model, tiling).
    """

    def get_params(self, deep=True):
        """Return the parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True
            Also those of its parts, and of each term: ``name``, the pair of its tile model and
            tiling, ``name__tile_model``, ``name__tiling``, and theirs.

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
        """Set parameters of this estimator, of its parts and of its terms.

        Parameters
        ----------
        **params : dict
            With the names that `get_params` returns.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where a name is not one of those, or a part is None, so that it has no parameters yet.
        """
        # First, since what else is named may belong to a term of the new list.
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
                    f"{key!r} cannot be set: {part} is None, which has no parameters. Give a part "
                    f"that has, such as {part}={_PARTS[part]}."
                )
        return super().set_params(**params)

    def _terms(self):
        """Return the terms as the user gave them, (name, tile_model, tiling)."""
        if isinstance(self.tile_model, list):
            if not is_list_of_terms(self.tile_model):
                raise TileModelError(
                    "A list of terms holds (name, tile_model, tiling) for each, such as "
                    f"('near', Ridge(), GridTiling()); got {self.tile_model!r}."
                )
            check_names([n for n, _, _ in self.tile_model], self._parameter_constraints)
            if self.tiling is not None:
                raise TilingError(
                    "With several terms each has its own tiling, in the list: leave `tiling` at "
                    f"None, got {self.tiling!r}."
                )
            return self.tile_model
        tile_model = self.tile_model
        if tile_model is None:
            tile_model = KernelRidge(kernel="rbf", alpha=1e-6)
        return [("tile_model", tile_model, GridTiling() if self.tiling is None else self.tiling)]
