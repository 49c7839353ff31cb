"""A test prediction of a model of pictures that was read from a file."""

from __future__ import annotations

import warnings

import numpy as np

from ._arrays import as_picture
from ._geometry import Geometry
from ._interval import PictureInterval
from ._left_out import LeftOut
from ._maxima import MaximaCounter
from ._novelty import PictureNovelty

# Pixels of the test picture along each axis, and the largest reduction for it: beyond, the picture
# with its surroundings would take more memory than reading a file may.
_SIDE, _LARGEST_REDUCTION = 16, 16
_LARGEST = 10**6


def try_counter(model) -> None:
    """Raise if the parts of a model contradict each other, or if its totals are not finite.

    Parameters
    ----------
    model : CountRegressor
    """
    n_outputs, n_channels = model.n_outputs_, model.n_channels_
    for name, value in (("n_outputs_", n_outputs), ("n_channels_", n_channels)):
        if type(value) is not int or not 0 < value < _LARGEST:
            raise ValueError(f"its {name} is {value!r}")
    known = model.geometry_
    if not (
        type(known) is tuple and len(known) == 2 and all(type(n) is int for n in known)
        and 0 < known[0] < _LARGEST and known[1] in (2, 3)
    ):  # fmt: skip
        raise ValueError(f"its geometry_ is {known!r}")
    if type(model.estimators_) is not list or not model.estimators_:
        raise ValueError("its estimators_ are not a list of members")
    shapes: dict[str, tuple] = {"edges_": (len(model.estimators_), 3)}
    parts = {"edges_": model.edges_}
    for name, values in zip(("least", "largest"), model.density_range_, strict=True):
        parts[f"{name} density"], shapes[f"{name} density"] = values, (n_outputs,)
    for name, values in parts.items():
        if not isinstance(values, np.ndarray) or values.shape != shapes[name]:
            raise ValueError(f"its {name} does not have the shape {shapes[name]}")
    if not np.isfinite(model.edges_).all():
        raise ValueError("its edges_ are not finite")
    counter = getattr(model, "maxima_", None)
    if counter is not None:
        if not isinstance(counter, MaximaCounter):
            raise ValueError("its maxima_ are none of pictures")
        counter.check(n_outputs, n_channels)
    left_out = getattr(model, "left_out_", None)
    if left_out is not None:
        if not isinstance(left_out, LeftOut):
            raise ValueError("its left_out_ are no parts of pictures")
        left_out.check(n_channels)
    geometry = Geometry(*known)
    expected = geometry.tiling().get_params()
    for member in model.estimators_:
        if member.tiling_.get_params() != expected or member.n_outputs_ != n_outputs:
            raise ValueError("a member has another tiling, or other outputs")
    if not isinstance(model.interval_, PictureInterval):
        raise ValueError("its interval_ is not a PictureInterval")
    if not isinstance(model.novelty_, PictureNovelty):
        raise ValueError("its novelty_ is not a PictureNovelty")
    if geometry.reduction > _LARGEST_REDUCTION:
        return
    shape = (1,) * (geometry.n_axes - 2) + (_SIDE, _SIDE, n_channels)
    picture = np.linspace(0.0, 1.0, int(np.prod(shape))).reshape(shape)
    picture = as_picture(picture, "the test picture", channel_axis=-1)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        (row,) = model.count([picture], maps=True)
    if np.shape(np.ravel(row.total)) != (n_outputs,) or not np.isfinite(row.total).all():
        raise ValueError("it does not predict finite totals")
