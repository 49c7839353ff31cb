"""Sources that present another source in another form."""

from __future__ import annotations

import numpy as np

from ._sources import source_identity


class SourceView:
    """A source that presents another one in another form.

    Parameters
    ----------
    source : FieldSource
    shape : tuple of int
        Shape in that form.
    """

    def __init__(self, source, shape):
        self.source = source
        self.shape = tuple(shape)
        self.dtype = np.dtype(source.dtype)
        self.spacing = source.spacing

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of what is read at a time, or None."""
        return getattr(self.source, "chunks", None)

    @property
    def unit(self) -> str | None:
        """Unit of the numbers, if it is known."""
        return getattr(self.source, "unit", None)


class OneField(SourceView):
    """A source of one field as a batch of one.

    Parameters
    ----------
    source : FieldSource of shape field_shape
    """

    def __init__(self, source):
        super().__init__(source, (1, *source.shape))

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of what is read at a time, or None."""
        chunks = super().chunks
        return None if chunks is None else (1, *chunks)

    def read(self, slices) -> np.ndarray:
        """Return the box of these slices."""
        return self.source.read(slices[1:])[None]

    def identity(self) -> str:
        """Return a name that changes with the numbers."""
        return f"one field of {source_identity(self.source)}"
