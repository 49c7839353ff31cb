"""Training of networks of atoms on energies, forces and stresses."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from ..._utils.holding_out import hold_out
from ..._utils.stored import stored
from ..._utils.threads import limited_threads
from ...exceptions import TileModelError
from ...fields._in_memory import as_array, as_groups
from ...structures import Structures
from .._loss_weights import LossWeights
from ._optimizer import OptimizerSpec
from ._run import CLOCKS, FitResult, TrainingRun
from ._schedule import SCHEDULES, check_weight

# The average of weights forgets with this rate at most; it follows faster at the beginning.
_EMA_DECAY = 0.999
# Gradients are clipped at this norm times the weights of the loss.
_CLIP = 10.0


@stored("PotentialTrainer", functions=("callback",))
class PotentialTrainer(BaseEstimator):
    """Fit a network of atoms to all known energies, forces and stresses.

    ``loss = p_E ⟨ΔE²/N⟩ + p_F ⟨ΔF²⟩ + p_S ⟨(V Δσ)²/N⟩``

    Parameters
    ----------
    max_epochs : int or None, default=None
        Maximum number of passes over the data. None for no limit; `max_seconds` is then required.
    max_seconds : float or None, default=600.0
        Maximum time in seconds, by `clock`, without that of `callback`. The first epoch shows how
        many steps fit, and the schedules are stretched over these. With both limits, the training
        ends at the first that is reached.
    clock : {"wall", "processor"}, default="wall"
        Which seconds count: those that elapse, or those in which the processor works for this
        process. The second ones compare models beside other programs. They do not pass while it
        waits for a GPU or a disk.
    batch_size : int, default=8
        Structures in a batch.
    energy_weight, force_weight, stress_weight : float or (start, end)
        p_E, p_F and p_S, by default (0.1, 20), 1 and (0.01, 1). A pair is interpolated
        geometrically over the training.
    energy_delta : float or None, default=None
        In eV per atom: larger errors count linearly. None for squared errors throughout.
    force_delta : float or None, default=1.0
        The same for forces, in eV/Å.
    weighting : LossWeights, default=None
        Weights of structures by a power of their last error, updated after each epoch. The error of
        a structure is the root of the mean of its squared errors of energy per atom, forces and
        stress, each in units of the median of all structures. They multiply `sample_weight`, and do
        not apply to structures held out.
    optimizer : str or class, default="muon"
        "muon" (orthogonal updates of matrices, Adam for the rest), "adam", "adamw", "sgd",
        "adagrad", "adadelta", "rmsprop", "nadam", or a class of ``torch.optim`` or like it.
    optimizer_params : dict, default=None
        More parameters of the optimizer, such as ``momentum``.
    weight_decay : float or None, default=None
        Rate at which weights shrink, relative to the learning rate: each step multiplies them by
        ``1 - rate * weight_decay`` with "adamw", and with "muon", which leaves out vectors and
        narrow matrices. It helps against overfitting: 0.3 brought errors of hot and liquid cells
        down that are unlike the training cells, where 1 was too much. None for the default of the
        optimizer, 0 for "muon".
    learning_rate : float, default=2e-3
        Maximum learning rate.
    schedule : {"cosine", "constant", "exponential", "one-cycle"}, default="cosine"
    final_rate : float, default=5e-4
        Share of the learning rate at the end.
    warm_up : float, default=0.05
        Fraction of the training in which the rate rises from 0.
    ema_decay : float, default=0.999
        Decay of the moving average of the weights, which is kept; 0 for the last weights.
    clip : float or None, default=10.0
        Gradients are clipped at this norm times p_E + p_F + p_S.
    validation_fraction : float, default=0.0
        Fraction of the structures that are held out and evaluated after each epoch: at least one,
        and whole groups if `fit` gets groups.
    early_stopping : bool, default=False
        Keep the weights of the epoch with the smallest loss on held-out structures, and stop after
        `patience` epochs without a smaller one. This loss uses the final weights of energies,
        forces and stresses.
    patience : int or None, default=None
        None to never stop early.
    atomic_energies : dict of int to float, default=None
        Initial energies by atomic number, in eV. None: fitted to the compositions.
    repulsion : bool, default=False
        Whether the network learns what remains of the labels without the repulsion of nuclei, see
        `sk_ednn.structures.screened_repulsion`, which predictions then include. This helps where
        atoms come much closer than bonded ones, of which there are few examples. A fitted potential
        that is continued keeps its own.
    cache_megabytes : float, default=2000.0
        Memory for values of descriptors, which are computed once if they fit.
    checkpoint : str or Path, default=None
        File that is replaced after each epoch, and from which an interrupted training continues.
    callback : callable, default=None
        Called after each epoch with its record of the history; returning True ends the training.
    dtype : {"float32", "float64"} or None, default=None
        Precision of the network. None for that of a network that is given, and float32 for others.
        Sums are float64.
    device : str, default="cpu"
    n_threads : int or None, default=1
        Threads of torch, OpenMP and BLAS during the training. Layers are small: on two free cores
        two threads take 0.7 times as long as one, and 1.3 times as many seconds of the processor.
        Beside other programs threads wait for each other, and a training may take six times as
        long. None for as many as are set already.
    distributed : bool, default=False
        Train with several processes, which `torchrun` starts. All call `fit` with the same data and
        seed, each works on a share of every batch, and all return the same potential. With
        ``device="cuda"`` each process uses one GPU. The first process handles `checkpoint` and
        `callback`.
    random_state : int, RandomState instance or None, default=None
        Determines the order of batches, the held-out structures, and the weights of a network that
        a function creates.

    Notes
    -----
    The default weights, rates and initial values had the smallest errors on sheets, bulk oxides and
    silicon: energies matter little at first and most at the end. A few forces of tens of eV/Å would
    dominate squared errors; ``force_delta=1.0`` prevents this, and errors of a trained potential
    are well below it.
    """

    _parameter_constraints = {
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "clock": [StrOptions(set(CLOCKS))],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "energy_delta": [Interval(Real, 0, None, closed="neither"), None],
        "force_delta": [Interval(Real, 0, None, closed="neither"), None],
        "weighting": [LossWeights, None],
        "weight_decay": [Interval(Real, 0, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions(set(SCHEDULES))],
        "final_rate": [Interval(Real, 0, 1, closed="right")],
        "warm_up": [Interval(Real, 0, 1, closed="left")],
        "ema_decay": [Interval(Real, 0, 1, closed="left")],
        "clip": [Interval(Real, 0, None, closed="neither"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "repulsion": ["boolean"],
        "callback": [callable, None],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "distributed": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        max_epochs=None,
        max_seconds=600.0,
        clock="wall",
        batch_size=8,
        energy_weight=(0.1, 20.0),
        force_weight=1.0,
        stress_weight=(0.01, 1.0),
        energy_delta=None,
        force_delta=1.0,
        weighting=None,
        optimizer="muon",
        optimizer_params=None,
        weight_decay=None,
        learning_rate=2e-3,
        schedule="cosine",
        final_rate=5e-4,
        warm_up=0.05,
        ema_decay=_EMA_DECAY,
        clip=_CLIP,
        validation_fraction=0.0,
        early_stopping=False,
        patience=None,
        atomic_energies=None,
        repulsion=False,
        cache_megabytes=2000.0,
        checkpoint=None,
        callback=None,
        dtype=None,
        device="cpu",
        n_threads=1,
        distributed=False,
        random_state=None,
    ):
        self.max_epochs = max_epochs
        self.max_seconds = max_seconds
        self.clock = clock
        self.batch_size = batch_size
        self.energy_weight = energy_weight
        self.force_weight = force_weight
        self.stress_weight = stress_weight
        self.energy_delta = energy_delta
        self.force_delta = force_delta
        self.weighting = weighting
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.weight_decay = weight_decay
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.final_rate = final_rate
        self.warm_up = warm_up
        self.ema_decay = ema_decay
        self.clip = clip
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.atomic_energies = atomic_energies
        self.repulsion = repulsion
        self.cache_megabytes = cache_megabytes
        self.checkpoint = checkpoint
        self.callback = callback
        self.dtype = dtype
        self.device = device
        self.n_threads = n_threads
        self.distributed = distributed
        self.random_state = random_state

    def fit(
        self, structures, labels, network, *, sample_weight=None, groups=None, validation=None
    ) -> FitResult:
        """Fit a network.

        Parameters
        ----------
        structures : Structures or sequence of structures
        labels : PotentialLabels
        network : callable, AbstractAtomicNetwork or AtomicPotential
            ``network(species)`` returns a network for atomic numbers, with weights drawn from
            `random_state`. A network is copied, and training starts from its weights. With a fitted
            potential, training continues from its weights and standardisation, with more data or
            time, and the baseline is fitted again.
        sample_weight : array-like of shape (n_structures,), default=None
            Weight of all errors of a structure.
        groups : array-like of shape (n_structures,), default=None
            Structures of one group are held out together.
        validation : (Structures, PotentialLabels), default=None
            Held-out data, instead of a part of `structures`.

        Returns
        -------
        FitResult

        Raises
        ------
        ValueError
            If a parameter has a value that is not allowed.
        TileModelError
            If parameters, labels and structures do not fit together, or training diverged.
        """
        self._validate_params()
        if self.max_epochs is None and self.max_seconds is None:
            raise TileModelError("Set max_epochs or max_seconds: a training needs an end.")
        for name in ("energy_weight", "force_weight", "stress_weight"):
            check_weight(name, getattr(self, name))
        OptimizerSpec.of_trainer(self)
        structures = Structures.of(structures)
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(2**31 - 1))
        weight = _checked_weight(sample_weight, len(structures))
        if validation is None and self.validation_fraction > 0:
            train, valid = self._held_out(len(structures), groups, rng)
            validation = structures.take(valid), labels.take(structures, valid)
            labels, structures = labels.take(structures, train), structures.take(train)
            weight = None if weight is None else weight[train]
        if weight is not None and not weight.all():
            kept = np.flatnonzero(weight)
            labels, structures = labels.take(structures, kept), structures.take(kept)
            weight = weight[kept]
        with limited_threads(self.n_threads):
            run = TrainingRun(self, structures, labels, network, weight, validation, seed)
            return run.train()

    def _held_out(self, n, groups, rng):
        """Return the indices of structures to learn from, and of those to watch."""
        labels = np.arange(n) if groups is None else as_groups(groups)
        if labels.shape != (n,):
            raise TileModelError(f"groups must be of shape ({n},), one per structure.")
        try:
            return hold_out(labels, self.validation_fraction, rng)
        except ValueError as error:
            raise TileModelError(
                f"validation_fraction={self.validation_fraction} leaves nothing to learn from. "
                f"{error} Use more groups, or validation_fraction=0."
            ) from error


def _checked_weight(weight, n):
    if weight is None:
        return None
    weight = as_array(weight, "sample_weight", np.float64)
    if weight.shape != (n,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise TileModelError(
            f"sample_weight must be {n} finite numbers of at least 0, one per structure."
        )
    if not weight.any():
        raise TileModelError("All sample weights are 0: there is nothing to learn from.")
    return weight / weight[weight > 0].mean()
