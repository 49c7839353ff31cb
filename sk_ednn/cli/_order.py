"""The order in which predictions are shown: those to trust least first."""

from __future__ import annotations

import numpy as np

KEYS = ("interval", "novelty")


def least_trusted_first(by, confidence, structures) -> np.ndarray:
    """Return indices of predictions, those to trust least first.

    Parameters
    ----------
    by : {"interval", "novelty"}
        Half the width of the interval, of structures per atom; or the novelty, of structures the
        mean over their atoms.
    confidence : dict of str to ndarray
        See `Predicted`.
    structures : PredictedStructures or None

    Raises
    ------
    ValueError
        If these are not known.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.cli._order import least_trusted_first
    >>> widths = {"half_width": np.array([2.0, 3.0, 1.0])}
    >>> least_trusted_first("interval", widths, None).tolist()
    [1, 0, 2]
    >>> widths["half_width_per_atom"] = np.array([0.2, 0.1, 0.3])
    >>> least_trusted_first("interval", widths, None).tolist()
    [2, 0, 1]
    """
    if by == "interval":
        values = confidence.get("half_width_per_atom", confidence.get("half_width"))
        missing = "no intervals are known: fit with more structures or fields held out"
    else:
        values = confidence.get("novelty")
        if structures is not None and structures.mean_novelty is not None:
            values = structures.mean_novelty
        missing = "no novelty is known: of models of fields, pass the data of the fit to --novelty"
    if values is None:
        raise ValueError(f"--sort {by}: {missing}.")
    values = np.asarray(values, dtype=float)
    largest = values.reshape(len(values), -1).max(axis=1)
    return np.argsort(-np.round(largest, 9), kind="stable")
