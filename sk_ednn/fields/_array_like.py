"""Messages for objects that are not arrays: files, groups, pictures, structures, iterators.

numpy makes an array of almost anything, often one of Python objects; its errors then speak of
shapes and floats, and not of what was handed over. Libraries are recognised by the names of their
classes and never imported.
"""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Set, ValuesView
from typing import Any

import numpy as np

from .._utils.optional import is_from
from .._utils.wording import with_article

_SHAPE = "an array of shape (n_samples, *field_shape), or a list of arrays"
# Types of torch's tensors that numpy has.
_TENSORS_OF_NUMPY = {
    f"torch.{name}"
    for name in (
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
        "float16", "float32", "float64", "complex64", "complex128",
    )
}  # fmt: skip
# Modes of pillow whose numbers are places in a table of colours.
_PALETTES = ("P", "PA")


def as_array_like(X, name="X") -> Any:
    """Return what numpy can make fields of, or raise with the remedy.

    Parameters
    ----------
    X : object
        Object that a user passed as fields.
    name : str, default="X"
        For messages.

    Returns
    -------
    object
        `X` itself, or a list of its fields where it is a pandas Series or a skorch SliceDataset
        of arrays, or a list of pictures of pillow.

    Raises
    ------
    ValueError
    """
    require_array_like(X, name, _SHAPE)
    if _is_class(X, "pandas", "Series") and X.dtype == object and len(X):
        X = X.to_list()
    elif _is_class(X, "skorch", "SliceDataset") and len(X):
        X = [np.asarray(X[k]) for k in range(len(X))]
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object):
        _check_items(X, name)
    if isinstance(X, list) and X and all(_is_class(x, "PIL", "Image") for x in X):
        X = [np.asarray(x) for x in X]
    return X


def require_array_like(X, name, shape) -> None:
    """Raise if an object is not an array, with its kind and the remedy.

    Parameters
    ----------
    X : object
    name : str
    shape : str
        Description of the expected object.
    """
    doubt = _doubt(X, name)
    if doubt is not None:
        raise ValueError(f"{name} must be {shape}; got {doubt}")


def _doubt(X, name="X") -> str | None:
    """Return the kind of an object and the remedy; None if it may be an array."""
    kind = type(X).__name__
    if isinstance(X, (str, bytes, os.PathLike)):
        return (
            f"the name {os.fsdecode(X)!r}. Read the file, as by numpy.load, or block by block as "
            "sk_ednn.fields.ArraySource(path)."
        )
    if _is_class(X, "h5py", "Empty"):
        return "an HDF5 dataset that has no data (h5py.Empty). Choose another."
    if _is_class(X, "h5py", "Dataset") and not X:
        return "an HDF5 dataset whose file is closed. Keep it open while it is read."
    if _is_class(X, "h5py", "AsTypeView", "AsStrView", "AsStrWrapper", "FieldsView"):
        return f"a view of an HDF5 dataset. Read it, {name}[...], or give the dataset."
    if _is_class(X, "pandas", "DataFrame"):
        column = next((c for c in X if X[c].dtype == object and _holds_arrays(X[c])), None)
        if column is not None:
            return (
                f"a DataFrame whose column {column!r} contains arrays. Give "
                f"{name}[{column!r}].to_list()."
            )
    if _is_class(X, "xarray", "Dataset", "DataTree"):
        return _of_names("an xarray.Dataset", X.data_vars)
    if _is_class(X, "h5py", "Group", "File"):
        if not X:
            return "an HDF5 file that is closed. Keep it open while it is read."
        return _of_names(f"an h5py.{kind}", X)
    if _is_class(X, "zarr", "Group"):
        return _of_names("a zarr.Group", dict(X.members()))
    if _is_class(X, "scipy", "netcdf_file") or _is_class(X, "netCDF4", "Dataset"):
        return _of_names(f"{with_article(kind)}", X.variables)
    if _is_class(X, "scipy", "netcdf_variable") or _is_class(X, "netCDF4", "Variable"):
        return (
            "a variable of a netCDF file, of which numpy would read neither masks nor scales. Open "
            "the file with xarray.open_dataset and give one of its variables."
        )
    if isinstance(X, (KeysView, ValuesView, ItemsView)):
        return f"{with_article(kind)}, a view of a dict. Give list({name})."
    if isinstance(X, Mapping):
        return _of_names(f"{with_article(kind)}", X)
    if _is_class(X, "dask", "Delayed", "Bag"):
        return f"{with_article(kind)} of Dask. Compute it, {name}.compute()."
    if _is_class(X, "h5py", "Reference", "RegionReference"):
        return "a reference of HDF5. Give the dataset that it points to."
    if is_structure(X):
        return (
            f"a structure of atoms ({kind}). Draw structures as fields first: "
            "make_pipeline(GaussianRasterizer(...), EDNNRegressor(...)) takes a list of them."
        )
    if _is_class(X, "PIL", "Image"):
        return "a single picture. Give a list of pictures, or numpy.asarray(picture)[None]."
    if _is_class(X, "torch", "DataLoader", "Dataset", "IterableDataset"):
        return (
            f"{with_article(kind)}. Pass its inputs as an array, numpy.stack([numpy.asarray(x) for "
            "x, _ in dataset]), and its targets as y."
        )
    if _is_class(X, "torch", "Tensor"):
        if X.is_nested:
            return f"a nested tensor. Give a list of arrays, [x.numpy() for x in {name}.unbind()]."
        if X.is_conj():
            return f"a tensor that is the conjugate of another. Give {name}.real or {name}.imag."
        if X.requires_grad:
            return f"a tensor that requires a gradient. Give {name}.detach()."
        if X.layout != _strided(X):
            return f"a sparse tensor. Give {name}.to_dense()."
        if X.device.type != "cpu":
            return f"a tensor on {X.device}. Give {name}.cpu()."
        if X.is_neg():
            return (
                f"a tensor that is a view of another with its signs changed. Give {name}.clone()."
            )
        if str(X.dtype) not in _TENSORS_OF_NUMPY:
            return f"a tensor of {X.dtype}, which numpy does not have. Give {name}.float()."
    if isinstance(X, np.ndarray) and X.dtype.names:
        return _of_names("a structured array", X.dtype.names)
    if isinstance(X, Iterator):
        return f"{with_article(kind)}, which can be read only once. Give list({name})."
    if isinstance(X, Set):
        return f"{with_article(kind)}, which has no order. Give a list."
    if X is None or callable(X):
        return f"{'None' if X is None else kind + ' ' + getattr(X, '__name__', '')}."
    return None


def _check_items(X, name) -> None:
    """Raise if the items of a list are not fields, naming the first that is not."""
    for index, item in enumerate(X if not isinstance(X, np.ndarray) or X.ndim == 1 else ()):
        if isinstance(item, (np.ndarray, np.generic, int, float, list)):
            continue
        what = f"{name}[{index}]"
        if isinstance(item, (str, bytes, os.PathLike)):
            raise ValueError(
                f"{name} must be {_SHAPE}; got a list of names, {what} is {os.fsdecode(item)!r}. "
                "Read the files first, as by numpy.load or imageio.v3.imread."
            )
        if isinstance(item, tuple) and len(item) == 2 and hasattr(item[0], "shape"):
            raise ValueError(
                f"{name} must be {_SHAPE}; {what} is a pair. Pass fields and totals "
                "separately: X = [x for x, _ in pairs], y = [total for _, total in pairs]."
            )
        doubt = doubt_of_item(item)
        if doubt is not None:
            raise ValueError(f"{name} must be {_SHAPE}; {what} is {doubt}")


def doubt_of_item(item) -> str | None:
    """Return the kind of an item of a list and the remedy; None if it may be a field.

    Parameters
    ----------
    item : object
        An array, or a picture of pillow.
    """
    if _is_class(item, "PIL", "Image"):
        if item.mode not in _PALETTES:
            return None
        return (
            f"a picture of mode {item.mode!r}, whose numbers are places in a table of colours. "
            "Convert it, picture.convert('RGB') or convert('L')."
        )
    if is_from(item, "scipy") and hasattr(item, "toarray"):
        return "a sparse array. Give its toarray()."
    return _doubt(item)


def is_structure(x) -> bool:
    """Return True if an object is a structure of atoms, judged by its attributes."""
    return all(hasattr(x, part) for part in ("numbers", "positions", "cell"))


def _holds_arrays(column) -> bool:
    return len(column) > 0 and getattr(column.iloc[0], "ndim", 0) > 0


def _of_names(what, names) -> str:
    names = [str(name) for name in names]
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    example = f", such as [{names[0]!r}]" if names else ""
    return f"{what} of {shown or 'nothing'}. Choose one of its arrays{example}."


def _strided(tensor):
    import sys

    return sys.modules["torch"].strided


def _is_class(x, package, *names) -> bool:
    """Return True if a class, or one that it derives from, is of a package and has such a name."""
    return any(
        kind.__module__.partition(".")[0] == package and kind.__name__ in names
        for kind in type(x).__mro__
    )
