"""Structure search and active learning: a surrogate that learns while it looks."""

from .._utils.optional import later
from ._active import ActiveLearning
from ._clusters import job_pools
from ._fingerprint import Fingerprint
from ._hull import ConvexHull
from ._label import Label, Sanity
from ._labellers import (
    AbstractLabeller,
    CalculatorLabeller,
    CommandLabeller,
    FunctionLabeller,
    GuardedLabeller,
)
from ._linear import LinearCommittee
from ._operators import OperatorRecord
from ._pool import StructurePool
from ._relax import relax
from ._search import HullPoint, SearchResult, StructureSearch
from ._selection import Candidate, Thresholds, select
from ._store import SearchStore
from ._surrogate import CommitteeSurrogate, Evaluation
from ._tersoff import tersoff_silicon

__all__ = [
    "AbstractLabeller",
    "ActiveLearning",
    "CalculatorLabeller",
    "Candidate",
    "CommandLabeller",
    "CommitteeSurrogate",
    "ConvexHull",
    "Evaluation",
    "Fingerprint",
    "FunctionLabeller",
    "GuardedLabeller",
    "HullPoint",
    "Label",
    "LinearCommittee",
    "OperatorRecord",
    "Sanity",
    "SearchResult",
    "SearchStore",
    "StructurePool",
    "StructureSearch",
    "Thresholds",
    "export",
    "job_pools",
    "relax",
    "search_report",
    "select",
    "tersoff_silicon",
]

__getattr__ = later(__name__, {"export": "._ase", "search_report": "._report"}, extra="search")
