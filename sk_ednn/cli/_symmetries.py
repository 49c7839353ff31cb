"""The option of ``fit`` for symmetries of the lattice."""

from __future__ import annotations

from ._inputs import note

# Tile models with symmetries, and those to which the sign of values may be added.
POLYNOMIALS = ("quadratic", "cubic")
_TAKERS = ("auto", *POLYNOMIALS, "dense")
_NAMES = ("reflect", "rotate", "flip")


def symmetries_of(options) -> tuple[str, ...] | None:
    """Return the names in ``--symmetries``, or None if the option was not given.

    Raises
    ------
    ValueError
        If a name is unknown, or the data or the tile model have no such symmetry.
    """
    if options.symmetries is None:
        return None
    names = tuple(name.strip().lower() for name in options.symmetries.split(","))
    if any(name not in _NAMES for name in names):
        raise ValueError(
            f"--symmetries must be some of {', '.join(_NAMES)}, separated by commas; got "
            f"{options.symmetries!r}."
        )
    require_taker(options.model, names)
    if "flip" in names and (options.categorical or options.angles is not None):
        raise ValueError(
            "--symmetries flip changes the sign of the values of fields, and labels and angles "
            "have none. Leave out flip."
        )
    return names


def require_taker(model, names) -> None:
    """Raise ValueError if a tile model does not have symmetries.

    Parameters
    ----------
    model : str
    names : tuple of str
    """
    if model not in _TAKERS:
        raise ValueError(
            f"--symmetries is for --model {', '.join(_TAKERS[:-1])} or {_TAKERS[-1]}; the model "
            f"is {model}."
        )
    if model == "dense" and "flip" in names:
        raise ValueError(
            "--symmetries flip is for --model quadratic and cubic; the model is dense. Leave out "
            "flip."
        )


def note_channels(options, names, tiling) -> None:
    """Print that channels are not turned, if there are any that may be vectors."""
    if names is None or options.categorical:
        return
    if options.angles is not None or tiling.channel_axis is not None:
        note(
            "--symmetries moves sites and does not turn their channels or angles: right for spins "
            "in a space of their own, wrong for vectors that turn with the lattice"
        )
