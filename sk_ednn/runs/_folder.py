"""List and compare the runs of a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._ids import is_id, require_id
from ._run import Run


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    ids : list of str
    settings : dict of str to list
        Settings that differ, each with its value in every run; None if a run lacks it. Data and
        versions that differ are named ``data.NAME`` and ``versions.LIBRARY``.
    same : dict of str to object
        Settings that do not differ.
    metrics : dict of str to dict of str to ndarray
        `Run.metrics` by id.
    results : dict of str to dict or None
        `Run.result` by id.
    """

    ids: list[str]
    settings: dict[str, list[Any]]
    same: dict[str, Any] = field(repr=False)
    metrics: dict[str, dict] = field(repr=False)
    results: dict[str, dict | None] = field(repr=False)


class RunFolder:
    """A folder of runs.

    Parameters
    ----------
    path : str or Path
        It need not exist yet.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._runs: dict[str, Run] = {}

    def runs(self) -> list[Run]:
        """Return all runs, the newest first.

        Later calls return the same objects, which parse only files that have changed.
        """
        names = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if is_id(entry.name) and entry.is_dir(follow_symlinks=False):
                        names.append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            pass
        runs = {}
        for name in sorted(names, reverse=True):
            try:
                runs[name] = self._runs.get(name) or Run(self.path / name)
            except FileNotFoundError:  # removed meanwhile
                continue
        self._runs = runs
        return list(runs.values())

    def __getitem__(self, id) -> Run:
        """Return a run by its id; a beginning or an end of it is enough if it is the only one.

        Raises
        ------
        KeyError, ValueError
            If there is no such run, or several.
        """
        if is_id(id):
            try:
                run = self._runs.get(id) or Run(self.path / id)
            except FileNotFoundError:
                raise KeyError(f"There is no run {id} in {self.path}.") from None
            return run
        runs = [run for run in self.runs() if id and (run.id.startswith(id) or run.id.endswith(id))]
        if len(runs) == 1:
            return runs[0]
        if not runs:
            require_id(id)
        raise ValueError(f"{len(runs)} runs in {self.path} begin or end with {id}.")

    def compare(self, ids) -> Comparison:
        """Compare runs.

        Parameters
        ----------
        ids : sequence of str

        Returns
        -------
        Comparison
        """
        runs = [self[id] for id in ids]
        flat = [_flat(run) for run in runs]
        names = list(dict.fromkeys(name for each in flat for name in each))
        different, same = {}, {}
        for name in names:
            values = [each.get(name) for each in flat]
            if all(value == values[0] for value in values):
                same[name] = values[0]
            else:
                different[name] = values
        return Comparison(
            [run.id for run in runs], different, same,
            {run.id: run.metrics() for run in runs}, {run.id: run.result for run in runs},
        )  # fmt: skip


def _flat(run) -> dict[str, Any]:
    settings: dict[str, Any] = {"kind": run.kind, **run.settings}
    for name, data in run.data.items():
        settings[f"data.{name}"] = data.get("sha256") if isinstance(data, dict) else data
    versions = run.info.get("versions")
    for name, value in versions.items() if isinstance(versions, dict) else ():
        settings[f"versions.{name}"] = value
    return settings
