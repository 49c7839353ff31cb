"""Optional dependencies, and the extra that installs each."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module

from ..exceptions import MissingExtraError

# Libraries by the extra that installs them.
_LIBRARIES = {
    "torch": ("torch", "skorch"),
    "dask": ("dask", "cloudpickle"),
    "distributed": ("distributed", "bokeh"),
    "atoms": ("ase", "vesin", "sphericart"),
    "search": ("ase_ga", "spglib"),
    "symmetry": ("pyxtal",),
    "plot": ("matplotlib",),
    "cli": ("typer", "rich", "yaml"),
    "hdf5": ("h5py",),
    "zarr": ("zarr",),
    "images": ("tifffile", "imagecodecs", "PIL", "skimage", "openpyxl"),
    "files": ("skops",),
    "ui": ("nicegui", "fastapi", "starlette", "uvicorn"),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}
EXTRAS = {library: extra for extra, libraries in _LIBRARIES.items() for library in libraries}


@contextmanager
def needing(what, *, extra=None, otherwise=""):
    """Turn a failed import within the block into an error that names the extra to install.

    Parameters
    ----------
    what : str
        The feature that needs the library.
    extra : str, default=None
        The extra to install. None for the one with the library.
    otherwise : str, default=""
        A sentence on an alternative.

    Raises
    ------
    MissingExtraError

    Examples
    --------
    >>> from sk_ednn._utils.optional import needing
    >>> with needing("Reading this file"):
    ...     raise ModuleNotFoundError("No module named 'h5py'", name="h5py")
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.MissingExtraError: Reading this file needs h5py, which is not installed: pip
    install 'sk-ednn[hdf5]'.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise  # a bug, or a broken installation
        raise MissingExtraError(
            f"{what} needs {library}, which is not installed: pip install "
            f"'sk-ednn[{extra or EXTRAS[library]}]'.{otherwise and ' ' + otherwise}",
            name=library,
        ) from error


def is_from(array, package) -> bool:
    """Return whether the class of an object is from a package, without importing it."""
    return type(array).__module__.partition(".")[0] == package


def later(package, modules, *, extra=None):
    """Return a module-level ``__getattr__`` that imports names lazily.

    Parameters
    ----------
    package : str
    modules : dict of str to str
        Module of each name.
    extra : str, default=None
        The extra to install for them. None for the one with the missing library.
    """

    def __getattr__(name):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with needing(name, extra=extra):
            return getattr(import_module(modules[name], package), name)

    return __getattr__
