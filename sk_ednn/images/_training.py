"""Train a network of tiles on totals of whole pictures, boxes and crops of any sizes.

Why not by `GradientSolver`: docs/decisions/pictures-by-their-own-loop.rst.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import nn

from ._geometry import BANDS, CONTEXT, FOCUS, Geometry, weights
from ._network import NORMS

# Times that the pictures held back are looked at.
_LOOKS = 25
# The average of weights goes back so many steps at most.
_MEMORY_STEPS = 100
_HUBER_DELTA = 0.5
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
# Boxes of so many tiles are put together to pictures whose total is that of the boxes. They are at
# least so many tiles from an edge, so that their surroundings are true.
_BOX, _LEAST_BOX, _INNER = 8, 4, 1
# The same for boxes that tell how much tiles near edges have too much, and limits of the factors.
_WIDE_BOX, _BALANCING_STEPS, _FACTORS = 24, 100, (0.5, 1.5)
# Batches by which statistics of normalisations are measured, and those where these are kept.
_SETTLED, _SETTLED_ALL = 4, 64
# Seconds between two checkpoints, apart from those at looks.
_SAVED_SECONDS = 10.0
# Batches among which samples are sorted by size.
_POOLED = 8
# Continuation of the pixels, the weights and the bands of smaller samples.
_MODES = ("reflect", "constant", "edge")

# Layers of a network that samples do not go through: they are averaged and not flattened.
_LEFT_OUT = (nn.AvgPool2d, nn.AvgPool3d, nn.Flatten)

# Replaced where processor time is to count, such as in benchmarks beside other work.
clock: Callable[[], float] = time.monotonic


@dataclass
class Sample:
    """Pixels of one total.

    Attributes
    ----------
    values : ndarray of shape (n_channels, *padded), float32
        Standardised, averaged, with context and slack around.
    lengths : tuple of int
        Pixels of the picture or box along each axis.
    geometry : Geometry
    totals : Tensor of shape (n_outputs,)
    spread : float
        The unit of the loss, relative to that of a picture of mean size.
    open_sides : list of (bool, bool) or None
        Whether the picture goes on before and behind along each axis, as around a box.
    """

    values: np.ndarray
    lengths: tuple[int, ...]
    geometry: Geometry
    totals: torch.Tensor
    spread: float
    open_sides: list | None = None

    def view(self, shift=(0, 0)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pixels, the part of each tile that counts, and its bands, with shifted tiles.

        Parameters
        ----------
        shift : pair of int
            Averaged pixels along rows and columns, below those of a focus.

        Returns
        -------
        values : ndarray of shape (n_channels, *window), float32
        weights : ndarray of shape (1, *tile_grid), float32
        bands : ndarray of shape (1, *tile_grid), int64
            The number of the pair of bands along rows and columns, see `Geometry.bands`.
        """
        r, planes = self.geometry.reduction, (0,) * (self.geometry.n_axes - 2)
        room = [slack // r for slack in self.geometry.slack[-2:]]
        pixels = (*planes, *(s * r for s in shift))
        inside = weights(self.geometry.shifted_shares(self.lengths, pixels))
        *_, along_rows, along_columns = self.geometry.bands(self.lengths, pixels, self.open_sides)
        pairs = np.add.outer(along_rows * (BANDS + 1), along_columns)
        pairs = np.broadcast_to(pairs, inside.shape)[None]
        rows, columns = (
            slice(most - s, n - s)
            for most, s, n in zip(room, shift, self.values.shape[-2:], strict=True)
        )
        return self.values[..., rows, columns], inside[None].astype(np.float32), pairs


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
    illumination : float
        Spread of the random gain and offset of each channel, in its units.
    half : bool
        Whether layers but the last compute in bfloat16.
    """

    max_epochs: int = 300
    minutes: float | None = None
    batch_size: int = 4
    lr: float = 2e-3
    symmetric: bool = True
    illumination: float = 0.1
    half: bool = False


@dataclass
class Trained:
    """A trained network, and how it went.

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
    """

    module: nn.Module
    history: list = field(default_factory=list)
    held_back: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    edges: np.ndarray = field(default_factory=lambda: np.zeros(BANDS))
    scale: np.ndarray = field(default_factory=lambda: np.ones(1))


@dataclass
class _Course:
    """How far a training has come.

    Attributes
    ----------
    history : list of dict
    epoch, step : int
        Passes and batches that are done.
    progress, next_look : float
        Between 0 and 1.
    best_error, best_at : float
        Least error of pictures held back, and the progress at which it was seen.
    over : bool
        Whether the training ended early.
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
    over: bool = False
    seconds: float = 0.0


class _Member:
    """A network in training: forward, loss, step, average of weights."""

    def __init__(self, module, scale, spread, positive, half):
        self.positive, self.half, self.frozen = positive, half, False
        self.flat = any(isinstance(layer, nn.Conv2d) for layer in module)
        self.module = self._laid_out(module)
        self.module.register_parameter("edges", nn.Parameter(torch.zeros(BANDS)))
        self.average = copy.deepcopy(self.module).eval()
        self.scale = torch.as_tensor(scale, dtype=torch.float32)
        self.spread = torch.as_tensor(spread, dtype=torch.float32)

    def _laid_out(self, x):
        if isinstance(x, nn.Module):
            return x.to(memory_format=torch.channels_last) if self.flat else x
        return x.contiguous(memory_format=torch.channels_last) if self.flat else x.contiguous()

    def totals(self, module, values, weights, bands):
        """Return the totals (n, n_outputs) of fields (n, n_channels, *padded)."""
        return self.contributions(module, values, weights, bands).flatten(2).sum(2)

    def contributions(self, module, values, weights, bands):
        """Return what each tile adds to the totals, (n, n_outputs, *tile_grid)."""
        factors = torch.cat([1 + module.edges, module.edges.new_ones(1)])
        weights = weights * torch.outer(factors, factors).ravel()[bands]
        *body, head = [layer for layer in module if not isinstance(layer, _LEFT_OUT)]
        out = self._laid_out(values)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half and module.training):
            for layer in body:
                out = layer(out)
        # Contributions are small numbers, many of which are added up.
        out = head(out.float())
        out = nn.functional.softplus(out) if self.positive else out
        scale = self.scale.reshape(-1, *(1,) * (values.ndim - 2))
        return out * weights * scale

    def predict(self, samples) -> np.ndarray:
        """Return the totals by the averaged weights, one row a sample."""
        with torch.no_grad():
            rows = [self.totals(self.average, *_together([each])) for each in samples]
        return torch.cat(rows).double().numpy() if rows else np.zeros((0, len(self.scale)))

    def remember(self, step):
        """Move the averaged weights towards the present ones."""
        share = 1 - min(1 - 1 / _MEMORY_STEPS, (1 + step) / (10 + step))
        with torch.no_grad():
            present = dict(self.module.named_parameters())
            for name, mean in self.average.named_parameters():
                mean.lerp_(present[name], share)

    def settle(self, batches):
        """Compute the statistics of normalisations for the averaged weights.

        Averages of statistics are not those of averaged weights, as long as these change fast.
        """
        if not self.frozen:
            self._measure(self.average, batches)
        self.average.eval()

    def freeze(self, batches):
        """Measure the statistics of normalisations, and keep them from now on."""
        self._measure(self.module, batches)
        kept = dict(self.average.named_buffers())
        for name, value in self.module.named_buffers():
            kept[name].copy_(value)
        self._keep_statistics()

    def state(self) -> dict:
        """Return what a checkpoint contains of the network."""
        return {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "frozen": self.frozen,
        }

    def restore(self, state):
        """Continue with the state of a checkpoint."""
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        if state["frozen"]:
            self._keep_statistics()

    def _keep_statistics(self):
        self.frozen = True
        for layer in self.module:
            if isinstance(layer, NORMS):
                layer.eval()

    def balance(self, samples):
        """Weight tiles near edges so that boxes with mirror images around have their true totals.

        Totals of small pictures do not tell how much tiles near an edge have too much, and others
        too little, which large pictures show.
        """
        if not self.positive:
            return
        seen, true = np.zeros((2, (BANDS + 1) ** 2))
        scale = torch.as_tensor(self.scale)
        with torch.no_grad():
            for sample in samples:
                values, weights, bands = _together([sample])
                inner = _inner(weights[0, 0], bands[0, 0])
                side = min(_WIDE_BOX, *(stop - start for start, stop in inner))
                if side < _LEAST_BOX:
                    continue
                found = self.contributions(self.average, values, weights, bands)[0]
                i, j = (start + (stop - start - side) // 2 for start, stop in inner)
                rows, columns = (slice(FOCUS * m, FOCUS * (m + side)) for m in (i, j))
                window = values[..., CONTEXT:-CONTEXT, CONTEXT:-CONTEXT][0, ..., rows, columns]
                pairs = _bands_of(side)
                plain = torch.full((1, *weights.shape[1:-2], side, side), (BANDS + 1) ** 2 - 1)
                ones = torch.ones(plain.shape)
                alone = self.contributions(self.average, _reflected(window), ones, plain)[0]
                for sums, one in ((seen, alone), (true, found[..., i : i + side, j : j + side])):
                    one = one / scale.reshape(-1, *(1,) * (one.ndim - 1))
                    np.add.at(sums, pairs.ravel(), one.flatten(0, -3).sum(0).ravel().double())
        if true.all():
            square = (BANDS + 1,) * 2
            edges = _balanced(seen.reshape(square), true.reshape(square))
            with torch.no_grad():
                self.average.edges.copy_(torch.from_numpy(edges))

    def match(self, samples):
        """Scale contributions that are not negative so that the totals of samples add up.

        Low precision, changes of light and averages of weights leave a bias, which errors of single
        pictures hide and large pictures show.
        """
        if not self.positive:
            return
        true = torch.stack([each.totals for each in samples]).numpy()
        known = np.isfinite(true)
        predicted = np.where(known, self.predict(samples), 0.0).sum(axis=0)
        total = np.where(known, true, 0.0).sum(axis=0)
        fine = (predicted > 0) & (total > 0)
        ratio = np.where(fine, total / np.where(fine, predicted, 1.0), 1.0)
        self.scale = self.scale * torch.as_tensor(ratio, dtype=torch.float32)

    def _measure(self, module, batches):
        for layer in module:
            if isinstance(layer, NORMS):
                layer.reset_running_stats()
                layer.momentum = None  # all batches count alike
        module.train()
        with torch.no_grad():
            for batch in batches:
                self.totals(module, *_together(batch))


def train(module, train_samples, held_back, scale, spread, positive, recipe, rng, say=None,
          saved=None, save=None):  # fmt: skip
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

    Returns
    -------
    Trained
    """
    start = last_saved = clock()
    member = _Member(module, scale, spread, positive, recipe.half)
    optimizer = torch.optim.Adam(module.parameters(), recipe.lr, fused=True)
    true = torch.stack([each.totals for each in held_back]).numpy() if held_back else None
    # The last weights are taken unless earlier ones were clearly better: of few pictures held back,
    # the least error of many looks is low by luck.
    clearly = 1 - _LUCK / np.sqrt(max(len(held_back), 1))
    course, best, ended = _Course(), None, False
    if saved is not None:
        course, best = _Course(**saved["course"]), saved["best"]
        member.restore(saved["member"])
        optimizer.load_state_dict(saved["optimizer"])
        rng.bit_generator.state = json.loads(saved["random"])
        start -= course.seconds
    while course.progress < 1 and not course.over:
        losses = []
        batches = _batches(train_samples, recipe.batch_size, rng)
        for k, batch in enumerate(batches):
            progress = _progress(recipe, course.epoch + k / len(batches), clock() - start)
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * _schedule(progress)
            if progress > 1 - _FROZEN and not member.frozen:
                member.freeze(batches[:_SETTLED_ALL])
            optimizer.zero_grad()
            predicted, loss = _loss(member, batch, recipe, rng)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), _MAX_NORM)
            optimizer.step()
            member.remember(course.step)
            course.step += 1
            losses.append(predicted)
            ended = say is not None and say(progress, None)
            if progress >= 1 or ended:
                break
        course.epoch += 1
        course.progress = progress = _progress(recipe, course.epoch, clock() - start)
        looks = progress >= course.next_look or progress >= 1 or ended
        if looks:
            course.next_look = progress + 1 / _LOOKS
            row = {
                "epoch": course.epoch,
                "minutes": (clock() - start) / 60,
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
                course.over = late and bool(course.best_error < clearly * min([error, *looked]))
            course.history.append(row)
            ended = (say is not None and say(progress, row)) or ended
        if ended:
            break
        if save is not None and (looks or clock() - last_saved >= _SAVED_SECONDS):
            last_saved = clock()
            course.seconds = last_saved - start
            save(
                {
                    "course": asdict(course),
                    "best": best,
                    "member": member.state(),
                    "optimizer": optimizer.state_dict(),
                    "random": json.dumps(rng.bit_generator.state),
                }
            )
    history = course.history
    if best is not None and course.best_error < clearly * history[-1]["error"]:
        member.average.load_state_dict(best)
    member.balance(train_samples)
    member.match(train_samples)
    edges = member.average.edges.detach().double().numpy()
    scale = member.scale.double().numpy()
    return Trained(member.average.eval(), history, member.predict(held_back), edges, scale)


def bfloat16_pays() -> bool:
    """Return True if the processor multiplies matrices of bfloat16 in units made for it (AMX).

    Convolutions then take a third of the time.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))


def _progress(recipe, epochs, seconds) -> float:
    by_time = 0.0 if recipe.minutes is None else seconds / 60 / recipe.minutes
    return min(1.0, max(epochs / recipe.max_epochs, by_time))


def _schedule(progress) -> float:
    """Return the learning rate relative to its peak: a short warm-up, then half a cosine."""
    warm = min(1.0, progress / _WARM_UP + 0.02)
    return warm * 0.5 * (1 + float(np.cos(np.pi * progress))) + 5e-4


def _batches(samples, size, rng) -> list[list[Sample]]:
    """Return the samples in random order, in batches of samples of similar size."""
    order = [samples[k] for k in rng.permutation(len(samples))]
    batches = []
    for start in range(0, len(order), size * _POOLED):
        pool = sorted(order[start : start + size * _POOLED], key=lambda each: each.values.shape)
        batches += [pool[k : k + size] for k in range(0, len(pool), size)]
    return [batches[k] for k in rng.permutation(len(batches))]


def _together(batch, shift=(0, 0)):
    """Return values (n, n_channels, *window), weights and bands (n, 1, *tile_grid) of samples.

    Smaller ones are continued by mirror images that do not count.
    """
    views = [sample.view(shift) for sample in batch]
    largest = [np.max([part.shape for part in parts], axis=0) for parts in zip(*views, strict=True)]
    stacked = []
    for parts, shape, mode in zip(zip(*views, strict=True), largest, _MODES, strict=True):
        parts = [
            part if part.shape == tuple(shape) else
            np.pad(part, [(0, n - m) for n, m in zip(shape, part.shape, strict=True)], mode=mode)
            for part in parts
        ]  # fmt: skip
        stacked.append(torch.from_numpy(np.stack(parts)))
    return stacked


def _loss(member, batch, recipe, rng):
    """Return the absolute errors of a batch, and its loss."""
    shift = tuple(int(n) for n in rng.integers(FOCUS, size=2))
    values, *tiles = _varied(*_together(batch, shift), recipe, rng)
    totals = torch.stack([each.totals for each in batch]).float()
    units = member.spread * totals.new_tensor([[each.spread] for each in batch])
    found = member.contributions(member.module, values, *tiles)
    predicted = found.flatten(2).sum(2)
    known = torch.isfinite(totals)  # of a box, perhaps not all totals
    totals = torch.where(known, totals, predicted.detach())
    loss = _huber(predicted, totals, units)
    if member.frozen:
        loss = loss + _mosaic_loss(member, values, *tiles, found.detach(), units, rng)
    return (predicted.detach() - totals).abs().mean(1).numpy(), loss


def _huber(predicted, totals, units):
    return nn.functional.huber_loss(predicted / units, totals / units, delta=_HUBER_DELTA)


def _mosaic_loss(member, values, weights, bands, found, units, rng):
    """Return the loss of a picture put together of boxes, whose total is that of the boxes.

    Totals alone do not tell tiles that see mirror images, or objects that are cut, from others: in
    small pictures too much there makes up for too little elsewhere, which large pictures show.
    Contributions of boxes in their true surroundings are what the same boxes are to have in others.

    Parameters
    ----------
    member : _Member
    values : Tensor of shape (n, n_channels, *window)
    weights, bands : Tensor of shape (n, 1, *tile_grid)
    found : Tensor of shape (n, n_outputs, *tile_grid)
        Contributions.
    units : Tensor of shape (n, n_outputs)
        Of errors of the totals.
    rng : numpy.random.Generator
    """
    inner = [_inner(w, b) for w, b in zip(weights[:, 0], bands[:, 0], strict=True)]
    side = min(_BOX, *(stop - start for ranges in inner for start, stop in ranges))
    if side < _LEAST_BOX:
        return 0.0
    boxes, total = [], 0.0
    for k in (np.arange(4) + rng.integers(len(values))) % len(values):
        i, j = (int(rng.integers(start, stop - side + 1)) for start, stop in inner[k])
        rows, columns = (slice(CONTEXT + FOCUS * m, CONTEXT + FOCUS * (m + side)) for m in (i, j))
        boxes.append(values[k][..., rows, columns])
        total = total + found[k][..., i : i + side, j : j + side].flatten(1).sum(1)
    joined = torch.cat([torch.cat(boxes[:2], -1), torch.cat(boxes[2:], -1)], -2)
    padded = _reflected(joined)
    pairs = _bands_of(2 * side).expand(1, *weights.shape[1:-2], -1, -1)
    predicted = member.totals(member.module, padded, torch.ones(pairs.shape), pairs)
    share = pairs.numel() / weights[:1].sum()
    return _huber(predicted, total[None], units[:1] * share.sqrt())


def _reflected(values):
    """Return a sample of values (n_channels, *grid) with mirror images around its planes."""
    padded = nn.functional.pad(values.flatten(0, -3), (CONTEXT,) * 4, mode="reflect")
    return padded.reshape(1, *values.shape[:-2], *padded.shape[-2:])


def _bands_of(side):
    """Return the pairs of bands of a square with so many tiles along each side."""
    along = np.minimum(np.arange(side), np.arange(side)[::-1]).clip(0, BANDS)
    return torch.from_numpy(np.add.outer(along * (BANDS + 1), along))


def _balanced(seen, true):
    """Return what to add to the weights of bands so that the sums in them are the true ones.

    Parameters
    ----------
    seen, true : ndarray of shape (BANDS + 1, BANDS + 1)
        Sums of contributions for each pair of bands; `seen` without weights.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._training import _balanced
    >>> factors = np.array([0.8, 0.9, 1.0, 1.0])
    >>> seen = np.ones((4, 4))
    >>> _balanced(seen, seen * np.outer(factors, factors)).round(6)
    array([-0.2, -0.1,  0. ])
    """
    seen, true = seen + seen.T, true + true.T
    factors = np.ones(BANDS + 1)
    for _ in range(_BALANCING_STEPS):
        ratio = true.sum(1) / np.maximum(factors * (seen @ factors), np.finfo(float).tiny)
        factors[:-1] *= np.sqrt(ratio[:-1])
    return factors[:-1].clip(*_FACTORS) - 1


def _inner(weights, bands):
    """Return the range of tiles along rows and columns that see no mirror images."""
    far = (bands == BANDS * (BANDS + 2)) & (weights == 1)
    far = far.flatten(0, -3).all(0) if far.ndim > 2 else far
    ranges = []
    for axis in (1, 0):
        along = torch.nonzero(far.any(axis)).ravel()
        first, last = (int(along[0]), int(along[-1])) if len(along) else (0, -1)
        ranges.append((first + _INNER, last + 1 - _INNER))
    return ranges


def _varied(values, weights, bands, recipe, rng):
    """Return samples turned, flipped, and in another light."""
    if recipe.symmetric:
        turns = int(rng.integers(4))
        values, weights, bands = (torch.rot90(x, turns, (-2, -1)) for x in (values, weights, bands))
        flips = [axis for axis in range(2, values.ndim) if rng.random() < 0.5]
        if flips:
            values, weights, bands = (x.flip(flips) for x in (values, weights, bands))
    if recipe.illumination:
        ones = (1,) * (values.ndim - 2)
        gain = np.exp(recipe.illumination * rng.normal(size=(len(values), 1, *ones)))
        offset = recipe.illumination * rng.normal(size=(len(values), values.shape[1], *ones))
        values = values * torch.from_numpy(gain).float() + torch.from_numpy(offset).float()
    return values, weights, bands
