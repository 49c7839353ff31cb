"""Structure search and active learning: a surrogate that learns while it looks."""

from .._utils.optional import later
from ._fingerprint import Fingerprint
from ._label import Label, Sanity
from ._labellers import (
    AbstractLabeller,
    CalculatorLabeller,
    CommandLabeller,
    FunctionLabeller,
    GuardedLabeller,
)
from ._pool import StructurePool
from ._relax import relax
from ._store import SearchStore
from ._surrogate import CommitteeSurrogate

__all__ = [
    "AbstractLabeller",
    "CalculatorLabeller",
    "CommandLabeller",
    "CommitteeSurrogate",
    "Fingerprint",
    "FunctionLabeller",
    "GuardedLabeller",
    "Label",
    "Sanity",
    "SearchStore",
    "StructurePool",
    "export",
    "relax",
]

__getattr__ = later(__name__, {"export": "._ase"}, extra="search")
