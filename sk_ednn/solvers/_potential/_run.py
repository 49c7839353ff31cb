"""One training of a network of atoms: steps, epochs, checkpoints and resumption."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from ..._utils.clocks import training_clock
from ...exceptions import TileModelError
from ...networks._atomic import AtomicPotential, NeighborTable, energy_forces_stress, standardize
from ...structures import neighbor_pairs
from ...structures._repulsion import without_repulsion
from ._checkpoint import check_checkpoint_path, locked, read_checkpoint, write_checkpoint
from ._composition import check_atomic_energies, composition, fit_atomic_energies
from ._digest import training_digest
from ._errors import potential_errors
from ._labels import PotentialLabels
from ._last_errors import LastErrors
from ._loss import Deltas, Targets, known_labels, losses
from ._optimizer import OptimizerSpec
from ._processes import Alone, Together, device_of
from ._schedule import Plan, pair, rate_factor, weight_at

_KINDS = ("energy", "force", "stress")


# Looked up when they are read, by the value of `PotentialTrainer.clock`.
CLOCKS = {"wall": lambda: time.monotonic(), "processor": lambda: time.process_time()}


@dataclass
class FitResult:
    """A fitted potential and the history of its training.

    Attributes
    ----------
    potential : AtomicPotential
    history : list of dict
        A record of each epoch: ``epoch``, ``seconds`` (of the `clock`), ``learning_rate``,
        ``loss``, mean losses by kind, the ``exponent`` of a `weighting`, and ``valid_loss`` and the
        errors of a validation set.
    best_epoch : int or None
        Epoch whose weights were kept; None for the last.
    interrupted : bool
        True if Ctrl-C or the callback ended the training.
    """

    potential: AtomicPotential
    history: list[dict] = field(default_factory=list)
    best_epoch: int | None = None
    interrupted: bool = False


class TrainingRun:
    """One training: the network, its average, the optimizer, and how far they have come."""

    def __init__(self, trainer, structures, labels, network, weight, validation, seed):
        self.trainer, self.seed, self.validation = trainer, seed, validation
        self.processes, device = Alone(), trainer.device
        if trainer.distributed:
            self.processes, device = Together(trainer.device), device_of(trainer.device)
        self.clock = training_clock("potential", CLOCKS[trainer.clock]).start()
        self.now = 0.0  # s, of the first process
        numbers = np.unique(structures.numbers)
        # Energies of species that the new data lack stay as they were.
        earlier = network.atomic_energies if isinstance(network, AtomicPotential) else {}
        self.repulsion = _repulsion_of(trainer, network)
        if self.repulsion:
            labels = PotentialLabels(
                *without_repulsion(structures, labels.energies, labels.forces, labels.stress)
            )
        network, standardized = _started(network, numbers, seed)
        dtype = _dtype_of(network, trainer.dtype)
        network = network.to(dtype).to(device)
        network.index.check(numbers)
        if trainer.atomic_energies is not None:
            atomic = check_atomic_energies(trainer.atomic_energies, numbers)
        else:
            atomic = fit_atomic_energies(structures, labels.energies, numbers, weight)
        self.atomic_energies = {**earlier, **atomic}
        base = composition(structures, numbers) @ [atomic[number] for number in numbers.tolist()]
        environments = neighbor_pairs(structures, network.representation.cutoff)
        n_bytes = int(trainer.cache_megabytes * 2**20)
        self.table = NeighborTable(environments, dtype, device, n_bytes)
        self.targets = Targets(labels, labels.energies - base, weight, dtype, device)
        self.known = known_labels(structures, labels) if trainer.distributed else None
        self.last_errors = None
        if trainer.weighting is not None:
            self.last_errors = LastErrors(trainer.weighting, self.targets, len(structures))
        if not standardized:
            standardize(network, self.table, seed)
        self.network, self.average = network, copy.deepcopy(network)
        self.deltas = Deltas(trainer.energy_delta, trainer.force_delta)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = OptimizerSpec.of_trainer(trainer).make(
            self.parameters, trainer.learning_rate
        )
        self.n_batches = -(-len(structures) // trainer.batch_size)
        self.epoch = self.step = 0
        epochs = trainer.max_epochs
        self.plan = Plan(None if epochs is None else epochs * self.n_batches, trainer.max_seconds)
        self.history: list[dict] = []
        self.best: dict | None = None
        self.digest = ""
        if trainer.checkpoint is not None:
            check_checkpoint_path(trainer.checkpoint)
            self.digest = training_digest(trainer, structures, labels, weight, network, seed)

    def train(self) -> FitResult:
        # Of processes that train together, the first one writes.
        with locked(self.trainer.checkpoint if self.processes.rank == 0 else None):
            return self._train()

    def _train(self) -> FitResult:
        trainer, interrupted = self.trainer, False
        if trainer.checkpoint is not None:
            state = read_checkpoint(trainer.checkpoint, self.digest)
            if state is not None:
                self._restore(state)
        try:
            while not self._over() and not self._exhausted():
                record = self._epoch()
                self.history.append(record)
                if trainer.checkpoint is not None and self.processes.rank == 0:
                    write_checkpoint(trainer.checkpoint, self.digest, self._state())
                if trainer.callback is not None and self._called_back(record):
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
        potential = AtomicPotential(network, self.atomic_energies, self.repulsion)
        return FitResult(potential, self.history, best, interrupted)

    def _called_back(self, record):
        with self.clock.stopped():  # a run may be paused
            answer = self.processes.rank == 0 and self.trainer.callback(dict(record))
        return bool(self.processes.agree(float(bool(answer))))

    def _look(self):
        # The clock of the first process, so that all follow one schedule.
        self.now = self.processes.agree(self.clock.seconds())
        return self.now

    def _progress(self):
        return self.plan.progress(self.step, self.now)

    def _over(self):
        return self.plan.over(self.step, self.now)

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
        n_done, began = 0, self._look()
        if self.last_errors is not None:
            self.last_errors.reweight(self.processes)
        for start in range(0, len(order), trainer.batch_size):
            parts = self._step(order[start : start + trainer.batch_size])
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
            n_done += 1
            self._look()
            if self._over():
                break
        self.epoch += 1
        record = {"epoch": self.epoch, "seconds": self.now, "learning_rate": self._rate()}
        record.update({name: value / n_done for name, value in sums.items()})
        if self.last_errors is not None:
            record["exponent"] = self.last_errors.exponent
        if not math.isfinite(record["loss"]):
            raise TileModelError(
                f"The training diverged in epoch {self.epoch}: its loss is not finite. Take a "
                "smaller learning_rate, a smaller clip, or check the labels for outliers."
            )
        if self.validation is not None:
            self._validate(record)
        seconds = self._look()
        self.plan.revise(self.step, seconds, (seconds - began) / n_done)
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
        self.optimizer.zero_grad(set_to_none=True)
        mine, parts = self.processes.share(chosen), {}
        if len(mine):
            parts = self._backward(mine, weights, self._counts(chosen))
        if self.processes.size > 1:
            parts = self._added_up(parts)
        if any(parameter.grad is not None for parameter in self.parameters):
            if trainer.clip is not None:
                bound = trainer.clip * sum(weights.values())
                torch.nn.utils.clip_grad_norm_(self.parameters, bound)
            self.optimizer.step()
        self.step += 1
        self._follow()
        return {"loss": sum(weights[name] * value for name, value in parts.items()), **parts}

    def _backward(self, chosen, weights, counts):
        """Compute the gradient of the loss of some structures; return its parts."""
        batch = self.table.batch(chosen)
        predicted = energy_forces_stress(
            self.network,
            batch,
            forces=weights["force"] > 0,
            stress=weights["stress"] > 0,
            create_graph=True,
        )
        rows = torch.as_tensor(chosen, device=batch.numbers.device)
        if self.last_errors is not None:
            self.last_errors.note(predicted, batch, rows)
        parts = losses(predicted, batch, rows, self.targets, self.deltas, counts)
        loss = sum(weights[name] * part for name, part in parts.items())
        if isinstance(loss, torch.Tensor) and loss.requires_grad:
            loss.backward(inputs=self.parameters)
        return {name: float(part.detach()) for name, part in parts.items()}

    def _counts(self, chosen):
        """Return the number of labels of a batch, where this process has a share of it only."""
        if self.known is None:
            return None
        return {name: int(counts[chosen].sum()) for name, counts in self.known.items()}

    def _added_up(self, parts):
        """Add up gradients and losses over all processes."""
        # A species that no structure of the batch contains has no gradient, which is not 0 to
        # optimizers with momentum.
        reached = [float(parameter.grad is not None) for parameter in self.parameters]
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        values = [parts.get(name, 0.0) for name in _KINDS]
        present = [float(name in parts) for name in _KINDS]
        shown = torch.tensor([*values, *present, *reached], dtype=torch.float64)
        shown = shown.to(self.parameters[0].device)
        self.processes.add_up([*(parameter.grad for parameter in self.parameters), shown])
        values, present, reached = np.split(shown.cpu().numpy(), [len(_KINDS), 2 * len(_KINDS)])
        for parameter, n in zip(self.parameters, reached, strict=True):
            if not n:
                parameter.grad = None
        return {
            name: float(value) for name, value, n in zip(_KINDS, values, present, strict=True) if n
        }

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
        potential = AtomicPotential(self.average, self.atomic_energies, self.repulsion)
        errors = potential_errors(potential, structures, labels)
        trainer = self.trainer
        loss = 0.0
        for name in ("energy", "force", "stress"):
            if f"{name}_loss" in errors:
                loss += pair(getattr(trainer, f"{name}_weight"))[1] * errors.pop(f"{name}_loss")
        record["valid_loss"] = loss = self.processes.agree(loss)
        record.update({f"valid_{name}": value for name, value in errors.items()})
        if self.best is None or loss < self.best["loss"]:
            weights = {k: v.clone() for k, v in self.average.state_dict().items()}
            self.best = {"loss": loss, "epoch": self.epoch, "network": weights}

    def _state(self):
        squares = None if self.last_errors is None else self.last_errors.squares
        return {
            "last_errors": squares,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "plan": self.plan.state(),
            "seconds": self.now,
            "clock": _tensor(self.clock.kept()),
            "history": self.history,
            "best": self.best,
        }

    def _restore(self, state):
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.plan.restore(state["plan"])
        self.now = state["seconds"]
        self.clock.start(self.now, state.get("clock"))
        self.history, self.best = state["history"], state["best"]
        if self.last_errors is not None:
            self.last_errors.squares.copy_(state["last_errors"])


def _tensor(readings):
    """Return readings of a clock as a checkpoint can contain them."""
    return None if readings is None else torch.from_numpy(readings)


def _dtype_of(network, name):
    """Return the precision of a training: that of the network if none is named."""
    if name is not None:
        return getattr(torch, name)
    types = {parameter.dtype for parameter in network.parameters()}
    return torch.float64 if torch.float64 in types else torch.float32


def _repulsion_of(trainer, network) -> bool:
    """Return whether the network adds to the repulsion of nuclei: as before, if it was fitted."""
    if not isinstance(network, AtomicPotential):
        return trainer.repulsion
    if trainer.repulsion and not network.repulsion:
        raise TileModelError(
            "The potential was fitted with repulsion=False, and its network contains the repulsion "
            "of nuclei. Continue with repulsion=False, or fit a new one with repulsion=True."
        )
    return network.repulsion


def _started(network, numbers, seed):
    """Return a network of ours to train, and whether its features are standardised already."""
    if isinstance(network, AtomicPotential):
        return copy.deepcopy(network.network).requires_grad_(True), True
    if isinstance(network, torch.nn.Module):
        return copy.deepcopy(network), False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(numbers), False
