"""An ASE calculator for models of images."""

from __future__ import annotations

import copy
import warnings

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from sklearn.utils.validation import check_is_fitted

from .._utils.stacklevel import outside_package
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
        A model that predicts energies in eV, for example from
        `sk_ednn.pretrained.load_sheets_model`. The regressor may be a `ShiftAveraged` one.
    precision : {None, "float32", "float64"}, default=None
        Precision of fields and networks; None for that of the model. In float64 the forces equal
        the negative gradient of the energy to ten digits, at two to three times the cost.
    slab : pair of float, default=None, in Å
        Allowed range of positions along the normal of the plane, in addition to the slab of the
        rasteriser. If both are None, structures must be sheets.
    training : structures, default=None
        The structures to which the model was fitted. If given, the share of novel tiles is
        calculated too; see `sk_ednn.uncertainty.novelty`.
    novel_above : float, default=0.1
        Warn if the share of novel tiles is above this.
    check_every : int, default=1
        Compute the share of novel tiles in every such calculation, since it takes longer than the
        energy.
    **options : dict
        Parameters of `ase.calculators.calculator.Calculator`, such as `label`.

    Attributes
    ----------
    implemented_properties : list of str
        "energy" and "free_energy" (equal) in eV; "forces" in eV/Å, if the model has gradients;
        "stress" in eV/Å³, if `adjust` of the rasteriser is not 0; "tile_energies" in eV, of shape
        (n_x, n_y), whose sum is the energy; "novel", the share of novel tiles, with `training`.
    grid : tuple of int or None
        The number of pixels of the last structure.

    Raises
    ------
    TypeError
        If `model` is not such a Pipeline.
    ValueError
        If a parameter is invalid. Calculations raise it if positions are not finite, a species is
        unknown, an atom is outside of the slab, or the cell is not orthogonal, not periodic along
        x and y, or not a whole number of pixels and tiles.

    Notes
    -----
    Forces are the exact negative gradient of the energy, also where atoms cross borders of pixels,
    tiles and the cell. The field is a projection onto the plane, so forces along its normal are 0.

    The stress is the gradient of the energy with respect to a strain of cell, atoms and pixels,
    divided by the volume of the cell. The volume of a sheet includes the vacuum, as ASE's filters
    assume; multiply by the height of the cell for eV/Å². Components out of the plane are 0. The
    number of pixels is constant as long as the atoms are the same, so the energy is a smooth
    function of the strain; a strain beyond `adjust` of the rasteriser is an error. The stress is
    meaningful only for models that were fitted to cells of many sizes with `adjust`, since other
    models cannot distinguish stretched pixels from unstretched ones.

    Results are cached until atoms move. Energies equal those of ``model.predict`` up to rounding.

    Examples
    --------
    >>> from ase import Atoms
    >>> from sk_ednn.atoms import EDNNCalculator
    >>> from sk_ednn.datasets import load_sheets
    >>> from sk_ednn.pretrained import load_sheets_model
    >>> sheets = load_sheets(as_ase=True)
    >>> atoms = sheets.structures[0]
    >>> atoms.calc = EDNNCalculator(load_sheets_model("image"))
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
            # The intersection with the slab of the rasteriser.
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
        needs_gradient = not {"forces", "stress"}.isdisjoint(properties)
        energy, gradient = self._mean(field, needs_gradient)
        self.results |= {"energy": energy, "free_energy": energy}
        if needs_gradient:
            self._differentiate(system, shape, gradient)
        if "tile_energies" in properties:
            self.results["tile_energies"] = self._tile_energies(field)
        if self._known is not None:
            if self._n_calculated % self.check_every == 0 or "novel" in properties:
                self._compare(field)
            self._n_calculated += 1

    def _mean(self, field, needs_gradient):
        """Return the mean of the energy over the shifts of the model, and its gradient."""
        energy, gradient, axes = 0.0, 0.0, tuple(range(self._shifts.shape[1]))
        for shift in self._shifts:
            moved = np.roll(field, -shift, axes) if shift.any() else field
            for tile_model, tiling in self._terms:
                total, of_term = tile_model.total_and_gradient(tiling, moved, needs_gradient)
                energy += total
                if needs_gradient:
                    gradient = gradient + (
                        np.roll(of_term, shift, axes) if shift.any() else of_term
                    )
        n = len(self._shifts)
        return (energy, gradient) if n == 1 else (energy / n, gradient / n)

    def _differentiate(self, system, shape, gradient):
        (drawn,) = gradients_of(self._draw, system, shape[None])
        gradient = self._draw._channels_first(gradient)
        pulled = drawn.pull(gradient)
        forces = np.zeros((len(pulled), 3))
        axes = list(AXES[self._draw.plane])
        forces[:, axes] = -pulled
        self.results["forces"] = forces
        if "stress" in self.implemented_properties:
            volume = self.atoms.cell.volume
            if volume == 0:
                # A cell without a third edge has no volume, but it has forces.
                return
            stress = np.zeros((3, 3))
            stress[np.ix_(axes, axes)] = drawn.strain(gradient) / volume
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)

    def get_property(self, name, atoms=None, allow_calculation=True):
        """Return a property; see `ase.calculators.calculator.Calculator.get_property`."""
        if name == "stress" and name not in self.implemented_properties:
            raise PropertyNotImplementedError(
                "The model was fitted with GaussianRasterizer(adjust=0), so it has no stress. Fit "
                "it to cells of many sizes with GaussianRasterizer(adjust=...)."
            )
        return super().get_property(name, atoms, allow_calculation)

    def _shape(self, system, system_changes):
        """Return the number of pixels, constant as long as the atoms are the same."""
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
                f"adjust={adjust:g} allows. Another number of pixels would change the energy "
                "discontinuously. Make a new calculator, or fit with a larger adjust."
            )
        return shape

    def _tile_energies(self, field):
        ((tile_model, tiling),) = self._terms
        grid = tuple(tiling.tile_grid(field.shape))
        axes, energies = tuple(range(self._shifts.shape[1])), np.zeros(grid)
        focus = tiling.focus_shape(tile_model.tile_shape)
        for shift in self._shifts:
            tiles = tiling.tiles(np.roll(field, -shift, axes)[None]).array()
            energies += shared(tile_model.predict(tiles)[:, 0].reshape(grid), shift, focus)
        return energies / len(self._shifts)

    def _compare(self, field):
        share = float(self._known.compare(field[None]).share[0])
        self.results["novel"] = share
        above = share > self.novel_above
        if above and not self._warned:
            warnings.warn(
                f"{100 * share:.0f} % of the tiles are unlike all tiles of the training data "
                f"(novel_above={self.novel_above:g}), so energies and forces may be wrong. Fit to "
                "structures like this one.",
                NoveltyWarning,
                stacklevel=outside_package(),
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
        names = " and ".join(type(step).__name__ for step in steps) or type(model).__name__
        raise TypeError(
            "Expected a fitted Pipeline of a GaussianRasterizer and an EDNNRegressor or "
            f"ShiftAveraged(EDNNRegressor), such as make_pipeline(rasterizer, regressor); got "
            f"{names}."
        )
    for step in steps:
        check_is_fitted(step)
    if steps[1].n_outputs_ > 1:
        raise TileModelError(
            f"Expected a model with one output, the energy; got one with {steps[1].n_outputs_}."
        )
    at_rest = np.zeros((1, len(steps[0].spacing_)), dtype=int)
    return *steps, at_rest if averaged is None else averaged.shifts_
