"""The command ``inspect``: a description of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._files import check_readable

# Parameters that do not affect predictions.
_DULL = ("verbose", "n_jobs", "random_state")


def description_of(path: Path) -> dict[str, Any]:
    """Return the description of a model file."""
    check_readable(path)
    from .. import files as model_files

    return model_files.describe(path)


def report_of(description: dict[str, Any], everything=True) -> list[tuple[str, str]]:
    """Return a description as rows of a name and a text: what is said of the model comes first.

    Without `everything`, defaults, fitted attributes, versions and parts of the file are left out.
    """
    rows = [("sha256", str(description["digest"])), ("size", f"{description['size']:,} bytes")]
    for name in ("units", "spacing"):
        if description.get(name) is not None:
            rows.append((name, str(description[name])))
    for title in ("about", "training"):
        rows += [
            (f"{title}: {key}", text)
            for key, text in _flat(description.get(title) or {})
            # The summary contains the verdict and the couplings.
            if everything or not (key == "verdict.words" or key.startswith("couplings."))
        ]
    rows += [
        (f"parameters: {key}", text)
        for key, text in _flat(description.get("parameters") or {})
        if everything or _is_telling(key, text)
    ]
    if everything:
        rows.append(("schema", str(description["schema"])))
        rows += [
            (f"versions: {key}", text) for key, text in _flat(description.get("versions") or {})
        ]
        for name, part in description["parts"].items():
            rows.append((f"part: {name}", f"{part['size']:,} bytes, sha256 {part['sha256']}"))
    return rows


def _is_telling(key, text) -> bool:
    fitted = any(part.endswith("_") for part in key.split("."))
    return not fitted and text not in ("None", "False") and not key.endswith(_DULL)


def _flat(values):
    """Return rows of names and texts, by a loop, since a file may be nested deeply."""
    rows, left = [], [("", values)]
    while left:
        prefix, values = left.pop()
        if isinstance(values, dict):
            left += [(f"{prefix}{key}.", value) for key, value in reversed(values.items())]
        else:
            rows.append((prefix.rstrip("."), _text(values)))
    return rows


def _text(value) -> str:
    try:
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    except RecursionError:
        return "nested too deeply to be shown"


def printable(text: str) -> str:
    """Replace control characters in a text of a file, which a terminal would execute."""
    text = " ".join(text.split())  # arrays are shown in several lines
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
