"""Declare how the objects of a class are written to model files.

Files contain names of classes, which are looked up among the classes declared with `stored` and
never imported. Modules can therefore move, and classes be renamed, without changes to files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

# Packages that declare classes when imported, the cheapest first: the last ones load torch.
_PACKAGES = (
    "estimators", "tiling", "tile_models", "solvers", "evaluation", "encoders", "descriptors",
    "atoms", "images", "networks",
)  # fmt: skip
_DECLARED: dict[str, type] = {}


@dataclass(frozen=True)
class Stored:
    """Declaration of how the objects of a class are written.

    Attributes
    ----------
    name : str
        Name of the class in files.
    derived : tuple of str
        Attributes that are not written and are None when read, since only fitting needs them, or
        they are recomputed.
    functions : tuple of str
        Parameters that only fitting needs; they are not written if they are functions.
    renamed : mapping of str to str
        Current names of attributes by their names in older files.
    """

    name: str
    derived: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def stored(name, *, former=(), derived=(), functions=(), renamed=None):
    """Allow the objects of a class in model files.

    Parameters
    ----------
    name : str
        Name of the class in files.
    former : tuple of str
        Names of the class in older files.
    derived, functions, renamed
        See `Stored`.

    Returns
    -------
    decorator : callable

    Examples
    --------
    >>> from sk_ednn._utils.stored import declared, stored, stored_class
    >>> @stored("Square", former=("Quadrat",))
    ... class Square: ...
    >>> stored_class("Quadrat") is Square, declared(Square).name
    (True, 'Square')
    """

    def declare(kind):
        kind._stored = Stored(name, derived, functions, renamed or {})
        for alias in (name, *former):
            _DECLARED[alias] = kind
        return kind

    return declare


def declared(kind) -> Stored | None:
    """Return the declaration of a class, or None. Subclasses do not inherit it."""
    return vars(kind).get("_stored")


def stored_class(name) -> type | None:
    """Return the class with a name in files, or None."""
    for package in _PACKAGES:
        if name in _DECLARED:
            return _DECLARED[name]
        module = import_module(f"sk_ednn.{package}")
        # Packages may import their public classes lazily.
        if name in module.__all__:
            getattr(module, name)
    for package in _PACKAGES:
        # It may be an earlier name of such a class, so import all of them.
        module = import_module(f"sk_ednn.{package}")
        for public in module.__all__:
            if name in _DECLARED:
                return _DECLARED[name]
            getattr(module, public)
    return _DECLARED.get(name)
