"""The choice among tile models, by the number of tiles and by cross-validation."""

from __future__ import annotations

import time
import warnings
from importlib.util import find_spec
from math import comb, inf, prod
from typing import Any, NamedTuple

import numpy as np

from .._utils.wording import about
from ..exceptions import TileMemoryError
from ._models import tile_model
from ._symmetries import of_channels

# Tiles in the first count; unique tiles for which several fits of kernel ridge take 15 seconds; and
# products of sites of all tiles that take a minute.
_FIRST_TILES = 20_000
_FEW_TILES = 20_000
_MAX_PRODUCTS = 4e9
_FOLDS = 3
# Cross-validation errors below this, relative to the spread of totals, count as equal, since their
# order depends on rounding. Among errors within a twentieth of the least, the simplest model is
# chosen.
_NEGLIGIBLE = 1e-4
_TOLERANCE = 1.05
# Ending of the names of tile models of fields with a channel for each value.
_LABELLED = " --categorical"
_SIMPLEST_FIRST = (
    "quadratic", "quadratic" + _LABELLED, "cubic", "cubic" + _LABELLED, "kernel",
)  # fmt: skip
# Passes over the tiles of the systems after the choice: the fit, and the errors of all systems, a
# fifth of which were held out. Cross-validation of linear models is one pass, and so are the folds
# of kernel ridge together, of which each fits two thirds and predicts the rest.
_PASSES_TO_COME = 2.25
_PASSES_OF_KERNEL = float(_FOLDS)
# Models whose fit is a pass over all tiles; it is timed with a hundredth of the systems, at least
# ten, and with twice as many, where that is no more than a tenth of all.
_LINEAR = ("quadratic", "cubic")
_TRIED, _FEW_SYSTEMS, _LEAST_RATIO = 100, 10, 40
# Shorter times are not announced.
SHORT = 3.0
# Seconds of a comparison that a user may not want to wait for.
_LONG = 60.0


class Choice(NamedTuple):
    """A tile model that was chosen.

    Attributes
    ----------
    name : str
    why : str
    seconds : float or None
        Estimated time of the fit and of the measurement of errors; None if nothing was compared.
    labelled : bool or None
        Whether it is one of fields with a channel for each value; None if these were not compared.
    """

    name: str
    why: str
    seconds: float | None = None
    labelled: bool | None = None


class Labelled(NamedTuple):
    """Fields of few values, with a channel for each value.

    Attributes
    ----------
    tiling : GridTiling
        With a channel axis.
    X : ndarray of shape (n_samples, *field_shape, n_values)
    """

    tiling: Any
    X: np.ndarray


def suited(
    tiling, X, y, baseline="size", say=lambda text: None, *, labelled=None, symmetries=None,
    max_seconds=None,
    first_tiles=_FIRST_TILES, few_tiles=_FEW_TILES, max_products=_MAX_PRODUCTS,
    clock=time.perf_counter,
) -> Choice:  # fmt: skip
    """Choose a tile model for some data.

    Parameters
    ----------
    tiling : GridTiling
    X : ndarray of shape (n_samples, *field_shape)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    baseline : str or None
        Parameter of `EDNNRegressor`.
    say : function, default=None
        Called with a line of text before a long computation.
    labelled : Labelled or None, default=None
        The same fields with a channel for each value. Polynomials of these are compared too: they
        contain all powers of the values, which ridge on products of the values lacks.
    symmetries : sequence of str or None, default=None
        Those of the lattice, which kernel ridge does not have.
    max_seconds : float or None, default=None
        Time for the comparison, the fit and the measurement. The first tile model is always
        compared; others are left out if they would take longer.
    first_tiles, few_tiles, max_products : int or float
        Tiles in the first count, unique tiles for kernel ridge at most, and products of sites for
        polynomials at most.
    clock : function
        Returns seconds.
    """
    tiling.check(X[:1])
    shape = X.shape[1:]
    n_tiles, n_numbers = len(X) * prod(tiling.tile_grid(shape)), prod(tiling.tile_shape(shape))
    end = None if max_seconds is None else clock() + max_seconds
    n_unique, all_counted = _count_unique(tiling, X, first_tiles, few_tiles)
    few = all_counted and n_unique <= few_tiles and symmetries is None
    counted = f"{'' if all_counted else 'at least '}{n_unique:,} unique tiles"
    if symmetries is not None:
        counted += f", symmetries {', '.join(symmetries)}"
    elif not few:
        counted += ", too many for kernel ridge"
    widths = _widths(n_numbers)
    if labelled is not None:
        labelled.tiling.check(labelled.X[:1])
        n_channels = n_numbers * labelled.X.shape[-1]
        widths |= {name + _LABELLED: width for name, width in _widths(n_channels).items()}
    # Cubic features are many, and computed in several passes.
    costs = {
        name: width * (2 * _FOLDS if name.startswith("cubic") else 1)
        for name, width in widths.items()
    }
    names = ["kernel"] if few else []
    names += [name for name, cost in costs.items() if n_tiles * cost <= max_products]
    if not names:
        has_torch = all(find_spec(name) is not None for name in ("torch", "skorch"))
        return Choice(
            "dense" if has_torch else "perceptron",
            f"{counted}, and {n_tiles:,} tiles of {n_numbers:,} numbers have too many pairs",
        )
    if len(names) == 1:
        return Choice(names[0], f"{counted}; products of more sites would take too long")
    if len(X) < 2 * _FOLDS:
        few_systems = f"{len(X)} systems are too few to compare tile models"
        return Choice(names[0], f"{counted}; {few_systems}")
    names.sort(key=_SIMPLEST_FIRST.index)
    say(f"{counted}; comparing {', '.join(names)} in cross-validation")
    data = tiling, X, y, baseline, symmetries
    comparison = _Comparison(data, labelled, widths, say, end, clock)
    for name in names:
        comparison.compare(name)
    best, shown = simplest(comparison.errors)
    shown = ", ".join([shown, *comparison.left_out])
    why = f"{counted}; cross-validation errors relative to the spread of totals: {shown}"
    compared = any(name.endswith(_LABELLED) for name in names)
    return Choice(
        best.removesuffix(_LABELLED), why, comparison.to_come(best),
        best.endswith(_LABELLED) if compared else None,
    )  # fmt: skip


def _widths(n_numbers) -> dict[str, int]:
    """Return the numbers of features of polynomials of tiles of some numbers."""
    return {"quadratic": comb(n_numbers + 2, 2), "cubic": comb(n_numbers + 3, 3)}


def simplest(errors: dict[str, float]) -> tuple[str, str]:
    """Return the simplest tile model with about the smallest error, and the errors as text.

    Parameters
    ----------
    errors : dict of str to float
        Errors by name, relative to the spread of totals; infinite for a model that does not fit in
        memory.
    """
    most = _TOLERANCE * max(min(errors.values()), _NEGLIGIBLE)
    best = next(name for name in _SIMPLEST_FIRST if errors.get(name, inf) <= most)
    return best, ", ".join(f"{name} {_percent(error)}" for name, error in errors.items())


def expected_seconds(
    name, tiling, X, y, baseline="size", *, symmetries=None, clock=time.perf_counter
):
    """Return how long a fit and the measurement of errors take, from a pass over some systems.

    Parameters
    ----------
    name : str
        Of a tile model. The time of others than quadratic and cubic is not proportional to the
        number of systems, or their training tells how far it is.
    tiling, X, y, baseline, symmetries, clock
        As for `suited`.

    Returns
    -------
    float or None
        None if it is not known, or there are too few systems to try some first.
    """
    if name not in _LINEAR or len(X) < _FEW_SYSTEMS * _LEAST_RATIO:
        return None
    from ..solvers._held_out import held_out_totals

    few = max(_FEW_SYSTEMS, len(X) // _TRIED)
    taken = []
    # The first time imports what is needed; the difference of the others is free of what does not
    # depend on the number of systems.
    for n in (_FEW_SYSTEMS, few, 2 * few):
        made = tile_model(name, tiling, (n, *X.shape[1:]), symmetries)
        start = clock()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # only the time matters
            try:
                folds = [(np.arange(n), np.arange(n))]
                held_out_totals(made, tiling, X[:n], y[:n], baseline, folds)
            except TileMemoryError:
                return None
        taken.append(clock() - start)
    return max(0.0, taken[2] - taken[1]) * _PASSES_TO_COME * len(X) / few


class _Comparison:
    """Errors of tile models on held-out systems, and what takes how long.

    Parameters
    ----------
    data : tuple
        The tiling, fields, totals, baseline and symmetries.
    labelled : Labelled or None
    widths : dict of str to int
        Numbers of features of polynomials.
    say : function
    end : float or None
        Time at which all has to be done.
    clock : function
    """

    def __init__(self, data, labelled, widths, say, end, clock):
        self.data, self.labelled, self.widths = data, labelled, widths
        self.say, self.end, self.clock = say, end, clock
        self.errors: dict[str, float] = {}
        self.left_out: list[str] = []
        # Of one pass over all tiles, by name.
        self.seconds: dict[str, float] = {}

    def compare(self, name) -> None:
        """Measure the error of a tile model, unless it cannot win or takes too long."""
        if self.errors and min(self.errors.values()) <= _NEGLIGIBLE:
            # Whatever the error of another model is, a simpler one is taken.
            self.left_out.append(f"{name} not needed")
            return
        estimate = self._estimate(name)
        if estimate is not None:
            if self._leave_out(name, estimate * (1 + _PASSES_TO_COME)):
                return
            if estimate > SHORT:
                self.say(f"cross-validation of {name} takes {about(estimate)}{_way_out(estimate)}")
        start = self.clock()
        try:
            predicted = self._held_out(name)
        except TileMemoryError:
            self.errors[name] = inf
            return
        if predicted is None:
            return
        passes = _PASSES_OF_KERNEL if name == "kernel" else 1.0
        self.seconds[name] = (self.clock() - start) / passes
        self.errors[name] = _relative_error(predicted, self.data[2])

    def to_come(self, name) -> float | None:
        """Return the estimated seconds of a fit and of the measurement of errors."""
        one = self.seconds.get(name)
        return None if one is None else _PASSES_TO_COME * one

    def _estimate(self, name) -> float | None:
        """Return the seconds of the cross-validation, from a model that has been compared."""
        known = next((each for each in self.seconds if each in self.widths), None)
        if known is None or name not in self.widths:
            return None
        return self.seconds[known] * self.widths[name] / self.widths[known]

    def _leave_out(self, name, seconds) -> bool:
        """Return True, and note it, if there is another model and no time for this one."""
        other = min(self.errors.values(), default=inf) < inf
        if not other or self.end is None or self.clock() + seconds <= self.end:
            return False
        self.left_out.append(f"{name} left out ({about(seconds)} with its fit)")
        return True

    def _held_out(self, name):
        """Return predictions of held-out systems, or None if there is no time for all."""
        from sklearn.base import clone
        from sklearn.model_selection import KFold

        from ..estimators._regressor import EDNNRegressor
        from ..solvers._held_out import held_out_totals

        tiling, X, y, baseline, symmetries = self.data
        if name.endswith(_LABELLED):
            tiling, X = self.labelled
            symmetries = of_channels(symmetries)
        folds = list(KFold(_FOLDS, shuffle=True, random_state=0).split(X))
        made = tile_model(name.removesuffix(_LABELLED), tiling, X.shape, symmetries)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fits are discarded; only errors matter
            if name in self.widths:
                return held_out_totals(made, tiling, X, y, baseline, folds)
            model: Any = EDNNRegressor(made, tiling, baseline=baseline)
            predicted = np.empty(y.shape)
            for k, (train, test) in enumerate(folds):
                start = self.clock()
                predicted[test] = clone(model).fit(X[train], y[train]).predict(X[test])
                one = self.clock() - start
                if k == 0:
                    rest = (_FOLDS - 1) * one
                    if self._leave_out(name, rest + _PASSES_TO_COME * one):
                        return None
                    if rest > SHORT:
                        self.say(f"cross-validation of {name} takes {about(rest)} more")
        return predicted


def _way_out(seconds) -> str:
    """Return how to leave out what takes so long, if that is long."""
    return "; --max-seconds 60 leaves it out" if seconds > _LONG else ""


def _relative_error(predicted, y) -> float:
    """Return the root mean square error relative to the spread of totals, over all outputs."""
    errors, spread = predicted - y, y.std(axis=0)
    return float(np.mean(np.sqrt((errors**2).mean(axis=0)) / np.where(spread > 0, spread, 1.0)))


def _percent(error) -> str:
    if error == inf:
        return "does not fit in memory"
    return f"{100 * error:.2g} %" if error > _NEGLIGIBLE else f"less than {100 * _NEGLIGIBLE:.2g} %"


def _count_unique(tiling, X, first_tiles, few_tiles) -> tuple[int, bool]:
    """Count the unique tiles of some fields; also return whether all fields were counted.

    The number of fields grows until all are counted, or there are too many tiles for kernel ridge.
    """
    from ..tiling._equal_tiles import distinct

    tiles_of_one = prod(tiling.tile_grid(X.shape[1:]))
    n = min(len(X), -(-first_tiles // tiles_of_one))
    while True:
        tiles = tiling.tiles(X[:n])
        n_unique = len(distinct(tiles.values, len(tiles.tile_shape))[0])
        if n == len(X) or n_unique > few_tiles:
            return n_unique, n == len(X)
        n = min(len(X), 4 * n)
