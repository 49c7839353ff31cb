"""Cutoff functions, with which neighbours fade out smoothly, and their derivatives.

How smooth an energy is where a neighbour enters is decided here. The polynomial falls off as
(1 − r/cutoff)³: the energy, forces and force constants are continuous, and the third derivative of
the energy jumps by a finite amount. The cosine falls off as (1 − r/cutoff)²: forces are
continuous, and force constants jump.
"""

import numpy as np


def polynomial_cutoff(distances, cutoff):
    """Polynomial cutoff function of order p = 6 (Gasteiger et al., ICLR 2020, eq. 8).

    Parameters
    ----------
    distances : ndarray, in Å
    cutoff : float, in Å

    Returns
    -------
    values, derivatives : ndarray of the shape of distances
        1 − 28 x⁶ + 48 x⁷ − 21 x⁸ with x = r / cutoff, and its derivative by r; 0 from x = 1 on.
    """
    x = np.minimum(distances / cutoff, 1.0)
    rest = 1.0 - x
    # Factored, so that values next to the cutoff are right to the last digits.
    series = 1.0 + x * (3.0 + x * (6.0 + x * (10.0 + x * (15.0 + x * 21.0))))
    return rest**3 * series, (-168.0 / cutoff) * x**5 * rest**2


def cosine_cutoff(distances, cutoff):
    """Cosine cutoff function (Behler, J. Chem. Phys. 134, 074106 (2011), eq. 4).

    Parameters
    ----------
    distances : ndarray, in Å
    cutoff : float, in Å

    Returns
    -------
    values, derivatives : ndarray of the shape of distances
        (1 + cos(π r / cutoff)) / 2, and its derivative by r; 0 from the cutoff on.
    """
    half = (0.5 * np.pi / cutoff) * np.minimum(distances, cutoff)
    cos, sin = np.cos(half), np.sin(half)
    inside = distances < cutoff
    return cos * cos * inside, (-np.pi / cutoff) * cos * sin * inside


CUTOFF_FUNCTIONS = {"polynomial": polynomial_cutoff, "cosine": cosine_cutoff}
