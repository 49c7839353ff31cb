"""The command ``tile``: the tiles of a field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from .._utils.optional import needing
from .._utils.writing import replacing
from ._files import check_array_file
from ._inputs import note, read_fields, tiling_of
from ._paths import check_paths

_PICTURES = {".png", ".pdf", ".svg"}


def run(options) -> dict[str, Any]:
    """Return the tiles of a field, and draw them on request.

    Parameters
    ----------
    options : namespace
        The parameters of the command, by name.
    """
    check_array_file(options.fields)
    check_paths(options)
    if not (options.quiet or options.as_json):
        typer.echo(f"reading {options.fields}", err=True)
    tiling = tiling_of(
        options.focus, options.context, options.boundary, options.channel_axis, options.remainder
    )
    X = read_fields(options.fields, field_ndim="all" if options.single else None)
    if X.ndim == 2:
        note(
            f"{options.fields} is read as {len(X)} fields with one axis. Use --single for one "
            f"field of shape {X.shape}."
        )
    report = cut(tiling, X, options.sample)
    if options.output is not None:
        draw_cut(tiling, X, options.sample, options.output)
        report["output"] = str(options.output)
    return report


def cut(tiling, X, sample) -> dict[str, Any]:
    """Return the tiles of a field, and the sizes that the focus allows."""
    from ..tiling._windows import legal_focuses

    fields = tiling.check(X)
    _require_sample(X, sample)
    shape = fields.stacks[0].values.shape[1:]
    tile_shape, grid = tiling.tile_shape(shape), tiling.tile_grid(shape)
    focus = tiling.focus_shape(tile_shape)
    lengths = [n * f for n, f in zip(grid, focus, strict=True)]
    n_tiles = 1
    for n in grid:
        n_tiles *= n
    return {
        "fields": f"{len(X)} of shape {shape}",
        "focus": str(focus),
        "tiles": f"{n_tiles} of shape {tile_shape}, {' x '.join(map(str, grid))}",
        "sizes": "; ".join(
            f"axis {axis}: multiples of {f}; {n} sites allow a focus of {legal_focuses(n)}"
            for axis, (n, f) in enumerate(zip(lengths, focus, strict=True))
        ),
    }


def draw_cut(tiling, X, sample, output: Path) -> None:
    """Draw the tiles of a field to a file.

    Raises
    ------
    ValueError
        If the file has another format, or the field is not two-dimensional.
    MissingExtraError
        If matplotlib is not installed.
    """
    if output.suffix.lower() not in _PICTURES:
        raise ValueError(f"--output must end in {', '.join(sorted(_PICTURES))}, got {output}.")
    _require_sample(X, sample)
    with needing("Drawing"):
        from matplotlib.figure import Figure
    from ..inspection import TilingDisplay

    # Without pyplot, which would use the user's settings and display.
    axes = Figure(figsize=(5, 5), layout="constrained").subplots()
    TilingDisplay.from_tiling(tiling, X[sample : sample + 1], ax=axes)
    with replacing(output) as file:
        axes.figure.savefig(file, format=output.suffix[1:].lower(), dpi=150)


def _require_sample(X, sample):
    if not 0 <= sample < len(X):
        raise ValueError(f"--sample must be from 0 to {len(X) - 1}, got {sample}.")
