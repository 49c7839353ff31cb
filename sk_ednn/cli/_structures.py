"""Structures of atoms on the command line: files, labels and default parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import typer

from .._utils.steps import first_step
from ..atoms import EDNNPotential, GaussianRasterizer, energies_of, forces_of
from ..atoms._choices import PLANES, suited_pixels, suited_plane
from ..atoms._labels import with_energies
from ..structures._elements import symbol
from ..structures._files import naming, read_with_places
from ..structures._structure import gather
from ..tiling import GridTiling
from ._config import is_given

# Defaults by the number of axes of a field: spacing in Å, width in Å, largest focus in pixels, and
# context in Å.
_DEFAULTS = {2: (0.4, 0.4, 4, 4.0), 3: (0.45, 0.5, 2, 2.0)}
# Numbers of principal components and of points of the kernel for tiles in three dimensions.
_COMPONENTS, _POINTS = 40, 300
# Numbers of principal components of invariants: with forces a structure has more rows, and with up
# to this number of channels the normal equations take less than 2 GB.
_INVARIANTS, _WITH_FORCES, _CHANNELS = 64, 96, 3
# Least number of systems for cross-validation of the penalty, and the number of folds.
_MIN_SYSTEMS, _FOLDS = 10, 5


class Read(NamedTuple):
    """Structures, the file and index of each, and columns of the table of their energies."""

    structures: list
    places: list[str]
    columns: Mapping[str, list[str]] = MappingProxyType({})

    @property
    def files(self) -> list[str]:
        """The file of each."""
        return [place.rpartition(", structure ")[0] or place for place in self.places]

    def with_energies(self, energies) -> Read:
        """Return copies of the structures with other energies, in eV."""
        return self._replace(structures=with_energies(self.structures, energies))


class Drawn(NamedTuple):
    """Training data: fields of structures, energies and gradients."""

    draw: GaussianRasterizer
    fields: Any  # ndarray, or list of them
    energies: np.ndarray
    gradients: list | None
    tiling: GridTiling
    chosen: dict[str, Any]  # options, by name

    def systems(self) -> tuple:
        """Return fields, energies, the tiling, and None for an encoder."""
        return self.fields, self.energies, self.tiling, None

    def gradients_of(self, some) -> list | None:
        """Return the gradients of some structures, or None."""
        return None if self.gradients is None else [self.gradients[k] for k in some]

    def piped(self, regressor):
        """Return a model of structures that contains this model of fields."""
        from sklearn.pipeline import make_pipeline

        return make_pipeline(self.draw, regressor)

    def tile_model(self, fields):
        """Return a default tile model, its name, and the reason for its choice."""
        draw, tiling = self.draw, self.tiling
        from sklearn.pipeline import make_pipeline

        if draw.plane != "xyz" and draw.angles_ == (90.0,):
            from ..atoms import LocalInvariants

            n_channels = len(draw.channels_)
            many = self.gradients is not None and n_channels <= _CHANNELS
            describe = LocalInvariants(
                tiling.focus, tiling.context, draw.spacing_, n_channels=n_channels,
                n_components=_WITH_FORCES if many else _INVARIANTS,
            )  # fmt: skip
            ridge = self._ridge(len(fields), 1e-3)
            return make_pipeline(describe, ridge), "invariants", "sheets on orthogonal pixels"
        from sklearn.decomposition import PCA
        from sklearn.kernel_approximation import Nystroem
        from sklearn.preprocessing import StandardScaler

        shapes = [field.shape for field in fields]
        n_tiles = sum(int(np.prod(tiling.tile_grid(shape))) for shape in shapes)
        n_numbers = int(np.prod(tiling.tile_shape(shapes[0])))
        n_components = min(_COMPONENTS, n_numbers, max(1, n_tiles // 4))
        steps = (
            PCA(n_components),
            StandardScaler(),
            Nystroem(gamma=0.2 / n_components, n_components=min(_POINTS, max(1, n_tiles // 2))),
            self._ridge(len(fields), 1e-5),
        )
        why = "structures in three dimensions" if draw.plane == "xyz" else "oblique pixels"
        return make_pipeline(*steps), "components", why

    def _ridge(self, n_systems, penalty):
        from sklearn.linear_model import Ridge, RidgeCV

        # With forces, rows of one structure would be in several folds, which biases the errors.
        if self.gradients is not None or n_systems < _MIN_SYSTEMS:
            return Ridge(penalty)
        return RidgeCV(penalty * np.logspace(-2, 6, 9), cv=_FOLDS)


def read(name: str) -> Read:
    """Read the structures of files, a folder or a pattern."""
    structures, places = zip(*read_with_places(name), strict=True)
    return Read(list(structures), list(places))


def drawn(ctx: typer.Context, options, say, targets=None, data=None) -> Drawn:
    """Read, label and draw structures, and print the choice of parameters.

    Parameters
    ----------
    ctx : typer.Context
        For the options that were given.
    options : namespace
        The parameters of the command, by name.
    say : function
        Called with each line of output.
    targets : ndarray or None
        Totals of a separate file instead of the energies of the structures.
    data : Read or None
        The structures if they were read before.
    """
    data = read(options.fields) if data is None else data
    with naming(data.places):
        energies, source = _energies(data, options, targets)
        forces = forces_of(data.structures) if options.forces else None
        say(_summary(data.structures, energies, source))
        hint = _other_energy(data.structures, energies, source, forces is not None)
        if hint:
            say(hint)
        draw, tiling = _settings(ctx, options, data.structures, say)
        fields = draw.transform(data.structures)
        gradients = None
        if forces is not None:
            gradients = draw.position_gradients(data.structures, forces)
    chosen = {
        "plane": draw.plane,
        "spacing": list(draw.spacing_),
        "width": draw.width,
        "adjust": draw.adjust,
        "focus": list(tiling.focus),
        "context": list(tiling.context),
        "boundary": tiling.boundary,
        "baseline": options.baseline if is_given(ctx, "baseline") else "content",
    }
    if targets is None:
        chosen["energy"] = source
        options.unit = options.unit or "eV"
    options.baseline = chosen["baseline"]
    # For ``--save-config``, so that the next run uses the same parameters.
    ctx.params |= {name: _as_option(value) for name, value in chosen.items()}
    return Drawn(draw, fields, energies, gradients, tiling, chosen)


def read_for(model, name: str) -> Read:
    """Read structures for a model of them.

    Raises
    ------
    ValueError
        If the model is not one of structures.
    """
    if not is_of_structures(model):
        raise ValueError(
            f"{name} contains structures of atoms, but the model was fitted to arrays of fields. "
            "Fit a model to structures with `sk-ednn fit structures.extxyz`."
        )
    return read(name)


def is_of_structures(model) -> bool:
    """Return True if a model is a potential, or a Pipeline that begins with a rasteriser."""
    if isinstance(model, EDNNPotential):
        return True
    return isinstance(first_step(model), GaussianRasterizer)


# --- parts ------------------------------------------------------------------------------------


def _energies(data, options, targets):
    if targets is None:
        try:
            return energies_of(data.structures, options.energy)
        except ValueError as error:
            raise ValueError(f"{error} Use --energy NAME.") from error
    if options.energy is not None:
        raise ValueError(
            "--energy is for energies in the files of structures. Leave out --energy or TARGETS."
        )
    return targets, options.targets


def _summary(structures, energies, source) -> str:
    sizes = [len(structure) for structure in structures]
    species = sorted({int(z) for structure in structures for z in structure.numbers})
    atoms = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return (
        f"data: {len(structures)} structures of {atoms} atoms, {', '.join(map(symbol, species))}; "
        f"energies: {source!r}, {energies.min():.6g} to {energies.max():.6g}"
    )


def _other_energy(structures, energies, source, with_forces) -> str | None:
    """Return a hint if structures have different values of "energy" and "free_energy"."""
    other = {"energy": "free_energy", "free_energy": "energy"}.get(source)
    if other is None:
        return None
    try:
        apart = np.abs(energies_of(structures, other)[0] - energies).max()
    except ValueError:
        return None
    if apart <= 1e-6 * np.abs(energies).max():
        return None
    text = f"the files also have {other!r}, which differs by up to {apart:.3g} eV"
    if with_forces and source == "energy":
        text += ", and forces are its gradients"
    return f"{text}: use it with --energy {other}"


def _settings(ctx, options, structures, say):
    plane = options.plane
    if plane is None:
        plane, why_not = suited_plane(structures)
        say(f"plane: {plane}" + (f" ({why_not.partition('. ')[0]})" if why_not else ""))
    elif plane not in PLANES:
        raise ValueError(f"--plane must be one of {', '.join(PLANES)}; got {plane!r}.")
    d = len(plane)
    default_spacing, width, largest_focus, reach = _DEFAULTS[d]
    focus = _numbers("--focus", options.focus, d, int) if is_given(ctx, "focus") else None
    spacing = None if options.spacing is None else _numbers("--spacing", options.spacing, d, float)
    width = width if options.width is None else options.width
    atoms = gather(structures, plane)
    if spacing is None:
        spacing, focus, adjust = suited_pixels(atoms.lengths, default_spacing, largest_focus, focus)
    else:
        adjust, focus = 0.0, focus or _foci(atoms.lengths, spacing, largest_focus)
    adjust = adjust if options.adjust is None else options.adjust
    species = sorted({int(z) for structure in structures for z in structure.numbers})
    draw = GaussianRasterizer(
        spacing,
        width,
        plane=plane,
        weights={symbol(z): 1.0 for z in species},
        channels=tuple(symbol(z) for z in species),
        adjust=adjust,
        multiple=focus,
    ).fit(structures)
    boundary = options.boundary
    if not is_given(ctx, "boundary") and not any(draw.periodic_):
        boundary = "zero"
    if is_given(ctx, "context"):
        context = _numbers("--context", options.context, d, int)
    else:
        context = tuple(round(reach / s) for s in spacing)
        if boundary == "periodic":  # a wider context would contain parts of the cell twice
            pixels = np.rint(atoms.lengths.min(axis=0) / spacing).astype(int)
            context = tuple(min(c, int(n) // 2) for c, n in zip(context, pixels, strict=True))
    stretched = f", stretched by up to {100 * adjust:.2g} % (--adjust)" if adjust else ""
    say(
        f"pixels: {' x '.join(f'{s:.4g}' for s in spacing)} Å{stretched} (--spacing), Gaussians of "
        f"{width:g} Å (--width); focus {_joined(focus)}, context {_joined(context)} pixels"
    )
    tiling = GridTiling(
        focus, context, boundary=boundary, channel_axis=-1, remainder=options.remainder
    )
    return draw, tiling


def _foci(lengths, spacing, largest_focus):
    """Return the largest foci that divide all cells, for a given spacing."""
    pixels = np.rint(lengths / spacing).astype(int)
    whole = [int(np.gcd.reduce(along)) for along in pixels.T]
    return tuple(max(f for f in range(1, largest_focus + 1) if n % f == 0) for n in whole)


def _numbers(option, text, d, kind):
    """Return one number per axis, from one for all or from several separated by commas."""
    try:
        values = [kind(part) for part in str(text).split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, d) or not all(value >= 0 for value in values):
        raise ValueError(
            f"{option} must be {'an integer' if kind is int else 'a number'}, or {d} of them "
            f"separated by commas; got {text!r}."
        )
    return tuple(values * d) if len(values) == 1 else tuple(values)


def _as_option(value):
    return ",".join(map(repr, value)) if isinstance(value, list) else value


def _joined(values) -> str:
    return " x ".join(map(str, values))
