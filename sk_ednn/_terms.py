"""Terms: tile models that are added, each with a tiling of its own."""

from __future__ import annotations

from sklearn.base import BaseEstimator

from .exceptions import TileModelError, TilingError
from .tiling import AbstractTiling


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
