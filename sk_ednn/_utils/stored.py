"""Declare, at a class, how its objects are written to model files.

A file contains names of classes, and none of them is ever imported: a name is looked up among the
classes that carry `stored`. So a module can move, and a class can be renamed, without a change to
the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

# Packages whose import declares the classes of files, the cheapest first: the last ones load torch.
_PACKAGES = (
    "estimators", "tiling", "tile_models", "solvers", "evaluation", "encoders", "descriptors",
    "atoms", "images", "networks",
)  # fmt: skip
_DECLARED: dict[str, type] = {}


@dataclass(frozen=True)
class Stored:
    """How the objects of a class are written.

    Attributes
    ----------
    name : str
        The name of the class in files.
    derived : tuple of str
        Attributes that are not written, and None in what is read: only fitting needs them, or they
        are computed again.
    functions : tuple of str
        Parameters that serve the fit alone. They are left out where they are functions.
    renamed : mapping of str to str
        Attributes of older files, with their names of today.
    """

    name: str
    derived: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


def stored(name, *, former=(), derived=(), functions=(), renamed=None):
    """Declare a class as one that model files may contain.

    Parameters
    ----------
    name : str
        Its name in files.
    former : tuple of str
        Names in older files.
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
        for each in (name, *former):
            _DECLARED[each] = kind
        return kind

    return declare


def declared(kind) -> Stored | None:
    """Return how a class is written, or None. A subclass is not what its parent is."""
    return vars(kind).get("_stored")


def stored_class(name) -> type | None:
    """Return the class that files call `name`, or None."""
    for package in _PACKAGES:
        if name in _DECLARED:
            return _DECLARED[name]
        module = import_module(f"sk_ednn.{package}")
        # A public class may be imported only when it is asked for.
        if name in module.__all__:
            getattr(module, name)
    for package in _PACKAGES:
        # An earlier name of such a class: ask for all of them.
        module = import_module(f"sk_ednn.{package}")
        for public in module.__all__:
            if name in _DECLARED:
                return _DECLARED[name]
            getattr(module, public)
    return _DECLARED.get(name)
