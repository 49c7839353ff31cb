"""The time that a fit will take, from its size, this machine, and the runs that it has finished.

The work of each model is a formula in the size of the fit, whose constants were measured by
``benchmarks/model_times.py``, in seconds of one core of the machine there. Work becomes time by the
pace of this machine: earlier runs in the folder tell how their time compares with the formula, and
before there are any a short piece of work does. What nobody knows before a fit, such as the number
of stages until boosting no longer improves, makes the range wider.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import comb, inf, sqrt

import numpy as np
import psutil

from ..runs._load import Load, recorded_load

# Seconds of the reference core, measured.
_START, _START_OF_NETWORKS = 3.2, 5.3  # libraries are imported, the report is drawn
_PER_TILE = 2e-6  # tiles are cut and compared
_PER_PAIR, _PER_PAIR_AND_NUMBER = 1.7e-8, 6.4e-10  # of tiles, in a kernel
_PER_PRODUCT = 4e-8  # of sites, in all passes
_PER_RIDGE = 1e-10  # multiplication of a ridge regression
_PER_BATCH, _PER_FLOP = 3.2e-3, 1 / 3e10  # of the dense network
_PER_STEP, _PER_FLOP_SMALL = 4e-3, 1 / 9e9  # of the perceptron
# Each stage of boosting on the sum: at all, and for each distinct tile (and number in it).
_PER_STAGE = {"boosting": (0.15, 0.0, 4e-7), "forest": (0.12, 1.1e-4, 0.0),
              "neighbors": (0.05, 4.5e-5, 0.0)}  # fmt: skip
# Stages until it no longer improves: at least, most likely, at most.
_STAGES = {"boosting": (30, 65, 100), "neighbors": (15, 32, 100)}
_MOST_STAGES, _USUAL_STAGES, _LEAST_STAGES = 100, 60, 11
_DENSE_EPOCHS, _PERCEPTRON_EPOCHS = 100, 200
_BATCH, _BATCH_OF_PERCEPTRON = 32, 200
# The same bounds as those of the choice among models.
_FEW_TILES, _MAX_PRODUCTS, _MAX_RIDGE = 20_000, 4e9, 1e11
_COMPARED = 0.8  # time of the cross-validation of a model over that of its fit with a report
_TRAINED = 0.8
_PENALTIES = 75  # fits in the cross-validation of a ridge
# Times of similar fits differ by this factor, by the second where stages or epochs are unknown, and
# those on a machine that is known by a probe alone by the third.
_SPREAD, _SPREAD_OF_UNKNOWN, _SPREAD_OF_PROBE = 1.5, 2.5, 2.0
_PROBE_SECONDS = 0.06  # of the reference core
_MOST_RUNS = 60  # that are looked at
_MOST_EPOCHS = 10**9
_MOST_RATIOS = 5  # of one model, the newest


@dataclass(frozen=True)
class Time:
    """A range of times in s, and the most likely one; all infinite for what takes too long.

    Attributes
    ----------
    low, likely, high : float
    """

    low: float
    likely: float
    high: float

    def __add__(self, seconds):
        return Time(self.low + seconds, self.likely + seconds, self.high + seconds)


@dataclass(frozen=True)
class Pace:
    """The speed of fits on this machine.

    Attributes
    ----------
    speed : float
        Seconds of the processor for one of the reference core.
    wait : float
        Elapsed time for each second of the processor, now; more than 1 beside other programs.
    ratios : dict of str to list of float
        By models, the time of runs over that of the formula.
    """

    speed: float = 1.0
    wait: float = 1.0
    ratios: Mapping[str, list[float]] = field(default_factory=dict)


def work_of(name, load: Load, epochs=None) -> Time | None:
    """Return the seconds of the reference core that a fit takes, with its report.

    Parameters
    ----------
    name : str
        Of ``--model``.
    load : Load
    epochs : int, default=None
        Epochs of networks.

    Returns
    -------
    Time or None
        None for models that are unknown.
    """
    if name == "auto":
        return _work_of_choice(load)
    n, t, k, d = _TRAINED * load.n_systems, load.n_tiles, load.n_numbers, load.n_distinct
    repeats = t / load.n_systems
    if name == "kernel":
        if d > _FEW_TILES:
            return Time(inf, inf, inf)
        seconds = (_PER_PAIR + _PER_PAIR_AND_NUMBER * k) * d * min(d, _TRAINED * t)
        seconds += _PER_RIDGE * min(n, d) ** 2 * (n + d)
        return _exactly(seconds) + _START + _PER_TILE * t
    if name in ("quadratic", "cubic"):
        f = _products(name, k)
        least = min(n, f)
        ridge = least**2 * (n + f)
        fits = _PENALTIES if _PENALTIES * ridge <= _MAX_RIDGE else 1
        seconds = _PER_PRODUCT * d * f + _PER_RIDGE * fits * ridge
        return _exactly(seconds) + _START + _PER_TILE * t
    if name == "dense":
        tiles = min(d, min(_BATCH, n) * repeats)
        batches = (epochs or _DENSE_EPOCHS) * max(1, n / _BATCH)
        flops = 6 * (32 * k * k + 64 * 32 * k + 64 * 64)
        seconds = batches * (_PER_BATCH + _PER_FLOP * tiles * flops)
        return _exactly(seconds) + _START_OF_NETWORKS + _PER_TILE * t
    if name == "perceptron":
        most = epochs or _PERCEPTRON_EPOCHS
        batch = min(_BATCH_OF_PERCEPTRON, n)
        flops = 6 * (64 * k + 64 * 64 + 64)
        step = _PER_STEP + _PER_FLOP_SMALL * min(d, batch * repeats) * flops
        seconds = max(1, n / batch) * step
        # Of many batches, fewer epochs pass until it no longer improves.
        likely = max(0.1, 0.5 / sqrt(max(1, n / batch)))
        fit = Time(*(seconds * share * most for share in (0.1, likely, 1.0)))
        return fit + _START_OF_NETWORKS + _PER_TILE * t
    if name not in _PER_STAGE:
        return None
    always, of_tile, of_number = _PER_STAGE[name]
    per_stage = always + d * (of_tile + of_number * k)
    stages = _STAGES.get(name) or (
        _LEAST_STAGES, min(_USUAL_STAGES, max(_LEAST_STAGES, 3.2 * sqrt(n))), _MOST_STAGES
    )  # fmt: skip
    return Time(*(per_stage * s for s in stages)) + _START + _PER_TILE * t


def expected(name, load, pace: Pace, epochs=None) -> Time | None:
    """Return the time to expect from a fit on this machine.

    Parameters
    ----------
    name, load, epochs
        See `work_of`.
    pace : Pace
    """
    work = work_of(name, load, epochs)
    if work is None or work.likely == inf:
        return work
    of_model = pace.ratios.get(name)
    if of_model:
        spread = _SPREAD if work.high < 1.5 * work.low else _SPREAD_OF_UNKNOWN
        likely = float(np.median(of_model))
        low, high = min(of_model) / spread, max(of_model) * spread
        return Time(*(work.likely * pace.wait * ratio for ratio in (low, likely, high)))
    others = [ratio for ratios in pace.ratios.values() for ratio in ratios]
    speed = (float(np.median(others)) if others else pace.speed) * pace.wait
    return Time(
        work.low * speed / _SPREAD_OF_PROBE, work.likely * speed,
        work.high * speed * _SPREAD_OF_PROBE,
    )  # fmt: skip


def probe() -> Pace:
    """Return the pace of this machine, measured in some hundredths of a second."""
    # No matrices: threads of BLAS wait for each other beside other programs. And nothing that some
    # processors have instructions for: numpy sorts twenty times as fast with AVX-512, fits do not.
    x = np.random.default_rng(0).normal(size=100_000)
    words = [str(k * 7919 % 100_003) for k in range(20_000)]
    speeds = []
    for _ in range(4):
        start = time.thread_time()
        np.sort(x, kind="stable")
        sum(k * k % 7 for k in range(60_000))
        {word: len(word) for word in sorted(words)}
        speeds.append(time.thread_time() - start)
    # Of the processor, since other threads of the server take part of the elapsed time. How long a
    # fit waits for other programs follows from their number.
    speed = max(float(np.median(speeds)) / (_PROBE_SECONDS / 4), 0.1)
    load, cores = psutil.getloadavg()[0], psutil.cpu_count() or 1
    return Pace(speed, max(1.0, (load + 1.0) / cores))


def pace_of(runs) -> Pace:
    """Return the pace of this machine, by a probe and by the newest of some runs.

    Parameters
    ----------
    runs : sequence of Run
        The newest first.
    """
    measured = probe()
    ratios: dict[str, list[float]] = {}
    for run in [run for run in runs if run.kind == "fit"][:_MOST_RUNS]:
        ratio = _ratio_of(run)
        if ratio is not None:
            mine = ratios.setdefault(str(run.settings.get("model")), [])
            if len(mine) < _MOST_RATIOS:
                mine.append(ratio)
    return Pace(measured.speed, measured.wait, ratios)


def in_words(expected: Time) -> str:
    """Return a time to expect.

    Examples
    --------
    >>> from sk_ednn.ui._model_times import Time, in_words
    >>> in_words(Time(2, 4, 8)), in_words(Time(8, 12, 31)), in_words(Time(70, 140, 280))
    ('less than 10 seconds', '5 to 35 seconds', '1 to 5 minutes')
    >>> in_words(Time(4000, 6000, 30000)), in_words(Time(*3 * [float("inf")]))
    ('1 to 9 hours', 'too many different tiles')
    """
    low, high = expected.low, expected.high
    if high == inf:
        return "too many different tiles"
    if high <= 10:
        return "less than 10 seconds"
    if high >= 2 * 86400:
        return "days"
    units = ((1, 5, "seconds"), (60, 1, "minutes"), (3600, 1, "hours"))
    unit, step, name = next((each for each in units if high < 91 * each[0]), units[-1])
    least, most = int(low / unit // step) * step, int(-(-high / unit // step)) * step
    if least < step:
        return f"up to {most} {name}"
    return f"{least} to {most} {name}" if least < most else f"{most} {name}"


# --- parts ------------------------------------------------------------------------------------


def _exactly(seconds) -> Time:
    return Time(seconds, seconds, seconds)


def _products(name, k) -> int:
    degree = {"quadratic": 2, "cubic": 3}[name]
    return comb(k + degree, degree)


def _work_of_choice(load) -> Time | None:
    """Return the work of the comparison of models, and of the fit with the best one."""
    t, k = load.n_tiles, load.n_numbers
    names = ["kernel"] if load.n_distinct <= _FEW_TILES else []
    names += ["quadratic"] if t * _products("quadratic", k) <= _MAX_PRODUCTS else []
    names += ["cubic"] if 6 * t * _products("cubic", k) <= _MAX_PRODUCTS else []
    if not names:
        return work_of("dense", load)
    works = [work_of(name, load) for name in names]
    seconds = [work.likely - _START for work in works if work is not None]
    if len(seconds) == 1:
        return _exactly(seconds[0]) + _START
    # Cross-validation has no report, and sums the features of polynomials once. If the quadratic
    # one is exact, no other is compared.
    compared = [_COMPARED * s for s in seconds]
    least = seconds[names.index("quadratic")] if "quadratic" in names else min(seconds)
    middle = sorted(seconds)[len(seconds) // 2]
    return Time(
        (1 + _COMPARED) * least, sum(compared) + middle, sum(compared) + max(seconds)
    ) + _START  # fmt: skip


def _ratio_of(run) -> float | None:
    """Return the time of a run over that of the formula; None if either is unknown."""
    from ..runs._environment import is_here

    if run.status != "finished" or not is_here(run.process):
        return None
    load = recorded_load(run.result)
    if load is None:
        return None
    epochs = run.settings.get("epochs")
    if epochs is not None and not (type(epochs) is int and 0 < epochs <= _MOST_EPOCHS):
        return None
    work = work_of(str(run.settings.get("model")), load, epochs)
    if work is None or work.likely == inf:
        return None
    used = run.resources().get("cpu_s")
    # Beside other programs a run waits, which `wait` counts; of several threads, the elapsed time
    # is the shorter one.
    seconds = run.duration
    if used is not None and len(used) and used.dtype.kind == "f" and used[-1] > 0:
        seconds = min(seconds, float(used[-1]))
    return seconds / work.likely if 0 < seconds < inf else None
