"""Data that all pages share: the folder of runs, the opened folders, and readers of data."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..runs import RunFolder, launch, resume
from ..runs._ids import is_id
from ._run_table import RunRows
from ._runs import UPLOADS
from ._security import plain_name, within
from ._words import readable


@dataclass(frozen=True)
class Tools:
    """Readers of data of the command line, and its choices.

    The layers of the package point down, so the pages do not import the command line: it gives
    them what they need of it.

    Parameters
    ----------
    read_array : function of str to ndarray
        Reads ``file.npz::name``.
    are_structures : function of str to bool
        Tells whether a file contains structures of atoms.
    tile_models, potentials : sequence of str
        Choices of ``--model``.
    """

    read_array: Callable[[str], Any]
    are_structures: Callable[[str], bool]
    tile_models: tuple[str, ...] = ()
    potentials: tuple[str, ...] = ()


@dataclass
class Site:
    """One server: its folders, and what its pages may start.

    Parameters
    ----------
    folder : Path
        Folder of the runs; uploads go to a folder in it.
    data : sequence of Path
        Further folders that were opened, whose files may be read.
    tools : Tools
    scheduler : str or None
        Address of a Dask scheduler that is watched.
    """

    folder: Path
    data: tuple[Path, ...]
    tools: Tools
    scheduler: str | None = None
    rows: RunRows = field(init=False)
    _runs: RunFolder = field(init=False)

    def __post_init__(self):
        self.folder = Path(self.folder).resolve()
        self.data = tuple(Path(path).resolve() for path in self.data)
        self.uploads.mkdir(parents=True, exist_ok=True)
        self._runs = RunFolder(self.folder)
        self.rows = RunRows(self.runs)

    @property
    def uploads(self) -> Path:
        """Folder of uploaded files."""
        return self.folder / UPLOADS

    @property
    def opened(self) -> tuple[Path, ...]:
        """Folders whose files may be chosen."""
        return (*self.data, self.uploads)

    @property
    def recorded(self) -> list[str]:
        """Words that record a command in the folder of this site."""
        return ["--run", str(self.folder)]

    def runs(self) -> list:
        """Return all runs, the newest first."""
        return self._runs.runs()

    def run(self, name: str):
        """Return a run by its id, or None."""
        try:
            return self._runs[name] if is_id(name) else None
        except KeyError:
            return None

    def compare(self, ids):
        """Return the differences of runs."""
        return self._runs.compare(ids)

    def path(self, name) -> Path:
        """Return a file of an opened folder; raise `Refused` for others."""
        return within((*self.opened, self.folder), name)

    def start(self, argv, cwd=None) -> Any:
        """Start a command in its own process; return its run."""
        return launch(self.folder, [str(word) for word in argv], cwd=cwd)

    def resume(self, name) -> Any:
        """Continue a run that was killed, stopped or failed; return it."""
        return resume(self._runs[name])

    def new_upload(self, label="") -> Path:
        """Make a folder for files that are uploaded together."""
        stem = time.strftime("%Y%m%d-%H%M%S")
        label = plain_name(label) if label else ""
        for k in range(1000):
            path = self.uploads / "-".join(filter(None, [stem, label, str(k) if k else ""]))
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
        raise FileExistsError(f"{self.uploads} has too many folders of one second.")

    def shown(self, path) -> str:
        """Return a path for display, relative to an opened folder."""
        path = Path(path)
        for root in self.opened:
            if path.is_relative_to(root):
                return readable(Path(root.name) / path.relative_to(root))
        return readable(path)


_SECRET = re.compile(r"[\x00-\x1f\x7f]")


def shown_command(argv) -> str:
    """Return the command line that does what a form does, to be copied into a shell.

    Examples
    --------
    >>> from sk_ednn.ui._site import shown_command
    >>> shown_command(["fit", "my spins.npz", "--focus", 2])
    "sk-ednn fit 'my spins.npz' --focus 2"
    """
    return shlex.join(["sk-ednn", *(_SECRET.sub("?", readable(word)) for word in argv)])


def only_set(options: Mapping[str, Any]) -> list[str]:
    """Return options as words; those that are None, False or empty are left out.

    Examples
    --------
    >>> from sk_ednn.ui._site import only_set
    >>> only_set({"focus": 2, "categorical": True, "unit": "", "forces": False})
    ['--focus', '2', '--categorical']
    """
    words = []
    for name, value in options.items():
        if value is None or value is False or value == "":
            continue
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words
