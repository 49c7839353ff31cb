"""How a fitted tile model is evaluated over all tiles of a field, and added up."""

from .._optional import later
from .._sources import ArraySource, FieldSource
from ._auto import AutoEvaluation
from ._base import AbstractEvaluation
from ._direct import Direct
from ._local import LocalUpdates
from ._unique import Unique

__all__ = [
    "AbstractEvaluation",
    "ArraySource",
    "AutoEvaluation",
    "DaskBlocks",
    "Direct",
    "FieldSource",
    "LocalUpdates",
    "Network",
    "Unique",
]

# They need libraries that `import sk_ednn` does not load.
__getattr__ = later(__name__, {"Network": "._network", "DaskBlocks": "._dask"})
