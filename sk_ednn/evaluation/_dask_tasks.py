"""Tasks of Dask: each evaluates a group of blocks, or adds up what others have found."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass

import numpy as np

from ..exceptions import NoveltyWarning
from ..fields._range import InputRange, WatchedSource
from ._dask_record import Record
from ._exact import ExactTotals
from ._groups import Group, group_contributions, group_totals


def handed(packed):
    return packed


@dataclass(frozen=True)
class Job:
    """A group, what is known of it already, and whom to tell: one object, opaque to Dask."""

    group: Group
    done: dict
    record: Record | None
    known_range: InputRange | None
    channel_axis: int | None

    def watched(self, source):
        """Return a source that is compared with the range of the fit, where that is known."""
        return source if self.known_range is None else WatchedSource(source, self.channel_axis)

    def compare(self, source) -> None:
        """Warn whoever computes of values far outside what the model was fitted to."""
        if self.known_range is None:
            return
        doubt = source.doubt(self.known_range)
        if doubt is not None:
            # distributed hands it on to the client; it is loaded where its workers run.
            distributed = sys.modules.get("distributed")
            warn = warnings.warn if distributed is None else distributed.warn
            warn(doubt, NoveltyWarning)


def totals_of_group(term, source, chunks, job):
    source, record = job.watched(_opened(source, chunks)), job.record
    if record is None:
        totals = group_totals(term.open(), source, job.group, job.done)
        job.compare(source)
        return totals
    found = record.found(job.group, job.done)
    finished = list(found)

    def tell(block, block_totals):
        record.finished(block, block_totals)
        finished.append(block)

    done = {**job.done, **found}
    totals = group_totals(term.open(), source, job.group, done, tell)
    record.end(finished)
    job.compare(source)
    return totals


def contributions_of_group(term, source, chunks, job):
    source = job.watched(_opened(source, chunks))
    values = group_contributions(term.open(), source, job.group)
    job.compare(source)
    return values


def merged_totals(totals) -> ExactTotals:
    merged = ExactTotals(totals[0].n_outputs)
    for part in totals:
        merged.merge(part)
    return merged.condensed()


def rounded_totals(totals, n_samples) -> np.ndarray:
    return merged_totals(totals).rounded(n_samples)


def _opened(source, chunks):
    return source.open() if chunks is None else source.of(chunks)
