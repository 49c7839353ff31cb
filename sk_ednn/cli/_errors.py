"""What is wrong with what was given, in one line."""

from __future__ import annotations

from contextlib import contextmanager

import typer

from ..exceptions import EDNNError


@contextmanager
def one_line_errors():
    """Say in one line what is wrong with what was given, and exit with 1."""
    try:
        yield
    except (EDNNError, ValueError, TypeError, OSError, MemoryError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        typer.echo(f"error: {why}", err=True)
        raise typer.Exit(1) from None
