"""Smooth densities with their exact functionals."""

from numbers import Integral, Real

import numpy as np
from scipy.signal import resample
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.seeding import generator
from ..structures import Density
from ..structures._densities import BOHR

HARTREE = 27.211386245988  # eV, CODATA 2018
_THOMAS_FERMI = 0.3 * (3 * np.pi**2) ** (2 / 3)
_POSITIVE = [Interval(Real, 0, None, closed="neither")]


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "shape": [Interval(Integral, 2, None, closed="left"), tuple],
        "spacing": _POSITIVE,
        "concentration": _POSITIVE,
        "widths": [tuple],
        "background": _POSITIVE,
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_densities(
    n_samples=100,
    shape=(12, 12, 12),
    *,
    spacing=0.4,
    concentration=0.02,
    widths=(0.6, 0.9),
    background=0.02,
    random_state=None,
    return_X_y=False,
):
    """Draw periodic densities of Gaussians, with three energies that are exact functionals of them.

    The kinetic energies of Thomas and Fermi and of von Weizsäcker are integrals of functions of the
    density n and its gradient at a point; the Hartree energy is an integral over pairs of points at
    all distances (in hartree atomic units)::

        T_TF = 3/10 (3 π²)^(2/3) ∫ n^(5/3)     T_vW = 1/8 ∫ |∇n|² / n
        E_H  = 1/2 ∫∫ n(r) n(r') / |r - r'|    (of n less its mean)

    Parameters
    ----------
    n_samples : int, default=100

    shape : int or tuple of 3 int, default=(12, 12, 12)
        Points along each axis.

    spacing : float, default=0.4, in Å
        Between points.

    concentration : float, default=0.02, in Å^-3
        Mean number of Gaussians per volume. The number in each box is drawn from a Poisson
        distribution, and each Gaussian contains 0.5 to 1.5 electrons.

    widths : pair of float, default=(0.6, 0.9), in Å
        Range of the standard deviations of the Gaussians; at least 1.5 times the spacing, which
        grids need to represent them.

    background : float, default=0.02, in e/Å^3
        Density that is added everywhere, so that the sum is positive.

    random_state : int, RandomState instance or None, default=None

    return_X_y : bool, default=False
        Return ``(fields, y)`` instead of a `Bunch`, with the three energies as columns of y.

    Returns
    -------
    data : Bunch
        fields : ndarray of shape (n_samples, *shape), in e/Å^3

        thomas_fermi, von_weizsacker, hartree : ndarray of shape (n_samples,), in eV

        electrons : ndarray of shape (n_samples,)
            Integrals of the densities.

        voxel : ndarray of shape (3, 3), in Å

        densities : list of n_samples Density
            The fields with their voxel, as `DensityFields` takes them.

    Raises
    ------
    ValueError
        If a parameter is invalid.

    Notes
    -----
    A Gaussian is summed over its periodic images through its Fourier coefficients, which are
    cut off at the grid. Local integrals are sums over a grid twice as fine.

    Examples
    --------
    For one Gaussian the von Weizsäcker energy is 3 N / (8 σ²); the background takes a part of it
    away:

    >>> from sk_ednn.datasets import make_densities
    >>> data = make_densities(20, random_state=0)
    >>> bool((data.von_weizsacker < data.electrons * 3 / 8 / (0.6 / 0.529) ** 2 * 27.21).all())
    True
    """
    shape = (shape,) * 3 if isinstance(shape, Integral) else tuple(shape)
    if len(shape) != 3 or not all(isinstance(n, Integral) and n > 1 for n in shape):
        raise ValueError(f"shape must be an integer or three, at least 2; got {shape!r}.")
    if len(widths) != 2 or not (1 - 1e-9) * 1.5 * spacing <= widths[0] <= widths[1]:
        raise ValueError(
            f"widths must be a pair, the smaller first, of at least 1.5 times the spacing of "
            f"{spacing:g} Å; got {widths!r}."
        )
    rng = generator(random_state)
    lengths = spacing * np.array(shape)
    waves = [2 * np.pi * np.fft.fftfreq(n, spacing) for n in shape]
    fields = np.empty((n_samples, *shape))
    for field in fields:
        n_gaussians = rng.poisson(concentration * lengths.prod())
        centres = rng.uniform(0, lengths, size=(n_gaussians, 3))
        sigmas = rng.uniform(*widths, size=n_gaussians)
        electrons = rng.uniform(0.5, 1.5, size=n_gaussians)
        axes = [
            np.exp(-1j * np.outer(centres[:, a], k) - 0.5 * np.outer(sigmas, k) ** 2)
            for a, k in enumerate(waves)
        ]
        coefficients = np.einsum("g,gx,gy,gz->xyz", electrons, *axes, optimize=True)
        field[:] = background + np.fft.ifftn(coefficients).real / spacing**3
    local = np.array([_local_energies(field, spacing) for field in fields]).T
    hartree = np.array([_hartree(field, waves, spacing) for field in fields])
    if return_X_y:
        return fields, np.column_stack([*local, hartree])
    voxel = spacing * np.eye(3)
    return Bunch(
        fields=fields,
        thomas_fermi=local[0],
        von_weizsacker=local[1],
        hartree=hartree,
        electrons=fields.sum(axis=(1, 2, 3)) * spacing**3,
        voxel=voxel,
        densities=[Density(field, voxel) for field in fields],
    )


def _local_energies(field, spacing):
    """Return the kinetic energies of a density, as sums over a grid twice as fine."""
    fine = field
    for axis, n in enumerate(field.shape):
        fine = resample(fine, 2 * n, axis=axis)
    if fine.min() <= 0:
        raise ValueError(
            "The density is negative between the points: take a larger background or width, or a "
            "smaller spacing."
        )
    density, step = fine * BOHR**3, spacing / 2 / BOHR
    coefficients = np.fft.fftn(density)
    square = np.zeros_like(density)
    for axis, n in enumerate(density.shape):
        k = 2j * np.pi * np.fft.fftfreq(n, step)
        square += np.fft.ifftn(coefficients * np.expand_dims(k, [a for a in range(3) if a != axis])
                               ).real ** 2  # fmt: skip
    volume = HARTREE * step**3
    return (
        _THOMAS_FERMI * (density ** (5 / 3)).sum() * volume,
        (square / density).sum() / 8 * volume,
    )


def _hartree(field, waves, spacing):
    """Return the energy of a density less its mean in its own potential."""
    volume = field.size * (spacing / BOHR) ** 3
    coefficients = np.fft.fftn(field * BOHR**3) / field.size
    squares = sum(np.meshgrid(*[(k * BOHR) ** 2 for k in waves], indexing="ij"))
    squares[0, 0, 0] = np.inf
    return HARTREE * volume * (2 * np.pi * np.abs(coefficients) ** 2 / squares).sum()
