"""Potts systems with their exact energies."""

from numbers import Integral

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.seeding import generator
from ._ising import _LATTICE_CONSTRAINTS, as_stacks, default_sweeps, sample_ensemble
from ._lattice import Lattice, check_couplings, check_shape, like_pairs
from ._metropolis import sample_potts


@validate_params(
    {"n_states": [Interval(Integral, 2, 256, closed="both")], **_LATTICE_CONSTRAINTS},
    prefer_skip_nested_validation=True,
)
def make_potts(
    n_states=3,
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
    """Sample Potts systems on periodic lattices, with exact energies.

    States s = 0 ... n_states - 1 with ``E = -Σ_axes J_axis Σ δ(s_i, s_j)``, over nearest
    neighbours i, j.

    Parameters
    ----------
    n_states : int, default=3
        From 2 to 256.

    n_samples : int, default=100

    shape : int or tuple of 1 to 3 int, default=(8, 8)
        Sites along each axis, at least 2.

    temperature : float, pair of float or None, default=None
        As in `make_ising`; ``None`` means from 0.5 to 2 times the largest ``|J|``. In two
        dimensions, the critical temperature is ``J / log(1 + sqrt(n_states))``.

    sampling : {"boltzmann", "flat"}, default="boltzmann"
        As in `make_ising`.

    couplings : float or array-like of shape (n_axes,), default=1.0
        J, one for all axes or one for each; positive if like states attract.

    n_sweeps : int or None, default=None
        Metropolis steps per site before a sample is taken. ``None`` means
        ``max(50, L**2) * n_states / 2`` for the longest axis L, because new states are proposed at
        random. With more than 4 states in two dimensions the transition is of first order, and near
        it no number is enough on large lattices.

    random_state : int, RandomState instance or None, default=None

    return_X_y : bool, default=False
        Return ``(fields, energies)`` instead of a `Bunch`.

    Returns
    -------
    data : Bunch
        fields : ndarray of shape (n_samples, *shape), uint8
            States.

        energies : ndarray of shape (n_samples,), float64
            In units of the couplings.

        populations : ndarray of shape (n_samples, n_states), int64
            Number of sites in each state.

        pair_counts : ndarray of shape (n_samples, n_axes), int64
            Number of equal nearest neighbours along each axis, out of as many pairs as there are
            sites.

        temperatures : ndarray of shape (n_samples,), float64
            Temperatures at which the samples were drawn; negative ones occur in "flat".

    Raises
    ------
    ValueError
        If a parameter is invalid.

    Examples
    --------
    At the critical point of the infinite lattice the energy per site is
    ``-(1 + 1 / sqrt(n_states))``, which is -1.58 for 3 states:

    >>> import numpy as np
    >>> from sk_ednn.datasets import make_potts
    >>> critical = 1 / np.log(1 + np.sqrt(3))
    >>> data = make_potts(3, 300, (16, 16), temperature=critical, random_state=0)
    >>> print(f"{data.energies.mean() / 256:.1f}")
    -1.6
    """
    shape = check_shape(shape)
    couplings = check_couplings(couplings, len(shape))
    lattice, rng = Lattice(shape), generator(random_state)
    sweeps = n_sweeps or default_sweeps(shape) * n_states // 2
    if temperature is None and sampling == "boltzmann":
        strength = np.abs(couplings).max() or 1.0
        temperature = (0.5 * strength, 2 * strength)

    def draw(beta):
        return sample_potts(lattice, couplings, beta, sweeps, rng, n_states=n_states)

    fields, temperatures = sample_ensemble(
        draw, potts_energy, n_samples, lattice, temperature, sampling, couplings, rng
    )
    pair_counts = like_pairs(fields)
    energies = -(pair_counts @ couplings)
    if return_X_y:
        return fields, energies
    flat = fields.reshape(n_samples, -1)
    return Bunch(
        fields=fields,
        energies=energies,
        populations=np.stack([np.count_nonzero(flat == s, axis=1) for s in range(n_states)], 1),
        pair_counts=pair_counts,
        temperatures=temperatures,
    )


def potts_energy(fields, couplings=1.0):
    """Exact energies of Potts fields, periodic and of any dimension and size.

    ``E = -Σ_axes J_axis Σ δ(s_i, s_j)``, over each site i and the next site j along the axis.

    Parameters
    ----------
    fields : array-like of shape (n_samples, *shape), or list of ndarray
        States, any integers. A list contains one field per entry, of any shapes with the same
        number of axes.

    couplings : float or array-like of shape (n_axes,), default=1.0
        J, one for all axes or one for each.

    Returns
    -------
    energies : ndarray of shape (n_samples,), float64
        In units of the couplings.

    Raises
    ------
    ValueError
        If states are not integers, or `couplings` does not fit the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.datasets import potts_energy
    >>> potts_energy(np.arange(64).reshape(1, 8, 8) % 8)
    array([-64.])
    """
    return np.concatenate([_energy_of_stack(f, couplings) for f in as_stacks(fields)])


def _energy_of_stack(fields, couplings):
    if fields.dtype.kind not in "iu":
        raise ValueError(
            f"Expected states as integers. Got dtype {fields.dtype}; convert them with astype."
        )
    return -(like_pairs(fields) @ check_couplings(couplings, fields.ndim - 1))
