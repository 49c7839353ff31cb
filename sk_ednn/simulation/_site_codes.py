"""Sites that an encoder turns into channels: labels and angles, in front of a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..encoders._base import AbstractFieldEncoder
from ..estimators._unwrap import unwrap_search
from ..exceptions import TileModelError, TilingError


class SiteCodes(NamedTuple):
    """The values that a site may take, and the channels that the model sees instead.

    Attributes
    ----------
    values : ndarray of shape (n_values,)
    channels : ndarray of shape (n_values, n_channels)
    """

    values: np.ndarray
    channels: np.ndarray

    @classmethod
    def of(cls, encoder, values) -> SiteCodes:
        """Return the codes of some values.

        Raises
        ------
        ValueError
            If the model could not tell two of them apart.
        """
        channels = encoder._channels(values)
        kinds, first = np.unique(channels, axis=0, return_index=True)
        if len(kinds) < len(values):
            twice = values[np.setdiff1d(np.arange(len(values)), first)[0]]
            raise ValueError(
                f"{type(encoder).__name__} turns {twice} and another of the values "
                f"{values.tolist()} into the same channels. Leave one of them out."
            )
        return cls(values, channels)


def parted(model) -> tuple[AbstractFieldEncoder | None, Any]:
    """Return the encoder of single sites in front of a model, or None, and the model.

    Parameters
    ----------
    model : EDNNRegressor, Pipeline that ends in one, or search over either; fitted

    Raises
    ------
    TileModelError
        If a Pipeline contains steps that do not encode sites one by one.
    """
    model, encoders = unwrap_search(model), []
    while hasattr(model, "steps"):
        encoders += [step for _, step in model.steps[:-1] if step not in (None, "passthrough")]
        model = unwrap_search(model.steps[-1][1])
    others = [step for step in encoders if not isinstance(step, AbstractFieldEncoder)]
    if others or len(encoders) > 1:
        raise TileModelError(
            "In front of the regressor a Pipeline may have one step that encodes sites one by "
            "one, OneHotFields or AngleFields; this one has "
            f"{', '.join(type(step).__name__ for step in encoders)}. Pass its last step, "
            "model[-1], and fields as that sees them, model[:-1].transform(fields)."
        )
    return (encoders[0] if encoders else None), model


def require_axes(encoder, fields) -> None:
    """Raise TilingError if fields (n, *grid) have another number of axes than those of the fit."""
    if fields.ndim != encoder._grid_ndim + 1:
        raise TilingError(
            f"The model was fitted to fields of {encoder._grid_ndim} axes, which "
            f"{type(encoder).__name__} encodes; got a field of shape {fields.shape[1:]}. Pass the "
            "values themselves, without an axis of channels."
        )
