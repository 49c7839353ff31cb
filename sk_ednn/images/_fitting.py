"""Fit the members of a `CountRegressor`: samples, networks, threads, progress."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs

from .._utils.clocks import training_clock
from .._utils.wording import about, plain
from ._batches import Sample
from ._checkpoint import opened
from ._maxima import MaximaCounter
from ._maxima_fitting import fit_maxima
from ._network import MEAN_OUTPUT, as_regressor, tile_network
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
# Minutes after which a first verdict is due.
_EARLY = 3.0
# Between lines on the progress.
_STEP = 0.1
# The time of all passes is known from this part of a training on, to within this factor.
_KNOWN, _ROUGHLY = 0.05, 1.1


@dataclass
class Fitted:
    """Members, and the pictures that each held back.

    Attributes
    ----------
    trained : list of Trained
    held_back : list of (ndarray of int, ndarray of shape (n, n_outputs))
        Numbers of pictures, and the predictions of the member, averaged with `maxima`.
    maxima : MaximaCounter or None
    minutes_needed : float
        Minutes that all passes of all members take, estimated where time ended them.
    """

    trained: list[Trained]
    held_back: list[tuple[np.ndarray, np.ndarray]]
    maxima: MaximaCounter | None
    shared: tuple
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
    # Lines of trainings at the same time would mix: those of the first stand for all.
    alone = n_jobs == 1
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
            verbose = settings.verbose if k == 0 or alone else 0
            head = _heading(k, settings.n_members, n_jobs)
            say = _Progress(
                verbose, stop, typical, head, len(held), k, settings.callback, ended, recipe,
                rounds, rounds - 1 - k // n_jobs, guess=_error_of_mean(totals, held),
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
    if settings.maxima and admitted.counts and positive:
        groups = range(len(arrays)) if admitted.groups is None else admitted.groups
        maxima, held_back = fit_maxima(samples, owners, groups, standardization, held_back, totals)
    shared = (geometry, standardization, positive, n_channels, seen)
    needed = rounds * max(
        _minutes_of_all(each.history[0], each.history[-1], recipe) for each in trained
    )
    return Fitted(trained, held_back, maxima, shared, needed)


def _train(n_threads, say, job):
    torch.set_num_threads(n_threads)
    say.begin()
    trained = train(*job)
    say.end(trained)
    return trained


def _heading(k, n_members, n_jobs) -> str:
    """Return the first line on the training of a network; empty if there is only one.

    Examples
    --------
    >>> from sk_ednn.images._fitting import _heading
    >>> _heading(0, 2, 2)
    '2 networks are trained side by side; each holds back its own pictures; the lines are of the
    first'
    >>> _heading(0, 5, 2)
    '5 networks are trained, 2 at a time; each holds back its own pictures; the lines are of the
    first'
    >>> _heading(1, 2, 1)
    'network 2 of 2, which holds back its own pictures'
    """
    if n_members == 1:
        return ""
    if n_jobs == 1:
        return f"network {k + 1} of {n_members}, which holds back its own pictures"
    how = " side by side" if n_jobs >= n_members else f", {n_jobs} at a time"
    own = "each holds back its own pictures"
    return f"{n_members} networks are trained{how}; {own}; the lines are of the first"


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


class _Progress:
    """Print how a training goes; end it if the callback or an interrupt ended the fit."""

    def __init__(self, verbose, stop, typical, head, n_held, member, callback, ended, recipe,
                 rounds=1, later=0, guess=None):  # fmt: skip
        self.verbose, self.stop = verbose, stop
        self.typical, self.head, self.n_held, self.member = typical, head, n_held, member
        self.guess, self.callback, self.ended = guess, callback, ended
        # Trainings after each other: all of them, and those after this one.
        self.recipe, self.rounds, self.later, self.first = recipe, rounds, later, None
        self.early, self.next, self.judged = False, _STEP, False

    def __call__(self, progress, row) -> bool:
        if self.stop.is_set():
            raise KeyboardInterrupt
        if row is not None:
            if self.callback is not None and self.callback(
                {**row, "member": self.member, "progress": progress}
            ):
                self.ended.set()
            if self.verbose:
                self._say(progress, row)
        return self.ended.is_set()

    def begin(self):
        """Say which networks are trained."""
        if self.verbose and self.head:
            self.write(self.head)

    def _say(self, progress, row):
        self.first = self.first or row
        if not self.judged and progress >= _KNOWN and row["epoch"] > self.first["epoch"]:
            self.judged = True
            self._judge_time(row)
        early = not self.early and row["minutes"] >= _EARLY
        if early or progress >= self.next:
            left = row["minutes"] * (1 + self.later - progress) / progress if progress else 0.0
            left = f", {about(60 * left)} left" if left else ""
            line = (
                f"{100 * progress:.0f} % of the training ({_shown(row['minutes'])} minutes{left})"
            )
            if "error" in row:
                off = f"off by {plain(row['error'], 3)} of {plain(self.typical)}"
                line += f": {off} on {self.n_held} pictures not seen"
                if self.guess is not None:
                    line += f" (their mean as a guess: {plain(self.guess, 3)})"
            self.write(line)
            if progress >= 1 and "error" in row:
                self.write("last step: the pictures are counted once more, in all orientations")
        self.early |= early
        while self.next <= progress:
            self.next += _STEP

    def _judge_time(self, row):
        """Say that the time does not suffice for all passes."""
        limit, most = self.recipe.minutes, self.recipe.max_epochs
        needed = _minutes_of_all(self.first, row, self.recipe)
        if limit is not None and needed > _ROUGHLY * limit:
            pace = (needed - row["minutes"]) / (most - row["epoch"])
            done = row["epoch"] + max(0, round((limit - row["minutes"]) / pace))
            self.write(
                f"all {most} passes over the pictures need about "
                f"{whole_minutes(self.rounds * needed)} minutes: the limit of "
                f"{_shown(self.rounds * limit)} ends the training after about {done}; if its "
                "error is then too large, allow more"
            )

    def end(self, trained):
        """Say why a training ended before its time."""
        row = trained.history[-1]
        if not self.verbose or self.stop.is_set():
            return
        done, limit = f"ended after {_shown(row['minutes'])}", self.recipe.minutes
        if trained.ending == "error":
            best = min(trained.history, key=lambda each: each["error"])
            self.write(
                f"{done} minutes: the error was least, {plain(best['error'], 3)}, after "
                f"{_shown(best['minutes'])} minutes; the weights of then are kept"
            )
        elif trained.ending == "epochs" and limit is not None:
            times = "once" if row["epoch"] == 1 else f"{row['epoch']} times"
            self.write(f"{done} of {_shown(limit)} minutes: every picture was seen {times}")

    def write(self, line):
        """Pass a line on, or print it."""
        if callable(self.verbose):
            self.verbose(line)
        else:
            print(line, file=sys.stderr, flush=True)


def _minutes_of_all(first, row, recipe) -> float:
    """Return the minutes that all passes of a member take, from two rows of its history.

    The first pass is slower, since libraries are loaded and memory is taken in it.
    """
    if row["epoch"] == first["epoch"]:
        return row["minutes"] * recipe.max_epochs / row["epoch"]
    pace = (row["minutes"] - first["minutes"]) / (row["epoch"] - first["epoch"])
    return row["minutes"] + pace * (recipe.max_epochs - row["epoch"])


def whole_minutes(minutes) -> int:
    """Return minutes that suffice, as a whole number of two digits or fewer.

    Examples
    --------
    >>> from sk_ednn.images._fitting import whole_minutes
    >>> whole_minutes(0.02), whole_minutes(6.1), whole_minutes(112.0), whole_minutes(120.0)
    (1, 7, 120, 120)
    """
    unit = 10 ** max(0, int(np.log10(max(minutes, 1.0))) - 1)
    return unit * int(np.ceil(minutes / unit))


def _shown(minutes) -> str:
    """Return minutes to a tenth, or to two digits if they are fewer than one.

    Examples
    --------
    >>> from sk_ednn.images._fitting import _shown
    >>> _shown(11.94), _shown(6.0), _shown(0.0314)
    ('11.9', '6', '0.031')
    """
    return f"{round(minutes, 1):g}" if minutes >= 1 else f"{minutes:.2g}"
