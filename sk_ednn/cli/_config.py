"""Settings of a command, read from a YAML file and written to one."""

from __future__ import annotations

import inspect
import reprlib
import shlex
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Annotated, Any, get_args, get_type_hints

import typer

from .._utils.optional import needing
from .._utils.settings import load_plain
from .._utils.writing import replacing
from ._errors import one_line_errors

# Options that are not settings.
_NO_SETTINGS = ("config", "save_config", "help", "force", "run")
_MAX_BYTES = 1 << 20  # a file of settings has a few hundred
_PER_AXIS = ("focus", "context")
# Text that may be a number, such as the period 360.
_NUMBER_OR_TEXT = ("angles",)
_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "text"}


def _read(ctx: typer.Context, path: Path | None) -> Path | None:
    """Use the settings of a file as defaults; options of the command line take precedence."""
    if path is not None and not ctx.resilient_parsing:
        with one_line_errors():
            ctx.default_map = {**(ctx.default_map or {}), **_settings(ctx, path)}
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_read,
        help="YAML file of arguments and options by name. Those on the command line take "
        "precedence.",
    ),
]
SaveConfig = Annotated[
    Path | None,
    typer.Option(
        "--save-config",
        metavar="FILE",
        help="Write the arguments and options of this run to a YAML file for --config.",
    ),
]


def check(path: Path | None) -> None:
    """Raise if settings cannot be written, before the work is done."""
    if path is not None:
        _yaml()


def write(ctx: typer.Context, path: Path | None) -> None:
    """Write the settings of a call, defaults included."""
    if path is None:
        return
    values = ((key, ctx.params[p.name], p.name) for key, p in _known(ctx).items())
    settings = {key: _plain(name, value) for key, value, name in values if value is not None}
    yaml = _yaml()

    base: Any = yaml.SafeDumper

    class Dumper(base):
        """Write lists in one line, as [2, 2]."""

        def represent_sequence(self, tag, sequence, flow_style=None):
            return super().represent_sequence(tag, sequence, flow_style=True)

    text = yaml.dump(settings, Dumper=Dumper, sort_keys=False, allow_unicode=True)
    head = f"# Run again with: sk-ednn {ctx.info_name} --config {path.name}\n"
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(head + text)


def command_line(ctx: typer.Context) -> str:
    """Return the command line of this call, without a file of settings."""
    return shlex.join(["sk-ednn", *arguments(ctx)])


def corrected(ctx: typer.Context, values: dict[str, str]) -> str | None:
    """Return the command line of this call with other values of some arguments.

    Parameters
    ----------
    ctx : typer.Context
    values : dict of str to str
        By argument. The first replaces what was given; others fill in what was not.

    Returns
    -------
    str or None
        None if the command has no such argument.
    """
    first, *others = values
    if first not in ctx.params:
        return None
    missing = {name for name in others if name in ctx.params and ctx.params[name] is None}
    new = {name: value for name, value in values.items() if name == first or name in missing}
    return shlex.join(["sk-ednn", *arguments(ctx, values=new)])


def arguments(ctx: typer.Context, without=(), values=MappingProxyType({})) -> list[str]:
    """Return the words of `command_line` after the name of the program.

    Parameters
    ----------
    ctx : typer.Context
    without : tuple of str, default=()
        Names of parameters to leave out.
    values : dict of str to str, default={}
        Values of some parameters in place of those of the call.
    """
    words, options = ctx.command_path.split()[1:], []
    for key, param in _known(ctx).items():
        value = values.get(param.name, ctx.params[param.name])
        given = param.name in values or is_given(ctx, param.name)
        if value is None or not given or param.name in without:
            continue
        if param.param_type_name == "argument":
            several = isinstance(value, (list, tuple))
            words += [str(each) for each in value] if several else [str(value)]
        elif isinstance(value, bool):
            options += [f"--{key}"] if value else param.secondary_opts[:1]
        else:
            options += [f"--{key}", str(value)]
    return words + options


def is_given(ctx: typer.Context, name) -> bool:
    """Return True if a parameter was given, on the command line or in a file of settings."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


# --- parts ------------------------------------------------------------------------------------


def _known(ctx) -> dict[str, Any]:
    """Return the parameters of a command by their names in a file."""
    return {_key(p): p for p in ctx.command.params if p.name not in _NO_SETTINGS}


def _key(param) -> str:
    """Return the long name of an option, or the name of an argument."""
    long = [name[2:] for name in param.opts if name.startswith("--")]
    return long[0] if long else param.name


def _settings(ctx, path) -> dict[str, Any]:
    params = _known(ctx)
    hints = get_type_hints(inspect.unwrap(ctx.command.callback))
    settings = {}
    for key, value in _load(path).items():
        if key not in params:
            near = get_close_matches(str(key).replace("_", "-"), params, n=1)
            valid = f"Did you mean {near[0]}?" if near else f"Valid ones: {', '.join(params)}."
            raise ValueError(f"{path}: unknown setting {_short(key)}. {valid}")
        param = params[key]
        if param.name in _NUMBER_OR_TEXT and (_is(int, value) or _is(float, value)):
            value = str(value)
        value = _checked(f"{path}: {key}", value, hints[param.name], param.name in _PER_AXIS)
        if value is not None:
            try:
                param.process_value(ctx, value)
            except typer.BadParameter as error:
                raise ValueError(f"{path}: {key}: {error.message}; got {_short(value)}.") from None
        settings[param.name] = value
    return settings


def _load(path) -> dict:
    from ._files import check_readable  # imports numpy, which --help does not need
    from ._wanted import Unreadable, reading

    yaml = _yaml()
    check_readable(path)
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(
            f"{path} has more than {_MAX_BYTES} bytes, so it is not a file of settings."
        )

    with reading(
        path, " as YAML"
    ):  # for errors of PyYAML that are not YAMLError, as for a date of month 13
        try:
            settings = load_plain(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
            why = getattr(error, "problem", None) or str(error).partition("\n")[0]
            raise Unreadable(f"{path} cannot be read as YAML: {why}{where}.") from None
        except UnicodeDecodeError:
            raise Unreadable(f"{path} cannot be read as YAML: it is not text in UTF-8.") from None
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path} must contain settings, such as 'focus: 2'; got {_short(settings)}."
        )
    return settings


def _checked(what, value, hint, per_axis):
    """Return a value in the form of the command line, or raise with the expected form."""
    kinds = get_args(hint) or (hint,)
    if value is None and NoneType in kinds:
        return None
    if per_axis:
        values = value if isinstance(value, list) else [value]
        if values and all(_is(int, each) or isinstance(each, str) for each in values):
            return ",".join(map(str, values))
        expected = "an integer, none, or a list with one per axis"
    else:
        kind = next(kind for kind in kinds if kind is not NoneType)
        kind = str if kind is Path else kind
        if _is(kind, value):
            return value
        expected = _KINDS[kind]
        if kind is float and isinstance(value, str):
            expected += ", with a point (in YAML 1e-3 is text, 1.0e-3 is a number)"
    raise ValueError(f"{what} must be {expected}; got {_short(value)}.")


def _is(kind, value) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _plain(name, value):
    if name in _PER_AXIS:
        parts = [part.strip() for part in value.split(",")]
        parts = [part if part.lower() == "none" else int(part) for part in parts]
        return parts[0] if len(parts) == 1 else parts
    return str(value) if isinstance(value, Path) else value


def _short(value) -> str:
    """Return a short text of a value; values in YAML can be larger than the file."""
    return "null" if value is None else reprlib.repr(value)


def _yaml() -> Any:
    with needing("A file of settings"):
        import yaml
    return yaml
