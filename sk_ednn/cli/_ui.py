"""The command ``ui``: serve the pages."""

from __future__ import annotations

from pathlib import Path

import typer

from ._files import read_array
from ._models import TILE_MODELS
from ._potential_options import POTENTIALS
from ._structure_names import are_structures


def run(options) -> None:
    """Serve the pages until Ctrl-C.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    from .. import ui

    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    data = [path for path in options.data or [Path.cwd()]]
    for path in data:
        if not path.is_dir():
            raise ValueError(f"{path} is not a folder. Pass --data a folder with data files.")
    if options.host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo(
            f"warning: {options.host} is reachable from other machines. Anyone with the "
            "address and its token can start commands as you; nothing is encrypted.",
            err=True,
        )
    tools = ui.Tools(
        read_array=lambda name: read_array(name, ()),
        are_structures=are_structures,
        tile_models=tuple(TILE_MODELS),
        potentials=POTENTIALS,
    )

    def say(address):
        typer.echo(f"the pages are at {address}")
        typer.echo("Ctrl-C ends the server; runs continue.", err=True)

    ui.serve(
        folder, data=data, tools=tools, port=options.port, host=options.host, show=options.open,
        scheduler=options.scheduler, say=say,
    )  # fmt: skip
