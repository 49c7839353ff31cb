"""Commands whose options are dataclasses, one for each concept.

On the command line each option is separate, and ``--help`` shows a panel for each class.
"""

from __future__ import annotations

import inspect
import sys
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints


def grouped(command):
    """Let a command take dataclasses of options; users see each field as a separate option.

    Parameters
    ----------
    command : function
        The parameters are a `typer.Context`, options, or classes whose fields are options.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    flat = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            flat += _options_of(groups[name])
        else:
            flat.append(parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY))

    @wraps(command)
    def call(**given):
        filled = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **filled)

    # Typer and the files of settings read these two, and must not see the command within.
    del call.__wrapped__
    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return call


def _options_of(group) -> list[inspect.Parameter]:
    # With the names of the module: functions in annotations are called later, and look for them.
    hints = get_type_hints(group, vars(sys.modules[group.__module__]), include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_in_panel(hints[field.name], group.panel),
        )
        for field in fields(group)
    ]


def _in_panel(hint, panel) -> Any:
    kind, option = get_args(hint)
    option = copy(option)
    option.rich_help_panel = panel
    return Annotated[kind, option]
