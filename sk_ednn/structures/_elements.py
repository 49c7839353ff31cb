"""Atomic numbers and chemical symbols."""

from numbers import Integral

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb "
    "Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm "
    "Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()
HEAVIEST = len(_SYMBOLS)


def atomic_number(species):
    """Return the atomic number of a chemical symbol; an atomic number is returned as it is.

    Parameters
    ----------
    species : str or int
        A symbol such as ``"C"`` or an atomic number such as 6.

    Returns
    -------
    number : int

    Raises
    ------
    ValueError
        If there is no such element.

    Examples
    --------
    >>> from sk_ednn.structures import atomic_number
    >>> atomic_number("Ti"), atomic_number(8)
    (22, 8)
    """
    if isinstance(species, str) and species in _SYMBOLS:
        return _SYMBOLS.index(species) + 1
    if isinstance(species, Integral) and not isinstance(species, bool) and 1 <= species <= HEAVIEST:
        return int(species)
    raise ValueError(
        f"Expected a chemical symbol such as 'C' or an atomic number from 1 to {HEAVIEST}. "
        f"Got {species!r} instead."
    )


def symbol(number):
    """Return the chemical symbol of an atomic number, for messages.

    Parameters
    ----------
    number : int

    Returns
    -------
    str
        ``"Z=0"`` and the like where there is no such element.
    """
    return _SYMBOLS[number - 1] if 1 <= number <= HEAVIEST else f"Z={number}"
