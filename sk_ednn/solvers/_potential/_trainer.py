"""Training of networks of atoms on energies, forces and stresses."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from ..._utils.stored import stored
from ...exceptions import TileModelError
from ...networks._atomic import AtomicPotential, NeighborTable, energy_forces_stress, standardize
from ...structures import Structures, neighbor_pairs
from ._checkpoint import check_checkpoint_path, read_checkpoint, write_checkpoint
from ._composition import check_atomic_energies, composition, fit_atomic_energies
from ._digest import training_digest
from ._errors import potential_errors
from ._holdout import hold_out
from ._loss import Deltas, Targets, losses
from ._optimizer import OptimizerSpec
from ._schedule import SCHEDULES, check_weight, pair, rate_factor, weight_at

# The average of weights forgets with this rate at most; it follows faster at the beginning.
_EMA_DECAY = 0.999
# Gradients are clipped at this norm times the weights of the loss.
_CLIP = 10.0


@dataclass
class FitResult:
    """A fitted potential and how it came about.

    Attributes
    ----------
    potential : AtomicPotential
    history : list of dict
        Of each epoch: ``epoch``, ``seconds`` (of the processor), ``learning_rate``, ``loss``, mean
        losses by kind, and with a validation set ``valid_loss`` and its errors.
    best_epoch : int or None
        Epoch whose weights were kept; None for the last.
    interrupted : bool
        Whether Ctrl-C or the callback ended it.
    """

    potential: AtomicPotential
    history: list[dict] = field(default_factory=list)
    best_epoch: int | None = None
    interrupted: bool = False


@stored("PotentialTrainer", functions=("callback",))
class PotentialTrainer(BaseEstimator):
    """Fit a network of atoms to energies, forces and stresses, each where it is known.

    ``loss = p_E ⟨ΔE²/N⟩ + p_F ⟨ΔF²⟩ + p_S ⟨(V Δσ)²/N⟩``

    Parameters
    ----------
    max_epochs : int or None, default=None
        Passes over the data. None for no bound; then `max_seconds` is needed.
    max_seconds : float or None, default=600.0
        Seconds of the processor. With both bounds, the schedules follow the one that is met first.
    batch_size : int, default=8
        Structures in a batch.
    energy_weight, force_weight, stress_weight : float or (start, end)
        p_E, p_F and p_S, by default (0.1, 20), 1 and (0.01, 1). A pair is followed geometrically
        over the training.
    energy_delta : float or None, default=None
        In eV per atom: beyond it, errors count linearly. None for squares throughout.
    force_delta : float or None, default=None
        The same for forces, in eV/Å.
    optimizer : str or class, default="adam"
        "adam", "adamw", "sgd", "adagrad", "adadelta", "rmsprop", "nadam", or a class of
        ``torch.optim`` or like it.
    optimizer_params : dict, default=None
        More parameters of the optimizer, such as ``weight_decay``.
    learning_rate : float, default=2e-3
        The highest.
    schedule : {"cosine", "constant", "exponential", "one-cycle"}, default="cosine"
    final_rate : float, default=5e-4
        Share of the learning rate at the end.
    warm_up : float, default=0.05
        Part of the training in which the rate rises from 0.
    ema_decay : float, default=0.999
        Of the average of weights that is kept; 0 for the last weights.
    clip : float or None, default=10.0
        Gradients are clipped at this norm times p_E + p_F + p_S.
    validation_fraction : float, default=0.0
        Part of the structures (whole groups, where `fit` gets groups) that are held out and
        watched.
    early_stopping : bool, default=False
        Whether to keep the weights of the epoch with the least loss on what is held out, and to
        stop after `patience` epochs without a smaller one. The loss has the weights of the end.
    patience : int or None, default=None
        None for never to stop before the end.
    atomic_energies : dict of int to float, default=None
        Energies by atomic number, in eV, to start from. None: fitted to the compositions.
    cache_megabytes : float, default=2000.0
        Memory for values of descriptors, which are computed once if they fit.
    checkpoint : str or Path, default=None
        File that is replaced after each epoch, and from which an interrupted training goes on.
    callback : callable, default=None
        Called after each epoch with its record of the history; returning True ends the training.
    dtype : {"float32", "float64"}, default="float32"
        Of the network. Sums are float64.
    device : str, default="cpu"
    random_state : int, RandomState instance or None, default=None
        Order of batches and what is held out. Where the network is made by a function, its weights.

    Notes
    -----
    The default weights, rates and initial values are those that won on sheets, bulk oxides and
    silicon: energies matter little at first and most at the end.
    """

    def __init__(
        self,
        *,
        max_epochs=None,
        max_seconds=600.0,
        batch_size=8,
        energy_weight=(0.1, 20.0),
        force_weight=1.0,
        stress_weight=(0.01, 1.0),
        energy_delta=None,
        force_delta=None,
        optimizer="adam",
        optimizer_params=None,
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
        cache_megabytes=2000.0,
        checkpoint=None,
        callback=None,
        dtype="float32",
        device="cpu",
        random_state=None,
    ):
        self.max_epochs = max_epochs
        self.max_seconds = max_seconds
        self.batch_size = batch_size
        self.energy_weight = energy_weight
        self.force_weight = force_weight
        self.stress_weight = stress_weight
        self.energy_delta = energy_delta
        self.force_delta = force_delta
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
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
        self.cache_megabytes = cache_megabytes
        self.checkpoint = checkpoint
        self.callback = callback
        self.dtype = dtype
        self.device = device
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
            ``network(species)`` makes a network for atomic numbers, with weights drawn from
            `random_state`. A network is copied, and its weights are where training starts. With a
            fitted potential, training goes on from its weights and its standardisation, and the
            baseline is fitted anew: for more data, or more time.
        sample_weight : array-like of shape (n_structures,), default=None
            Weight of all errors of a structure.
        groups : array-like of shape (n_structures,), default=None
            Structures of one group are held out together.
        validation : (Structures, PotentialLabels), default=None
            Held out instead of a part of `structures`.

        Returns
        -------
        FitResult

        Raises
        ------
        TileModelError
            Where parameters, labels and structures do not fit together, or training diverged.
        """
        self._check()
        structures = Structures.of(structures)
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(2**31 - 1))
        weight = _checked_weight(sample_weight, len(structures))
        if validation is None and self.validation_fraction > 0:
            train, valid = hold_out(len(structures), self.validation_fraction, groups, rng)
            validation = structures.take(valid), labels.take(structures, valid)
            labels, structures = labels.take(structures, train), structures.take(train)
            weight = None if weight is None else weight[train]
        if weight is not None and not weight.all():
            kept = np.flatnonzero(weight)
            labels, structures = labels.take(structures, kept), structures.take(kept)
            weight = weight[kept]
        run = _Run(self, structures, labels, network, weight, validation, seed)
        return run.train()

    def _check(self):
        if self.max_epochs is None and self.max_seconds is None:
            raise TileModelError("Set max_epochs or max_seconds: a training needs an end.")
        for name in ("max_epochs", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TileModelError(f"{name} must be positive or None, got {value!r}.")
        if self.schedule not in SCHEDULES:
            raise TileModelError(
                f"schedule must be one of {', '.join(SCHEDULES)}; got {self.schedule!r}."
            )
        for name in ("energy_weight", "force_weight", "stress_weight"):
            check_weight(name, getattr(self, name))
        for name in ("energy_delta", "force_delta", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TileModelError(f"{name} must be positive or None, got {value!r}.")
        for name in ("validation_fraction", "warm_up", "ema_decay"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise TileModelError(f"{name} must be at least 0 and below 1, got {value!r}.")
        if not 0 < self.final_rate <= 1:
            raise TileModelError(
                f"final_rate must be above 0 and at most 1, got {self.final_rate}."
            )
        if not self.learning_rate > 0:
            raise TileModelError(f"learning_rate must be positive, got {self.learning_rate!r}.")
        if self.batch_size < 1:
            raise TileModelError(f"batch_size must be at least 1, got {self.batch_size!r}.")
        if self.dtype not in ("float32", "float64"):
            raise TileModelError(f"dtype must be 'float32' or 'float64', got {self.dtype!r}.")
        OptimizerSpec.of(self.optimizer, self.optimizer_params)


class _Run:
    """One training: the network, its average, the optimizer, and how far they have come."""

    def __init__(self, trainer, structures, labels, network, weight, validation, seed):
        self.trainer, self.seed, self.validation = trainer, seed, validation
        self.began = time.process_time()
        self.earlier = 0.0  # seconds before a resume
        numbers = np.unique(structures.numbers)
        dtype = getattr(torch, trainer.dtype)
        network, standardized = _started(network, numbers, seed)
        network = network.to(dtype).to(trainer.device)
        network.index.check(numbers)
        if trainer.atomic_energies is not None:
            atomic = check_atomic_energies(trainer.atomic_energies, numbers)
        else:
            atomic = fit_atomic_energies(structures, labels.energies, numbers, weight)
        self.atomic_energies = atomic
        base = composition(structures, numbers) @ [atomic[number] for number in numbers.tolist()]
        environments = neighbor_pairs(structures, network.representation.cutoff)
        n_bytes = int(trainer.cache_megabytes * 2**20)
        self.table = NeighborTable(environments, dtype, trainer.device, n_bytes)
        self.targets = Targets(labels, labels.energies - base, weight, dtype, trainer.device)
        if not standardized:
            standardize(network, self.table, seed)
        self.network, self.average = network, copy.deepcopy(network)
        self.deltas = Deltas(trainer.energy_delta, trainer.force_delta)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = OptimizerSpec.of(trainer.optimizer, trainer.optimizer_params).make(
            self.parameters, trainer.learning_rate
        )
        self.n_batches = -(-len(structures) // trainer.batch_size)
        self.epoch = self.step = 0
        self.history: list[dict] = []
        self.best: dict | None = None
        self.digest = ""
        if trainer.checkpoint is not None:
            check_checkpoint_path(trainer.checkpoint)
            self.digest = training_digest(trainer, structures, labels, weight, network, seed)

    def train(self) -> FitResult:
        trainer, interrupted = self.trainer, False
        if trainer.checkpoint is not None:
            state = read_checkpoint(trainer.checkpoint, self.digest)
            if state is not None:
                self._restore(state)
        try:
            while not self._over() and not self._exhausted():
                record = self._epoch()
                self.history.append(record)
                if trainer.checkpoint is not None:
                    write_checkpoint(trainer.checkpoint, self.digest, self._state())
                if trainer.callback is not None and trainer.callback(dict(record)):
                    interrupted = True
                    break
        except KeyboardInterrupt:
            interrupted = True
        network = self.average
        best = None
        if trainer.early_stopping and self.best is not None:
            network.load_state_dict(self.best["network"])
            best = self.best["epoch"]
        network.requires_grad_(False).eval()
        potential = AtomicPotential(network, self.atomic_energies)
        return FitResult(potential, self.history, best, interrupted)

    def _seconds(self):
        return self.earlier + time.process_time() - self.began

    def _progress(self):
        trainer = self.trainer
        parts = [0.0]
        if trainer.max_epochs is not None:
            parts.append(self.step / (trainer.max_epochs * self.n_batches))
        if trainer.max_seconds is not None:
            parts.append(self._seconds() / trainer.max_seconds)
        return min(1.0, max(parts))

    def _over(self):
        trainer = self.trainer
        if trainer.max_epochs is not None and self.epoch >= trainer.max_epochs:
            return True
        return trainer.max_seconds is not None and self._seconds() >= trainer.max_seconds

    def _exhausted(self):
        trainer = self.trainer
        if not trainer.early_stopping or trainer.patience is None or self.best is None:
            return False
        return self.epoch - self.best["epoch"] >= trainer.patience

    def _epoch(self):
        trainer = self.trainer
        # From the seed and the epoch alone, so that a resumed training takes the same order.
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.table))
        sums: dict[str, float] = {}
        n_done = 0
        for start in range(0, len(order), trainer.batch_size):
            parts = self._step(order[start : start + trainer.batch_size])
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
            n_done += 1
            if trainer.max_seconds is not None and self._seconds() >= trainer.max_seconds:
                break
        self.epoch += 1
        record = {"epoch": self.epoch, "seconds": self._seconds(), "learning_rate": self._rate()}
        record.update({name: value / n_done for name, value in sums.items()})
        if not math.isfinite(record["loss"]):
            raise TileModelError(
                f"The training diverged in epoch {self.epoch}: its loss is not finite. Take a "
                "smaller learning_rate, a smaller clip, or check the labels for outliers."
            )
        if self.validation is not None:
            self._validate(record)
        return record

    def _step(self, chosen):
        trainer, x = self.trainer, self._progress()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(x)
        weights = {
            "energy": weight_at(trainer.energy_weight, x),
            "force": weight_at(trainer.force_weight, x) if self.targets.has_forces else 0.0,
            "stress": weight_at(trainer.stress_weight, x) if self.targets.has_stress else 0.0,
        }
        batch = self.table.batch(chosen)
        predicted = energy_forces_stress(
            self.network,
            batch,
            forces=weights["force"] > 0,
            stress=weights["stress"] > 0,
            create_graph=True,
        )
        rows = torch.as_tensor(chosen, device=batch.numbers.device)
        parts = losses(predicted, batch, rows, self.targets, self.deltas)
        loss = sum(weights[name] * part for name, part in parts.items())
        if isinstance(loss, torch.Tensor) and loss.requires_grad:
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward(inputs=self.parameters)
            if trainer.clip is not None:
                bound = trainer.clip * sum(weights.values())
                torch.nn.utils.clip_grad_norm_(self.parameters, bound)
            self.optimizer.step()
        self.step += 1
        self._follow()
        out = {name: float(part.detach()) for name, part in parts.items()}
        return {"loss": sum(weights[name] * value for name, value in out.items()), **out}

    @torch.no_grad()
    def _follow(self):
        """Move the average of weights towards the weights."""
        decay = min(self.trainer.ema_decay, (1 + self.step) / (10 + self.step))
        mine = list(self.average.parameters())
        torch._foreach_lerp_(mine, list(self.network.parameters()), 1 - decay)

    def _rate(self, x=None):
        trainer = self.trainer
        x = self._progress() if x is None else x
        factor = rate_factor(trainer.schedule, x, trainer.final_rate, trainer.warm_up)
        return trainer.learning_rate * factor

    def _validate(self, record):
        structures, labels = self.validation
        potential = AtomicPotential(self.average, self.atomic_energies)
        errors = potential_errors(potential, structures, labels)
        trainer = self.trainer
        loss = 0.0
        for name in ("energy", "force", "stress"):
            if f"{name}_loss" in errors:
                loss += pair(getattr(trainer, f"{name}_weight"))[1] * errors.pop(f"{name}_loss")
        record["valid_loss"] = loss
        record.update({f"valid_{name}": value for name, value in errors.items()})
        if self.best is None or loss < self.best["loss"]:
            weights = {k: v.clone() for k, v in self.average.state_dict().items()}
            self.best = {"loss": loss, "epoch": self.epoch, "network": weights}

    def _state(self):
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self._seconds(),
            "history": self.history,
            "best": self.best,
        }

    def _restore(self, state):
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.earlier, self.began = state["seconds"], time.process_time()
        self.history, self.best = state["history"], state["best"]


def _started(network, numbers, seed):
    """Return a network of ours to train, and whether its features are standardised already."""
    if isinstance(network, AtomicPotential):
        return copy.deepcopy(network.network).requires_grad_(True), True
    if isinstance(network, torch.nn.Module):
        return copy.deepcopy(network), False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(numbers), False


def _checked_weight(weight, n):
    if weight is None:
        return None
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape != (n,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise TileModelError(
            f"sample_weight must be {n} finite numbers of at least 0, one a structure."
        )
    if not weight.any():
        raise TileModelError("All sample weights are 0: there is nothing to learn from.")
    return weight / weight[weight > 0].mean()
