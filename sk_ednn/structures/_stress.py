"""Stresses as six numbers, in the order of ASE."""

import numpy as np

# Rows and columns of xx, yy, zz, yz, xz, xy.
VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))


def stress_of(strain_gradients, volumes):
    """Return stresses from derivatives of energies by a strain.

    Parameters
    ----------
    strain_gradients : ndarray of shape (n_structures, 3, 3), in eV
        Symmetric.
    volumes : ndarray of shape (n_structures,), in Å³

    Returns
    -------
    ndarray of shape (n_structures, 6), in eV/Å³
        Positive under tension; NaN without a volume.
    """
    volumes = np.where(volumes > 0, volumes, np.nan)
    return strain_gradients[:, *VOIGT] / volumes[:, None]
