"""Options of potentials: their names, what contradicts what, and when a potential is fitted."""

from __future__ import annotations

from importlib.util import find_spec

import typer

# No heavy imports here, since the help contains the names.

# Networks of atoms by name; the names are part of the help.
POTENTIALS = ("spectrum", "symmetry-functions", "chebyshev", "deep-pot")
# Options of models of images.
_OF_IMAGES = ("spacing", "width", "plane", "adjust", "forces", "focus", "context", "boundary",
              "remainder", "baseline")  # fmt: skip
# Options of potentials.
_OF_ATOMS = ("cutoff", "averages", "repulsion", "screening", "weight_decay", "max_seconds",
             "members", "labels", "start", "clock", "group", "errors_by",
             "errors")  # fmt: skip
# Those that a fitted potential decides.
_OF_NETWORK = ("model", "cutoff", "averages", "repulsion", "screening")
_NEEDED = ("torch", "skorch", "vesin", "sphericart")


def may_be(ctx, options) -> bool:
    """Return True if the options allow a potential; the files may decide then."""
    if options.images:
        return False
    if options.model in POTENTIALS:
        return True
    return options.model == "auto" and not any(_given(ctx, name) for name in _OF_IMAGES)


def _is_set(options, name) -> bool:
    """Return True if an option without a default has a value, or a flag is set."""
    value = getattr(options, name)
    return value is not None and value is not False


def check(ctx, options) -> None:
    """Raise if options contradict each other.

    Raises
    ------
    ValueError
    """
    wanted = [name for name in _OF_ATOMS if _is_set(options, name)]
    if wanted and not may_be(ctx, options):
        raise ValueError(
            f"--{wanted[0].replace('_', '-')} is for potentials (--model {', '.join(POTENTIALS)}), "
            "which --images and other models exclude."
        )
    if options.images and options.model in POTENTIALS:
        raise ValueError(f"--images is for models of fields, but {options.model} is a potential.")
    wrong = [name for name in _OF_IMAGES if options.model in POTENTIALS and _given(ctx, name)]
    if wrong:
        raise ValueError(f"--{wrong[0]} is for --images, but {options.model} is a potential.")
    fixed = [name for name in _OF_NETWORK if options.start is not None and _given(ctx, name)]
    if fixed:
        raise ValueError(
            f"--{fixed[0]} is decided by the potential of --start {options.start}. Leave it out, "
            "or fit a new potential."
        )
    if options.screening and options.model not in ("auto", "spectrum"):
        raise ValueError(
            "--screening is for the network of --model spectrum, the default; the model is "
            f"{options.model}."
        )
    if options.model in POTENTIALS:
        require_no_jobs(options)
    check_errors(options.errors)
    labels_of(options)


def require_no_jobs(options) -> None:
    """Raise if a number of workers is given, which the training of a potential does not have."""
    if options.jobs is not None:
        raise ValueError(
            f"--jobs {options.jobs} has no effect on potentials, whose networks are trained one "
            "after another, by default in one thread. Leave it out; in Python, "
            "PotentialTrainer(n_threads=...) is an option."
        )


def check_errors(path) -> None:
    """Raise if the name of the table of errors does not end in .csv."""
    if path is not None and path.suffix.lower() != ".csv":
        raise ValueError(f"--errors must end in .csv, got {path}.")


def wants(ctx, options, read) -> bool:
    """Return True if a potential is fitted: on request, or to structures with forces or in 3-D.

    Sheets without forces are drawn, as in the paper, unless a potential is asked for.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
    read : Read
        The structures.
    """
    if not may_be(ctx, options):
        return False
    if options.model in POTENTIALS or any(_is_set(options, name) for name in _OF_ATOMS):
        return True
    from ..atoms._named_labels import named_labels

    why = "have forces"
    if not named_labels(read.structures)["forces"].names():
        from ..atoms._choices import suited_plane

        why = "are not sheets"
        if suited_plane(read.structures)[0] != "xyz":
            return False
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        typer.echo(
            f"note: the structures {why}, but a network of atoms needs {', '.join(missing)}. A "
            "model of images is fitted instead.",
            err=True,
        )
    return not missing


def labels_of(options) -> dict | None:
    """Return the names of labels, from "energy=REF_energy,stress=none" and ``--energy``."""
    names: dict[str, str | None] = {} if options.energy is None else {"energy": options.energy}
    for part in (options.labels or "").split(",") if options.labels else ():
        kind, equals, name = part.partition("=")
        if not equals or kind.strip() not in ("energy", "forces", "stress"):
            raise ValueError(
                "--labels must be such as energy=REF_energy,forces=REF_forces,stress=none; got "
                f"{options.labels!r}."
            )
        names[kind.strip()] = None if name.strip().lower() == "none" else name.strip()
    return names or None


# --- parts ------------------------------------------------------------------------------------


def _given(ctx, name) -> bool:
    """Return True if an option differs from its default, or was given on the command line."""
    source = ctx.get_parameter_source(name)
    if source is None or source.name in ("DEFAULT", "COMMANDLINE"):
        return source is not None and source.name == "COMMANDLINE"
    default = next(param.default for param in ctx.command.params if param.name == name)
    return str(ctx.params[name]) != str(default)
