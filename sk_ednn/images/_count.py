"""The estimator of totals of pictures."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.optional import needing
from .._utils.stacklevel import outside_package
from .._utils.stored import stored
from .._utils.wording import averaged_pixels, reduction_in_words
from ..estimators._targets import ScoredByTotals
from ..exceptions import NoveltyWarning
from ._admission import admit, pictures_of
from ._checks import require_alike, require_picture
from ._counted import counted
from ._fixed import without_fixed
from ._geometry import Geometry
from ._interval import PictureInterval
from ._novelty import PictureNovelty
from ._progress import write_line
from ._reduction import suited_reduction
from ._samples import moments
from ._trial import try_counter
from ._views import NUMBERS_OF_VIEWS

# Totals beyond those of the fit, per pixel, by so much of their range are called out of range.
_BEYOND = 0.02


@stored(
    "CountRegressor",
    derived=("history_", "endings_", "minutes_", "minutes_needed_"),
    functions=("callback",),
)
class CountRegressor(ScoredByTotals, BaseEstimator):
    """Predict totals of pictures of any size, such as counts, learned from totals alone.

    A small convolutional network without padding assigns each 4 × 4 pixels a contribution that
    depends on their surroundings; the sum over the picture is fitted to its total::

        total  =  sum over tiles t of  c(t)  ·  (the part of t that lies in the picture)

    No positions are needed, pictures may differ in size, and the contributions are a map of the
    objects.

    Parameters
    ----------
    n_members : int, default=2
        Number of networks, each trained with different pictures held out. Predictions are their
        mean.
    max_epochs : int or "auto", default="auto"
        Maximum number of passes over the pictures. "auto" for two per total (but at least 300 steps
        and at most 300 passes), since more passes overfit few totals.
    minutes : float or None, default=None
        Time limit of the fit. None for no limit besides `max_epochs`. With a time limit, results
        depend on the speed of the machine.
    counts : bool or "auto", default="auto"
        Whether totals are numbers of objects; if not, they are amounts, such as areas. "auto" for
        True if all are whole and not negative, and objects large enough to be seen.
    reduction : int or "auto", default="auto"
        Pixels along each axis that are averaged into one, at most 4 for "auto". Of counts, evenly
        spread objects remain 13 pixels apart, and three quarters of the variance among neighbouring
        pixels are kept. Of amounts, the errors of a ridge regression on histograms of the pixels do
        not grow; nothing is averaged where it learns nothing, or from fewer than 8 pictures.
    positive : bool or "auto", default="auto"
        Whether contributions are kept from being negative. "auto" for True if no total is negative.
    symmetric : bool, default=True
        Whether pictures may be rotated and flipped.
    views : {"auto", 1, 2, 4, 8}, default="auto"
        Rotated and flipped views of a picture over which the contributions of the networks are
        averaged; with 8, those of a rotated picture are the rotated ones. "auto" for 8 if
        `symmetric`, else 1. Predictions take as many times longer; it may be changed after the fit.
    illumination : float or "auto", default="auto"
        Spread of random changes of brightness and contrast in training, relative to those of the
        pixels. "auto" for 0.1 if totals are counts, else 0, since an amount may depend on
        brightness.
    maxima : bool, default=True
        Whether the networks are averaged with a sum over local maxima where totals are counts. Its
        part follows from the errors of both on pictures that were left out, and may be zero; it is
        zero where networks hold none back.
    contrast_only : bool, default=False
        Whether the network sees only differences between pixels, so that a constant added to a
        channel, such as another level of the background, does not change predictions. This suits
        counts of objects that are visible by contrast, not amounts of light.
    leave_out : "auto", None or list of (top, left, bottom, right), default="auto"
        Parts of the pictures that are painted over with what surrounds them, in pixels, such as
        scale bars, which objects may resemble. "auto" for what nearly all pictures of the fit show
        at the same place near an edge, of at least 8 pictures of one size. New pictures are painted
        over where they show the same; boxes that are given, in pictures of the same size.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the training. "auto" for bfloat16 if the processor supports it, which is two to
        three times as fast. Predictions are computed in float32.
    validation_fraction : float, default=0.1
        Share of the pictures that each member holds out, to choose its weights and to measure its
        errors.
    confidence : float, default=0.9
        Confidence of the intervals.
    n_jobs : int or None, default=None
        Number of members that are trained at the same time, in threads.
    random_state : int, RandomState or None, default=None
    checkpoint : str or Path, default=None
        File with the state of the trainings, written at every evaluation and every ten seconds. The
        same fit resumes from it after a kill and, without a time limit, ends with bitwise the same
        model. The file is kept when the fit ends.
    callback : callable, default=None
        Called some forty times during the training of each member, possibly in another thread, with
        a dict: ``epoch``, ``member`` (from 0), ``progress`` (from 0 to 1), ``minutes``,
        ``minutes_left`` (of all members), ``train_error`` and, if pictures are held out, ``error``.
        Returning True ends the training of all members, which keep the best weights so far.
    verbose : int or function, default=0
        Whether to print progress to standard error, or a function that is called with each line.

    Attributes
    ----------
    estimators_ : list of EDNNRegressor
        The members.
    edges_ : ndarray of shape (n_members, 3)
        Relative additional weight of tiles whose centre is less than 1, 2 and 3 foci from an edge
        of a picture, where they see mirror images.
    maxima_ : MaximaCounter or None
        The sum over local maxima, with its ``share`` in the average; None where networks alone
        predict.
    left_out_ : LeftOut or None
        The parts of the pictures that are painted over, with their ``boxes``.
    geometry_ : tuple of (int, int)
        Reduction, and axes of a grid.
    error_ : float
        Mean absolute error of single members for the pictures that they held out; NaN if there were
        none.
    held_back_ : dict
        ``"index"``, ``"predicted"`` and ``"true"`` of the pictures that members held out.
    history_ : list of list of dict
        History of the training of each member.
    endings_ : list of {"epochs", "time", "error", "callback"}
        Why the training of each member ended: all passes were done, its time was up, the error of
        pictures that were held out was clearly less long ago, or the callback asked for it. None if
        the model was read from a file.
    minutes_, minutes_needed_ : float
        Minutes that the trainings took, and the limit with which all end by themselves, estimated
        for members that time or the callback ended. Trainings side by side count once. Time in
        which a callback waits, or before a fit resumed from its checkpoint, does not count. None if
        the model was read from a file.
    n_outputs_ : int

    See Also
    --------
    read_pictures : Folders, patterns and lists of files.
    match_totals : Totals from a table.

    Notes
    -----
    Pictures of one series (a slide, a dish, a patient) are alike. Pass the series as `groups`, so
    that its pictures are held out together; otherwise the estimated error is smaller than that for
    a new series.

    Examples
    --------
    >>> from sk_ednn.datasets import make_pictures
    >>> from sk_ednn.images import CountRegressor
    >>> data = make_pictures(24, (64, 64), random_state=0)
    >>> model = CountRegressor(max_epochs=3, n_members=1, random_state=0)
    >>> model = model.fit(data.pictures, data.totals)
    >>> large = make_pictures(1, (150, 200), random_state=1).pictures
    >>> model.predict(large).shape, model.predict_contributions(large)[0].shape
    ((1,), (38, 50))
    """

    _parameter_constraints = {
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "minutes": [Interval(Real, 0, None, closed="neither"), None],
        "counts": ["boolean", StrOptions({"auto"})],
        "reduction": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "positive": ["boolean", StrOptions({"auto"})],
        "symmetric": ["boolean"],
        "views": [Options(Integral, set(NUMBERS_OF_VIEWS)), StrOptions({"auto"})],
        "illumination": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "maxima": ["boolean"],
        "contrast_only": ["boolean"],
        "leave_out": [StrOptions({"auto"}), None, list, tuple, np.ndarray],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="both")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "checkpoint": [str, Path, None],
        "callback": [callable, None],
        "verbose": ["verbose", callable],
    }
    # Pixels that networks are given at a time when they predict.
    _region_pixels = 1 << 20

    def __init__(
        self,
        *,
        n_members=2,
        max_epochs="auto",
        minutes=None,
        counts="auto",
        reduction="auto",
        positive="auto",
        symmetric=True,
        views="auto",
        illumination="auto",
        maxima=True,
        contrast_only=False,
        leave_out="auto",
        precision="auto",
        validation_fraction=0.1,
        confidence=0.9,
        n_jobs=None,
        random_state=None,
        checkpoint=None,
        callback=None,
        verbose=0,
    ):
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.minutes = minutes
        self.counts = counts
        self.reduction = reduction
        self.positive = positive
        self.symmetric = symmetric
        self.views = views
        self.illumination = illumination
        self.maxima = maxima
        self.contrast_only = contrast_only
        self.leave_out = leave_out
        self.precision = precision
        self.validation_fraction = validation_fraction
        self.confidence = confidence
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.callback = callback
        self.verbose = verbose

    def fit(self, X, y, *, groups=None, boxes=()):
        """Fit to totals of pictures, and of boxes in some of them.

        Parameters
        ----------
        X : str, path-like, Picture, sequence of them, or array
            Pictures, as accepted by `read_pictures`. A single array has the pictures along its
            first axis, (n_pictures, height, width[, n_channels]).
        y : array-like of shape (n_pictures,) or (n_pictures, n_outputs), str, path-like or dict
            Totals in the order of the pictures, or a table, as accepted by `match_totals`, whose
            rows are matched by name. Pictures without a row are then left out. NaN for a picture
            that has only boxes.
        groups : array-like of shape (n_pictures,), default=None
            Series of the pictures, in the order of `X`.
        boxes : sequence of Box, default=()
            Parts of pictures with known totals; see also `boxes_of_dots`. They refer to the
            pictures of `X` by index, from 0.

        Returns
        -------
        self

        Raises
        ------
        PictureError, TableError
            If a picture or table cannot be used; one line that names it.
        ValueError
            If totals are no counts in spite of ``counts=True``, or parts to leave out are not in
            the pictures.
        TileModelError
            If `checkpoint` is not a checkpoint, or that of another fit.
        MissingExtraError
            If torch is not installed.
        """
        self._validate_params()
        admitted = admit(X, y, groups, boxes, None if self.counts == "auto" else self.counts)
        with needing("CountRegressor", extra="images"):
            from ._fitting import fit_members
        admitted, left_out = without_fixed(admitted, self.leave_out)
        geometry = self._geometry(admitted)
        reduction, words = geometry.reduction, averaged_pixels(geometry.reduction)
        if self.reduction == "auto" and len(admitted.whole):
            words = reduction_in_words(reduction, admitted.counts)
        write_line(self.verbose, words)
        mean, scale, seen = moments(admitted.arrays)
        # Before the training, whose lines say what is left.
        novelty = PictureNovelty.of(admitted.pictures, mean, scale)
        rng = check_random_state(self.random_state)
        folds = admitted.folds(self.n_members, self.validation_fraction, rng)
        fitted = fit_members(self, admitted, folds, geometry, (mean, scale), seen, rng)
        held = np.concatenate([np.zeros(0, int), *(index for index, _ in fitted.held_back)])
        n_outputs = admitted.totals.shape[1]
        none = np.zeros((0, n_outputs))
        predicted = np.concatenate([none, *(rows for _, rows in fitted.held_back)])
        true = admitted.totals[held]
        # Nothing above has touched the estimator: a call that failed leaves it as it was.
        self._y_ndim = admitted.y_ndim
        self.estimators_ = fitted.regressors(self._y_ndim)
        self.edges_ = fitted.edges
        self.maxima_ = fitted.maxima
        self.left_out_ = left_out
        self.geometry_ = (geometry.reduction, geometry.n_axes)
        self.n_channels_ = admitted.pictures[0].n_channels
        self.n_outputs_ = n_outputs
        self.history_ = fitted.histories
        self.endings_ = fitted.endings
        self.minutes_ = fitted.minutes
        self.minutes_needed_ = fitted.minutes_needed
        self.interval_ = PictureInterval.of(predicted, true)
        self.held_back_ = {"index": held, "predicted": predicted, "true": true}
        self.error_ = float(np.abs(predicted - true).mean()) if len(held) else np.nan
        self.novelty_ = novelty
        self.density_range_ = admitted.density_range()
        return self

    def expected_minutes(self, X, y, *, boxes=()) -> Bunch:
        """Return the time that a fit should take, without fitting.

        Pictures are read as in `fit`, the reduction is chosen, and a few steps of a training are
        measured, so that the time is that of this machine beside its other programs of now.

        Parameters
        ----------
        X, y, boxes
            As for `fit`.

        Returns
        -------
        Bunch
            minutes : float
                Of all passes of all members, without the limit of `minutes`.
            reduction : int
                Pixels along each axis that are averaged into one.

        Raises
        ------
        PictureError, TableError, ValueError, MissingExtraError
            As from `fit`.

        Examples
        --------
        >>> from sk_ednn.datasets import make_pictures
        >>> from sk_ednn.images import CountRegressor
        >>> data = make_pictures(24, (64, 64), random_state=0)
        >>> time = CountRegressor().expected_minutes(data.pictures, data.totals)
        >>> time.reduction, bool(0 < time.minutes < 60)
        (1, True)
        """
        self._validate_params()
        admitted = admit(X, y, None, boxes, None if self.counts == "auto" else self.counts)
        with needing("CountRegressor", extra="images"):
            from ._fitting import minutes_of_fit
        geometry = self._geometry(admitted)
        minutes = minutes_of_fit(self, admitted, geometry)
        return Bunch(minutes=minutes, reduction=geometry.reduction)

    def _geometry(self, admitted) -> Geometry:
        reduction, whole = self.reduction, admitted.whole
        if reduction == "auto":
            arrays = [admitted.arrays[k] for k in whole]
            reduction = 1
            if arrays:
                reduction = suited_reduction(arrays, admitted.totals[whole], admitted.counts)
        return Geometry(int(reduction), len(admitted.pictures[0].grid))

    # --- predictions ------------------------------------------------------------------------

    def predict(self, X):
        """Predict totals.

        Parameters
        ----------
        X : str, path-like, array, Picture, or sequence of them
            Pictures of any size, as accepted by `read_pictures`. Large TIFF and zarr files are read
            by regions.

        Returns
        -------
        ndarray of shape (n_pictures,) or (n_pictures, n_outputs), float64
        """
        return self._as_fitted(self._totals(X))

    def predict_contributions(self, X):
        """Return maps: the contribution of each focus of 4 × 4 pixels (times the reduction).

        Parameters
        ----------
        X : as for `predict`

        Returns
        -------
        list of ndarray of shape (*tile_grid,) or (*tile_grid, n_outputs), float64
            The last tile of an axis may extend beyond the picture; it contributes only the part
            inside.
        """
        return [self._as_fitted_map(of_picture) for _, of_picture in self._evaluated(X, True)]

    def predict_interval(self, X, confidence=None):
        """Return intervals that contain the totals of new pictures of the same kind.

        Parameters
        ----------
        X : as for `predict`
        confidence : float, default=None
            Share of the pictures whose total is in the interval. None for that of the estimator.

        Returns
        -------
        low, high : ndarray of shape (n_pictures,) or (n_pictures, n_outputs)
            NaN if no pictures were held out in the fit.

        Raises
        ------
        ValueError
            If the confidence is not between 0 and 1.
        """
        low, high = self._interval(self._totals(X), confidence)
        return self._as_fitted(low), self._as_fitted(high)

    def count(self, X, *, maps=False, writers=None, done=None, progress=None):
        """Predict one picture after another, with intervals, novelty and flags.

        Parameters
        ----------
        X : as for `predict`
        maps : bool or function, default=False
            Whether to return maps, or a function that is called with a picture and its map.
        writers : function, default=None
            For maps that are larger than memory. Called with a picture. Unless it returns None, the
            returned function is called with each region of the tile grid and its contributions
            (*region, n_outputs), and no other map of the picture is made. If it is a context
            manager, it is entered before the first region, and left after the last one or at an
            error.
        done : function, default=None
            Called with each row as soon as it is complete.
        progress : function, default=None
            Called with a picture and the share of it that is evaluated, after each region.

        Returns
        -------
        list of Bunch
            name : str
                Name of the picture.
            total, low, high, spread : float or ndarray of shape (n_outputs,)
                Prediction, interval, and standard deviation between the members.
            novelty : float
                At least 1 if the picture is unlike those of the fit.
            flag : str
                ``"unlike"`` if it is, or if its pixels are far outside the range of the fit;
                ``"range"`` if its total per size is outside the range of the fit, by more than 2 %
                of that; else empty.
            beyond : str
                ``"more"`` or ``"less"`` if its total per size is above or below that range; else
                empty.
            map : ndarray
                With ``maps=True``.
        """
        rows = []
        for each in counted(
            self, self._admitted(X), keep=bool(maps), writers=writers, progress=progress
        ):
            low, high = self._interval(each.total[None], None)
            novelty = self.novelty_.distance(each.seen)
            unlike = novelty >= 1 or each.doubt is not None
            beyond = self._beyond(each.picture, each.total)
            row = Bunch(
                name=each.picture.name,
                total=self._one(each.total),
                low=self._one(low[0]),
                high=self._one(high[0]),
                spread=self._one(each.spread),
                novelty=novelty,
                flag="unlike" if unlike else "range" if beyond else "",
                beyond=beyond,
            )
            if each.tile_map is not None and callable(maps):
                maps(each.picture, self._as_fitted_map(each.tile_map))
            elif each.tile_map is not None:
                row.map = self._as_fitted_map(each.tile_map)
            if done is not None:
                done(row)
            rows.append(row)
        return rows

    def _admitted(self, X):
        check_is_fitted(self)
        pictures = pictures_of(X)
        for picture in pictures:
            require_picture(picture)
        require_alike(pictures, self.geometry_[1], self.n_channels_, fitted=True)
        return pictures

    def _totals(self, X):
        return np.stack([totals for totals, _ in self._evaluated(X, False)])

    def _evaluated(self, X, keep):
        """Yield totals and map of each picture; warn of pixels far outside those of the fit."""
        pictures = self._admitted(X)
        with needing("CountRegressor", extra="images"):
            import torch  # noqa: F401
        reasons = []
        for each in counted(self, pictures, keep=keep):
            if each.doubt is not None:
                reasons.append(each.doubt)
            yield each.total, each.tile_map
        if reasons:
            more = f" So are those of {len(reasons) - 1} more." if len(reasons) > 1 else ""
            warnings.warn(reasons[0] + more, NoveltyWarning, stacklevel=outside_package())

    def _interval(self, totals, confidence):
        confidence = self.confidence if confidence is None else confidence
        if not 0 < confidence < 1:
            raise ValueError(
                f"Expected a confidence between 0 and 1, such as 0.9; got {confidence}."
            )
        half = self.interval_.half_width(totals, confidence)
        low = totals - half
        if self.estimators_[0].tile_model_.positive:
            low = np.maximum(low, 0.0)
        return low, totals + half

    def _beyond(self, picture, totals) -> str:
        low, high = self.density_range_
        margin = _BEYOND * (high - low) + 1e-12
        density = totals / picture.n_pixels
        if (density > high + margin).any():
            return "more"
        return "less" if (density < low - margin).any() else ""

    def _one(self, values):
        return float(values[0]) if self._y_ndim == 1 else values

    def _as_fitted(self, values):
        return values[:, 0] if self._y_ndim == 1 else values

    def _as_fitted_map(self, values):
        return values[..., 0] if self._y_ndim == 1 else values

    def _try_parts(self):
        """Raise if a model that was read from a file cannot count; its members were tried."""
        try_counter(self)

    def __sklearn_tags__(self):
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        return tags
