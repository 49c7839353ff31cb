"""The command ``info``: installed libraries and tile models."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ._models import TILE_MODELS

_LIBRARIES = (
    "sk-ednn", "numpy", "scipy", "scikit-learn", "torch", "skorch", "dask", "distributed", "ase",
    "matplotlib", "h5py", "zarr",
)  # fmt: skip


def found() -> dict[str, Any]:
    """Return the versions of the libraries, None if not installed, and the tile models."""
    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "versions": versions,
        "models": {name: text for name, (_, text) in TILE_MODELS.items()},
    }


def show(report) -> None:
    """Print the result of `found` as tables."""
    from rich.console import Console
    from rich.table import Table

    table = Table("library", "version")
    for name, number in report["versions"].items():
        table.add_row(name, number or "[dim]not installed[/dim]")
    Console().print(table)
    table = Table("tile model", "description")
    for name, text in report["models"].items():
        table.add_row(name, text)
    Console().print(table)
