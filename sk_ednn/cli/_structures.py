"""Structures of atoms on the command line: files, labels, and the settings to begin with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import typer

from ..atoms import EDNNPotential, GaussianRasterizer, energies_of, forces_of
from ..atoms._choices import PLANES, suited_pixels, suited_plane
from ..structures._elements import symbol
from ..structures._files import naming, read_with_places
from ..structures._structure import gather
from ..tiling import GridTiling

# By the number of axes of a field: wished spacing in Å, width in Å, the largest focus in pixels,
# and the context in Å.
_BEGINNINGS = {2: (0.4, 0.4, 4, 4.0), 3: (0.45, 0.5, 2, 2.0)}
# Principal components of tiles in three dimensions, and the points of a kernel over them.
_COMPONENTS, _POINTS = 40, 300
# Systems below which none are spared to choose a penalty, and the folds where it is.
_LEAST, _FOLDS = 10, 5


class Read(NamedTuple):
    """Structures, and where each is."""

    structures: list
    places: list[str]


class Drawn(NamedTuple):
    """What is fitted: fields of structures, their energies, and what is known of gradients."""

    draw: GaussianRasterizer
    fields: Any  # ndarray, or list of them
    energies: np.ndarray
    gradients: list | None
    tiling: GridTiling
    chosen: dict[str, Any]  # options, by name

    def systems(self) -> tuple:
        """Return fields, energies, how they are tiled, and no encoder of their values."""
        return self.fields, self.energies, self.tiling, None

    def gradients_of(self, some) -> list | None:
        """Return what is known of the gradients of some structures."""
        return None if self.gradients is None else [self.gradients[k] for k in some]

    def piped(self, regressor):
        """Return the model of structures, with this model of fields in it."""
        from sklearn.pipeline import make_pipeline

        return make_pipeline(self.draw, regressor)

    def tile_model(self, fields):
        """Return a tile model to begin with, its name, and why it is that one."""
        draw, tiling = self.draw, self.tiling
        from sklearn.pipeline import make_pipeline

        if draw.plane != "xyz" and draw.angles_ == (90.0,):
            from ..atoms import LocalInvariants

            describe = LocalInvariants(
                tiling.focus, tiling.context, draw.spacing_, n_channels=len(draw.channels_)
            )
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
        why = "structures in three dimensions" if draw.plane == "xyz" else "pixels are slanted"
        return make_pipeline(*steps), "components", why

    def _ridge(self, n_systems, penalty):
        from sklearn.linear_model import Ridge, RidgeCV

        # Forces are rows of the same structures in several folds, which then judge nothing.
        if self.gradients is not None or n_systems < _LEAST:
            return Ridge(penalty)
        return RidgeCV(penalty * np.logspace(-2, 6, 9), cv=_FOLDS)


def read(name: str) -> Read:
    """Read the structures of files, a folder or a pattern."""
    structures, places = zip(*read_with_places(name), strict=True)
    return Read(list(structures), list(places))


def drawn(ctx: typer.Context, asked, say, targets=None, found=None) -> Drawn:
    """Read, label and draw structures as the options say, and say what was chosen.

    Parameters
    ----------
    ctx : typer.Context
        Tells which options were given.
    asked : namespace
        The parameters of the command, by name.
    say : function
        Called with each line on what was chosen.
    targets : ndarray or None
        Totals of a file of their own, in place of the energies that structures carry.
    found : Read or None
        The structures, where they are read already.
    """
    found = read(asked.fields) if found is None else found
    with naming(found.places):
        energies, source = _energies(found, asked, targets)
        forces = forces_of(found.structures) if asked.forces else None
        say(_summary(found.structures, energies, source))
        hint = _other_energy(found.structures, energies, source, forces is not None)
        if hint:
            say(hint)
        draw, tiling = _settings(ctx, asked, found.structures, say)
        fields = draw.transform(found.structures)
        gradients = None
        if forces is not None:
            gradients = draw.position_gradients(found.structures, forces)
    chosen = {
        "plane": draw.plane,
        "spacing": list(draw.spacing_),
        "width": draw.width,
        "adjust": draw.adjust,
        "focus": list(tiling.focus),
        "context": list(tiling.context),
        "boundary": tiling.boundary,
        "baseline": asked.baseline if _given(ctx, "baseline") else "content",
    }
    if targets is None:
        chosen["energy"] = source
        asked.unit = asked.unit or "eV"
    asked.baseline = chosen["baseline"]
    # For ``--save-config``: what was chosen this time is what is meant the next time.
    ctx.params |= {name: _as_option(value) for name, value in chosen.items()}
    return Drawn(draw, fields, energies, gradients, tiling, chosen)


def read_for(model, name: str) -> Read:
    """Read structures for a model of them.

    Raises
    ------
    ValueError
        Where the model is none of structures.
    """
    if not is_of_structures(model):
        raise ValueError(
            f"{name} contains structures of atoms, and the model was fitted to arrays of fields. "
            "Fit it to structures, as `sk-ednn fit structures.extxyz` does."
        )
    return read(name)


def is_of_structures(model) -> bool:
    """Tell whether a model is a potential, or begins with a rasteriser."""
    if isinstance(model, EDNNPotential):
        return True
    return isinstance(getattr(model, "steps", [(None, None)])[0][1], GaussianRasterizer)


# --- what is chosen, and said -----------------------------------------------------------------


def _given(ctx, name) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _energies(found, asked, targets):
    if targets is None:
        try:
            return energies_of(found.structures, asked.energy)
        except ValueError as error:
            raise ValueError(f"{error} On the command line: --energy NAME.") from error
    if asked.energy is not None:
        raise ValueError("--energy names an energy in the files of structures; leave out TARGETS.")
    if len(targets) != len(found.structures):
        raise ValueError(
            f"{asked.fields} contains {len(found.structures)} structures, but {asked.targets} "
            f"holds {len(targets)} targets."
        )
    return targets, asked.targets


def _summary(structures, energies, source) -> str:
    sizes = [len(structure) for structure in structures]
    species = sorted({int(z) for structure in structures for z in structure.numbers})
    atoms = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return (
        f"data: {len(structures)} structures of {atoms} atoms, "
        f"{', '.join(map(symbol, species))}; energies: {source!r}, "
        f"{energies.min():.6g} to {energies.max():.6g}"
    )


def _other_energy(structures, energies, source, with_forces) -> str | None:
    """A line where "energy" and "free_energy" are both there, and are not the same."""
    other = {"energy": "free_energy", "free_energy": "energy"}.get(source)
    if other is None:
        return None
    try:
        apart = np.abs(energies_of(structures, other)[0] - energies).max()
    except ValueError:
        return None
    if apart <= 1e-6 * np.abs(energies).max():
        return None
    said = f"the files also have {other!r}, up to {apart:.3g} eV away: --energy {other} takes it"
    if with_forces and source == "energy":
        said += ", and forces are its derivatives"
    return said


def _settings(ctx, asked, structures, say):
    plane = asked.plane
    if plane is None:
        plane, why_not = suited_plane(structures)
        say(f"plane: {plane}" + (f" ({why_not.partition('. ')[0]})" if why_not else ""))
    elif plane not in PLANES:
        raise ValueError(f"--plane must be one of {', '.join(PLANES)}; got {plane!r}.")
    d = len(plane)
    wished, width, largest_focus, reach = _BEGINNINGS[d]
    focus = _numbers("--focus", asked.focus, d, int) if _given(ctx, "focus") else None
    spacing = None if asked.spacing is None else _numbers("--spacing", asked.spacing, d, float)
    width = width if asked.width is None else asked.width
    atoms = gather(structures, plane)
    if spacing is None:
        spacing, focus, adjust = suited_pixels(atoms.lengths, wished, largest_focus, focus)
    else:
        adjust, focus = 0.0, focus or _foci(atoms.lengths, spacing, largest_focus)
    adjust = adjust if asked.adjust is None else asked.adjust
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
    boundary = asked.boundary
    if not _given(ctx, "boundary") and not any(draw.periodic_):
        boundary = "zero"
    if _given(ctx, "context"):
        context = _numbers("--context", asked.context, d, int)
    else:
        context = tuple(round(reach / s) for s in spacing)
        if boundary == "periodic":  # beyond half of a cell a tile sees parts of it twice
            pixels = np.rint(atoms.lengths.min(axis=0) / spacing).astype(int)
            context = tuple(min(c, int(n) // 2) for c, n in zip(context, pixels, strict=True))
    stretched = f", stretched by up to {100 * adjust:.2g} % (--adjust)" if adjust else ""
    say(
        f"pixels: {' x '.join(f'{s:.4g}' for s in spacing)} Å{stretched} (--spacing), Gaussians of "
        f"{width:g} Å (--width); focus {_joined(focus)}, context {_joined(context)} pixels"
    )
    tiling = GridTiling(
        focus, context, boundary=boundary, channel_axis=-1, remainder=asked.remainder
    )
    return draw, tiling


def _foci(lengths, spacing, largest_focus):
    """The largest foci that divide all cells, of pixels that were given."""
    pixels = np.rint(lengths / spacing).astype(int)
    whole = [int(np.gcd.reduce(along)) for along in pixels.T]
    return tuple(max(f for f in range(1, largest_focus + 1) if n % f == 0) for n in whole)


def _numbers(option, text, d, kind):
    """One number for all axes, or one each with commas."""
    try:
        values = [kind(part) for part in str(text).split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, d) or not all(value >= 0 for value in values):
        raise ValueError(
            f"{option} must be a {'whole ' * (kind is int)}number, or {d} of them with commas; got "
            f"{text!r}."
        )
    return tuple(values * d) if len(values) == 1 else tuple(values)


def _as_option(value):
    return ",".join(map(repr, value)) if isinstance(value, list) else value


def _joined(values) -> str:
    return " x ".join(map(str, values))
