"""How a fitted tile model is evaluated over all tiles of a field, and added up."""

from importlib import import_module

from .._sources import ArraySource, FieldSource
from ..exceptions import MissingExtraError
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

# Imported when they are asked for: they need libraries that `import sk_ednn` does not load.
_LATER = {"Network": "._network", "DaskBlocks": "._dask"}


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_LATER[name], __name__), name)
    except ImportError as error:
        if name != "DaskBlocks" or (error.name or "").split(".")[0] not in ("dask", "cloudpickle"):
            raise
        raise MissingExtraError(
            "Fields that are read piece by piece, such as dask arrays, need Dask, which is not "
            "installed. Install it with 'pip install sk-ednn[dask]'.",
            name="dask",
        ) from error
