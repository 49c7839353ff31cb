"""Record a command as a run: the option ``--run``."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

from . import _config

# Nothing heavy is imported here: what is needed without --run stays as fast as it was.

RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="FOLDER",
        help="Record this run in a folder of runs: settings, data, log, metrics, files. "
        "`sk-ednn runs` lists them. A run in it that was killed or stopped continues.",
    ),
]

# Parameters that are files or folders to read, whose content a run depends on.
_DATA = (
    "fields", "targets", "pictures", "totals", "start", "model", "settings", "interval", "novelty",
)  # fmt: skip
# What a run has in its own folder, and what does not change it.
_WRITTEN = ("output", "report", "save_config", "checkpoint", "maps")
_NO_SETTINGS = ("run", "config", "save_config", "force", "as_json", "quiet")


@contextmanager
def recorded(ctx: typer.Context, kind, *, interrupt=True, on_command=None):
    """Record the commands within the block, if ``--run`` was given.

    Parameters
    ----------
    ctx : typer.Context
    kind : str
        Kind of the run.
    interrupt : bool, default=True
        Whether the command "stop" acts as Ctrl-C. Otherwise callbacks heed it.
    on_command : callable, default=None
        See `sk_ednn.runs.record`.

    Yields
    ------
    options : namespace
        The parameters of the command by name, and ``recorder``, None without ``--run``.
    """
    options = SimpleNamespace(**ctx.params, recorder=None)
    if options.run is None:
        yield options
        return
    from ..runs import record

    settings = {name: value for name, value in ctx.params.items() if name not in _NO_SETTINGS}
    data = {
        name: asked_for
        for name in _DATA
        if (asked_for := ctx.params.get(name)) is not None
        and not (kind == "fit" and name == "model")  # there it is a word
    }
    about = {"unit": getattr(options, "unit", None)}
    recorder = record(
        options.run, kind, settings=settings, data=data, argv=_config.arguments(ctx),
        about={
            **{key: value for key, value in about.items() if value is not None},
            "repeat": _config.arguments(ctx, without=_WRITTEN),
        },
        interrupt=interrupt, on_command=on_command,
    )  # fmt: skip
    try:
        with recorder:
            options.recorder = recorder
            if recorder.resumed and hasattr(options, "force"):
                options.force = True  # the files that are there are those of this run
            try:
                yield options
            except typer.Exit as end:
                if end.exit_code == 130:
                    recorder.finish(state="stopped", message="interrupted; nothing was written")
                raise
    finally:
        options.recorder = None


def place_output(ctx, options, name) -> None:
    """Write a file into the folder of the run, unless the command names another path.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
        Changed in place.
    name : str
        Name of the file.
    """
    if options.recorder is not None and not _config.is_given(ctx, "output"):
        options.output = options.recorder.path(name)


def place_report(options) -> None:
    """Add a report to a recorded fit, if matplotlib is installed."""
    from importlib.util import find_spec

    if (
        options.recorder is not None
        and options.report is None
        and find_spec("matplotlib") is not None
    ):
        options.report = options.recorder.path("report.html")


def following(solver, name, options):
    """Return a solver that reports the epochs of a network to the run, and saves a checkpoint.

    Parameters
    ----------
    solver : AbstractSolver or None
    name : str
        Name of the tile model.
    options : namespace
    """
    if options.recorder is None or name != "dense":
        return solver
    from ..solvers import GradientSolver

    solver = GradientSolver() if solver is None else solver
    params: dict[str, Any] = {"callback": options.recorder.callback(max_epochs=solver.max_epochs)}
    if solver.checkpoint is None:
        params["checkpoint"] = options.recorder.path(CHECKPOINT)
    return solver.set_params(**params)


CHECKPOINT = "training.ckpt"

ClockFile = Annotated[
    Path | None,
    typer.Option(
        "--clock",
        metavar="FILE",
        help="Take the times from the clock.npz of a recorded run, so that a training with a time "
        "limit takes the same steps. `sk-ednn runs repeat` passes it.",
    ),
]


@contextmanager
def kept_clock(options, bounded):
    """Keep the clock of a training with a time limit, or replay that of ``--clock``.

    Parameters
    ----------
    options : namespace
    bounded : bool
        Whether the training has a time limit.
    """
    from .._utils.clocks import kept_clocks
    from ..runs._run import CLOCK

    replayed = None if options.clock is None else _readings(options.clock)
    if replayed is None and (options.recorder is None or not bounded):
        yield
        return
    with kept_clocks(replayed) as clocks:
        yield
    if options.recorder is None:
        return
    readings = clocks.readings()
    if readings:
        from ._files import write_arrays

        write_arrays(options.recorder.path(CLOCK), readings)


def _readings(path) -> dict[str, Any]:
    """Return the readings of a file of clocks.

    Raises
    ------
    ValueError
        If it is not one.
    """
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            readings = {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"--clock must be the clock.npz of a recorded run; {path} cannot be read: {error}"
        ) from error
    for name, values in readings.items():
        if values.dtype != np.float64 or values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError(
                f"--clock must be the clock.npz of a recorded run; in {path}, {name} is of shape "
                f"{values.shape} and {values.dtype}."
            )
    return readings


def forget(options, *owners) -> None:
    """Remove the recorder from parameters of models, before they are written to a file."""
    if options.recorder is None:
        return
    for owner in owners:
        params = owner.get_params(deep=False) if hasattr(owner, "get_params") else {}
        if callable(params.get("callback")):
            owner.set_params(callback=None)
        if params.get("checkpoint") == options.recorder.path(CHECKPOINT):
            owner.set_params(checkpoint=None)


def log_stage(options, stage, **numbers) -> None:
    """Log the start of a stage, or its result."""
    if options.recorder is not None:
        options.recorder.log(stage=stage, **numbers)


def keep_results(options, result, names=("output", "report"), stopped=None) -> None:
    """End a run: its numbers, and copies of files that were written elsewhere.

    Parameters
    ----------
    options : namespace
    result : dict
        What ``--json`` prints.
    names : tuple of str
        Parameters that are files.
    stopped : str, default=None
        Description of the work that was kept although it was stopped.
    """
    recorder = options.recorder
    if recorder is None:
        return
    for name in names:
        path = getattr(options, name, None)
        if path is not None and Path(path).is_file() and Path(path).parent != recorder.folder:
            recorder.keep(path, "model.ednn" if Path(path).suffix == ".ednn" else None)
    if stopped is None:
        checkpoint = recorder.path(CHECKPOINT)
        for path in checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}"):
            path.unlink(missing_ok=True)  # of each member, if there are several
        recorder.finish(result)
    else:
        recorder.finish(result, state="stopped", message=stopped)


def write_predictions(options, rows, places=None, *, kind="structure", indices=None) -> None:
    """Write ``predictions.csv``: predictions for systems with known totals.

    Parameters
    ----------
    options : namespace
    rows : dict of str to (true, predicted, sizes)
        By the part of the data; arrays of shape (n_samples,) or (n_samples, n_outputs).
    places : dict of str to sequence of str, default=None
        File and index of each structure, or the name of each picture, by the part.
    kind : str, default="structure"
        Title of the column of places.
    indices : dict of str to sequence of int, default=None
        Index of each system among all that were read, by the part. None for those within the part.
    """
    if options.recorder is None:
        return
    import csv

    import numpy as np

    from .._utils.writing import replacing

    n_outputs = max(np.reshape(true, (len(true), -1)).shape[1] for true, _, _ in rows.values())
    ends = [""] if n_outputs == 1 else [f"_{k}" for k in range(n_outputs)]
    with replacing(options.recorder.path("predictions.csv"), "w", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        titles = [f"{w}{end}" for end in ends for w in ("true", "predicted")]
        table.writerow(["part", "index", "size", *titles, *([] if places is None else [kind])])
        for part, (true, predicted, sizes) in rows.items():
            true, predicted = (np.reshape(each, (len(each), -1)) for each in (true, predicted))
            which = range(len(true)) if indices is None else indices[part]
            for k, (index, size) in enumerate(zip(which, sizes, strict=True)):
                pairs = zip(true[k].tolist(), predicted[k].tolist(), strict=True)
                place = [] if places is None else [places[part][k]]
                numbers = [repr(v) for pair in pairs for v in pair]
                table.writerow([part, int(index), int(size), *numbers, *place])
