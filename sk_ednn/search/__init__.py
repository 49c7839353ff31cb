"""Structure search and active learning, with surrogates that are refitted as labels arrive."""

from .._utils.optional import later
from ._active import ActiveLearning
from ._clusters import job_pools
from ._committee_surrogate import CommitteeSurrogate
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
from ._linear_committee import LinearCommittee
from ._operator_record import OperatorRecord
from ._pool import StructurePool
from ._relax import relax
from ._result import HullPoint, SearchResult
from ._search import StructureSearch
from ._selection import Candidate, Thresholds, select
from ._store import SearchStore
from ._surrogate import AbstractSurrogate, Evaluation
from ._tersoff import tersoff_silicon

__all__ = [
    "AbstractLabeller",
    "AbstractSurrogate",
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
