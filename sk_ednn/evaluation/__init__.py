"""How a fitted tile model is evaluated over all tiles of a field, and added up."""

from ._auto import AutoEvaluation
from ._base import AbstractEvaluation
from ._direct import Direct
from ._unique import Unique

__all__ = ["AbstractEvaluation", "AutoEvaluation", "Direct", "Unique"]
