"""Fits of potentials on the command line, for structures with forces."""

from __future__ import annotations

import sys
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

# Networks of atoms by name; the names are part of the help.
POTENTIALS = ("spectrum", "symmetry-functions", "chebyshev", "deep-pot")
# Options of models of images.
_OF_IMAGES = ("spacing", "width", "plane", "adjust", "forces", "focus", "context", "boundary",
              "remainder", "baseline")  # fmt: skip
# Options of potentials.
_OF_ATOMS = ("cutoff", "averages", "max_seconds", "members", "labels", "start", "clock")
# Share of the structures for early stopping.
_VALIDATION = 0.1
_NEEDED = ("torch", "skorch", "vesin", "sphericart")
_TABLE = (
    ("energy (meV/atom)", "energy"), ("forces (meV/Å)", "force"), ("stress (GPa)", "stress")
)  # fmt: skip


def may_be(ctx, asked) -> bool:
    """Return True if the options allow a potential; the files may decide then."""
    if asked.images or asked.targets is not None:
        return False
    if asked.model in POTENTIALS:
        return True
    return asked.model == "auto" and not any(_given(ctx, name) for name in _OF_IMAGES)


def check(ctx, asked) -> None:
    """Raise if options contradict each other.

    Raises
    ------
    ValueError
    """
    wanted = [name for name in _OF_ATOMS if getattr(asked, name) is not None]
    if wanted and not may_be(ctx, asked):
        raise ValueError(
            f"--{wanted[0].replace('_', '-')} is for potentials (--model {', '.join(POTENTIALS)}), "
            "which --images, TARGETS and other models exclude."
        )
    if asked.images and asked.model in POTENTIALS:
        raise ValueError(f"--images is for models of fields, but {asked.model} is a potential.")
    wrong = [name for name in _OF_IMAGES if asked.model in POTENTIALS and _given(ctx, name)]
    if wrong:
        raise ValueError(f"--{wrong[0]} is for --images, but {asked.model} is a potential.")
    _labels(asked)


def wants(ctx, asked, read) -> bool:
    """Return True if a potential is fitted: on request, or if structures have forces.

    Parameters
    ----------
    ctx : typer.Context
    asked : namespace
    read : Read
        The structures.
    """
    if not may_be(ctx, asked):
        return False
    if asked.model in POTENTIALS or any(getattr(asked, name) is not None for name in _OF_ATOMS):
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


def run(ctx, asked, read, say) -> dict[str, Any]:
    """Fit a potential, measure errors on held-out structures, and write it.

    Parameters
    ----------
    ctx : typer.Context
    asked : namespace
        The parameters of the command, by name.
    read : Read
    say : function

    Returns
    -------
    dict
        The output of ``--json``.
    """
    from ..atoms._potential_committee import checkpoint_of
    from ..atoms._potential_data import summary
    from ..structures._files import naming

    replaced = may_replace("--output", asked.output, asked.force)
    potential = _potential(asked)
    import numpy as np

    order = np.random.default_rng(asked.seed).permutation(len(read.structures))
    test, train = np.split(order, [round(asked.test_fraction * len(order))])
    parts = {"train": np.sort(train), "test": np.sort(test)}
    taken = {
        which: [read.structures[k] for k in some] for which, some in parts.items() if len(some)
    }
    places = [read.places[k] for k in parts["train"]]
    if len(test):
        # Before the training, which an error would cost.
        test_places = [read.places[k] for k in parts["test"]]
        _check_test(taken["test"], test_places, potential.labels)
    _runs.log_stage(asked, "fit")
    start = time.perf_counter()
    with _placed_warnings(places):
        first = checkpoint_of(asked.checkpoint, 0, potential.n_members)
        bounded = potential.trainer.max_seconds is not None
        with (
            Interrupts(first).watched() as interrupts,
            naming(places),
            _runs.kept_clock(asked, bounded),
        ):
            potential.fit(taken["train"])
            if asked.recorder is not None:
                asked.recorder.finishing()
    seconds = time.perf_counter() - start
    kept = _kept(interrupts, potential, asked) if interrupts.seen else None
    say(f"data: {summary(potential.labels_)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # printed before
        errors = {which: potential.errors(some) for which, some in taken.items()}
    found: dict[str, Any] = {
        "model": potential.model,
        "strategy": "PotentialTrainer",
        **({} if kept is None else {"interrupted": kept}),
        "n_train": len(taken["train"]),
        "n_test": len(taken.get("test", ())),
        "epochs": len(potential.history_),
        "seconds": round(seconds, 3),
        "labels": potential.labels_,
        "output": str(asked.output),
        **errors,
    }
    _runs.forget(asked, potential, potential.trainer)
    _runs.log_stage(asked, "measure")
    _write(ctx, asked, potential, taken, found)
    _write_predictions(asked, potential, taken)
    _runs.keep_results(asked, found, stopped=kept)
    found["replaced"] = replaced
    return found


def show(found) -> None:
    """Print the result of `run`."""
    show_errors({which: found[which] for which in ("train", "test") if which in found})
    instead = ", replacing the existing file" if found["replaced"] else ""
    typer.echo(
        f"{found['model']}, {found['epochs']} epochs on {found['n_train']} structures in "
        f"{found['seconds']:.3g} s; written to {found['output']}{instead}"
    )
    if "interrupted" in found:
        typer.echo(f"{found['interrupted']} (also noted in the file)")
    if "report" in found:
        typer.echo(f"report written to {found['report']}")


def show_errors(errors) -> None:
    """Print a table of errors of energies, forces and stresses.

    Parameters
    ----------
    errors : dict of str to dict
        Errors by part of the data.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table("errors", "mean", "median", "rmse")
    for which, values in errors.items():
        for title, kind in _TABLE:
            if f"{kind}_mae" in values:
                median = values.get(f"{kind}_median")
                table.add_row(
                    f"{which}, {title}", f"{values[f'{kind}_mae']:.4g}",
                    "" if median is None else f"{median:.4g}", f"{values[f'{kind}_rmse']:.4g}",
                )  # fmt: skip
    Console().print(table)


# --- parts ------------------------------------------------------------------------------------


def _given(ctx, name) -> bool:
    """Return True if an option differs from its default, or was given on the command line."""
    source = ctx.get_parameter_source(name)
    if source is None or source.name in ("DEFAULT", "COMMANDLINE"):
        return source is not None and source.name == "COMMANDLINE"
    default = next(param.default for param in ctx.command.params if param.name == name)
    return str(ctx.params[name]) != str(default)


def _labels(asked) -> dict | None:
    """Return the names of labels, from "energy=REF_energy,stress=none" and ``--energy``."""
    found: dict[str, str | None] = {} if asked.energy is None else {"energy": asked.energy}
    for part in (asked.labels or "").split(",") if asked.labels else ():
        kind, equals, name = part.partition("=")
        if not equals or kind.strip() not in ("energy", "forces", "stress"):
            raise ValueError(
                "--labels must be such as energy=REF_energy,forces=REF_forces,stress=none; got "
                f"{asked.labels!r}."
            )
        found[kind.strip()] = None if name.strip().lower() == "none" else name.strip()
    return found or None


def _potential(asked):
    from ..atoms import EDNNPotential, PotentialTrainer

    params: dict[str, Any] = {"max_epochs": asked.epochs, "max_seconds": asked.max_seconds}
    if asked.epochs is None and asked.max_seconds is None:
        params["max_seconds"] = 600.0
    if asked.lr is not None:
        params["learning_rate"] = asked.lr
    if asked.device is not None:
        from ..atoms._atomic_networks import device_of

        params["device"] = device_of(asked.device)
    if asked.early_stopping is not None:
        params |= {
            "early_stopping": True, "patience": asked.early_stopping,
            "validation_fraction": _VALIDATION,
        }  # fmt: skip
    checkpoint = asked.checkpoint
    start = None if asked.start is None else _start(asked)
    n_members = (asked.members or 1) if start is None else start.n_members
    if asked.recorder is not None:
        seconds = params["max_seconds"]
        params["callback"] = asked.recorder.callback(
            max_epochs=params["max_epochs"],
            max_seconds=None if seconds is None else seconds / n_members,
            n_members=n_members,
        )
        checkpoint = checkpoint or asked.recorder.path(_runs.CHECKPOINT)
    trainer = PotentialTrainer(**params)
    own = {
        "trainer": trainer, "max_epochs": None, "max_seconds": None, "labels": _labels(asked),
        "checkpoint": checkpoint, "random_state": asked.seed,
        "verbose": 0 if asked.quiet or asked.as_json else 1,
    }  # fmt: skip
    if start is not None:
        return start.set_params(**own, warm_start=True)
    own["n_members"] = n_members
    if asked.cutoff is not None:
        own["cutoff"] = asked.cutoff
    name = "spectrum" if asked.model == "auto" else asked.model
    return EDNNPotential(name, context=asked.averages, **own)


def _start(asked):
    """Return the potential from which a fit continues."""
    from ..atoms import EDNNPotential
    from ..files import load

    potential = load(asked.start)
    if not isinstance(potential, EDNNPotential):
        raise ValueError(f"--start must be a file of a potential; {asked.start} is not.")
    if asked.members not in (None, potential.n_members):
        raise ValueError(
            f"--members must be that of --start {asked.start}, which is {potential.n_members}; "
            f"got {asked.members}."
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


def _kept(interrupts, potential, asked) -> str:
    """Return a description of an interrupted training, or exit if it is not kept."""
    if not hasattr(potential, "potential_"):
        interrupts.end()
    done = f"interrupted after {len(potential.history_)} epochs"
    keep = asked.keep_on_interrupt or (asked.recorder is not None and asked.recorder.stop_requested)
    if not keep and sys.stdin.isatty() and sys.stderr.isatty():
        keep = typer.confirm(f"{done}. Keep the network as it is?", err=True)
    if not keep:
        interrupts.end()
    return done


def _write_predictions(asked, potential, taken) -> None:
    """Write energies of the structures that are labelled with them."""
    if asked.recorder is None:
        return
    from ..atoms._potential_data import labelled

    rows = {}
    for which, structures in taken.items():
        true = labelled(structures, None, None, None, potential.labels).energies
        sizes = [len(each) for each in structures]
        rows[which] = true, potential.predict(structures), sizes
    _runs.write_predictions(asked, rows)


def _write(ctx, asked, potential, taken, found) -> None:
    from .. import files as model_files
    from . import _config

    about = {
        "made by": "sk-ednn fit",
        "errors": {which: found[which] for which in taken},
        "labels": {kind: found["labels"][kind] for kind in ("energy", "forces", "stress")},
        **({"interrupted": found["interrupted"]} if "interrupted" in found else {}),
    }
    found["sha256"] = model_files.save(potential, asked.output, unit="eV", about=about)
    if asked.report is not None:
        from ..report import potential_report

        about = {
            "command": _config.command_line(ctx),
            "model file": str(asked.output),
            "sha256": found["sha256"],
            "time of the fit": f"{found['seconds']:.3g} s",
        }
        page = potential_report(potential, taken["train"], test=taken.get("test"), about=about)
        page.save(asked.report)
        found["report"] = str(asked.report)
    _config.write(ctx, asked.save_config)
