"""A fitted model as a calculator of ASE: energies, forces and stress for its simulations."""

from __future__ import annotations

import copy
import warnings

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from sklearn.utils.validation import check_is_fitted

from ..estimators._regressor import EDNNRegressor
from ..estimators._shift_averaged import ShiftAveraged
from ..estimators._unwrap import unwrap_search
from ..exceptions import NoveltyWarning, TileModelError
from ..fields._shifts import shared
from ..structures._cells import AXES
from ..uncertainty import TileNovelty
from ._drawing import draw_fields, gradients_of
from ._parameters import checked_slab
from ._rasterise import GaussianRasterizer

_PRECISIONS = (None, "float32", "float64")


class EDNNCalculator(Calculator):
    """Calculate energies, forces and stress of `ase.Atoms` with a fitted model.

    Parameters
    ----------
    model : Pipeline of a GaussianRasterizer and an EDNNRegressor, or a search over it; fitted
        Such as `sk_ednn.pretrained.load_sheets_model` returns. Its totals are energies in eV. With
        `ShiftAveraged` around the regressor, energies and what derives from them are the averages.
    precision : {None, "float32", "float64"}, default=None
        Of the fields and of networks; None for that of the model. In float64 forces are the
        derivative of the energy to ten digits, at two to three times the cost.
    slab : pair of float, default=None, in Å
        Where atoms may be along the normal of the plane, which its field does not hold, beside what
        the rasteriser says. None for nothing else; without either, sheets only are calculated.
    training : structures, default=None
        What the model was fitted to. The share of tiles that are unlike all of theirs is then
        calculated too; see `sk_ednn.uncertainty.novelty`.
    novel_above : float, default=0.1
        Warn when the share of novel tiles rises above this.
    check_every : int, default=1
        Look at the tiles of each such calculation only: it takes longer than the energy.
    **options : dict
        For `ase.calculators.calculator.Calculator`, such as `label`.

    Attributes
    ----------
    implemented_properties : list of str
        "energy" and "free_energy" (the same) in eV; "forces" in eV/Å, where the model can be
        differentiated; "stress" in eV/Å³, where its rasteriser may stretch pixels (`adjust` is not
        0); "tile_energies" in eV, of shape (n_x, n_y), whose sum is the energy; "novel", the
        share of novel tiles, with `training`.
    grid : tuple of int or None
        The number of pixels the last structure was drawn with.

    Raises
    ------
    TypeError
        If `model` is no such Pipeline.
    ValueError
        If a parameter is not what it must be, and from calculations: if positions are not finite,
        a species is unknown, a cell is not orthogonal, does not repeat in x and y or is not a
        whole number of pixels and tiles, or if an atom is outside of the slab.

    Notes
    -----
    Forces are the exact derivative of the energy, also where atoms pass from pixel to pixel, from
    tile to tile and through the cell. The field holds a projection onto the plane: forces along z
    are 0.

    The stress is the derivative of the energy with respect to a strain of cell, atoms and pixels
    together, by the volume of the cell: of a sheet, its vacuum included, as ASE's filters take it.
    Multiply by the cell's height for eV/Å². Entries out of the plane are 0. The number of pixels
    is kept as long as the atoms are the same ones, so that the energy is smooth in the strain; a
    cell that leaves the rasteriser's `adjust` is an error. It is a stress only for a model that
    was fitted to cells of many sizes, drawn with `adjust`: to any other a stretched pixel looks
    like one that is not.

    Results are kept until atoms move, as ASE does it. Energies are those of ``model.predict`` to
    rounding.

    Examples
    --------
    >>> from ase import Atoms
    >>> from sk_ednn.atoms import EDNNCalculator
    >>> from sk_ednn.datasets import load_sheets
    >>> from sk_ednn.pretrained import load_sheets_model
    >>> sheets = load_sheets(as_ase=True)
    >>> atoms = sheets.structures[0]
    >>> atoms.calc = EDNNCalculator(load_sheets_model())
    >>> per_atom = (atoms.get_potential_energy() - sheets.energies[0]) / len(atoms)
    >>> print(f"{1e3 * abs(per_atom):.0f} meV/atom, forces {atoms.get_forces().shape}")
    7 meV/atom, forces (59, 3)
    """

    def __init__(
        self,
        model,
        *,
        precision=None,
        slab=None,
        training=None,
        novel_above=0.1,
        check_every=1,
        **options,
    ):
        draw, regressor, shifts = _parts_of(model)
        if precision not in _PRECISIONS:
            raise ValueError(f"precision must be one of {_PRECISIONS}, got {precision!r}.")
        self._known = None
        if training is not None:
            self._known = TileNovelty(regressor, draw.transform(training))
        self._draw, self._terms, self._shifts = copy.copy(draw), regressor.fitted_terms(), shifts
        slab = checked_slab(slab, draw.plane)
        if slab is not None:
            # Beside that of the rasteriser, where it has one.
            low, high = zip(slab, slab if draw.slab is None else draw.slab, strict=True)
            self._draw.slab = max(low), min(high)
        if precision is not None:
            self._draw.dtype = precision
            self._terms = [
                (m.with_precision(precision) if hasattr(m, "with_precision") else m, tiling)
                for m, tiling in self._terms
            ]
        self.novel_above = novel_above
        self.check_every = int(check_every)
        self.grid = None
        self._n_calculated, self._warned = 0, False
        self.implemented_properties = ["energy", "free_energy", "forces"]
        if draw.adjust > 0:
            self.implemented_properties.append("stress")
        if len(self._terms) == 1:
            self.implemented_properties.append("tile_energies")
        if self._known is not None:
            self.implemented_properties.append("novel")
        super().__init__(**options)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Calculate properties; see `ase.calculators.calculator.Calculator.calculate`."""
        super().calculate(atoms, properties, system_changes)
        if system_changes:
            self.results = {}
        system = self._draw._gathered([self.atoms])
        shape = self._shape(system, system_changes)
        field = draw_fields(self._draw, system, shape[None])[0]
        needs_slope = not {"forces", "stress"}.isdisjoint(properties)
        energy, slope = self._mean(field, needs_slope)
        self.results |= {"energy": energy, "free_energy": energy}
        if needs_slope:
            self._differentiate(system, shape, slope)
        if "tile_energies" in properties:
            self.results["tile_energies"] = self._tile_energies(field)
        if self._known is not None:
            if self._n_calculated % self.check_every == 0 or "novel" in properties:
                self._compare(field)
            self._n_calculated += 1

    def _mean(self, field, needs_slope):
        """Return the mean of the energy over the shifts of the model, and its derivative."""
        energy, slope, axes = 0.0, 0.0, tuple(range(self._shifts.shape[1]))
        for shift in self._shifts:
            moved = np.roll(field, -shift, axes) if shift.any() else field
            for tile_model, tiling in self._terms:
                total, of_term = tile_model.total_and_gradient(tiling, moved, needs_slope)
                energy += total
                if needs_slope:
                    slope = slope + (np.roll(of_term, shift, axes) if shift.any() else of_term)
        n = len(self._shifts)
        return (energy, slope) if n == 1 else (energy / n, slope / n)

    def _differentiate(self, system, shape, slope):
        (drawn,) = gradients_of(self._draw, system, shape[None])
        slope = self._draw._channels_first(slope)
        pulled = drawn.pull(slope)
        forces = np.zeros((len(pulled), 3))
        axes = list(AXES[self._draw.plane])
        forces[:, axes] = -pulled
        self.results["forces"] = forces
        if "stress" in self.implemented_properties:
            volume = self.atoms.cell.volume
            if volume == 0:
                # Without a third edge there is none; forces do not need it.
                return
            stress = np.zeros((3, 3))
            stress[np.ix_(axes, axes)] = drawn.strain(slope) / volume
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)

    def get_property(self, name, atoms=None, allow_calculation=True):
        """Return a property; see `ase.calculators.calculator.Calculator.get_property`."""
        if name == "stress" and name not in self.implemented_properties:
            raise PropertyNotImplementedError(
                "The model knows one distance of pixels, as its rasteriser was made with adjust=0: "
                "it has no stress. Fit to cells of many sizes with GaussianRasterizer(adjust=...)."
            )
        return super().get_property(name, atoms, allow_calculation)

    def _shape(self, system, system_changes):
        """Return the number of pixels, kept while the atoms are the same ones."""
        adjust = self._draw.adjust
        if self.grid is None or adjust == 0 or not {"numbers", "pbc"}.isdisjoint(system_changes):
            self.grid = tuple(self._draw._shapes(system.lengths)[0].tolist())
            for _, tiling in self._terms:
                channels = () if self._draw.channels_ is None else (len(self._draw.channels_),)
                tiling.tile_grid((*self.grid, *channels))
            return np.array(self.grid)
        shape = np.array(self.grid)
        stretch = system.lengths[0] / (shape * self._draw.spacing_) - 1
        if np.any(np.abs(stretch) > adjust):
            raise ValueError(
                f"The cell is now {system.lengths[0].tolist()} Å along x and y, and its {shape} "
                f"pixels are stretched by {(100 * stretch).round(2).tolist()} %, more than "
                f"adjust={adjust:g} allows. With other numbers of pixels the energy would jump: "
                "start from a new calculator, or fit with a larger adjust."
            )
        return shape

    def _tile_energies(self, field):
        ((tile_model, tiling),) = self._terms
        grid = tuple(tiling.tile_grid(field.shape))
        axes, found = tuple(range(self._shifts.shape[1])), np.zeros(grid)
        focus = tiling.focus_shape(tile_model.tile_shape)
        for shift in self._shifts:
            tiles = tiling.tiles(np.roll(field, -shift, axes)[None]).array()
            found += shared(tile_model.predict(tiles)[:, 0].reshape(grid), shift, focus)
        return found / len(self._shifts)

    def _compare(self, field):
        share = float(self._known.compare(field[None]).share[0])
        self.results["novel"] = share
        above = share > self.novel_above
        if above and not self._warned:
            warnings.warn(
                f"{100 * share:.0f} % of the tiles are unlike all tiles the model was fitted to "
                f"(novel_above={self.novel_above:g}): its energies and forces are guesses"
                " here. Fit to structures like this one, or stop.",
                NoveltyWarning,
                stacklevel=2,
            )
        self._warned = above


def _parts_of(model):
    """Return the rasteriser, the regressor, and the shifts over which it is averaged."""
    model = unwrap_search(model)
    steps = [step for _, step in getattr(model, "steps", [])]
    averaged = steps[-1] if steps and isinstance(steps[-1], ShiftAveraged) else None
    if averaged is not None:
        check_is_fitted(averaged)
        steps[-1] = averaged.estimator_
    if (
        len(steps) != 2
        or not isinstance(steps[0], GaussianRasterizer)
        or not isinstance(steps[1], EDNNRegressor)
    ):
        found = " and ".join(type(step).__name__ for step in steps) or type(model).__name__
        raise TypeError(
            "Expected a fitted Pipeline of a GaussianRasterizer and an EDNNRegressor, as "
            f"make_pipeline(rasterizer, regressor) makes it, with ShiftAveraged around the "
            f"regressor or not. Got {found}."
        )
    for step in steps:
        check_is_fitted(step)
    if steps[1].n_outputs_ > 1:
        raise TileModelError(
            f"An energy is one number a structure, the model predicts {steps[1].n_outputs_}."
        )
    at_rest = np.zeros((1, len(steps[0].spacing_)), dtype=int)
    return *steps, at_rest if averaged is None else averaged.shifts_
