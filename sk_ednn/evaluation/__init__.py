"""How a fitted tile model is evaluated over all tiles of a field, and added up."""

from importlib import import_module

from ._auto import AutoEvaluation
from ._base import AbstractEvaluation
from ._direct import Direct
from ._local import LocalUpdates
from ._unique import Unique

__all__ = ["AbstractEvaluation", "AutoEvaluation", "Direct", "LocalUpdates", "Network", "Unique"]


def __getattr__(name):
    # Imported when it is asked for: it needs torch, which `import sk_ednn` does not load.
    if name == "Network":
        return import_module("._network", __name__).Network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
