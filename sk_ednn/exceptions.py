"""What can go wrong, and what deserves a warning."""

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
    """Base class of the errors that sk_ednn raises on its own account."""


class TilingError(EDNNError, ValueError):
    """A field cannot be cut into tiles as asked: wrong size, dimension, channels or parameters.

    Parameters
    ----------
    message : str
    fitted : str, default=None
        The same for those who hold a fitted model, which cannot change its tiling; None where that
        makes no difference.
    """

    def __init__(self, message="", *, fitted=None):
        super().__init__(message)
        self.fitted = message if fitted is None else fitted


class TileModelError(EDNNError, ValueError):
    """A tile model cannot be fitted to sums, or returned something that is not a contribution."""


class BlockError(EDNNError, RuntimeError):
    """A block of tiles could not be read or evaluated; the message names the block."""


class TileMemoryError(EDNNError, MemoryError):
    """A method would need more memory than there is; raised before it is allocated."""


class MissingExtraError(EDNNError, ImportError):
    """An optional library is not installed; the message names the extra to install."""


class ModelFileError(EDNNError, ValueError):
    """A model cannot be stored, or a file is not a model as it was written."""


class ExtensivityWarning(UserWarning):
    """Something in the data or the settings makes the predicted total not extensive."""


class DataWarning(UserWarning):
    """The data can be used as it is, and may not be what was meant."""


class NoveltyWarning(UserWarning):
    """A model is asked for what is unlike all that it was fitted to."""
