"""The potential as an estimator: it maps structures to energies, forces and stresses."""

from __future__ import annotations

import sys
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from .._utils.optional import needing
from .._utils.stacklevel import outside_package
from .._utils.stored import stored
from ..estimators._targets import ScoredByTotals
from ..exceptions import DataWarning, TileModelError
from ..fields._in_memory import as_groups
from ..structures._files import naming
from ._atom_novelty import AtomNovelty
from ._calibrated import CalibratedPotential
from ._far_structures import nearest_distances, warn_of_far_structures
from ._known_structures import digests_of
from ._potential_checks import data_notes
from ._potential_committee import PotentialCommittee
from ._potential_data import labelled, packed, summary
from ._potential_errors import errors_of, knows_stress
from ._potential_kinds import features_of, kind_of
from ._potential_trial import try_potential
from ._potentials import check_species, models_of


@stored("EDNNPotential", functions=("model",))
class EDNNPotential(ScoredByTotals, CalibratedPotential, BaseEstimator):
    """Fit and predict energies, forces and stresses of structures in one call.

    The energy of a structure is a sum of atomic energies, plus a function of the surroundings of
    each atom (or of each tile of an image), summed. The potential learns the labels of the
    structures: energies, and forces and stresses if they are known.

    Parameters
    ----------
    model : str, AbstractDescriptor, AtomTiling, EDNNRegressor, Pipeline or callable
        - "spectrum": one network per species on the power spectrum of learned channels
          (`SpectrumNetwork`). "symmetry-functions" and "chebyshev": on that descriptor.
          "deep-pot": the Deep Potential, smooth edition.
        - A descriptor, or an `AtomTiling` of one: one network per species on it.
        - An `EDNNRegressor` with an `AtomTiling`: any tile model, cloned for each species.
          Linear models also learn forces and stresses, others energies only.
        - A Pipeline of a `GaussianRasterizer` and an `EDNNRegressor`: a model of images.
        - A function of the species, such as ``lambda species: SpectrumNetwork(species, 5.0)``.
    cutoff : float, default=6.0, in Å
        Radius of the surroundings of atoms, for models given by name.
    context : int, default=None
        Size of the intensive context of networks: averages over each structure, which are inputs
        for all its atoms. They describe what no neighbourhood contains, such as charge transfer
        between defects. None or 0 for none.
    network_params : dict, default=None
        Further parameters of a network given by name, such as ``{"channels": 48}``.
    max_seconds, max_epochs : float, int or None, default=None
        Limits of the training of a network, in seconds and in passes over the data. If both are
        None, those of the trainer, by default 600 s.
    n_members : int, default=1
        Number of networks, which are trained one after another, with different weights and orders.
        Each has an equal share of `max_seconds`. Predictions are the mean of all, which is better
        than a single network if data are few; their spread measures the uncertainty.
    trainer : PotentialTrainer, default=None
        Training of a network: weights of the loss, learning rates, validation and more.
    atomic_energies : dict of int to float, default=None
        Energies of isolated atoms by atomic number, in eV. None for a least-squares fit to the
        composition.
    repulsion : bool, default=False
        Whether the model learns what remains of the labels without the repulsion of nuclei that are
        closer than the sum of their covalent radii, see `sk_ednn.structures.screened_repulsion`.
        Predictions include it. It helps where atoms come much closer than bonded ones, of which
        there are few examples. Not for models of images.
    labels : dict, default=None
        Names of "energy", "forces" and "stress" in the structures, such as
        ``{"energy": "free_energy", "stress": None}``; None to ignore a label. Names that are not
        given are found automatically.
    checkpoint : str or Path, default=None
        File from which an interrupted training resumes. With several members, ``-1``, ``-2`` and
        so on are added to its name.
    warm_start : bool, default=False
        Continue from the fitted network, with more data or more time. The atomic energies are
        fitted again.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        1 to print the labels and the progress of the training to the standard error.

    Attributes
    ----------
    potential_ : AtomicPotential, PotentialCommittee, TiledPotential or DrawnPotential
    species_ : ndarray of int
        Atomic numbers of the fit.
    labels_ : dict
        Summary of the labels: for ``"energy"``, ``"forces"`` and ``"stress"`` their name and
        number, labels that were not read as ``"unread"``, and the numbers of structures and atoms.
    history_ : list of dict
        Losses and errors of each epoch of a network, and its ``"member"``, from 1, if there are
        several; empty for other models.
    novelty_ : AtomNovelty or None
        Sample of the surroundings of training atoms; None for models of images.
    distances_ : dict of int to float
        Median distances of nearest neighbours in the fit by atomic number, in Å.
    digests_ : ndarray of int
        Digests of the structures of the fit, and of fits that it continues.
    held_out_, held_out_forces_ : HeldOutErrors
        Only after `calibrate`: errors of energies and, of several networks, of forces, for
        structures that were held out of the fit. ``sk-ednn fit`` stores them in its model files.
    held_out_digests_ : ndarray of int
        Digests of these structures.

    See Also
    --------
    EDNNRegressor : Sum of any tile model over any tiling.

    Examples
    --------
    Learn energies and forces of copper, computed with EMT, from a few rattled cells:

    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from sk_ednn.atoms import EDNNPotential
    >>> cells = [bulk("Cu", cubic=True, a=3.5 + 0.02 * k) for k in range(12)]
    >>> for k, cell in enumerate(cells):
    ...     cell.rattle(0.1, seed=k)
    ...     cell.calc = EMT()
    >>> potential = EDNNPotential(cutoff=4.5, max_epochs=60, random_state=0).fit(cells[:10])
    >>> potential.labels_["forces"]["known"]  # of atoms
    40
    >>> errors = potential.errors(cells[10:])
    >>> bool(errors["energy_mae"] < 40 and errors["force_mae"] < 100)  # meV/atom and meV/Å
    True
    >>> large = bulk("Cu", cubic=True) * (3, 3, 3)
    >>> large.calc = potential.calculator()
    >>> large.get_forces().shape
    (108, 3)
    """

    _parameter_constraints = {
        "model": "no_validation",
        "cutoff": [Interval(Real, 0, None, closed="neither")],
        "context": [Interval(Integral, 0, None, closed="left"), None],
        "network_params": [dict, None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "trainer": "no_validation",
        "atomic_energies": [dict, None],
        "repulsion": ["boolean"],
        "labels": [dict, None],
        "checkpoint": "no_validation",
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model="spectrum",
        *,
        cutoff=6.0,
        context=None,
        network_params=None,
        max_seconds=None,
        max_epochs=None,
        n_members=1,
        trainer=None,
        atomic_energies=None,
        repulsion=False,
        labels=None,
        checkpoint=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.model = model
        self.cutoff = cutoff
        self.context = context
        self.network_params = network_params
        self.max_seconds = max_seconds
        self.max_epochs = max_epochs
        self.n_members = n_members
        self.trainer = trainer
        self.atomic_energies = atomic_energies
        self.repulsion = repulsion
        self.labels = labels
        self.checkpoint = checkpoint
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, structures, y=None, *, forces=None, stress=None, groups=None, sample_weight=None):
        """Fit to structures and their energies, forces and stresses.

        Parameters
        ----------
        structures : sequence of ase.Atoms or names of files, a name, or Structures
            Files of all formats of ASE and folders of DeePMD-kit; see
            `sk_ednn.structures.read_structures`.
        y : array-like of shape (n_structures,), default=None
            Energies of whole cells, in eV; NaN if unknown. None for those of the structures.
        forces : sequence of array-like of shape (n_atoms, 3), or False, default=None
            In eV/Å. None for those of the structures, False to ignore forces.
        stress : array-like of shape (n_structures, 6), or False, default=None
            In eV/Å³ and the order of ASE, positive under tension. None for those of the structures,
            False to ignore stresses.
        groups : array-like of shape (n_structures,), default=None
            Structures of one group, such as a trajectory, are in the validation set together.
        sample_weight : array-like of shape (n_structures,), default=None
            Weight of all errors of a structure.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TileModelError
            If data are invalid. The message names the structure, and its file and line.

        Warns
        -----
        DataWarning
            If labels are not read, are missing in some structures, or seem to have another unit or
            sign.
        """
        self._validate_params()
        data = labelled(structures, y, forces, stress, self.labels)
        groups = None if groups is None else as_groups(groups)
        if groups is not None and groups.shape != (len(data.structures),):
            raise ValueError(
                f"groups must be one for each of {len(data.structures)} structures; got shape "
                f"{groups.shape}."
            )
        for note in [*data.notes, *data_notes(data)]:
            warnings.warn(note, DataWarning, stacklevel=outside_package())
        if self.verbose:
            print(summary(data.labels), file=sys.stderr)
        kind = kind_of(self.model)
        with needing("EDNNPotential"), naming(data.places):
            fitted = kind.fit(self, data, groups, sample_weight)
        unlearned = [each for each in fitted.unlearned if data.labels[each]["known"]]
        if unlearned:
            data.labels["unread"].extend(unlearned)
            off = ", ".join(f"{each}=False" for each in unlearned)
            warnings.warn(
                f"The structures have {' and '.join(unlearned)}, which this model does not learn. "
                f"Use a network of atoms, or pass {off} to silence this warning.",
                DataWarning,
                stacklevel=outside_package(),
            )
        rng = check_random_state(0)
        features = features_of(fitted.potential)
        if self.verbose and features is not None:  # it may take as long as forces of all of them
            print(
                "sampling the atoms of the fit, to measure the novelty of others", file=sys.stderr
            )
        novelty = None if features is None else AtomNovelty.of(features, data.structures, rng)
        distances = nearest_distances(data.structures)
        digests = digests_of(data.structures)
        if self.warm_start and hasattr(self, "digests_"):
            digests = np.union1d(digests, self.digests_)
        # Nothing above changes the estimator, so a failed call leaves it as it was.
        self.potential_, self.history_ = fitted.potential, fitted.history
        self.species_ = np.array(fitted.species)
        self.labels_, self.novelty_ = data.labels, novelty
        self.distances_, self.digests_ = distances, digests
        self._forget_held_out()
        return self

    def predict(self, structures, return_std=False):
        """Predict energies.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures
        return_std : bool, default=False
            Also return the standard deviation over the members, if ``n_members > 1``.

        Returns
        -------
        energies : ndarray of shape (n_structures,), in eV
        std : ndarray of shape (n_structures,), in eV
            Only if `return_std`.
        """
        if return_std:
            mean, std, _ = self._predicted_with_std(structures)
            return mean.energies, std.energies
        return self._predicted(structures)[0].energies

    def predict_forces(self, structures, return_std=False):
        """Predict forces.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures
        return_std : bool, default=False
            Also return the standard deviation over the members, if ``n_members > 1``.

        Returns
        -------
        forces : list of ndarray of shape (n_atoms, 3), in eV/Å
        std : list of ndarray of shape (n_atoms, 3), in eV/Å
            Only if `return_std`.
        """
        if return_std:
            mean, std, batch = self._predicted_with_std(structures, forces=True)
            return tuple(np.split(each.forces, batch.offsets[1:-1]) for each in (mean, std))
        predicted, batch = self._predicted(structures, forces=True)
        return np.split(predicted.forces, batch.offsets[1:-1])

    def predict_stress(self, structures):
        """Predict stresses.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures

        Returns
        -------
        ndarray of shape (n_structures, 6), in eV/Å³
            xx, yy, zz, yz, xz, xy, positive under tension; NaN for structures without volume.
        """
        return self._predicted(structures, stress=True)[0].stress

    def predict_contributions(self, structures):
        """Predict energies of atoms, whose sums are the energies of structures.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures

        Returns
        -------
        list of ndarray of shape (n_atoms,), in eV
        """
        predicted, batch = self._predicted(structures, per_atom=True)
        return np.split(predicted.contributions, batch.offsets[1:-1])

    def predict_all(
        self, structures, *, forces=True, stress=True, per_atom=False, return_std=False
    ):
        """Predict energies, forces, stresses and energies of atoms in one pass, without warnings.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures
        forces, stress, per_atom : bool
            Quantities to predict besides energies.
        return_std : bool, default=False
            Also return the standard deviations over the members, if ``n_members > 1``.

        Returns
        -------
        named tuple, or two of them if `return_std`
            ``energies`` (n_structures,), ``forces`` (n_atoms, 3), ``stress`` (n_structures, 6) and
            ``contributions`` (n_atoms,), of all structures; None for quantities that are not
            predicted.
        """
        batch, places = self._checked(structures)
        if return_std:
            return self._with_std(batch, places, forces=forces, stress=stress, per_atom=per_atom)
        with naming(places):
            return self.potential_.predict(batch, forces=forces, stress=stress, per_atom=per_atom)

    def warn_if_far(self, structures):
        """Warn if structures are far from the training data, as the other predictions do.

        Use it with `predict_all`, which does not warn, since it is called at every step of a
        relaxation. Some atoms of structures of up to 1,024 are compared; `novelty` compares all.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures
        """
        self._warn_of_far(*self._checked(structures))

    def novelty(self, structures):
        """Compare the surroundings of atoms with those of the training data.

        Parameters
        ----------
        structures : sequence of structures or names of files, a name, or Structures

        Returns
        -------
        list of ndarray of shape (n_atoms,)
            Distance from the nearest training atom, relative to that between training atoms: at
            most 1 for known surroundings.
        """
        check_is_fitted(self)
        batch, _, places = packed(structures)
        check_species(self.species_, batch, places)
        return np.split(self._novelty_of(batch), batch.offsets[1:-1])

    def _novelty_of(self, batch):
        features = features_of(self.potential_)
        if features is None or self.novelty_ is None:
            raise ValueError("A model of images has no novelty of atoms. Use sk_ednn.uncertainty.")
        return self.novelty_.compare(features, batch)

    def errors(self, structures, y=None, *, forces=None, stress=None):
        """Return errors of energies, forces and stresses.

        Parameters
        ----------
        structures, y, forces, stress
            As in `fit`.

        Returns
        -------
        dict of str to float
            ``energy_mae``, ``energy_median``, ``energy_rmse`` in meV/atom; ``force_mae``,
            ``force_rmse`` in meV/Å; ``stress_mae``, ``stress_rmse`` in GPa. Unknown labels are
            left out.
        """
        check_is_fitted(self)
        data = labelled(structures, y, forces, stress, self.labels)
        check_species(self.species_, data.structures, data.places)
        return errors_of(self.potential_, data)

    def score(self, X, y=None, sample_weight=None):
        """Return the coefficient of determination, R², of energies.

        Parameters
        ----------
        X : sequence of structures or names of files, a name, or Structures
        y : array-like of shape (n_structures,), default=None
            Energies in eV. None for those of the structures.
        sample_weight : array-like of shape (n_structures,), default=None

        Returns
        -------
        float
        """
        if y is None:
            y = labelled(X, None, False, False, self.labels).energies
        return super().score(X, y, sample_weight)

    def calculator(self, **options):
        """Return an ASE calculator.

        Parameters
        ----------
        **options : dict
            Parameters of `PotentialCalculator`, such as ``novel_above``.

        Returns
        -------
        PotentialCalculator
        """
        check_is_fitted(self)
        with needing("A calculator"):
            from ._potential_calculator import PotentialCalculator

        return PotentialCalculator(self, **options)

    @property
    def knows_stress(self):
        """True if stresses can be predicted; models of images need ``adjust > 0``."""
        check_is_fitted(self)
        return knows_stress(self.potential_)

    def _predicted_with_std(self, structures, **kinds):
        batch, places = self._checked(structures)
        predicted = *self._with_std(batch, places, **kinds), batch
        self._warn_of_far(batch, places)
        return predicted

    def _with_std(self, batch, places, **kinds):
        if not isinstance(self.potential_, PotentialCommittee):
            raise TileModelError(
                "return_std needs several members. Fit the potential with n_members=4 or so."
            )
        with naming(places):
            return self.potential_.predict_with_std(batch, **kinds)

    def _predicted(self, structures, **kinds):
        batch, places = self._checked(structures)
        with naming(places):
            predicted = self.potential_.predict(batch, **kinds), batch
        self._warn_of_far(batch, places)
        return predicted

    def _checked(self, structures):
        check_is_fitted(self)
        batch, _, places = packed(structures)
        check_species(self.species_, batch, places)
        return batch, places

    def _warn_of_far(self, batch, places):
        novelty_of = self._novelty_of if getattr(self, "novelty_", None) is not None else None
        distances = getattr(self, "distances_", {})  # older files have none
        warn_of_far_structures(novelty_of, distances, batch, places)

    def _models(self):
        """Return the models of tiles that the potential consists of, for the files' tests."""
        return models_of(self.potential_)

    def _try(self):
        """Raise if a potential that was read from a file cannot predict."""
        try_potential(self)

    def __sklearn_tags__(self):
        """Return the tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        tags.target_tags.required = False
        tags.regressor_tags.poor_score = True
        return tags

    def __sklearn_is_fitted__(self):
        """Return True if `fit` has succeeded."""
        return hasattr(self, "potential_")
