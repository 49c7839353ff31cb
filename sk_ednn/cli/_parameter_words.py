"""Parameters of Python in messages, as the options of the command line that set them."""

from __future__ import annotations

import re

# Parameters whose options have another name or form. Messages are written for Python first.
_OPTIONS = {
    "max_epochs": "--epochs", "max_seconds": "--max-seconds", "n_members": "--members",
    "weight_decay": "--weight-decay", "test_fraction": "--test-fraction",
}  # fmt: skip
# A parameter by itself, with or without a number: no part of a path, of code or of another name.
_PARAMETER = re.compile(
    rf"(?<![\w./'\"-])({'|'.join(_OPTIONS)})(?:=([\d.]*\d))?(?![\w/'\"(=-]|\.\w)"
)
_LABELS = re.compile(r"(?<![\w./-])labels=\{([^{}]*)\}")
_ENTRY = re.compile(r"'(\w+)': (?:'([^']*)'|None)")
_OFF = re.compile(r"(?<![\w./-])(energy|forces|stress)=False\b")


def as_options(text, ctx=None) -> str:
    """Return a message with options of a command in place of parameters.

    Parameters
    ----------
    text : str
    ctx : typer.Context, default=None
        Of the command; options that it lacks are not named. None for all.

    Examples
    --------
    >>> from sk_ednn.cli._parameter_words import as_options
    >>> as_options("With max_epochs instead of max_seconds all are trained alike.")
    'With --epochs instead of --max-seconds all are trained alike.'
    >>> as_options("Fit with n_members=4 or so.")
    'Fit with --members 4 or so.'
    >>> as_options("Choose one, for example with labels={'energy': 'E0'}.")
    'Choose one, for example with --labels energy=E0.'
    >>> as_options("Ignore stresses: labels={'stress': None}, or choose with labels={...}.")
    'Ignore stresses: --labels stress=none, or choose with --labels.'
    >>> as_options("runs/max_epochs.npz has 'max_seconds'.")
    "runs/max_epochs.npz has 'max_seconds'."
    """
    options = {*_OPTIONS.values(), "--labels"}
    if ctx is not None:
        options &= {name for each in ctx.command.params for name in each.opts}

    def parameter(match):
        name, number = match.groups()
        if _OPTIONS[name] not in options:
            return match[0]
        return _OPTIONS[name] + (f" {number}" if number else "")

    text = _PARAMETER.sub(parameter, text)
    if "--labels" in options:
        text = _OFF.sub(r"--labels \1=none", _LABELS.sub(_names, text))
    return text


def _names(match) -> str:
    entries = [f"{kind}={name or 'none'}" for kind, name in _ENTRY.findall(match[1])]
    return " ".join(["--labels", ",".join(entries)]).rstrip()
