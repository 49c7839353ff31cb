"""The command ``info``: installed libraries and tile models."""

from __future__ import annotations

from typing import Any

from .._utils.versions import installed_version
from ._models import TILE_MODELS

_LIBRARIES = (
    "sk-ednn", "numpy", "scipy", "scikit-learn", "torch", "skorch", "dask", "distributed", "ase",
    "matplotlib", "h5py", "zarr",
)  # fmt: skip


def found() -> dict[str, Any]:
    """Return the versions of the libraries, None if not installed, and the tile models."""
    return {
        "versions": {name: installed_version(name) for name in _LIBRARIES},
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
