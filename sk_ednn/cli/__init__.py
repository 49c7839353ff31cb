"""The command line, ``sk-ednn``."""

import sys


def main(arguments=None):
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, default=None
        Arguments such as ``["fit", "spins.npz", "--json"]``. None for those of the process.

    Returns
    -------
    int
        The exit code: 0 for success, 1 for invalid inputs or missing libraries, 2 for unknown
        options, 130 for an interrupted fit.
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
