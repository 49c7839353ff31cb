"""Runtime parameters, which belong to a machine and its user rather than to a model.

They are neither stored nor read: a file must not decide how many processes start, what is written
where, or how much memory a prediction takes.
"""

from __future__ import annotations

from functools import lru_cache
from inspect import Parameter, signature

_NAMES = {
    "blocks_per_task", "cache_size", "checkpoint", "client", "compile", "device", "journal",
    "max_bytes", "max_tiles", "memory", "n_jobs", "n_threads", "pre_dispatch", "table_size",
    "temp_folder", "torch_load_kwargs", "use_caching", "verbose", "working_memory",
}  # fmt: skip
# Parameters of data loaders are runtime parameters, except those that change the fit.
_OF_LOADERS = ("iterator_train__", "iterator_valid__")
_SHUFFLING = {"shuffle", "drop_last"}


def is_runtime_parameter(name) -> bool:
    """Return whether a parameter is a runtime parameter.

    Examples
    --------
    >>> from sk_ednn.files._runtime_parameters import is_runtime_parameter
    >>> (
    ...     is_runtime_parameter("n_jobs"),
    ...     is_runtime_parameter("iterator_train__num_workers"),
    ...     is_runtime_parameter("alpha"),
    ... )
    (True, True, False)
    """
    for prefix in _OF_LOADERS:
        if name.startswith(prefix):
            return name.removeprefix(prefix) not in _SHUFFLING
    return name in _NAMES


@lru_cache(maxsize=512)
def defaults(kind) -> dict:
    """Return the parameters of a class that have a default, and the defaults."""
    return {
        parameter.name: parameter.default
        for parameter in signature(kind).parameters.values()
        if parameter.default is not Parameter.empty
    }


@lru_cache(maxsize=512)
def runtime_defaults(kind) -> dict:
    """Return the runtime parameters of a class, with their defaults."""
    return {name: value for name, value in defaults(kind).items() if is_runtime_parameter(name)}


def completed(attributes, missing) -> dict:
    """Return attributes in their order, followed by missing ones.

    The order must be that of the written model, so that equal models give equal files.
    """
    return {
        **attributes,
        **{name: value for name, value in missing.items() if name not in attributes},
    }
