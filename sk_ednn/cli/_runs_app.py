"""The commands of ``sk-ednn runs``: list, show, compare, repeat, resume, stop, tag, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ._errors import one_line_errors

# Nothing heavy is imported here: what a command needs, it imports when it runs.

app = typer.Typer(
    name="runs",
    help="List, compare and repeat runs that were recorded with --run.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="A folder of runs.")]
OneRun = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The folder of a run, such as runs/20261129-014512-3f2a; a beginning or an end of "
        "its id is enough (runs/3f2a), and runs/last is the newest.",
    ),
]
SeveralRuns = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

_LOG_LINES = 15


@app.command("list")
def list_runs(
    folder: Folder = Path("runs"),
    kind: Annotated[str | None, typer.Option(help="Only runs of this kind, such as fit.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="Only runs that are running, finished, failed, stopped or killed."),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    as_json: Json = False,
):
    """List the runs of a folder, the newest first."""
    with one_line_errors():
        from ..runs import RunFolder

        rows = [
            _row(run)
            for run in RunFolder(folder).runs()
            if (kind is None or run.kind == kind)
            and (status is None or run.status == status)
            and (tag is None or tag in run.tags)
        ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo(f"no runs in {folder}")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    titles = ["run", "kind", "status", "time", "done", "tags", "result"]
    cells = [_cells(row) for row in rows]
    if not any(row["tags"] for row in rows):
        titles.remove("tags")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=title not in ("tags", "result"))
    for each in cells:
        table.add_row(*(Text(_plain(each[title])) for title in titles))
    Console().print(table)


def _cells(row) -> dict[str, str]:
    """Return the text of each column; for a run without a result, its last message."""
    done = "" if row["progress"] is None else f"{100 * row['progress']:.0f} %"
    return {
        "run": row["id"], "kind": row["kind"], "status": row["status"],
        "time": _time(row["seconds"]), "done": done, "tags": ", ".join(row["tags"]),
        "result": row["summary"] or row["message"],
    }  # fmt: skip


@app.command()
def show(
    run: OneRun,
    log: Annotated[int, typer.Option(min=0, help="Lines of the log from its end.")] = _LOG_LINES,
    as_json: Json = False,
):
    """Show settings, data, last numbers, result, files and log of a run."""
    with one_line_errors():
        record = _at(run)
        report = _report(record)
    if as_json:
        typer.echo(json.dumps({**report, "log": record.log(tail=log)}))
        return
    for name, value in report.items():
        if isinstance(value, dict):
            typer.echo(f"{name}:")
            for key, inner in value.items():
                typer.echo(f"  {_plain(key)}: {_plain(_short(inner))}")
        elif value not in (None, "", []):
            typer.echo(f"{name}: {_plain(_short(value))}")
    text = record.log(tail=log)
    if text:
        typer.echo("log:")
        for line in text.splitlines():
            typer.echo("  " + "".join(c if c.isprintable() else " " for c in line))


@app.command()
def compare(runs: SeveralRuns, as_json: Json = False):
    """Compare runs of one folder: settings that differ, and results."""
    with one_line_errors():
        from ..runs import RunFolder
        from ..runs._export import numbers_in

        records = [_at(run) for run in runs]
        if len({run.path.parent.resolve() for run in records}) > 1:
            raise ValueError("The runs must be in one folder.")
        comparison = RunFolder(records[0].path.parent).compare([run.id for run in records])
        results = {id: numbers_in(r or {}) for id, r in comparison.results.items()}
    if as_json:
        typer.echo(
            json.dumps({"ids": comparison.ids, "settings": comparison.settings, "results": results})
        )
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("", *comparison.ids):
        table.add_column(title, no_wrap=True)
    for name, values in comparison.settings.items():
        table.add_row(Text(_plain(name)), *(Text(_plain(_short(value))) for value in values))
    table.add_section()
    for name in dict.fromkeys(name for each in results.values() for name in each):
        values = [results[id].get(name) for id in comparison.ids]
        table.add_row(
            Text(_plain(name)), *("" if value is None else f"{value:.4g}" for value in values)
        )
    Console().print(table)
    typer.echo(f"{len(comparison.same)} settings are the same")


@app.command()
def repeat(
    run: OneRun,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for the new run. Default: that of the old one.")
    ] = None,
    as_json: Json = False,
):
    """Run the command of a run again; exit with 1 if the results differ."""
    with one_line_errors():
        from ..runs import repeat as again

        repetition = again(_at(run), folder)
    if as_json:
        report = {
            "run": repetition.run.id,
            "same": repetition.same,
            "differences": repetition.differences,
        }
        typer.echo(json.dumps(report))
    else:
        typer.echo(f"run {repetition.run.id}: {'the same' if repetition.same else 'NOT the same'}")
        for difference in repetition.differences:
            typer.echo(f"  {_plain(difference)}")
    if not repetition.same:
        raise typer.Exit(1)


@app.command()
def resume(run: OneRun):
    """Continue a run that was killed, stopped or failed, in its own process."""
    with one_line_errors():
        from ..runs import resume as go_on

        resumed = go_on(_at(run))
    typer.echo(f"run {resumed.id} continues; follow it by sk-ednn runs show {resumed.path}")


@app.command()
def stop(run: OneRun):
    """Stop a run, and keep its results so far, such as the best epoch."""
    _tell(run, "stop")


@app.command()
def pause(run: OneRun):
    """Pause a training after its epoch, or a search after its tasks."""
    _tell(run, "pause")


@app.command()
def unpause(run: OneRun):
    """Continue a paused run."""
    _tell(run, "resume")


@app.command()
def tag(
    run: OneRun,
    tags: Annotated[list[str] | None, typer.Argument(help="Tags to add.")] = None,
    note: Annotated[str | None, typer.Option(help="A note, which replaces the old one.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to remove.")] = None,
):
    """Add tags and a note to a run."""
    with one_line_errors():
        record = _at(run)
        record.tag(*(tags or ()), note=note, remove=remove or ())
    typer.echo(f"{record.id}: {', '.join(map(_plain, record.tags)) or 'no tags'}")


@app.command()
def export(
    folder: Folder,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File: .csv for a table, .zip for all files."),
    ] = None,
    to: Annotated[str | None, typer.Option(help="mlflow: copy runs to MLflow (an extra).")] = None,
    uri: Annotated[
        str | None, typer.Option(help="Address of MLflow, such as sqlite:///mlflow.db.")
    ] = None,
    experiment: Annotated[str, typer.Option(help="Name of the experiment in MLflow.")] = "sk-ednn",
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Id of a run; may be given several times.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
):
    """Export runs: a table, an archive, or to MLflow."""
    from ._paths import may_replace

    with one_line_errors():
        from .. import runs as package

        listed = package.RunFolder(folder)
        chosen = [listed[id] for id in only] if only else listed.runs()
        if to not in (None, "mlflow"):
            raise ValueError(f"--to must be mlflow, got {to!r}.")
        if (to is None) == (output is None):
            raise ValueError("Give either --output FILE.csv or FILE.zip, or --to mlflow.")
        if output is None:
            ids = package.export_mlflow(chosen, tracking_uri=uri, experiment=experiment)
            typer.echo(f"{len(ids)} runs in experiment {experiment} of MLflow")
            return
        if output.suffix not in (".csv", ".zip"):
            raise ValueError(f"--output must end in .csv or .zip, got {output}.")
        goal = output.resolve()
        if any(run.path.resolve() in goal.parents for run in chosen):
            raise ValueError(
                f"--output {output} is in the folder of a run that is exported. Choose a path "
                "outside of it."
            )
        may_replace("--output", output, force)
        write = package.export_csv if output.suffix == ".csv" else package.export_zip
        write(chosen, output)
    typer.echo(f"{len(chosen)} runs written to {output}")


# --- parts ------------------------------------------------------------------------------------


def _at(path):
    """Return the run at a path, whose name may be shortened."""
    from ..runs import RunFolder

    folder = RunFolder(path.parent)
    if path.name == "last":
        runs = folder.runs()
        if not runs:
            raise ValueError(f"There are no runs in {path.parent}.")
        return runs[0]
    try:
        return folder[path.name]
    except KeyError as error:
        raise ValueError(error.args[0]) from None


def _tell(path, command):
    with one_line_errors():
        run = _at(path)
        run.command(command)
    typer.echo(f"{run.id}: {command}")


def _row(run) -> dict[str, Any]:
    return {
        "id": run.id, "kind": run.kind, "status": run.status, "message": run.message,
        "started": run.started, "seconds": round(run.duration, 3), "progress": run.progress,
        "summary": summary(run.result), "tags": run.tags,
    }  # fmt: skip


def summary(result) -> str:
    """Return the most important number of a result, in a few words."""
    result = result or {}
    part = result.get("test") or result.get("errors") or result.get("train")
    if isinstance(part, list) and part:
        part = part[0]
    if isinstance(part, dict):
        if "energy_mae" in part:
            return f"energy {part['energy_mae']:.3g} meV/atom"
        if "rmse" in part:
            return f"rmse {part['rmse']:.3g}"
    if isinstance(result.get("error"), (int, float)):
        return f"off by {result['error']:.3g}"
    if isinstance(result.get("energy"), (int, float)):
        return f"{result['energy']:.4f} eV/atom"
    if isinstance(result.get("n_predicted"), int):
        return f"{result['n_predicted']} predicted"
    return ""


def _report(run) -> dict[str, Any]:
    import math

    columns = run.metrics()
    last = {}
    for name, values in columns.items():
        kept = [v for v in values if (isinstance(v, str) and v) or (
            not isinstance(v, str) and math.isfinite(v))]  # fmt: skip
        if kept:
            last[name] = kept[-1] if isinstance(kept[-1], str) else float(kept[-1])
    return {
        "id": run.id, "kind": run.kind, "status": run.status, "message": run.message,
        "started": run.started, "seconds": round(run.duration, 3), "progress": run.progress,
        "tags": run.tags, "note": run.note, "argv": run.argv,
        "settings": {k: v for k, v in run.settings.items() if v is not None},
        "data": run.data, "last numbers": last, "result": run.result or {}, "files": run.files(),
    }  # fmt: skip


def _time(seconds) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def _short(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]} ..."


def _plain(text) -> str:
    """Return text that a terminal shows as it is."""
    from ._inspect import printable

    return printable(str(text))
