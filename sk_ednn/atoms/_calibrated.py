"""Errors on structures held out of the fit of a potential, kept for intervals of others."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.stacklevel import outside_package
from ..exceptions import DataWarning
from ..structures._files import naming
from ._held_out import held_out_errors, mean_novelty, relative_widths, std_factors
from ._known_structures import digests_of
from ._potential_committee import PotentialCommittee, members_of
from ._potential_data import labelled
from ._potentials import check_species
from ._structure_errors import compared


class CalibratedPotential:
    """The part of `EDNNPotential` that measures errors on structures held out, and uses them."""

    def calibrate(self, structures, y=None, *, forces=None):
        """Measure errors on structures that were held out of the fit, and keep them.

        They go to the attributes ``held_out_`` and ``held_out_forces_``, and with these into the
        model file, so that `predict_interval`, calculators and ``sk-ednn predict`` know how large
        errors are. A new fit removes them.

        Parameters
        ----------
        structures, y, forces
            As in `fit`. Structures of the fit are left out, with a warning.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If all structures are those of the fit, or none has a known energy.

        Warns
        -----
        DataWarning
            If some structures are those of the fit.
        """
        check_is_fitted(self)
        data = labelled(structures, y, forces, False, self.labels)
        check_species(self.species_, data.structures, data.places)
        known = np.isin(digests_of(data.structures), getattr(self, "digests_", ()))
        if known.all():
            raise ValueError(
                f"All {len(known)} structures were learned from, so their errors say nothing about "
                "others. Pass structures that were held out of the fit."
            )
        if known.any():
            warnings.warn(
                f"{known.sum()} of {len(known)} structures were learned from; they are left out of "
                "the calibration.",
                DataWarning,
                stacklevel=outside_package(),
            )
            energies = np.where(known, np.nan, data.energies)
            forces = np.where(known[data.structures.owners][:, None], np.nan, data.forces)
            data = replace(data, energies=energies, forces=forces)
        return self._keep_held_out(compared(self, data, novelty=True))

    def predict_interval(self, structures, level=0.9):
        """Predict energies, and half the width of the intervals that contain most true ones.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures
            Like those of `calibrate`. Intervals grow with the number of atoms, their novelty and,
            of several networks, their spread.
        level : float, default=0.9
            Share of the true energies that is to be inside.

        Returns
        -------
        energies, half_width : ndarray of shape (n_structures,), in eV

        Raises
        ------
        ValueError
            If no errors of structures held out are known, or too few.
        """
        batch, places = self._checked(structures)
        if not hasattr(self, "held_out_"):
            raise ValueError(
                "The potential has no errors of structures held out of its fit. Measure them: "
                "potential.calibrate(structures)."
            )
        std, novelty = None, None
        if isinstance(self.potential_, PotentialCommittee):
            mean, std = self._with_std(batch, places)
        else:
            with naming(places):
                mean = self.potential_.predict(batch)
        if self.held_out_.novelty is not None:
            novelty = np.split(self._novelty_of(batch), batch.offsets[1:-1])
        self._warn_of_far(batch, places)
        return mean.energies, self._half_width(batch, std, novelty, level)

    def _half_width(self, structures, std, novelty, level=0.9):
        """Return half the width of intervals of energies, from deviations and novelty if known."""
        return self.held_out_.half_width(
            structures.sizes,
            std=None if std is None else std.energies,
            novelty=mean_novelty(novelty),
            widths=self._widths(structures),
            level=level,
        )[:, 0]

    def _widening(self, structures, std, novelty):
        """Return by how much intervals are wider; see `HeldOutErrors.widening`."""
        return self.held_out_.widening(
            structures.sizes,
            std=None if std is None else std.energies,
            novelty=mean_novelty(novelty),
            widths=self._widths(structures),
        )

    def _widths(self, structures):
        """Return the widths of cells in units of the reach; None for models of images."""
        return relative_widths(structures, self._reach)

    @property
    def _reach(self):
        """The cutoff of the fitted potential; None for models of images."""
        one = members_of(self.potential_)[0]
        network = getattr(one, "network", None)
        return one.cutoff if network is None else network.representation.cutoff

    @property
    def std_factors(self):
        """How many times larger errors are than the deviations over the members.

        ``"energy"``: so that two thirds of the errors of structures held out are below the product.
        ``"forces"``: of the root mean squares over structures, in the median. Left out if they are
        not known; see `calibrate`. Calculators and ``sk-ednn predict`` multiply deviations by it.
        """
        return std_factors(self)

    def _keep_held_out(self, part):
        """Keep the errors of structures that were held out; return self."""
        found = held_out_errors(part, self._reach)
        if not found.energies.n_systems:
            raise ValueError("None of the structures held out has a known energy.")
        self._forget_held_out()
        self.held_out_ = found.energies
        has_energy = np.flatnonzero(~np.isnan(part.data.energies))
        self.held_out_digests_ = digests_of(part.data.structures.take(has_energy))
        if found.forces is not None:
            self.held_out_forces_ = found.forces
        return self

    def _forget_held_out(self):
        for name in ("held_out_", "held_out_forces_", "held_out_digests_"):
            self.__dict__.pop(name, None)
