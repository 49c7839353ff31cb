"""Times at which a run did not work: while it was paused, and until it was resumed."""

from __future__ import annotations

from ._ids import seconds_of

_FINAL = ("finished", "failed", "stopped")


def seconds_idle(began, end, status, commands, records) -> float:
    """Return the seconds from `began` to `end` in which a run was paused or had no process.

    A run that was killed has left no final state: its last record is its end until it is resumed.

    Parameters
    ----------
    began, end : float
        Seconds since 1970.
    status, commands : list of dict
        Rows of ``status.jsonl`` and ``commands.jsonl``.
    records : list of dict
        Rows of other files with a ``"time"``.

    Examples
    --------
    >>> from sk_ednn.runs._breaks import seconds_idle
    >>> def at(minute, **more):
    ...     return {"time": f"2026-12-01T10:{minute:02}:00Z", **more}
    >>> status = [at(0, state="started", pid=1), at(5, state="stopped")]
    >>> status += [at(25, state="started", message="resumed", pid=2), at(40, state="finished")]
    >>> commands = [at(30, command="pause"), at(33, command="resume")]
    >>> began, end = (seconds_of(at(minute)["time"]) for minute in (0, 40))
    >>> seconds_idle(began, end, status, commands, []) / 60
    23.0
    """
    ends = sorted(time for row in records if (time := seconds_of(row.get("time"))) == time)
    breaks, starts, before = [], [], None
    for row in status:
        time = seconds_of(row.get("time"))
        if time != time:
            continue
        if row.get("state") == "started":
            starts.append(time)
        if before is not None and _is_resumed(row, before):
            since = seconds_of(before.get("time"))
            if before.get("state") not in _FINAL:
                since = max([since, *(end for end in ends if end <= time)])
            breaks.append((since, time))
        before = row
    return _length([*breaks, *_pauses(commands, starts, end)], began, end)


def _is_resumed(row, before) -> bool:
    """Return True if a row is the first of a process that continues a run."""
    if row.get("state") != "started" or row.get("message") != "resumed":
        return False
    others = any(row.get(name) != before.get(name) for name in ("pid", "host"))
    return before.get("state") in _FINAL or others


def _pauses(commands, starts, end) -> list[tuple[float, float]]:
    """Return the times between "pause" and what ends it: any other command, or a new process."""
    times = [(seconds_of(row.get("time")), row.get("command")) for row in commands]
    marks = sorted([(t, name) for t, name in times if t == t] + [(t, "start") for t in starts])
    pauses, since = [], None
    for time, name in marks:
        if name == "pause":
            since = time if since is None else since
        elif since is not None:
            pauses.append((since, time))
            since = None
    return pauses if since is None else [*pauses, (since, end)]


def _length(parts, began, end) -> float:
    """Return the length of the union of intervals within bounds."""
    total, reached = 0.0, began
    for first, last in sorted(parts):
        first, last = max(first, reached), min(last, end)
        total += max(last - first, 0.0)
        reached = max(reached, last)
    return total
