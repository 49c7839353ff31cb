"""Errors of systems held out of a fit, and the intervals that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .._utils.stored import stored
from ..fields._in_memory import as_array

# Errors that are kept, at most: their quantiles are known well, and files stay small.
_MOST = 1000
# Share of the errors that are below one standard deviation of a normal distribution.
ONE_SIGMA = 0.683
# Systems of at least this share of a size show the errors of others of this size.
_SIMILAR_SIZE = 0.5
# Cells are thin below so many times the reach: there, what a site sees contains images of the same
# sites.
_THIN = 2.0
# Thin cells show the errors of cells up to so many times as wide: more than strains and other
# elements change the width of one kind, and less than a repetition. Of wider ones, errors were
# larger than theirs by up to the second, measured in
# docs/decisions/intervals-from-errors-held-out.rst.
_SIMILAR_WIDTH, _OF_THIN = 1.25, 2.0
# From so many held out that are as wide on, their errors count instead.
_FEWEST_WIDE = 3


@stored("HeldOutErrors")
@dataclass(frozen=True, eq=False)
class HeldOutErrors:
    """Errors of systems held out of a fit, from which intervals of others follow.

    Each error is divided by a unit: the size of the system, times its novelty and, for several
    models, added in squares to their spread. The quantile of the results, times the unit of a new
    system, is half the width of its interval (split conformal prediction with normalised errors).
    Of new systems like those held out, the intervals contain the requested share, whatever the
    unit; a suitable unit makes them narrow where the model is good.

    Systems that differ from all that were held out have wider intervals. Several models share
    their errors of one sign, which grow with the size while their spread averages out; if too few
    systems held out are half as large or larger, the spread therefore makes no interval narrower
    than it would be without. In cells that are thinner than twice the reach of a model, a site sees
    images of itself or of others more than once; errors there count double for wider cells, unless
    three that wide were held out.

    Made by `HeldOutErrors.of`.

    Attributes
    ----------
    errors : ndarray of shape (n_kept, n_outputs)
        Predicted minus true.
    sizes : ndarray of shape (n_kept,)
        Sites or atoms.
    std : ndarray of shape (n_kept, n_outputs), or None
        Standard deviation over several models.
    novelty : ndarray of shape (n_kept,), or None
        Mean over the parts of a system of their novelty or 1, whichever is larger.
    n_systems : int
        Systems held out, of which up to 1000 are kept.
    widths : ndarray of shape (n_kept,), or None
        Least distance between the sides of a periodic cell, in units of the reach of the model;
        infinite without periods.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.uncertainty import HeldOutErrors
    >>> true = np.zeros(99)
    >>> predicted = np.random.default_rng(0).normal(size=99)
    >>> held_out = HeldOutErrors.of(true, predicted, sizes=64)
    >>> bool(1.3 < held_out.half_width([64])[0, 0] < 2.0)  # of a normal distribution 1.64
    True

    Larger systems have larger errors, in proportion if they are of one sign:

    >>> width = held_out.half_width([64, 128])
    >>> float(width[1, 0] / width[0, 0])
    2.0

    Thin cells do not show what errors wider ones have:

    >>> thin = HeldOutErrors.of(true, predicted, sizes=64, widths=np.full(99, 0.6))
    >>> width = thin.half_width([64, 64], widths=[0.6, 1.8])
    >>> float(width[1, 0] / width[0, 0])
    2.0
    """

    errors: np.ndarray
    sizes: np.ndarray
    std: np.ndarray | None
    novelty: np.ndarray | None
    n_systems: int
    widths: np.ndarray | None = None  # not in files of older versions

    @classmethod
    def of(cls, true, predicted, sizes, *, std=None, novelty=None, widths=None) -> HeldOutErrors:
        """Return the errors of systems that were held out.

        Parameters
        ----------
        true, predicted : array-like of shape (n_systems,) or (n_systems, n_outputs)
            Systems with a true total that is NaN are left out.
        sizes : array-like of shape (n_systems,), or a number
            Sites or atoms of the systems.
        std : array-like like `true`, default=None
            Standard deviation over several models.
        novelty, widths : array-like of shape (n_systems,), default=None
            See the attributes.

        Raises
        ------
        ValueError
            If shapes differ, or numbers are infinite.
        """
        true, predicted = _columns(true), _columns(predicted)
        if true.shape != predicted.shape:
            raise ValueError(
                f"True and predicted totals must have one shape; got {true.shape} and "
                f"{predicted.shape}."
            )
        n = len(true)
        known = kept = np.flatnonzero(~np.isnan(true).any(axis=1))
        if len(known) > _MOST:  # evenly, since systems may be sorted
            kept = known[np.linspace(0, len(known) - 1, _MOST).round().astype(int)]
        held_out = cls(
            (predicted - true)[kept],
            np.broadcast_to(as_array(sizes, "sizes", float), n)[kept],
            None if std is None else _columns(std)[kept],
            None if novelty is None else as_array(novelty, "novelty", float)[kept],
            len(known),
            None if widths is None else np.asarray(widths, dtype=float)[kept],
        )
        held_out.check()
        return held_out

    @staticmethod
    def fewest(level=0.9) -> int:
        """Return how many errors an interval needs at least.

        Examples
        --------
        >>> from sk_ednn.uncertainty import HeldOutErrors
        >>> HeldOutErrors.fewest(0.9), HeldOutErrors.fewest(0.95)
        (9, 19)
        """
        n = 1
        while _rank(n, level) > n:
            n += 1
        return n

    def suffices(self, level=0.9) -> bool:
        """Return whether the errors suffice for intervals."""
        return _rank(len(self.errors), level) <= len(self.errors)

    def half_width(self, sizes, *, std=None, novelty=None, widths=None, level=0.9) -> np.ndarray:
        """Return half the width of the intervals of other systems.

        Parameters
        ----------
        sizes : array-like of shape (n_samples,)
        std : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Needed if it is known of the systems held out.
        novelty : array-like of shape (n_samples,), default=None
            Needed if it is known of the systems held out.
        widths : array-like of shape (n_samples,), default=None
            None if all are as wide as those held out.
        level : float, default=0.9
            Share of the true totals that is to be inside.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)

        Raises
        ------
        ValueError
            If the errors are too few, or `std` or `novelty` is missing.
        """
        if not self.suffices(level):
            raise ValueError(
                f"Intervals of {100 * level:.4g} % need the errors of {self.fewest(level)} systems "
                f"held out of the fit; there are {len(self.errors)}."
            )
        for name, values in (("std", std), ("novelty", novelty)):
            if getattr(self, name) is not None and values is None:
                raise ValueError(f"{name} is known of the systems held out, so it is needed.")
        sizes = np.asarray(sizes, dtype=float)
        std = None if self.std is None else _columns(std)
        novelty = None if self.novelty is None else np.asarray(novelty, dtype=float)
        half = self._scaled(self._unit, sizes, std, novelty, widths, level)
        if self.std is None:
            return half
        smaller = np.searchsorted(np.sort(self.sizes), _SIMILAR_SIZE * sizes)
        without = self._scaled(self._by_size, sizes, None, novelty, widths, level)
        tested = len(self.sizes) - smaller >= self.fewest(level)
        return np.where(tested[:, None], half, np.maximum(half, without))

    def widening(self, sizes, *, std=None, novelty=None, widths=None, level=0.9):
        """Return by how much intervals are wider since systems are unlike those held out.

        Parameters
        ----------
        sizes, std, novelty, widths, level
            As in `half_width`.

        Returns
        -------
        dict of str to ndarray of shape (n_samples,)
            Factors of half the width of the first output. ``"wider"``: cells held out were
            thinner. ``"larger"``: too few of a similar size were held out, so that a small spread
            of several models narrows nothing.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_ednn.uncertainty import HeldOutErrors
        >>> held_out = HeldOutErrors.of([0.0] * 30, [0.1] * 30, 64, widths=[0.6] * 30)
        >>> factors = held_out.widening([64, 512], widths=np.array([0.6, 1.2]))
        >>> factors["wider"].tolist(), factors["larger"].tolist()
        ([1.0, 2.0], [1.0, 1.0])
        """
        known = {"std": std, "novelty": novelty, "level": level}
        full = self.half_width(sizes, widths=widths, **known)[:, 0]
        narrow = self.half_width(sizes, **known)[:, 0]
        with_spread = narrow
        if self.std is not None:
            of = None if self.novelty is None else np.asarray(novelty, dtype=float)
            sizes = np.asarray(sizes, dtype=float)
            with_spread = self._scaled(self._unit, sizes, _columns(std), of, None, level)[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):  # errors may all be zero
            factors = {"wider": full / narrow, "larger": narrow / with_spread}
        return {name: np.where(np.isfinite(each), each, 1.0) for name, each in factors.items()}

    def n_beyond(self, level=0.9) -> int:
        """Return how many errors, over their units, are as large as an interval or larger.

        Examples
        --------
        >>> from sk_ednn.uncertainty import HeldOutErrors
        >>> HeldOutErrors.of([0.0] * 24, [0.1] * 24, 64).n_beyond()
        2
        """
        return max(0, len(self.errors) - _rank(len(self.errors), level) + 1)

    def is_doubled(self, widths) -> np.ndarray:
        """Return for which cells the errors of thinner ones count double, (n_samples,).

        Parameters
        ----------
        widths : array-like of shape (n_samples,), or None
        """
        if self.widths is None or widths is None:
            return np.zeros(0 if widths is None else len(widths), dtype=bool)
        n_thin = self._n_thinner(widths)
        return (n_thin > 0) & (len(self.errors) - n_thin < _FEWEST_WIDE)

    def std_factor(self, share=ONE_SIGMA) -> np.ndarray | None:
        """Return by how much the spread of several models is too small, for each output.

        Parameters
        ----------
        share : float, default=0.683
            Share of the errors that are to be below the spread times this factor.

        Returns
        -------
        ndarray of shape (n_outputs,), or None
            None if there is no spread, or errors are fewer than for an interval of 90 %.
        """
        if self.std is None or not (self.suffices() and self.suffices(share)):
            return None
        factor = _quantile(_ratio(np.abs(self.errors), self.std), share)
        return factor if np.isfinite(factor).all() else None

    def check(self, n_outputs=None, *, has_std=True) -> None:
        """Raise ValueError if attributes are of another type or shape, as in a damaged file.

        Parameters
        ----------
        n_outputs : int, default=None
        has_std : bool, default=True
            Whether the model has several members, whose spread may be known.
        """
        errors = self.errors
        if not _is_array(errors, 2) or len(errors) > _MOST or not np.isfinite(errors).all():
            raise ValueError(f"errors of systems held out must be up to {_MOST} finite rows")
        if errors.shape[1] != (errors.shape[1] if n_outputs is None else n_outputs):
            raise ValueError(f"there are errors of {errors.shape[1]} outputs, not {n_outputs}")
        for name, shape, least in (
            ("sizes", errors.shape[:1], 0.0), ("std", errors.shape, 0.0),
            ("novelty", errors.shape[:1], 1.0),
        ):  # fmt: skip
            values = getattr(self, name)
            if values is None and name != "sizes":
                continue
            if not _is_array(values, len(shape)) or values.shape != shape:
                raise ValueError(f"{name} of systems held out must have the shape {shape}")
            if not (np.isfinite(values) & (values >= least)).all():
                raise ValueError(f"{name} of systems held out must be {least:.0f} or more")
        widths = self.widths
        if widths is not None:  # infinite without periods
            if not _is_array(widths, 1) or widths.shape != errors.shape[:1]:
                raise ValueError(
                    f"widths of systems held out must have the shape {errors.shape[:1]}"
                )
            if not (widths >= 0).all():
                raise ValueError("widths of systems held out must be 0 or more")
        if self.std is not None and not has_std:
            raise ValueError("there is a spread of systems held out, but the model is a single one")
        if type(self.n_systems) is not int or self.n_systems < len(errors):
            raise ValueError(f"the number of systems held out is {self.n_systems!r}")

    def _scaled(self, unit, sizes, std, novelty, widths, level) -> np.ndarray:
        """Return the quantile of errors over their unit, times the unit of other systems."""
        scores = _ratio(np.abs(self.errors), unit(self.sizes, self.std, self.novelty))
        factors = _quantile(scores, level)
        if self.widths is not None and widths is not None:
            n_thin, which = np.unique(self._n_thinner(widths), return_inverse=True)
            factors = np.array([self._factors_beside(n, scores, level) for n in n_thin])[which]
        return factors * unit(sizes, std, novelty)

    def _n_thinner(self, widths) -> np.ndarray:
        """Return how many cells held out are too thin to be like others, (n_samples,)."""
        thinnest = np.asarray(widths, dtype=float) / _SIMILAR_WIDTH
        limits = np.minimum(thinnest, np.nextafter(_THIN, 0.0))
        return np.searchsorted(np.sort(self._all_widths()), limits, side="right")

    def _all_widths(self) -> np.ndarray:
        return np.full(len(self.errors), np.inf) if self.widths is None else self.widths

    def _factors_beside(self, n_thin, scores, level) -> np.ndarray:
        """Return the quantile of scores, if those of the thinnest cells are of too thin ones."""
        thin, wide = np.split(scores[np.argsort(self._all_widths(), kind="stable")], [n_thin])
        if len(wide) >= min(_FEWEST_WIDE, len(scores)):
            rank = min(_rank(len(wide), level), len(wide))
            return np.maximum(_quantile(scores, level), np.sort(wide, axis=0)[rank - 1])
        return _quantile(np.concatenate([_OF_THIN * thin, wide]), level)

    def _unit(self, sizes, std, novelty) -> np.ndarray:
        """Return the unit of errors of systems, (n_samples, n_outputs)."""
        by_size = self._by_size(sizes, std, novelty)
        if self.std is None:
            return np.repeat(by_size, self.errors.shape[1], axis=1)
        # Models may agree by chance, so their spread is not taken for less than usual. The median
        # is: systems with a large spread would widen the intervals of all others.
        usual = np.median(self.std / self._by_size(self.sizes, None, self.novelty), axis=0)
        usual = np.where(usual > 0, usual, 1.0)
        return np.hypot(std, usual * by_size)

    def _by_size(self, sizes, std, novelty) -> np.ndarray:
        """Return sizes times novelty, (n_samples, 1); errors of small systems fall more slowly."""
        usual = np.median(np.maximum(self.sizes, 1.0))
        sizes = np.maximum(sizes, 1.0)
        by_size = np.maximum(sizes, np.sqrt(sizes * usual))
        return (by_size if novelty is None else by_size * novelty)[:, None]


def _rank(n, level) -> int:
    """Return the rank, from 1, of the quantile with a finite sample's correction."""
    # Without the last bits: (n + 1) level may be a whole number.
    return max(1, math.ceil(round((n + 1) * level, 9)))


def _quantile(scores, level) -> np.ndarray:
    return np.sort(scores, axis=0)[_rank(len(scores), level) - 1]


def _ratio(errors, units) -> np.ndarray:
    """Return errors over units; without a unit infinite, unless the error is zero, too."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(errors == 0.0, 0.0, errors / units)


def _columns(values) -> np.ndarray:
    values = as_array(values, "totals", float)
    return values.reshape(len(values), -1)


def _is_array(values, ndim) -> bool:
    return type(values) is np.ndarray and values.dtype == np.float64 and values.ndim == ndim
