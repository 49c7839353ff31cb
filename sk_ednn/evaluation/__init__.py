"""How a fitted tile model is evaluated over all tiles of a field, and added up."""

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

# They need libraries that `import sk_ednn` does not load.
__getattr__ = later(__name__, {"Network": "._network", "DaskBlocks": "._dask"})
