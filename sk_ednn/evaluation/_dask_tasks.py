"""Tasks of Dask, which evaluate a group of blocks or add up the results of other tasks."""

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


def identity(value):
    return value


@dataclass(frozen=True)
class Job:
    """A group, its recorded totals and where to report: one object that Dask does not inspect."""

    group: Group
    done: dict
    record: Record | None
    known_range: InputRange | None
    channel_axis: int | None

    def watched(self, source):
        """Return the source, wrapped so that its range can be compared with that of the fit."""
        return source if self.known_range is None else WatchedSource(source, self.channel_axis)

    def compare(self, source) -> None:
        """Warn if values are far outside the range that the model was fitted to."""
        if self.known_range is None:
            return
        message = source.doubt(self.known_range)
        if message is not None:
            # On workers of distributed, where it is loaded, its warn() passes this to the client.
            distributed = sys.modules.get("distributed")
            warn = warnings.warn if distributed is None else distributed.warn
            warn(message, NoveltyWarning)


def totals_of_group(term, source, chunks, job):
    source, record = job.watched(_opened(source, chunks)), job.record
    if record is None:
        totals = group_totals(term.open(), source, job.group, job.done)
        job.compare(source)
        return totals
    recorded = record.newly_recorded(job.group, job.done)
    finished = list(recorded)

    def report(block, block_totals):
        record.finished(block, block_totals)
        finished.append(block)

    done = {**job.done, **recorded}
    totals = group_totals(term.open(), source, job.group, done, report)
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
