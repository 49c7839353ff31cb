"""Train a network of tiles on totals of whole pictures, boxes and crops of any sizes.

Why not by `GradientSolver`: docs/decisions/pictures-by-their-own-loop.rst.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import nn

from .._utils.clocks import TrainingClock
from ._batches import shuffled_batches
from ._geometry import BANDS
from ._loss import batch_loss
from ._member import Member

# Times that the pictures held back are looked at.
_LOOKS = 25
_MAX_NORM = 1.0
# A training ends early where it was clearly better at a time that is longer ago, of its length.
_LONG_AGO = 0.4
# A single look may be bad by chance, as long as normalisations use the statistics of batches.
_RECENT_LOOKS = 4
# Errors of n pictures held back are clearly less if by this over the square root of n: a few
# standard errors, as the least of many looks is low by luck.
_LUCK = 2.5
_WARM_UP = 0.05
# Normalisation by the statistics of a few pictures hides how crowded they are: in this last part of
# a training, those of all pictures are used as in predictions.
_FROZEN = 0.25
# Batches by which statistics of normalisations are measured, and those where these are kept.
_SETTLED, _SETTLED_ALL = 4, 64
# Seconds between two checkpoints, apart from those at looks.
_SAVED_SECONDS = 10.0


@dataclass(frozen=True)
class Recipe:
    """Parameters of a training.

    Attributes
    ----------
    max_epochs : int
        Passes over the pictures.
    minutes : float or None
        Training ends after this time at the latest; the learning rate falls towards that end.
    batch_size : int
    lr : float
    symmetric : bool
        Whether pictures are flipped and turned by quarters.
    n_views : int
        Views over which predictions are averaged when the training is over.
    illumination : float
        Spread of the random gain and offset of each channel, in its units.
    contrast_only : bool
        Whether the level of a channel changes nothing.
    half : bool
        Whether layers but the last compute in bfloat16.
    """

    max_epochs: int = 300
    minutes: float | None = None
    batch_size: int = 4
    lr: float = 2e-3
    symmetric: bool = True
    n_views: int = 1
    illumination: float = 0.1
    contrast_only: bool = False
    half: bool = False


@dataclass
class Trained:
    """A trained network and the record of its training.

    Attributes
    ----------
    module : nn.Module
    history : list of dict
        Record of each look: ``epoch``, ``minutes``, ``error`` and ``train_error``, the mean
        absolute errors of the totals.
    held_back : ndarray of shape (n_held_back, n_outputs)
        Predictions for the pictures held back.
    edges : ndarray of shape (BANDS,)
        Additions to the weights of tiles near an edge, see `edge_factors`.
    scale : ndarray of shape (n_outputs,)
        Units of the network's outputs.
    ending : {"epochs", "time", "error", "callback"}
        Why the training ended: all passes were done, its time was up, the error was clearly less
        long ago, or `say` asked for it.
    """

    module: nn.Module
    history: list = field(default_factory=list)
    held_back: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    edges: np.ndarray = field(default_factory=lambda: np.zeros(BANDS))
    scale: np.ndarray = field(default_factory=lambda: np.ones(1))
    ending: str = "epochs"


@dataclass
class _Course:
    """Progress of a training.

    Attributes
    ----------
    history : list of dict
    epoch, step : int
        Passes and batches that are done.
    progress, next_look : float
        Between 0 and 1.
    best_error, best_at : float
        Least error of pictures held back, and the progress at which it was seen.
    ending : str
        As in `Trained`; empty before the end.
    seconds : float
        That the training took, including those before it was resumed.
    """

    history: list = field(default_factory=list)
    epoch: int = 0
    step: int = 0
    progress: float = 0.0
    next_look: float = 0.0
    best_error: float = np.inf
    best_at: float = 0.0
    ending: str = ""
    seconds: float = 0.0


def train(module, train_samples, held_back, scale, spread, positive, recipe, rng, say=None,
          saved=None, save=None, timer=None):  # fmt: skip
    """Train one network.

    Parameters
    ----------
    module : nn.Sequential
        Of `tile_network`. Averages over pixels before its first layer are left out: samples are
        averaged once and for all.
    train_samples, held_back : list of Sample
        The second are looked at to choose the weights, and to stop.
    scale, spread : ndarray of shape (n_outputs,)
        Units of the network's outputs, and of the errors of a picture of mean size.
    positive : bool
        Whether contributions cannot be negative.
    recipe : Recipe
    rng : numpy.random.Generator
    say : function, default=None
        Called with the progress (0 to 1) and, after each look, the row of the history; otherwise
        with None. Returning True ends the training. It also ends with what `say` raises.
    saved : dict, default=None
        State from which the training resumes, as `save` was given it.
    save : function, default=None
        Called after some epochs with the state of the training, whose tensors change afterwards.
    timer : TrainingClock, default=None
        None for one that reads `time.monotonic`.

    Returns
    -------
    Trained
    """
    timer = TrainingClock(time.monotonic) if timer is None else timer
    timer.start()
    last_saved = time.monotonic()
    member = Member(module, scale, spread, positive, recipe.half, recipe.contrast_only)
    optimizer = torch.optim.Adam(module.parameters(), recipe.lr, fused=True)
    true = torch.stack([each.totals for each in held_back]).numpy() if held_back else None
    # The last weights are taken unless earlier ones were clearly better: of few pictures held back,
    # the least error of many looks is low by luck.
    clearly = 1 - _LUCK / np.sqrt(max(len(held_back), 1))
    course, best = _Course(), None
    if saved is not None:
        course, best = _Course(**saved["course"]), saved["best"]
        member.restore(saved["member"])
        optimizer.load_state_dict(saved["optimizer"])
        rng.bit_generator.state = json.loads(saved["random"])
        timer.start(course.seconds, saved.get("clock"))
    while not course.ending:
        losses = []
        batches = shuffled_batches(train_samples, recipe.batch_size, rng)
        ended = False
        for k, batch in enumerate(batches):
            progress = _progress(recipe, course.epoch + k / len(batches), timer.seconds())
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * _schedule(progress)
            if progress > 1 - _FROZEN and not member.frozen:
                member.freeze(batches[:_SETTLED_ALL])
            optimizer.zero_grad()
            predicted, loss = batch_loss(member, batch, recipe, rng)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), _MAX_NORM)
            optimizer.step()
            member.project()
            member.remember(course.step)
            course.step += 1
            losses.append(predicted)
            ended = say is not None and say(progress, None)
            if progress >= 1 or ended:
                break
        course.epoch += 1
        course.seconds = timer.seconds()
        course.progress = progress = _progress(recipe, course.epoch, course.seconds)
        if progress >= 1:
            # A pass that the clock cut short is none that was planned.
            whole = course.epoch >= recipe.max_epochs and len(losses) == len(batches)
            course.ending = "epochs" if whole else "time"
        looks = progress >= course.next_look or progress >= 1 or ended
        if looks:
            course.next_look = progress + 1 / _LOOKS
            row = {
                "epoch": course.epoch,
                "minutes": course.seconds / 60,
                "train_error": float(np.mean(np.concatenate(losses))),
            }
            member.settle(batches[:_SETTLED])
            if true is not None:
                row["error"] = error = float(np.abs(member.predict(held_back) - true).mean())
                if error < course.best_error:
                    course.best_error, course.best_at = error, progress
                    best = copy.deepcopy(member.average.state_dict())
                late = progress - course.best_at > _LONG_AGO
                looked = [each["error"] for each in course.history[1 - _RECENT_LOOKS :]]
                worse = course.best_error < clearly * min([error, *looked])
                if late and worse and not course.ending:
                    course.ending = "error"
            course.history.append(row)
            with timer.stopped():  # a run may be paused
                ended = (say is not None and say(progress, row)) or ended
        if ended:
            course.ending = course.ending or "callback"
            break
        if save is not None and (looks or time.monotonic() - last_saved >= _SAVED_SECONDS):
            last_saved = time.monotonic()
            save(
                {
                    "course": asdict(course),
                    "best": best,
                    "member": member.state(),
                    "optimizer": optimizer.state_dict(),
                    "random": json.dumps(rng.bit_generator.state),
                    "clock": _tensor(timer.kept()),
                }
            )
    history = course.history
    if best is not None and course.best_error < clearly * history[-1]["error"]:
        member.average.load_state_dict(best)
    member.balance(train_samples)
    member.match(train_samples, recipe.n_views)
    edges = member.average.edges.detach().double().numpy()
    scale = member.scale.double().numpy()
    predicted = member.predict(held_back, recipe.n_views)
    return Trained(member.average.eval(), history, predicted, edges, scale, course.ending)


def _tensor(readings):
    """Return readings of a clock as a checkpoint can contain them."""
    return None if readings is None else torch.from_numpy(readings)


def bfloat16_pays() -> bool:
    """Return True if the processor has instructions for products of bfloat16 (AMX or AVX-512).

    Convolutions then take a third (AMX) or half of the time.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def _progress(recipe, epochs, seconds) -> float:
    by_time = 0.0 if recipe.minutes is None else seconds / 60 / recipe.minutes
    return min(1.0, max(epochs / recipe.max_epochs, by_time))


def _schedule(progress) -> float:
    """Return the learning rate relative to its peak: a short warm-up, then half a cosine."""
    warm = min(1.0, progress / _WARM_UP + 0.02)
    return warm * 0.5 * (1 + float(np.cos(np.pi * progress))) + 5e-4
