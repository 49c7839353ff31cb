"""Settings of running, which belong to a machine and its user and not to a model.

They are not stored, and what a file says of them is not taken: a file decides neither how many
processes start, nor what is written where, nor how much memory a prediction takes.
"""

from __future__ import annotations

from functools import lru_cache
from inspect import Parameter, signature

_NAMES = {
    "blocks_per_task", "cache_size", "checkpoint", "client", "compile", "device", "journal",
    "max_bytes", "max_tiles", "memory", "n_jobs", "pre_dispatch", "table_size", "temp_folder",
    "torch_load_kwargs", "use_caching", "verbose", "working_memory",
}  # fmt: skip
# Of loaders of batches, what changes the fit itself; the rest are processes and memory.
_OF_LOADERS = ("iterator_train__", "iterator_valid__")
_SHUFFLING = {"shuffle", "drop_last"}


def is_running(name) -> bool:
    """Tell whether a parameter says how something is run.

    Examples
    --------
    >>> from sk_ednn.files._running import is_running
    >>> is_running("n_jobs"), is_running("iterator_train__num_workers"), is_running("alpha")
    (True, True, False)
    """
    for prefix in _OF_LOADERS:
        if name.startswith(prefix):
            return name.removeprefix(prefix) not in _SHUFFLING
    return name in _NAMES


@lru_cache(maxsize=512)
def defaults(kind) -> dict:
    """Return the parameters of a class that have a default, with it."""
    return {
        parameter.name: parameter.default
        for parameter in signature(kind).parameters.values()
        if parameter.default is not Parameter.empty
    }


@lru_cache(maxsize=512)
def running_defaults(kind) -> dict:
    """Return the parameters of a class that say how it is run, with their defaults."""
    return {name: value for name, value in defaults(kind).items() if is_running(name)}


def completed(attributes, missing) -> dict:
    """Return attributes in their order, and behind them those that are missing.

    Equal models give equal files, and so what is read has to be in the order of what was written.
    """
    return {
        **attributes,
        **{name: each for name, each in missing.items() if name not in attributes},
    }
