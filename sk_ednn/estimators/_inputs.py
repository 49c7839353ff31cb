"""Values of the training systems: models warn of systems with others."""

from __future__ import annotations

from ..fields._levels import joined, levels_of, warn_of_levels


def keep_inputs(estimator, tiling, systems, *, resumed) -> None:
    """Set or remove ``input_range_`` and ``input_levels_`` of an estimator.

    Parameters
    ----------
    estimator : EDNNRegressor
    tiling : AbstractTiling
        Of the first term.
    systems : Systems
        Of the fit.
    resumed : bool
        Whether to join them with those of the fit before.
    """
    input_range = tiling.range_of(systems)
    if input_range is None:
        vars(estimator).pop("input_range_", None)
    else:
        if resumed and hasattr(estimator, "input_range_"):
            input_range = input_range.joined(tiling.range_from(estimator.input_range_))
        estimator.input_range_ = input_range.array()
    before = vars(estimator).pop("input_levels_", None)
    if not tiling.is_grid or tiling.channel_axis is not None:
        return
    levels = levels_of(systems)
    levels = joined(before, levels) if resumed else levels
    if levels is not None:
        estimator.input_levels_ = levels


def compare_inputs(estimator, tiling, systems):
    """Return systems; warn if their values are unlike those of the fit.

    Parameters
    ----------
    estimator : EDNNRegressor
        Fitted.
    tiling : AbstractTiling
        Of the first term.
    systems : Systems

    Returns
    -------
    Systems
        Those that are read piece by piece are compared when they are read.
    """
    if hasattr(estimator, "input_levels_"):
        warn_of_levels(estimator.input_levels_, systems)
    if not hasattr(estimator, "input_range_"):  # systems without a range, or an older model file
        return systems
    return tiling.compare_range(systems, estimator.input_range_)
