"""The command line, ``sk-ednn``."""

import sys


def main(arguments=None):
    """Run the command line; say in one line what to install where it cannot.

    Parameters
    ----------
    arguments : list of str, default=None
        Such as ``["fit", "spins.npz", "--json"]``. None for those this process was started with.

    Returns
    -------
    int
        The exit code: 0, 1 where something is wrong with what was given, 2 for options that do
        not exist, 130 where a fit was interrupted.
    """
    try:
        from ._app import app
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        print(f"sk-ednn: {missing} is not installed: pip install 'sk-ednn[cli]'", file=sys.stderr)
        return 1
    try:
        app(arguments, prog_name="sk-ednn")
    except SystemExit as end:
        return end.code or 0
    return 0
