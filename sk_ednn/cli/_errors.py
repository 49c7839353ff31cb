"""What is wrong with what was given, in one line."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import typer
from sklearn.exceptions import EfficiencyWarning

from ..exceptions import EDNNError


@contextmanager
def one_line_errors():
    """Say in one line what is wrong with what was given, and exit with 1; warn in lines too."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _shown_once()
            yield
    except (EDNNError, ValueError, TypeError, OSError, MemoryError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        typer.echo(f"error: {why}", err=True)
        raise typer.Exit(1) from None


def _shown_once():
    """Return what shows each warning once, and not the place in the code it comes from."""
    shown = set()

    def show(message, category, *_, **__):
        said = str(message)
        if issubclass(category, EfficiencyWarning):
            said += " On the command line: --model quadratic, or a network."
        if said not in shown:
            typer.echo(f"warning: {said}", err=True)
        shown.add(said)

    return show
