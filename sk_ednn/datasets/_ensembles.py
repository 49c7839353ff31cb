"""Choose temperatures to sample at, and samples to keep.

Both ensembles take ``draw(beta)``, which returns independent fields at given inverse temperatures.
"""

import numpy as np

_N_BETAS = 48  # of the pilot run; the energy is interpolated between them
_SURPLUS = 2  # samples drawn for each that is kept
_ROUNDS = 10  # in which more samples of rare energies are drawn
_MOST_LEVELS = 512  # distinct energies; more of them are gathered into bins
_MOST_BINS = 64


def boltzmann(draw, n_samples, temperature, rng):
    """Canonical samples, at temperatures uniform in a range.

    Returns
    -------
    fields : ndarray of shape (n_samples, *shape)

    temperatures : ndarray of shape (n_samples,)
    """
    low, high = temperature
    temperatures = np.full(n_samples, low) if low == high else rng.uniform(low, high, n_samples)
    return draw(1 / temperatures), temperatures


def energy_flat(draw, energy, n_samples, n_sites, coldest, rng):
    """Samples with energies as nearly uniform as can be, from the lowest to the highest.

    A pilot run measures the mean energy U(beta) from ``-coldest`` to ``coldest``; negative
    temperatures favour high energies. Samples are drawn at the beta where U is uniform, more than
    are needed; then more of rare energies, at the beta where these were met; and the same number
    of each energy is kept. A canonical sample is uniform among the states of its energy, whatever
    its temperature, so a choice by energy alone keeps it so.

    Parameters
    ----------
    draw : callable
        ``draw(beta)`` returns fields.

    energy : callable
        ``energy(fields)`` returns their energies.

    n_sites : int
        Sites of a field.

    coldest : float
        Inverse temperature at which a system is in its ground state more often than not.

    Returns
    -------
    fields : ndarray of shape (n_samples, *shape)

    temperatures : ndarray of shape (n_samples,)
        Those drawn at, negative for high energies.
    """
    # Denser where it is hot, which is where the energy depends on beta.
    grid = coldest * np.sinh(np.linspace(-4, 4, _N_BETAS)) / np.sinh(4)
    per_beta = int(np.clip(2**15 // n_sites, 4, 64))
    pilot = energy(draw(np.tile(grid, per_beta))).reshape(per_beta, -1).mean(axis=0)
    falling = np.minimum.accumulate(pilot)
    n_pool = _SURPLUS * n_samples
    targets = rng.permutation((np.arange(n_pool) + rng.random(n_pool)) / n_pool)
    targets = falling[-1] + targets * (falling[0] - falling[-1])
    beta = np.interp(targets, falling[::-1], grid[::-1])
    pool = draw(beta)
    for _ in range(_ROUNDS):
        more = _beta_of_rare_levels(_levels(energy(pool), n_samples), beta, n_samples, rng)
        if not more.size:
            break
        pool, beta = np.concatenate([pool, draw(more)]), np.concatenate([beta, more])
    level = _levels(energy(pool), n_samples)
    kept = rng.permutation(_flattest(level, n_samples, rng))
    return pool[kept], 1 / beta[kept]


def _levels(energies, n_samples):
    """The energy level, or the bin of energies, of each sample."""
    levels, level = np.unique(np.round(energies, 9), return_inverse=True)
    if len(levels) > min(_MOST_LEVELS, n_samples):
        n_bins = int(np.clip(n_samples // 4, 1, _MOST_BINS))
        level = np.digitize(energies, np.linspace(levels[0], levels[-1], n_bins + 1)[1:-1])
    return level


def _beta_of_rare_levels(level, beta, n_samples, rng):
    """Return where to draw more: inverse temperatures of samples in levels below their share."""
    present = np.bincount(level)
    share = -(-n_samples // np.count_nonzero(present))
    # Most draws fall into other levels, so draw several for each sample that is missing.
    draws = np.where(present > 0, 10 * np.maximum(share - present, 0), 0)
    return np.concatenate(
        [rng.choice(beta[level == rare], draws[rare]) for rare in np.flatnonzero(draws)] or [[]]
    )


def _flattest(level, n_kept, rng):
    """Indices of samples that are spread over the levels most evenly."""
    # Take one of each level in turn, in random order, until there are enough.
    shuffled = rng.permutation(len(level))
    by_level = shuffled[np.argsort(level[shuffled], kind="stable")]
    first = np.searchsorted(level[by_level], level[by_level])
    turn = np.arange(len(level)) - first
    return by_level[np.lexsort((rng.random(len(level)), turn))[:n_kept]]
