"""Report errors in one line, warnings once, and Ctrl-C by what is left of the work."""

from __future__ import annotations

import signal
import threading
import warnings
from contextlib import contextmanager

import typer

from ..exceptions import DataWarning, EDNNError


@contextmanager
def one_line_errors():
    """Say in one line what is wrong with what was given, and exit with 1; warn in lines too."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _shown_once()
            # Said in the words of the command line, with what is known of the data.
            warnings.simplefilter("ignore", DataWarning)
            yield
    except (EDNNError, ValueError, TypeError, OSError, MemoryError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        typer.echo(f"error: {why}", err=True)
        raise typer.Exit(1) from None


class Interrupts:
    """Whether Ctrl-C was pressed, also where what was interrupted ends as if nothing had been.

    Training loops do: they keep what they have, which on a command line would go into a file that
    nobody can tell from one that was finished.

    Parameters
    ----------
    checkpoint : Path or None, default=None
        What training may have written, from which it can go on.
    """

    def __init__(self, checkpoint=None):
        self.seen = False
        self.checkpoint = checkpoint

    @contextmanager
    def watched(self):
        """Take note of Ctrl-C within, and exit with 130 where it ends what is done."""

        def interrupt(number, frame):
            self.seen = True
            raise KeyboardInterrupt

        here = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, interrupt) if here else None
        try:
            yield self
        except KeyboardInterrupt:
            if not self.seen:
                raise
            self.end()
        finally:
            if here:
                signal.signal(signal.SIGINT, before)

    def end(self):
        """Exit, and say what is left of the work."""
        left = "nothing was written"
        if self.checkpoint is not None and self.checkpoint.exists():
            left = f"no model was written; the same command goes on from {self.checkpoint}"
        typer.echo(f"interrupted; {left}", err=True)
        raise typer.Exit(130)


@contextmanager
def not_half():
    """Say so and exit with 130 where work was interrupted."""
    with Interrupts().watched() as interrupts:
        yield
    if interrupts.seen:
        interrupts.end()


def _shown_once():
    """Return what shows each warning once, and not the place in the code it comes from."""
    shown = set()

    def show(message, category, *_, **__):
        said = str(message)
        if category.__name__ == "LinAlgWarning":  # scipy's: one for each matrix, numbers within
            said = (
                "Some features of the tile model are collinear up to rounding; see the verdict on "
                "whether it predicts all the same."
            )
        if category.__name__ == "EfficiencyWarning":  # scikit-learn's, which may not be loaded
            said += " On the command line: --model cubic, quadratic or dense."
        if said not in shown:
            typer.echo(f"warning: {said}", err=True)
        shown.add(said)

    return show
