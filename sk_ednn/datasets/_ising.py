"""Ising systems with their exact energies."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._utils.seeding import generator
from ..fields._in_memory import as_array
from ._ensembles import boltzmann, energy_flat
from ._lattice import Lattice, check_couplings, check_shape, check_temperature, like_pairs
from ._metropolis import sample_ising

_LATTICE_CONSTRAINTS = {
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "shape": [Interval(Integral, 2, None, closed="left"), "array-like"],
    "temperature": [Interval(Real, 0, None, closed="right"), "array-like", None],
    "sampling": [StrOptions({"boltzmann", "flat"})],
    "couplings": [Real, "array-like"],
    "n_sweeps": [Interval(Integral, 1, None, closed="left"), None],
    "random_state": ["random_state"],
    "return_X_y": ["boolean"],
}


@validate_params(_LATTICE_CONSTRAINTS, prefer_skip_nested_validation=True)
def make_ising(
    n_samples=100,
    shape=(8, 8),
    *,
    temperature=None,
    sampling="boltzmann",
    couplings=1.0,
    n_sweeps=None,
    random_state=None,
    return_X_y=False,
):
    """Sample Ising systems on periodic lattices, with exact energies.

    Spins s = ±1 with ``E = -Σ_axes J_axis Σ s_i s_j``, over nearest neighbours i, j.

    Parameters
    ----------
    n_samples : int, default=100

    shape : int or tuple of 1 to 3 int, default=(8, 8)
        Sites along each axis, at least 2.

    temperature : float, pair of float or None, default=None
        With ``sampling="boltzmann"``: one temperature for all, or a range from which that of each
        sample is drawn uniformly, in units of energy (k_B = 1). ``None`` means from 1 to 4 times
        the largest ``|J|``. ``np.inf`` gives independent spins. Must be ``None`` for "flat".

    sampling : {"boltzmann", "flat"}, default="boltzmann"
        "boltzmann" draws from the canonical distribution at each temperature. "flat" makes the
        distribution of energies as uniform as possible, from the lowest to the highest: canonical
        samples are drawn at temperatures, including negative ones, that spread the mean energy
        evenly, and the same number is kept of each energy. Fields of equal energy are equally
        likely. With more than 512 energies, bins of energy are filled instead.

    couplings : float or array-like of shape (n_axes,), default=1.0
        J, one for all axes or one for each; positive if like spins attract.

    n_sweeps : int or None, default=None
        Metropolis steps per site before a sample is taken. ``None`` means ``max(50, L**2)`` for the
        longest axis L. At the critical point, where relaxation is slowest, the necessary number
        grows as ``L**2.2``; 40 are enough there for the energy of 8×8 spins.

    random_state : int, RandomState instance or None, default=None

    return_X_y : bool, default=False
        Return ``(fields, energies)`` instead of a `Bunch`.

    Returns
    -------
    data : Bunch
        fields : ndarray of shape (n_samples, *shape), int8
            Spins.

        energies : ndarray of shape (n_samples,), float64
            In units of the couplings.

        magnetisation : ndarray of shape (n_samples,), int64
            Sums of spins.

        pair_counts : ndarray of shape (n_samples, n_axes), int64
            Number of equal nearest neighbours along each axis, out of as many pairs as there are
            sites.

        temperatures : ndarray of shape (n_samples,), float64
            Temperatures at which the samples were drawn.

    Raises
    ------
    ValueError
        If a parameter is invalid.

    Notes
    -----
    Every sample is its own Metropolis chain, started in a ground state; samples are independent.
    All samples are updated at once, one colour of a checkerboard at a time (three colours if a
    length is odd). An axis of length 2 contains each of its pairs twice, so that a repeated field
    always has a multiple of the energy.

    References
    ----------
    Mills, Ryczko, Luchak, Domurad, Beeler, Tamblyn, "Extensive deep neural networks for
    transferring small scale learning to large scale systems", Chem. Sci. 2019, 10, 4129, which
    trains on energies of 8×8 systems.

    Examples
    --------
    Onsager's energy per site of the infinite lattice at T = 3 is -0.8173:

    >>> from sk_ednn.datasets import make_ising
    >>> data = make_ising(500, (16, 16), temperature=3.0, random_state=0)
    >>> print(f"{data.energies.mean() / 256:.2f}")
    -0.82
    """
    shape = check_shape(shape)
    couplings = check_couplings(couplings, len(shape))
    lattice, rng = Lattice(shape), generator(random_state)

    def draw(beta):
        return sample_ising(lattice, couplings, beta, n_sweeps or default_sweeps(shape), rng)

    fields, temperatures = sample_ensemble(
        draw, ising_energy, n_samples, lattice, temperature, sampling, couplings, rng
    )
    pair_counts = like_pairs(fields)
    energies = lattice.n_sites * couplings.sum() - 2 * (pair_counts @ couplings)
    if return_X_y:
        return fields, energies
    return Bunch(
        fields=fields,
        energies=energies,
        magnetisation=fields.reshape(n_samples, -1).sum(axis=1, dtype=np.int64),
        pair_counts=pair_counts,
        temperatures=temperatures,
    )


def default_sweeps(shape):
    """Metropolis steps per site that outlast the slowest relaxation."""
    return max(50, max(shape) ** 2)


def sample_ensemble(draw, energy, n_samples, lattice, temperature, sampling, couplings, rng):
    """Return fields and temperatures of the requested ensemble."""
    strength = np.abs(couplings).max() or 1.0
    if sampling == "boltzmann":
        temperature = (strength, 4 * strength) if temperature is None else temperature
        return boltzmann(draw, n_samples, check_temperature(temperature), rng)
    if temperature is not None:
        raise ValueError(
            "sampling='flat' chooses its temperatures, so 'temperature' must be None. "
            f"Got {temperature!r} instead; use sampling='boltzmann' for a given temperature."
        )
    weakest = np.abs(couplings[couplings != 0]).min(initial=strength)
    coldest = (3 + np.log(lattice.n_sites)) / weakest
    return energy_flat(
        draw, lambda f: energy(f, couplings), n_samples, lattice.n_sites, coldest, rng
    )


def ising_energy(fields, couplings=1.0):
    """Exact energies of Ising fields, periodic and of any dimension and size.

    ``E = -Σ_axes J_axis Σ s_i s_j``, over each site i and the next site j along the axis.

    Parameters
    ----------
    fields : array-like of shape (n_samples, *shape), or list of ndarray
        Spins of ±1. A list contains one field per entry, of any shapes with the same number of
        axes.

    couplings : float or array-like of shape (n_axes,), default=1.0
        J, one for all axes or one for each.

    Returns
    -------
    energies : ndarray of shape (n_samples,), float64
        In units of the couplings.

    Raises
    ------
    ValueError
        If a value is not ±1, or `couplings` does not fit the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.datasets import ising_energy
    >>> ising_energy(np.ones((1, 128, 128)))
    array([-32768.])
    """
    return np.concatenate([_energy_of_stack(f, couplings) for f in as_stacks(fields)])


def _energy_of_stack(fields, couplings):
    if not np.all((fields == 1) | (fields == -1)):
        wrong = fields[(fields != 1) & (fields != -1)][0]
        raise ValueError(
            f"Expected spins of -1 and 1. Got {wrong} instead; map states to ±1 first."
        )
    couplings = check_couplings(couplings, fields.ndim - 1)
    return fields[0].size * couplings.sum() - 2 * (like_pairs(fields) @ couplings)


def as_stacks(fields):
    """Arrays of shape (n_samples, *shape): one, or one for each field of a list."""
    if isinstance(fields, (list, tuple)) and all(isinstance(f, np.ndarray) for f in fields):
        stacks = [f[None] for f in fields]
    else:
        stacks = [as_array(fields, "fields")]
    for stack in stacks:
        if stack.ndim < 2 or not stack.size:
            raise ValueError(
                "Expected fields of shape (n_samples, *shape) or a list of fields, none empty. "
                f"Got shape {stack.shape}; write field[None] for a single field."
            )
    if not stacks:
        raise ValueError("Expected at least one field. Got an empty list.")
    return stacks
