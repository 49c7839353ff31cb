"""Tersoff's silicon: a reference method without an external program, to try a search."""

from __future__ import annotations

from .._utils.optional import needing

# J. Tersoff, Phys. Rev. B 38, 9902 (1988), table I, third column (Si(C)); R and D are the middle
# and the half width of the cutoff.
_SILICON = {
    "m": 3.0,
    "gamma": 1.0,
    "lambda3": 0.0,
    "c": 1.0039e5,
    "d": 16.217,
    "h": -0.59825,
    "n": 0.78734,
    "beta": 1.1e-6,
    "lambda2": 1.73222,
    "B": 471.18,
    "R": 2.85,
    "D": 0.15,
    "lambda1": 2.4799,
    "A": 1830.8,
}


def tersoff_silicon():
    """Return an ASE calculator of silicon by Tersoff's potential.

    Returns
    -------
    ase.calculators.tersoff.Tersoff
        Energies in eV, forces and stress.

    Raises
    ------
    MissingExtraError
        If ASE is not installed.

    References
    ----------
    J. Tersoff, Phys. Rev. B 38, 9902 (1988), parametrisation Si(C).

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.search import tersoff_silicon
    >>> diamond = bulk("Si", a=5.432)
    >>> diamond.calc = tersoff_silicon()
    >>> float(round(diamond.get_potential_energy() / 2, 2))  # eV per atom; published: -4.63
    -4.63
    """
    with needing("Tersoff's silicon"):
        from ase.calculators.tersoff import Tersoff, TersoffParameters
    return _without_poles(Tersoff)({("Si", "Si", "Si"): TersoffParameters(**_SILICON)})


def _without_poles(tersoff):
    """Return the calculator with a slope of zero where a bond has no neighbours.

    There ASE raises zero to a negative power; what it multiplies is zero.
    """

    class Silicon(tersoff):
        def _calc_bij_d(self, zeta, beta, n):
            return super()._calc_bij_d(zeta, beta, n) if zeta > 0 else 0.0

    return Silicon
