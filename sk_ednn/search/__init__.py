"""Structure search and active learning: a surrogate that learns while it looks."""

from .._utils.optional import later
from ._label import Label, Sanity
from ._labellers import (
    AbstractLabeller,
    CalculatorLabeller,
    CommandLabeller,
    FunctionLabeller,
    GuardedLabeller,
)
from ._store import SearchStore

__all__ = [
    "AbstractLabeller",
    "CalculatorLabeller",
    "CommandLabeller",
    "FunctionLabeller",
    "GuardedLabeller",
    "Label",
    "Sanity",
    "SearchStore",
    "export",
]

__getattr__ = later(__name__, {"export": "._ase"}, extra="search")
