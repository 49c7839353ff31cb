"""The directions along which a structure is softest."""

from __future__ import annotations

import numpy as np

from ..structures import Structures, neighbor_pairs

# Å: how far springs reach, and over which distance they become weaker by a factor of e.
_REACH, _DECAY = 5.0, 0.37


def soft_modes(structure, radii, n_fixed=0):
    """Return the vibrations of springs between neighbours, the softest first.

    The spring of two atoms weakens exponentially with their distance beyond the sum of their
    radii, and is at rest. Rigid translations are left out, and for clusters rotations.

    Parameters
    ----------
    structure : Structure
    radii : ndarray of shape (n_atoms,), in Å
        Covalent radii.
    n_fixed : int, default=0
        The first atoms, which do not move.

    Returns
    -------
    stiffness : ndarray of shape (n_modes,)
        In units of the spring of two atoms at the sum of their radii.
    modes : ndarray of shape (n_modes, n_atoms, 3)
        Orthonormal.

    References
    ----------
    Lyakhov, Oganov, Stokes and Zhu, New developments in evolutionary structure prediction
    algorithm USPEX, Comput. Phys. Commun. 184, 1172, 2013.
    """
    n_atoms = len(structure.numbers)
    pairs = neighbor_pairs(Structures.of([structure]), _REACH)
    vectors = np.asarray(pairs.vectors)
    r = np.sqrt((vectors**2).sum(axis=1))
    i, j = np.asarray(pairs.centers), np.asarray(pairs.neighbors)
    springs = np.exp(-(r - radii[i] - radii[j]) / _DECAY) / r**2
    blocks = springs[:, None, None] * vectors[:, :, None] * vectors[:, None, :]
    hessian = np.zeros((n_atoms, n_atoms, 3, 3))
    np.add.at(hessian, (i, i), blocks)
    np.add.at(hessian, (i, j), -blocks)
    moving = slice(3 * n_fixed, None)
    hessian = hessian.transpose(0, 2, 1, 3).reshape(3 * n_atoms, 3 * n_atoms)[moving, moving]
    basis = np.eye(len(hessian))
    if n_fixed == 0:
        rigid = _rigid_motions(structure)
        basis = np.linalg.svd(rigid.T)[0][:, np.linalg.matrix_rank(rigid) :]
    stiffness, vectors = np.linalg.eigh(basis.T @ hessian @ basis)
    modes = np.zeros((len(stiffness), 3 * n_atoms))
    modes[:, moving] = (basis @ vectors).T
    return stiffness, modes.reshape(-1, n_atoms, 3)


def _rigid_motions(structure) -> np.ndarray:
    """Return translations, and rotations of what repeats along no axis, as rows."""
    n_atoms = len(structure.numbers)
    motions = [np.tile(np.eye(3)[k], n_atoms) for k in range(3)]
    if not np.any(structure.pbc):
        from_centre = structure.positions - structure.positions.mean(axis=0)
        motions += [np.cross(np.eye(3)[k], from_centre).reshape(-1) for k in range(3)]
    return np.array(motions)
