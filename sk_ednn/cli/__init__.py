"""The command line, ``sk-ednn``."""

import sys


def main():
    """Run the command line; say in one line what to install where it cannot."""
    try:
        from ._app import app
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        sys.exit(f"sk-ednn: {missing} is not installed: pip install 'sk-ednn[cli]'")
    app()
