"""Fit the members of a `CountRegressor`: samples, networks, threads, progress."""

from __future__ import annotations

import threading
import time
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs

from .._utils.clocks import training_clock
from ._batches import Sample
from ._checkpoint import opened
from ._effort import expected_minutes, passes_after
from ._maxima import MaximaCounter
from ._maxima_fitting import fit_maxima
from ._network import MEAN_OUTPUT, as_regressor, tile_network
from ._progress import (
    Progress,
    Remaining,
    expected_in_words,
    heading,
    minutes_of_all,
    write_line,
)
from ._samples import prepared
from ._training import Recipe, Trained, bfloat16_pays, train
from ._views import suited_views

# Totals that vary by less than this, relative to their mean, are judged in units of that.
_LEAST_SPREAD = 0.1
# Samples of fewer tiles than this share of a mean picture count as if they had so many.
_LEAST_SIZE = 0.0025
_ILLUMINATION = 0.1
# Passes over the pictures for each total, steps of the shortest training, and most passes.
_PASSES_PER_TOTAL, _LEAST_STEPS, _MOST_PASSES = 2, 300, 300


@dataclass
class Fitted:
    """Members, and the pictures that each held back.

    Attributes
    ----------
    trained : list of Trained
    held_back : list of (ndarray of int, ndarray of shape (n, n_outputs))
        Numbers of pictures, and the predictions of the member, averaged with `maxima`.
    maxima : MaximaCounter or None
    minutes, minutes_needed : float
        Minutes that the trainings of all members took, and the limit with which all end by
        themselves.
    """

    trained: list[Trained]
    held_back: list[tuple[np.ndarray, np.ndarray]]
    maxima: MaximaCounter | None
    shared: tuple
    minutes: float
    minutes_needed: float

    @property
    def histories(self) -> list:
        """Records of each training."""
        return [member.history for member in self.trained]

    @property
    def endings(self) -> list[str]:
        """Why each training ended."""
        return [member.ending for member in self.trained]

    @property
    def edges(self) -> np.ndarray:
        """Additions of each member to the weights of tiles near an edge, (n_members, BANDS)."""
        return np.stack([member.edges for member in self.trained])

    def regressors(self, y_ndim) -> list:
        """Return the members as fitted estimators of the package."""
        geometry, standardization, positive, n_channels, seen = self.shared
        return [
            as_regressor(
                member.module,
                geometry,
                standardization,
                member.scale,
                positive,
                n_channels,
                y_ndim,
                seen,
            )
            for member in self.trained
        ]


def fit_members(settings, admitted, folds, geometry, standardization, seen, rng):
    """Train all members.

    Parameters
    ----------
    settings : CountRegressor
    admitted : Admitted
    folds : list of ndarray of int
        The pictures that each member holds back.
    geometry : Geometry
    standardization : pair of ndarray
    seen : ndarray of shape (n_channels, 3)
    rng : RandomState

    Returns
    -------
    Fitted
    """
    arrays, totals, boxes = admitted.arrays, admitted.totals, admitted.boxes
    sizes = np.array([np.prod(values.shape[:-1], dtype=float) for values in arrays])
    scale, spread, positive = _units(settings, totals, boxes, sizes, geometry)
    samples, owners = _samples(arrays, totals, boxes, geometry, standardization, sizes)
    recipe = _recipe(settings, admitted.counts, len(samples))
    n_jobs = min(effective_n_jobs(settings.n_jobs), settings.n_members)
    rounds = -(-settings.n_members // n_jobs)
    counter = settings.maxima and admitted.counts and positive and any(map(len, folds))
    if settings.verbose:
        lengths = [sample.lengths for sample in samples]
        minutes = _minutes(settings, recipe, lengths, geometry, arrays[0].shape[-1], counter)
        write_line(settings.verbose, expected_in_words(recipe.max_epochs, minutes))
    if recipe.minutes is not None:
        recipe = Recipe(**{**vars(recipe), "minutes": recipe.minutes / rounds})
    n_channels = arrays[0].shape[-1]
    seeds = rng.randint(np.iinfo(np.int32).max, size=settings.n_members)
    modules = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(int(seed))
            modules.append(
                tile_network(n_channels, totals.shape[1], geometry, positive, recipe.contrast_only)
            )
    stop, ended = threading.Event(), threading.Event()
    typical = float(np.nanmean(np.abs(totals))) if np.isfinite(totals).any() else None
    given = (samples, owners, folds, scale, spread, positive, geometry, recipe, seeds)
    threads = torch.get_num_threads()
    after = passes_after(recipe, n_channels if counter else 0)
    remaining = Remaining(settings.n_members, n_jobs, after=after)
    with opened(settings.checkpoint, *given) as checkpoint:
        jobs = []
        for k, (module, held, seed) in enumerate(zip(modules, folds, seeds, strict=True)):
            out = set(held.tolist())
            inside = [sample for sample, owner in zip(samples, owners, strict=True)
                      if owner not in out]  # fmt: skip
            # Whole pictures come first, in their order.
            whole = {
                owner: sample for sample, owner in reversed(list(zip(samples, owners, strict=True)))
            }
            # Lines of trainings at the same time would mix: those of one stand for all.
            verbose = settings.verbose if k % n_jobs == 0 else 0
            say = Progress(
                verbose, stop, typical, heading(k, settings.n_members, n_jobs), len(held), k,
                settings.callback, ended, recipe, remaining, rounds=rounds,
                guess=_error_of_mean(totals, held), n_members=settings.n_members,
            )  # fmt: skip
            kept = (
                (None, None)
                if checkpoint is None
                else (checkpoint.state(k), partial(checkpoint.save, k))
            )
            timer = training_clock(f"member-{k}", time.monotonic)
            job = (module, inside, [whole[i] for i in held], scale, spread, positive, recipe,
                   np.random.default_rng(int(seed)), say, *kept, timer)  # fmt: skip
            jobs.append((say, job))
        try:
            # Each member on its share of the cores: layers are too small to share one well.
            each = max(1, threads // n_jobs)
            trained = Parallel(n_jobs=n_jobs, prefer="threads")(
                delayed(_train)(each, say, job) for say, job in jobs
            )
        except BaseException:
            stop.set()
            raise
        finally:
            torch.set_num_threads(threads)
    held_back = [
        (held, member.held_back)
        for held, member in zip(folds, trained, strict=True)
        if len(held)
    ]  # fmt: skip
    maxima = None
    if counter:
        write_line(settings.verbose, "training done: maxima are counted, and errors measured")
        groups = range(len(arrays)) if admitted.groups is None else admitted.groups
        maxima, held_back = fit_maxima(samples, owners, groups, standardization, held_back, totals)
    shared = (geometry, standardization, positive, n_channels, seen)
    # Both by the clocks of the trainings, which stand still while a run is paused or was killed.
    minutes = _together([_minutes_taken(each) for each in trained], n_jobs)
    needed = rounds * max(_minutes_needed(each, recipe) for each in trained)
    return Fitted(trained, held_back, maxima, shared, minutes, needed)


def _minutes_taken(trained) -> float:
    """Return the minutes of a training."""
    return float(trained.history[-1]["minutes"])


def _minutes_needed(trained, recipe) -> float:
    """Return the minutes after which a training ends by itself, estimated if something else did."""
    if trained.ending in ("epochs", "error"):
        return _minutes_taken(trained)
    return float(minutes_of_all(trained.history[0], trained.history[-1], recipe))


def _together(minutes, n_jobs) -> float:
    """Return the minutes of trainings of which some run at a time, each as soon as one has ended.

    Examples
    --------
    >>> from sk_ednn.images._fitting import _together
    >>> [_together([3.0, 1.0, 1.5], n) for n in (1, 2, 3)]
    [5.5, 3.0, 3.0]
    """
    ends = [0.0] * n_jobs
    for each in minutes:
        ends[ends.index(min(ends))] += each
    return max(ends)


def minutes_of_fit(settings, admitted, geometry) -> float:
    """Return the minutes that a fit without a limit would take, as it would print them."""
    lengths = [
        values.shape[:-1] for values, row in zip(admitted.arrays, admitted.totals, strict=True)
        if np.isfinite(row).any()
    ]  # fmt: skip
    lengths += [tuple(part.stop - part.start for part in box.slices) for box in admitted.boxes]
    recipe = _recipe(settings, admitted.counts, len(lengths))
    counter = settings.maxima and admitted.counts and settings.validation_fraction > 0
    return _minutes(settings, recipe, lengths, geometry, admitted.arrays[0].shape[-1], counter)


def _minutes(settings, recipe, lengths, geometry, n_channels, counter) -> float:
    n_jobs = min(effective_n_jobs(settings.n_jobs), settings.n_members)
    return expected_minutes(
        lengths, geometry, recipe, n_channels=n_channels,
        n_members=settings.n_members, n_jobs=n_jobs,
        n_threads=max(1, torch.get_num_threads() // n_jobs),
        n_maxima=n_channels if counter else 0,
    )  # fmt: skip


def _train(n_threads, say, job):
    torch.set_num_threads(n_threads)
    say.begin()
    trained = train(*job)
    say.end(trained)
    return trained


def _recipe(settings, counts, n_totals) -> Recipe:
    light = settings.illumination
    light = (_ILLUMINATION if counts else 0.0) if light == "auto" else float(light)
    epochs = settings.max_epochs
    return Recipe(
        max_epochs=suited_epochs(n_totals) if epochs == "auto" else epochs,
        minutes=settings.minutes,
        symmetric=settings.symmetric,
        n_views=suited_views(settings.views, settings.symmetric),
        illumination=light,
        contrast_only=settings.contrast_only,
        half=bfloat16_pays() if settings.precision == "auto" else settings.precision != "float32",
    )


def suited_epochs(n_totals) -> int:
    """Return the number of epochs for a number of totals; few are overfitted sooner.

    Examples
    --------
    >>> from sk_ednn.images._fitting import suited_epochs
    >>> [suited_epochs(n) for n in (10, 32, 100, 1000)]
    [100, 64, 200, 300]
    """
    steps = -(-n_totals // Recipe.batch_size)
    return min(max(_PASSES_PER_TOTAL * n_totals, -(-_LEAST_STEPS // steps)), _MOST_PASSES)


def _units(settings, totals, boxes, sizes, geometry):
    """Return the scale of the outputs, the spread of totals, and whether they are positive."""
    rows = [
        row for row in np.concatenate([totals, *(np.reshape(b.totals, (1, -1)) for b in boxes)])
    ]
    areas = np.concatenate(
        [sizes, [float(np.prod([s.stop - s.start for s in b.slices])) for b in boxes]]
    )
    density = np.array(rows) / areas[:, None]
    size = sizes.mean()
    mean = np.nanmean(np.abs(density), axis=0) * size
    mean = np.where(mean > 0, mean, 1.0)
    by_picture = density[: len(sizes)]
    by_picture = by_picture[np.isfinite(by_picture).all(axis=1)]
    deviation = by_picture.std(axis=0) * size if len(by_picture) > 1 else np.zeros(len(mean))
    spread = np.maximum(deviation, _LEAST_SPREAD * mean)
    positive = settings.positive
    if positive == "auto":
        positive = not np.nanmin(rows) < 0
    elif positive and np.nanmin(rows) < 0:
        raise ValueError(
            f"positive=True keeps contributions from being negative, and a total is "
            f"{np.nanmin(rows):g}. Leave it at 'auto'."
        )
    n_tiles = size / np.prod(geometry.focus)
    scale = mean / n_tiles / MEAN_OUTPUT if positive else spread / n_tiles
    return scale, spread, bool(positive)


def _samples(arrays, totals, boxes, geometry, standardization, sizes):
    """Return the samples, and the picture of each; whole pictures first."""
    samples, owners = [], []
    wanted = [
        (k, None, row) for k, row in enumerate(totals) if np.isfinite(row).any()
    ] + [(box.picture, box.slices, np.ravel(box.totals)) for box in boxes]  # fmt: skip
    for picture, box, row in wanted:
        values = arrays[picture]
        grid = values.shape[:-1]
        lengths = grid if box is None else tuple(part.stop - part.start for part in box)
        around = prepared(values, grid, geometry, *standardization, box)
        size = np.prod(lengths, dtype=float) / sizes.mean()
        samples.append(
            Sample(
                around, lengths, geometry,
                torch.as_tensor(np.asarray(row, dtype=np.float64)),
                float(np.sqrt(max(size, _LEAST_SIZE))),
                None if box is None else
                [(part.start > 0, part.stop < n) for part, n in zip(box, grid, strict=True)],
            )
        )  # fmt: skip
        owners.append(picture)
    return samples, owners


def _error_of_mean(totals, held) -> float | None:
    """Return the mean error if the mean of the held totals is the guess for each of them."""
    rows = totals[held]
    known = np.isfinite(rows)
    if known.sum() < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a column without numbers
        return float(np.nanmean(np.abs(rows - np.nanmean(rows, axis=0))))
