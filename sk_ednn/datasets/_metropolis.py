"""Metropolis sampling of many Ising or Potts systems at once, each at its own temperature.

Arrays are of shape (n_sites, n_samples): a neighbour is then a row, and every operation runs over
samples. Sites of one colour have no neighbours among themselves and change together.

A change that costs energy is drawn without an exponential: the costs there can be are few, so a
random integer is compared with the acceptance threshold of each, and the change is made if its
cost ranks below the number of thresholds passed.
"""

import numpy as np

from .._utils.sampling import MAX_ACCEPTANCE

# Spins in hand at a time. With their random numbers, half as many 32-bit integers, they fit the
# second-level cache.
_SPINS_AT_A_TIME = 2**17


def sample_ising(lattice, couplings, beta, n_sweeps, rng):
    """Ising systems, E = -Σ J s s'.

    Parameters
    ----------
    lattice : Lattice

    couplings : ndarray of shape (n_axes,)

    beta : ndarray of shape (n_samples,)
        Inverse temperatures, of any sign.

    n_sweeps : int
        Metropolis steps per site, from the ground state of each system.

    rng : numpy.random.Generator

    Returns
    -------
    fields : ndarray of shape (n_samples, *shape), int8
    """
    return _in_batches(_ising_batch, lattice, couplings, beta, n_sweeps, rng, np.int8)


def sample_potts(lattice, couplings, beta, n_sweeps, rng, *, n_states):
    """Potts systems, E = -Σ J δ(s, s'), with fields of states 0 ... n_states - 1, uint8.

    Parameters and returns are those of `sample_ising`.
    """

    def batch(*args):
        return _potts_batch(*args, n_states)

    return _in_batches(batch, lattice, couplings, beta, n_sweeps, rng, np.uint8)


def _in_batches(sample, lattice, couplings, beta, n_sweeps, rng, dtype):
    fields = np.empty((len(beta), lattice.n_sites), dtype=dtype)
    step = max(1, _SPINS_AT_A_TIME // lattice.n_sites)
    for start in range(0, len(beta), step):
        some = slice(start, start + step)
        fields[some] = sample(lattice, couplings, beta[some], n_sweeps, rng).T
    return fields.reshape(len(beta), *lattice.shape)


def _ising_batch(lattice, couplings, beta, n_sweeps, rng):
    costs = _Costs(couplings, beta, most=1, unit=4.0)
    states = _ordered(lattice, couplings, beta)
    spins = (1 - 2 * (states % 2)).astype(np.int8)
    before, after = lattice.neighbours
    for _ in range(n_sweeps):
        for sites in lattice.colours:
            here = spins[sites]
            code = np.zeros_like(here)
            for a, weight in enumerate(costs.weights):
                # s (s_before + s_after) / 2, which is -1, 0 or 1.
                code += weight * ((spins[before[a, sites]] + spins[after[a, sites]]) >> 1)
            code *= here
            flip = costs.accepts(code, rng).view(np.int8)
            flip *= -2
            flip += 1
            here *= flip
            spins[sites] = here
    # The energy does not change under a flip of all spins, and no start may be favoured.
    return spins * rng.choice(np.array([-1, 1], dtype=np.int8), size=len(beta))


def _potts_batch(lattice, couplings, beta, n_sweeps, rng, n_states):
    costs = _Costs(couplings, beta, most=2, unit=1.0)
    states = (_ordered(lattice, couplings, beta) % n_states).astype(np.uint8)
    before, after = lattice.neighbours
    for _ in range(n_sweeps):
        for sites in lattice.colours:
            here = states[sites]
            new = rng.integers(n_states, size=here.shape, dtype=np.uint8)
            code = np.zeros(here.shape, dtype=np.int8)
            for a, weight in enumerate(costs.weights):
                for neighbour in (states[before[a, sites]], states[after[a, sites]]):
                    code += weight * (neighbour == here)
                    code -= weight * (neighbour == new)
            states[sites] = np.where(costs.accepts(code, rng), new, here)
    shift = rng.integers(n_states, size=len(beta))
    return ((states + shift) % n_states).astype(np.uint8)


class _Costs:
    """Costs of changes of a site, and the probabilities that they are accepted.

    A change is described by integers k_a in -most ... most, one an axis, and costs
    ``unit * Σ_a J_a k_a``. They are packed into one code, ``Σ_a weight_a k_a``.
    """

    def __init__(self, couplings, beta, *, most, unit):
        n_axes = len(couplings)
        if np.all(couplings == couplings[0]):
            # The sum of k alone tells the cost, and is its rank.
            self.weights = np.ones(n_axes, dtype=np.int8)
            self.rank = None
            sign = np.sign(couplings[0]) * beta
            costs = unit * abs(couplings[0]) * np.arange(n_axes * most + 1)
        else:
            base = 2 * most + 1
            self.weights = (base ** np.arange(n_axes)).astype(np.int8)
            k = np.stack(np.meshgrid(*[np.arange(-most, most + 1)] * n_axes, indexing="ij"))
            k = k.reshape(n_axes, -1)
            code, cost = self.weights.astype(int) @ k, unit * (couplings @ k)
            cost = np.maximum(np.round(cost, 12), 0)
            costs, rank = np.unique(np.append(cost, 0.0), return_inverse=True)
            # Indexed by code, negative ones from the end as numpy does.
            self.rank = np.empty(len(code), dtype=np.int8)
            self.rank[code] = rank[:-1]
            sign = beta
        self.sign = np.where(sign < 0, -1, 1).astype(np.int8)
        probability = MAX_ACCEPTANCE * np.exp(-np.abs(beta) * costs[:, None])
        self.thresholds = (probability * 2.0**32).astype(np.uint32)

    def accepts(self, code, rng):
        """Draw for changes with codes of shape (n_sites, n_samples); uses up `code`."""
        code *= self.sign
        if self.rank is None:
            rank = np.maximum(code, 0, out=code)
        else:
            rank = self.rank[code]
        draws = rng.integers(2**64, size=(code.size + 1) // 2, dtype=np.uint64).view(np.uint32)
        draws = draws[: code.size].reshape(code.shape)
        passed = (draws < self.thresholds[0]).view(np.int8)
        for threshold in self.thresholds[1:]:
            passed += draws < threshold
        return rank < passed


def _ordered(lattice, couplings, beta):
    """A state of lowest beta · E, or near it where a ring of odd length is frustrated.

    Sites alternate along the axes on which neighbours prefer to differ. Started from disorder
    instead, cold systems stay caught in stripes for longer than anyone would wait.
    """
    states = np.empty((lattice.n_sites, len(beta)), dtype=np.int64)
    for sign in (-1, 1):
        state = np.zeros(lattice.shape, dtype=np.int64)
        for axis, ring in enumerate(lattice.rings):
            if sign * couplings[axis] < 0:
                state += ring
        states[:, (beta < 0) == (sign < 0)] = state.reshape(-1, 1)
    return states
