"""Fits of potentials on the command line, for structures with forces."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import typer

from ..exceptions import DataWarning, TileModelError
from . import _runs
from ._errors import Interrupts
from ._paths import may_replace
from ._report import about_fit, show_files

# Networks of atoms by name; the names are part of the help.
POTENTIALS = ("spectrum", "symmetry-functions", "chebyshev", "deep-pot")
# Options of models of images.
_OF_IMAGES = ("spacing", "width", "plane", "adjust", "forces", "focus", "context", "boundary",
              "remainder", "baseline")  # fmt: skip
# Options of potentials.
_OF_ATOMS = ("cutoff", "averages", "repulsion", "max_seconds", "members", "labels", "start",
             "clock", "group", "errors")  # fmt: skip
# Those that a fitted potential decides.
_OF_NETWORK = ("model", "cutoff", "averages", "repulsion")
# Share of the structures for early stopping.
_VALIDATION = 0.1
# Groups whose errors are printed.
_GROUPS = 12
_NEEDED = ("torch", "skorch", "vesin", "sphericart")


def may_be(ctx, options) -> bool:
    """Return True if the options allow a potential; the files may decide then."""
    if options.images or options.targets is not None:
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
            "which --images, TARGETS and other models exclude."
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
    check_errors(options.errors)
    _labels(options)


def check_errors(path) -> None:
    """Raise if the name of the table of errors does not end in .csv."""
    if path is not None and path.suffix.lower() != ".csv":
        raise ValueError(f"--errors must end in .csv, got {path}.")


def wants(ctx, options, read) -> bool:
    """Return True if a potential is fitted: on request, or if structures have forces.

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

    if not named_labels(read.structures)["forces"].names():
        return False
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        typer.echo(
            f"note: the files have forces, but a network of atoms needs {', '.join(missing)}. A "
            "model of images is fitted instead.",
            err=True,
        )
    return not missing


def run(ctx, options, read, say) -> dict[str, Any]:
    """Fit a potential, measure errors on held-out structures, and write it.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
        The parameters of the command, by name.
    read : Read
    say : function

    Returns
    -------
    dict
        The output of ``--json``.
    """
    from ..atoms._potential_committee import checkpoint_of
    from ..atoms._potential_errors import averages
    from ..atoms._potential_errors import spreads as spreads_of
    from ..atoms._potential_verdict import next_step, verdict_of
    from ..atoms._structure_errors import measured
    from ..structures._files import naming

    if options.unit not in (None, "eV"):
        raise ValueError(
            f"--unit {options.unit}: potentials learn energies in eV, which their files state. "
            "Leave --unit out, or pass --images for a model of totals in any unit."
        )
    replaced = may_replace("--output", options.output, options.force)
    potential = _potential(options)
    groups = None if options.group is None else _groups(read, options.group)
    parts = _split(len(read.structures), groups, options)
    taken = {which: [read.structures[k] for k in some] for which, some in parts.items()}
    of_parts = {which: [read.places[k] for k in some] for which, some in parts.items()}
    say(_split_line(parts, groups, options.group))
    places = of_parts["train"]
    if "test" in parts:
        # Before the training, which an error would cost.
        _check_test(taken["test"], of_parts["test"], potential.labels)
        _note_near(taken, options.group)
    _runs.log_stage(options, "fit")
    start, start_of_processor = time.perf_counter(), time.process_time()
    with _placed_warnings(places):
        first = checkpoint_of(options.checkpoint, 0, potential.n_members)
        bounded = potential.trainer.max_seconds is not None
        with (
            Interrupts(first).watched() as interrupts,
            naming(places),
            _runs.kept_clock(options, bounded),
        ):
            potential.fit(taken["train"], groups=None if groups is None else groups[parts["train"]])
            if options.recorder is not None:
                options.recorder.finishing()
    seconds = time.perf_counter() - start
    processor_seconds = time.process_time() - start_of_processor
    kept = None
    if interrupts.seen:
        if not hasattr(potential, "potential_"):
            interrupts.end()
        done = f"interrupted after {len(potential.history_)} epochs"
        kept = interrupts.keep(done, "Keep the network as it is?", options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # printed before
        known = {
            which: measured(potential, some, places=of_parts[which])
            for which, some in taken.items()
        }
    errors = {which: averages(part.errors) for which, part in known.items()}
    spreads = {which: spreads_of(part.data) for which, part in known.items()}
    result: dict[str, Any] = {
        "model": potential.model,
        "strategy": "PotentialTrainer",
        **({} if kept is None else {"interrupted": kept}),
        "n_train": len(taken["train"]),
        "n_test": len(taken.get("test", ())),
        "epochs": len(potential.history_),
        "seconds": round(seconds, 3),
        "processor_seconds": round(processor_seconds, 3),
        "labels": potential.labels_,
        "output": str(options.output),
        **errors,
        "spreads": spreads,
    }
    judged = "test" if "test" in taken else "train"
    result["verdict"] = verdict_of(
        errors[judged], spreads[judged], len(taken[judged]), held_back=judged == "test"
    )
    step = next_step(errors, result["verdict"]["over_spread"], n_members=potential.n_members)
    result |= {} if step is None else {"next": step}
    by_part = None if groups is None else {which: groups[some] for which, some in parts.items()}
    if by_part is not None:
        result["groups"] = groups_as_dict(known[judged], by_part[judged], options.group)
    _runs.forget(options, potential, potential.trainer)
    _runs.log_stage(options, "measure")
    _write(ctx, options, potential, taken, known, by_part, result)
    _write_predictions(options, known, parts)
    _runs.keep_results(options, result, stopped=kept)
    result["replaced"] = replaced
    return result


def show(result) -> None:
    """Print the result of `run`."""
    parts = [which for which in ("train", "test") if which in result]
    show_errors({which: result[which] for which in parts}, result["spreads"])
    if "groups" in result:
        show_groups(result["groups"])
    typer.echo(f"verdict: {result['verdict']['words']}")
    if "next" in result:
        typer.echo(f"next: {result['next']}")
    show_files(
        f"{result['model']}, {result['epochs']} epochs on {result['n_train']} structures in "
        f"{result['seconds']:.3g} s, {result['processor_seconds']:.3g} s of the processor",
        result,
    )
    if "written" in result:
        typer.echo(f"errors of each structure written to {result['written']}")


def groups_as_dict(part, groups, key) -> dict[str, Any]:
    """Return the errors of groups of structures, in the form of ``--json``.

    Parameters
    ----------
    part : Measured
    groups : ndarray of str
    key : str
        The option ``--group``.
    """
    rows = [{"name": name, "structures": n, **errors} for name, n, errors in part.by_group(groups)]
    return {"by": key, "errors": rows}


def show_groups(groups) -> None:
    """Print the mean errors of groups of structures, the largest first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    kinds = {"energy_mae": "meV/atom", "force_mae": "meV/Å", "stress_mae": "GPa"}
    rows = groups["errors"]
    kinds = {kind: unit for kind, unit in kinds.items() if any(kind in row for row in rows)}
    table = Table(escape(f"mean errors by {groups['by']}"), "structures", *kinds.values())
    for row in rows[:_GROUPS]:
        numbers = [f"{row[kind]:.4g}" if kind in row else "" for kind in kinds]
        table.add_row(escape(row["name"]), f"{row['structures']:,}", *numbers)
    Console().print(table)
    if len(rows) > _GROUPS:
        typer.echo(f"the first {_GROUPS} of {len(rows):,} groups")


def show_errors(errors, spreads) -> None:
    """Print a table of errors of energies, forces and stresses.

    Parameters
    ----------
    errors : dict of str to dict
        Errors by part of the data.
    spreads : dict of str to dict
        Results of `spreads` in `_potential_errors` by part of the data.
    """
    from rich.console import Console
    from rich.table import Table

    from ..atoms._potential_errors import table_of

    header, *rows = table_of(errors, spreads)
    table = Table(*header)
    for title, *numbers in rows:
        table.add_row(title, *("" if value is None else f"{value:.4g}" for value in numbers))
    Console().print(table)
    typer.echo(
        "spread: the rmse of the composition alone, with forces and stresses of zero; compare the "
        "column rmse with it"
    )


# --- parts ------------------------------------------------------------------------------------


def _groups(read, key):
    from ..atoms._structure_groups import groups_of

    return groups_of(read.structures, read.places, key)


def _split(n, groups, options) -> dict:
    """Return the sorted indices of "train", and of "test" if structures are held out."""
    import numpy as np

    rng = np.random.default_rng(options.seed)
    if groups is None:
        order = rng.permutation(n)
        test, train = np.split(order, [round(options.test_fraction * n)])
        train, test = np.sort(train), np.sort(test)
    else:
        from .._utils.holding_out import hold_out

        train, test = hold_out(groups, options.test_fraction, rng)
    return {"train": train} | ({"test": test} if len(test) else {})


def _split_line(parts, groups, key) -> str:
    n_train, n_test = (len(parts.get(which, ())) for which in ("train", "test"))
    if not n_test:
        return f"{n_train} structures, all of them to learn from"
    text = (
        f"{n_train + n_test} structures: {n_train} to learn from, {n_test} held out for the rows "
        "'test' of the table (--test-fraction 0 learns from all)"
    )
    if groups is None:
        return text
    names = sorted(set(groups[parts["test"]].tolist()))
    shown = ", ".join(names[:_GROUPS]) + (", ..." if len(names) > _GROUPS else "")
    return f"{text}; whole groups by {key}: {shown}"


def _given(ctx, name) -> bool:
    """Return True if an option differs from its default, or was given on the command line."""
    source = ctx.get_parameter_source(name)
    if source is None or source.name in ("DEFAULT", "COMMANDLINE"):
        return source is not None and source.name == "COMMANDLINE"
    default = next(param.default for param in ctx.command.params if param.name == name)
    return str(ctx.params[name]) != str(default)


def _labels(options) -> dict | None:
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


def _potential(options):
    from ..atoms import EDNNPotential, PotentialTrainer

    params: dict[str, Any] = {"max_epochs": options.epochs, "max_seconds": options.max_seconds}
    if options.epochs is None and options.max_seconds is None:
        params["max_seconds"] = 600.0
    if options.lr is not None:
        params["learning_rate"] = options.lr
    if options.device is not None:
        from ..atoms._atomic_networks import device_of

        params["device"] = device_of(options.device)
    if options.early_stopping is not None:
        params |= {
            "early_stopping": True, "patience": options.early_stopping,
            "validation_fraction": _VALIDATION,
        }  # fmt: skip
    checkpoint = options.checkpoint
    start = None if options.start is None else _start(options)
    n_members = (options.members or 1) if start is None else start.n_members
    if options.recorder is not None:
        seconds = params["max_seconds"]
        params["callback"] = options.recorder.callback(
            max_epochs=params["max_epochs"],
            max_seconds=None if seconds is None else seconds / n_members,
            n_members=n_members,
        )
        checkpoint = checkpoint or options.recorder.path(_runs.CHECKPOINT)
    trainer = PotentialTrainer(**params)
    settings = {
        "trainer": trainer, "max_epochs": None, "max_seconds": None, "labels": _labels(options),
        "checkpoint": checkpoint, "random_state": options.seed,
        "verbose": 0 if options.quiet or options.as_json else 1,
    }  # fmt: skip
    if start is not None:
        return start.set_params(**settings, warm_start=True)
    settings["n_members"] = n_members
    if options.cutoff is not None:
        settings["cutoff"] = options.cutoff
    name = "spectrum" if options.model == "auto" else options.model
    settings |= {"context": options.averages, "repulsion": options.repulsion}
    return EDNNPotential(name, **settings)


def _start(options):
    """Return the potential from which a fit continues."""
    from ..atoms import EDNNPotential
    from ..files import load

    potential = load(options.start)
    if not isinstance(potential, EDNNPotential):
        raise ValueError(f"--start must be a file of a potential; {options.start} is not.")
    if options.members not in (None, potential.n_members):
        raise ValueError(
            f"--members must be that of --start {options.start}, which is {potential.n_members}; "
            f"got {options.members}."
        )
    return potential


@contextmanager
def _placed_warnings(places):
    """Add the file to warnings that name a structure by its index among some."""
    from ..structures._files import with_place

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        plain = warnings.showwarning

        def show(message, category, *rest, **more):
            plain(category(with_place(str(message), places)), category, *rest, **more)

        warnings.showwarning = show
        yield


def _check_test(structures, places, labels) -> None:
    """Warn of labels that the structures for testing lack.

    Raises
    ------
    TileModelError
        If they have none.
    """
    from ..atoms._potential_data import labelled
    from ..structures._files import naming

    try:
        with naming(places):
            notes = labelled(structures, None, None, None, labels).notes
    except TileModelError as error:
        raise TileModelError(
            f"Structures held out for testing: {error} Use --test-fraction 0 to fit without them."
        ) from error
    with _placed_warnings(places):
        for note in notes:
            warnings.warn(f"Structures held out for testing: {note}", DataWarning, stacklevel=2)


def _note_near(taken, key) -> None:
    """Say if structures held out are nearly equal to some that are learned from."""
    from ..atoms._near_duplicates import NEAR, near_duplicates
    from ._wanted import note

    found, compared = near_duplicates(taken["test"], taken["train"])
    if not found:
        return
    instead = "with --group" if key is None else f"by another --group than {key}"
    note(
        f"{found} of {compared} structures held out are within {NEAR} Å of one to learn from, so "
        f"the errors of 'test' may be too small for new ones; hold related ones out {instead}"
    )


def _write_predictions(options, known, parts) -> None:
    """Write energies of the structures that are labelled with them."""
    rows = {
        which: (part.data.energies, part.predicted.energies, part.data.structures.sizes)
        for which, part in known.items()
    }
    places = {which: part.data.places for which, part in known.items()}
    _runs.write_predictions(options, rows, places, indices=parts)


def _write(ctx, options, potential, taken, known, groups, result) -> None:
    from .. import files as model_files
    from . import _config

    about = {
        "made by": "sk-ednn fit",
        "errors": {which: result[which] for which in taken},
        "verdict": result["verdict"],
        "labels": {kind: result["labels"][kind] for kind in ("energy", "forces", "stress")},
        **({"interrupted": result["interrupted"]} if "interrupted" in result else {}),
    }
    result["sha256"] = model_files.save(potential, options.output, unit="eV", about=about)
    if options.report is not None:
        from ..report import potential_report
        from ..report._potentials import HELD_BACK, TRAINING

        about = about_fit(ctx, options, result, result["seconds"])
        names = {"train": TRAINING, "test": HELD_BACK}
        page = potential_report(
            potential, taken["train"], test=taken.get("test"), about=about,
            names={names[which]: part.data.places for which, part in known.items()},
            groups=None if groups is None else {names[k]: each for k, each in groups.items()},
        )  # fmt: skip
        page.save(options.report)
        result["report"] = str(options.report)
    if options.errors is not None:
        from ..atoms._structure_errors import write_structure_errors

        write_structure_errors(options.errors, known, groups, options.group or "group")
        result["written"] = str(options.errors)
    _config.write(ctx, options.save_config)
