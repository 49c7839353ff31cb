"""One-line errors, unique warnings, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager

import typer

from ..exceptions import DataWarning, EDNNError
from ._parameter_words import as_options
from ._paths import locks_of_a_command

# ASE raises NotImplementedError for what a calculator does not calculate.
_EXPECTED = (ValueError, TypeError, OSError, MemoryError, NotImplementedError)


@contextmanager
def one_line_errors(ctx=None):
    """Print errors and warnings in one line each; exit with 1 after an error.

    Parameters
    ----------
    ctx : typer.Context, default=None
        Of the command. If an error names arguments that would mend it, the whole command with
        these is printed. Parameters of Python in messages are replaced by its options.
    """
    try:
        with warnings.catch_warnings(), locks_of_a_command():
            warnings.showwarning = _shown_once(ctx)
            yield
    except (EDNNError, *_EXPECTED) as error:
        why = _message_of(error).partition("\n")[0] or type(error).__name__
        if ctx is not None and not isinstance(error, OSError):  # these quote names of files
            why = as_options(why, ctx)
        why += _command_instead(ctx, error)
        typer.echo(f"error: {why}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def printed_before():
    """Ignore warnings about data that a command has printed, such as those of all its folds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        yield


def _command_instead(ctx, error) -> str:
    """Return the command that does not lead to an error, where that is known."""
    arguments = getattr(error, "arguments", None)
    if ctx is None or not arguments:
        return ""
    from ._config import corrected

    command = corrected(ctx, arguments)
    return "" if command is None else f" For example: {command}"


def _message_of(error) -> str:
    """Return the message of an error; those of the system begin with the name of the file."""
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return str(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist."
    return f"{name}: {error.strerror}."


class Interrupts:
    """Record Ctrl-C, also if the interrupted code catches it.

    Training loops catch it and keep the network as it is. Without this record the command would
    write an unfinished model like a finished one.

    Parameters
    ----------
    checkpoint : Path or None, default=None
        File from which the training can resume.
    """

    def __init__(self, checkpoint=None):
        self.seen = False
        self.checkpoint = checkpoint

    @contextmanager
    def watched(self, patient=None):
        """Record Ctrl-C in a block, and exit with 130 if it ends the block.

        Parameters
        ----------
        patient : str, default=None
            Message of the first Ctrl-C if that does not end the block, which then looks at `seen`;
            the second one ends it.
        """

        def interrupt(number, frame):
            again, self.seen = self.seen, True
            if patient is None or again:
                raise KeyboardInterrupt
            typer.echo(patient, err=True)

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

    def keep(self, done, question, options) -> str:
        """Return the description of an interrupted training, or exit if it is not kept.

        It is kept with ``--keep-on-interrupt``, if the run received the command "stop", or if the
        user agrees.

        Parameters
        ----------
        done : str
            How far the training came.
        question : str
            Asked where there is a terminal.
        options : namespace
            The parameters of the command, by name.
        """
        keep = options.keep_on_interrupt or (
            options.recorder is not None and options.recorder.stop_requested
        )
        if not keep and sys.stdin.isatty() and sys.stderr.isatty():
            keep = typer.confirm(f"{done}. {question}", err=True)
        if not keep:
            self.end()
        return done

    def end(self, left="nothing was written"):
        """Print which files exist, and exit with 130."""
        if self.checkpoint is not None and self.checkpoint.exists():
            left = f"no model was written; the same command resumes from {self.checkpoint}"
        typer.echo(f"interrupted; {left}", err=True)
        raise typer.Exit(130)


@contextmanager
def not_half():
    """Exit with 130 if a block was interrupted."""
    with Interrupts().watched() as interrupts:
        yield
    if interrupts.seen:
        interrupts.end()


def _shown_once(ctx=None):
    """Return a function that prints each warning once, without its place in the code.

    Parameters
    ----------
    ctx : typer.Context, default=None
        Of the command, whose options replace parameters of Python in warnings.
    """
    shown = set()

    def show(message, category, *_, **__):
        if issubclass(category, DeprecationWarning):
            return  # for those who write code: one library may not follow another yet
        text = str(message) if ctx is None else as_options(str(message), ctx)
        if category.__name__ == "LinAlgWarning":  # scipy: one per matrix, with numbers
            text = (
                "Some features of the tile model are collinear up to rounding. The verdict shows "
                "whether the model predicts well."
            )
        if category.__name__ == "EfficiencyWarning":  # scikit-learn, which may not be loaded
            text += " On the command line: --model cubic, quadratic or dense."
        if text not in shown:
            typer.echo(f"warning: {text}", err=True)
        shown.add(text)

    return show
