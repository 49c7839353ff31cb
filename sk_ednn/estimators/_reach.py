"""From what a user fitted to the parts that are looked at: one tile model, its tiling, fields."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ..exceptions import TileModelError
from ..fields import _channels as channels
from ..fields._fields import Fields
from ..tile_models import AbstractTileModel
from ..tiling import AbstractTiling
from ._committee import EDNNCommittee
from ._regressor import EDNNRegressor
from ._unwrap import regressors_of


class Reached(NamedTuple):
    """One term of a fitted regressor, with fields that are checked.

    Attributes
    ----------
    regressor : EDNNRegressor
    tile_model : AbstractTileModel
    tiling : AbstractTiling
    fields : Fields
    X : fields as the regressor takes them
    """

    regressor: EDNNRegressor
    tile_model: AbstractTileModel
    tiling: AbstractTiling
    fields: Fields
    X: Any


def reach(estimator, X, term=None) -> Reached:
    """Return the fitted regressor inside an estimator, one of its terms, and the fields it sees.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : what the estimator predicts
    term : str or None, default=None
        Name of the term, where there are several.

    Raises
    ------
    TileModelError
        Where there is no such regressor, or where a term has to be named.
    """
    regressor, X = unwrap(estimator, X)
    if isinstance(regressor, EDNNCommittee):
        raise TileModelError(
            "A committee has a tile model for each member: give one of committee.estimators_."
        )
    tile_model, tiling = _term(regressor, term)
    return Reached(regressor, tile_model, tiling, tiling.check(X), X)


def unwrap(estimator, X=None, others=()):
    """Return the regressor or committee inside searches and Pipelines, and what it is given.

    `others` are classes that will do as well.
    """
    while not isinstance(estimator, (EDNNRegressor, EDNNCommittee, *others)):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "known_"):  # a NoveltyGuard
            estimator = estimator.estimator_
        elif hasattr(estimator, "steps"):
            X = X if X is None else estimator[:-1].transform(X)
            estimator = estimator.steps[-1][1]
        else:
            raise TileModelError(
                "Expected a fitted EDNNRegressor, a Pipeline that ends in one, or a search over "
                f"either; got {type(estimator).__name__}."
            )
    check_is_fitted(estimator)
    return estimator, X


def _term(regressor, term):
    terms = dict(zip(regressor._term_names, regressor.fitted_terms(), strict=True))
    if term is None and len(terms) == 1:
        return next(iter(terms.values()))
    if term not in terms:
        raise TileModelError(
            f"The model has the terms {list(terms)}: name one of them with `term`, got {term!r}."
        )
    return terms[term]


def focus_mask(tiling, tile_shape, n_axes) -> np.ndarray:
    """Return which sites of a window lie in the focus, bool of shape (*window)."""
    mask = np.zeros(tile_shape[:n_axes], dtype=bool)
    mask[tiling.focus_sites(tile_shape)] = True
    return mask


def sampled_tiles(tiling, fields, n_tiles, rng) -> np.ndarray:
    """Return at most `n_tiles` of the tiles of fields, drawn without replacement.

    No field is read as a whole: each block gives its share.
    """
    counts, blocks = [], tiling.plan(fields, 1 << 14)
    for block in blocks:
        counts.append(block.n_tiles)
    total = int(np.sum(counts))
    chosen = np.arange(total)
    if n_tiles is not None and n_tiles < total:
        chosen = np.sort(rng.choice(total, n_tiles, replace=False))
    parts, start = [], 0
    for block, count in zip(blocks, counts, strict=True):
        own = chosen[(chosen >= start) & (chosen < start + count)] - start
        if len(own):
            parts.append(np.array(tiling.block_tiles(fields, block).array(own)))
        start += count
    return np.concatenate(parts)


def all_terms(regressor) -> list[tuple[AbstractTileModel, AbstractTiling]]:
    """Return (tile model, tiling) of every term, of every member where it is a committee."""
    return [term for member in regressors_of(regressor) for term in member.fitted_terms()]


def samples_of(fields) -> list[np.ndarray]:
    """Return the fields of a batch one by one, in their order."""
    samples = [np.empty(0)] * fields.n_samples
    for stack in fields.stacks:
        for place, values in zip(stack.samples, stack.values, strict=True):
            samples[place] = values
    return samples


def grid_axes(tiling, ndim) -> list[int]:
    """Return the axes of a field of `ndim` that are not its channel axis."""
    return channels.grid_axes(getattr(tiling, "channel_axis", None), ndim)


def predict_list(regressor, samples) -> np.ndarray:
    """Predict a list of fields: given as one array, fields of one axis have to keep their width."""
    return np.asarray(regressor.predict(list(samples)), dtype=float)
