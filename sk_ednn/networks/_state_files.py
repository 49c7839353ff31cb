"""Files of tensors and plain values, such as checkpoints of trainings: written at once, checked."""

from __future__ import annotations

import io
import zipfile
from pickle import UnpicklingError

import torch

from .._utils.writing import replacing
from ..exceptions import TileModelError


def write_state(path, state) -> None:
    """Replace a file in one step; a kill or a full disk leaves the old one.

    Parameters
    ----------
    path : str or Path
    state : dict
        Contains tensors, numbers, strings, lists and dicts.
    """
    # Through a buffer in memory, because torch does not report a full disk.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with replacing(path) as file:
        file.write(buffer.getbuffer())


def read_state(path, names, owner) -> list:
    """Return values of a file of `write_state`, whose checksums are compared.

    Parameters
    ----------
    path : str or Path
    names : list of str
        Keys of the values.
    owner : str
        What the state is of, for messages.

    Raises
    ------
    TileModelError
        If the file is damaged, or none of `write_state`.
    OSError
        If it cannot be opened.
    """
    try:
        # torch reads tensors without comparing the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        saved = torch.load(path, weights_only=True)
        missing = [name for name in names if name not in saved]
        if missing:
            raise ValueError(f"it has no {missing[0]!r}")
        return [saved[name] for name in names]
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # torch raises many types for damaged and other files
        why = str(error).partition("\n")[0]
        if isinstance(error, UnpicklingError):  # torch advises to load it all the same
            why = "it contains other objects than tensors, numbers, strings, lists and dicts"
        raise TileModelError(
            f"{path} is not a checkpoint of {owner}, or is damaged ({why}). Remove it, or pass "
            "another path."
        ) from error
