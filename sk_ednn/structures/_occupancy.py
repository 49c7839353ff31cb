"""Sites that are occupied in part, of which readers keep the most frequent species."""

from __future__ import annotations

from collections.abc import Mapping

# Occupancies in files have few digits: three thirds may be 0.999.
_FULL = 0.99


def require_whole_atoms(structure, k) -> None:
    """Raise if a structure was read from a file of disordered sites, as CIF files may have.

    Parameters
    ----------
    structure : object
        ASE keeps the occupancies of a file in ``structure.info["occupancy"]``.
    k : int
        Index of the structure, for messages.

    Raises
    ------
    ValueError
    """
    info = getattr(structure, "info", None)
    sites = info.get("occupancy") if isinstance(info, Mapping) else None
    if not isinstance(sites, Mapping):
        return
    for site, species in sites.items():
        if not isinstance(species, Mapping):
            continue
        if len(species) > 1 or any(share < _FULL for share in species.values()):
            shown = " and ".join(f"{share:g} {name}" for name, share in species.items())
            raise ValueError(
                f"Structure {k} has sites that are occupied in part (site {site} by {shown}), and "
                "whole atoms in their place. Choose an arrangement of whole atoms, and delete "
                "info['occupancy'] of a structure that is one."
            )
