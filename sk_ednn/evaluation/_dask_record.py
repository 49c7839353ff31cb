"""Records of finished blocks: a journal on disk and a progress bar."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Any

from tqdm.auto import tqdm

from .._parallel.journal import Journal
from .._parallel.progress import ProgressBar
from ._groups import key_of

_TOPIC = "sk-ednn-blocks"


@dataclass(frozen=True)
class Record:
    """The journal and the progress bar to which a task reports finished blocks."""

    journal: str | None
    run: str
    n_outputs: int
    verbose: bool
    _known: dict = field(default_factory=dict)

    @classmethod
    def of(cls, blocks: Any, graph: Any) -> Record | None:
        """Return the record of a run, or None without journal and progress bar."""
        if blocks.journal is None and not blocks.verbose:
            return None
        folder = None if blocks.journal is None else os.path.abspath(blocks.journal)
        n_outputs = graph.term.tile_model.n_outputs
        totals = {} if folder is None else Journal.read(folder, graph.run, n_outputs)
        record = cls(folder, graph.run, n_outputs, bool(blocks.verbose), totals)
        if record.verbose:
            n_done = sum(len(record.recorded(group)) for _, group in graph.groups)
            n_blocks = sum(len(group) for _, group in graph.groups)
            ProgressBar(graph.run, n_blocks, n_done, blocks._delay_seconds)
            _listen()
        return record

    def recorded(self, group) -> dict:
        """Return the recorded totals of the blocks of a group, by key."""
        if not self._known:
            return {}
        keys = (key_of(group.stack, block) for block in group.blocks())
        return {key: self._known[key] for key in keys if key in self._known}

    def newly_recorded(self, group, done) -> dict:
        """Return totals of blocks of a group that were recorded since the graph was built."""
        if self.journal is None:
            return {}
        entries = self._file().found
        keys = (key_of(group.stack, block) for block in group.blocks()) if entries else ()
        totals = {key: entries[key] for key in keys if key in entries and key not in done}
        for key in totals:
            self._count(key)
        return totals

    def finished(self, block, totals) -> None:
        """Record a block."""
        if self.journal is not None:
            self._file().write(block, totals)
        self._count(block)

    def _count(self, block) -> None:
        bar = ProgressBar.of(self.run) if self.verbose else None
        if bar is not None:
            bar.report(block)

    def end(self, finished) -> None:
        """Flush the journal to disk, and report the blocks of a group to the client."""
        if self.journal is not None and finished:
            self._file().sync()
        distributed = sys.modules.get("distributed")
        if self.verbose and distributed is not None and ProgressBar.of(self.run) is None:
            try:
                worker = distributed.get_worker()
            except ValueError:
                return  # a process of another scheduler, which cannot report
            worker.log_event(_TOPIC, {"run": self.run, "blocks": finished})

    def _file(self) -> Journal:
        return Journal.of_process(self.journal, self.run, self.n_outputs)

    def __reduce__(self):
        # Without the records of other groups.
        return Record, (self.journal, self.run, self.n_outputs, self.verbose)


def _listen() -> None:
    """Subscribe the client of a cluster, if any, to reports, and print its dashboard's address."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return
    try:
        client = distributed.get_client()
    except ValueError:
        return
    client.subscribe_topic(_TOPIC, _on_report)
    if "dashboard" in client.scheduler_info(n_workers=0)["services"]:
        tqdm.write(f"Dashboard: {client.dashboard_link}", file=sys.stderr)


def _on_report(event):
    _, message = event
    bar = ProgressBar.of(message["run"])
    if bar is not None:
        for block in message["blocks"]:
            bar.report(tuple(block))
