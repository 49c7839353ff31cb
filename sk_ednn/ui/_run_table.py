"""Which rows of the table of runs a page shows, out of thousands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ._runs import row_of

ANY_STATUS = "any status"
# What a filter looks in: the cells as they are read.
_WORDS = ("id", "kind", "status", "progress", "data", "model", "error_shown", "started_shown",
          "seconds_shown", "tags")  # fmt: skip


class RunRows:
    """The cells of all runs of a folder; those of runs that have ended are kept.

    Parameters
    ----------
    runs : function
        Returns the runs, the newest first.
    """

    def __init__(self, runs: Callable[[], Sequence]):
        self._runs = runs
        self._kept: dict[str, tuple[tuple, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def read(self) -> list[dict[str, Any]]:
        """Return the cells of all runs, the newest first."""
        # A second page waits for the first, and then finds most rows kept.
        with self._lock:
            return self._read()

    def _read(self):
        kept, rows = {}, []
        for run in self._runs():
            fingerprint = run.fingerprint()
            before = self._kept.get(run.id)
            if before is not None and fingerprint == before[0]:
                kept[run.id] = before
            else:
                cells = row_of(run).cells()
                # The fingerprint is older than the cells: a change in between is seen next time.
                if fingerprint is not None:
                    kept[run.id] = fingerprint, cells
            rows.append(kept[run.id][1] if run.id in kept else cells)
        self._kept = kept
        return rows


@dataclass(frozen=True)
class View:
    """The part of the table on a page: filter, order and page number.

    Parameters
    ----------
    status : str
        `ANY_STATUS` for all.
    words : str
        Rows in which this occurs in any cell, in capitals or not; empty for all.
    sort_by : str or None
        Cell by which rows are sorted; None keeps the newest first.
    descending : bool
    page : int
        From 1.
    per_page : int
        0 for all rows.
    """

    status: str = ANY_STATUS
    words: str = ""
    sort_by: str | None = "started"
    descending: bool = True
    page: int = 1
    per_page: int = 25

    def of(self, rows) -> tuple[list[dict[str, Any]], View, int]:
        """Return the rows of the page, the view with a page that exists, and how many rows fit.

        Examples
        --------
        >>> from sk_ednn.ui._run_table import View
        >>> rows = [{"id": name, "error": error} for name, error in zip("abc", [0.3, None, 0.1])]
        >>> shown, view, n = View(sort_by="error", descending=False, page=9, per_page=2).of(rows)
        >>> [row["id"] for row in shown], view.page, n
        (['b'], 2, 3)
        """
        words = self.words.strip().lower()
        fitting = [
            row for row in rows
            if self.status in (ANY_STATUS, row.get("status"))
            and (not words or any(words in str(row.get(name, "")).lower() for name in _WORDS))
        ]  # fmt: skip
        if self.sort_by is not None:
            # Rows without a value come last, whichever way.
            full = [row for row in fitting if row.get(self.sort_by) not in (None, "")]
            empty = [row for row in fitting if row.get(self.sort_by) in (None, "")]
            full.sort(key=lambda row: row[self.sort_by], reverse=self.descending)
            fitting = full + empty
        size = self.per_page or max(len(fitting), 1)
        last = max(-(-len(fitting) // size), 1)
        page = min(max(self.page, 1), last)
        return fitting[(page - 1) * size : page * size], replace(self, page=page), len(fitting)
