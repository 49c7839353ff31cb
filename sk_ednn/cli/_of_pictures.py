"""Delegate ``fit`` and ``predict`` of photographs to the commands of ``count``."""

from __future__ import annotations

from typing import Any

import typer

from ._config import is_given
from ._picture_names import are_pictures

# What the commands have in common, besides the data.
_SHARED = ("output", "run", "force", "as_json", "quiet")
_OF_FIT = ("seed", "jobs", "epochs", "keep_on_interrupt", *_SHARED)
_SECONDS = "max_seconds"


def fitted(ctx: typer.Context) -> bool:
    """Run ``count fit`` if the data of ``fit`` are photographs; return whether they are."""
    params = ctx.params
    if not are_pictures(params["fields"]):
        return False
    if params["targets"] is None:
        raise ValueError(
            f"{params['fields']}: photographs need a table with the name of each file and its "
            f"total: sk-ednn fit {params['fields']} TABLE."
        )
    words = [params["fields"], params["targets"], *_options(ctx, _OF_FIT, (_SECONDS,))]
    if is_given(ctx, _SECONDS):
        words += ["--minutes", f"{params[_SECONDS] / 60:g}"]
    _run(ctx, "fit", words)
    return True


def predicted(ctx: typer.Context) -> bool:
    """Run ``count predict`` if ``predict`` counts in photographs; return whether it does.

    Arrays and contributions are written by ``predict`` itself, and other models of pictures, such
    as a Pipeline of `LocalFeatures`, are evaluated by it.
    """
    params = ctx.params
    given = {param.name for param in ctx.command.params if is_given(ctx, param.name)}
    output = params["output"]
    plain = given <= {"model", "fields", *_SHARED}
    plain = plain and (output is None or output.suffix.lower() in (".csv", ".xlsx"))
    if not plain or not are_pictures(params["fields"]) or not _counts(params["model"]):
        return False
    # As for other data, an existing table is replaced.
    words = [str(params["model"]), params["fields"], "--force", *_options(ctx, _SHARED)]
    _run(ctx, "predict", words)
    return True


def _counts(model) -> bool:
    """Return True if a model file was written by ``count fit``."""
    from ..files import describe
    from ._files import check_readable

    check_readable(model)
    return (describe(model)["about"] or {}).get("kind") == "pictures"


def _options(ctx, shared, other=()) -> list[str]:
    """Return the options that were given, in words; raise for those of other data."""
    words = []
    for param in ctx.command.params:
        if param.param_type_name == "argument" or not is_given(ctx, param.name):
            continue
        name = next(name for name in param.opts if name.startswith("--"))
        if param.name in other:
            continue
        if param.name not in shared:
            raise ValueError(
                f"{name} is not for photographs. The options for them are those of `sk-ednn count "
                f"{ctx.info_name} --help`."
            )
        value = ctx.params[param.name]
        if isinstance(value, bool):
            words += [name] if value else []
        else:
            words += [name, str(value)]
    return words


def _run(ctx, name, words) -> None:
    from ._count_app import app

    group: Any = typer.main.get_command(app)
    command = group.commands[name]
    with command.make_context(f"count {name}", words, parent=ctx.parent) as made:
        command.invoke(made)
