"""An ASE calculator for fitted potentials."""

from __future__ import annotations

import copy
import warnings

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from .._utils.stacklevel import outside_package
from ..exceptions import NoveltyWarning
from ..structures import Structures
from ..structures._elements import symbol
from ._far_structures import warn_of_expansion
from ._held_out import scaled
from ._potential_committee import PotentialCommittee
from ._potential_errors import knows_stress
from ._potentials import DrawnPotential, check_species

# Steps of dynamics and relaxations are smaller, in Å.
_LARGEST_STEP = 0.5


class PotentialCalculator(Calculator):
    """Calculate energies, forces and stress of `ase.Atoms` with a fitted potential.

    Returned by `EDNNPotential.calculator`.

    Parameters
    ----------
    potential : EDNNPotential
        Fitted.
    novel_above : float or None, default=3.0
        Warn if the novelty of an atom is above this; see `EDNNPotential.novelty`. None to compute
        no novelty unless it is requested.
    check_every : int, default=10
        Compute the novelty in every such calculation, since it costs about as much as forces, and
        in those of other structures than a step of dynamics or of a relaxation leads to.
    precision : {None, "float32", "float64"}, default=None
        Precision of a network; None for that of the fit. In float64 forces equal the negative
        gradient of the energy to ten digits, at two to three times the cost.
    **options : dict
        Parameters of `ase.calculators.calculator.Calculator`, such as `label`.

    Attributes
    ----------
    implemented_properties : list of str
        "energy" and "free_energy" (equal) in eV; "forces" in eV/Å; "stress" in eV/Å³; "energies"
        of atoms in eV, whose sum is the energy; "novelty" of atoms. Of several networks also
        "energy_std" in eV and "forces_std" in eV/Å, their deviations times
        `EDNNPotential.std_factors`, if those are known. Of a potential with errors of structures
        held out (see `EDNNPotential.calibrate`) also "energy_half_width" in eV, half the width of
        the interval that contains nine of ten energies; computed on request, as it may need the
        novelty.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from ase.optimize import BFGS
    >>> from sk_ednn.atoms import EDNNPotential
    >>> cells = [bulk("Cu", cubic=True, a=3.5 + 0.02 * k) for k in range(10)]
    >>> for k, cell in enumerate(cells):
    ...     cell.rattle(0.1, seed=k)
    ...     cell.calc = EMT()
    >>> potential = EDNNPotential(cutoff=4.5, max_epochs=60, random_state=0).fit(cells)
    >>> atoms = cells[0].copy()
    >>> atoms.calc = potential.calculator()
    >>> bool(BFGS(atoms, logfile=None).run(fmax=0.05))
    True
    """

    def __init__(self, potential, *, novel_above=3.0, check_every=10, precision=None, **options):
        # A copy, since a potential that is fitted again has attributes of another fit.
        self._estimator = copy.copy(potential)
        self._fitted = with_precision(potential.potential_, precision)
        self.novel_above, self.check_every = novel_above, int(check_every)
        self._n_calculated, self._warned, self._last = 0, False, None
        self.implemented_properties = ["energy", "free_energy", "forces"]
        if knows_stress(self._fitted):
            self.implemented_properties.append("stress")
        if not isinstance(self._fitted, DrawnPotential):
            self.implemented_properties += ["energies", "novelty"]
        self._has_std = isinstance(self._fitted, PotentialCommittee)
        if self._has_std:
            self.implemented_properties += ["energy_std", "forces_std"]
        held_out = getattr(potential, "held_out_", None)
        if held_out is not None and held_out.suffices():
            self.implemented_properties.append("energy_half_width")
        super().__init__(**options)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Calculate properties; see `ase.calculators.calculator.Calculator.calculate`."""
        super().calculate(atoms, properties, system_changes)
        if system_changes:
            self.results = {}
        structures = Structures.of([self.atoms])
        check_species(self._estimator.species_, structures, ["The structure"])
        has_volume = structures.volumes[0] > 0 and structures.pbc.any()
        needs_novelty = {"novelty", "energy_half_width"}
        needs_gradient = not {"forces", "stress", "forces_std"}.isdisjoint(properties)
        wanted = {
            "forces": needs_gradient,
            "stress": needs_gradient and has_volume and "stress" in self.implemented_properties,
            "per_atom": "energies" in self.implemented_properties,
        }
        unscaled = None
        if self._has_std:
            predicted, unscaled = self._fitted.predict_with_std(structures, **wanted)
            std = scaled(unscaled, self._estimator.std_factors)
            self.results["energy_std"] = float(std.energies[0])
            if std.forces is not None:
                self.results["forces_std"] = std.forces
        else:
            predicted = self._fitted.predict(structures, **wanted)
        energy = float(predicted.energies[0])
        self.results |= {"energy": energy, "free_energy": energy}
        if predicted.contributions is not None:
            self.results["energies"] = predicted.contributions
        if predicted.forces is not None:
            self.results["forces"] = predicted.forces
        if predicted.stress is not None:
            self.results["stress"] = predicted.stress[0]
        if "stress" in properties and not has_volume:
            raise PropertyNotImplementedError(
                "A structure without a periodic cell has no stress. Set its cell and pbc."
            )
        if self._is_other(structures):
            self._n_calculated = 0
        if "novelty" in self.implemented_properties:
            self._check_novelty(structures, not needs_novelty.isdisjoint(properties))
        if "energy_half_width" in properties:
            novelty = self.results.get("novelty")
            half_width = self._estimator._half_width(
                structures, unscaled, None if novelty is None else [novelty]
            )
            self.results["energy_half_width"] = float(half_width[0])
        if self._n_calculated == 0 and self.novel_above is not None:
            distances = getattr(self._estimator, "distances_", {})
            warn_of_expansion(distances, structures, ["The structure"])
        self._n_calculated += 1

    def _is_other(self, structures) -> bool:
        """Return True if a structure is no small step from the last one."""
        last, self._last = self._last, structures
        if last is None or len(last.numbers) != len(structures.numbers):
            return True
        if (last.numbers != structures.numbers).any() or (last.pbc != structures.pbc).any():
            return True
        moved = np.abs(last.positions - structures.positions).max()
        return bool(max(moved, np.abs(last.cells - structures.cells).max()) > _LARGEST_STEP)

    def _check_novelty(self, structures, requested):
        due = self.novel_above is not None and self._n_calculated % self.check_every == 0
        if not (requested or due) or self._estimator.novelty_ is None:
            return
        novelty = self._estimator._novelty_of(structures)
        self.results["novelty"] = novelty
        if self.novel_above is None:
            return
        above = bool(novelty.max() > self.novel_above)
        if above and not self._warned:
            atom = int(novelty.argmax())
            warnings.warn(
                f"{int((novelty > self.novel_above).sum())} of {len(novelty)} atoms have "
                f"surroundings unlike those of the training data. The largest novelty is "
                f"{novelty[atom]:.3g}, of atom {atom} ({symbol(int(structures.numbers[atom]))}). "
                "Energies and forces may be wrong. Fit to structures like this one.",
                NoveltyWarning,
                stacklevel=outside_package(),
            )
        self._warned = above


def with_precision(potential, precision):
    """Return a potential with a network of another precision.

    Parameters
    ----------
    potential : AtomicPotential, PotentialCommittee, TiledPotential or DrawnPotential
    precision : {None, "float32", "float64"}
    """
    if precision not in (None, "float32", "float64"):
        raise ValueError(f"precision must be None, 'float32' or 'float64'; got {precision!r}.")
    if isinstance(potential, PotentialCommittee):
        return PotentialCommittee([with_precision(each, precision) for each in potential.members])
    if precision is None or not hasattr(potential, "network"):
        return potential
    import dataclasses

    network = copy.deepcopy(potential.network)
    network = network.double() if precision == "float64" else network.float()
    return dataclasses.replace(potential, network=network)
