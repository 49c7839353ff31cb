"""The edges of cells along the axes of a field."""

import numpy as np

# The Cartesian axes of a field, by the name of its plane.
AXES = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2), "xyz": (0, 1, 2)}

# Tolerance of relative lengths and of cosines, for files with seven digits and for rotations. It
# decides everywhere whether cells are orthogonal, in the plane, of the fitted angles and a whole
# number of pixels. Positions refer to the given edges without rounding, so fields have no jumps.
ROUNDING = 1e-6


def cell_matrices(cells, plane):
    """Convert cells of any form to edge vectors in three dimensions.

    Parameters
    ----------
    cells : sequence of array-like of shape (2,), (3,), (2, 2) or (3, 3)
        Edge lengths, or edge vectors as rows.
    plane : str

    Returns
    -------
    ndarray of shape (n_structures, 3, 3)
        The third edge of a cell with two dimensions is zero.
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
            two = plane == "xy"
            lengths, vectors = ("(2,) or (3,)", "(2, 2) or (3, 3)") if two else ("(3,)", "(3, 3)")
            raise ValueError(
                f"Structure {k}: the cell must be edge lengths of shape {lengths}, or edge vectors "
                f"of shape {vectors}, for plane={plane!r}; got shape {shape}."
            )
        if len(shape) == 1 and not cell[: 2 if plane == "xy" else 3].min() > 0:
            raise ValueError(
                f"Structure {k}: the edges of the cell must be positive and finite; "
                f"got {cell.tolist()}."
            )
    return matrices


def normal_periods(cells, pbc, plane):
    """Return the period of each structure along the normal of a plane, 0 if not periodic.

    Parameters
    ----------
    cells : ndarray of shape (n_structures, 3, 3), in Å
    pbc : ndarray of bool of shape (n_structures, 3)
    plane : str

    Returns
    -------
    ndarray of shape (n_structures,), in Å
    """
    if len(AXES[plane]) == 3:
        return np.zeros(len(cells))
    (normal,) = {0, 1, 2} - set(AXES[plane])
    return np.where(pbc[:, normal], np.abs(cells[:, normal, normal]), 0.0)


def edge_vectors(cells, pbc, plane):
    """Return the edges of cells along the axes of a field.

    Parameters
    ----------
    cells : ndarray of shape (n_structures, 3, 3)
    pbc : ndarray of bool of shape (n_structures, 3)
    plane : str

    Returns
    -------
    ndarray of shape (n_structures, d, d)
        Edges as rows.

    Raises
    ------
    ValueError
        If edges are not finite, parallel or not in the plane, or if the third edge of a structure
        that is periodic along it is not normal to the plane.
    """
    axes = list(AXES[plane])
    wrong = np.flatnonzero(~np.isfinite(cells).all(axis=(1, 2)))
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"Structure {k}: the edges of the cell must be positive and finite; "
            f"got {cells[k].tolist()}."
        )
    edges = cells[:, axes][:, :, axes]
    if len(axes) == 2:
        (normal,) = {0, 1, 2} - set(axes)
        _require_in_plane(cells, pbc[:, normal], axes, normal, plane)
    lengths = np.sqrt((edges**2).sum(axis=-1))
    flat = ~(np.abs(np.linalg.det(edges)) > 1e-9 * np.prod(lengths, axis=-1))
    if flat.any():
        k = np.flatnonzero(flat)[0]
        raise ValueError(
            f"Structure {k}: the edges of the cell along {' and '.join(plane)} must be positive, "
            f"finite and not parallel; got {cells[k].tolist()}. Set a cell if there is none, for "
            "example with ase.Atoms.center(vacuum=...)."
        )
    return edges


def _require_in_plane(cells, periodic, axes, normal, plane):
    """Reject edges that are not in the plane, and periodic images that are not above one another.

    Parameters
    ----------
    cells : ndarray of shape (n_structures, 3, 3)
    periodic : ndarray of bool of shape (n_structures,)
        Along the normal.
    axes : list of int
        Axes of the plane.
    normal : int
    plane : str
    """
    rounding = ROUNDING * np.sqrt((cells**2).sum(axis=2))
    wrong = np.flatnonzero((np.abs(cells[:, axes, normal]) > rounding[:, axes]).any(axis=1))
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"Structure {k}: the edges of the cell along {plane[0]} and {plane[1]} must be in the "
            f"plane {plane}; got edge vectors {cells[k].tolist()}. Rotate the structure, or use "
            "another plane."
        )
    tilted = (np.abs(cells[:, normal, axes]) > rounding[:, normal, None]).any(axis=1)
    wrong = np.flatnonzero(periodic & tilted)
    if wrong.size:
        k = wrong[0]
        raise ValueError(
            f"Structure {k}: the third edge of the cell must be normal to the plane {plane}, so "
            f"that periodic images are above one another; got edge vectors {cells[k].tolist()}. "
            f"If the structure is not periodic along {'xyz'[normal]}, set its pbc to False there."
        )


def edge_lengths(vectors):
    """Return lengths of edges, of shape (..., d); for edges along the axes without rounding."""
    straight = is_straight(vectors, 0.0)
    along = np.diagonal(vectors, axis1=-2, axis2=-1)
    return np.where(straight[..., None], np.abs(along), np.sqrt((vectors**2).sum(axis=-1)))


def is_straight(vectors, tolerance=ROUNDING):
    """Return which cells have their edges along the axes, in positive direction."""
    along = np.diagonal(vectors, axis1=-2, axis2=-1)
    across = np.abs(vectors) * (1 - np.eye(along.shape[-1]))
    return (across <= tolerance * along[..., None]).all(axis=(-1, -2)) & (along > 0).all(axis=-1)


def scaled_positions(positions, owner, vectors, lengths, periodic):
    """Return positions in units of edges; along periodic axes in [0, 1].

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
        # Not a matrix product, whose order of summation may depend on the number of atoms.
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
    """Return cosines between edges, of shape (..., d, d); those below ROUNDING are zero."""
    unit = vectors / np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    values = unit @ np.swapaxes(unit, -1, -2)
    values = np.where(np.abs(values) > ROUNDING, values, 0.0)
    values[..., range(values.shape[-1]), range(values.shape[-1])] = 1.0
    return values


def angles(cosine):
    """Return angles in degrees, in the order of cell parameters: opposite to axis 0, 1, 2."""
    pairs = [(0, 1)] if len(cosine) == 2 else [(1, 2), (0, 2), (0, 1)]
    return tuple(float(np.degrees(np.arccos(cosine[pair]))) for pair in pairs)


def check_frames(vectors, periodic, fitted_cosines, fitted_periodic, plane):
    """Raise ValueError for cells with other angles or periodic axes than the fitted ones.

    Parameters
    ----------
    vectors : ndarray of shape (n_structures, d, d)
    periodic : ndarray of bool of shape (n_structures, d)
    fitted_cosines : ndarray of shape (d, d)
    fitted_periodic : ndarray of bool of shape (d,)
    plane : str
    """
    other = np.flatnonzero((periodic != fitted_periodic).any(axis=1))
    if other.size:
        wanted = [True, True, plane == "xyz"]
        for axis, repeats in zip(AXES[plane], fitted_periodic, strict=True):
            wanted[axis] = bool(repeats)
        raise ValueError(
            f"Structure {other[0]} is {_boundaries(periodic[other[0]], plane)}, but the fitted "
            f"structures are {_boundaries(fitted_periodic, plane)}. Set pbc to {tuple(wanted)}, or "
            "fit a separate model to structures with other boundaries."
        )
    if is_straight(vectors).all() and (fitted_cosines == np.eye(len(fitted_cosines))).all():
        return
    of_cells = cosines(vectors)
    other = np.flatnonzero((np.abs(of_cells - fitted_cosines) > ROUNDING).any(axis=(1, 2)))
    if other.size:
        raise ValueError(
            f"Structure {other[0]}: the angles between the edges of its cell are "
            f"{_degrees(of_cells[other[0]])}, but those of the fitted cells are "
            f"{_degrees(fitted_cosines)}, so pixels have another shape. Fit a separate model to "
            "these cells, or repeat them to cells of the fitted angles."
        )


def _boundaries(periodic, plane):
    """Describe boundaries, for messages: 'periodic along x and open along y'."""
    texts = []
    for kind, chosen in (("periodic", periodic), ("open", ~np.asarray(periodic))):
        names = [name for name, is_chosen in zip(plane, chosen, strict=True) if is_chosen]
        if names:
            texts.append(f"{kind} along {' and '.join(names)}")
    return " and ".join(texts)


def _degrees(cosine):
    return " and ".join(f"{angle:.6g}°" for angle in angles(cosine))
