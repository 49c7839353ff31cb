"""What a model file holds, and how fields are cut, for reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._optional import needing
from ..tiling._windows import legal_focuses
from ._files import check_writable

# Parameters that say nothing of what is predicted.
_DULL = ("verbose", "n_jobs", "random_state")
_PICTURES = {".png", ".pdf", ".svg"}


def report_of(found: dict[str, Any], everything=True) -> list[tuple[str, str]]:
    """Return what a file says of itself as rows of a name and a text.

    Without `everything`, what the model is, how it was trained and what it is named by; not the
    parameters that are as they were, nor versions and parts of the file.
    """
    rows = [("sha256", str(found["digest"])), ("size", f"{found['size']:,} bytes")]
    for name in ("units", "spacing"):
        if found.get(name) is not None:
            rows.append((name, str(found[name])))
    rows += [
        (f"parameters: {key}", text)
        for key, text in _flat(found.get("parameters") or {})
        if everything or _is_telling(key, text)
    ]
    for title in ("training", "about"):
        rows += [(f"{title}: {key}", text) for key, text in _flat(found.get(title) or {})]
    if everything:
        rows.append(("schema", str(found["schema"])))
        rows += [(f"versions: {key}", text) for key, text in _flat(found.get("versions") or {})]
        for name, part in found["parts"].items():
            rows.append((f"part: {name}", f"{part['size']:,} bytes, sha256 {part['sha256']}"))
    return rows


def _is_telling(key, text) -> bool:
    fitted = any(part.endswith("_") for part in key.split("."))
    return not fitted and text not in ("None", "False") and not key.endswith(_DULL)


def _flat(values, prefix=""):
    if not isinstance(values, dict):
        return [(prefix.rstrip("."), str(values))]
    return [row for key, value in values.items() for row in _flat(value, f"{prefix}{key}.")]


def printable(text: str) -> str:
    """Return a text of a file as a terminal may show it: no control characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def cut(tiling, X, sample) -> dict[str, Any]:
    """Return how a field is cut, and which sizes the focus allows."""
    fields = tiling.check(X)
    _require_sample(X, sample)
    shape = fields.stacks[0].values.shape[1:]
    tile_shape, grid = tiling.tile_shape(shape), tiling.tile_grid(shape)
    focus = tuple(site.stop - site.start for site in tiling.focus_sites(tile_shape))
    lengths = [n * f for n, f in zip(grid, focus, strict=True)]
    n_tiles = 1
    for n in grid:
        n_tiles *= n
    return {
        "fields": f"{len(X)} of shape {shape}",
        "focus": str(focus),
        "tiles": f"{n_tiles} of shape {tile_shape}, {' x '.join(map(str, grid))}",
        "sizes": "; ".join(
            f"axis {axis}: multiples of {f}, as {n} is; of {n} sites, a focus of {legal_focuses(n)}"
            for axis, (n, f) in enumerate(zip(lengths, focus, strict=True))
        ),
    }


def draw_cut(tiling, X, sample, output: Path) -> None:
    """Draw the tiles of a field into a file.

    Raises
    ------
    ValueError
        Where the file is to be of another kind, or the field has not two dimensions.
    MissingExtraError
        Where matplotlib is not installed.
    """
    if output.suffix.lower() not in _PICTURES:
        raise ValueError(f"--output must end in {', '.join(sorted(_PICTURES))}, got {output}.")
    _require_sample(X, sample)
    with needing("Drawing"):
        from matplotlib.figure import Figure
    from ..inspection import TilingDisplay

    # No pyplot: nothing is shown, and nothing of the user's settings is changed.
    axes = Figure(figsize=(5, 5), layout="constrained").subplots()
    TilingDisplay.from_tiling(tiling, X[sample : sample + 1], ax=axes)
    axes.figure.savefig(output, dpi=150)


def check_report(path: Path | None) -> None:
    """Raise where no report can be written: before the fit, not after.

    Raises
    ------
    ValueError, OSError, MissingExtraError
    """
    if path is None:
        return
    if path.suffix.lower() not in {".html", ".htm"}:
        raise ValueError(f"--report must end in .html, got {path}.")
    check_writable(path)
    from ..inspection._report._svg import require_matplotlib

    require_matplotlib()


def write_report(path: Path, estimator, parts, unit, about) -> None:
    """Write a page on a fit.

    Parameters
    ----------
    path : Path
    estimator : EDNNRegressor
    parts : dict of str to (X, y)
        "train", and "test" where systems were held back.
    unit : str or None
    about : dict of str to str
    """
    from ..inspection import fit_report

    estimator.evaluation_.set_params(verbose=0)  # a report predicts many times
    page = fit_report(
        estimator, *parts["train"], test=parts.get("test"), unit=unit or "", about=about
    )
    page.save(path)


def _require_sample(X, sample):
    if not 0 <= sample < len(X):
        raise ValueError(f"--sample must be from 0 to {len(X) - 1}, got {sample}.")
