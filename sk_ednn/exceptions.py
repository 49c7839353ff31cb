"""Errors and warnings."""

__all__ = [
    "BlockError",
    "DataWarning",
    "EDNNError",
    "ExtensivityWarning",
    "MissingExtraError",
    "ModelFileError",
    "NoveltyWarning",
    "TileMemoryError",
    "TileModelError",
    "TilingError",
]


class EDNNError(Exception):
    """Base class of all errors of sk_ednn."""


class TilingError(EDNNError, ValueError):
    """Systems do not suit a tiling: wrong size, dimension, channels or parameters.

    Parameters
    ----------
    message : str
    fitted : str, default=None
        Message for a fitted model, whose tiling cannot be changed; None for the same message.
    """

    def __init__(self, message="", *, fitted=None):
        super().__init__(message)
        self.fitted = message if fitted is None else fitted


class TileModelError(EDNNError, ValueError):
    """A tile model cannot be fitted to sums, or returned invalid contributions."""


class BlockError(EDNNError, RuntimeError):
    """A block of tiles could not be read or evaluated; the message names the block."""


class TileMemoryError(EDNNError, MemoryError):
    """A method would need more memory than is free; raised before allocation."""


class MissingExtraError(EDNNError, ImportError):
    """An optional library is not installed; the message names the extra to install."""


class ModelFileError(EDNNError, ValueError):
    """A model cannot be stored, or a file is not an intact model file."""


class ExtensivityWarning(UserWarning):
    """Data or parameters make the predicted totals not extensive."""


class DataWarning(UserWarning):
    """The data can be used, but look like a mistake."""


class NoveltyWarning(UserWarning):
    """A model predicts samples that are unlike its training data."""
