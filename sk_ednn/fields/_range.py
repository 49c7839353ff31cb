"""The range of the fields that a model was fitted to, and a warning where others lie far outside.

Outside the range of its fit, a model cannot be trusted: one fitted to pictures from 0 to 1 and
given the same pictures from 0 to 65,535 returns meaningless numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._utils.stacklevel import outside_package
from ..exceptions import NoveltyWarning
from ._channels import channels_first
from ._sources import read_sites
from ._views import SourceView

# Values are far outside where they are further from the range than it is wide, and where fields
# that are not constant vary by less than this part of what each field of the fit did. The range is
# that of the least and the largest number. Larger fields with heavy tails (lognormal, Cauchy)
# have numbers that are not in the training data, so the warning is right.
_NARROW = 1e-2
# A range without width, of a channel that was constant, has this relative width.
_RELATIVE_WIDTH = 1e-6
# Sites of lazy fields that are read; reading all may be slow.
_MAX_SITES = 1 << 24


@dataclass(frozen=True)
class InputRange:
    """Least and largest values of each channel, and the least positive span of one field.

    Attributes
    ----------
    least, largest : ndarray of shape (n_channels,)
    span : ndarray of shape (n_channels,)
        Largest minus least value within one field, the least of all fields that are not constant.
    noun, part : str
        Names of the systems and their channels, for messages.
    """

    least: np.ndarray
    largest: np.ndarray
    span: np.ndarray
    noun: str = "fields"
    part: str = "channel"

    @classmethod
    def of(cls, fields, channel_axis=None, max_sites=_MAX_SITES) -> InputRange:
        """Return the range of fields; see `array` for how it is stored.

        Parameters
        ----------
        fields : Fields
            Samples that are spread over all fields are read of lazy ones.
        channel_axis : int or None, default=None
            Axis of one field.
        max_sites : int
            Sites of lazy fields that are read, at most.
        """
        parts = []
        for stack in fields.stacks:
            for values in _in_memory(stack.values, max_sites):
                parts.append(extremes(values, channel_axis))
        least, largest = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        return cls(least.min(axis=0), largest.max(axis=0), _least_positive(largest - least))

    @classmethod
    def from_array(cls, values) -> InputRange:
        """Return the range that was stored as an array of shape (n_channels, 3)."""
        return cls(*np.asarray(values, dtype=np.float64).reshape(-1, 3).T)

    def array(self) -> np.ndarray:
        """Return it as an array of shape (n_channels, 3): least, largest, span."""
        return np.stack([self.least, self.largest, self.span], axis=1)

    def joined(self, other) -> InputRange:
        """Return the range of two sets of fields together."""
        return InputRange(
            np.minimum(self.least, other.least),
            np.maximum(self.largest, other.largest),
            _least_positive(np.stack([self.span, other.span])),
        )

    def doubt(self, least, largest) -> str | None:
        """Return how values lie far outside, None where they do not.

        Parameters
        ----------
        least, largest : ndarray of shape (n_channels,)
        """
        if least.shape != self.least.shape:
            return None  # another number of channels has its own error
        width = self.largest - self.least
        magnitude = np.maximum(np.abs(self.largest), np.abs(self.least))
        width = np.where(width > 0, width, _RELATIVE_WIDTH * np.maximum(magnitude, 1.0))
        below, above = (self.least - least) / width, (largest - self.largest) / width
        channel = int(np.argmax(np.maximum(below, above)))
        if max(below[channel], above[channel]) > 1:
            return self._message(least, largest, channel)
        return None

    def narrow(self, least, largest, span) -> str | None:
        """Return how all fields vary far less than those of the fit, None where they do not.

        Parameters
        ----------
        least, largest : ndarray of shape (n_channels,)
        span : ndarray of shape (n_channels,)
            Largest minus least value within one field, the largest of all fields.
        """
        if least.shape != self.least.shape:
            return None
        narrow = np.flatnonzero((span > 0) & (span < _NARROW * self.span))
        if len(narrow) == 0:
            return None
        return self._message(least, largest, int(narrow[0]))

    def _message(self, least, largest, channel) -> str:
        name = f" of {self.part} {channel}" if len(self.least) > 1 else ""
        return (
            f"The {self.noun} have values from {least[channel]:.6g} to {largest[channel]:.6g}"
            f"{name}, but the model was fitted to values from {self.least[channel]:.6g} to "
            f"{self.largest[channel]:.6g}: its predictions are extrapolations. Check that the "
            f"{self.noun} have the units and the scale of those of the training."
        )


def warn_of_range(fitted, fields, channel_axis) -> None:
    """Warn of fields in memory that lie far outside what a model was fitted to.

    Parameters
    ----------
    fitted : InputRange
    fields : Fields
        Those read piece by piece are checked when they are read; see `WatchedSource`.
    channel_axis : int or None
    """
    parts = [
        extremes(stack.values, channel_axis)
        for stack in fields.stacks
        if isinstance(stack.values, np.ndarray)
    ]
    if not parts:
        return
    least, largest = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    span = (largest - least).max(axis=0)
    least, largest = least.min(axis=0), largest.max(axis=0)
    doubt = fitted.doubt(least, largest) or fitted.narrow(least, largest, span)
    if doubt is not None:
        warnings.warn(doubt, NoveltyWarning, stacklevel=outside_package())


def extremes(values, channel_axis=None) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest values of fields, each of shape (n_fields, n_channels).

    Parameters
    ----------
    values : ndarray of shape (n_fields, *field_shape)
    channel_axis : int or None, default=None
        Axis of one field.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.fields._range import extremes
    >>> least, largest = extremes(np.arange(12).reshape(2, 3, 2), channel_axis=-1)
    >>> least.tolist(), largest.tolist()
    ([[0.0, 1.0], [6.0, 7.0]], [[4.0, 5.0], [10.0, 11.0]])
    """
    values = channels_first(values, channel_axis, n_batch=1)
    axes = tuple(range(2, values.ndim))
    return (
        values.min(axis=axes).astype(np.float64),
        values.max(axis=axes).astype(np.float64),
    )


class WatchedSource(SourceView):
    """A source that watches the range of what is read from it.

    Parameters
    ----------
    source : FieldSource of shape (n_samples, *field_shape)
    channel_axis : int or None, default=None
        Axis of one field.
    """

    def __init__(self, source, channel_axis=None):
        super().__init__(source, source.shape)
        self.channel_axis = channel_axis
        self.least = self.largest = None
        self._span, self._of_whole_fields = 0.0, True

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices."""
        values = self.source.read(slices)
        if values.size:
            least, largest = extremes(values, self.channel_axis)
            # A part of a field may be flat where the field is not.
            self._of_whole_fields &= values.shape[1:] == self.shape[1:]
            self._span = np.maximum(self._span, (largest - least).max(axis=0))
            least, largest = least.min(axis=0), largest.max(axis=0)
            if self.least is not None:
                least, largest = np.minimum(least, self.least), np.maximum(largest, self.largest)
            self.least, self.largest = least, largest
        return values

    def doubt(self, fitted) -> str | None:
        """Return how what was read lies far outside a range, None where it does not."""
        if self.least is None:
            return None
        reason = fitted.doubt(self.least, self.largest)
        if reason is None and self._of_whole_fields:
            reason = fitted.narrow(self.least, self.largest, self._span)
        return reason


def _least_positive(spans) -> np.ndarray:
    """Return the least span of each channel, without fields that are constant; 0 if all are."""
    least = np.where(spans > 0, spans, np.inf).min(axis=0)
    return np.where(np.isfinite(least), least, 0.0)


def _in_memory(values, max_sites) -> Iterator[np.ndarray]:
    """Yield fields in memory; of lazy ones, some that are spread over all of them."""
    if isinstance(values, np.ndarray):
        yield values
        return
    n_samples, *field_shape = values.shape
    n_read = max(1, min(n_samples, max_sites // int(np.prod(field_shape, dtype=float))))
    for sample in np.linspace(0, n_samples - 1, int(n_read)).astype(int):
        sites = [np.arange(n) for n in field_shape]
        if np.prod(field_shape, dtype=float) > max_sites:
            # The first sites along each axis of a single large field.
            side = int(max_sites ** (1 / len(field_shape)))
            sites = [along[:side] for along in sites]
        yield read_sites(values, [np.array([sample]), *sites])
