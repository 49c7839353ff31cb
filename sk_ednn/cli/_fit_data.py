"""The data of ``fit``: systems and totals, read, encoded, checked and split."""

from __future__ import annotations

from functools import partial

import numpy as np
import typer

from . import _densities
from ._encoders import encoder_of
from ._inputs import channels_line, read_fields, read_targets, say, tiling_of
from ._named_totals import note_tables, read_energies, read_totals
from ._structure_names import are_structures


def read_systems(options) -> tuple:
    """Return fields, totals, the tiling, an encoder of values or None, and files of densities."""
    if _densities.are_densities(options.fields):
        X, y, places = _read_densities(options)
        encoder = _density_fields(X)
        tiling = tiling_of(
            options.focus, options.context, options.boundary, None, options.remainder
        )
        tiling.check(encoder.transform(X))
        return X, y, tiling, encoder, places
    X, y = _read(options)
    encoder = encoder_of(options, X)
    channel_axis = options.channel_axis if encoder is None else -1
    tiling = tiling_of(
        options.focus, options.context, options.boundary, channel_axis, options.remainder
    )
    tiling.check(encoded(encoder, X[:1]))
    return X, y, tiling, encoder, None


def _read(options) -> tuple[np.ndarray, np.ndarray]:
    fields, targets = options.fields, options.targets or options.fields
    named: list[str] = []
    X, y = read_fields(fields, named=named), read_targets(targets, options.unit)
    options.field_unit = named[0] if named else None
    if fields == targets and np.array_equal(X, y):
        raise ValueError(
            f"{fields} contains a single array, which was read as fields and as totals. Pass the "
            "totals as the second argument."
        )
    if len(y) != len(X):
        raise ValueError(
            f"{fields} contains {len(X)} fields of shape {X.shape[1:]}, but {targets} contains "
            f"{len(y)} targets. Fields must be an array of shape (n_systems, *field_shape)."
        )
    return X, _totals(y)


def _read_densities(options) -> tuple[list, np.ndarray, list[str]]:
    note_tables(options.fields, options.targets)
    read = _densities.read(options.fields, options.density_unit)
    y = read_totals(options.targets, options.unit, read.files, partial(say, options), "densities").y
    return read.densities, _totals(y), read.places


def _density_fields(X):
    from ..encoders import DensityFields

    return DensityFields().fit(X)


def read_structures(options):
    """Return structures, or None for fields."""
    if not are_structures(options.fields):
        return None
    from ._structures import read

    note_tables(options.fields, options.targets)
    return read(options.fields)


def drawn_structures(ctx, options, read):
    """Return drawn structures, or None for fields."""
    if read is None:
        return None
    from ._structures import drawn

    targets = None
    if options.targets is not None:
        found = read_totals(
            options.targets, options.unit, read.files, partial(say, options), "structures"
        )
        targets = _totals(found.y)
    return drawn(ctx, options, partial(say, options), targets, read)


def labelled(options, read):
    """Return structures with the energies of a table in place of their own, if there is one.

    Raises
    ------
    ValueError
        If its unit is not known as one of energies.
    """
    if options.targets is None:
        return read
    if options.energy is not None:
        raise ValueError(
            "--energy is for energies in the files of structures. Leave out --energy or TARGETS."
        )
    found = read_energies(options.targets, options.unit, read.files, partial(say, options))
    options.unit = None
    return read.with_energies(found.y)._replace(columns=found.columns)


def encoded(encoder, fields):
    return fields if encoder is None else encoder.transform(fields)


def with_channels(tiling):
    """Return the tiling of fields behind an encoder, whose channels are their last axis."""
    from sklearn.base import clone

    return clone(tiling).set_params(channel_axis=-1)


def _totals(y):
    return y[:, 0] if y.shape[1:] == (1,) else y


def taken(X, some):
    """Return some systems of an array, or of a list of fields with several shapes."""
    return X[some] if isinstance(X, np.ndarray) else [X[k] for k in some]


def split_of(n, options) -> dict[str, np.ndarray]:
    """Return the indices of training and test systems.

    Training systems are in random order, since files may be sorted, and cross-validation of the
    penalty uses contiguous folds.
    """
    order = np.random.default_rng(options.seed).permutation(n)
    test, train = np.split(order, [round(options.test_fraction * n)])
    return {"train": train} | ({"test": np.sort(test)} if len(test) else {})


def hint_of_values(options, X, tiling, compared=False) -> str | None:
    """Print a hint if values look like channels, labels or angles, and no option is set for them.

    It is printed also with --quiet, since results may be meaningless.

    Parameters
    ----------
    options : namespace
    X : ndarray of shape (n_samples, *field_shape)
    tiling : GridTiling
    compared : bool, default=False
        Values are compared as labels and as amounts, so that labels need no hint.

    Returns
    -------
    str or None
        The option of the hint, None if none was printed.
    """
    channels = channels_line(X, tiling)
    if channels is not None:
        typer.echo(f"warning: {channels[0]}, use {channels[1]}", err=True)
    if options.categorical or options.angles is not None or tiling.channel_axis is not None:
        return None
    from ..estimators._data_warnings import hint_of_kind

    hint = hint_of_kind(X)
    if hint is not None and not ("labels" in hint and compared):
        option = "--categorical" if "labels" in hint else "--angles 2pi"
        option = "--angles 360" if "of 360" in hint else option
        typer.echo(f"hint: {hint}, with {option}", err=True)
        return option
    return None if channels is None else channels[1]


def warn_of_data(X, y, channel_axis=None) -> None:
    """Warn of marks of missing values, and of totals that were standardised, in all of the data."""
    from ..estimators._data_warnings import warn_of_marks, warn_of_standardised
    from ..fields._fields import check_fields

    warn_of_standardised(y)
    fields = check_fields(X) if isinstance(X, np.ndarray) else None
    warn_of_marks(fields, y.reshape(len(y), -1), channel_axis)
