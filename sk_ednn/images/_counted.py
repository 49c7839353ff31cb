"""One pass of a fitted estimator over pictures: what its models count, and what they doubt."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..fields._range import InputRange
from ._evaluate import contributions
from ._geometry import Geometry
from ._left_out import warn_of_lacking
from ._views import InViews, suited_views


@dataclass(frozen=True)
class Counted:
    """What was counted in one picture.

    Parameters
    ----------
    picture : Picture
        As it was given.
    seen : Picture
        As the models see it, without the parts that are left out.
    total, spread : ndarray of shape (n_outputs,)
        Weighted mean of the models, and their standard deviation.
    tile_map : ndarray of shape (*tile_grid, n_outputs), or None
    doubt : str or None
        How pixels lie far outside those of the fit.
    """

    picture: Any
    seen: Any
    total: np.ndarray
    spread: np.ndarray
    tile_map: np.ndarray | None
    doubt: str | None


def counted(estimator, pictures, *, keep=False, writers=None, progress=None):
    """Yield a `Counted` for each picture, evaluated region by region.

    Parameters
    ----------
    estimator : CountRegressor
        Fitted.
    pictures : list of Picture
        Such as the estimator admits.
    keep : bool, default=False
        Whether to make maps of the pictures that `writers` does not write.
    writers, progress : function, default=None
        As for `CountRegressor.count`.

    Warns
    -----
    DataWarning
        After the last picture, if some lack what the fit left out.
    """
    models, edges, parts = averaged(estimator)
    geometry = Geometry(*estimator.geometry_)
    left_out = getattr(estimator, "left_out_", None)  # of a file that was written without
    lacking = []
    for picture in pictures:
        write = None if writers is None else writers(picture)
        seen = picture
        if left_out is not None:
            seen, n_painted = left_out.cleared(picture)
            if n_painted < len(left_out.boxes):
                lacking.append(picture.name)
        with write if hasattr(write, "__enter__") else nullcontext():
            totals, tile_map, extremes = contributions(
                seen, models, edges, parts, geometry, keep=keep and write is None, write=write,
                done=progress, region_pixels=estimator._region_pixels,
            )  # fmt: skip
        mean = (parts * totals).sum(axis=0)
        spread = np.sqrt((parts * (totals - mean) ** 2).sum(axis=0))
        yield Counted(picture, seen, mean, spread, tile_map, _doubt(estimator, picture, extremes))
    if lacking:
        warn_of_lacking(left_out, lacking, len(pictures))


def averaged(estimator):
    """Return all models, the additions to their weights near edges, and their parts.

    Returns
    -------
    models : list of NetworkTileModel, InViews or MaximaCounter
    edges : ndarray of shape (n_models, BANDS)
    parts : ndarray of shape (n_models, n_outputs)
        They add up to 1 for each output.
    """
    models = [member.tile_model_ for member in estimator.estimators_]
    n_views = suited_views(estimator.views, estimator.symmetric)
    if n_views > 1:
        models = [InViews(model, n_views) for model in models]
    parts = np.full((len(models), estimator.n_outputs_), 1 / len(models))
    counter = getattr(estimator, "maxima_", None)  # of a file that was written without
    if counter is None:
        return models, estimator.edges_, parts
    return (
        [*models, counter],
        np.concatenate([estimator.edges_, counter.edges[None]]),
        np.concatenate([(1 - counter.share) * parts, counter.share[None]]),
    )


def _doubt(estimator, picture, extremes) -> str | None:
    values = getattr(estimator.estimators_[0], "input_range_", None)
    if values is None:  # of a file that was written without
        return None
    seen = replace(InputRange.from_array(values), noun=f"pixels of {picture.name}")
    least, largest = extremes
    return seen.doubt(least, largest) or seen.narrow(least, largest, largest - least)
