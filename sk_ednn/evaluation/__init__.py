"""Evaluations, which apply a fitted tile model to all tiles of systems and sum the results."""

from .._utils.optional import later
from ._auto import AutoEvaluation
from ._base import AbstractEvaluation
from ._direct import Direct
from ._local import LocalUpdates
from ._unique import Unique

__all__ = [
    "AbstractEvaluation",
    "AutoEvaluation",
    "DaskBlocks",
    "Direct",
    "LocalUpdates",
    "Network",
    "Unique",
]

# Imported on demand, because they need torch and dask.
__getattr__ = later(__name__, {"Network": "._network", "DaskBlocks": "._dask"})
