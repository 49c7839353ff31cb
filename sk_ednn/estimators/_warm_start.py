"""Continue the fit of fitted tile models (the `warm_start` parameter)."""

from __future__ import annotations

from ..exceptions import TileModelError


def fitted_start(regressor, terms) -> list | None:
    """Return the tile models from which a fit starts, None for a fit from scratch.

    Kept are the tile models with their weights, stages or coefficients, and their baselines.
    Solvers decide what they continue.

    Parameters
    ----------
    regressor : EDNNRegressor
    terms : list of Term
        The terms to be fitted, in the order of those that were fitted before.

    Raises
    ------
    TileModelError
        If the terms are not those of the earlier fit.
    """
    if not regressor.warm_start or not hasattr(regressor, "tile_model_"):
        return None
    names = [term.name for term in terms]
    if names != regressor._term_names:
        raise TileModelError(
            f"warm_start=True continues the fit of the terms {regressor._term_names}, but the "
            f"parameters now have the terms {names}. Set warm_start=False to fit from scratch."
        )
    return [tile_model for tile_model, _ in regressor.fitted_terms()]
