"""Cells: the axes of a field, and the edges along them."""

import numpy as np

# The Cartesian axes of a field, by the name of its plane.
AXES = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2), "xyz": (0, 1, 2)}

# Rounding of a file with seven digits, or of a rotation: of lengths relative to them, of angles in
# their cosines. To this tolerance cells are orthogonal, flat, at the fitted angles and a whole
# number of pixels, here and everywhere. Positions are those in the edges that are given, rounded
# or not, so that nothing jumps where the answer changes.
ROUNDING = 1e-6


def cell_matrices(cells, plane):
    """Cells given in any form, as edge vectors in three dimensions.

    Parameters
    ----------
    cells : sequence of array-like of shape (2,), (3,), (2, 2) or (3, 3)
        Edge lengths, or edge vectors as rows.
    plane : str

    Returns
    -------
    ndarray of shape (n_structures, 3, 3)
        The third edge of those given in two dimensions is zero.
    """
    matrices = np.zeros((len(cells), 3, 3))
    for k, cell in enumerate(cells):
        cell = np.asarray(cell, dtype=np.float64)
        shape = cell.shape
        if shape == (3, 3):
            matrices[k] = cell
        elif shape == (3,):
            matrices[k].flat[::4] = cell
        elif shape == (2, 2) and plane == "xy":
            matrices[k, :2, :2] = cell
        elif shape == (2,) and plane == "xy":
            matrices[k, 0, 0], matrices[k, 1, 1] = cell
        else:
            raise ValueError(
                f"Structure {k}: the cell must be edge lengths of shape (2,) or (3,), or edge "
                f"vectors of shape (2, 2) or (3, 3), for plane={plane!r} those with "
                f"{'2 or 3' if plane == 'xy' else '3'}. Got shape {shape}."
            )
        if len(shape) == 1 and not cell[: 2 if plane == "xy" else 3].min() > 0:
            raise ValueError(
                f"Structure {k}: the edges of the cell must be positive and finite. "
                f"Got {cell.tolist()}."
            )
    return matrices


def normal_periods(cells, repeats, plane):
    """Return the period of each structure along the normal of a plane, 0 where it does not repeat.

    Parameters
    ----------
    cells : ndarray of shape (n_structures, 3, 3), in Å
    repeats : ndarray of bool of shape (n_structures, 3)
        Along which axes they do.
    plane : str

    Returns
    -------
    ndarray of shape (n_structures,), in Å
    """
    if len(AXES[plane]) == 3:
        return np.zeros(len(cells))
    (normal,) = {0, 1, 2} - set(AXES[plane])
    return np.where(repeats[:, normal], np.abs(cells[:, normal, normal]), 0.0)


def edge_vectors(cells, pbc, plane):
    """Edges of cells along the axes of a plane, or along all three.

    Parameters
    ----------
    cells : ndarray of shape (n_structures, 3, 3)
    pbc : ndarray of bool of shape (n_structures, 3)
    plane : str

    Returns
    -------
    ndarray of shape (n_structures, d, d)
        Rows are edges, in the plane.
    """
    axes = list(AXES[plane])
    wrong = np.flatnonzero(~np.isfinite(cells).all(axis=(1, 2)))
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"Structure {k}: the edges of the cell must be positive and finite. "
            f"Got {cells[k].tolist()}."
        )
    edges = cells[:, axes][:, :, axes]
    if len(axes) == 2:
        (normal,) = {0, 1, 2} - set(axes)
        _require_flat(cells, pbc[:, normal], axes, normal, plane)
    lengths = np.sqrt((edges**2).sum(axis=-1))
    flat = ~(np.abs(np.linalg.det(edges)) > 1e-9 * np.prod(lengths, axis=-1))
    if flat.any():
        k = np.flatnonzero(flat)[0]
        raise ValueError(
            f"Structure {k}: the edges of the cell along {' and '.join(plane)} must be positive "
            f"and finite and no two of them parallel. Got {cells[k].tolist()}. Give what has no "
            "cell a box, as ase.Atoms.center(vacuum=...) does."
        )
    return edges


def _require_flat(cells, repeats, axes, normal, plane):
    """Refuse edges that leave the plane, and images along the normal that do not coincide."""
    rounding = ROUNDING * np.sqrt((cells**2).sum(axis=2))
    wrong = np.flatnonzero((np.abs(cells[:, axes, normal]) > rounding[:, axes]).any(axis=1))
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"Structure {k}: the edges of the cell along {plane[0]} and {plane[1]} must lie in the "
            f"plane {plane}. Got edge vectors {cells[k].tolist()}. Turn the structure, or draw it "
            "in another plane."
        )
    leans = (np.abs(cells[:, normal, axes]) > rounding[:, normal, None]).any(axis=1)
    wrong = np.flatnonzero(repeats & leans)
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"Structure {k}: the third edge of the cell must be normal to the plane {plane}, or "
            f"images along it do not project to one place. Got edge vectors {cells[k].tolist()}. "
            f"Where it does not repeat along {'xyz'[normal]}, set pbc to False there."
        )


def edge_lengths(vectors):
    """Lengths of edges, of shape (..., d); of edges along the axes to the last bit."""
    straight = is_straight(vectors, 0.0)
    along = np.diagonal(vectors, axis1=-2, axis2=-1)
    return np.where(straight[..., None], np.abs(along), np.sqrt((vectors**2).sum(axis=-1)))


def is_straight(vectors, tolerance=ROUNDING):
    """Tell which cells have their edges along the axes, forwards."""
    along = np.diagonal(vectors, axis1=-2, axis2=-1)
    across = np.abs(vectors) * (1 - np.eye(along.shape[-1]))
    return (across <= tolerance * along[..., None]).all(axis=(-1, -2)) & (along > 0).all(axis=-1)


def scaled_positions(positions, owner, vectors, lengths, periodic):
    """Positions in edges of the cell; along axes that repeat, in [0, 1].

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, d)
    owner : ndarray of int of shape (n_atoms,)
    vectors : ndarray of shape (n_structures, d, d)
    lengths : ndarray of shape (n_structures, d)
    periodic : ndarray of bool of shape (n_structures, d)
    """
    scaled = positions / lengths[owner]
    slanted = ~is_straight(vectors, 0.0)
    if slanted.any():
        inverse = np.linalg.inv(vectors)
        those = np.flatnonzero(slanted[owner])
        # Axis by axis: a matrix product may add up in another order for another number of atoms.
        scaled[those] = sum(
            positions[those, axis, None] * inverse[owner[those], axis]
            for axis in range(positions.shape[1])
        )
    floor = np.floor(scaled)
    if not periodic.all():
        floor *= periodic[owner]
    scaled -= floor
    return scaled


def cosines(vectors):
    """Cosines between the edges of cells, of shape (..., d, d); rounding alone is zero."""
    unit = vectors / np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    found = unit @ np.swapaxes(unit, -1, -2)
    found = np.where(np.abs(found) > ROUNDING, found, 0.0)
    found[..., range(found.shape[-1]), range(found.shape[-1])] = 1.0
    return found


def angles(cosine):
    """Angles in degrees, in the order of cell parameters: opposite to axis 0, 1, 2."""
    pairs = [(0, 1)] if len(cosine) == 2 else [(1, 2), (0, 2), (0, 1)]
    return tuple(float(np.degrees(np.arccos(cosine[pair]))) for pair in pairs)


def check_frames(vectors, periodic, fitted_cosines, fitted_periodic, plane):
    """Refuse cells with other angles, or other axes that repeat, than the fitted ones.

    Raises
    ------
    ValueError
        Naming the first such structure.
    """
    other = np.flatnonzero((periodic != fitted_periodic).any(axis=1))
    if other.size:
        wanted = [True, True, plane == "xyz"]
        for axis, repeats in zip(AXES[plane], fitted_periodic, strict=True):
            wanted[axis] = bool(repeats)
        raise ValueError(
            f"Structure {other[0]} {_boundaries(periodic[other[0]], plane)}; what is fitted "
            f"{_boundaries(fitted_periodic, plane)}. Set pbc to {tuple(wanted)}, or fit structures "
            "with other boundaries on their own."
        )
    if is_straight(vectors).all() and (fitted_cosines == np.eye(len(fitted_cosines))).all():
        return
    found = cosines(vectors)
    other = np.flatnonzero((np.abs(found - fitted_cosines) > ROUNDING).any(axis=(1, 2)))
    if other.size:
        raise ValueError(
            f"Structure {other[0]}: the angles between the edges of its cell are "
            f"{_degrees(found[other[0]])}; what is fitted has {_degrees(fitted_cosines)}. Pixels "
            "of another shape are another field: fit a model of its own to these cells, or repeat "
            "them to cells of the fitted angles."
        )


def _boundaries(periodic, plane):
    repeats = " and ".join(name for name, p in zip(plane, periodic, strict=True) if p)
    is_open = " and ".join(name for name, p in zip(plane, periodic, strict=True) if not p)
    says = [f"repeats in {repeats}"] * bool(repeats) + [f"is open along {is_open}"] * bool(is_open)
    return " and ".join(says)


def _degrees(cosine):
    return " and ".join(f"{angle:.6g}°" for angle in angles(cosine))
