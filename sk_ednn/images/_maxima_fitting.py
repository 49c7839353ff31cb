"""Fit a sum over local maxima to totals, and choose its part in the average with networks."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls

from ._edges import LEAST_BOX, balanced_edges, bands_of, inner_ranges, reflected
from ._geometry import BANDS, CONTEXT, FOCUS
from ._maxima import HEIGHTS, SCALES, MaximaCounter, in_planes, maxima, ramps

# Penalty of the weights, whose sum is about one where all features have mean one.
_PENALTY = 0.01
# Weights depend on factors of edges, and these on weights.
_ROUNDS = 3
_FOLDS = 10
# Correlation that is assumed between errors of networks and of maxima, which both find the same
# pictures difficult: 0.1 to 0.9 were measured.
_CORRELATION = 0.6
# The error of the networks is known from few pictures, that of maxima from all: it counts as if it
# had been seen on so many more.
_PRIOR_PICTURES = 4
# Less would cost more time than it improves.
_LEAST_SHARE = 0.05
# Tiles along each axis of the boxes that show how much tiles near edges have too much.
_WIDE_BOX = 24
_N_PAIRS = (BANDS + 1) ** 2


class MaximaFit:
    """Features of all samples, computed once, and fits to any part of the samples.

    Parameters
    ----------
    samples : list of Sample
    """

    def __init__(self, samples):
        self.features = np.stack(
            [_features(*sample.view()).astype(np.float32) for sample in samples]
        )
        self.totals = np.stack([sample.totals.numpy() for sample in samples])
        self.units = np.array([sample.spread for sample in samples])
        boxes = [_paired(*sample.view()) for sample in samples]
        boxes = [box for box in boxes if box is not None]
        self.alone, self.inside = np.sum(boxes, axis=0) if boxes else (None, None)

    def fit(self, chosen):
        """Return weights (n_outputs, n_features) and edges that fit the chosen samples.

        Parameters
        ----------
        chosen : ndarray of bool of shape (n_samples,)
        """
        edges, n_outputs = np.zeros(BANDS), self.totals.shape[1]
        weights = np.zeros((n_outputs, self.features.shape[-1]))
        for _ in range(_ROUNDS if self.alone is not None else 1):
            summed = self.features_with(edges)
            for k in range(n_outputs):
                rows = chosen & np.isfinite(self.totals[:, k])
                weights[k] = _weights(summed[rows], self.totals[rows, k], self.units[rows])
            if self.alone is not None:
                edges = self._balanced(weights)
        return weights, edges

    def features_with(self, edges):
        """Return the features of the samples, (n_samples, n_features), with factors of edges."""
        factors = np.append(1 + edges, 1.0)
        by_pair = np.outer(factors, factors).ravel()
        return np.einsum("spf,p->sf", self.features, by_pair, dtype=np.float64)

    def predict(self, weights, edges, chosen):
        """Return totals (n_chosen, n_outputs)."""
        return self.features_with(edges)[chosen] @ weights.T

    def _balanced(self, weights):
        # Outputs count alike, whatever their units.
        units = self.features.sum(axis=(0, 1), dtype=np.float64) @ weights.T
        each = np.divide(weights, units[:, None], out=np.zeros_like(weights),
                         where=units[:, None] > 0)  # fmt: skip
        alone, inside = (
            (sums @ each.T).sum(axis=1).reshape((BANDS + 1,) * 2)
            for sums in (self.alone, self.inside)
        )
        return balanced_edges(alone, inside) if inside.all() else np.zeros(BANDS)


def fit_maxima(samples, owners, groups, standardization, held_back, totals):
    """Return a counter with its part in the average, and averaged predictions for held-back ones.

    Parameters
    ----------
    samples : list of Sample
        Pictures and boxes.
    owners : list of int
        The picture of each.
    groups : sequence of length n_pictures
        Series of the pictures, which are left out together.
    standardization : pair of ndarray of shape (n_channels,)
    held_back : list of (ndarray of int, ndarray of shape (n, n_outputs))
        Pictures that each network held back, and its predictions for them.
    totals : ndarray of shape (n_pictures, n_outputs)

    Returns
    -------
    counter : MaximaCounter or None
        None where networks alone are better, or nothing is known of their errors.
    held_back : list of (ndarray of int, ndarray of shape (n, n_outputs))
    """
    owners = np.array(owners)
    _, group_of = np.unique(np.array([str(groups[k]) for k in owners]), return_inverse=True)
    n_folds = min(_FOLDS, group_of.max() + 1)
    if not held_back or n_folds < 2:
        return None, held_back
    measured = MaximaFit(samples)
    # Whole pictures come before boxes of them.
    first = np.unique(owners, return_index=True)[1]
    sample_of = dict(zip(owners[first].tolist(), first.tolist(), strict=True))
    known = np.isfinite(totals).all(axis=1)
    is_whole = np.zeros(len(samples), bool)
    is_whole[[sample_of[k] for k in np.flatnonzero(known)]] = True
    errors = np.full(measured.totals.shape, np.nan)
    for fold in range(n_folds):
        out = group_of % n_folds == fold
        tested = out & is_whole
        if tested.any():
            predicted = measured.predict(*measured.fit(~out), tested)
            errors[tested] = _errors(predicted, measured.totals[tested], measured.units[tested])
    units = measured.units
    of_networks = np.concatenate(
        [_errors(rows, totals[held], units[[sample_of[k] for k in held]])
         for held, rows in held_back]
    )  # fmt: skip
    share = _used(best_share(of_networks, errors[is_whole].mean(axis=0)))
    if not share.any():
        return None, held_back
    group_of_rows = np.concatenate(
        [group_of[[sample_of[k] for k in held]] for held, _ in held_back]
    )

    def share_without(group):
        """Return the share that follows from other series: its errors must not choose it."""
        others = is_whole & (group_of != group)
        if not others.any():
            return share
        of_others = of_networks[group_of_rows != group]
        return _used(best_share(of_others, errors[others].mean(axis=0)))

    averaged = []
    for held, rows in held_back:
        chosen = [sample_of[k] for k in held]
        predicted = measured.predict(*measured.fit(~np.isin(owners, held)), chosen)
        shares = np.stack([share_without(group_of[k]) for k in chosen])
        averaged.append((held, (1 - shares) * rows + shares * predicted))
    weights, edges = measured.fit(np.ones(len(samples), bool))
    weights = weights.reshape(len(weights), -1, len(HEIGHTS) - 1)
    return MaximaCounter(*standardization, weights, edges, share), averaged


def best_share(of_networks, of_maxima) -> np.ndarray:
    """Return the part of the maxima in the average that has the least expected error.

    Parameters
    ----------
    of_networks : ndarray of shape (n_held_back, n_outputs)
        Absolute errors of networks.
    of_maxima : ndarray of shape (n_outputs,)
        Mean absolute error of sums over maxima.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._maxima_fitting import best_share
    >>> best_share(np.full((20, 3), 5.0), np.array([2.0, 5.0, 15.0])).round(2)
    array([1. , 0.5, 0. ])
    """
    n = len(of_networks)
    mean = (of_networks.sum(axis=0) + _PRIOR_PICTURES * of_maxima) / (n + _PRIOR_PICTURES)
    both = _CORRELATION * mean * of_maxima
    spread = mean**2 + of_maxima**2 - 2 * both
    share = np.divide(mean**2 - both, spread, out=np.full(len(mean), 0.5), where=spread > 0)
    return share.clip(0, 1)


def _used(share):
    return np.where(share < _LEAST_SHARE, 0.0, share)


def _errors(predicted, true, units):
    return np.abs(predicted - true) / units[:, None]


def _weights(features, totals, units):
    """Return weights that are not negative by penalised least squares; totals add up."""
    rows, mean = features / units[:, None], totals.mean()
    scale = rows.mean(axis=0)
    used = scale > 0
    weights = np.zeros(features.shape[1])
    if not used.any() or mean <= 0:
        return weights
    rows = rows[:, used] / scale[used]
    level = (totals / units).mean()
    penalty = np.sqrt(_PENALTY) * np.eye(rows.shape[1])
    target = np.concatenate([totals / units / level, np.zeros(len(penalty))])
    found, _ = nnls(np.concatenate([rows, penalty]), target, maxiter=10 * rows.shape[1] + 100)
    weights[used] = found * level / scale[used]
    predicted = (features @ weights).sum()
    return weights * (totals.sum() / predicted if predicted > 0 else 0.0)


def _features(values, weights, bands):
    """Return the features of a sample for each pair of bands, (n_pairs, n_features)."""
    weights, bands = weights.ravel(), bands.ravel()
    values = in_planes(values)
    out = np.zeros((_N_PAIRS, len(values) * len(SCALES) * 2, len(HEIGHTS) - 1))
    for kind, tiles, heights, shares in maxima(values)[1]:
        parts = ramps(heights) * (shares * weights[tiles])[:, None]
        for j, part in enumerate(parts.T):
            out[:, kind, j] = np.bincount(bands[tiles], part, _N_PAIRS)
    return out.reshape(_N_PAIRS, -1)


def _paired(values, weights, bands):
    """Return features of a box alone, with mirror images around, and in its surroundings.

    None for a sample without an interior.
    """
    inner = inner_ranges(torch.tensor(weights)[0], torch.tensor(bands)[0])
    side = min(_WIDE_BOX, *(stop - start for start, stop in inner))
    if side < LEAST_BOX:
        return None
    first = [start + (stop - start - side) // 2 for start, stop in inner]
    rows, columns = (slice(FOCUS * m, FOCUS * (m + side) + 2 * CONTEXT) for m in first)
    within = (slice(CONTEXT, -CONTEXT),) * 2
    box = values[..., rows, columns]
    alone = reflected(torch.from_numpy(np.ascontiguousarray(box[(..., *within)])))[0].numpy()
    pairs = np.broadcast_to(bands_of(side).numpy(), (*weights.shape[1:-2], side, side))
    ones = np.ones(pairs.shape)
    return np.stack([_features(alone, ones, pairs), _features(box, ones, pairs)])
