"""Recognition of photographs by their names, before anything is imported."""

from __future__ import annotations

from pathlib import Path

from .._utils.file_names import files_of

_ENDINGS = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}


def are_pictures(name: str) -> bool:
    """Return True if a name is a photograph, or the first files of a folder or pattern are."""
    path = Path(name)
    if path.is_dir() and path.suffix.lower() != ".zarr":
        return any(each.suffix.lower() in _ENDINGS for each in path.iterdir())
    if path.suffix.lower() in _ENDINGS:
        return True
    if path.exists() or not set("*?[") & set(name):
        return False
    try:
        return any(Path(file).suffix.lower() in _ENDINGS for file, _ in files_of(name))
    except FileNotFoundError:
        return False
