"""The commands of ``sk-ednn search``, with settings from a YAML file."""

from __future__ import annotations

import csv
import json
import threading
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from .._utils.optional import needing
from .._utils.settings import load_plain
from .._utils.wording import with_article
from ._errors import one_line_errors
from ._runs import RunFolder, keep_results, recorded

# No heavy imports here: each command imports what it needs when it runs.

app = typer.Typer(
    help="Find structures of low energy with few calls of a reference method.",
    no_args_is_help=True,
)

Settings = Annotated[
    Path, typer.Argument(help="YAML file of the search: composition, store, labeller, ...")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

# The store of a search that was started with --fresh, in the folder of its run.
STORE = "search.db"
# s between two looks at the labels of a search that is recorded.
_LOOK_SECONDS = 1.0
_NEEDED = ("composition", "store", "labeller")
_OF_SEARCH = (
    "kind", "volume", "substrate", "thickness", "starts", "initial_structures", "n_initial",
    "retrain_every",
    "candidates_per_label", "pool_size", "max_doubt", "max_steps", "patience", "random_state",
)  # fmt: skip
_OF_PAGE = ("report",)
_OF_RUN = ("n_labels", "n_workers", "target", "max_seconds")
_OF_COMMAND = (
    "command", "input", "output", "template", "input_format", "output_format", "converged",
)  # fmt: skip


@app.command("run")
def run_search(
    ctx: typer.Context,
    settings: Settings,
    n_labels: Annotated[
        int | None,
        typer.Option(min=1, help="Total number of calls of the labeller, earlier runs included."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Start again, with a store in the folder of the run instead of the one that the "
            "settings name. Needs --run.",
        ),
    ] = False,
    run: RunFolder = None,
    as_json: Json = False,
):
    """Start a search, or resume one."""
    path = None

    def tell(command):
        """Pass a command for the run on to its search."""
        from ..search import SearchStore

        if path is not None and path.exists():
            with SearchStore(path) as store:
                store.command(command)

    with one_line_errors(), recorded(ctx, "search", interrupt=False, on_command=tell) as options:
        params = _read(settings)
        if fresh and options.recorder is None:
            raise ValueError("--fresh needs --run FOLDER, where the new store is written.")
        path = options.recorder.path(STORE) if fresh else _store_path(params, settings)
        given = {name: params[name] for name in _OF_RUN if name in params}
        if n_labels is not None:
            given["n_labels"] = n_labels
        if "n_labels" not in given:
            raise ValueError(f"Set n_labels in {settings}, or pass --n-labels.")
        page = params.pop("report", None)
        _check_page(page, "report")
        search = _search_of(params, settings, path)
        go = search.resume if path.exists() else search.run
        with _naming_damage(path):
            with _followed(path, options.recorder, given["n_labels"]):
                result = go(given.pop("n_labels"), **given)
            if page is not None:
                _write_page(path, settings.parent / page)
            if options.recorder is not None:
                options.recorder.keep(settings)
                _write_page(path, options.recorder.path("report.html"))
                _write_labels(path, options.recorder.path("labels.csv"))
        _show(result, as_json, options)


def _show(result, as_json, options) -> None:
    energy = None if result.structure is None else result.energy
    report = {"energy": energy, "n_labels": result.n_labels, "n_failed": result.n_failed,
              "reason": result.reason}  # fmt: skip
    if energy is None and result.n_failed and result.reason != "stopped":
        raise ValueError(
            f"All {result.n_failed} labels failed, {_most_frequent(result)} When it is mended, "
            "`sk-ednn search retry` and `run` with the same settings make them again."
        )
    keep_results(options, report, (), stopped="stopped" if result.reason == "stopped" else None)
    if as_json:
        typer.echo(json.dumps(report))
        return
    lowest = "no label succeeded" if energy is None else f"lowest {energy:.4f} eV per atom"
    typer.echo(f"{lowest}; {result.n_labels} labels; stopped by: {result.reason}")
    if result.n_failed:
        typer.echo(
            f"{result.n_failed} labels failed, {_most_frequent(result)} `sk-ednn search retry` and "
            "`run` make them again."
        )


def _most_frequent(result) -> str:
    """Return the most frequent reason of failures as the end of a sentence."""
    why, n = next(iter(result.failures.items()))
    why = " ".join(why.split()).rstrip(".")
    return f"{n} of them by: {why}."


@contextmanager
def _followed(path, recorder, n_labels):
    """Log the lowest energy after each label to a run, if the search is recorded."""
    if recorder is None:
        yield
        return
    over, logged = threading.Event(), 0

    def follow():
        nonlocal logged
        from ..search import SearchStore

        is_last = False
        while not is_last:
            is_last = over.wait(_LOOK_SECONDS)
            if not path.exists():
                continue
            with SearchStore(path) as store:
                counts = store.counts()
                n = counts["labelled"] + counts["failed"]
                if n == logged:
                    continue
                labels = [row for row in store.structures() if row["label"] is not None]
            energies = [row["label"].energy / len(row["structure"].numbers) for row in labels]
            lowest = {"lowest": min(energies)} if energies else {}
            recorder.log(n, **lowest, failed=counts["failed"], progress=min(1.0, n / n_labels))
            logged = n

    thread = threading.Thread(target=follow, name="sk_ednn search", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _write_page(store_path, output) -> None:
    from ..search import SearchStore, search_report

    with SearchStore(store_path) as store:
        search_report(store).save(output)


def _write_labels(store_path, output) -> None:
    """Write a table of the labels of a search, in the order of their requests."""
    from .._utils.writing import replacing
    from ..search import SearchStore

    with SearchStore(store_path) as store, replacing(output, "w", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["structure", "atoms", "energy_per_atom", "state"])
        for row in store.structures():
            n_atoms, label = len(row["structure"].numbers), row["label"]
            energy = "" if label is None else repr(float(label.energy) / n_atoms)
            table.writerow([row["id"], n_atoms, energy, row["state"]])


@app.command()
def status(settings: Settings, as_json: Json = False):
    """Print the progress of a search, running or not."""
    with one_line_errors(), _opened(settings) as store:
        rows = store.structures()
        labelled = [row for row in rows if row["label"] is not None]
        energies = [row["label"].energy / len(row["structure"].numbers) for row in labelled]
        report = {
            **store.counts(),
            "lowest": min(energies, default=None),
            "models": len(store.models()),
            "failures": [row["why"] for row in rows if row["state"] == "failed"],
        }
    if as_json:
        typer.echo(json.dumps(report))
        return
    for name, value in report.items():
        if name != "failures":
            typer.echo(f"{name}: {value}")
    for why in report["failures"]:
        typer.echo(f"failed: {why}")


@app.command()
def pause(settings: Settings):
    """Pause a running search: it starts no tasks until `resume`."""
    _tell(settings, "pause")


@app.command()
def resume(settings: Settings):
    """Resume a paused search."""
    _tell(settings, "resume")


@app.command()
def stop(settings: Settings):
    """Stop a running search after its current tasks."""
    _tell(settings, "stop")


@app.command()
def retry(settings: Settings):
    """Request failed labels again; an ended search does so when it continues."""
    _tell(settings, "retry")


@app.command()
def export(
    settings: Settings,
    output: Annotated[Path, typer.Argument(help="New file, such as .extxyz, or .db of ASE.")],
):
    """Write the labelled structures of a search, with energies, forces and stress."""
    with one_line_errors(), _opened(settings) as store:
        from ..search import export as write

        n = write(store, output)
    typer.echo(f"{n} structures in {output}")


@app.command()
def report(
    settings: Settings,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.")] = Path(
        "search.html"
    ),
):
    """Write a page on a search, which may be running: energies, hull, structures, timings."""
    with one_line_errors(), _opened(settings) as store:
        from ..search import search_report

        _check_page(output, "--output")

        search_report(store).save(output)
    typer.echo(f"wrote {output}")


# --- the file of settings -----------------------------------------------------------------------


def _read(path) -> dict:
    from ._files import check_readable

    check_readable(path)
    with needing("Files of settings"):
        import yaml
    try:
        params = load_plain(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(params, dict):
        raise ValueError(f"{path} must contain settings by name, such as 'store: search.db'.")
    _check_names(params, (*_NEEDED, *_OF_SEARCH, *_OF_RUN, *_OF_PAGE), path)
    missing = [name for name in _NEEDED if name not in params]
    if missing:
        raise ValueError(f"{path} must also contain {', '.join(missing)}.")
    if not isinstance(params["labeller"], dict):
        raise ValueError(f"labeller in {path} must contain settings by name.")
    if not isinstance(params["store"], str):
        raise ValueError(f"store in {path} must be the name of a file, got {params['store']!r}.")
    if not isinstance(params["labeller"].get("parameters", {}), dict):
        raise ValueError(f"labeller in {path}: parameters must contain values by name.")
    return params


def _check_page(path, name) -> None:
    """Raise if a page would have the name of a store, of settings or of another kind of file."""
    if path is not None and Path(path).suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"{name} must end in .html, got {path}.")


def _check_names(given, valid, where):
    unknown = sorted(set(map(str, given)) - set(valid))
    if unknown:
        raise ValueError(
            f"{where} contains unknown settings: {', '.join(unknown)}. Valid are "
            f"{', '.join(valid)}."
        )


def _store_path(params, settings) -> Path:
    return settings.parent / params["store"]


def _search_of(params, settings, store):
    from ..search import CalculatorLabeller, CommandLabeller, GuardedLabeller, StructureSearch

    labeller = dict(params["labeller"])
    time_limit = labeller.pop("time_limit", None)
    if "calculator" in labeller:
        _check_names(labeller, ("calculator", "parameters", "time_limit"), "labeller")
        module, _, name = str(labeller["calculator"]).rpartition(".")
        try:
            calculator = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"Calculator {labeller['calculator']!r} not found: {error}. Use its full name, "
                "such as ase.calculators.emt.EMT."
            ) from error
        if not callable(calculator):
            kind = with_article(type(calculator).__name__)
            raise ValueError(
                f"Calculator {labeller['calculator']!r} is {kind}, "
                "not a class. Use the full name of a class, such as ase.calculators.emt.EMT."
            )
        method = CalculatorLabeller(partial(calculator, **labeller.get("parameters", {})))
    else:
        _check_names(labeller, (*_OF_COMMAND, "calculator", "time_limit"), "labeller")
        parts = [labeller.pop(name, None) for name in ("command", "input", "output")]
        if None in parts:
            raise ValueError("labeller must contain calculator, or command, input and output.")
        method = CommandLabeller(*parts, **labeller)
    guarded = GuardedLabeller(method, time_limit=time_limit)
    from ..structures import read_structures

    if "substrate" in params:
        params = {**params, "substrate": read_structures(settings.parent / params["substrate"])[-1]}
    if "initial_structures" in params:
        path = settings.parent / params["initial_structures"]
        params = {**params, "initial_structures": read_structures(path)}
    return StructureSearch(
        params["composition"],
        guarded,
        store=store,
        **{name: params[name] for name in _OF_SEARCH if name in params},
    )


@contextmanager
def _opened(settings):
    path = _store_path(_read(settings), settings)
    if not path.exists():
        raise ValueError(f"{path} does not exist. Start the search with `sk-ednn search run`.")
    from ..search import SearchStore

    with _naming_damage(path), SearchStore(path) as store:
        yield store


@contextmanager
def _naming_damage(path):
    """Name the store in errors of SQLite on damaged parts, which are found when they are read."""
    import sqlite3

    try:
        yield
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"{path} cannot be read or written: {error}. Give another path, or a copy from a "
            "backup."
        ) from error


def _tell(settings, command):
    with one_line_errors(), _opened(settings) as store:
        store.command(command)
