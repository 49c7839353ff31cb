"""The option of ``fit`` for symmetries of the lattice."""

from __future__ import annotations

import numpy as np

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
    if "flip" in names and options.angles is not None:
        raise ValueError(
            "--symmetries flip changes the sign of the values of fields, and angles have none. "
            "Leave out flip."
        )
    return names


def have_signs(encoder) -> bool:
    """Return whether the labels of `OneHotFields` are symmetric about zero, such as -1, 0 and 1."""
    values = np.sort(encoder.categories_.astype(float))
    return np.array_equal(values, -values[::-1])


def of_channels(names) -> tuple[str, ...] | None:
    """Return the symmetries of channels of labels that are symmetric about zero, in their order.

    The change of sign reverses the channels.
    """
    if names is None:
        return None
    return tuple("reverse" if name == "flip" else name for name in names)


def require_signs(encoder, names) -> None:
    """Raise ValueError if labels with a channel each are to be flipped and have no sign."""
    if names is not None and "flip" in names and not have_signs(encoder):
        raise ValueError(
            "--symmetries flip changes the sign of values, and the labels "
            f"{_listed(encoder)} are not symmetric about zero. Leave out flip."
        )


def note_without_signs(encoder) -> None:
    """Print that a channel for each value is not compared, since the values cannot be flipped."""
    note(
        f"a channel for each value is not compared: the values {_listed(encoder)} are not "
        "symmetric about zero, as --symmetries flip needs there; without flip it is compared"
    )


def _listed(encoder) -> str:
    return ", ".join(f"{value:.6g}" for value in encoder.categories_)


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
    if model == "dense" and {"flip", "reverse"} & set(names):
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
