"""Numbers whose squares overflow, of which libraries report only the resulting NaN."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from ..exceptions import TileModelError

# Sums of squares of 10**8 such numbers are still below the largest float64, 1.8e308.
_LARGEST = 1e150


def require_moderate(values, name) -> None:
    """Raise if finite numbers are so large that their squares overflow float64.

    Raises
    ------
    ValueError
    """
    largest = _largest(values)
    if largest > _LARGEST:
        raise ValueError(
            f"{name} has numbers as large as {largest:.3g}, whose squares overflow float64: use "
            f"larger units, so that they are below {_LARGEST:g}."
        )


@contextmanager
def overflow_named(systems):
    """Explain errors of a fit by overflow, if the squares of the fields overflow.

    Not every tile model squares its inputs: trees do not, so that such fields are not refused.

    Parameters
    ----------
    systems : Systems
    """
    try:
        yield
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        stacks = getattr(systems, "stacks", ())
        arrays = [stack.values for stack in stacks if isinstance(stack.values, np.ndarray)]
        largest = max(map(_largest, arrays), default=0.0)
        if largest <= _LARGEST:
            raise
        raise TileModelError(
            f"X has numbers as large as {largest:.3g}, whose squares overflow float64, and "
            f"the fit failed because of this ({str(error).partition(chr(10))[0]}). Use larger "
            f"units, so that they are below {_LARGEST:g}."
        ) from error


def _largest(values) -> float:
    if values.dtype.kind != "f" or values.size == 0:
        return 0.0
    return float(np.abs(values).max())
